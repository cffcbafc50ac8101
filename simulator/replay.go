package simulator

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/engine"
)

// Random is the Generator of text at random, for throughput beyond any engine:
// it has no model, but all else of an answer is as real: tokens, stops, log
// probabilities, n and best_of. A token is a word, or a mark of punctuation; a
// text without a stop goes on to max_tokens.
func Random(contextLength int) Generator { return random{contextLength} }

type random struct{ contextLength int }

// randomWords are its vocabulary, with the space before each.
var randomWords = func() []string {
	list := strings.Fields(`the a of and to in is was that it for on with as his they at be this from have or by one had not but what all were
		when we there can an your which their said if do will each about how up out them then she many some so these would other into has more
		her two like him see time could no make than first been its who now people my made over did down only way find use may water long little
		very after words called just where most know moon river stone light house morning winter garden letter window bridge song road cloud tree`)
	for i, w := range list {
		list[i] = " " + w
	}
	return list
}()

// firstWord is the id of the first word.
const firstWord = 3

func (r random) Config() engine.Config {
	return engine.Config{Name: "random", ContextLength: r.contextLength, VocabSize: firstWord + len(randomWords)}
}

// Prompt counts words and marks; their ids are hashes.
func (random) Prompt(text string) []int {
	tokens := make([]int, 1, 2+len(text)/3)
	tokens[0] = 1
	word := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		letter := c >= utf8.RuneSelf || c == '\'' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		switch {
		case letter && word:
			tokens[len(tokens)-1] = (tokens[len(tokens)-1]*31+int(c))%len(randomWords) + 3
		case letter || c > ' ':
			tokens = append(tokens, int(c)%len(randomWords)+firstWord)
		}
		word = letter
	}
	return tokens
}

func (r random) ChatPrompt(messages []engine.Message, tools []engine.Tool) ([]int, error) {
	if len(tools) > 0 {
		return nil, engine.ErrTools
	}
	tokens := []int{1}
	for _, m := range messages {
		tokens = append(tokens, 2)
		tokens = append(tokens, r.Prompt(m.Content)...)
	}
	return append(tokens, 2), nil
}

// Decode returns the text of tokens.
func (random) Decode(tokens []int) string {
	var b strings.Builder
	for _, t := range tokens {
		if t >= firstWord && t < firstWord+len(randomWords) {
			b.WriteString(randomWords[t-firstWord])
		}
	}
	return b.String()
}

// isPlain says that a request asks for nothing special.
func isPlain(r *engine.Request) bool {
	return r.N == 1 && r.BestOf <= 1 && len(r.Stop) == 0 && len(r.StopTokenIDs) == 0 && r.Logprobs < 0
}

// generateAtOnce answers a plain request in one step.
func (g random) generateAtOnce(ctx context.Context, r engine.Request) engine.Steps {
	if !isPlain(&r) {
		return g.Generate(ctx, r)
	}
	c, most := chance{seedOf(r)}, r.MaxTokens
	return func(yield func(engine.Step, error) bool) {
		var text strings.Builder
		text.Grow(8 * min(most, 1024))
		last := engine.Step{Generated: most, Finish: engine.FinishLength}
		for n := range most {
			if n&1023 == 1023 && ctx.Err() != nil {
				yield(engine.Step{}, ctx.Err())
				return
			}
			word, logprob := c.word()
			text.WriteString(randomWords[word])
			last.CumulativeLogprob += logprob
		}
		if last.Text = text.String(); most > 0 {
			yield(last, nil)
		}
	}
}

func (random) Generate(ctx context.Context, r engine.Request) engine.Steps {
	if isPlain(&r) {
		return plain(ctx, seedOf(r), r.MaxTokens)
	}
	return func(yield func(engine.Step, error) bool) {
		seed := seedOf(r)
		all := make([][]engine.Step, max(r.N, r.BestOf))
		for i := range all {
			all[i] = candidateAt(chance{seed + uint64(i)*7919}, r)
		}
		if len(all) > r.N || r.UseBeamSearch {
			all = bestCandidates(all, r.N)
		}
		for n, open := 0, true; open; n++ {
			open = false
			for i, steps := range all {
				if n >= len(steps) {
					continue
				}
				open = true
				steps[n].Choice = i
				if err := ctx.Err(); err != nil {
					yield(engine.Step{}, err)
					return
				}
				if !yield(steps[n], nil) {
					return
				}
			}
		}
	}
}

