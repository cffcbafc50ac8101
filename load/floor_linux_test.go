package load

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawReads is how many events a second one core reads of so many streams with
// epoll_wait, read and the clock alone: what the machine itself allows.
func rawReads(t *testing.T, url string, streams int, wall time.Duration) float64 {
	t.Helper()
	ep, err := unix.EpollCreate1(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ep)
	for range streams {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := conn.(*net.TCPConn).File()
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		fd := int(f.Fd())
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}); err != nil {
			t.Fatal(err)
		}
	}
	var ready [128]unix.EpollEvent
	buf := make([]byte, 64<<10)
	events, from, used := 0, time.Now(), cpuTime()
	for at := from; at.Sub(from) < wall; {
		n, err := unix.EpollWait(ep, ready[:], 100)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		for _, e := range ready[:max(0, n)] {
			n, err := unix.Read(int(e.Fd), buf)
			at = time.Now()
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			events += bytes.Count(buf[:n], []byte("\n\n"))
		}
	}
	return float64(events) / (cpuTime() - used).Seconds()
}
