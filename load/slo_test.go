package load

import (
	"math"
	"strings"
	"testing"
	"time"
)

// made are records of given latencies in milliseconds, sent 10 ms apart.
func made(ttft []float64, tpot float64) []*Record {
	var all []*Record
	for i, t := range ttft {
		sent := int64(leadIn) + int64(i)*1e7
		first := sent + int64(t*1e6)
		last := first + int64(9*tpot*1e6)
		r := &Record{Index: i, Stream: true, Status: 200, Intended: sent - 1000, Begun: sent - 500, Sent: sent, FirstToken: first, LastToken: last, End: last + 1000,
			OutputTokens: 10, PromptTokens: 5, Chunks: 10, FinishReason: "length"}
		for range 9 {
			r.Gaps = append(r.Gaps, int32(tpot*1000))
		}
		all = append(all, r)
	}
	return all
}

// steady are n latencies about a middle, always the same.
func steady(n int, middle float64, seed uint64) []float64 {
	r := newRandom(seed)
	out := make([]float64, n)
	for i := range out {
		out[i] = middle * math.Exp(0.2*r.normal())
	}
	return out
}

func assembled(records []*Record, slo *SLO) *Result {
	h := &Header{Version: "test", Began: time.Unix(0, 0).UTC(), Config: &Config{URL: "http://target", Stages: []StageConfig{{Name: "1", Rate: 100, Arrival: "constant"}}, Loop: "open", Work: []Work{{Name: "chat"}}}}
	return Assemble(h, []Part{{Records: records, Windows: windowsOf(records)}}, slo)
}

func TestFloorsAreThoseOfMLPerf(t *testing.T) {
	for p, want := range map[float64]int{0.9: 64, 0.99: 662, 0.999: 6636} {
		if got := floor(p); got != want {
			t.Errorf("p%g needs %d, want %d", 100*p, got, want)
		}
	}
}

func TestQuantileAndInterval(t *testing.T) {
	v := make([]int64, 1000)
	for i := range v {
		v[i] = int64(i + 1)
	}
	for p, want := range map[float64]int64{0.5: 500, 0.99: 990, 0.999: 999, 1e-9: 1} {
		if got := quantile(v, p); got != want {
			t.Errorf("quantile %g: %d, want %d", p, got, want)
		}
	}
	// The interval holds the true quantile as often as it says.
	hits, rounds := 0, 400
	r := newRandom(5)
	for range rounds {
		s := make([]int64, 200)
		for i := range s {
			s[i] = int64(1e6 * r.unit())
		}
		m := newMetric("x", s)
		q, _ := m.P(90)
		if q.Low <= 900_000 && q.High >= 900_000 {
			hits++
		}
	}
	if share := float64(hits) / float64(rounds); share < 0.93 {
		t.Errorf("the 95 %% interval holds the true p90 in %.1f %%", 100*share)
	}
}

func TestParseSLO(t *testing.T) {
	s, err := ParseSLO("p99 ttft < 500ms, tpot p95 < 50ms, mean e2e<2s, error_rate < 1%, goodput > 0.9, output_tokens_per_s >= 100")
	if err != nil {
		t.Fatal(err)
	}
	want := []Term{{Metric: TTFT, P: 99, Below: true, Limit: 5e8}, {Metric: TPOT, P: 95, Below: true, Limit: 5e7}, {Metric: E2E, Below: true, Limit: 2e9},
		{Metric: ErrorRate, Below: true, Limit: 0.01}, {Metric: GoodShare, Limit: 0.9}, {Metric: TokensRate, Limit: 100}}
	for i, w := range want {
		got := s.Terms[i]
		got.Text = ""
		if got != w {
			t.Errorf("%+v, want %+v", got, w)
		}
	}
	for text, says := range map[string]string{"": "no term", "ttft < 5ms": "which percentile", "p99 ttft < 5": "unit", "p99 itl < 5ms": "unknown metric",
		"p0 ttft < 1s": "percentile", "p99 error_rate < 1%": "no percentiles", "p99 ttft ~ 5ms": "want METRIC", "error_rate < 5ms": "no unit"} {
		if _, err := ParseSLO(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestSLOAndGoodput(t *testing.T) {
	slow := made([]float64{100, 100, 100, 100, 900, 100, 100, 100, 100, 100}, 5)
	slow[1].Error, slow[1].FirstToken, slow[1].LastToken = "http_500", 0, 0
	slow[2].Error = ErrCancelled
	slow[3].OutputTokens, slow[3].Chunks = 1, 1 // TPOT is not defined
	slo, _ := ParseSLO("p95 ttft < 500ms, p95 tpot < 50ms, error_rate < 5%")
	r := assembled(slow, slo)
	g := r.Total.Goodput
	if g.Counted != 8 || g.Good != 6 || g.LeftOut != 2 {
		t.Errorf("%+v: want 6 good of 8, two left out", g)
	}
	met := map[string]bool{}
	for _, o := range r.SLO {
		met[o.Term] = o.Met
	}
	if met["p95 ttft < 500ms"] || !met["p95 tpot < 50ms"] || met["error_rate < 5%"] {
		t.Error(r.SLO)
	}
	if r.Total.Failed != 1 || r.Total.Cancelled != 1 || r.Total.OK != 8 {
		t.Errorf("%+v", r.Total)
	}
}

func TestConfidence(t *testing.T) {
	slo, _ := ParseSLO("p90 ttft < 130ms")
	sure := slo.Terms[0].judge(&assembled(made(steady(2000, 90, 1), 1), nil).Total, made(steady(2000, 90, 1), 1))
	perhaps := slo.Terms[0].judge(&assembled(made(steady(40, 100, 1), 1), nil).Total, made(steady(40, 100, 1), 1))
	if !sure.Met || sure.Confidence < 0.999 || perhaps.Confidence > 0.97 {
		t.Errorf("%+v, %+v", sure, perhaps)
	}
}

func TestCertify(t *testing.T) {
	good := func() *Result {
		r := assembled(made(steady(100, 100, 1), 5), nil)
		r.Client = []ClientFacts{{Cores: 2, CPU: []float64{0.3, 0.4, 0.2}, Canary: &Delay{Count: 100, P50: 5e4, P99: 1e6}}}
		return r
	}
	if v := certify(good()); !v.Valid || v.Text != "VALID" {
		t.Error(v)
	}
	for says, spoil := range map[string]func(*Result){
		"CPU":     func(r *Result) { r.Client[0].CPU = []float64{0.99, 0.97, 0.98} },
		"canary":  func(r *Result) { r.Client[0].Canary.P99 = 5e7 },
		"GC":      func(r *Result) { r.Client[0].GCPauseMax = 0.2 },
		"backlog": func(r *Result) { r.Client[0].HeldBack = 3 },
		"limits": func(r *Result) {
			r.Total.Errors = []ErrorCount{{Kind: ErrClient, Count: 3, Message: "too many open files"}}
		},
		"schedule lag": func(r *Result) {
			late := made(steady(100, 100, 1), 5)
			for _, x := range late {
				x.Intended -= 2e8
			}
			r.Total = assembled(late, nil).Total
		},
	} {
		r := good()
		spoil(r)
		if v := certify(r); v.Valid || !strings.HasPrefix(v.Text, "INVALID: client-bound (") || !strings.Contains(v.Text, says) {
			t.Errorf("%s: %+v", says, v)
		}
	}
}
