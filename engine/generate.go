package engine

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
)

// A generation is one request on its way through the engine.
type generation struct {
	model   *Model
	request Request
	seed    uint64
	ctx     context.Context // of the caller
	out     outbox

	// Of the scheduler.
	arrival   uint64 // rank in the order in which requests came
	served    int64  // tokens computed for it
	paused    bool   // its caller is far behind
	withdrawn bool   // its caller has gone; under Engine.mu

	width    int // candidates
	started  bool
	live     []*candidate // those that have not finished, in the order of their index
	finished []*candidate // those that have, where nothing is shown before the end
	steps    []Step       // to be handed over after this step
	done     bool         // all is in steps
	err      error        // or this has ended it

	machine *machine // of the constraint, nil if there is none

	observer observer // of the prompt, nil if there is none
	observed int      // tokens whose rows it has seen
}

// An observer wants to see what is computed for every token of the prompt.
type observer interface {
	// want sets what the row of a token is to bring.
	want(r *row)
	// see takes the rows, of the tokens from pos on.
	see(pos int, rows []row) error
}

// A candidate is one of the sequences of a request.
type candidate struct {
	transcript
	gen     *generation
	index   int   // in the order of generation
	tokens  []int // of prompt and answer
	sampler *sampler
	cache   *kvCache
	logits  []float32  // after the last token, if ready
	ready   bool       // all tokens are computed
	planned int        // tokens to compute in this step
	parent  *candidate // of a beam, until it has a cache of its own

	drawn bool // from these logits
	step  Step // what came of it
	err   error

	// What has been decided, where nothing is shown before the end.
	text    string
	written []Token
}

func newGeneration(e *Engine, r Request) *generation {
	g := &generation{model: e.model, request: r, seed: rand.Uint64(), width: max(r.BestOf, r.N), out: newOutbox()}
	if r.Seed != nil {
		g.seed = uint64(*r.Seed)
	}
	if r.Constraint != nil {
		g.machine = newMachine(r.Constraint.grammar, e.vocabulary())
	}
	if r.PromptLogprobs != nil {
		g.observer = newPromptScores(g)
	}
	g.live = []*candidate{{
		transcript: newTranscript(e.model.tokenizer, &g.request),
		gen:        g,
		tokens:     slices.Clip(r.Prompt),
		sampler:    g.sampler(0),
	}}
	return g
}

// sampler returns that of candidate i.
func (g *generation) sampler(i int) *sampler {
	s := newSampler(&g.request, g.model.tokenizer.EOS(), g.seed, i)
	if g.machine != nil {
		s.machine, s.state = g.machine, g.machine.first
	}
	return s
}

// lag returns how many tokens the cache lags behind.
func (c *candidate) lag() int { return len(c.tokens) - c.cache.len }

// after says whether c came after other.
func (c *candidate) after(other *candidate) bool {
	return cmp.Or(cmp.Compare(c.gen.arrival, other.gen.arrival), cmp.Compare(c.index, other.index)) > 0
}

// reusable returns how many tokens from the first need not be computed if the
// cache has them.
func (g *generation) reusable() int {
	if g.observer != nil && g.observed < len(g.request.Prompt) {
		return g.observed
	}
	return len(g.request.Prompt) + g.request.MaxTokens
}

// release gives back all memory.
func (g *generation) release() {
	for _, c := range g.live {
		c.cache.release()
	}
	g.live = nil
}

// computed notes that rows of c, from position pos on, were computed.
func (g *generation) computed(c *candidate, pos int, rows []row) error {
	g.served += int64(len(rows))
	if g.observer == nil || g.started || pos+len(rows) <= g.observed {
		return nil
	}
	skip := g.observed - pos
	g.observed = pos + len(rows)
	return g.observer.see(pos+skip, rows[skip:])
}

