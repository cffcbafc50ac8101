package engine

import (
	"context"
	"errors"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

func newTestEngine(t testing.TB) *Engine {
	t.Helper()
	e := New(randomModel(t, ggufwrite.Small), Options{})
	t.Cleanup(func() { e.Close() })
	return e
}

// sampled is a request that draws, with the seed 1.
func sampled(e *Engine) Request {
	seed := int64(1)
	return Request{
		Prompt: e.Model().Tokenizer().Prompt("hello"), MaxTokens: 30, N: 1,
		Temperature: 1, TopP: 1, Seed: &seed, IgnoreEOS: true,
	}
}

func greedy(e *Engine) Request {
	r := sampled(e)
	r.Temperature, r.Seed = 0, nil
	return r
}

func generate(t testing.TB, e *Engine, r Request) []Choice {
	t.Helper()
	choices, err := Collect(e.Generate(context.Background(), r), r.N)
	if err != nil {
		t.Fatal(err)
	}
	return choices
}

func ids(c Choice) (ids []int) {
	for _, k := range c.Tokens {
		ids = append(ids, k.ID)
	}
	return ids
}

func TestValidate(t *testing.T) {
	e := newTestEngine(t)
	tests := []struct {
		field  string
		change func(r *Request)
	}{
		{"Prompt", func(r *Request) { r.Prompt = nil }},
		{"Prompt[1]", func(r *Request) { r.Prompt = []int{0, 268} }},
		{"Prompt[0]", func(r *Request) { r.Prompt = []int{-1} }},
		{"MaxTokens", func(r *Request) { r.MaxTokens = 0 }},
		{"N ", func(r *Request) { r.N = 0 }},
		{"N ", func(r *Request) { r.N = 1e6 }},
		{"BestOf", func(r *Request) { r.N, r.BestOf = 3, 2 }},
		{"BestOf", func(r *Request) { r.BestOf = 1e6 }},
		{"BestOf", func(r *Request) { r.BestOf, r.UseBeamSearch = 269, true }},
		{"Temperature", func(r *Request) { r.Temperature = -1 }},
		{"Temperature", func(r *Request) { r.Temperature = math.NaN() }},
		{"Temperature", func(r *Request) { r.Temperature = math.Inf(1) }},
		{"TopP", func(r *Request) { r.TopP = 0 }},
		{"TopP", func(r *Request) { r.TopP = 1.1 }},
		{"TopP", func(r *Request) { r.TopP = math.NaN() }},
		{"PresencePenalty", func(r *Request) { r.PresencePenalty = -2.1 }},
		{"FrequencyPenalty", func(r *Request) { r.FrequencyPenalty = 2.1 }},
		{"RepetitionPenalty", func(r *Request) { r.RepetitionPenalty = -.1 }},
		{"RepetitionPenalty", func(r *Request) { r.RepetitionPenalty = 2.1 }},
		{"TopK", func(r *Request) { r.TopK = -2 }},
		{"MinP", func(r *Request) { r.MinP = 1.5 }},
		{"MinP", func(r *Request) { r.MinP = math.NaN() }},
		{"MinTokens", func(r *Request) { r.MinTokens = -1 }},
		{"MinTokens", func(r *Request) { r.MinTokens = 31 }},
		{"LogitBias", func(r *Request) { r.LogitBias = map[int]float64{268: 1} }},
		{"LogitBias", func(r *Request) { r.LogitBias = map[int]float64{1: math.Inf(1)} }},
		{"LengthPenalty", func(r *Request) { r.LengthPenalty = new(math.NaN()) }},
		{"EarlyStopping", func(r *Request) { r.EarlyStopping = 3 }},
		{"PromptLogprobs", func(r *Request) { r.PromptLogprobs = new(21) }},
		{"Logprobs", func(r *Request) { r.Logprobs = 21 }},
		{"Stop", func(r *Request) { r.Stop = []string{"a", ""} }},
		{"Stop", func(r *Request) { r.Stop = []string{"\xff"} }},
	}
	for _, test := range tests {
		r := sampled(e)
		test.change(&r)
		steps, err := Collect(e.Generate(context.Background(), r), 1)
		if err == nil || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s: %v, %v", test.field, steps, err)
		}
	}
}

