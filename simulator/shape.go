package simulator

import (
	"iter"

	"github.com/touchstone-llm/touchstone/engine"
)

// A shape is how a route writes its answers: constant pieces around the text.
type shape struct {
	idPrefix    string
	object      string // of an answer
	chunkObject string // of a chunk of a stream
	// text goes between before and after in an answer's choice, and between
	// deltaBefore and deltaAfter in a chunk's.
	before, after           string
	deltaBefore, deltaAfter string
	// opening is the first chunk of each choice, "" for none, and closing the
	// last, which carries finish_reason and no text (clause STR-039).
	opening, closing string
	// nullLogprobs writes logprobs as null when none are asked for; otherwise
	// they are absent (clauses RSP-019, RSP-020).
	nullLogprobs bool
	// logprobs appends the member, with so many alternatives for each token.
	logprobs func(b []byte, tokens []engine.Token, top int) []byte
	// fingerprint says which system answered.
	fingerprint bool
}

var completions = shape{
	idPrefix:     "cmpl-",
	object:       "text_completion",
	chunkObject:  "text_completion",
	before:       `"text":`,
	deltaBefore:  `"text":`,
	closing:      `"text":""`,
	nullLogprobs: true,
	logprobs:     appendLogprobs,
}

// chat writes message (conflict C15), chunks with their own object (C23), and
// logprobs as the document's four arrays (C29).
var chat = shape{
	idPrefix:    "chatcmpl-",
	object:      "chat.completion",
	chunkObject: "chat.completion.chunk",
	before:      `"message":{"role":"assistant","content":`,
	after:       `}`,
	deltaBefore: `"delta":{"content":`,
	deltaAfter:  `}`,
	opening:     `"delta":{"role":"assistant","content":""}`,
	closing:     `"delta":{}`,
	logprobs:    appendLogprobs,
}

// openAIChat has what OpenAI's schema requires beyond that.
var openAIChat = shape{
	idPrefix:     "chatcmpl-",
	object:       "chat.completion",
	chunkObject:  "chat.completion.chunk",
	before:       `"message":{"role":"assistant","content":`,
	after:        `,"refusal":null}`,
	deltaBefore:  `"delta":{"content":`,
	deltaAfter:   `}`,
	opening:      `"delta":{"role":"assistant","content":"","refusal":null}`,
	closing:      `"delta":{}`,
	nullLogprobs: true,
	logprobs:     appendContentLogprobs,
	fingerprint:  true,
}

// head appends the members that every document of this call begins with
// (clauses RSP-002, STR-012).
func (c *call) head(b []byte, object string) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, c.id)
	b = append(b, `,"object":`...)
	b = appendString(b, object)
	b = append(b, `,"created":`...)
	b = appendInt(b, int(c.created))
	b = append(b, `,"model":`...)
	b = appendString(b, c.model)
	if c.route.shape.fingerprint {
		b = append(b, `,"system_fingerprint":`...)
		b = appendString(b, c.deployment.fingerprint)
	}
	return b
}

// logprobs appends the member logprobs, if there is one.
func (c *call) logprobs(b []byte, tokens []engine.Token) []byte {
	switch {
	case c.request.Logprobs >= 0 && tokens != nil:
		return c.route.shape.logprobs(append(b, ','), tokens, c.request.Logprobs)
	case c.route.shape.nullLogprobs || c.request.Logprobs >= 0:
		return append(b, `,"logprobs":null`...)
	}
	return b
}

// promptTokens counts every prompt of a batch once, whatever n is (USE-006,
// USE-011).
func (c *call) promptTokens() int {
	sum := 0
	for _, p := range c.prompts {
		sum += len(p)
	}
	return sum
}

// usage appends the member usage: the prompts, and all tokens generated for the
// choices that are returned (USE-007).
func (c *call) usage(b []byte, generated int) []byte {
	b = append(b, `"usage":{"prompt_tokens":`...)
	b = appendInt(b, c.promptTokens())
	b = append(b, `,"completion_tokens":`...)
	b = appendInt(b, generated)
	b = append(b, `,"total_tokens":`...)
	b = appendInt(b, c.promptTokens()+generated)
	return append(b, '}')
}

// answer appends the document of an answer that is not streamed.
func (c *call) answer(b []byte, choices []engine.Choice) []byte {
	s := &c.route.shape
	b = c.head(b, s.object)
	b = append(b, `,"choices":[`...)
	generated := 0
	readers := c.readers()
	for i, choice := range choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = appendInt(b, i)
		b = append(append(b, ','), s.before...)
		var reader *callReader
		if readers == nil {
			b = appendString(b, choice.Text)
		} else {
			reader = readers[i]
			b = appendMessage(b, reader.read(choice.Text, nil, true))
		}
		b = append(b, s.after...)
		tokens := choice.Tokens
		if tokens == nil {
			tokens = []engine.Token{} // asked for, and the choice ended at once
		}
		b = c.logprobs(b, tokens)
		b = append(b, `,"finish_reason":`...)
		b = appendString(b, string(reader.finished(choice.Finish)))
		b = append(c.annotation(b, i), '}')
		generated += choice.Generated
	}
	b = append(c.promptAnnotations(append(b, ']')), ',')
	b = append(c.usage(b, generated), '}')
	for _, change := range c.hooks.answer {
		b = change(c, b)
	}
	return b
}

