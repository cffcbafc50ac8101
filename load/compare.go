package load

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// A Comparison is how a new run differs from an old one.
type Comparison struct {
	Rows []Row
	// Gates are the conditions under which the new run fails.
	Gates []GateResult
	// Warnings say why the comparison may mislead.
	Warnings []string
}

// Failed is whether a gate has found a regression.
func (c *Comparison) Failed() bool {
	return slices.ContainsFunc(c.Gates, func(g GateResult) bool { return g.Failed })
}

// A Row is one figure in both runs.
type Row struct {
	Metric   string
	P        float64 // percentile; 0: not one
	Old, New float64 // nanoseconds, or a plain number
	// Change is New/Old − 1; Low and High bound it at 95 %.
	Change, Low, High float64
	// PValue is that of the Mann-Whitney U-test over all samples of the
	// metric; Delta, from −1 to 1, is how much more often a sample of the new
	// run is the larger one (Cliff's delta).
	PValue, Delta float64
	OldN, NewN    int
	Enough        bool // both have the samples that the percentile needs
}

// Real is whether a difference was shown: the interval leaves out no change,
// and the rank test agrees.
func (r *Row) Real() bool { return r.PValue < 0.05 && (r.Low > 0 || r.High < 0) }

// A Gate is a condition as in "ttft p95 > +5%".
type Gate struct {
	Text   string
	Metric string
	P      float64
	Above  bool
	Limit  float64 // of the change, as a share
}

// A GateResult is what became of a gate.
type GateResult struct {
	Gate
	Failed bool
	Why    string
}

var gateForm = regexp.MustCompile(`^([a-z0-9_]+)(?:\s+p([0-9.]+))?\s*([<>])\s*([+-]?[0-9.]+)\s*%$`)

// ParseGate reads a condition: a metric, its percentile, and the change that
// is too much, as in "ttft p95 > +5%" or "output_tokens_per_s < -5%".
func ParseGate(text string) (Gate, error) {
	s := strings.ToLower(strings.Join(strings.Fields(text), " "))
	m := gateForm.FindStringSubmatch(s)
	if m == nil {
		return Gate{}, fmt.Errorf("%q: want METRIC pNN > +N%%, as in 'ttft p95 > +5%%', or METRIC < -N%%", text)
	}
	g := Gate{Text: s, Metric: m[1], Above: m[3] == ">"}
	var err error
	if g.Limit, err = strconv.ParseFloat(m[4], 64); err != nil {
		return Gate{}, fmt.Errorf("%q: %q is no number", text, m[4])
	}
	g.Limit /= 100
	latency, scalar := slices.Contains(latencies, g.Metric), slices.Contains([]string{ErrorRate, Rate, TokensRate}, g.Metric)
	switch {
	case latency && m[2] == "":
		return Gate{}, fmt.Errorf("%q: say which percentile, as in '%s p95 > +5%%'", text, g.Metric)
	case scalar && m[2] != "":
		return Gate{}, fmt.Errorf("%q: %s has no percentiles", text, g.Metric)
	case !latency && !scalar:
		return Gate{}, fmt.Errorf("%q: unknown metric %q; there are %s, %s, %s and %s", text, g.Metric, strings.Join(latencies, ", "), ErrorRate, Rate, TokensRate)
	}
	if latency {
		if g.P, err = strconv.ParseFloat(m[2], 64); err != nil || g.P <= 0 || g.P >= 100 {
			return Gate{}, fmt.Errorf("%q: want a percentile above 0 and below 100", text)
		}
	}
	return g, nil
}

// compared are the percentiles of each latency that are compared.
var compared = []float64{50, 95, 99}