func TestContextLength(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	r.Prompt = slices.Repeat([]int{'a'}, 100)
	r.MaxTokens = 29
	_, err := Collect(e.Generate(context.Background(), r), 1)
	var long *ContextError
	if !errors.Is(err, ErrContextLength) || !errors.As(err, &long) || *long != (ContextError{100, 29, 128}) {
		t.Errorf("%v", err)
	}
	r.MaxTokens = math.MaxInt
	if !errors.Is(r.Validate(e.Model().Config()), ErrContextLength) {
		t.Error("a sum that overflows")
	}
	r.MaxTokens = 28 // the context is full to the last token
	if c := generate(t, e, r)[0]; c.Generated != 28 || c.Finish != FinishLength {
		t.Errorf("%d tokens, %s", c.Generated, c.Finish)
	}
}

// The tokens of a greedy answer are those with the highest logits, and their log
// probabilities those of the softmax.
func TestGreedy(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	r.Logprobs = 3
	c := generate(t, e, r)[0]
	if len(c.Tokens) != r.MaxTokens || c.Finish != FinishLength {
		t.Fatalf("%d tokens, %s", len(c.Tokens), c.Finish)
	}
	seq := slices.Clone(r.Prompt)
	var sum float64
	for i, k := range c.Tokens {
		logits := logitsAfter(e.Model(), seq, 10, 1)
		id := slices.Index(logits, slices.Max(logits))
		var z float64
		for _, l := range logits {
			z += math.Exp(float64(l) - float64(logits[id]))
		}
		if k.ID != id || math.Abs(k.Logprob+math.Log(z)) > 1e-9 {
			t.Fatalf("token %d is %d (%g), want %d (%g)", i, k.ID, k.Logprob, id, -math.Log(z))
		}
		if len(k.Top) != 3 || k.Top[0].ID != id || k.Top[0].Logprob != k.Logprob || k.Top[0].Text != k.Text {
			t.Errorf("top of token %d: %+v", i, k.Top)
		}
		for j := 1; j < len(k.Top); j++ {
			if k.Top[j].Logprob > k.Top[j-1].Logprob {
				t.Errorf("top of token %d is not sorted: %+v", i, k.Top)
			}
		}
		sum += k.Logprob
		seq = append(seq, id)
	}
	if c.CumulativeLogprob != sum {
		t.Errorf("cumulative %g, want %g", c.CumulativeLogprob, sum)
	}
	checkOffsets(t, c)
}

