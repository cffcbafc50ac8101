package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Options tune an engine; the zero value works. The names in brackets are
// vLLM's.
type Options struct {
	// MaxSequences bounds how many sequences one step computes
	// [max_num_seqs]; 0 is 256. A request has N sequences, or BestOf.
	MaxSequences int
	// MaxBatchedTokens bounds how many tokens one step computes
	// [max_num_batched_tokens]; 0 is 128. Long prompts are computed in chunks, of
	// what sequences that generate leave of it.
	MaxBatchedTokens int
	// KVCacheBytes is the memory for keys and values, taken when it is needed and
	// never given back. 0 is room for 64 full contexts, but at most a quarter of
	// the machine's memory. It is rounded up to one context.
	KVCacheBytes int64
	// NoPrefixCaching computes every prompt anew, even where another request
	// began alike [enable_prefix_caching].
	NoPrefixCaching bool
	// Threads bounds how many processors a step uses; 0 is GOMAXPROCS.
	Threads int
}

const (
	defaultSequences     = 256
	defaultBatchedTokens = 128
	defaultContexts      = 64 // in the cache
)

// An Engine computes requests on one model. It is safe for concurrent use.
//
// One loop serves all requests: each step of it computes a few tokens of as many
// sequences as there are, together, so that every weight is read once for all
// (iteration-level scheduling, Yu et al. 2022, Orca). Without requests there is
// no loop, and nothing runs.
type Engine struct {
	model      *Model
	options    Options
	vocabulary func() *vocabulary // made when a constraint first needs it

	mu      sync.Mutex
	idle    sync.Cond // of mu: the loop has ended
	looping bool
	closed  atomic.Bool // written under mu
	arrived []*generation
	stats   Stats

	// The loop's own.
	scheduler          scheduler
	rows               []row
	logits             [][]float32 // [VocabSize] each, of the rows that ask
	logp               sync.Pool   // of *[]float64, [VocabSize]
	prompts, generated int64       // tokens
}

// New returns an engine on m. The caller closes it before m.
func New(m *Model, o Options) *Engine {
	if o.MaxSequences <= 0 {
		o.MaxSequences = defaultSequences
	}
	if o.MaxBatchedTokens <= 0 {
		o.MaxBatchedTokens = defaultBatchedTokens
	}
	context := int64(blocksFor(m.config.ContextLength))
	size := blockBytes(&m.config)
	if o.KVCacheBytes <= 0 {
		o.KVCacheBytes = min(defaultContexts*context*size, machineMemory()/4)
	}
	blocks := max(context, o.KVCacheBytes/size)
	e := &Engine{model: m, options: o}
	e.idle.L = &e.mu
	e.scheduler = scheduler{
		pool:   newKVPool(&m.config, int(blocks)),
		tokens: o.MaxBatchedTokens, sequences: o.MaxSequences, findPrefixes: !o.NoPrefixCaching,
	}
	e.vocabulary = sync.OnceValue(func() *vocabulary { return newVocabulary(m.tokenizer) })
	e.logp.New = func() any { return new(make([]float64, m.config.VocabSize)) }
	e.stats.KVCacheBlocks = int(blocks)
	return e
}

// Model returns the model of the engine.
func (e *Engine) Model() *Model { return e.model }

// ErrClosed ends the requests of an engine that was closed.
var ErrClosed = errors.New("engine: closed")

// Close ends running requests with [ErrClosed] and returns when none computes
// any more.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed.Store(true)
	e.start()
	for e.looping {
		e.idle.Wait()
	}
	return nil
}

// Generate computes r while the steps are ranged over, a little ahead of who
// ranges; to leave the loop, or to cancel ctx, ends it within one step. Steps
// may be ranged over once or again: each time computes anew, and draws a new
// seed if the request has none.
func (e *Engine) Generate(ctx context.Context, r Request) Steps {
	return func(yield func(Step, error) bool) {
		err := r.Validate(e.model.config)
		if err == nil {
			err = e.compute(ctx, newGeneration(e, r), yield)
		}
		if err != nil {
			yield(Step{}, err)
		}
	}
}

// compute yields the steps of g until the last, or until nobody wants more.
func (e *Engine) compute(ctx context.Context, g *generation, yield func(Step, error) bool) error {
	g.ctx = ctx
	if err := e.submit(g); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			e.withdraw(g)
		}
	}()
	for {
		steps, last, err := g.out.take(ctx)
		if ended = last; err != nil {
			return err
		}
		e.resume(g, len(steps))
		for _, s := range steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			if e.closed.Load() {
				return ErrClosed
			}
			if !yield(s, nil) {
				return nil
			}
		}
		if last {
			return nil
		}
	}
}

// ErrContextLength matches, with errors.Is, every [*ContextError].
var ErrContextLength = errors.New("prompt and max_tokens exceed the context length")

// A ContextError says by how much a request exceeds the context.
type ContextError struct {
	Prompt    int // tokens of the prompt
	MaxTokens int // tokens asked for
	Context   int // tokens that fit
}

