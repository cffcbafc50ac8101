package load

import (
	"context"
	"time"
)

// longSleep bounds a sleep of the kernel, so that the end of a run is seen.
const longSleep = 50 * time.Millisecond

// until waits for the time at, as told by now; false: ctx ended before. The
// last stretch, p.spin, is waited for without sleeping; it is 0 unless the
// user asks, since it takes a core.
func (p pacer) until(ctx context.Context, at int64, now func() int64) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		left := time.Duration(at-now()) - p.spin
		if left <= 0 {
			break
		}
		p.pause(min(left, longSleep))
	}
	for now() < at {
	}
	return true
}
