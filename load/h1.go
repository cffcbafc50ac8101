package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"time"
)

// A roundTripper is what a sender sends by.
type roundTripper interface {
	http.RoundTripper
	CloseIdleConnections()
}

// An h1 speaks HTTP/1.1 to one host. Unlike net/http's transport it has no
// goroutines of its own, two a connection, so that thousands of streams stay
// small and an event is read by the goroutine that waits for it. Headers and
// bodies are read by net/http. It knows no proxies.
type h1 struct {
	addr    string
	tls     *tls.Config // nil: none
	dialer  *net.Dialer
	noReuse bool
	keep    time.Duration

	mu   sync.Mutex
	idle []*h1conn // the last used is last
}

// An h1conn is one connection.
type h1conn struct {
	net.Conn
	r     *bufio.Reader // while a response is read
	since time.Time     // it was idle
	head  int           // bytes of a header that may still come; 0: no limit
	got   bool          // something has come since the request
}

// mostHead is how long a header may be.
const mostHead = 1 << 20

var errLongHeader = errors.New("the response header is longer than 1 MiB")

func (c *h1conn) Read(p []byte) (int, error) {
	if c.head < 0 {
		return 0, errLongHeader
	}
	n, err := c.Conn.Read(p)
	c.got = c.got || n > 0
	if c.head > 0 {
		if c.head -= n; c.head == 0 {
			c.head = -1
		}
	}
	return n, err
}

var h1readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}
var h1writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}

// letGo gives the reader back, which thousands of streams need not hold.
func (c *h1conn) letGo() {
	c.r.Reset(nil)
	h1readers.Put(c.r)
	c.r = nil
}

// newH1 speaks to the host of u; nil: a proxy stands before it.
func newH1(u *url.URL, o HTTPOptions, dialer *net.Dialer, config *tls.Config) *h1 {
	if p, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || p != nil {
		return nil
	}
	t := &h1{addr: u.Host, dialer: dialer, noReuse: o.NoReuse, keep: o.Idle}
	port := u.Port()
	if u.Scheme == "https" {
		t.tls = config.Clone()
		t.tls.ServerName = u.Hostname()
		t.tls.NextProtos = []string{"http/1.1"}
		port = or(port, "443")
	}
	t.addr = net.JoinHostPort(u.Hostname(), or(port, "80"))
	return t
}

// RoundTrip sends a request and reads the header of its response. A request
// that fails on a connection used before, with no byte of an answer, was met
// by a server that was closing it, and is sent once more on a new one.
func (t *h1) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(req, t.take(), nil)
}

// A started request is written to a connection that was idle, as far as that was
// possible at once.
type started struct {
	t    *h1
	c    *h1conn
	at   int64  // when
	left []byte // not written yet
	err  error
}

// A ready connection writes what can be written without waiting.
type ready interface {
	writeNow(p ...[]byte) (int, error)
}

// start writes a request without waiting for anything. It returns nil if there is
// no connection by which that can be done.
func (t *h1) start(head, body []byte, now func() int64) *started {
	c := t.take()
	if c == nil {
		return nil
	}
	w, ok := c.Conn.(ready)
	if !ok {
		t.mu.Lock()
		t.idle = append(t.idle, c)
		t.mu.Unlock()
		return nil
	}
	s := &started{t: t, c: c, at: now()}
	c.got, c.head = false, mostHead
	n, err := w.writeNow(head, body)
	switch s.err = err; {
	case n < len(head):
		s.left = slices.Concat(head[n:], body)
	default:
		s.left = body[n-len(head):]
	}
	return s
}

// goOn writes the rest of a request and reads the header of its response, as
// RoundTrip does.
func (s *started) goOn(req *http.Request) (*http.Response, error) {
	return s.t.roundTrip(req, s.c, s)
}

// roundTrip tries c, an idle connection, if there is one. On that the request
// may be started.
func (t *h1) roundTrip(req *http.Request, c *h1conn, begun *started) (*http.Response, error) {
	ctx := req.Context()
	if c != nil {
		resp, err := t.do(ctx, c, req, true, begun)
		if err == nil || c.got || ctx.Err() != nil {
			return resp, err
		}
		body, berr := req.GetBody()
		if berr != nil {
			return nil, err
		}
		req.Body = body
	}
	fresh, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return t.do(ctx, fresh, req, false, nil)
}

func (t *h1) dial(ctx context.Context) (*h1conn, error) {
	conn, err := t.dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		trace := httptrace.ContextClientTrace(ctx)
		if trace != nil {
			trace.TLSHandshakeStart()
		}
		secure := tls.Client(conn, t.tls)
		hctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := secure.HandshakeContext(hctx); err != nil {
			conn.Close()
			return nil, err
		}
		if trace != nil {
			trace.TLSHandshakeDone(secure.ConnectionState(), nil)
		}
		conn = secure
	} else {
		conn = poll(conn)
	}
	return &h1conn{Conn: conn}, nil
}

