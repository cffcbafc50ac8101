package load

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel stamps what comes when it reaches this machine. The client may be
// woken a good while later, and that is no part of the target's latency.

// stampArrivals asks for the stamps of a connection; it is whether they come.
func stampArrivals(fd int) bool {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil
}

// stampSize is that of a message with one stamp.
const stampSize = 64

// readStamped reads once, and tells when the last of it came, in ns of the wall
// clock, 0 for unknown. It is unix.Recvmsg without what that allocates.
func readStamped(fd int, p []byte) (n int, at int64, err error) {
	var beside [stampSize]byte
	into := unix.Iovec{Base: unsafe.SliceData(p)}
	into.SetLen(len(p))
	m := unix.Msghdr{Iov: &into, Control: &beside[0]}
	m.SetIovlen(1)
	m.SetControllen(len(beside))
	got, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&m)), 0)
	if errno != 0 {
		return 0, 0, errno
	}
	n = int(got)
	if m.Controllen == 0 {
		return n, 0, nil
	}
	head, data, _, err := unix.ParseOneSocketControlMessage(beside[:m.Controllen])
	if err == nil && head.Level == unix.SOL_SOCKET && head.Type == unix.SCM_TIMESTAMPNS && len(data) >= 16 {
		at = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
	}
	return n, at, nil
}

// mostWaited is how long what was read may have waited for that. What is more
// comes of a clock that was set.
const mostWaited = 10 * time.Second

// waited is how long ago at was, 0 where that cannot be, as for the unknown 0.
func waited(at int64) time.Duration {
	if d := time.Duration(time.Now().UnixNano() - at); 0 < d && d < mostWaited {
		return d
	}
	return 0
}
