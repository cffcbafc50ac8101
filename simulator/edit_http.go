package simulator

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// This file holds what defects use around the server, and ahead of decoding.

// rewrite changes the members of a request's body, if it is an object at all.
func rewrite(f func(c *call, o *object)) func() arming {
	return rebody(func(c *call, body []byte) []byte {
		if !gjson.ValidBytes(body) || !gjson.ParseBytes(body).IsObject() {
			return body
		}
		o := parseObject(string(body))
		f(c, o)
		return []byte(o.String())
	})
}

// rebody changes the bytes of a request's body.
func rebody(f func(c *call, body []byte) []byte) func() arming {
	return before("decode", func(c *call) { c.body = f(c, c.body) })
}

// refusing refuses a request by its body, ahead of a stage.
func refusing(stage string, f func(c *call, o *object) *refusal) func() arming {
	return always(func(c *call) {
		c.hooks.on(stage, func(c *call) *refusal {
			if !gjson.ValidBytes(c.body) {
				return nil
			}
			return f(c, parseObject(string(c.body)))
		})
	})
}

// instead is the edit that gives a member another value where it has one of
// those listed, in turn with what each becomes. "" removes the member.
func instead(member string, values ...string) func(*call, *object) {
	return func(_ *call, o *object) {
		for i := 0; i+1 < len(values); i += 2 {
			if o.get(member) == values[i] {
				if values[i+1] == "" {
					o.remove(member)
				} else {
					o.set(member, values[i+1])
				}
				return
			}
		}
	}
}

// requests changes each request before the server sees it; false answers it.
func requests(f func(w http.ResponseWriter, r *http.Request) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if f(w, r) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// peek reads a body and puts it back.
func peek(r *http.Request) []byte {
	b, _ := io.ReadAll(r.Body)
	put(r, b)
	return b
}

// put gives a request another body.
func put(r *http.Request, b []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
}

// isInference says whether a path is that of a completion.
func isInference(path string) bool { return strings.HasSuffix(path, "/completions") }

// smallBody is a valid request to a path.
func smallBody(path string) []byte {
	if strings.HasSuffix(path, "/chat/completions") {
		return []byte(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}`)
	}
	return []byte(`{"prompt":"hi","max_tokens":1}`)
}

// statuses changes status and header of each answer just before they are sent.
func statuses(f func(r *http.Request, status int, h http.Header) int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&headed{ResponseWriter: w, change: func(status int, h http.Header) int { return f(r, status, h) }}, r)
		})
	}
}

// headed calls change once, before the header goes out.
type headed struct {
	http.ResponseWriter
	change func(status int, h http.Header) int
	sent   bool
}

func (h *headed) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *headed) WriteHeader(status int) {
	if !h.sent {
		h.sent = true
		status = h.change(status, h.Header())
	}
	h.ResponseWriter.WriteHeader(status)
}

func (h *headed) Write(b []byte) (int, error) {
	if !h.sent {
		h.WriteHeader(http.StatusOK)
	}
	return h.ResponseWriter.Write(b)
}

// bodies changes each whole answer: status, header and body. Streams lose their
// flow, so f is asked first whether it wants the answer to a request.
func bodies(wants func(r *http.Request) bool, f func(r *http.Request, status int, h http.Header, body []byte) (int, []byte)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !wants(r) {
				next.ServeHTTP(w, r)
				return
			}
			held := &held{to: w, header: http.Header{}, status: http.StatusOK}
			next.ServeHTTP(held, r)
			status, body := f(r, held.status, held.header, held.body.Bytes())
			for name, values := range held.header {
				if name != "Content-Length" {
					w.Header()[name] = values
				}
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		})
	}
}

// held keeps an answer back.
type held struct {
	to     http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(b []byte) (int, error) { return h.body.Write(b) }
func (h *held) FlushError() error           { return nil }
func (h *held) Unwrap() http.ResponseWriter { return h.to }

// refusedBodies changes the body of refusals of inference requests.
func refusedBodies(f func(r *refusal, body []byte) []byte) func() arming {
	return always(func(c *call) {
		c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
			body := f(r, c.dialect.refusals.append(nil, r))
			for name, values := range r.header {
				w.Header()[name] = values
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.dialect.refusals.statusOf(r))
			_, _ = w.Write(body)
			return true
		})
	})
}

// pause waits in place of work that comes too early.
func pause(c *call, d time.Duration) { c.server.wait(c.context.Done(), d) }
