package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls f on ranges that cover 0 to n, each index of which costs work
// multiply-adds, on at most threads goroutines. Which ranges differs from call
// to call. Where the helpers are taken by another caller, f is called once for
// all.
func parallel(n, work, threads int, f func(from, to int)) {
	parts := min(threads, maxThreads(), n, max(1, n*work/workPerGoroutine))
	if parts <= 1 || !helpers.mu.TryLock() {
		f(0, n)
		return
	}
	defer helpers.mu.Unlock()
	j := &job{f: f, n: n, parts: parts, least: max(1, workPerGoroutine/work)}
	j.left.Store(int64(n))
	helpers.run(j)
}

// workPerGoroutine is how many multiply-adds make it worth to hand them to
// another processor, which costs about a microsecond.
const workPerGoroutine = 32 << 10

// A job is shared out in pieces, each of them a part of what is left, so that
// all who compute it end within one small piece of each other: processors are
// not equally fast, nor there all the time. Who comes too late finds nothing.
//
// Source: Polychronopoulos and Kuck 1987 (guided self-scheduling).
type job struct {
	f               func(from, to int)
	n, parts, least int          // least is the smallest piece, in indices
	next            atomic.Int64 // the first index that nobody has taken
	left            atomic.Int64 // indices that are not done; plus sleeping, if who waits for them sleeps
}

const sleeping = 1 << 62

// take returns a range that is now the caller's to compute, empty if none is
// left.
func (j *job) take() (from, to int) {
	for {
		at := j.next.Load()
		from = int(at)
		to = min(j.n, from+max(j.least, (j.n-from)/(2*j.parts)))
		if from == j.n || j.next.CompareAndSwap(at, int64(to)) {
			return from, to
		}
	}
}

// work computes pieces until none is left. It returns true to the one who
// computed the last while somebody sleeps until then.
func (j *job) work() (wake bool) {
	for {
		from, to := j.take()
		if from == to {
			return false
		}
		j.f(from, to)
		if j.left.Add(int64(from-to)) == sleeping {
			return true
		}
	}
}

// A pool is goroutines that wait for jobs: for some microseconds they spin, as
// forward passes hand out job after job, then they sleep.
type pool struct {
	mu      sync.Mutex // held by who uses them
	members []*helper
	done    chan struct{}
}

var helpers = &pool{done: make(chan struct{}, 1)}

// A helper computes pieces of one job at a time.
type helper struct {
	job    atomic.Pointer[job]
	wake   chan struct{}
	asleep atomic.Bool
	_      [64]byte // another helper's are on another cache line
}

// How often a helper, and who waits for helpers, looks before it sleeps, in all
// some hundred microseconds, longer than a forward pass computes on one
// goroutine; for to wake a processor that has gone to sleep may take 50. How long
// they pause between two looks, in units of about 40 cycles; and after how many
// looks they let other goroutines run.
const (
	looks      = 4096
	pauseLoop  = 2
	looksAlone = 32
)

// until spins until ok, or returns false.
func until(ok func() bool) bool {
	for i := range looks {
		if ok() {
			return true
		}
		pause(pauseLoop)
		if i%looksAlone == looksAlone-1 {
			runtime.Gosched()
		}
	}
	return false
}

// run returns when the job is done.
func (p *pool) run(j *job) {
	for len(p.members) < j.parts-1 {
		h := &helper{wake: make(chan struct{}, 1)}
		p.members = append(p.members, h)
		go h.work(p)
	}
	for _, h := range p.members[:j.parts-1] {
		h.job.Store(j)
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	j.work()
	if !until(func() bool { return j.left.Load() == 0 }) && j.left.Add(sleeping) > sleeping {
		<-p.done
	}
}

func (h *helper) work(p *pool) {
	for {
		if h.next().work() {
			p.done <- struct{}{}
		}
	}
}

// next waits for a job.
func (h *helper) next() *job {
	for {
		if until(func() bool { return h.job.Load() != nil }) {
			return h.job.Swap(nil)
		}
		h.asleep.Store(true)
		if h.job.Load() != nil && h.asleep.CompareAndSwap(true, false) {
			continue
		}
		<-h.wake
	}
}
