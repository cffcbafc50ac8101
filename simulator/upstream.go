package simulator

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/propagation"

	"github.com/touchstone-llm/touchstone/engine"
)

// UpstreamConfig says which OpenAI-compatible server answers in place of the
// engine: vLLM, llama.cpp's server, SGLang, Ray Serve, llm-d, another touchstone.
type UpstreamConfig struct {
	// URL is the base below which /v1/completions is.
	URL string `yaml:"url"`
	// Model is the name that is sent; "" is the first that the server lists.
	Model string `yaml:"model"`
	// Key opens it.
	Key Key `yaml:"key"`
	// ContextLength is that of the model, if the server does not say.
	ContextLength int `yaml:"context_length"`
}

func (u UpstreamConfig) validate() error {
	if u.URL == "" {
		return nil
	}
	parsed, err := url.Parse(u.URL)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil {
		return at("url", errors.New("must be http://HOST or https://HOST, without a password"))
	}
	if u.ContextLength < 0 {
		return at("context_length", fmt.Errorf("must be 0 (ask the server) or more, got %d", u.ContextLength))
	}
	return nil
}

// Upstream returns the Generator that drives another server by its completions
// route. Text becomes tokens by the server's own /tokenize (vLLM's or
// llama.cpp's); where it has none, tokens are estimated from the length of the
// text, and conversations go by the chat route.
//
// n and best_of are as many requests at a time; a beam search is refused.
func Upstream(ctx context.Context, u UpstreamConfig) (Generator, error) {
	if err := u.validate(); err != nil {
		return nil, err
	}
	key, err := u.Key.read()
	if err != nil {
		return nil, at("key", err)
	}
	up := &upstream{
		base: strings.TrimSuffix(strings.TrimSuffix(u.URL, "/"), "/v1"), model: u.Model, key: key, length: u.ContextLength,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, ResponseHeaderTimeout: 10 * time.Minute}},
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := up.learn(ctx); err != nil {
		return nil, fmt.Errorf("upstream %s: %w", u.URL, err)
	}
	return up, nil
}

type upstream struct {
	base, model, key string
	length           int
	client           *http.Client
	tokenizer        tokenizing
	template         bool // llama.cpp's /apply-template
}

// tokenizing is what the server calls the text in /tokenize.
type tokenizing string

const (
	estimated tokenizing = ""
	asPrompt  tokenizing = "prompt"  // vLLM
	asContent tokenizing = "content" // llama.cpp
)

// upstreamTokens is how many token ids there may be: a server does not say.
const upstreamTokens = 1 << 20

// learn asks for the model, its context and the ways to tokenize.
func (u *upstream) learn(ctx context.Context) error {
	models, err := u.call(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return err
	}
	first := models.Get("data.0")
	u.model = cmp.Or(u.model, first.Get("id").Str)
	probe := []byte(`{"model":` + quote(u.model) + `,"prompt":"Hello world","content":"Hello world"}`)
	if t, err := u.call(ctx, http.MethodPost, "/tokenize", probe); err == nil && t.Get("tokens").IsArray() {
		u.tokenizer = asContent
		if t.Get("count").Exists() {
			u.tokenizer = asPrompt
		}
		u.length = cmp.Or(u.length, int(t.Get("max_model_len").Int()))
	}
	if u.tokenizer == asContent {
		_, err := u.call(ctx, http.MethodPost, "/apply-template", []byte(`{"messages":[{"role":"user","content":"Hi"}]}`))
		u.template = err == nil
		if p, err := u.call(ctx, http.MethodGet, "/props", nil); err == nil {
			u.length = cmp.Or(u.length, int(p.Get("default_generation_settings.n_ctx").Int()))
		}
	}
	u.length = cmp.Or(u.length, int(first.Get("max_model_len").Int()), int(first.Get("meta.n_ctx_train").Int()), 8192)
	return nil
}

func (u *upstream) Config() engine.Config {
	return engine.Config{Name: u.model, ContextLength: u.length, VocabSize: upstreamTokens}
}