// plain is the quick way for requests that ask for nothing special.
func plain(ctx context.Context, seed uint64, most int) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		c := chance{seed}
		sum := 0.0
		for n := 1; n <= most; n++ {
			word, logprob := c.word()
			sum += logprob
			s := engine.Step{Text: randomWords[word], Generated: n, CumulativeLogprob: sum}
			if n == most {
				s.Finish = engine.FinishLength
			}
			if n&15 == 0 && ctx.Err() != nil {
				yield(engine.Step{}, ctx.Err())
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// candidateAt is all steps of a candidate, up to a stop or max_tokens.
func candidateAt(c chance, r engine.Request) []engine.Step {
	var steps []engine.Step
	text, sum := "", 0.0
	for n := 1; n <= r.MaxTokens; n++ {
		word, logprob := c.word()
		sum += logprob
		s := engine.Step{Text: randomWords[word], Generated: n, CumulativeLogprob: sum}
		if r.Logprobs >= 0 {
			t := engine.Token{ID: firstWord + word, Bytes: []byte(s.Text), Text: s.Text, Logprob: logprob, Offset: len(text)}
			for k := range r.Logprobs {
				other := (word + k) % len(randomWords)
				t.Top = append(t.Top, engine.TokenLogprob{ID: firstWord + other, Text: randomWords[other], Logprob: logprob - float64(k)})
			}
			if r.Logprobs == 0 {
				t.Top = []engine.TokenLogprob{{ID: t.ID, Text: t.Text, Logprob: logprob}}
			}
			s.Tokens = []engine.Token{t}
		}
		text += s.Text
		if n == r.MaxTokens {
			s.Finish = engine.FinishLength
		}
		if slices.Contains(r.StopTokenIDs, firstWord+word) {
			s.Finish = engine.FinishStop
		}
		steps = append(steps, s)
		stop := -1
		for _, x := range r.Stop {
			if i := strings.Index(text, x); i >= 0 && (stop < 0 || i < stop) {
				stop = i
			}
		}
		if stop >= 0 {
			steps[n-1].Finish = engine.FinishStop
			return cutAt(steps, stop)
		}
		if s.Finish != "" {
			break
		}
	}
	return steps
}

// cutAt removes text from a byte on, and the tokens that begin there or later.
func cutAt(steps []engine.Step, at int) []engine.Step {
	for i := range steps {
		s := &steps[i]
		if at <= 0 {
			s.Tokens = nil
		}
		keep := min(max(at, 0), len(s.Text))
		at -= len(s.Text)
		s.Text = s.Text[:keep]
	}
	return steps
}

// bestCandidates are the n with the highest mean log probability, each as one
// step.
func bestCandidates(all [][]engine.Step, n int) [][]engine.Step {
	one := make([]engine.Step, len(all))
	for i, steps := range all {
		last := steps[len(steps)-1]
		one[i] = last
		one[i].Text, one[i].Tokens = "", nil
		for _, s := range steps {
			one[i].Text += s.Text
			one[i].Tokens = append(one[i].Tokens, s.Tokens...)
		}
	}
	slices.SortStableFunc(one, func(a, b engine.Step) int {
		return cmp.Compare(b.CumulativeLogprob/float64(b.Generated), a.CumulativeLogprob/float64(a.Generated))
	})
	ranked := make([][]engine.Step, n)
	for i := range ranked {
		ranked[i] = one[i : i+1]
	}
	return ranked
}

// A chance draws words.
type chance struct{ state uint64 }

// seedOf is the seed of a request; a greedy one says the same to the same prompt.
func seedOf(r engine.Request) uint64 {
	switch {
	case r.Seed != nil:
		return uint64(*r.Seed)
	case r.Temperature < 1e-5:
		h := uint64(14695981039346656037)
		for _, t := range r.Prompt {
			h = (h ^ uint64(t)) * 1099511628211
		}
		return h
	}
	return rand.Uint64()
}

// word returns the index of a word and its log probability (splitmix64).
func (c *chance) word() (int, float64) {
	c.state += 0x9e3779b97f4a7c15
	z := c.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return int(z % uint64(len(randomWords))), -0.1 - float64(z>>56)/32
}
