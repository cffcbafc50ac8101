package cli

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/load"
	"github.com/touchstone-llm/touchstone/simulator"
)

// loadJob asks a reference with these options for eight tokens at a time.
func loadJob(t *testing.T, o simulator.Options) load.Job {
	t.Helper()
	o.Generator, o.ModelName = simulator.Random(4096), "random"
	h, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return load.Job{Options: load.Options{Target: load.Target{URL: s.URL, Dialect: "openai", Model: "random"}, Timeout: 20 * time.Second}, Seed: 1, Version: "test", NoLearn: true,
		Works: []load.Work{{Route: load.Chat, OutputTokens: load.Fixed(8), Turns: load.Fixed(1)}}}
}

// The knee of a reference that answers four requests at a time, each in
// 20 ms + 7 × 5 ms, is 72.7 requests a second: above it the queue grows.
func TestFindMaxFindsTheKnee(t *testing.T) {
	const knee = 4 / 0.055
	j := loadJob(t, simulator.Options{Latency: simulator.Latency{MaxRunning: 4,
		TTFT: simulator.Distribution{Mean: 20 * time.Millisecond}, ITL: simulator.Distribution{Mean: 5 * time.Millisecond}}})
	j.SLO, _ = load.ParseSLO("p90 ttft < 75ms")
	j.NoCanary = true
	var last string
	for range 3 { // a busy machine makes any target slower
		r, err := load.FindMax(t.Context(), j, load.SearchOptions{By: "rate", From: 45, To: 400, Arrival: load.Constant, Step: 1500 * time.Millisecond, Warmup: 100 * time.Millisecond, Resolution: 0.15, AnyClient: true})
		if err != nil {
			t.Fatal(err)
		}
		f := r.Search
		if f.Best >= 0.75*knee && f.Best <= 1.15*knee && f.Fails > f.Best && f.Fails >= 0.95*knee && f.Fails <= 1.3*knee {
			return
		}
		var b strings.Builder
		for _, st := range f.Steps {
			b.WriteString(st.Why + "\n")
		}
		last = f.Reason + "\n" + b.String()
		t.Logf("between %g and %g, want about %.1f: %s", f.Best, f.Fails, knee, last)
	}
	t.Error("the knee was not found in three searches")
}

// What a quota admits, and what its headers say of it, is measured; a
// reference whose headers lie is found out.
func TestRateLimitCheckOfTheReference(t *testing.T) {
	const window = 250 * time.Millisecond
	requests := simulator.Quota{RequestsPerMinute: 20, Window: window}
	tokens := simulator.Quota{TokensPerMinute: 600, Window: window}
	for _, c := range []struct {
		name   string
		quota  simulator.Quota
		defect string
		lies   string // part of the claim that must not hold
	}{
		{"requests", requests, "", ""},
		{"tokens", tokens, "", ""},
		{"tokens before requests", simulator.Quota{TokensPerMinute: 600, RequestsPerMinute: 400, Window: window}, "", ""},
		{"waits too short", requests, "retry-after-too-soon", "after Retry-After is admitted"},
		{"no Retry-After", tokens, "retry-after-missing", "says Retry-After"},
		{"less than nothing left", requests, "ratelimit-negative", "never below 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := simulator.Options{Quota: c.quota}
			if c.defect != "" {
				o.Defects = []string{c.defect}
			}
			var wrong []string
			for range 3 { // a busy machine keeps the client from using its quota up
				n, err := load.CheckRateLimit(t.Context(), loadJob(t, o), load.RateLimitOptions{Concurrency: 2, Duration: 5 * time.Second, Cycles: 3, Window: window})
				if err != nil {
					t.Fatal(err)
				}
				if wrong = misjudged(n, c.quota, c.lies); len(wrong) == 0 {
					return
				}
				t.Log(wrong)
			}
			t.Errorf("three times: %v", wrong)
		})
	}
}

// misjudged lists what a check of a quota got wrong, where the claim that
// contains lies, and no other, is untrue.
func misjudged(n *load.RateLimit, quota simulator.Quota, lies string) (wrong []string) {
	say := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	windows := float64(time.Minute / quota.Window)
	if got, want := n.RequestsPerMinute, windows*float64(quota.RequestsPerMinute); want > 0 && quota.TokensPerMinute == 0 && (got < 0.85*want || got > 1.1*want) {
		say("%g requests a minute, want %g", got, want)
	}
	if got, want := n.TokensPerMinute, windows*float64(quota.TokensPerMinute); want > 0 && (got < 0.85*want || got > 1.1*want) {
		say("%g tokens a minute, want %g", got, want)
	}
	found := lies == ""
	for _, truth := range n.Truths {
		lie := lies != "" && strings.Contains(truth.Claim, lies)
		found = found || lie
		if truth.Holds == lie {
			say("%s: holds %v (%s)", truth.Claim, truth.Holds, truth.Seen)
		}
	}
	if !found || len(n.Truths) < 3 {
		say("claims tested: %+v", n.Truths)
	}
	return wrong
}
