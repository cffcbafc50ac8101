package load

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Work is one kind of request; a run sends a mix of several by weight.
type Work struct {
	Name   string  `yaml:"name" json:"name"`
	Weight float64 `yaml:"weight" json:"weight"` // 0 is 1
	Route  string  `yaml:"route" json:"route"`   // chat or completions
	// NoStream asks for the whole answer at once.
	NoStream bool `yaml:"no_stream" json:"no_stream,omitempty"`
	// PromptTokens is the length of the prompt, OutputTokens that of the
	// answer (max_tokens). A prompt of length 0 is one of Prompts as it is.
	PromptTokens Dist `yaml:"prompt_tokens" json:"prompt_tokens"`
	OutputTokens Dist `yaml:"output_tokens" json:"output_tokens"`
	// Prompts is a file of prompts: JSON lines, or ShareGPT's JSON. Without
	// it they are from the built-in set.
	Prompts string `yaml:"prompts" json:"prompts,omitempty"`
	System  string `yaml:"system" json:"system,omitempty"`
	// PrefixTokens is the length of a beginning that prompts share, Prefixes
	// how many such beginnings there are (0 is 1).
	PrefixTokens int `yaml:"prefix_tokens" json:"prefix_tokens,omitempty"`
	Prefixes     int `yaml:"prefixes" json:"prefixes,omitempty"`
	// Turns is how many requests a conversation has, each with all that was
	// said before; TurnThink how many seconds pass between them.
	Turns     Dist `yaml:"turns" json:"turns"`
	TurnThink Dist `yaml:"turn_think" json:"turn_think"`
	// StopAtEOS lets answers end before OutputTokens; otherwise ignore_eos
	// and min_tokens ask the target to hold the length.
	StopAtEOS bool `yaml:"stop_at_eos" json:"stop_at_eos,omitempty"`
	// Params are further members of the request body, such as temperature.
	Params map[string]any `yaml:"params" json:"params,omitempty"`
	// MaxTokensField is the name of the limit, max_tokens unless set.
	MaxTokensField string `yaml:"max_tokens_field" json:"max_tokens_field,omitempty"`

	prompts []source
}