// annotation appends what content safety found in choice i (SAF-004, SAF-013).
func (c *call) annotation(b []byte, i int) []byte {
	if !c.dialect.annotates || i >= len(c.screened) || c.screened[i] == nil {
		return b
	}
	return c.screened[i].appendTo(append(b, `,"content_filter_results":`...))
}

// promptAnnotations appends what it found in the prompts (SAF-014).
func (c *call) promptAnnotations(b []byte) []byte {
	if !c.dialect.annotates || c.screenedPrompts == nil {
		return b
	}
	b = append(b, `,"prompt_filter_results":[`...)
	for i, a := range c.screenedPrompts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInt(append(b, `{"prompt_index":`...), i)
		b = append(a.appendTo(append(b, `,"content_filter_results":`...)), '}')
	}
	return append(b, ']')
}

// chunks turns steps into the documents of a stream. A chunk is valid until
// the next is asked for. An error of the steps ends the chunks and is left in
// c.failure.
func (c *call) chunks(steps engine.Steps) iter.Seq[[]byte] {
	chunks := func(yield func([]byte) bool) {
		w := newChunkWriter(c)
		generated := make([]int, c.choices())
		for step, err := range steps {
			if err != nil {
				c.failure = err
				return
			}
			generated[step.Choice] = step.Generated
			if !w.step(step, yield) {
				return
			}
		}
		if c.includeUsage() {
			sum := 0
			for _, n := range generated {
				sum += n
			}
			yield(w.usage(sum))
		}
	}
	for _, change := range c.hooks.chunks {
		chunks = change(c, chunks)
	}
	return chunks
}

// includeUsage says whether the stream ends with a chunk that has the usage.
func (c *call) includeUsage() bool { return c.values.flag("stream_options") }

// A chunkWriter writes chunks into one buffer. All chunks of a stream share
// their beginning, which is written once.
type chunkWriter struct {
	call   *call
	head   int // length of what all chunks begin with
	tail   string
	buffer []byte
	opened []bool
	begun  bool
	// readers find calls of tools, if there are any to call.
	readers []*callReader
}

func newChunkWriter(c *call) *chunkWriter {
	w := &chunkWriter{call: c, tail: `}`, opened: make([]bool, c.choices()), readers: c.readers()}
	w.buffer = append(c.head(make([]byte, 0, 512), c.route.shape.chunkObject), `,"choices":[`...)
	w.head = len(w.buffer)
	if c.includeUsage() {
		w.tail = `,"usage":null}` // STR-032
	}
	return w
}

// step yields the chunks of a step: the opening of the choice, its text, its
// end. It says whether more are wanted.
func (w *chunkWriter) step(step engine.Step, yield func([]byte) bool) bool {
	s := w.call.route.shape
	if !w.opened[step.Choice] {
		w.opened[step.Choice] = true
		if s.opening != "" && !yield(w.chunk(step.Choice, s.opening, nil, "")) {
			return false
		}
	}
	var reader *callReader
	if w.readers != nil {
		reader = w.readers[step.Choice]
		for _, piece := range reader.read(step.Text, step.Tokens, step.Finish != "") {
			if !yield(w.piece(step.Choice, piece)) {
				return false
			}
		}
	} else if step.Text != "" || len(step.Tokens) > 0 {
		if !yield(w.text(step.Choice, step.Text, step.Tokens)) {
			return false
		}
	}
	return step.Finish == "" || yield(w.chunk(step.Choice, s.closing, nil, reader.finished(step.Finish)))
}

func (w *chunkWriter) piece(choice int, p said) []byte {
	if p.isCall() {
		return w.end(appendCallDelta(w.start(choice), p), choice, nil, "")
	}
	return w.text(choice, p.text, p.tokens)
}

func (w *chunkWriter) text(choice int, text string, tokens []engine.Token) []byte {
	s := w.call.route.shape
	b := w.start(choice)
	b = append(b, s.deltaBefore...)
	b = appendString(b, text)
	b = append(b, s.deltaAfter...)
	return w.end(b, choice, tokens, "")
}

func (w *chunkWriter) chunk(choice int, content string, tokens []engine.Token, finish engine.FinishReason) []byte {
	return w.end(append(w.start(choice), content...), choice, tokens, finish)
}

func (w *chunkWriter) start(choice int) []byte {
	b := append(w.buffer[:w.head], `{"index":`...)
	return append(appendInt(b, choice), ',')
}

// end writes finish_reason, which is there and null until the last chunk of a
// choice (clause STR-008).
func (w *chunkWriter) end(b []byte, choice int, tokens []engine.Token, finish engine.FinishReason) []byte {
	b = w.call.logprobs(b, tokens)
	b = append(b, `,"finish_reason":`...)
	b = appendStringOrNull(b, string(finish))
	if finish != "" {
		b = w.call.annotation(b, choice)
	}
	b = append(b, '}', ']')
	if !w.begun {
		w.begun = true
		b = w.call.promptAnnotations(b)
	}
	w.buffer = append(b, w.tail...)
	return w.buffer
}

// usage is the last chunk when include_usage asks for it (clause STR-031).
func (w *chunkWriter) usage(generated int) []byte {
	b := append(w.buffer[:w.head], `],`...)
	w.buffer = append(w.call.usage(b, generated), '}')
	return w.buffer
}