// An UpstreamError is an answer of the server behind, other than 200.
type UpstreamError struct {
	Status  int
	Message string
}

func (e *UpstreamError) Error() string { return fmt.Sprintf("it answers %d: %s", e.Status, e.Message) }

func (u *upstream) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	traceContext.Inject(ctx, propagation.HeaderCarrier(r.Header))
	if u.key != "" {
		r.Header.Set("Authorization", "Bearer "+u.key)
	}
	response, err := u.client.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, &UpstreamError{response.StatusCode, cmp.Or(gjson.GetBytes(b, "error.message").Str, gjson.GetBytes(b, "message").Str, "(no message)")}
	}
	return response, nil
}

func (u *upstream) call(ctx context.Context, method, path string, body []byte) (gjson.Result, error) {
	response, err := u.send(ctx, method, path, body)
	if err != nil {
		return gjson.Result{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err == nil && !gjson.ValidBytes(b) {
		err = errors.New("its answer is not JSON")
	}
	return gjson.ParseBytes(b), err
}

const tokenizeTime = 30 * time.Second

// tokenize returns nil where the server cannot.
func (u *upstream) tokenize(body map[string]any) []int {
	ctx, cancel := context.WithTimeout(context.Background(), tokenizeTime)
	defer cancel()
	body["model"] = u.model
	b, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	v, err := u.call(ctx, http.MethodPost, "/tokenize", b)
	if err != nil {
		return nil
	}
	var tokens []int
	for _, t := range v.Get("tokens").Array() {
		tokens = append(tokens, int(t.Int()))
	}
	return tokens
}

func (u *upstream) Prompt(text string) []int {
	var tokens []int
	switch u.tokenizer {
	case asPrompt:
		tokens = u.tokenize(map[string]any{"prompt": text, "add_special_tokens": true})
	case asContent:
		tokens = u.tokenize(map[string]any{"content": text, "add_special": true})
	}
	if tokens == nil && text != "" {
		return pack(packedText, text)
	}
	return tokens
}

// wireMessage is how a message is sent.
type wireMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (u *upstream) ChatPrompt(messages []engine.Message, tools []engine.Tool) ([]int, error) {
	if len(tools) > 0 {
		return nil, engine.ErrTools // the calls of another server's model are not read
	}
	said := make([]wireMessage, len(messages))
	for i, m := range messages {
		said[i] = wireMessage{m.Role, m.Content}
	}
	switch {
	case u.tokenizer == asPrompt:
		if tokens := u.tokenize(map[string]any{"messages": said, "add_generation_prompt": true}); tokens != nil {
			return tokens, nil
		}
	case u.template:
		ctx, cancel := context.WithTimeout(context.Background(), tokenizeTime)
		defer cancel()
		b, err := json.Marshal(map[string]any{"messages": said})
		if err != nil {
			return nil, err
		}
		v, err := u.call(ctx, http.MethodPost, "/apply-template", b)
		if err != nil {
			return nil, err
		}
		if tokens := u.tokenize(map[string]any{"content": v.Get("prompt").Str, "add_special": false}); tokens != nil {
			return tokens, nil
		}
	}
	b, err := json.Marshal(said)
	return pack(packedChat, string(b)), err
}

// Packed prompts are text that nobody tokenized: after the mark, each number
// holds four bytes, which is about a token, and says how many.
const (
	packedText = upstreamTokens + iota
	packedChat
)

func pack(mark int, text string) []int {
	tokens := []int{mark}
	for i := 0; i < len(text); i += 4 {
		piece := text[i:min(i+4, len(text))]
		x := len(piece)
		for j := range 4 {
			x <<= 8
			if j < len(piece) {
				x |= int(piece[j])
			}
		}
		tokens = append(tokens, x)
	}
	return tokens
}

func unpack(tokens []int) string {
	var b []byte
	for _, x := range tokens {
		n := x >> 32
		for j := range n {
			b = append(b, byte(x>>(24-8*j)))
		}
	}
	return string(b)
}

func (u *upstream) Generate(ctx context.Context, r engine.Request) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		width := max(r.N, r.BestOf)
		ask := r
		if width > r.N {
			ask.Logprobs = max(r.Logprobs, 0) // to rank them
		}
		if width == 1 {
			defer cancel()
			u.one(ctx, ask, 0, yield)
			return
		}
		type item struct {
			step engine.Step
			err  error
		}
		all := make(chan item)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		for i := range width {
			running.Go(func() {
				u.one(ctx, ask, i, func(s engine.Step, err error) bool {
					select {
					case all <- item{s, err}:
						return err == nil
					case <-ctx.Done():
						return false
					}
				})
			})
		}
		steps := make([][]engine.Step, width)
		for open := width; open > 0; {
			select {
			case x := <-all:
				if x.err != nil {
					yield(engine.Step{}, x.err)
					return
				}
				if x.step.Finish != "" {
					open--
				}
				if width == r.N {
					if !yield(x.step, nil) {
						return
					}
				} else {
					steps[x.step.Choice] = append(steps[x.step.Choice], x.step)
				}
			case <-ctx.Done():
				yield(engine.Step{}, ctx.Err())
				return
			}
		}
		if width > r.N {
			for i, s := range bestCandidates(steps, r.N) {
				if r.Logprobs < 0 {
					s[0].Tokens = nil
				}
				s[0].Choice = i
				if !yield(s[0], nil) {
					return
				}
			}
		}
	}
}