// Compare holds a new run against an old one. Latencies are compared sample by
// sample, throughputs over twenty slices of the steady window.
func Compare(old, new *Result, oldRecords, newRecords []*Record, gates []Gate) (*Comparison, error) {
	c := &Comparison{}
	for i, r := range []*Result{old, new} {
		if !r.Verdict.Valid {
			c.Warnings = append(c.Warnings, fmt.Sprintf("the %s run is %s", []string{"old", "new"}[i], r.Verdict.Text))
		}
	}
	if a, b := old.Config, new.Config; a != nil && b != nil && old.Imported == "" && new.Imported == "" {
		if why := differs(&Header{Config: a}, &Header{Config: b}); why != "" {
			c.Warnings = append(c.Warnings, "the runs are not alike: "+why+" differs")
		}
	}
	random := newRandom(1, 0xc0)
	for _, name := range latencies {
		a, b := samples(oldRecords, name), samples(newRecords, name)
		if len(a) < 2 || len(b) < 2 {
			continue
		}
		p, delta := rankTest(a, b)
		points := slices.Clone(compared)
		for _, g := range gates {
			if g.Metric == name && !slices.Contains(points, g.P) {
				points = append(points, g.P)
			}
		}
		slices.Sort(points)
		for _, at := range points {
			row := Row{Metric: name, P: at, PValue: p, Delta: delta, OldN: len(a), NewN: len(b)}
			row.Old, row.New = float64(quantile(a, at/100)), float64(quantile(b, at/100))
			row.Change, row.Low, row.High = change(a, b, at/100, random)
			f := floor(at / 100)
			row.Enough = len(a) >= f && len(b) >= f
			c.Rows = append(c.Rows, row)
		}
	}
	for _, name := range []string{Rate, TokensRate} {
		a, b := slices20(old, oldRecords, name), slices20(new, newRecords, name)
		if len(a) < 4 || len(b) < 4 {
			continue
		}
		row := Row{Metric: name, OldN: len(a), NewN: len(b), Enough: true}
		row.PValue, row.Delta = rankTest(a, b)
		row.Old, row.New = scalarOf(old, name), scalarOf(new, name)
		if row.Old > 0 {
			row.Change = row.New/row.Old - 1
			row.Low, row.High = meanChange(a, b, random)
		}
		c.Rows = append(c.Rows, row)
	}
	c.Rows = append(c.Rows, errorRow(&old.Total, &new.Total))
	for _, g := range gates {
		c.Gates = append(c.Gates, g.judge(c.Rows))
	}
	if len(c.Rows) == 1 && old.Total.OK+new.Total.OK > 0 && len(oldRecords)+len(newRecords) == 0 {
		return nil, errors.New("there are no records to compare")
	}
	return c, nil
}

func (g Gate) judge(rows []Row) GateResult {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Metric == g.Metric && r.P == g.P })
	if i < 0 {
		return GateResult{g, true, g.Metric + " is not defined in both runs"}
	}
	r := rows[i]
	beyond := r.Change > g.Limit
	if !g.Above {
		beyond = r.Change < g.Limit
	}
	seen := fmt.Sprintf("%+.1f %% (95 %%: %+.1f to %+.1f), p=%.3g", 100*r.Change, 100*r.Low, 100*r.High, r.PValue)
	if g.Metric == ErrorRate {
		seen = fmt.Sprintf("%+.2f points, p=%.3g", 100*r.Change, r.PValue)
	}
	switch {
	case !beyond:
		return GateResult{g, false, seen}
	case !r.Real():
		return GateResult{g, false, seen + "; beyond the limit, but not shown to be more than chance: measure longer"}
	}
	return GateResult{g, true, seen}
}

// samples are the sorted values of a figure.
func samples(records []*Record, name string) []int64 {
	t := Term{Metric: name}
	var v []int64
	for _, r := range records {
		if r.Warmup || !r.OK() && name != ScheduleLag {
			continue
		}
		if name == ICL {
			for _, g := range r.Gaps {
				v = append(v, int64(g)*1000)
			}
		} else if x, ok := t.value(r); ok {
			v = append(v, x)
		}
	}
	slices.Sort(v)
	return v
}

