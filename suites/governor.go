package suites

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
)

// A governor keeps the manners of a run: no more than so many requests in
// flight, and a pause when the target asks for one.
type governor struct {
	slots chan struct{}
	// floor is held alone by a probe whose requests must run side by side with
	// nothing else, and shared by all others.
	floor sync.RWMutex
	// sleep waits or ends early with the context; tests replace it.
	sleep func(context.Context, time.Duration)
}

func newGovernor(concurrency int) *governor {
	return &governor{slots: make(chan struct{}, concurrency), sleep: sleep}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Retries and longest pause for a target that answers 429 or 503.
const (
	retries  = 4
	maxPause = 30 * time.Second
)

// do runs send in a slot. A 429, or a 503 that says when to come back, is the
// target's load and no answer to the probe: it is sent again after the pause
// that Retry-After asks for, unless once is set.
func (g *governor) do(ctx context.Context, once bool, send func() *exchange.Exchange) *exchange.Exchange {
	g.floor.RLock()
	defer g.floor.RUnlock()
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
	}
	return g.persist(ctx, once, send)
}

// alone runs each of sends at the same time, and nothing else meanwhile.
func (g *governor) alone(sends []func()) {
	g.floor.Lock()
	defer g.floor.Unlock()
	var wg sync.WaitGroup
	for _, send := range sends {
		wg.Go(send)
	}
	wg.Wait()
}

func (g *governor) persist(ctx context.Context, once bool, send func() *exchange.Exchange) *exchange.Exchange {
	for try := 0; ; try++ {
		x := send()
		if x.Response == nil && x.Reused && ctx.Err() == nil {
			x = send() // the target had closed an idle connection: no answer to the probe
		}
		pause, busy := retryAfter(x, try)
		if once || !busy || try == retries || ctx.Err() != nil {
			return x
		}
		g.sleep(ctx, pause)
	}
}

// retryAfter reports whether x is a refusal for load and how long to wait.
// Retry-After counts seconds or is an HTTP date (RFC 9110, section 10.2.3);
// without it the wait doubles from one second.
func retryAfter(x *exchange.Exchange, try int) (time.Duration, bool) {
	if x.Response == nil {
		return 0, false
	}
	after := x.Response.Header.Get("Retry-After")
	if s := x.Response.Status; s != http.StatusTooManyRequests && (s != http.StatusServiceUnavailable || after == "") {
		return 0, false
	}
	pause := time.Second << try
	if n, err := strconv.Atoi(after); err == nil && n >= 0 {
		pause = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		pause = time.Until(at)
	}
	return min(max(pause, 0), maxPause), true
}
