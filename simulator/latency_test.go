package simulator

import (
	"context"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

func TestDistributions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	result := `{"metrics":[{"name":"e2e","percentiles":[]},{"name":"ttft","min_ns":1000000,"max_ns":9000000,"percentiles":[{"p":50,"value_ns":2000000},{"p":90,"value_ns":4000000}]}]}`
	if err := os.WriteFile(file, []byte(result), 0o600); err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		d                 Distribution
		mean, sd, low, up float64 // in ms
	}{
		{Distribution{Mean: 10 * ms}, 10, 0, 10, 10},
		{Distribution{Mean: 250 * time.Microsecond}, 0.25, 0, 0.25, 0.25},
		{Distribution{Shape: "normal", Mean: 10 * ms, Stddev: 2 * ms}, 10, 2, 0, 30},
		{Distribution{Shape: "log-normal", Mean: 10 * ms, Stddev: 5 * ms}, 10, 5, 0, 200},
		{Distribution{Shape: "empirical", Values: []time.Duration{3 * ms, 1 * ms}}, 2, 1, 1, 3},
		{Distribution{Shape: "empirical", File: file}, 0.5*1.5 + 0.4*3 + 0.1*6.5, 1.6, 1, 9},
	} {
		if err := c.d.validate(); err != nil {
			t.Fatal(err)
		}
		d, err := c.d.ready("ttft")
		if err != nil {
			t.Fatal(err)
		}
		sum, squares := 0.0, 0.0
		const n = 40000
		for range n {
			x := float64(d.draw()) / 1e6
			if x < c.low || x > c.up {
				t.Fatalf("%+v: drew %g", c.d, x)
			}
			sum, squares = sum+x, squares+x*x
		}
		mean := sum / n
		sd := math.Sqrt(squares/n - mean*mean + 1e-12)
		if math.Abs(mean-c.mean) > 0.02*c.mean || math.Abs(sd-c.sd) > 0.08*c.sd+1e-3 {
			t.Errorf("%+v: mean %g, deviation %g; want %g, %g", c.d, mean, sd, c.mean, c.sd)
		}
	}
	if _, err := (Distribution{Shape: "empirical", File: file}).ready("icl"); err == nil {
		t.Error("a figure that the file has not")
	}
}