// rankTest is the Mann-Whitney U-test and Cliff's delta of two sorted samples.
// Of very large ones an even part is tested.
func rankTest(a, b []int64) (p, delta float64) {
	const most = 50_000
	sum := 0.0
	for _, v := range b {
		lo := sort.Search(len(a), func(i int) bool { return a[i] >= v })
		hi := sort.Search(len(a), func(i int) bool { return a[i] > v })
		sum += float64(lo) - float64(len(a)-hi)
	}
	delta = sum / float64(len(a)) / float64(len(b))
	sample := func(v []int64) *benchmath.Sample {
		step := max(1, len(v)/most)
		var f []float64
		for i := 0; i < len(v); i += step {
			f = append(f, float64(v[i]))
		}
		return benchmath.NewSample(f, &benchmath.DefaultThresholds)
	}
	return benchmath.AssumeNothing.Compare(sample(a), sample(b)).P, delta
}

// change is the relative change of a quantile and its bootstrapped 95 %
// interval. The quantile of a resample of n sorted values is the value at a
// place that is n times a Beta(k, n−k+1) variable, so none need be drawn.
func change(a, b []int64, p float64, r random) (est, low, high float64) {
	old := float64(quantile(a, p))
	if old == 0 {
		return 0, 0, 0
	}
	est = float64(quantile(b, p))/old - 1
	resample := func(v []int64) float64 {
		n := len(v)
		k := max(1, math.Ceil(p*float64(n)))
		x, y := r.gamma(k), r.gamma(float64(n)-k+1)
		return float64(v[min(n-1, int(x/(x+y)*float64(n)))])
	}
	const rounds = 2000
	var all []float64
	for range rounds {
		if o := resample(a); o > 0 {
			all = append(all, resample(b)/o-1)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return est, est, est
	}
	return est, all[len(all)*25/1000], all[len(all)*975/1000]
}

// meanChange bounds the relative change of a mean, by the bootstrap.
func meanChange(a, b []int64, r random) (low, high float64) {
	mean := func(v []int64) float64 {
		s := 0.0
		for range v {
			s += float64(v[r.below(len(v))])
		}
		return s / float64(len(v))
	}
	var all []float64
	for range 2000 {
		if o := mean(a); o > 0 {
			all = append(all, mean(b)/o-1)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0, 0
	}
	return all[len(all)*25/1000], all[len(all)*975/1000]
}

// slices20 are the throughputs of twenty slices of each stage's steady window,
// in thousandths a second.
func slices20(r *Result, records []*Record, name string) []int64 {
	var out []int64
	for i, s := range r.Stages {
		if len(s.Windows) == 0 {
			continue
		}
		var mine []*Record
		for _, x := range records {
			if x.Stage == i {
				mine = append(mine, x)
			}
		}
		from, to := s.Windows[0].WarmupEnd, s.Windows[0].LastSend
		if to-from < 20 {
			continue
		}
		for k := range int64(20) {
			t := throughput(mine, from+k*(to-from)/20, from+(k+1)*(to-from)/20)
			v := t.Requests
			if name == TokensRate {
				v = t.OutputTokens
			}
			out = append(out, int64(1000*v))
		}
	}
	slices.Sort(out)
	return out
}

func scalarOf(r *Result, name string) float64 {
	if name == TokensRate {
		return r.Total.Steady.OutputTokens
	}
	return r.Total.Steady.Requests
}

// errorRow compares the shares of failed requests; its Change is in points.
func errorRow(a, b *Summary) Row {
	n, m := float64(a.OK+a.Failed), float64(b.OK+b.Failed)
	row := Row{Metric: ErrorRate, OldN: int(n), NewN: int(m), PValue: 1, Enough: true}
	if n == 0 || m == 0 {
		return row
	}
	row.Old, row.New = float64(a.Failed)/n, float64(b.Failed)/m
	row.Change = row.New - row.Old
	pooled := float64(a.Failed+b.Failed) / (n + m)
	if sd := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m)); sd > 0 {
		row.PValue = math.Erfc(math.Abs(row.Change) / sd / math.Sqrt2)
	}
	half := 1.96 * math.Sqrt(row.Old*(1-row.Old)/n+row.New*(1-row.New)/m)
	row.Low, row.High = row.Change-half, row.Change+half
	return row
}

