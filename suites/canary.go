package suites

import (
	"bytes"
	"encoding/base64"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
)

// canaryHost stands in a request for the address of its canary.
const canaryHost = "127.0.0.1:9"

// A canary listens on loopback for a target that fetches what it must not
// (VIS-004). It answers with an image, so that the target goes on.
type canary struct {
	server *http.Server
	host   string

	mu   sync.Mutex
	came []exchange.Request
}

// newCanary listens on a free port; nil if there is none.
func newCanary() *canary {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil
	}
	c := &canary{host: l.Addr().String()}
	png, _ := base64.StdEncoding.DecodeString(tinyPNG)
	c.server = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.came = append(c.came, exchange.Request{Method: r.Method, URL: "http://" + c.host + r.URL.Path})
		c.mu.Unlock()
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(png)
	})}
	go func() { _ = c.server.Serve(l) }()
	return c
}

// in puts the address of the canary into a body.
func (c *canary) in(body []byte) []byte {
	return bytes.ReplaceAll(body, []byte(canaryHost), []byte(c.host))
}

// heard stops listening and returns the first that came, as an exchange that
// has no response of the target; nil if none came.
func (c *canary) heard(id exchangeID) *exchange.Exchange {
	_ = c.server.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.came) == 0 {
		return nil
	}
	return &exchange.Exchange{ID: id.String(), Started: time.Now(), Request: c.came[0], Error: "sent by the target, to the harness"}
}
