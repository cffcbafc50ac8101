package simulator

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Simulated latency counts from when a request reached this machine: of hundreds
// that come in one moment the last wait for a processor before the server sees
// them, and that is no part of what was asked for. Only the kernel knows when
// that was.

// Listener returns l with connections that say so, where the system can. They
// need [Server.ConnContext] in the [http.Server].
func (s *Server) Listener(l net.Listener) net.Listener { return noteArrivals(l, &s.paced) }

// An arriving connection knows when what was last read from it reached this
// machine, the zero time if it does not.
type arriving interface{ arrived() time.Time }

type arrivingKey struct{}

// ConnContext lets requests find their connection; it is for [http.Server].
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if a, ok := c.(arriving); ok {
		return context.WithValue(ctx, arrivingKey{}, a)
	}
	return ctx
}

// mostBefore is how long a request may have waited. What is more comes of a clock
// that was set.
const mostBefore = 10 * time.Second

// arrival is when the request of ctx arrived, which is now or before.
func arrival(ctx context.Context, now time.Time) time.Time {
	a, ok := ctx.Value(arrivingKey{}).(arriving)
	if !ok {
		return now
	}
	at := a.arrived()
	if before := now.Round(0).Sub(at); !at.IsZero() && before > 0 && before < mostBefore {
		return now.Add(-before) // keeps the monotonic clock
	}
	return now
}
