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

// noteArrivals has the kernel stamp what comes, if it can.
func noteArrivals(l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { // connections have it from the listener
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return err == nil && failed == nil
}

// stamps are those of a connection, which read reads beside the data. As long as
// wanted is not set, nobody does.
type stamps struct {
	raw    syscall.RawConn
	wanted *atomic.Bool // nil: there are none
	at     atomic.Int64 // the last one, in ns of the wall clock, 0: unknown
}

// last is when what was last read reached this machine, the zero time if it is
// not known.
func (s *stamps) last() time.Time {
	if at := s.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// stampSize is that of a message with one stamp.
const stampSize = 64

func (s *stamps) read(from *net.TCPConn, p []byte) (n int, err error) {
	if len(p) == 0 || s.wanted == nil || !s.wanted.Load() {
		s.at.Store(0)
		return from.Read(p)
	}
	var beside [stampSize]byte
	size := 0
	unread := s.raw.Read(func(fd uintptr) bool {
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
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: from.LocalAddr(), Addr: from.RemoteAddr(), Err: os.NewSyscallError("recvmsg", err)}
	case n == 0:
		return 0, io.EOF
	}
	s.at.Store(stamp(beside[:size]))
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
