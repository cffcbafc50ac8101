package load

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// titles are the figures as people call them.
var titles = map[string]string{
	TTFT: "TTFT", TTFTFromSchedule: "TTFT from schedule", ICL: "ICL (between chunks)", TPOT: "TPOT", E2E: "E2E",
	E2EFromSchedule: "E2E from schedule", ScheduleLag: "schedule lag", OwnLag: "client's own lag", ConnectTime: "DNS+connect+TLS",
}

// WriteText draws a result for a terminal or a log.
func WriteText(w io.Writer, r *Result) error {
	var b strings.Builder
	if r.Config != nil {
		c := r.Config
		fmt.Fprintf(&b, "\n%s\n", strings.Join(nonEmpty(c.URL, c.Dialect, c.Model, c.Loop+" loop", "HTTP/"+c.HTTP, map[bool]string{true: "connections reused", false: "a connection a request"}[c.Reuse], fmt.Sprintf("seed %d", c.Seed)), " · "))
	}
	if r.Imported != "" {
		fmt.Fprintf(&b, "\nimported from %s\n", r.Imported)
	}
	if len(r.Stages) > 1 {
		fmt.Fprintln(&b)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		head := TTFT
		if r.Total.Metric(TTFTFromSchedule) != nil {
			head = TTFTFromSchedule
		}
		fmt.Fprintf(t, "  stage\tsent/s\tdone/s\ttokens/s\tin flight\t%s p50\tp95\tp99\tTPOT p50\tp99\tfailed\t\n", titles[head])
		for _, s := range r.Stages {
			fmt.Fprintf(t, "  %s\t%.4g\t%.4g\t%.4g\t%.1f\t%s\t%s\t%s\t%s\t%s\t%d\t\n", s.Label, s.SendRate, s.Steady.Requests, s.Steady.OutputTokens, s.InFlightMean,
				cell(s.Metric(head), 50), cell(s.Metric(head), 95), cell(s.Metric(head), 99), cell(s.Metric(TPOT), 50), cell(s.Metric(TPOT), 99), s.Failed)
		}
		t.Flush()
	}
	s := &r.Total
	fmt.Fprintf(&b, "\n  %d requests: %d ok, %d failed, %d cancelled at the end", s.Requests, s.OK, s.Failed, s.Cancelled)
	if s.Warmup > 0 {
		fmt.Fprintf(&b, " (and %d in the warm-up)", s.Warmup)
	}
	fmt.Fprintln(&b)
	for _, e := range s.Errors {
		fmt.Fprintf(&b, "    %-12s %6d  %s\n", e.Kind, e.Count, plainText(e.Message))
	}
	fmt.Fprintf(&b, "  %d tokens in, %d out (%s), %.1f requests in flight on average, %d at most, %d connections made\n",
		s.PromptTokens, s.OutputTokens, or(s.TokenSource, "no source"), s.InFlightMean, s.InFlightMax, s.Connections)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\n  throughput\tseconds\trequests/s\toutput tokens/s\tprompt tokens/s\t\n")
	for _, x := range []struct {
		name string
		t    Throughput
	}{{"steady window", s.Steady}, {"whole run", s.Whole}} {
		fmt.Fprintf(t, "  %s\t%.2f\t%.4g\t%.5g\t%.5g\t\n", x.name, x.t.Seconds, x.t.Requests, x.t.OutputTokens, x.t.PromptTokens)
	}
	t.Flush()
	if s.PlannedRate > 0 {
		fmt.Fprintf(&b, "  send rate: %.5g/s asked, %.5g/s reached\n", s.PlannedRate, s.SendRate)
	}
	if len(s.Metrics) > 0 {
		t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "\n  \tmean\tp50\tp75\tp90\tp95\tp99\tp99.9\tmax\tsamples\t\n")
		few := false
		for i := range s.Metrics {
			m := &s.Metrics[i]
			fmt.Fprintf(t, "  %s\t%s\t", titles[m.Name], brief(int64(m.Mean)))
			for _, p := range Percentiles {
				q, _ := m.P(p)
				few = few || !q.Enough
				fmt.Fprintf(t, "%s\t", cell(m, p))
			}
			fmt.Fprintf(t, "%s\t%d\t\n", brief(m.Max), m.Count)
		}
		t.Flush()
		if few {
			fmt.Fprintf(&b, "  ~ too few samples to state this percentile at 99 %% confidence (p90 needs %d, p95 %d, p99 %d, p99.9 %d)\n", floor(.9), floor(.95), floor(.99), floor(.999))
		}
	}
	if g := s.Goodput; g != nil {
		fmt.Fprintf(&b, "\n  goodput: %.2f %% of %d requests, %.4g/s", 100*g.Share, g.Counted, g.Rate)
		if g.LeftOut > 0 {
			fmt.Fprintf(&b, " (%d left out)", g.LeftOut)
		}
		fmt.Fprintln(&b)
	}
	for _, o := range r.SLO {
		sign := map[bool]string{true: "✓", false: "✗"}[o.Met]
		fmt.Fprintf(&b, "  %s %s: %s", sign, o.Term, or(o.Seen, o.Reason))
		if o.Confidence > 0 {
			fmt.Fprintf(&b, ", %.1f %% sure", 100*o.Confidence)
		}
		fmt.Fprintln(&b)
	}
	if r.Search != nil {
		r.Search.text(&b)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(&b)
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  ! %s\n", plainText(f))
		}
	}
	fmt.Fprintln(&b)
	for _, c := range r.Client {
		fmt.Fprintf(&b, "  client: %s\n", c.text())
	}
	if r.Interrupted {
		fmt.Fprintf(&b, "  interrupted: these are the figures of what was measured by then\n")
	}
	fmt.Fprintf(&b, "  %s\n", r.Verdict.Text)
	_, err := io.WriteString(w, b.String())
	return err
}

