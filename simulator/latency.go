package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/touchstone-llm/touchstone/engine"
)

// Latency simulates how fast a deployment answers. The zero value is the
// engine's own speed; a simulated one is never faster than that.
type Latency struct {
	// TTFT is the time to the first token, without that of the prompt.
	TTFT Distribution `yaml:"ttft"`
	// ITL is the time between a token and the next.
	ITL Distribution `yaml:"itl"`
	// Prefill is what each token of the prompt adds to the first one.
	Prefill time.Duration `yaml:"prefill_per_token"`
	// Slowdown is by how much each other request that is running stretches
	// these times: 0.01 is one per cent a request.
	Slowdown float64 `yaml:"slowdown"`
	// ColdStart delays the first request, and the first after IdleAfter
	// without any; requests that come meanwhile wait for it too.
	ColdStart time.Duration `yaml:"cold_start"`
	IdleAfter time.Duration `yaml:"idle_after"`
	// MaxRunning is how many requests run at a time; the others queue, in the
	// order in which they came. 0 is no limit.
	MaxRunning int `yaml:"max_running"`
	// MaxQueue is how many may wait; one more is refused with 429. 0 is no
	// limit; a managed deployment of Azure has one as large as MaxRunning.
	MaxQueue int `yaml:"max_queue"`
}

func (l Latency) validate() error {
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"prefill_per_token", l.Prefill}, {"cold_start", l.ColdStart}, {"idle_after", l.IdleAfter}} {
		if x.d < 0 || x.d > mostDelay {
			return at(x.name, fmt.Errorf("must be between 0 and an hour, got %s", x.d))
		}
	}
	switch {
	case !(l.Slowdown >= 0 && l.Slowdown <= 1000):
		return at("slowdown", fmt.Errorf("must be in [0, 1000], got %g", l.Slowdown))
	case l.MaxRunning < 0:
		return at("max_running", fmt.Errorf("must be 0 (no limit) or more, got %d", l.MaxRunning))
	case l.MaxQueue < 0:
		return at("max_queue", fmt.Errorf("must be 0 (no limit) or more, got %d", l.MaxQueue))
	case l.MaxQueue > 0 && l.MaxRunning == 0:
		return at("max_queue", errors.New("needs max_running"))
	}
	if err := l.TTFT.validate(); err != nil {
		return at("ttft", err)
	}
	return at("itl", l.ITL.validate())
}

// A pacer holds the steps of requests back until they are due.
type pacer struct {
	latency Latency
	running atomic.Int64

	mu   sync.Mutex
	last time.Time // when a request was last running
	warm time.Time // when the cold start is over
}

// newPacer returns nil where nothing is simulated.
func newPacer(l Latency) (*pacer, error) {
	if l.TTFT.zero() && l.ITL.zero() && l.Prefill == 0 && l.ColdStart == 0 {
		return nil, nil
	}
	var err error
	if l.TTFT, err = l.TTFT.ready("ttft"); err != nil {
		return nil, at("latency.ttft", err)
	}
	if l.ITL, err = l.ITL.ready("icl"); err != nil {
		return nil, at("latency.itl", err)
	}
	return &pacer{latency: l}, nil
}

// A pace says when the tokens of one request are due.
type pace struct {
	pacer *pacer
	asked func(ttft bool, d time.Duration) // is told of each interval
	due   []time.Time                      // of the first token, the second, …
}

// begin starts a pace at a time: when the request came, or had its turn.
func (p *pacer) begin(start time.Time, promptTokens int, asked func(ttft bool, d time.Duration)) *pace {
	p.running.Add(1)
	first := p.stretch(p.latency.TTFT.draw() + time.Duration(promptTokens)*p.latency.Prefill)
	if p.latency.ColdStart > 0 {
		p.mu.Lock()
		if p.last.IsZero() || p.latency.IdleAfter > 0 && start.Sub(p.last) > p.latency.IdleAfter {
			p.warm = start.Add(p.latency.ColdStart)
		}
		p.last = start
		first += max(0, p.warm.Sub(start))
		p.mu.Unlock()
	}
	asked(true, first)
	return &pace{pacer: p, asked: asked, due: []time.Time{start.Add(first)}}
}

func (p *pacer) stretch(d time.Duration) time.Duration {
	if p.latency.Slowdown == 0 {
		return d
	}
	return time.Duration(float64(d) * (1 + p.latency.Slowdown*float64(p.running.Load()-1)))
}

// end ends it.
func (x *pace) end() {
	x.pacer.running.Add(-1)
	if x.pacer.latency.ColdStart > 0 {
		x.pacer.mu.Lock()
		x.pacer.last = time.Now()
		x.pacer.mu.Unlock()
	}
}

// token is when token n (from 1) is due: each is reckoned from the one before it,
// and not from when that was sent, so that lateness does not add up. All
// choices of a request share the times, as they share the steps of an engine.
func (x *pace) token(n int) time.Time {
	for len(x.due) < n {
		d := x.pacer.stretch(x.pacer.latency.ITL.draw())
		x.asked(false, d)
		x.due = append(x.due, x.due[len(x.due)-1].Add(d))
	}
	return x.due[max(n, 1)-1]
}

// steps holds each step back until its last token is due; with together all of
// them until that of the last one.
func (x *pace) steps(ctx context.Context, steps engine.Steps, together bool) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		defer x.end()
		var timer alarm
		latest := 0
		for s, err := range steps {
			if err == nil {
				latest = max(latest, s.Generated)
				if !together {
					err = timer.until(ctx, x.token(s.Generated))
				}
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
		if together && latest > 0 {
			if err := timer.until(ctx, x.token(latest)); err != nil {
				yield(engine.Step{}, err)
			}
		}
	}
}

// places are those of the requests that run at a time. A nil one has no end.
type places struct {
	running *semaphore.Weighted
	queue   int64 // the most that wait, 0 for no limit
	waiting atomic.Int64
}

func newPlaces(running, queue int) *places {
	if running == 0 {
		return nil
	}
	return &places{running: semaphore.NewWeighted(int64(running)), queue: int64(queue)}
}

// take waits for a place; give it back with free. A refusal means that the queue
// is full (clause LIM-017), an error that the client has gone.
func (p *places) take(ctx context.Context) (free func(), bad *refusal, err error) {
	if p == nil {
		return func() {}, nil, nil
	}
	if !p.running.TryAcquire(1) {
		if n := p.waiting.Add(1); p.queue > 0 && n > p.queue {
			p.waiting.Add(-1)
			r := refuse(http.StatusTooManyRequests, "too_many_requests", "All places are taken and %d requests wait already; try again later.", p.queue)
			r.kind = "requests"
			r.header = http.Header{"Retry-After": {"1"}}
			return nil, r, nil
		}
		err := p.running.Acquire(ctx, 1)
		p.waiting.Add(-1)
		if err != nil {
			return nil, nil, err
		}
	}
	return func() { p.running.Release(1) }, nil, nil
}

// queued is how many wait.
func (p *places) queued() int64 {
	if p == nil {
		return 0
	}
	return p.waiting.Load()
}
