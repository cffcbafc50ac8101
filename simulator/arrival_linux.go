package simulator

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noteArrivals has the kernel stamp what comes. As long as wanted is not set,
// nobody reads the stamps.
func noteArrivals(l net.Listener, wanted *atomic.Bool) net.Listener {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return l
	}
	var failed error
	err = raw.Control(func(fd uintptr) { // connections have it from the listener
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	if err != nil || failed != nil {
		return l
	}
	return stampedListener{t, wanted}
}

type stampedListener struct {
	*net.TCPListener
	wanted *atomic.Bool
}

func (l stampedListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	return &stampedConn{TCPConn: c, raw: raw, wanted: l.wanted}, nil
}

// A stampedConn reads the stamps beside the data.
type stampedConn struct {
	*net.TCPConn
	raw    syscall.RawConn
	wanted *atomic.Bool
	at     atomic.Int64 // in ns of the wall clock, 0: unknown
}

func (c *stampedConn) arrived() time.Time {
	if at := c.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// stampSize is that of a message with one stamp.
const stampSize = 64

func (c *stampedConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 || !c.wanted.Load() {
		c.at.Store(0)
		return c.TCPConn.Read(p)
	}
	var beside [stampSize]byte
	size := 0
	unread := c.raw.Read(func(fd uintptr) bool {
		for {
			n, size, _, _, err = unix.Recvmsg(int(fd), p, beside[:], 0)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case unread != nil: // closed, or a deadline is over
		var op *net.OpError
		if errors.As(unread, &op) {
			op.Op = "read"
		}
		return 0, unread
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("recvmsg", err)}
	case n == 0:
		return 0, io.EOF
	}
	c.at.Store(stamp(beside[:size]))
	return n, nil
}

// stamp is the time in what came beside data, 0 for none.
func stamp(beside []byte) int64 {
	for len(beside) > 0 {
		head, data, rest, err := unix.ParseOneSocketControlMessage(beside)
		if err != nil {
			return 0
		}
		if head.Level == unix.SOL_SOCKET && head.Type == unix.SCM_TIMESTAMPNS && len(data) >= 16 {
			return int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		}
		beside = rest
	}
	return 0
}
