//go:build !linux

package load

import "net"

// poll leaves connections to the runtime's poller.
func poll(conn net.Conn) net.Conn { return conn }