// body asks for one choice.
func (u *upstream) body(r engine.Request, choice int) (path string, body []byte, err error) {
	m := map[string]any{
		"model": u.model, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"max_tokens": r.MaxTokens, "temperature": r.Temperature, "top_p": r.TopP,
	}
	optional := func(name string, given bool, v any) {
		if given {
			m[name] = v
		}
	}
	// Not every server knows every parameter: what has its default is not sent.
	optional("presence_penalty", r.PresencePenalty != 0, r.PresencePenalty)
	optional("ignore_eos", r.IgnoreEOS, true)
	optional("stop", len(r.Stop) > 0, r.Stop)
	optional("stop_token_ids", len(r.StopTokenIDs) > 0, r.StopTokenIDs)
	optional("frequency_penalty", r.FrequencyPenalty != 0, r.FrequencyPenalty)
	optional("repetition_penalty", r.RepetitionPenalty != 0 && r.RepetitionPenalty != 1, r.RepetitionPenalty)
	optional("top_k", r.TopK > 0, r.TopK)
	optional("min_p", r.MinP > 0, r.MinP)
	optional("min_tokens", r.MinTokens > 0, r.MinTokens)
	optional("logit_bias", len(r.LogitBias) > 0, r.LogitBias)
	optional("skip_special_tokens", r.KeepSpecialTokens, false)
	if r.Seed != nil {
		m["seed"] = *r.Seed + int64(choice)
	}
	path = "/v1/completions"
	switch r.Prompt[0] {
	case packedText:
		m["prompt"] = unpack(r.Prompt[1:])
		optional("logprobs", r.Logprobs >= 0, r.Logprobs)
	case packedChat:
		path = "/v1/chat/completions"
		m["messages"] = json.RawMessage(unpack(r.Prompt[1:]))
		optional("logprobs", r.Logprobs >= 0, true)
		optional("top_logprobs", r.Logprobs >= 0, r.Logprobs)
	default:
		m["prompt"] = r.Prompt
		optional("logprobs", r.Logprobs >= 0, r.Logprobs)
	}
	body, err = json.Marshal(m)
	return path, body, err
}

