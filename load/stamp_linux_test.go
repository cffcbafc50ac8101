package load

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stampedListener gives connections that know when a request reached this
// machine: a target so knows its delay, whenever its own code was woken.
type stampedListener struct{ net.Listener }

type stampedConn struct {
	*net.TCPConn
	raw syscall.RawConn
	at  atomic.Int64
}

func (l stampedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { stampArrivals(int(fd)) })
	}
	return &stampedConn{TCPConn: tcp, raw: raw}, err
}

func (c *stampedConn) Read(p []byte) (n int, err error) {
	var at int64
	unread := c.raw.Read(func(fd uintptr) bool {
		n, at, err = readStamped(int(fd), p)
		return err != unix.EAGAIN
	})
	switch {
	case unread != nil:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	c.at.Store(at)
	return n, nil
}

func (c *stampedConn) waited() time.Duration { return waited(c.at.Load()) }

// TestEventsAreTimedByArrival: what had come before it was read is timed by when
// it came.
func TestEventsAreTimedByArrival(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := poll(raw)
	defer c.Close()
	a, ok := c.(arriving)
	if !ok {
		t.Skip("connections stay with the runtime here")
	}
	if a.waited() != 0 {
		t.Errorf("nothing was read, and waited %s", a.waited())
	}
	good := 0
	for range 100 { // the system begins to stamp a little after it was asked to
		before := time.Now()
		if _, err := server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		for time.Since(written) < 2*time.Millisecond { // it lies there meanwhile
		}
		var b [8]byte
		if _, err := c.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		came := time.Now().Add(-a.waited())
		if came.Before(before) {
			t.Fatalf("it came %s before it was written", before.Sub(came))
		}
		if came.Before(written.Add(time.Millisecond)) {
			if good++; good == 3 {
				return
			}
		}
	}
	t.Errorf("%d of 100 were timed by when they came", good)
}
