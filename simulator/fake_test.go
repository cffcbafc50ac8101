package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// A fake answers from a script: candidate i says the words of script[i modulo
// its length] and then ends, or starts again when EOS is ignored. Candidates
// get likelier with i, so that the best is never the first.
type fake struct {
	context int
	script  [][]string
	// fail ends the steps with an error after so many; negative: never.
	fail int
	// generated counts calls of Generate, stopped those that were cut short.
	generated, stopped atomic.Int32
	// gate, if any, is waited for before each step after the first.
	gate chan struct{}
}

func newFake() *fake {
	return &fake{context: 128, fail: -1, script: [][]string{
		{"The", " moon", " is", " far", " away", "."},
		{"It", " is", " 달", ",", " I", " think", " so", "!"},
		{"A", " long", " way", " off"},
	}}
}

func (f *fake) Config() engine.Config {
	return engine.Config{Name: "fake", ContextLength: f.context, VocabSize: 1000}
}

func (f *fake) Prompt(text string) []int {
	return make([]int, 1+len(strings.Fields(text)))
}

func (f *fake) ChatPrompt(messages []engine.Message, tools []engine.Tool) ([]int, error) {
	tokens := 1
	for _, m := range messages {
		tokens += 3 + len(strings.Fields(m.Content))
	}
	if messages[0].Role == "assistant" {
		return nil, errors.New("the template starts with a user")
	}
	return make([]int, tokens), nil
}

// candidate computes choice i to its end.
func (f *fake) candidate(i int, r engine.Request) []engine.Step {
	words := f.script[i%len(f.script)]
	var steps []engine.Step
	text, sum := "", 0.0
	logprob := -2 + 0.1*float64(i)
	for n := 1; ; n++ {
		if n-1 == len(words) && !r.IgnoreEOS { // EOS
			end := engine.Step{Choice: i, Finish: engine.FinishStop, Generated: n, CumulativeLogprob: sum + logprob}
			if r.KeepSpecialTokens {
				end.Text = "<end>"
			}
			steps = append(steps, end)
			break
		}
		word := words[(n-1)%len(words)]
		sum += logprob
		s := engine.Step{Choice: i, Text: word, Generated: n, CumulativeLogprob: sum}
		if r.Logprobs >= 0 {
			t := engine.Token{ID: n, Bytes: []byte(word), Text: word, Logprob: logprob, Offset: utf8.RuneCountInString(text)}
			for k := range r.Logprobs {
				t.Top = append(t.Top, engine.TokenLogprob{ID: n + k, Text: words[(n-1+k)%len(words)], Logprob: logprob - float64(k)})
			}
			s.Tokens = []engine.Token{t}
		}
		text += word
		for _, stop := range r.Stop {
			if at := strings.Index(text, stop); at >= 0 {
				s.Finish = engine.FinishStop
				return cut(append(steps, s), at)
			}
		}
		if slices.Contains(r.StopTokenIDs, n) { // stays in the text
			s.Finish = engine.FinishStop
		} else if n == r.MaxTokens || len(r.Prompt)+n == f.context {
			s.Finish = engine.FinishLength
		}
		steps = append(steps, s)
		if s.Finish != "" {
			break
		}
	}
	return steps
}

// cut ends the text of steps at a byte: nothing of a stop string is yielded.
func cut(steps []engine.Step, at int) []engine.Step {
	for i := range steps {
		keep := min(at, len(steps[i].Text))
		steps[i].Text = steps[i].Text[:keep]
		at -= keep
	}
	return steps
}

func (f *fake) Embed(_ context.Context, tokens []int) ([]float32, error) {
	f.generated.Add(1)
	return []float32{0.6, 0.8, float32(len(tokens))}, nil
}

func (f *fake) Generate(ctx context.Context, r engine.Request) engine.Steps {
	f.generated.Add(1)
	all := make([][]engine.Step, max(r.N, r.BestOf))
	for i := range all {
		all[i] = f.candidate(i, r)
	}
	if r.BestOf > r.N || r.UseBeamSearch {
		all = best(all, r.N)
	}
	return func(yield func(engine.Step, error) bool) {
		if r.PromptLogprobs != nil {
			tokens := []engine.Token{{ID: 0}} // BOS
			for i := range r.Prompt[1:] {
				word := fmt.Sprintf("w%d ", i)
				tokens = append(tokens, engine.Token{ID: i, Bytes: []byte(word), Text: word, Logprob: -1, Offset: 3 * i})
			}
			if !yield(engine.Step{Prompt: tokens}, nil) {
				return
			}
		}
		if r.MaxTokens == 0 {
			for i := range r.N {
				if !yield(engine.Step{Choice: i, Finish: engine.FinishLength}, nil) {
					return
				}
			}
			return
		}
		given := 0
		for round := 0; ; round++ {
			over := true
			for i, steps := range all {
				if round >= len(steps) {
					continue
				}
				over = false
				if given == f.fail {
					yield(engine.Step{}, errors.New("the fake fails, as it was told"))
					return
				}
				if f.gate != nil && given > 0 {
					select {
					case <-f.gate:
					case <-ctx.Done():
						f.stopped.Add(1)
						yield(engine.Step{}, ctx.Err())
						return
					}
				}
				s := steps[round]
				s.Choice = i
				given++
				if !yield(s, nil) {
					f.stopped.Add(1)
					return
				}
			}
			if over {
				return
			}
		}
	}
}

