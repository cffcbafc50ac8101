package suites

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
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
	sleep  func(context.Context, time.Duration)
	budget Budget

	mu     sync.Mutex
	next   time.Time // before which the quota allows no request
	asked  int       // requests so far
	tokens int       // tokens so far, as far as they were counted
}

// A Budget bounds what a run may cost and how fast it may ask. Zero values do
// not bound.
type Budget struct {
	// Requests and Tokens are the most of a run, Cost the most of it in money at
	// Price for a token. Probes that no longer fit are not sent, and what needs
	// them is inconclusive. Requests under way may go past Tokens and Cost.
	Requests, Tokens int
	Cost, Price      float64
	// RequestsPerMinute and TokensPerMinute are the target's quota; the run
	// stays below it.
	RequestsPerMinute, TokensPerMinute int
}

// spend says which bound is reached, "" if a request may still be sent, and
// waits where the quota asks for it, if the request counts against that.
func (g *governor) spend(ctx context.Context, paced bool) string {
	g.mu.Lock()
	b := g.budget
	why := ""
	switch {
	case b.Requests > 0 && g.asked >= b.Requests:
		why = fmt.Sprintf("the budget of %d requests is spent", b.Requests)
	case b.Tokens > 0 && g.tokens >= b.Tokens:
		why = fmt.Sprintf("the budget of %d tokens is spent", b.Tokens)
	case b.Cost > 0 && float64(g.tokens)*b.Price >= b.Cost:
		why = fmt.Sprintf("the budget of %g is spent, at %g a token", b.Cost, b.Price)
	}
	if why != "" {
		g.mu.Unlock()
		return why
	}
	g.asked++
	var pause time.Duration
	switch {
	case !paced:
	case b.RequestsPerMinute > 0:
		now := time.Now()
		if g.next.Before(now) {
			g.next = now
		}
		pause = g.next.Sub(now)
		g.next = g.next.Add(time.Minute / time.Duration(b.RequestsPerMinute))
	case b.TokensPerMinute > 0:
		pause = time.Until(g.next)
	}
	g.mu.Unlock()
	if pause > 0 {
		g.sleep(ctx, pause)
	}
	return ""
}

// spent counts the tokens of an answer.
func (g *governor) spent(tokens int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens += tokens
	if t := g.budget.TokensPerMinute; t > 0 {
		if now := time.Now(); g.next.Before(now) {
			g.next = now
		}
		g.next = g.next.Add(time.Duration(tokens) * time.Minute / time.Duration(t))
	}
}

func newGovernor(concurrency int, b Budget) *governor {
	return &governor{slots: make(chan struct{}, concurrency), sleep: sleep, budget: b}
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
	resends  = 3 // of a request whose connection broke
)

// broke is whether the connection failed before the answer was whole, other
// than by a timeout or because the harness left it.
func broke(x *exchange.Exchange) bool {
	return x.Error != "" && x.Stopped == "" && !strings.HasPrefix(x.Error, "timeout") && (x.Response == nil || !x.Response.Complete)
}

// do runs send in a slot. A 429, or a 503 that says when to come back, is the
// target's load and no answer to the probe: it is sent again after the pause
// that Retry-After asks for, unless once is set.
func (g *governor) do(ctx context.Context, once, paced bool, send func() *exchange.Exchange) *exchange.Exchange {
	g.floor.RLock()
	defer g.floor.RUnlock()
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
	}
	return g.persist(ctx, once, paced, send)
}

// alone runs each of sends at the same time, and nothing else meanwhile.
func (g *governor) alone(sends []func()) {
	g.floor.Lock()
	defer g.floor.Unlock()
	atOnce(sends)
}

func atOnce(sends []func()) {
	var wg sync.WaitGroup
	for _, send := range sends {
		wg.Go(send)
	}
	wg.Wait()
}

// persist sends until there is an answer to keep. Whatever is sent counts, also
// what is sent again; where the budget allows nothing, the exchange says so.
func (g *governor) persist(ctx context.Context, once, paced bool, send func() *exchange.Exchange) *exchange.Exchange {
	var x *exchange.Exchange
	sent := func() bool {
		why := g.spend(ctx, paced)
		switch {
		case why == "":
			x = send()
		case x == nil:
			x = &exchange.Exchange{Error: why, Void: true}
		}
		return why == ""
	}
	for try := 0; sent(); try++ {
		// A connection that breaks may be the network's fault: only what breaks
		// every time is the target's.
		for again := 0; again < resends && broke(x) && ctx.Err() == nil && sent(); again++ {
			continue
		}
		pause, busy := retryAfter(x, try)
		if once || !busy || try == retries || ctx.Err() != nil {
			break
		}
		g.sleep(ctx, pause)
	}
	return x
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
