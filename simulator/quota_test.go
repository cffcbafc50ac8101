package simulator

import (
	"context"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A stepClock moves when told to.
type stepClock struct {
	mu  sync.Mutex
	now time.Time
}

func newStepClock() *stepClock { return &stepClock{now: testClock()} }

func (c *stepClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stepClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// meters runs a test on each kind of meter; windows of the real clock are never
// waited for.
func meters(t *testing.T, f func(t *testing.T, m meter)) {
	t.Run("memory", func(t *testing.T) { f(t, newMemory(time.Now)) })
	t.Run("redis", func(t *testing.T) {
		make, err := redisMeters(redisServer(t))
		if err != nil {
			t.Fatal(err)
		}
		f(t, make("e/d"))
	})
}

// TestMeterIsExact: no number of requests at a time admits more than the limit.
func TestMeterIsExact(t *testing.T) {
	meters(t, func(t *testing.T, m meter) {
		l := newLimiter(Quota{TokensPerMinute: 1000, RequestsPerMinute: 70}, m, time.Now)
		var admitted, tokens atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				n := 10 + i%11
				if _, bad := l.reserve(t.Context(), n); bad == nil {
					admitted.Add(1)
					tokens.Add(int64(n))
				}
			})
		}
		all.Wait()
		levels, err := m.look(t.Context(), l.windows)
		if err != nil {
			t.Fatal(err)
		}
		if tokens.Load() > 1000 || tokens.Load() <= 1000-20 || int64(levels[0].used) != tokens.Load() || int64(levels[1].used) != admitted.Load() {
			t.Errorf("admitted %d requests of %d tokens, levels %v", admitted.Load(), tokens.Load(), levels)
		}
	})
}

// TestMeterGivesBack: tokens that were not used can be used again.
func TestMeterGivesBack(t *testing.T) {
	meters(t, func(t *testing.T, m meter) {
		l := newLimiter(Quota{TokensPerMinute: 100, Settle: true}, m, time.Now)
		r, bad := l.reserve(t.Context(), 100)
		if bad != nil {
			t.Fatal(bad)
		}
		if _, bad = l.reserve(t.Context(), 1); bad == nil || bad.status != 429 {
			t.Fatalf("refused with %v, want 429", bad)
		}
		r.settle(t.Context(), 40)
		r.settle(t.Context(), 40)
		if _, bad = l.reserve(t.Context(), 60); bad != nil {
			t.Fatal(bad)
		}
		if _, bad = l.reserve(t.Context(), 1); bad == nil {
			t.Error("more was given back than was reserved")
		}
	})
}

func TestLimiter(t *testing.T) {
	clock := newStepClock()
	type at struct {
		after  time.Duration
		tokens int
		status int // 0 is admitted
		wait   string
	}
	for _, c := range []struct {
		name  string
		quota Quota
		steps []at
	}{
		{"requests", Quota{RequestsPerMinute: 2}, []at{
			{0, 9, 0, ""}, {10 * time.Second, 9, 0, ""}, {20 * time.Second, 9, 429, "30"}, {29500 * time.Millisecond, 9, 429, "1"}, {500 * time.Millisecond, 9, 0, ""},
		}},
		{"tokens", Quota{TokensPerMinute: 100}, []at{
			{0, 60, 0, ""}, {0, 41, 429, "60"}, {0, 40, 0, ""}, {time.Second, 1, 429, "59"}, {time.Minute, 100, 0, ""},
		}},
		{"more than a minute has", Quota{TokensPerMinute: 100}, []at{{0, 101, 400, ""}, {0, 100, 0, ""}}},
		{"smoothed", Quota{RequestsPerMinute: 12, Smoothing: 10 * time.Second}, []at{
			{0, 1, 0, ""}, {0, 1, 0, ""}, {0, 1, 429, "10"}, {10 * time.Second, 1, 0, ""},
		}},
		{"smoothed, at least one", Quota{RequestsPerMinute: 3, Smoothing: 10 * time.Second}, []at{
			{0, 1, 0, ""}, {0, 1, 429, "10"}, {10 * time.Second, 1, 0, ""}, {10 * time.Second, 1, 0, ""}, {10 * time.Second, 1, 429, "30"},
		}},
		{"a refused request takes nothing", Quota{TokensPerMinute: 100, RequestsPerMinute: 2}, []at{
			{0, 60, 0, ""}, {0, 60, 429, "60"}, {0, 40, 0, ""}, {0, 1, 429, "60"},
		}},
	} {
		l := newLimiter(c.quota, newMemory(clock.Now), clock.Now)
		for i, s := range c.steps {
			clock.add(s.after)
			_, bad := l.reserve(t.Context(), s.tokens)
			status, wait := 0, ""
			if bad != nil {
				status, wait = bad.status, bad.header.Get("Retry-After")
			}
			if status != s.status || wait != s.wait {
				t.Errorf("%s, step %d: %d after %q, want %d after %q", c.name, i, status, wait, s.status, s.wait)
			}
		}
		clock.add(time.Hour)
	}
}