func (t *h1) do(ctx context.Context, c *h1conn, req *http.Request, reused bool, begun *started) (*http.Response, error) {
	// A connection is closed under whoever reads from it when ctx ends.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	fail := func(err error) (*http.Response, error) {
		stop()
		c.Close()
		return nil, err
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: reused})
	}
	var err error
	if begun != nil {
		if err = begun.err; err == nil && len(begun.left) > 0 {
			_, err = c.Conn.Write(begun.left)
		}
	} else {
		c.got, c.head = false, mostHead
		w := h1writers.Get().(*bufio.Writer)
		w.Reset(c.Conn)
		if trace != nil {
			trace.WroteHeaders()
		}
		if err = req.Write(w); err == nil {
			err = w.Flush()
		}
		w.Reset(nil)
		h1writers.Put(w)
	}
	c.r = h1readers.Get().(*bufio.Reader)
	c.r.Reset(c)
	werr := err // a server may answer before it has read all, and close
	var resp *http.Response
	for {
		if resp, err = http.ReadResponse(c.r, req); err != nil {
			if werr != nil && !c.got {
				err = werr
			}
			return fail(err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	c.head = 0
	b := &h1body{ReadCloser: resp.Body, t: t, c: c, stop: stop, keep: werr == nil && !resp.Close && !t.noReuse}
	if p, ok := c.Conn.(poured); ok && slices.Equal(resp.TransferEncoding, []string{"chunked"}) && resp.Body != http.NoBody {
		b.from = p
	}
	resp.Body = b
	return resp, nil
}

// An h1body gives its connection back when it has been read to its end.
type h1body struct {
	io.ReadCloser
	t    *h1
	c    *h1conn
	from poured // nil: it can only be read
	stop func() bool
	keep bool
	over bool
}

// A poured connection hands what comes to take, on a thread that reads many
// connections, until take wants no more. It hands on an error once.
type poured interface {
	pour(take func(p []byte, err error) (more bool))
	arriving
}

// An arriving connection knows how long what was last read from it has been on
// this machine by now.
type arriving interface{ waited() time.Duration }

// waited is that of the body's connection, 0 where it is not known.
func (b *h1body) waited() time.Duration {
	if a, ok := b.c.Conn.(arriving); ok {
		return a.waited()
	}
	return 0
}

// pour hands the body to take, piece by piece, until its end, or until take
// gives an error. The time of a read is when what it gave reached this machine.
func (b *h1body) pour(now func() int64, take func(p []byte, at int64) error) (at int64, err error) {
	var d dechunker
	feed := func(p []byte) (more bool) {
		for at = max(at, now()-int64(b.from.waited())); len(p) > 0 && err == nil && d.state != bodyOver; {
			var piece []byte
			if piece, p, err = d.next(p); len(piece) > 0 {
				err = take(piece, at)
			}
		}
		b.keep = b.keep && len(p) == 0 // nothing may follow
		return err == nil && d.state != bodyOver
	}
	p, _ := b.c.r.Peek(b.c.r.Buffered())
	more := feed(p)
	b.c.letGo()
	if more {
		b.from.pour(func(p []byte, rerr error) bool {
			more := feed(p)
			if more && rerr != nil {
				if err = rerr; err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return false
			}
			return more
		})
	}
	if err == nil {
		err = io.EOF
	}
	b.end(err)
	return at, err
}

func (b *h1body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.over {
		b.keep = b.keep && b.c.r.Buffered() == 0
		b.c.letGo()
		b.end(err)
	}
	return n, err
}

func (b *h1body) end(err error) {
	b.over = true
	if b.stop() && err == io.EOF && b.keep {
		b.t.give(b.c)
	} else {
		b.c.Close()
	}
}

// Close closes the connection, unless the body has been read.
func (b *h1body) Close() error {
	if !b.over {
		b.over = true
		b.stop()
		b.c.Close()
	}
	return nil
}

func (t *h1) give(c *h1conn) {
	c.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, c)
}

// take is a connection that is idle and not for too long, or nil.
func (t *h1) take() *h1conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	if time.Since(c.since) > t.keep {
		c.Close()
		for _, c := range t.idle { // the others are idle for longer
			c.Close()
		}
		t.idle = t.idle[:0]
		return nil
	}
	return c
}

// CloseIdleConnections closes what no request uses.
func (t *h1) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		c.Close()
	}
	t.idle = nil
}
