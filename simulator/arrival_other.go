//go:build !linux

package simulator

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

func noteArrivals(*net.TCPListener) bool { return false }

type stamps struct {
	raw    syscall.RawConn
	wanted *atomic.Bool
}

func (*stamps) last() time.Time                               { return time.Time{} }
func (*stamps) read(from *net.TCPConn, p []byte) (int, error) { return from.Read(p) }
