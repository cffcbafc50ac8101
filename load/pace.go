package load

import (
	"context"
	"time"
)

// A pacer waits for times. It sleeps, but wakes a little earlier: by as much as
// sleeps here are known to end late, which it waits without sleeping. That takes
// no more than a tenth of a core.
type pacer struct {
	// spin is the last stretch that the user wants waited for without sleeping;
	// it may take a core.
	spin  time.Duration
	late  time.Duration // of three sleeps in four
	awake time.Duration // spent without sleeping
	begun int64
}

const (
	// longSleep bounds a sleep of the kernel, so that the end of a run is seen.
	longSleep = 50 * time.Millisecond
	// mostEarly bounds what sleeps are taken to be late by.
	mostEarly = 100 * time.Microsecond
)

// until waits for the time at, as told by now; false: ctx ended before.
func (p *pacer) until(ctx context.Context, at int64, now func() int64) bool {
	if p.begun == 0 {
		p.begun = now()
	}
	for {
		if ctx.Err() != nil {
			return false
		}
		t := now()
		left := min(p.left(t, at), longSleep)
		if left <= 0 {
			break
		}
		p.pause(left)
		p.slept(time.Duration(now()-t) - left)
	}
	t := now()
	for now() < at {
	}
	p.awake += time.Duration(now() - t)
	return true
}

// left is how long to sleep at t.
func (p *pacer) left(t, at int64) time.Duration {
	left := time.Duration(at-t) - p.spin
	if p.awake < time.Duration(t-p.begun)/10 {
		left -= p.late
	}
	return left
}

// slept learns from a sleep that ended late by so much.
func (p *pacer) slept(late time.Duration) {
	if late > p.late {
		p.late = min(p.late+3*time.Microsecond, mostEarly)
	} else {
		p.late = max(p.late-time.Microsecond, 0)
	}
}
