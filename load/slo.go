package load

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An SLO is a list of objectives, all of which are to be met.
type SLO struct {
	Text  string
	Terms []Term
}

// A Term is one objective, as in "p99 ttft < 500ms".
type Term struct {
	Text string
	// Metric is the name of a figure, or error_rate, goodput, rate or
	// output_tokens_per_s.
	Metric string
	// P is the percentile, 0 the mean.
	P float64
	// Below is whether the value must be below Limit, or else above; Limit is
	// in nanoseconds, or a plain number.
	Below bool
	Limit float64
}

// An SLOResult says what became of a term.
type SLOResult struct {
	Term  string  `json:"term"`
	Met   bool    `json:"met"`
	Value float64 `json:"value"` // in the unit of the limit: ns, or a number
	Seen  string  `json:"seen"`
	// Reason says why a term could not be judged; it is not met then.
	Reason string `json:"reason,omitempty"`
	// Confidence is how sure it is that the true percentile is on this side
	// of the limit; 0: not known.
	Confidence float64 `json:"confidence,omitempty"`
}

// The metrics of terms that are no latency.
const (
	ErrorRate  = "error_rate"
	GoodShare  = "goodput"
	Rate       = "rate"
	TokensRate = "output_tokens_per_s"
)

var latencies = []string{TTFT, TTFTFromSchedule, ICL, TPOT, E2E, E2EFromSchedule, ScheduleLag}
var scalars = []string{ErrorRate, GoodShare, Rate, TokensRate}

var termForm = regexp.MustCompile(`^(?:(p[0-9.]+|mean|avg|median)\s+([a-z0-9_]+)|([a-z0-9_]+)\s+(p[0-9.]+|mean|avg|median)|([a-z0-9_]+))\s*(<=?|>=?)\s*([0-9.]+)\s*(ns|us|µs|ms|s|m|%)?$`)

// ParseSLO reads terms apart by commas, as in
// "p99 ttft < 500ms, p95 tpot < 50ms, error_rate < 1%".
func ParseSLO(text string) (*SLO, error) {
	s := &SLO{Text: strings.TrimSpace(text)}
	for _, part := range strings.Split(text, ",") {
		part = strings.ToLower(strings.Join(strings.Fields(part), " "))
		if part == "" {
			continue
		}
		t, err := parseTerm(part)
		if err != nil {
			return nil, err
		}
		s.Terms = append(s.Terms, t)
	}
	if len(s.Terms) == 0 {
		return nil, fmt.Errorf("SLO %q: no term; want something like 'p99 ttft < 500ms, error_rate < 1%%'", text)
	}
	return s, nil
}

func parseTerm(s string) (Term, error) {
	m := termForm.FindStringSubmatch(s)
	if m == nil {
		return Term{}, fmt.Errorf("SLO term %q: want METRIC or pNN METRIC, then < or >, then a limit, as in 'p99 ttft < 500ms'", s)
	}
	t := Term{Text: s, Metric: m[2] + m[3] + m[5], Below: m[6][0] == '<'}
	point := m[1] + m[4]
	if slices.Contains(scalars, t.Metric) {
		if point != "" {
			return Term{}, fmt.Errorf("SLO term %q: %s has no percentiles", s, t.Metric)
		}
	} else if !slices.Contains(latencies, t.Metric) {
		return Term{}, fmt.Errorf("SLO term %q: unknown metric %q; there are %s, and %s", s, t.Metric, strings.Join(latencies, ", "), strings.Join(scalars, ", "))
	}
	switch {
	case slices.Contains(scalars, t.Metric):
	case point == "":
		return Term{}, fmt.Errorf("SLO term %q: say which percentile, as in 'p99 %s', or mean", s, t.Metric)
	case point == "median":
		t.P = 50
	case point[0] == 'p':
		p, err := strconv.ParseFloat(point[1:], 64)
		if err != nil || p <= 0 || p >= 100 {
			return Term{}, fmt.Errorf("SLO term %q: %s: want a percentile above 0 and below 100", s, point)
		}
		t.P = p
	}
	v, err := strconv.ParseFloat(m[7], 64)
	if err != nil {
		return Term{}, fmt.Errorf("SLO term %q: %q is no number", s, m[7])
	}
	unit := m[8]
	if slices.Contains(scalars, t.Metric) {
		if unit == "%" {
			v /= 100
		} else if unit != "" {
			return Term{}, fmt.Errorf("SLO term %q: %s has no unit of time", s, t.Metric)
		}
		t.Limit = v
		return t, nil
	}
	scale, ok := map[string]time.Duration{"ns": 1, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute}[unit]
	if !ok {
		return Term{}, fmt.Errorf("SLO term %q: the limit needs a unit of time: us, ms or s", s)
	}
	t.Limit = v * float64(scale)
	return t, nil
}

// value is the figure of a term for one request.
func (t *Term) value(r *Record) (int64, bool) {
	for _, f := range figures {
		if f.name == t.Metric {
			return f.of(r)
		}
	}
	if t.Metric == ICL && len(r.Gaps) > 0 { // its largest gap decides
		return int64(slices.Max(r.Gaps)) * 1000, true
	}
	return 0, false
}

