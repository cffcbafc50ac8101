package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say how a [Client] talks. Only BaseURL is required.
type Options struct {
	// BaseURL is the part of every URL before Request.Path, such as
	// https://host:port or https://host/prefix.
	BaseURL string
	// Key is sent as "Authorization: Bearer Key", or bare in the header that
	// KeyHeader names. Empty means that no key is sent.
	Key       string
	KeyHeader string
	// Header is added to every request. UserAgent wins over it.
	Header    http.Header
	UserAgent string
	// Timeout limits a whole exchange, from the dialling to the end of the
	// body. The default is two minutes.
	Timeout time.Duration
	// MaxBody is how many bytes of a response body are kept; a longer one
	// ends the exchange with an Error. The default is 64 MiB.
	MaxBody int
	// TLS is used for https; nil is the default configuration. HTTP/2 is
	// never offered, since it would hide the bytes of the header.
	TLS *tls.Config
}

const (
	defaultTimeout = 2 * time.Minute
	defaultMaxBody = 64 << 20
	defaultLinger  = 2 * time.Second
	maxHead        = 1 << 20 // bytes of a response header
	// idleTimeout is shorter than the keep-alive of every server that we know
	// (uvicorn and Node close after 5 s), so that a request is not written to
	// a connection that its server is just closing.
	idleTimeout = 2 * time.Second
)

// A Client records exchanges with one endpoint. It keeps connections alive,
// never retries, follows no redirect and undoes no compression. It is safe
// for concurrent use.
type Client struct {
	o         Options
	base      string
	transport *http.Transport
}

// NewClient returns a client for the endpoint that o describes. The error says
// which option cannot be used.
func NewClient(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("base URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("base URL %q: want http:// or https://", o.BaseURL)
	case u.Host == "":
		return nil, fmt.Errorf("base URL %q: no host", o.BaseURL)
	case u.User != nil:
		return nil, errors.New("base URL: a user name or password in it is not supported, give the key apart")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("base URL %q: no query or fragment may follow the path", o.BaseURL)
	case strings.ContainsAny(o.Key, "\r\n\x00"):
		return nil, errors.New("key: holds a line break or NUL")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	tc := o.TLS.Clone()
	if tc == nil {
		tc = &tls.Config{}
	}
	tc.NextProtos = []string{"http/1.1"}
	return &Client{
		o:    o,
		base: strings.TrimRight(o.BaseURL, "/"),
		transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dial,
			DialTLSContext:         dialTLS(tc),
			TLSClientConfig:        tc,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1024,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHead,
		},
	}, nil
}

// Close closes the connections that no exchange uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// An Option alters one exchange.
type Option func(*settings)

type settings struct {
	stopWhen func(body []byte) bool
	linger   time.Duration
	timeout  time.Duration
}

// StopWhen closes the connection as soon as f holds of the body read so far,
// as a client does that goes away. f must not keep or change the body.
func StopWhen(f func(body []byte) bool) Option {
	return func(s *settings) { s.stopWhen = f }
}

// Linger limits how long the body may stay open once it holds the line
// "data: [DONE]", which a server may forget to close. The default is 2 s.
func Linger(d time.Duration) Option {
	return func(s *settings) { s.linger = d }
}

// Timeout limits this exchange, in place of Options.Timeout.
func Timeout(d time.Duration) Option {
	return func(s *settings) { s.timeout = d }
}

// The reasons for which an exchange is cut short from our side.
var (
	errTimeout = errors.New("timeout")
	errStopped = errors.New("stopped")
	errLinger  = errors.New("body stayed open behind data: [DONE]")
)

// Do sends r and returns what came of it, never nil. What goes wrong in
// transport is data too: Error says it, and what had come by then is kept.
//
// A header of r takes the place of the client's own header of that name,
// whatever the case; the single value "" leaves the header out, so
// {"Authorization": {""}} sends no key. A body without Content-Type gets
// application/json. With the header Transfer-Encoding: chunked the body is
// sent in chunks.
func (c *Client) Do(ctx context.Context, id string, r Request, opts ...Option) *Exchange {
	s := settings{linger: defaultLinger, timeout: c.o.Timeout}
	for _, o := range opts {
		o(&s)
	}
	x := &Exchange{ID: id, Started: time.Now(), Request: c.complete(r)}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := time.AfterFunc(s.timeout, func() { cancel(errTimeout) })
	defer deadline.Stop()

	var t tracer
	req, err := c.request(t.attach(ctx, x.Started), x.Request)
	if err != nil {
		x.Error = err.Error()
		x.End = time.Since(x.Started)
		return x
	}
	resp, err := c.transport.RoundTrip(req)
	x.Headers = time.Since(x.Started)
	if err != nil {
		// A header that net/http refuses is still evidence; one that came as our
		// patience ended is not.
		if context.Cause(ctx) == nil {
			x.Response = refused(t.head())
		}
		if x.Response == nil {
			x.Headers = 0
		}
	} else {
		x.Response = &Response{
			Status: resp.StatusCode,
			Proto:  resp.Proto,
			Header: resp.Header,
			Head:   t.head(),
		}
		err = c.read(x, resp.Body, s, cancel)
	}
	x.End = time.Since(x.Started)
	x.Sent, x.Reused = t.sent()

	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errStopped):
		x.Stopped = StoppedAsked
	case errors.Is(cause, errLinger):
		x.Stopped = StoppedLinger
	case errors.Is(cause, errTimeout):
		x.Error = fmt.Sprintf("timeout: %s after %s", progress(x), s.timeout)
	case cause != nil:
		x.Error = fmt.Sprintf("cancelled: %s: %v", progress(x), cause)
	default:
		x.Error = fmt.Sprintf("%s: %v", progress(x), err)
	}
	return x
}

