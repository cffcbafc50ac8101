package load

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A poller waits for the bytes of many connections in one goroutine, and reads
// streams there. The runtime's own costs a stream two reads an event, the
// second to learn that nothing is left, and a switch to its goroutine.
type poller struct {
	ep    int
	file  *os.File // of ep; kept from being collected
	mu    sync.Mutex
	conns []*polled // by descriptor
}

var (
	startPollers = sync.OnceValue(newPollers)
	nextPoller   atomic.Uint32
	readBuffers  = sync.Pool{New: func() any { return new([64 << 10]byte) }}
)

// newPollers starts one for each two cores: the others serve what is read.
func newPollers() []*poller {
	var all []*poller
	for range (runtime.GOMAXPROCS(0) + 1) / 2 {
		ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return nil
		}
		unix.SetNonblock(ep, true)
		f := os.NewFile(uintptr(ep), "epoll")
		wait, err := f.SyscallConn()
		if err != nil || f.SetReadDeadline(time.Time{}) != nil { // not pollable
			f.Close()
			return nil
		}
		p := &poller{ep: ep, file: f}
		go p.run(wait)
		all = append(all, p)
	}
	return all
}

// run waits by the runtime's poller, of which p.ep is one descriptor: a thread
// that slept in epoll_wait would keep its processor from others for up to
// 10 ms, until the runtime takes it back.
func (p *poller) run(wait syscall.RawConn) {
	var events [128]unix.EpollEvent
	var conns [128]*polled
	buf := readBuffers.Get().(*[64 << 10]byte)
	err := wait.Read(func(uintptr) bool {
		for {
			n, _ := unix.EpollWait(p.ep, events[:], 0)
			p.mu.Lock()
			for i := range max(0, n) {
				conns[i] = p.conns[events[i].Fd]
			}
			p.mu.Unlock()
			for i := range max(0, n) {
				if conns[i] != nil {
					conns[i].event(events[i].Events, buf[:])
					conns[i] = nil
				}
			}
			if n < len(events) { // what comes now is told again
				return false
			}
		}
	})
	panic("poller: " + err.Error()) // a bug: nobody closes it
}

// A polled is a TCP connection that a poller waits for.
type polled struct {
	net.Conn // for its addresses; closed
	p        *poller
	mu       sync.Mutex
	wake     sync.Cond
	fd       int
	closed   bool
	ready    bool  // there may be something to read
	hup      bool  // the other side has ended, or failed
	stamped  bool  // the kernel says when something came
	at       int64 // when the last that was read came, by the kernel; 0: unknown
	take     func(p []byte, err error) (more bool)
}

// poll takes a connection over from the runtime; where that cannot be done, it
// stays as it is.
func poll(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	all := startPollers()
	raw, err := tcp.SyscallConn()
	if err != nil || len(all) == 0 {
		return conn
	}
	fd := -1
	raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || fd < 0 {
		return conn
	}
	c := &polled{Conn: conn, p: all[int(nextPoller.Add(1))%len(all)], fd: fd, ready: true, stamped: stampArrivals(fd)}
	c.wake.L = &c.mu
	if err := c.p.add(c); err != nil {
		unix.Close(fd)
		return conn
	}
	conn.Close() // its descriptor; the connection lives on
	return c
}

func (p *poller) add(c *polled) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.conns) <= c.fd {
		p.conns = append(p.conns, nil)
	}
	p.conns[c.fd] = c
	err := p.control(unix.EPOLL_CTL_ADD, c.fd)
	if err != nil {
		p.conns[c.fd] = nil
	}
	return err
}

// control is edge-triggered: each arrival is told once, so that after a read
// which did not fill its buffer none is tried in vain.
func (p *poller) control(what, fd int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	return unix.EpollCtl(p.ep, what, fd, &e)
}

// event is called by the poller.
func (c *polled) event(what uint32, buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.ready = true
	c.hup = c.hup || what&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if c.take == nil {
		c.wake.Broadcast()
		return
	}
	c.pump(buf)
}

// read reads once, c.mu being held.
func (c *polled) read(p []byte) (int, error) {
	for {
		n, at, err := 0, int64(0), error(nil)
		if c.stamped {
			n, at, err = readStamped(c.fd, p)
		} else {
			n, err = unix.Read(c.fd, p)
		}
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			c.ready = false
			return 0, err
		case err != nil:
			return 0, c.failed("read", err)
		case n == 0:
			return 0, io.EOF
		}
		c.at, c.ready = at, n == len(p) || c.hup
		return n, nil
	}
}

// waited is how long what was last read had come by now.
func (c *polled) waited() time.Duration { return waited(c.at) }

// maxPump is how many reads one connection may have before others have theirs.
const maxPump = 4

// pump hands on what there is.
func (c *polled) pump(buf []byte) {
	for i := 0; c.ready; i++ {
		if i == maxPump {
			c.p.control(unix.EPOLL_CTL_MOD, c.fd) // tells again of what is left
			return
		}
		n, err := c.read(buf)
		if err == unix.EAGAIN {
			return
		}
		if !c.take(buf[:n], err) {
			c.take = nil
			c.wake.Broadcast()
			return
		}
	}
}

// pour hands what comes to take, in the poller, until take wants no
// more, and take's error is not nil at the connection's end.
func (c *polled) pour(take func(p []byte, err error) (more bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take = take
	buf := readBuffers.Get().(*[64 << 10]byte)
	if !c.closed {
		c.pump(buf[:])
	}
	readBuffers.Put(buf)
	for c.take != nil && !c.closed {
		c.wake.Wait()
	}
	if c.take != nil {
		c.take(nil, c.failed("read", net.ErrClosed))
		c.take = nil
	}
}

func (c *polled) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return 0, c.failed("read", net.ErrClosed)
		}
		if c.ready {
			if n, err := c.read(p); err != unix.EAGAIN {
				return n, err
			}
		}
		c.wake.Wait()
	}
}

func (c *polled) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) {
		if c.closed {
			return n, c.failed("write", net.ErrClosed)
		}
		k, err := unix.Write(c.fd, p[n:])
		switch {
		case err == nil:
			n += k
		case err == unix.EAGAIN:
			c.wake.Wait()
		case err != unix.EINTR:
			return n, c.failed("write", err)
		}
	}
	return n, nil
}

// writeNow writes what there is room for, and waits for none.
func (c *polled) writeNow(p ...[]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, c.failed("write", net.ErrClosed)
	}
	for {
		switch n, err := unix.Writev(c.fd, p); err {
		case nil:
			return n, nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, c.failed("write", err)
		}
	}
}

// failed makes an error as the net package does.
func (c *polled) failed(op string, err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Close ends whoever reads or writes.
func (c *polled) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.p.mu.Lock()
	c.p.conns[c.fd] = nil // before another connection has its descriptor
	c.p.mu.Unlock()
	c.wake.Broadcast()
	return unix.Close(c.fd)
}