func (t *Term) holds(v float64) bool {
	if t.Below {
		return v < t.Limit
	}
	return v > t.Limit
}

func (t *Term) latency() bool { return slices.Contains(latencies, t.Metric) }

// goodput counts the requests that meet every latency limit. Failed ones do
// not; those that were cancelled at the end, or of which a limit cannot be
// evaluated, leave both sides of the ratio.
func (s *SLO) goodput(records []*Record, steady float64, span Window) *Goodput {
	g := &Goodput{}
	inTime := 0
	any := slices.ContainsFunc(s.Terms, func(t Term) bool { return t.latency() })
	if !any {
		return nil
	}
	for _, r := range records {
		if r.Warmup {
			continue
		}
		if r.Error == ErrCancelled {
			g.LeftOut++
			continue
		}
		if !r.OK() {
			g.Counted++
			continue
		}
		good, known := true, true
		for i := range s.Terms {
			t := &s.Terms[i]
			if !t.latency() {
				continue
			}
			v, ok := t.value(r)
			known = known && ok
			good = good && ok && t.holds(float64(v))
		}
		if !known {
			g.LeftOut++
			continue
		}
		g.Counted++
		if good {
			g.Good++
			if r.End <= span.LastSend && r.End >= span.WarmupEnd {
				inTime++
			}
		}
	}
	if g.Counted > 0 {
		g.Share = float64(g.Good) / float64(g.Counted)
	}
	if steady > 0 {
		g.Rate = float64(inTime) / steady
	}
	return g
}

// judge says which terms were met.
func (s *SLO) judge(sum *Summary, records []*Record) []SLOResult {
	var out []SLOResult
	for i := range s.Terms {
		out = append(out, s.Terms[i].judge(sum, records))
	}
	return out
}

func (t *Term) judge(sum *Summary, records []*Record) SLOResult {
	res := SLOResult{Term: t.Text}
	counted := sum.OK + sum.Failed
	switch t.Metric {
	case ErrorRate:
		if counted == 0 {
			res.Reason = "no request was completed"
			return res
		}
		res.Value = float64(sum.Failed) / float64(counted)
		res.Seen = fmt.Sprintf("%.2f %% (%d of %d)", 100*res.Value, sum.Failed, counted)
	case GoodShare:
		if sum.Goodput == nil || sum.Goodput.Counted == 0 {
			res.Reason = "goodput needs at least one limit of latency"
			return res
		}
		res.Value = sum.Goodput.Share
		res.Seen = fmt.Sprintf("%.2f %% (%d of %d)", 100*res.Value, sum.Goodput.Good, sum.Goodput.Counted)
	case Rate:
		res.Value = sum.Steady.Requests
		res.Seen = fmt.Sprintf("%.4g/s", res.Value)
	case TokensRate:
		res.Value = sum.Steady.OutputTokens
		res.Seen = fmt.Sprintf("%.4g/s", res.Value)
	default:
		m := sum.Metric(t.Metric)
		if m == nil {
			res.Reason = t.Metric + " is not defined for any request of this run"
			return res
		}
		if t.P == 0 {
			res.Value = m.Mean
		} else if q, ok := m.P(t.P); ok {
			res.Value = float64(q.Value)
		}
		var values []int64
		if t.P > 0 {
			for _, r := range records {
				if v, ok := t.value(r); ok && r.OK() && !r.Warmup && t.Metric != ICL {
					values = append(values, v)
				}
			}
			slices.Sort(values)
			if _, ok := m.P(t.P); !ok && len(values) > 0 {
				res.Value = float64(quantile(values, t.P/100))
			} else if !ok {
				res.Reason = fmt.Sprintf("%s has no p%g; there are p50, p75, p90, p95, p99 and p99.9", t.Metric, t.P)
				return res
			}
			if len(values) > 0 {
				res.Confidence = t.confidence(values)
			}
			if n := floor(t.P / 100); m.Count < int64(n) {
				res.Seen = fmt.Sprintf(" (%d samples; p%g needs %d)", m.Count, t.P, n)
			}
		}
		res.Seen = time.Duration(res.Value).Round(time.Microsecond).String() + res.Seen
	}
	res.Met = t.holds(res.Value)
	return res
}

// confidence is how sure it is that the true percentile lies on the side of
// the limit where the measured one does.
func (t *Term) confidence(sorted []int64) float64 {
	below, _ := slices.BinarySearchFunc(sorted, t.Limit, func(v int64, l float64) int {
		if float64(v) < l {
			return -1
		}
		return 1
	})
	n, p := len(sorted), t.P/100
	// If the true percentile were the limit, the number below it would be
	// binomial; how unlikely is one so far off?
	if float64(below) >= p*float64(n) {
		return binomialCDF(n, p, below-1)
	}
	return 1 - binomialCDF(n, p, below)
}