// The steps of a stream join to what is reported at once, log probabilities or
// not; a seed repeats; another seed does not.
func TestStream(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	r.N, r.Logprobs = 3, 2
	want := generate(t, e, r)
	if !reflect.DeepEqual(want, generate(t, e, r)) {
		t.Error("a seed does not repeat")
	}
	if want[0].Text == want[1].Text {
		t.Error("two choices are the same")
	}
	interleaved, ended := false, -1
	text := make([]string, r.N)
	for s, err := range e.Generate(context.Background(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(s.Text) {
			t.Errorf("half a character: %q", s.Text)
		}
		if s.Choice == 0 && text[1] != "" {
			interleaved = true
		}
		text[s.Choice] += s.Text
		if s.Finish != "" {
			ended = s.Choice
		}
	}
	if !interleaved || ended != 2 {
		t.Error("the choices come one after the other")
	}
	for i := range want {
		if text[i] != want[i].Text {
			t.Errorf("choice %d: %q in a stream, %q at once", i, text[i], want[i].Text)
		}
		checkOffsets(t, want[i])
	}
	r.Logprobs = -1
	for i, c := range generate(t, e, r) {
		if c.Text != want[i].Text || c.Tokens != nil || c.CumulativeLogprob != want[i].CumulativeLogprob {
			t.Errorf("choice %d differs without log probabilities", i)
		}
	}
	r.Seed = nil
	if a, b := generate(t, e, r), generate(t, e, r); a[0].Text == b[0].Text {
		t.Error("without a seed two answers are the same")
	}
}

// The log probabilities of the prompt are those of the model, whatever the
// request samples with, and its tokens spell it.
func TestPromptLogprobs(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	text := "hello, wörld " + strings.Repeat("hello ", 15)
	r.Prompt = e.Model().Tokenizer().Prompt(text)
	want := generate(t, e, r)
	r.PromptLogprobs, r.N, r.Temperature, r.RepetitionPenalty = new(2), 2, .3, 1.5
	choices := generate(t, e, r)
	if len(choices[0].Prompt) != len(r.Prompt) || choices[1].Prompt != nil {
		t.Fatalf("%d tokens of the prompt in choice 0, %d in 1, want %d", len(choices[0].Prompt), len(choices[1].Prompt), len(r.Prompt))
	}
	joined := ""
	for i, k := range choices[0].Prompt {
		if k.ID != r.Prompt[i] || k.Offset != utf8.RuneCountInString(joined) {
			t.Errorf("token %d is %d at %d, want %d at %d", i, k.ID, k.Offset, r.Prompt[i], utf8.RuneCountInString(joined))
		}
		joined += k.Text
		if i == 0 {
			if k.Logprob != 0 || k.Top != nil {
				t.Errorf("the first token has %+v", k)
			}
			continue
		}
		logp := make([]float64, e.Model().Config().VocabSize)
		if err := checked(logp, logitsAfter(e.Model(), r.Prompt[:i], 64, 1)); err != nil {
			t.Fatal(err)
		}
		if err := logSoftmax(logp); err != nil {
			t.Fatal(err)
		}
		if k.Logprob != logp[k.ID] || k.Top[0].Logprob != slices.Max(logp) || len(k.Top) < 2 || len(k.Top) > 3 {
			t.Errorf("token %d has %+v, want %g", i, k, logp[k.ID])
		}
	}
	if joined != text {
		t.Errorf("%q, want %q", joined, text)
	}
	r = sampled(e)
	r.Prompt, r.PromptLogprobs = e.Model().Tokenizer().Prompt(text), new(0)
	got := generate(t, e, r)
	got[0].Prompt = nil
	if !reflect.DeepEqual(got, want) {
		t.Error("the answer is another one")
	}
	r.MaxTokens = 0
	got = generate(t, e, r)
	if len(got[0].Prompt) != len(r.Prompt) || got[0].Finish != FinishLength || got[0].Generated != 0 {
		t.Errorf("of the prompt alone: %+v", got[0])
	}
}

// An embedding has length 1 and is the same bits each time; other texts have
// others.
func TestEmbed(t *testing.T) {
	e := newTestEngine(t)
	ctx := context.Background()
	ids := e.Model().Tokenizer().Prompt(strings.Repeat("hello world ", 10))
	a, err := e.Embed(ctx, ids)
	if err != nil || len(a) != e.Model().Config().Dim {
		t.Fatalf("%d numbers, %v", len(a), err)
	}
	var square float64
	for _, x := range a {
		square += float64(x) * float64(x)
	}
	if math.Abs(square-1) > 1e-6 {
		t.Errorf("length %g", math.Sqrt(square))
	}
	if b, _ := e.Embed(ctx, ids); !slices.Equal(a, b) {
		t.Error("the same tokens have another embedding")
	}
	if b, _ := e.Embed(ctx, ids[:9]); slices.Equal(a, b) {
		t.Error("other tokens have the same embedding")
	}
	for _, ids := range [][]int{nil, {-1}, {268}} {
		if _, err := e.Embed(ctx, ids); err == nil {
			t.Errorf("%v: no error", ids)
		}
	}
	if _, err := e.Embed(ctx, make([]int, 129)); !errors.Is(err, ErrContextLength) {
		t.Errorf("too long: %v", err)
	}
}

// EOS does not end an answer before min_tokens, and does so afterwards.
func TestMinTokens(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	r.IgnoreEOS, r.N, r.MaxTokens = false, 20, 60
	r.LogitBias = map[int]float64{idEOS: 4}
	free, held := 0, 0
	for _, c := range generate(t, e, r) {
		if c.Generated < 10 {
			free++
		}
	}
	r.MinTokens = 10
	for _, c := range generate(t, e, r) {
		if c.Generated < 10 {
			held++
		}
		if slices.Contains(ids(c)[:min(9, len(ids(c)))], idEOS) {
			t.Errorf("EOS among %v", ids(c))
		}
	}
	if free == 0 || held != 0 {
		t.Errorf("%d of 20 ended before the 10th token, %d with min_tokens 10", free, held)
	}
}

func TestPresencePenalty(t *testing.T) {
	e := newTestEngine(t)
	repeats := func(penalty float64) int {
		r := sampled(e)
		r.N, r.PresencePenalty = 10, penalty
		n := 0
		for _, c := range generate(t, e, r) {
			seen := map[int]bool{}
			for _, id := range ids(c) {
				if seen[id] {
					n++
				}
				seen[id] = true
			}
		}
		return n
	}
	if less, more := repeats(2), repeats(-2); less >= more {
		t.Errorf("%d repeats with a penalty of 2, %d with -2", less, more)
	}
}

// best_of returns the candidates of n, the best by mean log probability, best
// first, one step each.
func TestBestOf(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	r.IgnoreEOS = false
	r.N = 6
	all := generate(t, e, r)
	mean := func(c Choice) float64 { return c.CumulativeLogprob / float64(c.Generated) }
	slices.SortStableFunc(all, func(a, b Choice) int {
		if mean(a) > mean(b) {
			return -1
		}
		return 1
	})
	r.N, r.BestOf = 2, 6
	got := generate(t, e, r)
	if !reflect.DeepEqual(got, all[:2]) {
		t.Errorf("best of 6:\n%+v, want\n%+v", got, all[:2])
	}
	steps := 0
	for s := range e.Generate(context.Background(), r) {
		if s.Choice != steps || s.Finish == "" {
			t.Errorf("step %d is of choice %d and finishes %q", steps, s.Choice, s.Finish)
		}
		steps++
	}
	if steps != 2 {
		t.Errorf("%d steps", steps)
	}
}

// A beam as wide as the vocabulary finds the best of all continuations.
func TestBeamSearchIsExactWhenWide(t *testing.T) {
	e := newTestEngine(t)
	m := e.Model()
	vocab := m.Config().VocabSize
	r := greedy(e)
	r.UseBeamSearch, r.KeepSpecialTokens = true, true
	r.N, r.BestOf, r.MaxTokens = 20, vocab, 2

	type sequence struct {
		ids   []int
		score float64
	}
	var all []sequence
	after := func(ids []int) []float64 {
		s := newSampler(&r, nil, 0, 0)
		if err := s.distribution(logitsAfter(m, append(slices.Clone(r.Prompt), ids...), 8, 1)); err != nil {
			t.Fatal(err)
		}
		return s.logp
	}
	length := float64(len(r.Prompt) + 2)
	for a, lp := range after(nil) {
		for b, more := range after([]int{a}) {
			all = append(all, sequence{[]int{a, b}, (lp + more) / length})
		}
	}
	slices.SortFunc(all, func(a, b sequence) int {
		if a.score > b.score {
			return -1
		}
		return 1
	})
	for i, c := range generate(t, e, r) {
		if !slices.Equal(ids(c), all[i].ids) {
			t.Errorf("choice %d is %v, want %v", i, ids(c), all[i].ids)
		}
		if score := c.CumulativeLogprob / length; math.Abs(score-all[i].score) > 1e-12 {
			t.Errorf("choice %d has score %g, want %g", i, score, all[i].score)
		}
	}
}

func TestBeamSearch(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	r.UseBeamSearch, r.MaxTokens, r.N, r.BestOf = true, 12, 3, 4
	choices := generate(t, e, r)
	if !reflect.DeepEqual(choices, generate(t, e, r)) {
		t.Error("beam search does not repeat")
	}
	if best := generate(t, e, withN(greedy(e), 12)); choices[0].CumulativeLogprob < best[0].CumulativeLogprob {
		t.Error("greedy found better")
	}
	steps := 0
	for s := range e.Generate(context.Background(), r) {
		if s.Choice != steps || s.Finish != FinishLength {
			t.Errorf("step %d: %+v", steps, s)
		}
		steps++
	}
}

func withN(r Request, maxTokens int) Request {
	r.MaxTokens = maxTokens
	return r
}

// The length counts the prompt; EOS counts only in the last ranking.
func TestBeamScore(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	r := Request{Prompt: []int{1, 2, 3}, MaxTokens: 9}
	g := &generation{request: r}
	logp := make([]float64, tok.Size())
	logp['a'], logp[idEOS] = -2, -4
	c := &candidate{transcript: newTranscript(tok, &r)}
	c.accept('a', logp)
	if s := g.score(c); s != -2./4 {
		t.Errorf("running: %g", s)
	}
	c.accept(idEOS, logp)
	if s, final := g.score(c), g.finalScore(c); s != -6./4 || final != -6./5 {
		t.Errorf("ended: %g, in the last ranking %g", s, final)
	}
}

// EOS ends a beam, and stop strings are found in each.
func TestBeamSearchEnds(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	r.UseBeamSearch, r.MaxTokens, r.N, r.BestOf, r.IgnoreEOS = true, 40, 4, 4, false
	open := generate(t, e, r)
	stop := string([]rune(open[0].Text)[2:4])
	r.Stop = []string{stop}
	for i, c := range generate(t, e, r) {
		if strings.Contains(c.Text, stop) {
			t.Errorf("choice %d, %q, holds the stop string %q", i, c.Text, stop)
		}
		if c.Generated < r.MaxTokens && c.Finish != FinishStop {
			t.Errorf("choice %d: %s after %d tokens", i, c.Finish, c.Generated)
		}
		checkOffsets(t, c)
	}
}

func TestStopStrings(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	open := generate(t, e, r)[0]
	whole := []rune(open.Text)
	for from := range whole {
		for to := from + 1; to <= min(from+4, len(whole)); to++ {
			stop := string(whole[from:to])
			if strings.Contains(stop, "\ufffd") {
				continue // what is only decided by what follows
			}
			r.Stop = []string{stop, "never in it"}
			c := generate(t, e, r)[0]
			if want, _, _ := strings.Cut(open.Text, stop); c.Text != want || c.Finish != FinishStop {
				t.Fatalf("stop %q: %q (%s), want %q", stop, c.Text, c.Finish, want)
			}
		}
	}
	r.Stop = []string{"hello"} // of the prompt only
	if c := generate(t, e, r)[0]; c.Text != open.Text {
		t.Errorf("a stop string in the prompt gave %q", c.Text)
	}
}

// A cancelled context ends a request before its next step.
func TestCancel(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := 0
	for s, err := range e.Generate(ctx, r) {
		if steps == 3 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%+v, %v", s, err)
			}
			break
		}
		if steps++; steps == 3 {
			cancel()
		}
	}
	if _, err := Collect(e.Generate(ctx, r), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("from the start: %v", err)
	}
}

