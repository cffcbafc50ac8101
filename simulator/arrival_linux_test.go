package simulator

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLatencyCountsFromArrival: a request that waited for the server came when it
// reached this machine, if latency is simulated.
func TestLatencyCountsFromArrival(t *testing.T) {
	for _, paced := range []bool{true, false} {
		o := Options{Generator: newFake(), Journal: 1}
		if paced {
			o.Latency.TTFT.Mean = time.Nanosecond
		}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		listen := func() net.Listener {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return s.Listener(l)
		}
		listen()
		// The kernel begins to stamp a while after the first that asks for it.
		var before, served, came time.Time
		for range 1000 {
			l := listen()
			before = time.Now()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			body := ask(completionsPath, "")
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", completionsPath, len(body), body)
			served = time.Now()
			server := &http.Server{Handler: s, ConnContext: s.ConnContext}
			go server.Serve(l)
			answer, err := io.ReadAll(c)
			if err != nil || !strings.Contains(string(answer), "200 OK") {
				t.Fatalf("%v %s", err, answer)
			}
			server.Close()
			if came = s.Journal()[0].At; !paced || came.Before(served) {
				break
			}
		}
		if came.Before(before) || came.Before(served) != paced {
			t.Errorf("paced %t: it came %s after it was sent, and the server began after %s", paced, came.Sub(before), served.Sub(before))
		}
	}
}

// TestArrivalOfEveryConnection: requests find their connection whatever it
// carries, one after the other, and what ends a connection ends it as ever.
func TestArrivalOfEveryConnection(t *testing.T) {
	for _, c := range []struct {
		name        string
		tls, second bool
	}{{"plain", false, false}, {"TLS", true, false}, {"HTTP/2", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			s, err := New(Options{Generator: newFake(), Latency: Latency{TTFT: Distribution{Mean: time.Nanosecond}}})
			if err != nil {
				t.Fatal(err)
			}
			var last time.Time
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				now := time.Now()
				at := arrival(r.Context(), now)
				if !at.Before(now) || !at.After(last) {
					t.Errorf("it came at %s, the one before at %s; now it is %s", at, last, now)
				}
				last = at
				s.ServeHTTP(w, r)
			}))
			h.Listener = s.Listener(h.Listener)
			h.Config.ConnContext = s.ConnContext
			h.EnableHTTP2 = c.second
			if c.tls {
				h.StartTLS()
			} else {
				h.Start()
			}
			defer h.Close()
			for range 3 {
				if r := post(t, h, completionsPath, ask(completionsPath, `"stream":true`)); r.status != 200 || len(r.events()) < 3 {
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
}
