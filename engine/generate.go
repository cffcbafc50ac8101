package engine

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
)

// A generation computes one request.
type generation struct {
	engine  *Engine
	request Request
	seed    uint64
	scores  *transcript // of the prompt, nil unless its log probabilities are asked for
}

// A candidate is one of the sequences of a request.
type candidate struct {
	transcript
	sampler *sampler
	cache   *kvCache
	logits  []float32 // of the next token
	index   int       // in the order of generation

	// What has been decided, where nothing is shown before the end.
	text    string
	written []Token
}

func newGeneration(e *Engine, r Request) *generation {
	g := &generation{engine: e, request: r, seed: rand.Uint64()}
	if r.Seed != nil {
		g.seed = uint64(*r.Seed)
	}
	if n := r.PromptLogprobs; n != nil {
		t := newTranscript(e.model.tokenizer, &Request{Logprobs: *n, KeepSpecialTokens: r.KeepSpecialTokens})
		g.scores = &t
		g.scores.prompt(r.Prompt[0], nil)
	}
	return g
}

// run computes the request and yields its steps.
func (g *generation) run(ctx context.Context, yield func(Step, error) bool) error {
	first, err := g.prefill(ctx)
	if err != nil {
		return err
	}
	r := &g.request
	if g.scores != nil {
		if !yield(Step{Prompt: g.scores.promptTokens()}, nil) {
			return nil
		}
	}
	if r.MaxTokens == 0 {
		for i := range r.N {
			if !yield(Step{Choice: i, Finish: FinishLength}, nil) {
				return nil
			}
		}
		return nil
	}
	width := max(r.BestOf, r.N)
	if r.UseBeamSearch {
		ranked, err := g.beamSearch(ctx, first, width)
		if err != nil {
			return err
		}
		yieldRanked(ranked[:min(r.N, len(ranked))], yield)
		return nil
	}
	if width == r.N {
		_, err := g.sample(ctx, first, width, yield)
		return err
	}
	ranked, err := g.sample(ctx, first, width, nil)
	if err != nil {
		return err
	}
	slices.SortStableFunc(ranked, func(a, b *candidate) int {
		return cmp.Compare(b.logprob/float64(b.generated), a.logprob/float64(a.generated))
	})
	yieldRanked(ranked[:r.N], yield)
	return nil
}

// prefill computes the prompt, chunk by chunk, and returns a candidate that has
// generated nothing.
func (g *generation) prefill(ctx context.Context) (*candidate, error) {
	c := &g.engine.model.config
	first := &candidate{
		transcript: newTranscript(g.engine.model.tokenizer, &g.request),
		sampler:    newSampler(&g.request, g.engine.model.tokenizer.EOS(), g.seed, 0),
		cache:      newKVCache(c),
		logits:     make([]float32, c.VocabSize),
	}
	for prompt := g.request.Prompt; len(prompt) > 0; {
		n := min(batchLen, len(prompt))
		rows := make([]row, n)
		for i, token := range prompt[:n] {
			rows[i] = row{cache: first.cache, token: token}
			if g.scores != nil {
				rows[i].logits = make([]float32, c.VocabSize)
			}
		}
		prompt = prompt[n:]
		if len(prompt) == 0 {
			rows[n-1].logits = first.logits
		}
		if err := g.engine.step(ctx, rows); err != nil {
			return nil, err
		}
		if g.scores != nil {
			if err := g.scorePrompt(rows, prompt); err != nil {
				return nil, err
			}
		}
	}
	return first, nil
}

// scorePrompt notes the log probabilities that rows of the prompt give to the tokens
// after each; rest is the prompt after the rows.
func (g *generation) scorePrompt(rows []row, rest []int) error {
	logp := make([]float64, g.engine.model.config.VocabSize)
	for i, r := range rows {
		var next int
		switch {
		case i+1 < len(rows):
			next = rows[i+1].token
		case len(rest) > 0:
			next = rest[0]
		default:
			return nil
		}
		if err := checked(logp, r.logits); err != nil {
			return err
		}
		if err := logSoftmax(logp); err != nil {
			return err
		}
		g.scores.prompt(next, logp)
	}
	return nil
}

// sample draws width candidates, all from first, token by token in turn. With
// yield each step is yielded at once, else the candidates keep their text.
func (g *generation) sample(ctx context.Context, first *candidate, width int, yield func(Step, error) bool) ([]*candidate, error) {
	all := []*candidate{first}
	for i := 1; i < width; i++ {
		all = append(all, &candidate{
			transcript: newTranscript(g.engine.model.tokenizer, &g.request),
			sampler:    newSampler(&g.request, g.engine.model.tokenizer.EOS(), g.seed, i),
			cache:      first.cache.fork(),
			logits:     slices.Clone(first.logits),
			index:      i,
		})
	}
	running := slices.Clone(all)
	for len(running) > 0 {
		for _, c := range running {
			id, err := c.sampler.sample(c.logits)
			if err != nil {
				return nil, err
			}
			s := c.accept(id, c.sampler.logp)
			s.Choice = c.index
			if yield == nil {
				c.keep(s)
			} else if s.Text != "" || len(s.Tokens) > 0 || s.Finish != "" {
				if !yield(s, nil) {
					return nil, nil
				}
			}
		}
		running = slices.DeleteFunc(running, func(c *candidate) bool { return c.finish != "" })
		if err := g.next(ctx, running); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// next computes the logits that follow the last token of each candidate.
func (g *generation) next(ctx context.Context, running []*candidate) error {
	for batch := range slices.Chunk(running, batchLen) {
		rows := make([]row, len(batch))
		for i, c := range batch {
			rows[i] = row{cache: c.cache, token: c.last, logits: c.logits}
		}
		if err := g.engine.step(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// keep adds a step to what the candidate will have said.
func (c *candidate) keep(s Step) {
	c.text += s.Text
	c.written = append(c.written, s.Tokens...)
}

// yieldRanked yields each candidate as one step, the first as choice 0.
func yieldRanked(ranked []*candidate, yield func(Step, error) bool) {
	for i, c := range ranked {
		s := Step{
			Choice: i, Text: c.text, Tokens: c.written, Finish: c.finish,
			Generated: c.generated, CumulativeLogprob: c.logprob,
		}
		if !yield(s, nil) {
			return
		}
	}
}