func TestQuotaValidate(t *testing.T) {
	for _, q := range []Quota{{TokensPerMinute: -1}, {RequestsPerMinute: -1}, {Smoothing: -1}, {Smoothing: time.Hour}} {
		if q.validate() == nil {
			t.Errorf("%+v is valid", q)
		}
	}
	if newLimiter(Quota{Smoothing: time.Second}, nil, nil) != nil {
		t.Error("a quota without limits limits")
	}
}

// limited serves a fake on a clock under a quota.
func limited(t *testing.T, f *fake, q Quota) (*httptest.Server, *stepClock) {
	t.Helper()
	clock := newStepClock()
	s, err := New(Options{Generator: f, Keys: []string{testKey, "k-secondary"}, Quota: q, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h, clock
}

// TestQuotaOnTheWire: clauses LIM-001 to LIM-014 and LIM-018.
func TestQuotaOnTheWire(t *testing.T) {
	bothRoutes(t, func(t *testing.T, path string) {
		f := newFake()
		h, clock := limited(t, f, Quota{TokensPerMinute: 1000, RequestsPerMinute: 4})
		left := func(r reply, what string) int {
			t.Helper()
			n, err := strconv.Atoi(r.header.Get("x-ratelimit-remaining-" + what))
			if err != nil || n < 0 {
				t.Errorf("x-ratelimit-remaining-%s: %q", what, r.header.Get("x-ratelimit-remaining-"+what))
			}
			return n
		}
		r := post(t, h, path, ask(path, `"max_tokens":20,"n":3,"best_of":5`))
		cost := 5*20 + int(r.get("usage.prompt_tokens").Int())
		if r.status != 200 || left(r, "tokens") != 1000-cost || left(r, "requests") != 3 ||
			r.header.Get("x-ratelimit-limit-tokens") != "1000" || r.header.Get("x-ratelimit-limit-requests") != "4" {
			t.Fatalf("%d %v, cost %d", r.status, r.header, cost)
		}
		// Refusals for other reasons take nothing.
		refused(t, post(t, h, path, ask(path, `"n":0`)), 400, "n")
		refused(t, do(t, h, "POST", path, ask(path, ""), nil), 401, "")
		// The stream has the headers as well, and its default max_tokens counts.
		r = post(t, h, path, ask(path, `"stream":true`))
		if got := left(r, "tokens"); r.status != 200 || got != 1000-2*cost+5*20-16 || left(r, "requests") != 2 {
			t.Errorf("%d: %d tokens left, %d requests", r.status, got, left(r, "requests"))
		}
		// The other key shares the limit.
		other := map[string]string{"Authorization": "Bearer k-secondary"}
		if r = do(t, h, "POST", path, ask(path, ""), other); r.status != 200 || left(r, "requests") != 1 {
			t.Errorf("secondary key: %d, %d requests left", r.status, left(r, "requests"))
		}
		post(t, h, path, ask(path, ""))
		before := f.generated.Load()
		for _, members := range []string{"", `"stream":true`} {
			clock.add(10500 * time.Millisecond)
			r = post(t, h, path, ask(path, members))
			refused(t, r, 429, "")
			if left(r, "requests") != 0 {
				t.Errorf("%d requests are left", left(r, "requests"))
			}
		}
		if r.header.Get("Retry-After") != "39" || r.header.Get("Retry-After-Ms") != "39000" {
			t.Errorf("Retry-After %q, %q ms", r.header.Get("Retry-After"), r.header.Get("Retry-After-Ms"))
		}
		if f.generated.Load() != before {
			t.Error("a refused request was generated")
		}
		clock.add(39 * time.Second)
		if r = post(t, h, path, ask(path, "")); r.status != 200 {
			t.Errorf("after Retry-After: %d", r.status)
		}
	})
}

func TestQuotaSettles(t *testing.T) {
	bothRoutes(t, func(t *testing.T, path string) {
		for _, members := range []string{`"max_tokens":60`, `"max_tokens":60,"stream":true,"stream_options":{"include_usage":true}`} {
			h, _ := limited(t, newFake(), Quota{TokensPerMinute: 140, Settle: true})
			used := 0
			for i := range 4 { // 60 and the prompt are reserved each time, but few are used
				r := post(t, h, path, ask(path, members))
				if r.status != 200 {
					t.Fatalf("request %d: %d %s", i, r.status, r.body)
				}
				usage := r.get("usage.total_tokens")
				if e := r.events(); len(e) > 2 {
					usage = reply{body: e[len(e)-2]}.get("usage.total_tokens")
				}
				used += int(usage.Int())
				if got := r.header.Get("x-ratelimit-remaining-tokens"); r.events() == nil && got != strconv.Itoa(140-used) {
					t.Errorf("remaining %s, but %d were used", got, used)
				}
			}
		}
	})
}

// broken is a meter that cannot be reached.
type broken struct{ *memory }

func (broken) take(context.Context, []window, []int) ([]level, int, error) {
	return nil, 0, context.DeadlineExceeded
}

func TestQuotaUnavailable(t *testing.T) {
	l := newLimiter(DefaultQuota, broken{newMemory(time.Now)}, time.Now)
	if _, bad := l.reserve(t.Context(), 1); bad == nil || bad.status != 503 || bad.header.Get("Retry-After") == "" {
		t.Errorf("refused with %+v, want 503", bad)
	}
}
