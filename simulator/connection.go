package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Listener returns l with connections that are made for this server: they know
// when requests arrived, where the system can say, and set few deadlines. They
// need [Server.ConnContext] in the [http.Server].
func (s *Server) Listener(l net.Listener) net.Listener {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	return acceptor{t, noteArrivals(t), &s.paced}
}

type acceptor struct {
	*net.TCPListener
	stamped bool
	wanted  *atomic.Bool // somebody asks for the stamps
}

func (l acceptor) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := &connection{TCPConn: tcp}
	if l.stamped {
		if c.stamps.raw, err = tcp.SyscallConn(); err != nil {
			tcp.Close()
			return nil, err
		}
		c.stamps.wanted = l.wanted
	}
	return c, nil
}

// A connection tells the runtime of a deadline only when one comes to matter.
// net/http moves that of each request eight times, and hardly one is ever met:
// the runtime keeps an earlier one, and Read goes on when that is over too soon.
type connection struct {
	*net.TCPConn
	stamps stamps

	mu      sync.Mutex
	reading bool
	due     time.Time // of reads, as it was set
	armed   time.Time // of reads, as the runtime has it: not after due, or not read since
	limited bool      // writes have a deadline
}

func (c *connection) Read(p []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	for {
		n, err := c.stamps.read(c.TCPConn, p)
		if !c.tooSoon(err) {
			return n, err
		}
	}
}

// begin begins a read, unless its time is over.
func (c *connection) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sooner(c.due) {
		if time.Until(c.due) <= 0 {
			return os.ErrDeadlineExceeded
		}
		c.arm(c.due)
	}
	c.reading = true
	return nil
}

// tooSoon ends a read, unless it was ended by a deadline that is no more.
func (c *connection) tooSoon(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.reading = false
		return false
	}
	if !c.due.IsZero() && time.Until(c.due) <= 0 {
		c.reading = false
		c.arm(time.Time{}) // begin knows
		return false
	}
	c.arm(c.due)
	return true
}

// sooner says whether t is before the deadline that the runtime has.
func (c *connection) sooner(t time.Time) bool {
	return !t.IsZero() && (c.armed.IsZero() || t.Before(c.armed))
}

func (c *connection) arm(t time.Time) {
	c.armed = t
	_ = c.TCPConn.SetReadDeadline(t) // of a closed connection, as the read will say
}

func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = t
	if c.reading && c.sooner(t) {
		c.arm(t)
	}
	return nil
}

func (c *connection) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() && !c.limited {
		return nil
	}
	c.limited = !t.IsZero()
	return c.TCPConn.SetWriteDeadline(t)
}

func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

type connectionKey struct{}

// ConnContext lets requests find their connection; it is for [http.Server].
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*connection); ok {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}
