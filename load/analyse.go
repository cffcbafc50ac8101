package load

import (
	"bytes"
	"slices"
	"sync"
)

// A reading is what becomes of one response: the record that its events fill,
// off the read path.
type reading struct {
	rec  *Record
	what chunk
	body []byte // of a response that is not streamed, or of a refusal
	text []byte // what was generated, if wanted
	join []byte

	wantText         bool
	streamed         bool // the response is an event stream
	done             bool
	bad              int
	errors           int
	message          string // of the first of them
	prev             int64  // the last chunk
	doneAt           int64  // when data: [DONE] had come
	ended            chan struct{}
	finish           func(*reading)
	count            func(text []byte) int
	seenFinishReason bool
}

// take reads the events of a block, in order.
func (r *reading) take(b *block) {
	for _, m := range b.marks {
		r.event(b.buf[m.off:m.off+m.n], m.at)
	}
	if tail := b.buf[b.rest:]; len(tail) > 0 {
		if !r.streamed {
			if len(r.body) < maxBody {
				r.body = append(r.body, tail...)
			}
		} else if len(bytes.TrimSpace(tail)) > 0 {
			// What no blank line ends: a last event of a careless server.
			r.event(tail, r.rec.End)
		}
	}
}

// maxBody bounds what is kept of a response that is not streamed.
const maxBody = 64 << 20

// event reads one event, that ended at a time.
func (r *reading) event(b []byte, at int64) {
	if !r.streamed { // lines of a JSON body
		if len(r.body) < maxBody {
			r.body = append(r.body, b...)
		}
		return
	}
	rec := r.rec
	if rec.Events == 0 {
		b = bytes.TrimPrefix(b, []byte("\ufeff"))
		rec.FirstEvent = at
	}
	rec.Events++
	payload, name, ok := data(b, r.join)
	if !ok || r.done {
		return
	}
	if string(bytes.TrimSpace(payload)) == "[DONE]" {
		r.done = true
		return
	}
	r.what.keep = r.wantText
	if !readChunk(payload, &r.what) {
		if string(name) == "error" {
			r.fail(payload)
			return
		}
		r.bad++
		return
	}
	r.facts(at)
	if string(name) == "error" && !r.what.failed {
		r.fail(payload)
	}
}

// facts notes what a chunk says.
func (r *reading) facts(at int64) {
	rec, c := r.rec, &r.what
	if c.failed {
		r.fail(c.errorText)
	}
	if c.generated() {
		if rec.FirstToken == 0 {
			rec.FirstToken = at
		} else {
			rec.Gaps = append(rec.Gaps, int32(min((at-r.prev+500)/1000, 1<<31-1)))
		}
		if c.text && rec.FirstAnswerToken == 0 {
			rec.FirstAnswerToken = at
		}
		rec.LastToken, r.prev = at, at
		rec.Chunks++
	}
	if c.finish {
		r.seenFinishReason = true
		if string(c.finishReason) != rec.FinishReason {
			rec.FinishReason = string(c.finishReason)
		}
	}
	if c.usage {
		rec.PromptTokens, rec.OutputTokens = max(rec.PromptTokens, c.prompt), max(rec.OutputTokens, c.output)
		rec.CachedTokens, rec.ReasoningTokens = max(rec.CachedTokens, c.cached), max(rec.ReasoningTokens, c.thought)
	}
	for _, w := range c.words {
		r.text = unescape(r.text, w)
	}
}

func (r *reading) fail(message []byte) {
	if r.errors++; r.errors == 1 {
		r.message = clip(string(unescape(nil, message)))
	}
}

