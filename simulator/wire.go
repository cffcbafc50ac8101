package simulator

import (
	"context"
	"iter"
	"net/http"
	"strconv"

	"github.com/touchstone-llm/touchstone/engine"
)

// send writes an answer that is not streamed (clause RSP-001).
func (c *call) send(w http.ResponseWriter, body []byte) {
	for _, f := range c.hooks.send {
		if f(c, w, body) {
			return
		}
	}
	c.setHeader(w.Header(), jsonType)
	if len(body) > lengthWritten {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	_, _ = w.Write(body)
}

// lengthWritten is how long a body may be for net/http to hold it back until the
// handler returns, and to write its length then.
const lengthWritten = 2048

// Values of headers, which all answers share.
var (
	jsonType   = []string{"application/json"}
	streamType = []string{eventStream}
	noCache    = []string{"no-cache"}
	noBuffers  = []string{"no"}
)

func (c *call) setHeader(h http.Header, contentType []string) {
	h["Content-Type"] = contentType
	if contentType[0] == eventStream {
		h["Cache-Control"] = noCache       // STR-024
		h["X-Accel-Buffering"] = noBuffers // proxies pass each event on (STR-022)
	}
	if c.reserved != nil {
		c.reserved.write(c.context, h)
	}
	for _, f := range c.hooks.header {
		f(c, h)
	}
}

// refuse writes a refusal, as JSON also when a stream was asked for (STR-025).
func (c *call) refuse(w http.ResponseWriter, r *refusal) {
	for _, f := range c.hooks.refuse {
		if f(c, w, r) {
			return
		}
	}
	if v, sent := c.document.get(r.param); sent && len(v.Raw) <= mostShown {
		r.input = v.Raw
	}
	c.dialect.writeRefusal(w, r)
}

func (d *dialect) writeRefusal(w http.ResponseWriter, r *refusal) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	if d.refusals.codeHeader != "" && r.code != "" {
		w.Header().Set(d.refusals.codeHeader, r.code) // AUT-018, ERR-016
	}
	body := d.refusals.append(nil, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(d.refusals.statusOf(r))
	_, _ = w.Write(body)
}

const eventStream = "text/event-stream"

// stream writes server-sent events, flushing each. The status line waits for
// the first of them, so that an early failure keeps its own status.
func (c *call) stream(ctx context.Context, w http.ResponseWriter, steps engine.Steps) {
	started, err := c.writeFrames(w, c.frames(c.chunks(steps)))
	switch {
	case err != nil || ctx.Err() != nil: // the client has gone
		for _, f := range c.hooks.left {
			f()
		}
	case !started:
		c.refuse(w, c.failed(c.failure))
	default:
		for _, f := range c.hooks.after {
			f()
		}
	}
}

// writeFrames says whether there were any.
func (c *call) writeFrames(w http.ResponseWriter, frames iter.Seq[[]byte]) (started bool, err error) {
	flush := http.NewResponseController(w)
	for frame := range frames {
		if !started {
			started = true
			c.setHeader(w.Header(), streamType)
		}
		if _, err := w.Write(frame); err != nil {
			return started, err
		}
		if err := flush.Flush(); err != nil {
			return started, err
		}
	}
	return started, nil
}

// frames puts documents into events, `data: {…}` and a blank line, and ends
// with [DONE] (clauses STR-002 to STR-007). A failure after the first event is
// an event with an error object, and then [DONE], for the clients that wait for
// it (STR-026, STR-027); no finish_reason is invented.
func (c *call) frames(chunks iter.Seq[[]byte]) iter.Seq[[]byte] {
	frames := func(yield func([]byte) bool) {
		var b []byte
		started := false
		for chunk := range chunks {
			started = true
			if b = appendEvent(b[:0], chunk); !yield(b) {
				return
			}
		}
		if !started {
			return // nothing but a failure, which stream reports
		}
		if c.failure != nil {
			if b = appendEvent(b[:0], c.dialect.refusals.append(nil, c.failed(c.failure))); !yield(b) {
				return
			}
		}
		yield([]byte("data: [DONE]\n\n"))
	}
	for _, change := range c.hooks.frames {
		frames = change(c, frames)
	}
	return frames
}

func appendEvent(b, data []byte) []byte {
	b = append(b, "data: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}