// progress says how far x got, for its Error.
func progress(x *Exchange) string {
	switch {
	case x.Response != nil && x.Response.Header == nil:
		return "malformed response header"
	case x.Response != nil:
		return fmt.Sprintf("body broke off at %d bytes", len(x.Response.Body))
	case x.Sent > 0:
		return "no response"
	}
	return "request not sent"
}

// read takes in the body. A nil error means that it ended as HTTP says.
func (c *Client) read(x *Exchange, body io.ReadCloser, s settings, cancel context.CancelCauseFunc) error {
	defer body.Close()
	r := x.Response
	buf := make([]byte, 64<<10)
	var done doneFinder
	var linger *time.Timer
	for {
		n, err := body.Read(buf)
		if n > 0 {
			at := time.Since(x.Started)
			over := len(r.Body)+n > c.o.MaxBody
			if over {
				n = c.o.MaxBody - len(r.Body)
			}
			if n > 0 {
				r.Body = append(r.Body, buf[:n]...)
				r.Reads = append(r.Reads, Read{At: at, End: len(r.Body)})
			}
			if over {
				return fmt.Errorf("body is longer than %d bytes", c.o.MaxBody)
			}
			if s.stopWhen != nil && s.stopWhen(r.Body) {
				// Cancelled before the body is closed, so that the
				// connection is closed and not drained for another use.
				cancel(errStopped)
				return errStopped
			}
			if linger == nil && done.find(r.Body) {
				linger = time.AfterFunc(s.linger, func() { cancel(errLinger) })
				defer linger.Stop()
			}
		}
		if err == io.EOF {
			r.Complete = true
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A doneFinder looks for a line that reads data: [DONE] in a body that grows.
type doneFinder struct{ seen int }

func (d *doneFinder) find(body []byte) bool {
	mark := []byte("[DONE]")
	for {
		i := bytes.Index(body[d.seen:], mark)
		if i < 0 {
			d.seen = max(d.seen, len(body)-len(mark)+1)
			return false
		}
		i += d.seen
		d.seen = i + len(mark)
		line, ok := bytes.CutSuffix(bytes.TrimSuffix(body[:i], []byte(" ")), []byte("data:"))
		if ok && (len(line) == 0 || line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
			return true
		}
	}
}

// complete returns r as it will be sent: with its URL and every header.
func (c *Client) complete(r Request) Request {
	r.URL = c.base + r.Path
	r.Body = bytes.Clone(r.Body)
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	h := http.Header{}
	for name, values := range c.o.Header {
		h[textproto.CanonicalMIMEHeaderKey(name)] = slices.Clone(values)
	}
	if len(r.Body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if c.o.UserAgent != "" {
		h.Set("User-Agent", c.o.UserAgent)
	}
	if c.o.Key != "" && c.o.KeyHeader != "" {
		h.Set(c.o.KeyHeader, c.o.Key)
	} else if c.o.Key != "" {
		h.Set("Authorization", "Bearer "+c.o.Key)
	}
	for name := range r.Header {
		h.Del(name)
	}
	for name, values := range r.Header {
		if len(values) > 1 || len(values) == 1 && values[0] != "" {
			h[name] = slices.Clone(values)
		}
	}
	r.Header = h
	return r
}

// request makes the http.Request of r, which is complete.
func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Header = maps.Clone(r.Header)
	if req.Header.Get("User-Agent") == "" {
		req.Header["User-Agent"] = []string{""} // else net/http sends its own
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if len(r.Body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
		req.ContentLength = int64(len(r.Body))
	}
	if strings.EqualFold(req.Header.Get("Transfer-Encoding"), "chunked") {
		req.ContentLength = -1
	}
	return req, nil
}

// A tracer learns from net/http what it does with one exchange. Its hooks run
// on goroutines of net/http, some of them perhaps after the exchange is over.
type tracer struct {
	mu     sync.Mutex
	conn   *recorder
	reused bool
	at     time.Duration
}

func (t *tracer) attach(ctx context.Context, started time.Time) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.reused = i.Reused
			if t.conn, _ = i.Conn.(*recorder); t.conn != nil {
				t.conn.start()
			}
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if i.Err == nil {
				t.at = time.Since(started)
			}
		},
	})
}

// head is the response header as it came over the connection.
func (t *tracer) head() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	return t.conn.head()
}

func (t *tracer) sent() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at, t.reused
}