// close judges the whole response.
func (r *reading) close() {
	rec := r.rec
	flag := func(f string) { rec.Flags = append(rec.Flags, f) }
	if !r.streamed && rec.Status/100 == 2 && rec.Error == "" {
		r.what.keep = r.wantText
		switch {
		case !readChunk(bytes.TrimSpace(r.body), &r.what):
			rec.Error, rec.Message = ErrMalformed, "the body is no JSON: "+clip(string(r.body))
		case r.what.failed:
			r.fail(r.what.errorText)
		case r.what.choices == 0:
			rec.Error, rec.Message = ErrMalformed, "no choices: "+clip(string(r.body))
		default:
			r.facts(rec.End)
			// Tokens are not seen one by one; all came with the last byte.
			rec.FirstToken, rec.FirstAnswerToken, rec.Chunks, rec.Gaps = 0, 0, 0, nil
			if rec.Stream {
				flag(flagJSON)
			}
		}
	}
	if r.wantText && r.count != nil && len(r.text) > 0 {
		rec.CountedTokens = r.count(r.text)
	}
	if rec.Status/100 == 2 && r.streamed {
		switch {
		case r.errors > 0 && (rec.Error == "" || rec.Error == ErrTruncated):
			rec.Error, rec.Message = ErrEvent, r.message
		case rec.Error != "":
		case rec.Chunks == 0 && rec.Events > 0 && r.bad > 0:
			rec.Error, rec.Message = ErrMalformed, "no event is JSON with choices"
		case !r.seenFinishReason && !r.done:
			rec.Error, rec.Message = ErrTruncated, "the stream ended without finish_reason and without data: [DONE]"
		case !r.done:
			flag(flagNoDone)
		}
		if r.bad > 0 {
			flag(flagBadEvent)
		}
	} else if r.errors > 0 && rec.Error == "" {
		rec.Error, rec.Message = ErrEvent, r.message
	}
	if rec.Status != 0 && rec.Status/100 != 2 && rec.Message == "" {
		readChunk(bytes.TrimSpace(r.body), &r.what)
		if rec.Message = clip(string(unescape(nil, r.what.errorText))); rec.Message == "" {
			rec.Message = clip(string(r.body))
		}
	}
}

// clip keeps a message short and on one line.
func clip(s string) string {
	const limit = 300
	s = string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd")))
	if len(s) > limit {
		s = s[:limit] + " …"
		s = string(bytes.ToValidUTF8([]byte(s), nil))
	}
	return string(bytes.Join(bytes.Fields([]byte(s)), []byte(" ")))
}

// An analyst works through blocks behind the read path, those of one response
// in order. Only when its queue holds maxQueued bytes does a reader wait for
// it, which is a fact about the client, as is how long the queue grew.
type analyst struct {
	mu      sync.Mutex
	wake    sync.Cond
	room    sync.Cond
	bytes   int // in the queue
	waited  int // readers that had to wait
	queue   []job
	longest int
	closed  bool
	idle    chan struct{}
}

// maxQueued bounds the bytes that wait to be read.
const maxQueued = 64 << 20

type job struct {
	r *reading
	b *block // nil: the response is complete
}

func newAnalyst() *analyst {
	a := &analyst{idle: make(chan struct{})}
	a.wake.L, a.room.L = &a.mu, &a.mu
	go a.run()
	return a
}

func (a *analyst) put(r *reading, b *block) {
	a.mu.Lock()
	if a.bytes > maxQueued {
		a.waited++
		for a.bytes > maxQueued {
			a.room.Wait()
		}
	}
	if b != nil {
		a.bytes += cap(b.buf)
	}
	a.queue = append(a.queue, job{r, b})
	a.longest = max(a.longest, len(a.queue))
	a.mu.Unlock()
	a.wake.Signal()
}

func (a *analyst) run() {
	defer close(a.idle)
	var batch []job
	for {
		a.mu.Lock()
		for len(a.queue) == 0 && !a.closed {
			a.wake.Wait()
		}
		if len(a.queue) == 0 {
			a.mu.Unlock()
			return
		}
		batch, a.queue = a.queue, batch[:0]
		a.mu.Unlock()
		for i, w := range batch {
			if w.b != nil {
				w.r.take(w.b)
				a.mu.Lock()
				a.bytes -= cap(w.b.buf)
				a.mu.Unlock()
				a.room.Broadcast()
				w.b.free()
			} else {
				w.r.close()
				w.r.finish(w.r)
				if w.r.ended != nil {
					close(w.r.ended)
				}
			}
			batch[i] = job{}
		}
		if cap(batch) > 1<<16 {
			batch = slices.Clip(batch[:0])
		}
	}
}

// close works off the queue and ends.
func (a *analyst) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.wake.Signal()
	<-a.idle
}