// start is called when the prompt is computed: all candidates go on from there.
func (g *generation) start() {
	g.started = true
	r, first := &g.request, g.live[0]
	switch o := g.observer.(type) {
	case *promptScores:
		g.steps = append(g.steps, Step{Prompt: o.tokens()})
	case *embedding:
		g.done = true
		return
	}
	if r.MaxTokens == 0 {
		for i := range r.N {
			g.steps = append(g.steps, Step{Choice: i, Finish: FinishLength})
		}
		g.done = true
		return
	}
	if r.UseBeamSearch {
		return
	}
	for i := 1; i < g.width; i++ {
		g.live = append(g.live, &candidate{
			transcript: newTranscript(g.model.tokenizer, r),
			gen:        g,
			index:      i,
			tokens:     slices.Clip(first.tokens),
			sampler:    g.sampler(i),
			cache:      first.cache.fork(),
			logits:     first.logits,
			ready:      true,
		})
	}
}

// fail ends the generation with an error.
func (g *generation) fail(err error) {
	if g.err == nil {
		g.done, g.err = true, err
	}
}

// draw takes the next token of a candidate that is ready. For a beam it only
// finds out how likely all are. It touches nothing but the candidate; scratch is
// memory for a distribution, [VocabSize].
func (c *candidate) draw(scratch []float64) {
	c.drawn = true
	if c.gen.request.UseBeamSearch {
		c.err = c.sampler.distribution(c.logits)
		return
	}
	c.sampler.logp = scratch
	var id int
	if id, c.err = c.sampler.sample(c.logits); c.err == nil {
		c.tokens = append(c.tokens, id)
		c.step = c.accept(id, scratch)
		c.step.Choice = c.index
	}
	c.sampler.logp = nil
}

// advance takes what its candidates have drawn.
func (g *generation) advance() error {
	if g.request.UseBeamSearch {
		return g.searchOn()
	}
	streams := g.width == g.request.N
	for _, c := range g.live {
		if !c.drawn {
			continue
		}
		if c.err != nil {
			return c.err
		}
		s := c.step
		switch {
		case !streams:
			c.keep(s)
		case s.Text != "" || len(s.Tokens) > 0 || s.Finish != "":
			g.steps = append(g.steps, s)
		}
		c.ready, c.drawn, c.logits, c.step = false, false, nil, Step{}
	}
	g.live = slices.DeleteFunc(g.live, func(c *candidate) bool {
		if c.finish == "" {
			return false
		}
		c.cache.release()
		if !streams {
			g.finished = append(g.finished, c)
		}
		return true
	})
	if len(g.live) > 0 {
		return nil
	}
	g.done = true
	if !streams {
		slices.SortFunc(g.finished, func(a, b *candidate) int {
			mean := func(c *candidate) float64 { return c.logprob / float64(c.generated) }
			return cmp.Or(cmp.Compare(mean(b), mean(a)), cmp.Compare(a.index, b.index))
		})
		g.show(g.finished[:g.request.N])
	}
	return nil
}

// keep adds a step to what the candidate will have said.
func (c *candidate) keep(s Step) {
	c.text += s.Text
	c.written = append(c.written, s.Tokens...)
}

// show makes each candidate one step, the first that of choice 0.
func (g *generation) show(ranked []*candidate) {
	for i, c := range ranked {
		g.steps = append(g.steps, Step{
			Choice: i, Text: c.text, Tokens: c.written, Finish: c.finish,
			Generated: c.generated, CumulativeLogprob: c.logprob,
		})
	}
}

// promptScores observes the log probabilities of a prompt.
type promptScores struct {
	prompt     []int
	transcript transcript
	logp       []float64
}

func newPromptScores(g *generation) *promptScores {
	r := &Request{Logprobs: *g.request.PromptLogprobs, KeepSpecialTokens: g.request.KeepSpecialTokens}
	p := &promptScores{
		prompt:     g.request.Prompt,
		transcript: newTranscript(g.model.tokenizer, r),
		logp:       make([]float64, g.model.config.VocabSize),
	}
	p.transcript.prompt(p.prompt[0], nil)
	return p
}

func (p *promptScores) want(r *row) { r.logits = make([]float32, len(p.logp)) }

// see notes what each row says of the token after it.
func (p *promptScores) see(pos int, rows []row) error {
	for i, r := range rows {
		if pos+i+1 >= len(p.prompt) {
			break
		}
		if err := checked(p.logp, r.logits); err != nil {
			return err
		}
		if err := logSoftmax(p.logp); err != nil {
			return err
		}
		p.transcript.prompt(p.prompt[pos+i+1], p.logp)
	}
	return nil
}

func (p *promptScores) tokens() []Token { return p.transcript.promptTokens() }
