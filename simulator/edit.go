package simulator

import (
	"bytes"
	"iter"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// This file holds what defects use to change documents, chunks and steps.

// An object is a JSON object whose members keep their order and their text.
type object struct{ members []objectMember }

type objectMember struct{ name, raw string }

func parseObject(raw string) *object {
	o := &object{}
	gjson.Parse(raw).ForEach(func(key, value gjson.Result) bool {
		o.members = append(o.members, objectMember{key.Str, value.Raw})
		return true
	})
	return o
}

// get returns the JSON text of a member, "" when there is none.
func (o *object) get(name string) string {
	for _, m := range o.members {
		if m.name == name {
			return m.raw
		}
	}
	return ""
}

// set replaces a member, or adds it at the end.
func (o *object) set(name, raw string) {
	for i := range o.members {
		if o.members[i].name == name {
			o.members[i].raw = raw
			return
		}
	}
	o.members = append(o.members, objectMember{name, raw})
}

func (o *object) remove(name string) {
	for i, m := range o.members {
		if m.name == name {
			o.members = append(o.members[:i], o.members[i+1:]...)
			return
		}
	}
}

func (o *object) String() string {
	b := []byte{'{'}
	for i, m := range o.members {
		b = appendString(comma(b, i), m.name)
		b = append(append(b, ':'), m.raw...)
	}
	return string(append(b, '}'))
}

// quote is s as JSON.
func quote(s string) string { return string(appendString(nil, s)) }

// edit changes the members of a document.
func edit(document []byte, f func(*object)) []byte {
	o := parseObject(string(document))
	f(o)
	return []byte(o.String())
}

// editChoices changes the choices of a document; i is the place in the array.
func editChoices(document []byte, f func(i int, choice *object)) []byte {
	return edit(document, func(o *object) {
		b := []byte{'['}
		for i, raw := range gjson.Parse(o.get("choices")).Array() {
			choice := parseObject(raw.Raw)
			f(i, choice)
			b = append(comma(b, i), choice.String()...)
		}
		o.set("choices", string(append(b, ']')))
	})
}

// What defects do to every call, in a word.

func always(f func(*call)) func() arming { return func() arming { return f } }

// before runs f ahead of a stage.
func before(stage string, f func(*call)) func() arming {
	return always(func(c *call) {
		c.hooks.on(stage, func(c *call) *refusal { f(c); return nil })
	})
}

// asked changes the request to the engine.
func asked(f func(*call, *engine.Request)) func() arming {
	return always(func(c *call) { c.hooks.request = append(c.hooks.request, f) })
}

// everyStep changes each step of the engine's answer.
func everyStep(f func(*call, *engine.Step)) func() arming {
	return allSteps(func(c *call, steps engine.Steps) engine.Steps {
		return func(yield func(engine.Step, error) bool) {
			for s, err := range steps {
				if err == nil {
					f(c, &s)
				}
				if !yield(s, err) {
					return
				}
			}
		}
	})
}

// allSteps replaces the engine's answer.
func allSteps(f func(*call, engine.Steps) engine.Steps) func() arming {
	return always(func(c *call) { c.hooks.steps = append(c.hooks.steps, f) })
}

// answers changes answers that are not streamed.
func answers(f func(*call, *object)) func() arming {
	return always(func(c *call) {
		c.hooks.answer = append(c.hooks.answer, func(c *call, b []byte) []byte {
			return edit(b, func(o *object) { f(c, o) })
		})
	})
}

// answerChoices changes each choice of answers that are not streamed.
func answerChoices(f func(c *call, i int, choice *object)) func() arming {
	return always(func(c *call) {
		c.hooks.answer = append(c.hooks.answer, func(c *call, b []byte) []byte {
			return editChoices(b, func(i int, o *object) { f(c, i, o) })
		})
	})
}

// chunks changes each chunk of a stream.
func chunks(f func(*call, *object)) func() arming {
	return allChunks(func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for b := range in {
				if !yield(edit(b, func(o *object) { f(c, o) })) {
					return
				}
			}
		}
	})
}

// chunkChoices changes the choice of each chunk of a stream.
func chunkChoices(f func(c *call, choice *object)) func() arming {
	return allChunks(func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for b := range in {
				if !yield(editChoices(b, func(_ int, o *object) { f(c, o) })) {
					return
				}
			}
		}
	})
}

// allChunks replaces the chunks of a stream.
func allChunks(f func(*call, iter.Seq[[]byte]) iter.Seq[[]byte]) func() arming {
	return always(func(c *call) { c.hooks.chunks = append(c.hooks.chunks, f) })
}

// allFrames replaces the framed events of a stream.
func allFrames(f func(*call, iter.Seq[[]byte]) iter.Seq[[]byte]) func() arming {
	return always(func(c *call) { c.hooks.frames = append(c.hooks.frames, f) })
}

// everyFrame changes each framed event of a stream but [DONE].
func everyFrame(f func(i int, frame []byte) []byte) func() arming {
	return allFrames(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			i := 0
			for b := range in {
				if !isDone(b) {
					b = f(i, b)
				}
				if !yield(b) {
					return
				}
				i++
			}
		}
	})
}

// onDone replaces the last event of a stream, `data: [DONE]`.
func onDone(frames ...string) func() arming {
	return allFrames(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for b := range in {
				if !isDone(b) {
					if !yield(b) {
						return
					}
					continue
				}
				for _, f := range frames {
					if !yield([]byte(f)) {
						return
					}
				}
			}
		}
	})
}

const done = "data: [DONE]\n\n"

func isDone(frame []byte) bool { return bytes.HasPrefix(frame, []byte("data: [DONE]")) }

// headers changes the header of a 200.
func headers(f func(*call, http.Header)) func() arming {
	return always(func(c *call) { c.hooks.header = append(c.hooks.header, f) })
}

// What a chunk says, and of whom.

func chunkIndex(chunk []byte) int { return int(gjson.GetBytes(chunk, "choices.0.index").Int()) }

// chunkEnds says whether a chunk is the last of its choice.
func chunkEnds(chunk []byte) bool {
	return gjson.GetBytes(chunk, "choices.0.finish_reason").Type == gjson.String
}

// chunkText is the text that a chunk carries.
func chunkText(chunk []byte) string {
	if text := gjson.GetBytes(chunk, "choices.0.text"); text.Exists() {
		return text.Str
	}
	return gjson.GetBytes(chunk, "choices.0.delta.content").Str
}

// withText is chunk with another text and without log probabilities.
func withText(chunk []byte, text string) []byte {
	return editChoices(chunk, func(_ int, o *object) {
		if o.get("text") != "" {
			o.set("text", quote(text))
		} else {
			o.set("delta", `{"content":`+quote(text)+`}`)
		}
		if o.get("logprobs") != "" {
			o.set("logprobs", "null")
		}
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
