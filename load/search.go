package load

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// SearchOptions say how a limit is looked for.
type SearchOptions struct {
	// By is rate or concurrency.
	By string
	// From is where it begins, To is the most that is tried.
	From, To float64
	// Arrival is that of the rates.
	Arrival Arrival
	// Step is how long each level is held, Warmup how much of it does not
	// count.
	Step, Warmup time.Duration
	// Resolution is how near the bounds must come, as a share; 0 is 10 %.
	Resolution float64
	// MaxSteps bounds the search; 0 is 16.
	MaxSteps int
	OnStep   func(SearchStep)
	// AnyClient goes on though the client cannot be trusted, as on the busy
	// machines of tests.
	AnyClient bool
}

// A Search is how a limit was found.
type Search struct {
	By  string `json:"by"`
	SLO string `json:"slo"`
	// Best is the highest level that met the objectives, Fails the lowest
	// that did not; 0: none.
	Best  float64 `json:"best"`
	Fails float64 `json:"fails"`
	// Confidence is how sure it is that the limit lies between them.
	Confidence float64      `json:"confidence"`
	Steps      []SearchStep `json:"steps"`
	// Reason says why the search ended.
	Reason string `json:"reason"`
}

// A SearchStep is one level that was tried.
type SearchStep struct {
	Level      float64 `json:"level"`
	Stages     []int   `json:"stages"` // by index, in the result
	Requests   int     `json:"requests"`
	Met        bool    `json:"met"`
	Confidence float64 `json:"confidence"`
	Why        string  `json:"why"`
}

const (
	sure      = 0.9 // a level that is less sure is held again
	maxRepeat = 3
	maxFailed = 0.01 // of the requests of a level
)

// FindMax looks for the highest rate or concurrency at which job's objectives
// are met: it doubles until one is missed, then closes in geometrically. A
// level whose outcome may be chance is held again, up to three times.
func FindMax(ctx context.Context, job Job, o SearchOptions) (*Result, error) {
	switch {
	case job.SLO == nil:
		return nil, fmt.Errorf("finding a limit needs objectives, as in 'p99 ttft < 500ms'")
	case o.By != "rate" && o.By != "concurrency":
		return nil, fmt.Errorf("by %q: want rate or concurrency", o.By)
	case !(o.From > 0) || o.To < o.From:
		return nil, fmt.Errorf("from %g to %g: want 0 < from ≤ to", o.From, o.To)
	}
	if o.Resolution <= 0 {
		o.Resolution = 0.1
	}
	if o.MaxSteps <= 0 {
		o.MaxSteps = 16
	}
	s, err := newSession(ctx, &job)
	if err != nil {
		return nil, err
	}
	f := &Search{By: o.By, SLO: job.SLO.Text, Confidence: 1}
	x := &searcher{session: s, o: o, f: f}
	if err := x.search(ctx); err != nil {
		s.close()
		return nil, err
	}
	r, err := s.assemble()
	if err != nil {
		return nil, err
	}
	r.Search = f
	// The objectives hold of the level that was found, not of all that were
	// tried, and so does the verdict on the client.
	r.SLO = nil
	return r, s.write(r)
}

type searcher struct {
	*session
	o      SearchOptions
	f      *Search
	lo, hi SearchStep
}

func (x *searcher) search(ctx context.Context) error {
	level := x.level(x.o.From)
	for len(x.f.Steps) < x.o.MaxSteps {
		st, bound, err := x.try(ctx, level)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			x.f.Reason = "interrupted"
			break
		}
		x.f.Steps = append(x.f.Steps, st)
		if x.o.OnStep != nil {
			x.o.OnStep(st)
		}
		if bound != "" {
			x.f.Reason = fmt.Sprintf("at %g the client itself is the limit (%s); the target's is not below %g", level, bound, x.lo.Level)
			break
		}
		if st.Met {
			x.lo = st
		} else {
			x.hi = st
		}
		if next, more := x.next(); more {
			level = next
			continue
		}
		break
	}
	if x.f.Reason == "" {
		switch {
		case x.hi.Level == 0:
			x.f.Reason = fmt.Sprintf("the objectives are met up to %g, the most that was to be tried", x.lo.Level)
		case x.lo.Level == 0:
			x.f.Reason = fmt.Sprintf("the objectives are missed even at %g", x.hi.Level)
		case len(x.f.Steps) >= x.o.MaxSteps:
			x.f.Reason = fmt.Sprintf("%d steps were made", len(x.f.Steps))
		default:
			x.f.Reason = "the bounds are near enough"
		}
	}
	x.f.Best, x.f.Fails = x.lo.Level, x.hi.Level
	if x.lo.Level > 0 {
		x.f.Confidence *= x.lo.Confidence
	}
	if x.hi.Level > 0 {
		x.f.Confidence *= x.hi.Confidence
	}
	return nil
}

