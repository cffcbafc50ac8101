package load

import (
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

func compare(t *testing.T, old, new []*Record, gates ...string) *Comparison {
	t.Helper()
	var parsed []Gate
	for _, g := range gates {
		p, err := ParseGate(g)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, p)
	}
	c, err := Compare(assembled(old, nil), assembled(new, nil), old, new, parsed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A gate trips on a regression that is shown, and on nothing else: not on
// noise, not on few samples, not on an improvement.
func TestCompareGates(t *testing.T) {
	const gate = "ttft p95 > +5%"
	for _, c := range []struct {
		name     string
		old, new []*Record
		gate     string
		fails    bool
	}{
		{"the same", made(steady(500, 100, 1), 5), made(steady(500, 100, 2), 5), gate, false},
		{"20 % slower", made(steady(500, 100, 1), 5), made(steady(500, 120, 2), 5), gate, true},
		{"20 % slower, five samples", made(steady(5, 100, 1), 5), made(steady(5, 120, 2), 5), gate, false},
		{"20 % faster", made(steady(500, 100, 1), 5), made(steady(500, 80, 2), 5), gate, false},
		{"TPOT doubled", made(steady(500, 100, 1), 5), made(steady(500, 100, 2), 10), "tpot p50 > +5%", true},
		{"TPOT doubled, TTFT asked", made(steady(500, 100, 1), 5), made(steady(500, 100, 2), 10), gate, false},
		{"undefined", made(steady(500, 100, 1), 5)[:1], made(steady(500, 100, 2), 5)[:1], gate, true},
	} {
		if got := compare(t, c.old, c.new, c.gate); got.Failed() != c.fails {
			t.Errorf("%s: failed %v: %+v", c.name, got.Failed(), got.Gates)
		}
	}
	failing := made(steady(500, 100, 1), 5)
	for i := range 100 {
		failing[i*5].Error = "http_500"
	}
	if c := compare(t, made(steady(500, 100, 1), 5), failing, "error_rate > +1%"); !c.Failed() {
		t.Errorf("%+v", c.Gates)
	}
	if c := compare(t, failing, made(steady(500, 100, 1), 5), "error_rate > +1%"); c.Failed() {
		t.Errorf("%+v", c.Gates)
	}
}

func TestParseGate(t *testing.T) {
	for text, says := range map[string]string{"ttft > +5%": "which percentile", "ttft p95 > 5": "want METRIC", "itl p95 > +5%": "unknown metric", "rate p95 < -5%": "no percentiles", "ttft p100 > 1%": "percentile"} {
		if _, err := ParseGate(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	if g, err := ParseGate("Output_Tokens_Per_S  <  -5 %"); err != nil || g.Above || g.Limit != -0.05 {
		t.Errorf("%+v, %v", g, err)
	}
}

// What is written for benchstat is what its own reader understands.
func TestBenchIsReadable(t *testing.T) {
	records := made(steady(500, 100, 1), 5)
	var b strings.Builder
	if err := WriteBench(&b, assembled(records, nil), records); err != nil {
		t.Fatal(err)
	}
	r := benchfmt.NewReader(strings.NewReader(b.String()), "benchmark.txt")
	n := 0
	for r.Scan() {
		res, ok := r.Result().(*benchfmt.Result)
		if !ok {
			t.Fatalf("%v", r.Result())
		}
		n++
		if v, ok := res.Value("ttft-p50-sec"); !ok || v < 0.08 || v > 0.12 {
			t.Errorf("ttft-p50-sec %v", v)
		}
		if v, ok := res.Value("tpot-p95-sec"); !ok || v < 0.004 || v > 0.006 {
			t.Errorf("tpot-p95-sec %v", v)
		}
	}
	if n != 20 || r.Err() != nil {
		t.Errorf("%d results, %v", n, r.Err())
	}
}