// TestPace: token i is due at start + TTFT + i·ITL, whatever was late.
func TestPace(t *testing.T) {
	p, err := newPacer(Latency{TTFT: Distribution{Mean: 100 * time.Millisecond}, ITL: Distribution{Mean: 10 * time.Millisecond}, Prefill: time.Millisecond, Slowdown: 0.5, ColdStart: time.Second, IdleAfter: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var asked []time.Duration
	note := func(_ bool, d time.Duration) { asked = append(asked, d) }
	start := testClock()
	x := p.begin(start, 20, note)
	for n, want := range map[int]time.Duration{1: 1120 * time.Millisecond, 0: 1120 * time.Millisecond, 4: 1150 * time.Millisecond} {
		if got := x.token(n).Sub(start); got != want {
			t.Errorf("token %d is due after %s, want %s", n, got, want)
		}
	}
	if len(asked) != 4 || asked[3] != 10*time.Millisecond {
		t.Errorf("asked %v", asked)
	}
	// A second one in the cold start waits for its end, and both are slower.
	y := p.begin(start.Add(400*time.Millisecond), 20, note)
	if got := y.token(1).Sub(start); got != (400+600+180)*time.Millisecond {
		t.Errorf("the second is due after %s", got)
	}
	if got := y.token(2).Sub(y.token(1)); got != 15*time.Millisecond {
		t.Errorf("the second's tokens are %s apart", got)
	}
	x.end()
	y.end()
	if z := p.begin(time.Now().Add(2*time.Minute), 0, note); z.token(1).Sub(z.due[0]) != 0 || asked[len(asked)-1] != 1100*time.Millisecond {
		t.Errorf("after a minute without requests: %v", asked)
	}
	if none, _ := newPacer(Latency{MaxRunning: 3}); none != nil {
		t.Error("a pacer without a profile")
	}
}

func TestPaceEnds(t *testing.T) {
	p, _ := newPacer(Latency{TTFT: Distribution{Mean: time.Hour}})
	for _, together := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		x := p.begin(time.Now(), 1, func(bool, time.Duration) {})
		var got error
		cancel()
		for _, err := range x.steps(ctx, stepsOf([]engine.Step{{Text: "a", Generated: 1}}), together) {
			got = err
		}
		if got == nil || p.running.Load() != 0 {
			t.Errorf("together %v: %v, %d running", together, got, p.running.Load())
		}
	}
}

// TestPlaces: requests beyond the places wait, beyond the queue they are refused
// with 429 and cost no tokens (LIM-017).
func TestPlaces(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	s, err := New(Options{Generator: f, Latency: Latency{MaxRunning: 1, MaxQueue: 1}, Quota: Quota{TokensPerMinute: 10_000}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if r := post(t, h, completionsPath, ask(completionsPath, "")); r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	f.gate <- struct{}{} // the first is running
	for s.State().Endpoints[0].Deployments[0].Waiting != 1 {
		time.Sleep(time.Millisecond)
	}
	before := s.State().Endpoints[0].Deployments[0].Quota[0].Remaining
	r := post(t, h, completionsPath, ask(completionsPath, `"stream":true`))
	refused(t, r, 429, "")
	if r.header.Get("Retry-After") == "" || s.State().Endpoints[0].Deployments[0].Quota[0].Remaining != before {
		t.Errorf("%v; %d tokens left of %d", r.header, s.State().Endpoints[0].Deployments[0].Quota[0].Remaining, before)
	}
	close(f.gate)
	both.Wait()
}

// TestSimulatedTime holds streams against their due times.
func TestSimulatedTime(t *testing.T) {
	s, err := New(Options{Generator: Random(4096), Latency: Latency{TTFT: Distribution{Mean: 40 * time.Millisecond}, ITL: Distribution{Mean: 2 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	for _, members := range []string{`"max_tokens":50`, `"max_tokens":50,"stream":true`} {
		begun := time.Now()
		r := post(t, h, completionsPath, ask(completionsPath, members))
		took := time.Since(begun)
		if want := (40 + 49*2) * time.Millisecond; r.status != 200 || took < want || took > want+time.Second {
			t.Errorf("%s: %d after %s, want %s", members, r.status, took, want)
		}
	}
	metrics := do(t, h, "GET", metricsPath, "", nil).body
	for _, want := range []string{
		`vllm:time_to_first_token_seconds_count{deployment="default",endpoint="default",model_name="random"} 1`,
		`vllm:inter_token_latency_seconds_count{deployment="default",endpoint="default",model_name="random"} 49`,
		`touchstone:asked_inter_token_latency_seconds_sum{deployment="default",endpoint="default",model_name="random"} 0.196`,
		`vllm:generation_tokens_total{deployment="default",endpoint="default",model_name="random"} 100`,
		`vllm:request_success_total{deployment="default",endpoint="default",finished_reason="length",model_name="random"} 2`,
		`vllm:num_requests_running{deployment="default",endpoint="default",model_name="random"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestRandom: the text at random keeps the contract that the engine keeps.
func TestRandom(t *testing.T) {
	s, err := New(Options{Generator: Random(4096), Keys: []string{testKey}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	seeded := post(t, h, completionsPath, ask(completionsPath, `"max_tokens":20,"seed":7`)).get("choices.0.text").Str
	words := strings.Fields(seeded)
	if len(words) != 20 || post(t, h, completionsPath, ask(completionsPath, `"max_tokens":20,"seed":7`)).get("choices.0.text").Str != seeded ||
		post(t, h, completionsPath, ask(completionsPath, `"max_tokens":20,"seed":7,"stream":true`)).text(0) != seeded {
		t.Errorf("%q", seeded)
	}
	r := post(t, h, completionsPath, ask(completionsPath, `"max_tokens":20,"seed":7,"n":2,"logprobs":2,"stop":"`+words[5]+`"`))
	if got := r.get("choices.0.text").Str; strings.Contains(got, words[5]) || !strings.HasPrefix(seeded, got) || r.get("choices.0.finish_reason").Str != "stop" {
		t.Errorf("stopped: %s", r.body)
	}
	if r = post(t, h, chatPath, ask(chatPath, `"max_tokens":9,"n":2,"best_of":4,"logprobs":0`)); r.get("choices.#").Int() != 2 || r.get("usage.completion_tokens").Int() != 18 {
		t.Errorf("%s", r.body)
	}
}
