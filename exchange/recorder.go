package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A recorder is a connection that keeps the header of the response that is
// being read from it, byte for byte, because net/http drops what is wrong in
// one. Over TLS it stands above the encryption.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	buf  []byte
	done bool // buf ends with the header, nothing more is kept
}

// start forgets the header of the exchange before. It is called when an
// exchange is given the connection, at which time nothing of its response can
// have come, and net/http has read all of the one before.
func (r *recorder) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf, r.done = nil, false
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done && n > 0 {
		r.buf = append(r.buf, p[:n]...)
		r.trim()
	}
	return n, err
}

// trim ends the recording when buf holds a final header.
func (r *recorder) trim() {
	for {
		end := headEnd(r.buf)
		if end < 0 {
			r.done = len(r.buf) > maxHead
			return
		}
		// A 1xx answer comes before the header that counts.
		if !bytes.HasPrefix(r.buf, []byte("HTTP/1.1 1")) || bytes.HasPrefix(r.buf, []byte("HTTP/1.1 101")) {
			r.buf, r.done = r.buf[:end:end], true
			return
		}
		r.buf = r.buf[end:]
	}
}

// headEnd is the offset behind the empty line that ends a header, or -1.
func headEnd(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		rest := bytes.TrimPrefix(b[i:], []byte("\r"))
		if len(rest) > 0 && rest[0] == '\n' {
			return len(b) - len(rest) + 1
		}
	}
}

// head is the recorded header, nil if what came does not look like one, as
// where a proxy tunnels TLS that net/http does itself.
func (r *recorder) head() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.HasPrefix(r.buf, []byte("HTTP/")) {
		return nil
	}
	return bytes.Clone(r.buf)
}

var dialer = net.Dialer{Timeout: 30 * time.Second}

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &recorder{Conn: c}, nil
}

func dialTLS(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := tls.Dialer{NetDialer: &dialer, Config: config}
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &recorder{Conn: c}, nil
	}
}

// refused is the response whose header net/http would not read, as far as it
// can be told from its bytes; its Header is nil. It is nil if head is empty.
func refused(head []byte) *Response {
	if len(head) == 0 {
		return nil
	}
	line, _, _ := strings.Cut(string(head), "\n")
	proto, rest, _ := strings.Cut(strings.TrimRight(line, "\r"), " ")
	status, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(status)
	return &Response{Status: n, Proto: proto, Head: head}
}