// To leave the loop ends the work and gives back the turn.
func TestBreak(t *testing.T) {
	e := New(randomModel(t, ggufwrite.Small), Options{MaxSequences: 1})
	for range 3 {
		for range e.Generate(context.Background(), sampled(e)) {
			break
		}
	}
	generate(t, e, sampled(e))
}

// A caller that is slow to take a step holds up nobody.
func TestSlowCaller(t *testing.T) {
	e := New(randomModel(t, ggufwrite.Small), Options{MaxSequences: 1})
	for range e.Generate(context.Background(), sampled(e)) {
		generate(t, e, sampled(e))
		break
	}
}

func TestClose(t *testing.T) {
	e := New(randomModel(t, ggufwrite.Small), Options{})
	var last error
	for _, err := range e.Generate(context.Background(), sampled(e)) {
		if last = err; err != nil {
			break
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(last, ErrClosed) {
		t.Errorf("a running request ended with %v", last)
	}
	if _, err := Collect(e.Generate(context.Background(), sampled(e)), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a new request: %v", err)
	}
}

// Many at a time give what each gives alone, at any GOMAXPROCS.
func TestConcurrentRequests(t *testing.T) {
	e := New(randomModel(t, ggufwrite.Small), Options{MaxSequences: 3})
	requests := make([]Request, 12)
	want := make([][]Choice, len(requests))
	for i := range requests {
		seed := int64(i)
		r := sampled(e)
		r.Seed, r.N, r.Logprobs = &seed, 1+i%3, 2
		r.Prompt = e.Model().Tokenizer().Prompt(strings.Repeat("hello ", 1+i))
		if i%4 == 3 {
			r.BestOf = r.N + 2
		}
		if i%5 == 4 {
			r.UseBeamSearch, r.Temperature, r.BestOf = true, 0, r.N+1
		}
		requests[i] = r
		want[i] = generate(t, e, r)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			got, err := Collect(e.Generate(context.Background(), r), r.N)
			if err != nil || !reflect.DeepEqual(got, want[i]) {
				t.Errorf("request %d differs in company (%v)", i, err)
			}
		})
	}
	wg.Wait()
}