// best returns the n best candidates, best first, each as one step.
func best(all [][]engine.Step, n int) [][]engine.Step {
	mean := func(steps []engine.Step) float64 {
		last := steps[len(steps)-1]
		return last.CumulativeLogprob / float64(last.Generated)
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b []engine.Step) int {
		if mean(a) > mean(b) {
			return -1
		}
		return 1
	})
	for i, steps := range all[:n] {
		one := steps[len(steps)-1]
		one.Text, one.Tokens = "", nil
		for _, s := range steps {
			one.Text += s.Text
			one.Tokens = append(one.Tokens, s.Tokens...)
		}
		all[i] = []engine.Step{one}
	}
	return all[:n]
}

const testKey = "k-0123456789"

// testClock stands still.
func testClock() time.Time { return time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC) }

// serve starts a server on a fake, with ids that count.
func serve(t testing.TB, f *fake, defects ...string) *httptest.Server {
	t.Helper()
	s, err := New(Options{Generator: f, Keys: []string{testKey}, Defects: defects, Clock: testClock})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(chan int, 1)
	ids <- 1
	s.newID = func(prefix string) string {
		n := <-ids
		ids <- n + 1
		return fmt.Sprintf("%s%08d", prefix, n)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) get(path string) gjson.Result { return gjson.Get(r.body, path) }

// events returns the payloads of a stream.
func (r reply) events() []string {
	var list []string
	for _, e := range strings.Split(r.body, "\n\n") {
		if data, ok := strings.CutPrefix(e, "data: "); ok {
			list = append(list, data)
		}
	}
	return list
}

// text concatenates the text of choice i of a stream.
func (r reply) text(i int) string {
	text := ""
	for _, e := range r.events() {
		if e != "[DONE]" && chunkIndex([]byte(e)) == i {
			text += chunkText([]byte(e))
		}
	}
	return text
}

// post sends a body to a route of h; where the dialect has extra parameters, they
// are passed to the model.
func post(t testing.TB, h *httptest.Server, path, body string) reply {
	t.Helper()
	header := map[string]string{"Authorization": "Bearer " + testKey, "Content-Type": "application/json"}
	if strings.Contains(path, "api-version") {
		header["Extra-Parameters"] = "pass-through"
	}
	return do(t, h, http.MethodPost, path, body, header)
}

func do(t testing.TB, h *httptest.Server, method, path, body string, header map[string]string) reply {
	t.Helper()
	r, err := http.NewRequest(method, h.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(b)}
}

// The paths of the routes, on a server that speaks all dialects.
const (
	completionsPath       = "/v1/completions"
	chatPath              = "/v1/chat/completions"
	azureCompletionsPath  = "/completions?api-version=2024-05-01-preview"
	azureChatPath         = "/chat/completions?api-version=2024-05-01-preview"
	openAICompletionsPath = "/openai/v1/completions"
	openAIChatPath        = "/openai/v1/chat/completions"
	azureEmbeddingsPath   = "/embeddings?api-version=2024-05-01-preview"
	openAIEmbeddingsPath  = "/openai/v1/embeddings"
)

// An endpoint is a route and where it is found.
type endpoint struct {
	path    string
	dialect *dialect
	route   *route
}

func endpoints() []endpoint {
	return []endpoint{
		{completionsPath, &llamaV1, &llamaV1.routes[0]}, {chatPath, &llamaV1, &llamaV1.routes[1]},
		{azureCompletionsPath, &azureInference, &azureInference.routes[0]}, {azureChatPath, &azureInference, &azureInference.routes[1]},
		{openAICompletionsPath, &openAI, &openAI.routes[0]}, {openAIChatPath, &openAI, &openAI.routes[1]},
		{azureEmbeddingsPath, &azureInference, &azureInference.routes[2]}, {openAIEmbeddingsPath, &openAI, &openAI.routes[2]},
	}
}

// generating are the endpoints but those of embeddings.
func generating() []endpoint { return endpoints()[:6] }

func (e endpoint) String() string { return e.dialect.name + "/" + e.route.name }

// ask is a body for a route: the input, the model where one is needed, and
// these members.
func ask(path, members string) string {
	input := `"prompt":"How far is the moon?"`
	switch {
	case strings.Contains(path, "/embeddings"):
		input = `"input":"How far is the moon?"`
	case strings.Contains(path, "/chat/"):
		input = `"messages":[{"role":"user","content":"How far is the moon?"}]`
	}
	if strings.HasPrefix(path, "/openai/") && !strings.Contains(members, `"model"`) {
		input = `"model":"fake",` + input
	}
	if members != "" {
		input += ","
	}
	return "{" + input + members + "}"
}

// bothRoutes runs a test on each route.
func bothRoutes(t *testing.T, f func(t *testing.T, path string)) {
	for _, path := range []string{completionsPath, chatPath} {
		t.Run(strings.TrimPrefix(path, "/v1/"), func(t *testing.T) { f(t, path) })
	}
}