func (e *ContextError) Error() string {
	return fmt.Sprintf("%v: %d prompt tokens and max_tokens %d make %d, but the context holds %d tokens",
		ErrContextLength, e.Prompt, e.MaxTokens, e.Prompt+e.MaxTokens, e.Context)
}

// Is makes errors.Is(err, ErrContextLength) true.
func (e *ContextError) Is(target error) bool { return target == ErrContextLength }

const (
	// maxCandidates bounds what one request may ask for at a time.
	maxCandidates = 1024
	// maxLogprobs is how many alternatives vLLM reports at most.
	maxLogprobs = 20
)

// Validate says whether the engine can compute r on a model of shape c. The
// error names the field; a request that is too long gets a [*ContextError].
// Stop token ids that no token has are harmless.
func (r Request) Validate(c Config) error {
	bad := func(format string, args ...any) error { return fmt.Errorf("engine: "+format, args...) }
	switch {
	case len(r.Prompt) == 0:
		return bad("Prompt has no tokens")
	case r.MaxTokens < 0 || r.MaxTokens == 0 && r.PromptLogprobs == nil:
		return bad("MaxTokens must be at least 1, got %d", r.MaxTokens)
	case r.MinTokens < 0 || r.MinTokens > r.MaxTokens:
		return bad("MinTokens must be in [0, MaxTokens], got %d with MaxTokens %d", r.MinTokens, r.MaxTokens)
	case r.N < 1 || r.N > maxCandidates:
		return bad("N must be in [1, %d], got %d", maxCandidates, r.N)
	case r.BestOf != 0 && r.BestOf < r.N || r.BestOf > maxCandidates:
		return bad("BestOf must be 0 or in [N, %d], got %d with N %d", maxCandidates, r.BestOf, r.N)
	case r.UseBeamSearch && max(r.BestOf, r.N) > c.VocabSize:
		return bad("BestOf %d is a beam wider than the vocabulary of %d", max(r.BestOf, r.N), c.VocabSize)
	case !(r.Temperature >= 0) || math.IsInf(r.Temperature, 0):
		return bad("Temperature must be finite and not negative, got %g", r.Temperature)
	case !(r.TopP > 0 && r.TopP <= 1):
		return bad("TopP must be in (0, 1], got %g", r.TopP)
	case r.TopK < -1:
		return bad("TopK must be -1 or 0 (all tokens), or at least 1, got %d", r.TopK)
	case !(r.MinP >= 0 && r.MinP <= 1):
		return bad("MinP must be in [0, 1], got %g", r.MinP)
	case !(r.PresencePenalty >= -2 && r.PresencePenalty <= 2):
		return bad("PresencePenalty must be in [-2, 2], got %g", r.PresencePenalty)
	case !(r.FrequencyPenalty >= -2 && r.FrequencyPenalty <= 2):
		return bad("FrequencyPenalty must be in [-2, 2], got %g", r.FrequencyPenalty)
	case !(r.RepetitionPenalty >= 0 && r.RepetitionPenalty <= 2):
		return bad("RepetitionPenalty must be 0 (none) or in (0, 2], got %g", r.RepetitionPenalty)
	case r.LengthPenalty != nil && (math.IsNaN(*r.LengthPenalty) || math.IsInf(*r.LengthPenalty, 0)):
		return bad("LengthPenalty must be finite, got %g", *r.LengthPenalty)
	case r.EarlyStopping < EarlyStoppingFalse || r.EarlyStopping > EarlyStoppingNever:
		return bad("EarlyStopping must be EarlyStoppingFalse, True or Never, got %d", r.EarlyStopping)
	case r.Logprobs > maxLogprobs:
		return bad("Logprobs must be at most %d, got %d", maxLogprobs, r.Logprobs)
	case r.PromptLogprobs != nil && (*r.PromptLogprobs < 0 || *r.PromptLogprobs > maxLogprobs):
		return bad("PromptLogprobs must be in [0, %d], got %d", maxLogprobs, *r.PromptLogprobs)
	case slices.Contains(r.Stop, ""):
		return bad("Stop holds an empty string")
	case slices.ContainsFunc(r.Stop, func(s string) bool { return !utf8.ValidString(s) }):
		return bad("Stop holds a string that is not UTF-8")
	}
	for id, bias := range r.LogitBias {
		if id < 0 || id >= c.VocabSize {
			return bad("LogitBias has a value for token %d, but the vocabulary has %d tokens", id, c.VocabSize)
		}
		if math.IsNaN(bias) || math.IsInf(bias, 0) {
			return bad("LogitBias of token %d must be finite, got %g", id, bias)
		}
	}
	if r.Constraint != nil && r.Constraint.grammar == nil {
		return bad("Constraint is empty; JSONSchema and its kin make one")
	}
	for i, id := range r.Prompt {
		if id < 0 || id >= c.VocabSize {
			return bad("Prompt[%d] is %d, but the vocabulary has %d tokens", i, id, c.VocabSize)
		}
	}
	if len(r.Prompt) > c.ContextLength || r.MaxTokens > c.ContextLength-len(r.Prompt) {
		return &ContextError{Prompt: len(r.Prompt), MaxTokens: r.MaxTokens, Context: c.ContextLength}
	}
	return nil
}
