package engine

import (
	"sync"
	"sync/atomic"
)

// parallel calls f on ranges that cover 0 to n, each index of which costs work
// multiply-adds, on at most threads goroutines. The ranges depend on nothing
// but the arguments. Where the helpers are taken by another caller, f is called
// once for all.
func parallel(n, work, threads int, f func(from, to int)) {
	parts := min(threads, maxThreads(), n, max(1, n*work/workPerGoroutine))
	if parts <= 1 || !helpers.mu.TryLock() {
		f(0, n)
		return
	}
	defer helpers.mu.Unlock()
	helpers.run(n, parts, f)
}

// workPerGoroutine is how many multiply-adds make it worth to hand them to
// another processor, which costs about a microsecond.
const workPerGoroutine = 32 << 10

// A pool is goroutines that wait for shares of work: for some microseconds they
// spin, as forward passes hand out share after share, then they sleep.
type pool struct {
	mu      sync.Mutex // held by who uses them
	members []*helper
	left    atomic.Int64 // shares that are not done; plus sleeping, if who waits for them sleeps
	done    chan struct{}
}

var helpers = &pool{done: make(chan struct{}, 1)}

const sleeping = 1 << 32

// A helper computes one share at a time.
type helper struct {
	share  atomic.Pointer[share]
	wake   chan struct{}
	asleep atomic.Bool
}

type share struct {
	f        func(from, to int)
	from, to int
}

// How often a helper, and who waits for helpers, looks before it sleeps; and how
// long it pauses between two looks, in units of about 40 cycles.
const (
	looks     = 400
	pauseLoop = 2
)

func (p *pool) run(n, parts int, f func(from, to int)) {
	for len(p.members) < parts-1 {
		h := &helper{wake: make(chan struct{}, 1)}
		p.members = append(p.members, h)
		go h.work(p)
	}
	p.left.Store(int64(parts - 1))
	for i, h := range p.members[:parts-1] {
		h.share.Store(&share{f, n * (i + 1) / parts, n * (i + 2) / parts})
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	f(0, n/parts)
	for range looks {
		if p.left.Load() == 0 {
			return
		}
		pause(pauseLoop)
	}
	if p.left.Add(sleeping) > sleeping {
		<-p.done
	}
}

func (h *helper) work(p *pool) {
	for {
		s := h.next()
		s.f(s.from, s.to)
		if p.left.Add(-1) == sleeping {
			p.done <- struct{}{}
		}
	}
}

// next waits for a share.
func (h *helper) next() *share {
	for {
		for range looks {
			if s := h.share.Load(); s != nil {
				h.share.Store(nil)
				return s
			}
			pause(pauseLoop)
		}
		h.asleep.Store(true)
		if h.share.Load() != nil && h.asleep.CompareAndSwap(true, false) {
			continue
		}
		<-h.wake
	}
}
