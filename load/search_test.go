package load

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A target that serves so many at once and lets others wait: its knee in
// concurrency is known.
func TestFindMaxConcurrency(t *testing.T) {
	places := make(chan struct{}, 6)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		places <- struct{}{}
		time.Sleep(20 * time.Millisecond)
		<-places
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, tokenEvent, tokenEvent, finishEvent, doneEvent)
	}))
	t.Cleanup(s.Close)
	j := newJob(s.URL)
	j.SLO, _ = ParseSLO("p90 ttft < 36ms")
	j.NoCanary = true
	r, err := FindMax(t.Context(), j, SearchOptions{By: "concurrency", From: 1, To: 64, Step: 400 * time.Millisecond, Warmup: 40 * time.Millisecond, AnyClient: true})
	if err != nil {
		t.Fatal(err)
	}
	f := r.Search
	if f.Best < 2 || f.Best > 9 || f.Fails <= f.Best || f.Fails > 16 || f.Confidence <= 0.5 || len(f.Steps) > 10 {
		t.Errorf("between %g and %g, %.2f sure, %d steps (%s); want about 6", f.Best, f.Fails, f.Confidence, len(f.Steps), f.Reason)
	}
	if len(r.Stages) < len(f.Steps) {
		t.Errorf("%d stages of %d steps", len(r.Stages), len(f.Steps))
	}
}

// A level at which requests fail is not met, however fast the others are.
func TestFindMaxCountsFailures(t *testing.T) {
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		n++
		fail := n%3 == 0
		mu.Unlock()
		if fail {
			http.Error(w, `{"error":{"message":"full"}}`, http.StatusServiceUnavailable)
			return
		}
		time.Sleep(2 * time.Millisecond)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, tokenEvent, finishEvent, doneEvent)
	}))
	t.Cleanup(s.Close)
	j := newJob(s.URL)
	j.SLO, _ = ParseSLO("p50 ttft < 10s")
	j.NoCanary, j.NoLearn = true, true
	r, err := FindMax(t.Context(), j, SearchOptions{By: "concurrency", From: 1, To: 2, Step: 200 * time.Millisecond, AnyClient: true})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Search; f.Best != 0 || !strings.Contains(f.Steps[0].Why, "http_503") {
		t.Errorf("%+v", f)
	}
}

// A bucket of requests that refills, and says what its headers are told to.
type limiter struct {
	mu        sync.Mutex
	burst     int
	every     time.Duration // one more request
	retry     func(wait time.Duration) string
	left      int
	last      time.Time
	remaining func(int) int
}

func (l *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.last.IsZero() {
		l.left, l.last = l.burst, now
	}
	if n := int(now.Sub(l.last) / l.every); n > 0 {
		l.left, l.last = min(l.burst, l.left+n), l.last.Add(time.Duration(n)*l.every)
	}
	w.Header().Set("x-ratelimit-limit-requests", fmt.Sprint(int(time.Minute/l.every)))
	if l.left == 0 {
		w.Header().Set("x-ratelimit-remaining-requests", fmt.Sprint(l.remaining(0)))
		if v := l.retry(l.every - now.Sub(l.last)); v != "" {
			w.Header().Set("Retry-After", v)
		}
		http.Error(w, `{"error":{"message":"Rate limit is exceeded."}}`, http.StatusTooManyRequests)
		return
	}
	l.left--
	w.Header().Set("x-ratelimit-remaining-requests", fmt.Sprint(l.remaining(l.left)))
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, tokenEvent, finishEvent, `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}`+"\n\n", doneEvent)
}

func TestRateLimitCheck(t *testing.T) {
	honest := func(wait time.Duration) string { return fmt.Sprintf("%.3f", wait.Seconds()+0.001) }
	for _, c := range []struct {
		name      string
		retry     func(time.Duration) string
		remaining func(int) int
		lies      string // part of the claim that must not hold
	}{
		{"honest", honest, func(n int) int { return n }, ""},
		{"waits too short", func(w time.Duration) string { return fmt.Sprintf("%.3f", w.Seconds()/4+0.001) }, func(n int) int { return n }, "after Retry-After is admitted"},
		{"no Retry-After", func(time.Duration) string { return "" }, func(n int) int { return n }, "says Retry-After"},
		{"remaining is made up", honest, func(int) int { return 50 }, "used up at a refusal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(&limiter{burst: 10, every: 100 * time.Millisecond, retry: c.retry, remaining: c.remaining})
			t.Cleanup(s.Close)
			j := newJob(s.URL)
			j.NoLearn = true
			n, err := CheckRateLimit(t.Context(), j, RateLimitOptions{Concurrency: 2, Duration: 2 * time.Second, Cycles: 3})
			if err != nil {
				t.Fatal(err)
			}
			if !n.Limited || n.Burst < 8 || n.Burst > 14 || n.RequestsPerMinute < 450 || n.RequestsPerMinute > 660 || n.TokensPerMinute < 4500 {
				t.Errorf("burst %d, %.0f requests and %.0f tokens a minute; want about 10, 600 and 6000", n.Burst, n.RequestsPerMinute, n.TokensPerMinute)
			}
			for _, truth := range n.Truths {
				if want := c.lies == "" || !strings.Contains(truth.Claim, c.lies); truth.Holds != want {
					t.Errorf("%s: holds %v (%s)", truth.Claim, truth.Holds, truth.Seen)
				}
			}
			if len(n.Truths) < 2 {
				t.Errorf("%d claims tested", len(n.Truths))
			}
		})
	}
}

// A stated limit is held against what was admitted in a minute.
func TestStatedLimit(t *testing.T) {
	for _, c := range []struct {
		stated  string
		seconds float64
		judged  bool
		holds   bool
	}{{"600", 70, true, true}, {"1000", 70, true, false}, {"1000", 20, false, false}} {
		r := &rateCheck{all: []*Record{{Status: http.StatusTooManyRequests, RetryAfter: 1}}}
		r.notes = RateLimit{Limited: true, Refused: 1, Seconds: c.seconds, RequestsPerMinute: 610, MostPerMinute: 620, Stated: map[string]string{"x-ratelimit-limit-requests": c.stated}}
		r.headers()
		i := slices.IndexFunc(r.notes.Truths, func(t Truth) bool { return strings.Contains(t.Claim, "limit-requests") })
		if (i >= 0) != c.judged || i >= 0 && r.notes.Truths[i].Holds != c.holds {
			t.Errorf("%+v: %+v", c, r.notes.Truths)
		}
	}
}

func TestRateLimitNone(t *testing.T) {
	f := &fakeTarget{first: time.Millisecond}
	j := newJob(f.serve(t))
	n, err := CheckRateLimit(t.Context(), j, RateLimitOptions{Concurrency: 2, Duration: 200 * time.Millisecond})
	if err != nil || n.Limited || n.Admitted == 0 || len(n.Truths) > 0 {
		t.Errorf("%+v, %v", n, err)
	}
}
