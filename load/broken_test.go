package load

import (
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func serveH2C(t testing.TB, h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

const (
	tokenEvent  = `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"
	finishEvent = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	doneEvent   = "data: [DONE]\n\n"
)

// Every target that is broken in a way of its own gets a clear line, ends, and
// is counted right.
func TestBrokenTargets(t *testing.T) {
	stream := func(f func(w http.ResponseWriter, flush func())) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			f(w, func() { http.NewResponseController(w).Flush() })
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		url     func(*httptest.Server) string
		tls     bool
		kind    string // of the error; "" is none
		says    string
		flag    string
		chunks  int
		timeout time.Duration
	}{
		{name: "refused", url: func(*httptest.Server) string { return "http://127.0.0.1:1" }, kind: ErrRefused, says: "connection refused"},
		{name: "TLS not trusted", tls: true, handler: stream(func(http.ResponseWriter, func()) {}), kind: ErrTLS, says: "certificate"},
		{name: "TLS asked of plain HTTP", handler: stream(func(http.ResponseWriter, func()) {}), url: func(s *httptest.Server) string { return "https" + strings.TrimPrefix(s.URL, "http") }, kind: ErrTLS, says: "TLS handshake"},
		{name: "500", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, `{"error":{"message":"out of memory"}}`, 500)
		}, kind: "http_500", says: "out of memory"},
		{name: "429", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, `{"error":{"message":"slow down"}}`, http.StatusTooManyRequests)
		}, kind: "http_429", says: "slow down"},
		{name: "redirect", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, kind: ErrRedirect, says: "/elsewhere"},
		{name: "HTML page", handler: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>hello</html>") }, kind: ErrTruncated, says: "without finish_reason"},
		{name: "JSON instead of a stream", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}`)
		}, flag: flagJSON},
		{name: "error with status 200", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"error":{"message":"model not loaded"}}`)
		}, kind: ErrEvent, says: "model not loaded"},
		{name: "error in mid-stream", handler: stream(func(w http.ResponseWriter, flush func()) {
			fmt.Fprint(w, tokenEvent, `data: {"error":{"message":"engine died"}}`+"\n\n", doneEvent)
		}), kind: ErrEvent, says: "engine died", chunks: 1},
		{name: "error event with prose", handler: stream(func(w http.ResponseWriter, flush func()) {
			fmt.Fprint(w, tokenEvent, "event: error\ndata: it broke\n\n")
		}), kind: ErrEvent, says: "it broke", chunks: 1},
		{name: "no [DONE]", handler: stream(func(w http.ResponseWriter, flush func()) { fmt.Fprint(w, tokenEvent, finishEvent) }), flag: flagNoDone, chunks: 1},
		{name: "neither finish_reason nor [DONE]", handler: stream(func(w http.ResponseWriter, flush func()) { fmt.Fprint(w, tokenEvent, tokenEvent) }), kind: ErrTruncated, says: "without finish_reason", chunks: 2},
		{name: "connection cut in mid-stream", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, tokenEvent)
			http.NewResponseController(w).Flush()
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}, kind: ErrTruncated, says: "broke off", chunks: 1},
		{name: "connection closed without an answer", handler: func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}, kind: ErrReset, says: "EOF"},
		{name: "endless stream", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				fmt.Fprint(w, tokenEvent)
				http.NewResponseController(w).Flush()
			}
		}, kind: ErrTimeout, says: "over the limit", chunks: -1, timeout: 300 * time.Millisecond},
		{name: "silence", handler: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // so that the server sees us go
			<-r.Context().Done()
		}, kind: ErrTimeout, says: "over the limit", timeout: 100 * time.Millisecond},
		{name: "1-byte chunks", handler: stream(func(w http.ResponseWriter, flush func()) {
			for _, b := range []byte(tokenEvent + tokenEvent + finishEvent + doneEvent) {
				w.Write([]byte{b})
				flush()
			}
		}), chunks: 2},
		{name: "100 MB in one event", handler: stream(func(w http.ResponseWriter, flush func()) {
			fmt.Fprint(w, tokenEvent, `data: {"choices":[{"index":0,"delta":{"content":"`)
			piece := strings.Repeat("x", 1<<20)
			for range 100 {
				io.WriteString(w, piece)
			}
			fmt.Fprint(w, `"}}]}`+"\n\n", finishEvent, doneEvent)
		}), flag: flagHuge, chunks: 2},
		{name: "gzip not asked for", handler: stream(func(w http.ResponseWriter, flush func()) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for _, e := range []string{tokenEvent, tokenEvent, finishEvent, doneEvent} {
				io.WriteString(z, e)
				z.Flush()
				flush()
			}
			z.Close()
		}), flag: flagGzip, chunks: 2},
		{name: "gzip that is none", handler: stream(func(w http.ResponseWriter, flush func()) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, tokenEvent)
		}), kind: ErrEncoding, says: "gzip"},
		{name: "brotli", handler: stream(func(w http.ResponseWriter, flush func()) {
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, tokenEvent)
		}), kind: ErrEncoding, says: "br"},
		{name: "events that are no JSON", handler: stream(func(w http.ResponseWriter, flush func()) { fmt.Fprint(w, "data: hello\n\ndata: {\n\n") }), kind: ErrMalformed, says: "no event is JSON"},
		{name: "CRLF, comments, several data lines, BOM", handler: stream(func(w http.ResponseWriter, flush func()) {
			fmt.Fprint(w, "\ufeffdata: {\"choices\":[{\"index\":0,\r\ndata: \"delta\":{\"content\":\"x\"}}]}\r\n\r\n: ping\r\n\r\n", strings.ReplaceAll(tokenEvent+finishEvent+doneEvent, "\n", "\r\n"))
		}), chunks: 2},
		{name: "last event without its blank line", handler: stream(func(w http.ResponseWriter, flush func()) {
			fmt.Fprint(w, tokenEvent, finishEvent, "data: [DONE]")
		}), chunks: 1},
		{name: "a key in the refusal", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, `{"error":{"message":"bad key `+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}}`, http.StatusUnauthorized)
		}, kind: "http_401", says: "[redacted]"},
		{name: "body left open behind [DONE]", handler: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, tokenEvent, finishEvent, doneEvent)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, flag: flagOpen, chunks: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := ""
			if c.handler != nil {
				s := httptest.NewUnstartedServer(c.handler)
				s.Config.ErrorLog = quiet
				if c.tls {
					s.TLS = &tls.Config{}
					s.StartTLS()
				} else {
					s.Start()
				}
				t.Cleanup(s.Close)
				if url = s.URL; c.url != nil {
					url = c.url(s)
				}
			} else {
				url = c.url(nil)
			}
			n := 3
			if c.flag == flagOpen { // each takes two seconds
				n = 1
			}
			j := newJob(url, Stage{Concurrency: 1, Requests: n})
			j.NoLearn, j.NoCanary, j.Target.Key = true, true, "sk-very-secret-key"
			if j.Timeout = 10 * time.Second; c.timeout > 0 {
				j.Timeout = c.timeout
			}
			var records []*Record
			j.OnRecord = func(r *Record) { records = append(records, r) }
			r := measure(t, j)
			if len(records) != n || r.Total.Requests != n || (c.kind == "") != (r.Total.OK == n) || (c.kind != "") != (r.Total.Failed == n) {
				t.Fatalf("%d records, %d ok, %d failed: %+v", len(records), r.Total.OK, r.Total.Failed, r.Total.Errors)
			}
			for _, rec := range records {
				if rec.Error != c.kind || !strings.Contains(rec.Message, c.says) || strings.Contains(rec.Message, j.Target.Key) {
					t.Errorf("error %q: %q, want %q: %q", rec.Error, rec.Message, c.kind, c.says)
				}
				if c.chunks >= 0 && rec.Chunks != c.chunks || c.chunks < 0 && rec.Chunks == 0 {
					t.Errorf("%d chunks, want %d", rec.Chunks, c.chunks)
				}
				if rec.End < rec.Begun || rec.End == 0 {
					t.Errorf("ended at %d, begun at %d", rec.End, rec.Begun)
				}
			}
			if c.flag != "" && r.Total.Flags[c.flag] != n {
				t.Errorf("flags %v, want %s", r.Total.Flags, c.flag)
			}
		})
	}
}

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, ErrDNS},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ErrRefused},
		{&net.OpError{Op: "dial", Err: syscall.EMFILE}, ErrClient},
		{&net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}, ErrClient},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, ErrReset},
		{&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, ErrTimeout},
		{io.ErrUnexpectedEOF, ErrReset},
		{errors.New("odd"), ErrTransport},
	} {
		if got := errorKind(c.err, nil); got != c.kind {
			t.Errorf("%v: %s, want %s", c.err, got, c.kind)
		}
	}
	if got := errorKind(errors.New("odd"), errEndOfRun); got != ErrCancelled {
		t.Error(got)
	}
}
