package simulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

// pair is a connection of the server's and the client's end of it.
func pair(t *testing.T) (*connection, net.Conn) {
	t.Helper()
	s, err := New(Options{Generator: newFake()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Listener(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); c.Close() })
	return c.(*connection), client
}

// TestReadDeadlines: deadlines of reads hold as those of any connection do,
// however they are moved before and while one waits.
func TestReadDeadlines(t *testing.T) {
	const soon, late = 50 * time.Millisecond, time.Hour
	set := func(c *connection, d time.Duration) {
		at := time.Time{}
		if d != 0 {
			at = time.Now().Add(d)
		}
		if err := c.SetReadDeadline(at); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name    string
		before  []time.Duration // 0: none
		during  []time.Duration
		expires bool
	}{
		{"none", nil, nil, false},
		{"one that comes", []time.Duration{soon}, nil, true},
		{"one that is past", []time.Duration{-late}, nil, true},
		{"one that was past", []time.Duration{-late, 0}, nil, false},
		{"a later one", []time.Duration{soon, late}, nil, false},
		{"a sooner one", []time.Duration{late, soon}, nil, true},
		{"one, meanwhile", nil, []time.Duration{soon}, true},
		{"a sooner one, meanwhile", []time.Duration{late}, []time.Duration{soon}, true},
		{"a past one, meanwhile", []time.Duration{late}, []time.Duration{-late}, true},
		{"a later one, meanwhile", []time.Duration{soon}, []time.Duration{late}, false},
		{"none any more, meanwhile", []time.Duration{soon}, []time.Duration{0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, client := pair(t)
			// Twice, and each time a byte is left to be read: the second time meets
			// what the first has left.
			for range 2 {
				begun := time.Now()
				for _, d := range c.before {
					set(server, d)
				}
				type result struct {
					n   int
					err error
				}
				ended := make(chan result, 1)
				var b [8]byte
				go func() { n, err := server.Read(b[:]); ended <- result{n, err} }()
				if c.during != nil {
					for reading := false; !reading && len(ended) == 0; {
						server.mu.Lock()
						reading = server.reading
						server.mu.Unlock()
					}
					for _, d := range c.during {
						set(server, d)
					}
					if time.Since(begun) > soon {
						t.Skip("what was to be moved came before that")
					}
				}
				if !c.expires {
					select { // what was set first can come
					case r := <-ended:
						t.Fatalf("ended after %s: %d bytes, %v", time.Since(begun), r.n, r.err)
					case <-time.After(time.Until(begun.Add(2 * soon))):
					}
					_, _ = client.Write([]byte("x"))
				}
				r := <-ended
				if late := errors.Is(r.err, os.ErrDeadlineExceeded); late != c.expires || late == (r.n == 1) {
					t.Errorf("%d bytes, %v", r.n, r.err)
				}
				if timeout, ok := r.err.(net.Error); c.expires && (!ok || !timeout.Timeout()) {
					t.Errorf("%T is no timeout", r.err)
				}
				set(server, 0)
				_, _ = client.Write([]byte("y"))
				if n, err := server.Read(b[:]); n != 1 || b[0] != 'y' || err != nil {
					t.Errorf("afterwards: %d bytes, %q, %v", n, b[0], err)
				}
			}
		})
	}
}

// TestWriteDeadlines: so do those of writes.
func TestWriteDeadlines(t *testing.T) {
	c, _ := pair(t)
	for _, past := range []bool{false, true, false} {
		at := time.Time{}
		if past {
			at = time.Now().Add(-time.Hour)
		}
		if err := c.SetDeadline(at); err != nil {
			t.Error(err)
		}
		if _, err := c.Write([]byte("x")); errors.Is(err, os.ErrDeadlineExceeded) != past {
			t.Errorf("past %t: %v", past, err)
		}
	}
}

// endless generates until it is stopped, which it tells.
type endless struct {
	Generator
	begun, over chan struct{}
}

func (g endless) Generate(ctx context.Context, r engine.Request) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		g.begun <- struct{}{}
		<-ctx.Done()
		yield(engine.Step{}, ctx.Err())
		g.over <- struct{}{}
	}
}

// TestConnectionOfOneThatLeaves: on a connection that had an answer, the
// generation of a client that goes away ends, and what a client sends ahead of
// its turn is not lost.
func TestConnectionOfOneThatLeaves(t *testing.T) {
	g := endless{newFake(), make(chan struct{}), make(chan struct{})}
	s, err := New(Options{Generator: g})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s, ConnContext: s.ConnContext, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}
	go server.Serve(s.Listener(l))
	defer server.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw := func(method, path, body string) string {
		r, _ := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
		var b strings.Builder
		_ = r.Write(&b)
		return b.String()
	}
	in := bufio.NewReader(client)
	bad := raw("POST", completionsPath, `{"prompt":5}`)
	for _, send := range []string{bad, bad + bad + bad} { // pipelined, too
		_, _ = io.WriteString(client, send)
		for range strings.Count(send, "POST") {
			r, err := http.ReadResponse(in, nil)
			if err != nil || r.StatusCode != 400 {
				t.Fatalf("%v %v", r, err)
			}
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}
	_, _ = io.WriteString(client, raw("POST", completionsPath, ask(completionsPath, "")))
	<-g.begun
	client.Close()
	<-g.over
}