// WriteText draws a comparison.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, s := range c.Warnings {
		fmt.Fprintf(&b, "  ! %s\n", s)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "  \told\tnew\tchange\t95 %% interval\tp\teffect\tsamples\t\t\n")
	for i := range c.Rows {
		r := &c.Rows[i]
		name, old, new := r.Metric, fmt.Sprintf("%.5g", r.Old), fmt.Sprintf("%.5g", r.New)
		if r.P > 0 {
			name = fmt.Sprintf("%s p%g", titles[r.Metric], r.P)
			old, new = brief(int64(r.Old)), brief(int64(r.New))
		}
		note := "~"
		switch {
		case r.Real() && r.Metric == ErrorRate, r.Real() && r.P > 0:
			note = map[bool]string{true: "worse", false: "better"}[r.Change > 0]
		case r.Real():
			note = map[bool]string{true: "better", false: "worse"}[r.Change > 0]
		}
		if !r.Enough {
			note += " (few samples)"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%+.1f %%\t%+.1f to %+.1f %%\t%.3f\t%+.2f\t%d+%d\t%s\t\n", name, old, new, 100*r.Change, 100*r.Low, 100*r.High, r.PValue, r.Delta, r.OldN, r.NewN, note)
	}
	t.Flush()
	fmt.Fprintln(&b, "  ~ no difference was shown. p: Mann-Whitney U-test over all samples; effect: Cliff's delta, from -1 to +1; error_rate changes in points.")
	for _, g := range c.Gates {
		fmt.Fprintf(&b, "  %s %s: %s\n", map[bool]string{true: "✗", false: "✓"}[g.Failed], g.Text, g.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteBench writes a run in the format of Go's benchmarks, twenty slices of
// each stage as twenty results, so that benchstat compares runs.
func WriteBench(w io.Writer, r *Result, records []*Record) error {
	var b strings.Builder
	if r.Config != nil {
		fmt.Fprintf(&b, "target: %s\n", r.Config.URL)
		if r.Config.Model != "" {
			fmt.Fprintf(&b, "model: %s\n", r.Config.Model)
		}
	}
	fmt.Fprintf(&b, "verdict: %s\n", strings.ReplaceAll(r.Verdict.Text, "\n", " "))
	for i, s := range r.Stages {
		if len(s.Windows) == 0 {
			continue
		}
		from, to := s.Windows[0].WarmupEnd, s.Windows[0].LastSend
		if to <= from {
			continue
		}
		const n = 20
		var parts [n][]*Record
		for _, x := range records {
			due := x.Begun
			if x.Intended > 0 {
				due = x.Intended
			}
			if x.Stage == i && !x.Warmup && x.OK() && due >= from && due < to {
				k := (due - from) * n / (to - from)
				parts[k] = append(parts[k], x)
			}
		}
		name := strings.NewReplacer(" ", "_", "–", "-").Replace(s.Label)
		for k, part := range parts {
			if len(part) == 0 {
				continue
			}
			fmt.Fprintf(&b, "BenchmarkLoad/load=%s %d", name, len(part))
			for _, f := range []string{TTFTFromSchedule, TTFT, TPOT, ICL, E2E} {
				v := samples(part, f)
				if len(v) == 0 {
					continue
				}
				fmt.Fprintf(&b, " %.9g %s-p50-sec %.9g %s-p95-sec", float64(quantile(v, 0.5))/1e9, f, float64(quantile(v, 0.95))/1e9, f)
			}
			t := throughput(part, from+int64(k)*(to-from)/n, from+int64(k+1)*(to-from)/n)
			fmt.Fprintf(&b, " %.6g output-tok/s\n", t.OutputTokens)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
