package simulator

import (
	"context"
	"time"
)

// Simulated latency counts from when a request reached this machine: of hundreds
// that come in one moment the last wait for a processor before the server sees
// them, and that is no part of what was asked for. Only the kernel knows when
// that was.

// mostBefore is how long a request may have waited. What is more comes of a clock
// that was set.
const mostBefore = 10 * time.Second

// arrival is when the request of ctx arrived, which is now or before.
func arrival(ctx context.Context, now time.Time) time.Time {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return now
	}
	at := c.stamps.last()
	if before := now.Round(0).Sub(at); !at.IsZero() && before > 0 && before < mostBefore {
		return now.Add(-before) // keeps the monotonic clock
	}
	return now
}