// Searches that wait for memory which other searches hold, who wait for
// memory too, all come to their end.
func TestBeamsShortOfMemory(t *testing.T) {
	m := randomModel(t, ggufwrite.Small)
	e := New(m, Options{KVCacheBytes: 1, MaxSequences: 3, MaxBatchedTokens: 40})
	defer e.Close()
	var requests []Request
	var want [][]Choice
	for i := range 6 {
		r := greedy(e)
		r.Prompt = m.Tokenizer().Prompt(strings.Repeat("hello ", 10+4*i))
		r.UseBeamSearch, r.N, r.BestOf, r.MaxTokens = true, 2, 4, 20
		requests, want = append(requests, r), append(want, generate(t, e, r))
	}
	for range 10 {
		var wg sync.WaitGroup
		for i, r := range requests {
			wg.Go(func() {
				got, err := Collect(e.Generate(context.Background(), r), r.N)
				if err != nil || !reflect.DeepEqual(got, want[i]) {
					t.Errorf("search %d differs (%v)", i, err)
				}
			})
		}
		wg.Wait()
	}
	if e.Stats().Preemptions == 0 {
		t.Error("none was preempted")
	}
}

func TestCollectRefusesChoicesOutOfRange(t *testing.T) {
	steps := func(yield func(Step, error) bool) { yield(Step{Choice: 1}, nil) }
	if _, err := Collect(steps, 1); err == nil {
		t.Error("no error")
	}
}

