package simulator

import (
	"iter"
	"net/http"

	"github.com/touchstone-llm/touchstone/engine"
)

// hooks are where defects reach into a call, in the order of the flow. The
// reference has none: every list is empty.
type hooks struct {
	// before run ahead of a stage, and may change the call or refuse it.
	before map[string][]func(*call) *refusal
	// request changes what the engine is asked for.
	request []func(*call, *engine.Request)
	// steps changes what the engine answers.
	steps []func(*call, engine.Steps) engine.Steps
	// answer changes the document of an answer that is not streamed.
	answer []func(*call, []byte) []byte
	// chunks changes the documents of a stream, without framing and [DONE].
	// A chunk is valid until the next is asked for.
	chunks []func(*call, iter.Seq[[]byte]) iter.Seq[[]byte]
	// frames changes the framed events, [DONE] included, as chunks does.
	frames []func(*call, iter.Seq[[]byte]) iter.Seq[[]byte]
	// header changes the header of a 200.
	header []func(*call, http.Header)
	// after runs when a stream was sent to its end.
	after []func()
	// left runs when the client of a stream has gone before its end.
	left []func()
	// send replaces the sending of an answer that is not streamed, if it
	// returns true.
	send []func(c *call, w http.ResponseWriter, body []byte) bool
	// refuse replaces the sending of a refusal, if it returns true.
	refuse []func(c *call, w http.ResponseWriter, r *refusal) bool
}

// on adds a function to run before a stage.
func (h *hooks) on(stage string, f func(*call) *refusal) {
	if h.before == nil {
		h.before = map[string][]func(*call) *refusal{}
	}
	h.before[stage] = append(h.before[stage], f)
}

// add appends the hooks of another.
func (h *hooks) add(o hooks) {
	for stage, list := range o.before {
		for _, f := range list {
			h.on(stage, f)
		}
	}
	h.request = append(h.request, o.request...)
	h.steps = append(h.steps, o.steps...)
	h.answer = append(h.answer, o.answer...)
	h.chunks = append(h.chunks, o.chunks...)
	h.frames = append(h.frames, o.frames...)
	h.header = append(h.header, o.header...)
	h.after = append(h.after, o.after...)
	h.left = append(h.left, o.left...)
	h.send = append(h.send, o.send...)
	h.refuse = append(h.refuse, o.refuse...)
}