// next is the level to try after the bounds that are known.
func (x *searcher) next() (float64, bool) {
	lo, hi := x.lo.Level, x.hi.Level
	switch {
	case hi == 0:
		next := x.level(min(2*lo, x.o.To))
		return next, next > lo
	case lo == 0:
		next := x.level(hi / 4)
		if least := x.level(x.o.From / 64); next < least || next >= hi {
			return 0, false
		}
		return next, true
	case hi/lo <= 1+x.o.Resolution:
		return 0, false
	}
	next := x.level(math.Sqrt(lo * hi))
	return next, next > lo && next < hi
}

func (x *searcher) level(v float64) float64 {
	if x.o.By == "concurrency" {
		return max(1, math.Round(v))
	}
	scale := math.Pow(10, math.Floor(math.Log10(v))-2) // three digits
	return math.Round(v/scale) * scale
}

// try holds a level until it is clear whether it meets the objectives; bound
// says why the client could not hold it.
func (x *searcher) try(ctx context.Context, level float64) (st SearchStep, bound string, err error) {
	st.Level = level
	var records []*Record
	var windows []Window
	for range maxRepeat {
		stage := Stage{Name: fmt.Sprintf("%g", level), Duration: x.o.Step, Warmup: x.o.Warmup}
		if x.o.By == "rate" {
			stage.Rate, stage.Arrival = level, x.o.Arrival
		} else {
			stage.Concurrency = int(level)
		}
		from := len(x.part.Records)
		x.job.Seed += 1000 // other prompts and times, so that no cache helps
		x.mix.seed = x.job.Seed
		x.mix.Prepare(maxReady)
		if err := x.play(ctx, []Stage{stage}); err != nil {
			return st, "", err
		}
		st.Stages = append(st.Stages, x.played-1)
		records = append(records, x.part.Records[from:]...)
		windows = append(windows, x.part.Windows[x.played-1])
		sum := summarise(records, windows[len(windows)-1:], x.job.SLO)
		// The verdict on the client is on the last time alone.
		v := certify(&Result{Total: summarise(x.part.Records[from:], windows[len(windows)-1:], nil), Client: []ClientFacts{x.lastClient}})
		if !v.Valid && !x.o.AnyClient {
			bound = strings.Join(v.Reasons, "; ")
			st.Requests, st.Why = len(x.part.Records)-from, "client-bound: "+bound
			return st, bound, nil
		}
		st.Requests = sum.Requests
		st.Met, st.Confidence, st.Why = x.judge(&sum, records, windows)
		if st.Confidence >= sure || ctx.Err() != nil {
			break
		}
	}
	return st, "", nil
}

// judge says whether a level meets every objective and is kept up with, and
// how sure that is.
func (x *searcher) judge(sum *Summary, records []*Record, windows []Window) (met bool, confidence float64, why string) {
	confidence = 1
	var parts []string
	// Percentiles are over those that succeed; a level at which many fail is
	// not met, whatever they say, unless the objectives speak of failures.
	failures := slices.ContainsFunc(x.job.SLO.Terms, func(t Term) bool { return t.Metric == ErrorRate || t.Metric == GoodShare })
	if n := sum.OK + sum.Failed; !failures && float64(sum.Failed) > maxFailed*float64(n) {
		return false, 0.95, fmt.Sprintf("%d of %d requests failed: %s", sum.Failed, n, sum.Errors[0].Kind)
	}
	for i := range x.job.SLO.Terms {
		r := x.job.SLO.Terms[i].judge(sum, records)
		c := r.Confidence
		if c == 0 {
			c = 0.95
		}
		if !r.Met {
			return false, c, r.Term + ": " + or(r.Seen, r.Reason)
		}
		confidence = min(confidence, c)
		parts = append(parts, r.Seen)
	}
	if x.o.By == "rate" {
		// A queue that grows will miss any objective in the end: the requests
		// in flight at the end against those in the middle.
		for _, w := range windows {
			mid, _ := inFlight(records, w.WarmupEnd, w.WarmupEnd+(w.LastSend-w.WarmupEnd)/3)
			end, _ := inFlight(records, w.LastSend-(w.LastSend-w.WarmupEnd)/3, w.LastSend)
			if end > 2*mid+8 {
				return false, 0.95, fmt.Sprintf("the queue grows: %.1f requests in flight at first, %.1f at the end", mid, end)
			}
		}
	}
	return true, confidence, strings.Join(parts, ", ")
}

func (s *Search) text(b *strings.Builder) {
	fmt.Fprintf(b, "\n  limit by %s under %s\n", s.By, s.SLO)
	for _, st := range s.Steps {
		fmt.Fprintf(b, "    %s %-8g %5d requests, %.1f %% sure: %s\n", map[bool]string{true: "✓", false: "✗"}[st.Met], st.Level, st.Requests, 100*st.Confidence, st.Why)
	}
	switch {
	case s.Best > 0 && s.Fails > 0:
		fmt.Fprintf(b, "  the limit is between %g and %g (%.1f %% sure): %s\n", s.Best, s.Fails, 100*s.Confidence, s.Reason)
	default:
		fmt.Fprintf(b, "  no limit was found: %s\n", s.Reason)
	}
}