// What llama.cpp's server said of this file (F32 weights and cache, one
// thread), to six digits; ours is of F16, like llama.cpp's by default.
func TestAgainstLlamaCpp(t *testing.T) {
	m, err := Open(dataFiles(t, "stories260K.gguf")[0])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e := New(m, Options{})
	defer e.Close()
	prompt := m.Tokenizer().Prompt("Once upon a time")
	if want := []int{1, 403, 407, 261, 378}; !slices.Equal(prompt, want) {
		t.Errorf("prompt %v, want %v", prompt, want)
	}
	c := generate(t, e, Request{Prompt: prompt, MaxTokens: 64, N: 1, TopP: 1})[0]
	want := ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."
	if !strings.HasPrefix(c.Text, want) {
		t.Errorf("%q, want %q …", c.Text, want)
	}
	for i, lp := range []float64{
		-0.031702, -0.068423, -0.015955, -0.000784, -0.493978, -0.445867, -0.004890, -0.000657, -0.018788, -0.076600, -0.070320, -0.103418, -0.232761, -0.000419, -0.082697, -0.532135,
	} {
		if got := c.Tokens[i].Logprob; math.Abs(got-lp) > 1e-3 {
			t.Errorf("token %d has log probability %g, want %g", i, got, lp)
		}
	}
}
