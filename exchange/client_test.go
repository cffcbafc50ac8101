package exchange

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// serve starts a server that hands every connection, with one request read
// from it at a time, to answer; answer says whether to keep the connection.
func serve(t *testing.T, answer func(c net.Conn, r *http.Request) bool) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			go func() {
				defer conns.Done()
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					if !answer(c, r) {
						return
					}
				}
			}()
		}
	}()
	c, err := NewClient(Options{BaseURL: "http://" + l.Addr().String(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// say answers every request with the same bytes and closes.
func say(t *testing.T, text string) *Client {
	return serve(t, func(c net.Conn, r *http.Request) bool {
		io.WriteString(c, text)
		return false
	})
}

func TestDoRecordsBothSides(t *testing.T) {
	g := NewWithT(t)
	var got *http.Request
	var gotBody []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		gotBody, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true}`)
	}))
	defer srv.Close()
	c, err := NewClient(Options{BaseURL: srv.URL + "/base/", Key: "k1", UserAgent: "touchstone/test", Header: http.Header{"x-extra": {"1"}}})
	g.Expect(err).NotTo(HaveOccurred())
	defer c.Close()

	x := c.Do(t.Context(), "one", Request{Path: "/v1/completions?a=b", Body: []byte(`{"prompt":"x"}`)})
	g.Expect(x.Error).To(BeEmpty())
	g.Expect(x.ID).To(Equal("one"))
	g.Expect(x.Request.URL).To(Equal(srv.URL + "/base/v1/completions?a=b"))
	g.Expect(x.Request.Method).To(Equal("POST"))
	g.Expect(got.URL.String()).To(Equal("/base/v1/completions?a=b"))
	g.Expect(string(gotBody)).To(Equal(`{"prompt":"x"}`))
	g.Expect(got.Header).To(Equal(http.Header{
		"Authorization": {"Bearer k1"}, "Content-Type": {"application/json"}, "User-Agent": {"touchstone/test"},
		"X-Extra": {"1"}, "Content-Length": {"14"},
	}), "no Accept-Encoding, nothing of net/http's own")

	r := x.Response
	g.Expect(r.Status).To(Equal(200))
	g.Expect(r.Proto).To(Equal("HTTP/1.1"))
	g.Expect(r.Complete).To(BeTrue())
	g.Expect(string(r.Body)).To(Equal(`{"ok":true}`))
	g.Expect(string(r.Head)).To(HavePrefix("HTTP/1.1 200 OK\r\n"))
	g.Expect(string(r.Head)).To(HaveSuffix("\r\n\r\n"))
	g.Expect(r.Reads).NotTo(BeEmpty())
	g.Expect(r.Reads[len(r.Reads)-1].End).To(Equal(len(r.Body)))
	g.Expect(x.Sent).To(And(BeNumerically(">", 0), BeNumerically("<=", x.Headers)))
	g.Expect(r.Reads[0].At).To(BeNumerically(">=", x.Headers))
	g.Expect(x.End).To(BeNumerically(">=", r.Reads[len(r.Reads)-1].At))
}

func TestRequestHeadersWin(t *testing.T) {
	seen := make(chan string, 1)
	c := serve(t, func(conn net.Conn, r *http.Request) bool {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s|", r.Method, r.Host)
		for _, name := range []string{"Authorization", "Content-Type", "User-Agent", "Accept", "Content-Length"} {
			fmt.Fprintf(&b, "%s=%q ", name, r.Header[name])
		}
		fmt.Fprintf(&b, "te=%v", r.TransferEncoding)
		seen <- b.String()
		io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		return true
	})
	c.o.Key = "k"
	body := []byte("{}")
	host := strings.TrimPrefix(c.base, "http://")
	for name, tt := range map[string]struct {
		r    Request
		want string
	}{
		"defaults": {Request{Body: body},
			`POST ` + host + `|Authorization=["Bearer k"] Content-Type=["application/json"] User-Agent=[] Accept=[] Content-Length=["2"] te=[]`},
		"left out": {Request{Body: body, Header: http.Header{"authorization": {""}, "Content-type": {""}}},
			`POST ` + host + `|Authorization=[] Content-Type=[] User-Agent=[] Accept=[] Content-Length=["2"] te=[]`},
		"odd case": {Request{Body: body, Header: http.Header{"content-TYPE": {"application/json; charset=utf-8"}, "AUTHORIZATION": {"raw"}}},
			`POST ` + host + `|Authorization=["raw"] Content-Type=["application/json; charset=utf-8"] User-Agent=[] Accept=[] Content-Length=["2"] te=[]`},
		"chunked": {Request{Body: body, Header: http.Header{"Transfer-Encoding": {"chunked"}}},
			`POST ` + host + `|Authorization=["Bearer k"] Content-Type=["application/json"] User-Agent=[] Accept=[] Content-Length=[] te=[chunked]`},
		"no body": {Request{Method: "GET", Header: http.Header{"Host": {"other"}}},
			`GET other|Authorization=["Bearer k"] Content-Type=[] User-Agent=[] Accept=[] Content-Length=[] te=[]`},
		"empty body": {Request{},
			`POST ` + host + `|Authorization=["Bearer k"] Content-Type=[] User-Agent=[] Accept=[] Content-Length=["0"] te=[]`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			x := c.Do(t.Context(), name, tt.r)
			g.Expect(x.Error).To(BeEmpty())
			g.Expect(<-seen).To(Equal(tt.want))
		})
	}
}

func TestHeadIsAsReceived(t *testing.T) {
	for name, tt := range map[string]struct {
		send, head, body string
		complete         bool
	}{
		"length and chunked together": {
			send: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nx-OdD:  1 \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			head: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nx-OdD:  1 \r\n\r\n",
			body: "hello", complete: true},
		"close delimits": {
			send: "HTTP/1.1 200 OK\r\n\r\nbody to the end",
			head: "HTTP/1.1 200 OK\r\n\r\n", body: "body to the end", complete: true},
		"bare line feeds": {
			send: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
			head: "HTTP/1.1 200 OK\nContent-Length: 2\n\n", body: "ok", complete: true},
		"interim answers": {
			send: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
			head: "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", complete: true},
		"short body": {
			send: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
			head: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", body: "half"},
		"no last chunk": {
			send: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
			head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body: "half"},
		"redirect": {
			send: "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
			head: "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", complete: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			x := say(t, tt.send).Do(t.Context(), name, Request{})
			g.Expect(x.Response).NotTo(BeNil(), x.Error)
			g.Expect(string(x.Response.Head)).To(Equal(tt.head))
			g.Expect(string(x.Response.Body)).To(Equal(tt.body))
			g.Expect(x.Response.Complete).To(Equal(tt.complete))
			g.Expect(x.Error == "").To(Equal(tt.complete), x.Error)
		})
	}
}

func TestHeadThatNetHTTPRefuses(t *testing.T) {
	g := NewWithT(t)
	head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
	x := say(t, head+"abc").Do(t.Context(), "x", Request{})
	g.Expect(x.Error).To(HavePrefix("malformed response header: "))
	g.Expect(string(x.Response.Head)).To(Equal(head))
	g.Expect(x.Response.Status).To(Equal(200))
	g.Expect(x.Response.Complete).To(BeFalse())

	x = say(t, "SSH-2.0-OpenSSH\r\n\r\n").Do(t.Context(), "x", Request{})
	g.Expect(x.Response).To(BeNil())
	g.Expect(x.Error).To(And(HavePrefix("no response: "), ContainSubstring("SSH-2.0")))
}

func TestHeadsOnOneConnection(t *testing.T) {
	c := serve(t, func(conn net.Conn, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s", body, len(body), body)
		return true
	})
	var all sync.WaitGroup
	var mu sync.Mutex
	reused := 0
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				body := fmt.Sprintf("n%d.%d", i, j)
				x := c.Do(t.Context(), body, Request{Body: []byte(body)})
				want := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n", body, len(body))
				if x.Error != "" || string(x.Response.Head) != want || string(x.Response.Body) != body {
					t.Errorf("%s: error %q, head %q", body, x.Error, x.Response.Head)
				}
				mu.Lock()
				if x.Reused {
					reused++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if reused == 0 {
		t.Error("no connection was used again")
	}
}

func TestResetInBody(t *testing.T) {
	g := NewWithT(t)
	read := make(chan struct{})
	c := serve(t, func(conn net.Conn, r *http.Request) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"a\":1}\n\n")
		<-read
		conn.(*net.TCPConn).SetLinger(0)
		return false
	})
	var once sync.Once
	x := c.Do(t.Context(), "reset", Request{}, StopWhen(func(body []byte) bool {
		if bytes.HasSuffix(body, []byte("\n\n")) {
			once.Do(func() { close(read) })
		}
		return false
	}))
	g.Expect(x.Error).To(And(HavePrefix("body broke off at 15 bytes: "), ContainSubstring("reset")))
	g.Expect(x.Response.Complete).To(BeFalse())
	g.Expect(x.Response.Stream().Events).To(HaveLen(1))
}

func TestOneByteChunks(t *testing.T) {
	g := NewWithT(t)
	text := "data: {\"x\":\"é\"}\r\n\r\ndata: [DONE]\n\n"
	next := make(chan struct{}, 1)
	next <- struct{}{}
	c := serve(t, func(conn net.Conn, r *http.Request) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := range len(text) {
			<-next
			fmt.Fprintf(conn, "1\r\n%s\r\n", text[i:i+1])
		}
		io.WriteString(conn, "0\r\n\r\n")
		return true
	})
	x := c.Do(t.Context(), "bytes", Request{}, StopWhen(func([]byte) bool {
		next <- struct{}{}
		return false
	}))
	g.Expect(x.Error).To(BeEmpty())
	g.Expect(x.Response.Complete).To(BeTrue())
	g.Expect(string(x.Response.Body)).To(Equal(text))
	g.Expect(x.Response.Reads).To(HaveLen(len(text)))
	s := x.Response.Stream()
	g.Expect(s.Events).To(HaveLen(2))
	g.Expect(s.Events[0].At).To(Equal(x.Response.Reads[s.Events[0].End-1].At))
	g.Expect(s.Events[1].At).To(Equal(x.Response.Reads[len(text)-1].At))
}

// endless answers with a stream that goes on until the client goes away, and
// says on the channel when it did.
func endless(t *testing.T, first, again string) (*Client, chan struct{}) {
	gone := make(chan struct{}, 1)
	return serve(t, func(conn net.Conn, r *http.Request) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"+first)
		for again != "" {
			if _, err := io.WriteString(conn, again); err != nil {
				gone <- struct{}{}
				return false
			}
		}
		conn.Read(make([]byte, 1)) // until the client closes
		gone <- struct{}{}
		return false
	}), gone
}

func TestStopWhen(t *testing.T) {
	g := NewWithT(t)
	c, gone := endless(t, "", "data: {}\n\n")
	x := c.Do(t.Context(), "stop", Request{}, StopWhen(func(b []byte) bool { return bytes.Count(b, []byte("data:")) >= 3 }))
	<-gone
	g.Expect(x.Error).To(BeEmpty())
	g.Expect(x.Stopped).To(Equal(StoppedAsked))
	g.Expect(x.Response.Complete).To(BeFalse())
	g.Expect(len(x.Response.Stream().Events)).To(BeNumerically(">=", 3))
}

func TestLinger(t *testing.T) {
	for name, first := range map[string]string{
		"event":   "data: {}\n\ndata: [DONE]\n\n",
		"no line": "data:[DONE]",
		"CR":      "data: {}\r\rdata: [DONE]\r\r",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c, gone := endless(t, first, "")
			x := c.Do(t.Context(), "linger", Request{}, Linger(20*time.Millisecond))
			<-gone
			g.Expect(x.Error).To(BeEmpty())
			g.Expect(x.Stopped).To(Equal(StoppedLinger))
			g.Expect(x.Response.Complete).To(BeFalse())
			g.Expect(string(x.Response.Body)).To(Equal(first))
		})
	}
}

func TestDoneInTextIsNoEnd(t *testing.T) {
	for body, want := range map[string]bool{
		"data: [DONE]":                       true,
		"\ndata:[DONE]":                      true,
		"data: {\"text\":\"data: [DONE]\"}":  false,
		"[DONE]":                             false,
		"data:  [DONE]":                      false,
		"xdata: [DONE]":                      false,
		"data: \"[DONE]\"\n\ndata: [DONE]\n": true,
	} {
		var d doneFinder
		found := false
		for i := range len(body) + 1 { // byte by byte, as it may arrive
			found = found || d.find([]byte(body[:i]))
		}
		if found != want {
			t.Errorf("%q: found %v", body, found)
		}
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	g := NewWithT(t)
	c, gone := endless(t, "data: {}\n\n", "")
	x := c.Do(t.Context(), "slow", Request{}, Timeout(50*time.Millisecond))
	<-gone
	g.Expect(x.Error).To(Equal("timeout: body broke off at 10 bytes after 50ms"))
	g.Expect(string(x.Response.Body)).To(Equal("data: {}\n\n"))
	g.Expect(x.End).To(BeNumerically(">=", 50*time.Millisecond))

	ctx, cancel := context.WithCancel(t.Context())
	x = c.Do(ctx, "cut", Request{}, StopWhen(func([]byte) bool { cancel(); return false }))
	<-gone
	g.Expect(x.Error).To(Equal("cancelled: body broke off at 10 bytes: context canceled"))
	g.Expect(x.Response.Status).To(Equal(200))

	silent := serve(t, func(conn net.Conn, r *http.Request) bool {
		conn.Read(make([]byte, 1))
		return false
	})
	x = silent.Do(t.Context(), "silent", Request{}, Timeout(50*time.Millisecond))
	g.Expect(x.Response).To(BeNil())
	g.Expect(x.Error).To(Equal("timeout: no response after 50ms"))
	g.Expect(x.Sent).To(BeNumerically(">", 0))

	x = silent.Do(ctx, "never", Request{})
	g.Expect(x.Error).To(HavePrefix("cancelled: request not sent: "))
}

func TestTooLong(t *testing.T) {
	g := NewWithT(t)
	c, gone := endless(t, "", "0123456789")
	c.o.MaxBody = 1005
	x := c.Do(t.Context(), "long", Request{})
	<-gone
	g.Expect(x.Error).To(ContainSubstring("longer than 1005 bytes"))
	g.Expect(x.Response.Body).To(HaveLen(1005))
	g.Expect(x.Response.Reads[len(x.Response.Reads)-1].End).To(Equal(1005))
}

func TestRefusedAndBadRequests(t *testing.T) {
	g := NewWithT(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	addr := l.Addr().String()
	l.Close()
	c, err := NewClient(Options{BaseURL: "http://" + addr})
	g.Expect(err).NotTo(HaveOccurred())
	x := c.Do(t.Context(), "refused", Request{Path: "/x"})
	g.Expect(x.Error).To(And(HavePrefix("request not sent: "), ContainSubstring("refused")))
	g.Expect(x.Response).To(BeNil())
	g.Expect(c.Do(t.Context(), "bad", Request{Method: "A B"}).Error).To(ContainSubstring("invalid method"))
	g.Expect(c.Do(t.Context(), "bad", Request{Path: "/%zz"}).Error).To(ContainSubstring("invalid URL escape"))
	g.Expect(c.Do(t.Context(), "bad", Request{Header: http.Header{"A b": {"x"}}}).Error).NotTo(BeEmpty())

	for _, bad := range []Options{{}, {BaseURL: "host:80"}, {BaseURL: "ftp://h"}, {BaseURL: "http://u:p@h"},
		{BaseURL: "http://h?x=1"}, {BaseURL: "http://h", Key: "a\nb"}} {
		_, err := NewClient(bad)
		g.Expect(err).To(HaveOccurred(), "%+v", bad)
	}
}

func TestTLS(t *testing.T) {
	g := NewWithT(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	defer srv.Close()
	c, err := NewClient(Options{BaseURL: srv.URL, TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig, Key: "k", KeyHeader: "api-key"})
	g.Expect(err).NotTo(HaveOccurred())
	defer c.Close()
	x := c.Do(t.Context(), "tls", Request{})
	g.Expect(x.Error).To(BeEmpty())
	g.Expect(string(x.Response.Body)).To(Equal("HTTP/1.1"))
	g.Expect(string(x.Response.Head)).To(HavePrefix("HTTP/1.1 200 OK\r\n"))
	g.Expect(x.Request.Header).To(HaveKeyWithValue("Api-Key", []string{"k"}))

	c, err = NewClient(Options{BaseURL: srv.URL})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Do(t.Context(), "untrusted", Request{}).Error).To(ContainSubstring("certificate"))
}