// text says in a line how the client fared.
func (c *ClientFacts) text() string {
	var parts []string
	if len(c.CPU) > 0 {
		most, sum := 0.0, 0.0
		for _, v := range c.CPU {
			most, sum = max(most, v), sum+v
		}
		parts = append(parts, fmt.Sprintf("CPU %.0f %% of %d cores on average, %.0f %% at most", 100*sum/float64(len(c.CPU)), c.Cores, 100*most))
	}
	if c.Canary != nil {
		parts = append(parts, fmt.Sprintf("canary p50 %s, p99 %s", brief(c.Canary.P50), brief(c.Canary.P99)))
	}
	parts = append(parts, fmt.Sprintf("%d GC pauses, at most %s", c.GCPauses, brief(int64(c.GCPauseMax*1e9))))
	return strings.Join(parts, " · ")
}

func cell(m *Metric, p float64) string {
	if m == nil {
		return "–"
	}
	q, ok := m.P(p)
	switch {
	case !ok:
		return "–"
	case !q.Enough:
		return "~" + brief(q.Value)
	}
	return brief(q.Value)
}

// brief is a duration with three digits.
func brief(ns int64) string {
	d := time.Duration(ns)
	abs := max(d, -d)
	switch {
	case abs == 0:
		return "0"
	case abs < time.Microsecond:
		return fmt.Sprintf("%dns", ns)
	case abs < time.Millisecond:
		return fmt.Sprintf("%.3gµs", float64(ns)/1e3)
	case abs < time.Second:
		return fmt.Sprintf("%.3gms", float64(ns)/1e6)
	case abs < 1000*time.Second:
		return fmt.Sprintf("%.3gs", float64(ns)/1e9)
	}
	return d.Round(time.Second).String()
}

func nonEmpty(all ...string) []string {
	var out []string
	for _, s := range all {
		if s != "" && s != " loop" {
			out = append(out, s)
		}
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