// ReadWork reads a mix from YAML: a list of kinds of work.
func ReadWork(b []byte) ([]Work, error) {
	var all []Work
	if err := yaml.UnmarshalWithOptions(b, &all, yaml.DisallowUnknownField()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if len(all) == 0 {
		return nil, errors.New("no kind of work: want a list, each with route, prompt_tokens, output_tokens …")
	}
	return all, nil
}

// reserved are the members that work itself decides.
var reserved = []string{"model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens"}

func (w *Work) validate() error {
	switch {
	case w.Route != Chat && w.Route != Completions:
		return fmt.Errorf("work %s: route %q: want chat or completions", w.Name, w.Route)
	case w.Weight < 0 || math.IsNaN(w.Weight) || math.IsInf(w.Weight, 0):
		return fmt.Errorf("work %s: weight %g: want a number from 0", w.Name, w.Weight)
	case w.PrefixTokens < 0 || w.Prefixes < 0:
		return fmt.Errorf("work %s: prefix_tokens and prefixes cannot be negative", w.Name)
	case w.Turns.draw(newRandom(1)) > 1 && w.Route != Chat:
		return fmt.Errorf("work %s: turns needs the route chat", w.Name)
	case w.System != "" && w.Route != Chat:
		return fmt.Errorf("work %s: system needs the route chat", w.Name)
	}
	for name := range w.Params {
		if slices.Contains(reserved, name) {
			return fmt.Errorf("work %s: parameter %s is set by the work itself", w.Name, name)
		}
	}
	return nil
}

// A Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A Tokenizer counts tokens as the target does. Both functions are safe for
// concurrent use.
type Tokenizer struct {
	// Prompt counts what usage.prompt_tokens would: of completions, messages
	// hold one with the prompt as its content; of chat, the template counts.
	Prompt func(route string, messages []Message) (int, error)
	// Text counts generated text.
	Text func(text string) int
}

// A Request is one request ready to be sent.
type Request struct {
	Work        *Work
	Body        []byte
	Stream      bool
	AskedPrompt int
	AskedOutput int

	// Of a conversation: its turn from 1, how many it has, and what was said.
	Turn, Turns int
	index       int
	said        []Message
	source      *source
}

// Mix makes the requests of a run. A request depends on the seed, its index
// and its trace row alone. It is safe for concurrent use.
type Mix struct {
	works    []Work
	weights  []float64 // cumulative
	model    string
	seed     uint64
	features Features
	sizes    map[string]*size // by route
	token    *Tokenizer
	trace    []TraceRow
	ready    []*Request // the first requests, worked out before the run
}

// A size says how many tokens words come to.
type size struct{ perWord, overhead float64 }

// defaultSize is English with most tokenizers, before calibration.
var defaultSize = size{1.35, 4}

// NewMix checks the works and reads their prompts.
func NewMix(works []Work, model string, seed uint64, token *Tokenizer, trace []TraceRow) (*Mix, error) {
	m := &Mix{works: slices.Clone(works), model: model, seed: seed, token: token, trace: trace, sizes: map[string]*size{},
		features: Features{Usage: true, IgnoreEOS: true, MinTokens: true}}
	total := 0.0
	for i := range m.works {
		w := &m.works[i]
		if w.Name == "" {
			w.Name = fmt.Sprintf("work-%d", i+1)
		}
		if w.Weight == 0 {
			w.Weight = 1
		}
		if w.Prefixes == 0 && w.PrefixTokens > 0 {
			w.Prefixes = 1
		}
		if err := w.validate(); err != nil {
			return nil, err
		}
		if w.Prompts != "" && w.Prompts != "builtin" {
			var err error
			if w.prompts, err = readPrompts(w.Prompts); err != nil {
				return nil, fmt.Errorf("work %s: prompts: %w", w.Name, err)
			}
		}
		total += w.Weight
		m.weights = append(m.weights, total)
	}
	if total == 0 {
		return nil, errors.New("work: no kind has a weight")
	}
	return m, nil
}

// Prepare works out the first n requests before the run where there is a
// tokenizer, so that nothing is tokenized during it; later ones take up their
// prompts again. Rows of a trace, each of a length of its own, cannot wait.
func (m *Mix) Prepare(n int) {
	if m.trace != nil || m.token == nil {
		return
	}
	ready := make([]*Request, min(n, maxReady))
	for i := range ready {
		ready[i] = m.build(i, -1)
	}
	m.ready = ready
}

const maxReady = 2048

// Request is the request of an index; row is its trace row or -1.
func (m *Mix) Request(index, row int) *Request {
	if len(m.ready) == 0 || row >= 0 {
		return m.build(index, row)
	}
	r := *m.ready[index%len(m.ready)]
	r.index = index
	return &r
}

func (m *Mix) build(index, row int) *Request {
	r := newRandom(m.seed, forWork, uint64(index))
	w := &m.works[0]
	if len(m.works) > 1 {
		u := r.unit() * m.weights[len(m.weights)-1]
		for i := range m.works {
			if u < m.weights[i] {
				w = &m.works[i]
				break
			}
		}
	}
	q := &Request{Work: w, Stream: !w.NoStream, index: index, Turn: 1, Turns: max(1, w.Turns.tokens(r))}
	if q.Turns == 1 {
		q.Turn = 0
	}
	q.AskedPrompt, q.AskedOutput = w.PromptTokens.tokens(r), w.OutputTokens.tokens(r)
	if len(w.prompts) > 0 {
		q.source = &w.prompts[index%len(w.prompts)]
		if q.source.output > 0 && w.OutputTokens.IsZero() {
			q.AskedOutput = q.source.output
		}
	}
	var prefix []int64
	if row >= 0 && row < len(m.trace) {
		t := m.trace[row]
		if t.Input > 0 {
			q.AskedPrompt = t.Input
		}
		if t.Output > 0 {
			q.AskedOutput = t.Output
		}
		prefix = t.Prefix
	}
	if q.source != nil && q.source.body != nil {
		q.Body = m.whole(q)
		return q
	}
	if w.System != "" {
		q.said = append(q.said, Message{"system", w.System})
	}
	if q.source != nil {
		q.said = append(q.said, q.source.messages...)
		if len(q.source.users) > 0 {
			q.said = append(q.said, Message{"user", q.source.users[0]})
			q.Turns = min(q.Turns, len(q.source.users))
		}
	} else {
		q.said = append(q.said, Message{"user", m.prompt(w, q, r, prefix)})
	}
	q.Body = m.body(q)
	return q
}

// Next is the request that follows answer in a conversation; nil: it is over.
func (m *Mix) Next(q *Request, answer string) *Request {
	if q.Turn == 0 || q.Turn >= q.Turns {
		return nil
	}
	n := *q
	n.Turn++
	r := newRandom(m.seed, forWork, uint64(q.index), uint64(n.Turn))
	n.said = append(slices.Clone(q.said), Message{"assistant", answer})
	n.AskedOutput = q.Work.OutputTokens.tokens(r)
	if q.source != nil && n.Turn <= len(q.source.users) {
		n.said = append(n.said, Message{"user", q.source.users[n.Turn-1]})
	} else {
		n.AskedPrompt = q.Work.PromptTokens.tokens(r)
		if m.token != nil && n.AskedPrompt > 0 { // all that was said before counts too
			if before, err := m.token.Prompt(Chat, n.said); err == nil {
				n.AskedPrompt += before
			}
		}
		bare := *q.Work
		bare.PrefixTokens = 0
		n.said = append(n.said, Message{"user", m.prompt(&bare, &n, r, nil)})
	}
	if m.token == nil {
		n.AskedPrompt = 0
	}
	n.Body = m.body(&n)
	return &n
}

// prompt is text of the length that q asks for.
func (m *Mix) prompt(w *Work, q *Request, r random, blocks []int64) string {
	if q.AskedPrompt == 0 {
		return builtin[r.below(len(builtin))]
	}
	var prefix []string
	shared := w.PrefixTokens
	switch {
	case shared > 0:
		k := r.below(w.Prefixes)
		prefix = m.words(newRandom(m.seed, forPrefix, uint64(k)), m.wordsFor(w.Route, min(shared, q.AskedPrompt)))
	case len(blocks) > 0:
		// A block of a trace is the same text wherever it stands; the last
		// one may be cut short by the length of the prompt.
		per := int(PrefixBlock / m.size(w.Route).perWord)
		for _, id := range blocks {
			prefix = append(prefix, m.words(newRandom(forTrace, uint64(id)), per)...)
		}
		if n := m.wordsFor(w.Route, q.AskedPrompt); len(prefix) > n {
			prefix = prefix[:max(1, n)]
		}
	}
	head := func(text string) []Message {
		return append(slices.Clone(q.said), Message{"user", text})
	}
	own := m.words(r, max(1, m.wordsFor(w.Route, q.AskedPrompt)-len(prefix)))
	all := append(slices.Clip(prefix), own...)
	if m.token == nil {
		if n := m.wordsFor(w.Route, q.AskedPrompt); len(all) > n {
			all = all[:max(1, n)]
		}
		return strings.Join(all, " ")
	}
	return m.fit(w.Route, all, q.AskedPrompt, head, r)
}

// fit adds and takes words until the prompt has exactly n tokens, or as near
// as its tokenizer lets it come.
func (m *Mix) fit(route string, words []string, n int, head func(string) []Message, r random) string {
	best, off := "", math.MaxInt
	for range 40 {
		text := strings.Join(words, " ")
		got, err := m.token.Prompt(route, head(text))
		if err != nil {
			return text
		}
		d := n - got
		if a := max(d, -d); a < off {
			best, off = text, a
		}
		switch step := int(math.Round(float64(d) / m.size(route).perWord)); {
		case d == 0:
			return text
		case step > 1:
			words = append(words, m.words(r, step)...)
		case d > 0:
			words = append(words, short[r.below(len(short))])
		case -step < len(words) && step < 0:
			words = words[:len(words)+step]
		case len(words) > 1:
			words = words[:len(words)-1]
		default:
			return best
		}
	}
	return best
}

// short words are one token with nearly every tokenizer.
var short = strings.Fields("a the of to in and is it on for as at by or be")

func (m *Mix) size(route string) size {
	if s := m.sizes[route]; s != nil {
		return *s
	}
	return defaultSize
}

func (m *Mix) wordsFor(route string, tokens int) int {
	s := m.size(route)
	return max(1, int(math.Round((float64(tokens)-s.overhead)/s.perWord)))
}

// words are n words of the built-in set: a few at random, so that prompts do
// not begin alike, then sentences in random order.
func (m *Mix) words(r random, n int) []string {
	out := make([]string, 0, n+40)
	for len(out) < min(n, 6) {
		s := sentences[r.below(len(sentences))]
		out = append(out, s[r.below(len(s))])
	}
	for len(out) < n {
		out = append(out, sentences[r.below(len(sentences))]...)
	}
	return out[:n]
}

//go:embed prompts.txt
var promptsText string

// builtin is the built-in set of prompts, sentences its words.
var (
	builtin   = strings.Split(strings.TrimSpace(promptsText), "\n")
	sentences = func() (all [][]string) {
		for _, b := range builtin {
			all = append(all, strings.Fields(b))
		}
		return all
	}()
)

// body is the JSON of a request.
func (m *Mix) body(q *Request) []byte {
	w := q.Work
	b := map[string]any{}
	for k, v := range w.Params {
		b[k] = v
	}
	if w.Route == Chat {
		b["messages"] = q.said
	} else {
		var text []string
		for _, s := range q.said {
			text = append(text, s.Content)
		}
		b["prompt"] = strings.Join(text, "\n\n")
	}
	return m.seal(q, b)
}

// whole is the JSON of a request whose body was given.
func (m *Mix) whole(q *Request) []byte {
	b := map[string]any{}
	for k, v := range q.source.body {
		b[k] = v
	}
	for k, v := range q.Work.Params {
		b[k] = v
	}
	delete(b, "model")
	return m.seal(q, b)
}

// seal adds the members that are the same for all kinds of work.
func (m *Mix) seal(q *Request, b map[string]any) []byte {
	w := q.Work
	if m.model != "" {
		b["model"] = m.model
	}
	delete(b, "stream")
	if q.Stream {
		b["stream"] = true
		if m.features.Usage {
			b["stream_options"] = map[string]any{"include_usage": true}
		}
	}
	if q.AskedOutput > 0 {
		field := w.MaxTokensField
		if field == "" {
			field = "max_tokens"
		}
		b[field] = q.AskedOutput
		if !w.StopAtEOS {
			if _, set := b["ignore_eos"]; m.features.IgnoreEOS && !set {
				b["ignore_eos"] = true
			}
			if _, set := b["min_tokens"]; m.features.MinTokens && !set {
				b["min_tokens"] = q.AskedOutput
			}
		}
	}
	out, err := json.Marshal(b)
	if err != nil {
		panic(err) // values came out of JSON or YAML
	}
	return out
}
