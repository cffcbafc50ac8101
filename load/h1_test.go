package load

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestStartedRequests: a request that is written ahead on an idle connection is
// answered whatever the connection came to, and sent once more only where none
// of an answer came.
func TestStartedRequests(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		closed bool // by the server, before the request
		asked  int  // requests that the server saw, with that before
	}{
		{"idle", 100, false, 2},
		{"longer than the connection holds", 16 << 20, false, 2},
		{"closed meanwhile", 100, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				n, _ := io.Copy(io.Discard, r.Body)
				io.WriteString(w, r.Header.Get("User-Agent")+strings.Repeat("+", int(n>>20)))
			}))
			defer h.Close()
			s, err := newSender(Target{URL: h.URL, Dialect: "openai"}, HTTPOptions{}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			direct := s.client.(*h1)
			q := &Request{Work: &Work{Route: Chat}, Body: bytes.Repeat([]byte("x"), c.size)}
			read := func(response *http.Response, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(response.Body)
				if want := "touchstone-load" + strings.Repeat("+", c.size>>20); err != nil || string(b) != want {
					t.Fatalf("%v: %q, want %q", err, b, want)
				}
			}
			head := s.head(q)
			if begun := direct.start(head, q.Body, s.now); begun != nil {
				t.Fatal("started on no connection")
			}
			req, _ := s.request(t.Context(), q)
			read(direct.RoundTrip(req))
			if c.closed {
				h.CloseClientConnections()
			}
			begun := direct.start(head, q.Body, s.now)
			if begun == nil {
				t.Skip("connections are not ours here")
			}
			if direct.take() != nil {
				t.Error("its connection is still idle")
			}
			req, _ = s.request(t.Context(), q)
			read(begun.goOn(req))
			if int(asked.Load()) != c.asked {
				t.Errorf("the server saw %d requests, want %d", asked.Load(), c.asked)
			}
			if last := direct.take(); last == nil {
				t.Error("its connection is not idle again")
			}
		})
	}
}
