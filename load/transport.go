package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
)

// HTTPOptions say how connections are made and used.
type HTTPOptions struct {
	// Version is 1.1, 2 (over TLS, or by prior knowledge without) or auto,
	// which takes what TLS negotiates; "" is 1.1.
	Version string
	// NoReuse makes a connection for each request.
	NoReuse bool
	// Insecure takes any certificate.
	Insecure bool
	// Idle closes connections that were not used for so long. The default is
	// 4 s, below the keep-alive of the usual servers, so that a request is
	// not written to a connection that its server is just closing.
	Idle time.Duration
}

// newTransport is the transport of a run to a target: one of our own for
// HTTP/1.1, net/http's for HTTP/2 and through proxies.
func newTransport(o HTTPOptions, target string) (roundTripper, error) {
	var p http.Protocols
	switch o.Version {
	case "", "1.1":
		p.SetHTTP1(true)
	case "2":
		p.SetHTTP2(true)
		p.SetUnencryptedHTTP2(true)
	case "auto":
		p.SetHTTP1(true)
		p.SetHTTP2(true)
	default:
		return nil, fmt.Errorf("HTTP version %q: want 1.1, 2 or auto", o.Version)
	}
	if o.Idle <= 0 {
		o.Idle = 4 * time.Second
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 15 * time.Second}
	config := &tls.Config{InsecureSkipVerify: o.Insecure, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if u, err := url.Parse(target); err == nil && !p.HTTP2() {
		if t := newH1(u, o, dialer, config); t != nil {
			return t, nil
		}
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    30 * time.Second,
		DisableCompression:     true,
		DisableKeepAlives:      o.NoReuse,
		MaxIdleConnsPerHost:    1 << 20,
		IdleConnTimeout:        o.Idle,
		ReadBufferSize:         4 << 10,
		WriteBufferSize:        2 << 10,
		MaxResponseHeaderBytes: 1 << 20,
		Protocols:              &p,
	}, nil
}

// A timeline learns from net/http when the steps before the response were.
// Its hooks run on goroutines of net/http.
type timeline struct {
	now                                  func() int64
	sent                                 atomic.Int64
	dnsFrom, dns, dialFrom, dial, tlsFor atomic.Int64
	tls                                  atomic.Int64
	reused                               atomic.Bool
}

func (t *timeline) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { t.dnsFrom.Store(t.now()) },
		DNSDone:           func(httptrace.DNSDoneInfo) { t.dns.Store(t.now() - t.dnsFrom.Load()) },
		ConnectStart:      func(string, string) { t.dialFrom.CompareAndSwap(0, t.now()) },
		ConnectDone:       func(string, string, error) { t.dial.Store(t.now() - t.dialFrom.Load()) },
		TLSHandshakeStart: func() { t.tlsFor.Store(t.now()) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { t.tls.Store(t.now() - t.tlsFor.Load()) },
		GotConn: func(i httptrace.GotConnInfo) {
			t.reused.Store(i.Reused)
			t.sent.CompareAndSwap(0, t.now())
		},
		// The header is in the connection's buffer and goes out with the body.
		WroteHeaders: func() { t.sent.Store(t.now()) },
	}
}

func (t *timeline) fill(r *Record) {
	r.Sent = t.sent.Load()
	r.DNS, r.Connect, r.TLS = t.dns.Load(), t.dial.Load(), t.tls.Load()
	if r.Reused = t.reused.Load(); r.Reused { // a dial that another request took over
		r.DNS, r.Connect, r.TLS = 0, 0, 0
	}
}

// Why a response is given up from our side.
var (
	errTimeout   = errors.New("timeout")
	errEndOfRun  = errors.New("end of the run")
	errLinger    = errors.New("the body stayed open behind data: [DONE]")
	errBodyLimit = errors.New("body limit")
)

// errorKind names what went wrong in transport.
func errorKind(err error, cause error) (kind string) {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	switch {
	case errors.Is(cause, errEndOfRun):
		return ErrCancelled
	case errors.Is(cause, errTimeout), errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, errBodyLimit):
		return ErrBody
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return ErrClient
	case errors.As(err, &dns):
		return ErrDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused
	case errors.As(err, &record), errors.As(err, &cert), errors.As(err, &unknown), errors.As(err, &host),
		errors.As(err, &invalid), errors.As(err, &alert), strings.Contains(err.Error(), "tls: "),
		strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return ErrTLS
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrReset
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ErrTimeout
	}
	if cause != nil {
		return ErrCancelled
	}
	return ErrTransport
}

// A redactor takes the key out of what a target says. Most messages are said
// again and again, so that it remembers some.
type redactor struct {
	key  string
	mu   sync.Mutex
	seen map[string]string
}

func (r *redactor) clean(s string) string {
	if r.key == "" || s == "" {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.seen[s]; ok {
		return c
	}
	c := exchange.Redact(&exchange.Exchange{Error: s}, r.key).Error
	if r.seen == nil || len(r.seen) > 1000 {
		r.seen = map[string]string{}
	}
	r.seen[s] = c
	return c
}
