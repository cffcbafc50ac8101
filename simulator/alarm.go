package simulator

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// An alarm waits for points in time, one after the other. Go's own timers are up
// to a millisecond late, since an idle program sleeps for whole ones.
type alarm struct {
	due  time.Time
	at   int // in the heap, -1: not there
	ring chan struct{}
}

// until waits for due, or for the end of ctx, which it reports.
func (a *alarm) until(ctx context.Context, due time.Time) error {
	if time.Until(due) <= 0 {
		return ctx.Err()
	}
	if a.ring == nil {
		a.ring = make(chan struct{}, 1)
	}
	a.due = due
	clock := theClock()
	clock.add(a)
	select {
	case <-a.ring:
		return nil
	case <-ctx.Done():
		clock.drop(a)
		return ctx.Err()
	}
}

// theClock rings the alarms of the process.
var theClock = sync.OnceValue(func() *alarmClock {
	c := &alarmClock{}
	c.bell = newBell(c.ring)
	return c
})

// An alarmClock rings alarms when they are due.
type alarmClock struct {
	mu     sync.Mutex
	alarms alarms
	bell   bell
}

// A bell calls the function that it was made with, once after each set, unless it
// is set anew before.
type bell interface{ set(d time.Duration) }

func (c *alarmClock) add(a *alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heap.Push(&c.alarms, a)
	if a.at == 0 {
		c.bell.set(time.Until(a.due))
	}
}

func (c *alarmClock) drop(a *alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.at >= 0 {
		heap.Remove(&c.alarms, a.at)
		return
	}
	select {
	case <-a.ring: // rung meanwhile: the next wait has nothing of it
	default:
	}
}

// ring ends the waits that are due.
func (c *alarmClock) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.alarms) > 0 {
		if wait := time.Until(c.alarms[0].due); wait > 0 {
			c.bell.set(wait)
			return
		}
		heap.Pop(&c.alarms).(*alarm).ring <- struct{}{} // has room: one wait at a time
	}
}

// alarms are a heap, the one that is due first on top.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.at = len(*h)
	*h = append(*h, a)
}

func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	a.at = -1
	return a
}

// afterFunc is a bell of Go's timers.
type afterFunc struct{ timer *time.Timer }

func newAfterFunc(ring func()) bell {
	t := time.AfterFunc(time.Hour, ring)
	return afterFunc{t}
}

func (b afterFunc) set(d time.Duration) { b.timer.Reset(d) }