// one yields the steps of one choice: a chunk of the server's is a step. The
// last step waits for the usage, which counts the tokens; until then each chunk
// is taken for one.
func (u *upstream) one(ctx context.Context, r engine.Request, choice int, yield func(engine.Step, error) bool) {
	path, body, err := u.body(r, choice)
	if err != nil {
		yield(engine.Step{}, err)
		return
	}
	response, err := u.send(ctx, http.MethodPost, path, body)
	if err != nil {
		yield(engine.Step{}, cmp.Or(ctx.Err(), err))
		return
	}
	defer response.Body.Close()
	last := engine.Step{Choice: choice}
	sum, offset, done := 0.0, 0, false
	lines := bufio.NewReader(response.Body)
	for !done {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if last.Finish != "" && errors.Is(err, io.EOF) {
				break // without [DONE]
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			yield(engine.Step{}, cmp.Or(ctx.Err(), err))
			return
		}
		data, isData := bytes.CutPrefix(line, []byte("data:"))
		data = bytes.TrimSpace(data)
		switch {
		case !isData:
			continue
		case string(data) == "[DONE]":
			done = true
			continue
		}
		chunk := gjson.ParseBytes(data)
		if e := chunk.Get("error"); e.IsObject() {
			yield(engine.Step{}, &UpstreamError{http.StatusBadGateway, e.Get("message").Str})
			return
		}
		if n := chunk.Get("usage.completion_tokens"); n.Exists() && last.Finish != "" {
			last.Generated = int(n.Int())
		}
		c := chunk.Get("choices.0")
		if !c.Exists() {
			continue
		}
		s := engine.Step{Choice: choice, Text: c.Get("text").Str + c.Get("delta.content").Str}
		if r.Logprobs >= 0 {
			s.Tokens = tokensOf(c.Get("logprobs"), &offset)
			for _, t := range s.Tokens {
				sum += t.Logprob
			}
		}
		s.Generated = last.Generated + max(len(s.Tokens), min(1, len(s.Text)))
		s.CumulativeLogprob = sum
		switch reason := c.Get("finish_reason").Str; reason {
		case "":
		case "length":
			s.Finish = engine.FinishLength
		default:
			s.Finish = engine.FinishReason(reason)
			if reason != "content_filter" {
				s.Finish = engine.FinishStop
			}
		}
		if s.Finish != "" || last.Finish != "" { // kept for the usage
			s.Text = last.Text + s.Text
			s.Tokens = slices.Concat(last.Tokens, s.Tokens)
			s.Finish = engine.FinishReason(cmp.Or(string(s.Finish), string(last.Finish)))
			last = s
			continue
		}
		last.Generated = s.Generated
		if (s.Text != "" || len(s.Tokens) > 0) && !yield(s, nil) {
			return
		}
	}
	if last.Finish == "" {
		yield(engine.Step{}, io.ErrUnexpectedEOF)
		return
	}
	last.Generated = max(last.Generated, 1)
	yield(last, nil)
}

// tokensOf reads log probabilities in either shape.
func tokensOf(v gjson.Result, offset *int) []engine.Token {
	var tokens []engine.Token
	add := func(text string, logprob float64, top []engine.TokenLogprob) {
		if len(top) == 0 {
			top = []engine.TokenLogprob{{Text: text, Logprob: logprob}}
		}
		tokens = append(tokens, engine.Token{Bytes: []byte(text), Text: text, Logprob: logprob, Top: top, Offset: *offset})
		*offset += utf8.RuneCountInString(text)
	}
	for _, t := range v.Get("content").Array() {
		var top []engine.TokenLogprob
		for _, x := range t.Get("top_logprobs").Array() {
			top = append(top, engine.TokenLogprob{Text: x.Get("token").Str, Logprob: x.Get("logprob").Float()})
		}
		add(t.Get("token").Str, t.Get("logprob").Float(), top)
	}
	logprobs, tops := v.Get("token_logprobs").Array(), v.Get("top_logprobs").Array()
	for i, t := range v.Get("tokens").Array() {
		var top []engine.TokenLogprob
		if i < len(tops) {
			tops[i].ForEach(func(text, p gjson.Result) bool {
				top = append(top, engine.TokenLogprob{Text: text.Str, Logprob: p.Float()})
				return true
			})
			slices.SortStableFunc(top, func(a, b engine.TokenLogprob) int { return cmp.Compare(b.Logprob, a.Logprob) })
		}
		p := 0.0
		if i < len(logprobs) {
			p = logprobs[i].Float()
		}
		add(t.Str, p, top)
	}
	return tokens
}
