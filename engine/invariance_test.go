package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// A subject is a model and requests whose answers are known: each was computed
// alone, on one thread, without prefixes, a whole prompt at a time.
type subject struct {
	model    *Model
	requests []Request
	answers  [][]Choice
	vector   []float32 // of the longest prompt
}

// newSubject makes requests of all kinds, many of which begin alike.
func newSubject(t testing.TB, s ggufwrite.Shape) *subject {
	m := randomModel(t, s)
	sub := &subject{model: m}
	e := New(m, Options{MaxSequences: 1, MaxBatchedTokens: 1 << 20, Threads: 1, NoPrefixCaching: true})
	defer e.Close()
	schema, err := JSONSchema([]byte(`{"properties":{"hello":{"type":"string","maxLength":12},"n":{"type":"integer"}},"required":["hello"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(s.Seed, 1))
	beginnings := []string{"hello world, ", strings.Repeat("hello world ", 7), strings.Repeat("a", 33) + strings.Repeat("b", 20)}
	for i := range 24 {
		r := Request{
			Prompt:    m.Tokenizer().Prompt(beginnings[i%3] + strings.Repeat("x", rng.IntN(30))),
			MaxTokens: 1 + rng.IntN(24), N: 1, Temperature: 1, TopP: 1, Seed: new(int64(i)), Logprobs: rng.IntN(3), IgnoreEOS: i%2 == 0,
		}
		switch i % 8 {
		case 1:
			r.Temperature = 0
		case 2:
			r.N, r.TopP, r.PresencePenalty = 3, .8, .5
		case 3:
			r.N, r.BestOf, r.TopK = 1, 3, 40
		case 4:
			r.Temperature, r.UseBeamSearch, r.N, r.BestOf = 0, true, 2, 3
		case 5:
			r.PromptLogprobs, r.RepetitionPenalty = new(1), 1.2
		case 6:
			r.IgnoreEOS, r.Constraint, r.LogitBias = false, schema, map[int]float64{'"': 3}
		case 7:
			r.Stop, r.MinTokens = []string{"e", "lo"}, 1
		}
		sub.requests = append(sub.requests, r)
		sub.answers = append(sub.answers, generate(t, e, r))
	}
	if sub.vector, err = e.Embed(context.Background(), sub.requests[1].Prompt); err != nil {
		t.Fatal(err)
	}
	return sub
}

// schedule runs some of the requests in some way, and says what differs.
func (s *subject) schedule(seed uint64) (Stats, error) {
	rng := rand.New(rand.NewPCG(seed, 7))
	c := s.model.Config()
	o := Options{
		MaxSequences:     1 + rng.IntN(12),
		MaxBatchedTokens: 1 + rng.IntN(150),
		KVCacheBytes:     int64(1+rng.IntN(12)) * blockBytes(&c), // one context at least
		Threads:          1 + rng.IntN(4),
		NoPrefixCaching:  rng.IntN(4) == 0,
	}
	e := New(s.model, o)
	defer e.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var found error
	differs := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if found == nil {
			found = fmt.Errorf("seed %d, %+v: %s", seed, o, fmt.Sprintf(format, args...))
		}
	}
	run := func(i, leave int) {
		r := s.requests[i]
		steps := 0
		got, err := Collect(func(yield func(Step, error) bool) {
			for step, err := range e.Generate(context.Background(), r) {
				if steps++; steps == leave || !yield(step, err) {
					return
				}
			}
		}, r.N)
		if leave == 0 && (err != nil || !reflect.DeepEqual(got, s.answers[i])) {
			differs("request %d gives %+v (%v), want %+v", i, got, err, s.answers[i])
		}
	}
	for range 1 + rng.IntN(10) {
		i, leave := rng.IntN(len(s.requests)), 0
		if rng.IntN(6) == 0 {
			leave = 1 + rng.IntN(5) // a caller that goes away
		}
		switch rng.IntN(12) {
		case 0:
			wg.Go(func() {
				if v, err := e.Embed(context.Background(), s.requests[1].Prompt); err != nil || !reflect.DeepEqual(v, s.vector) {
					differs("another embedding (%v)", err)
				}
			})
		case 1: // alone with what runs already, before the next comes
			run(i, leave)
		default:
			wg.Go(func() { run(i, leave) })
		}
	}
	wg.Wait()
	stats := e.Stats()
	e.Close()
	if used := e.scheduler.pool.used(); used != 0 {
		differs("%d blocks are still in use", used)
	}
	return stats, found
}

// TestBatchInvarianceOfEngine tries to break the promise that a request's
// answer is the same bits, log probabilities too, alone and in any company: at
// any number of threads, of tokens a step and of sequences, with a cold or a
// warm prefix, after preemption, beside callers that leave.
//
// TOUCHSTONE_SCHEDULES sets how many schedules are tried (make invariance).
func TestBatchInvarianceOfEngine(t *testing.T) {
	schedules := 32
	if testing.Short() {
		schedules = 12
	}
	if n, err := strconv.Atoi(os.Getenv("TOUCHSTONE_SCHEDULES")); err == nil {
		schedules = n
	}
	start := uint64(0)
	if n, err := strconv.ParseUint(os.Getenv("TOUCHSTONE_SEED"), 10, 64); err == nil {
		start = n
	}
	var subjects []*subject
	for _, typ := range []uint32{ggufwrite.F32, ggufwrite.Q8_0, ggufwrite.F16, ggufwrite.Q4_K} {
		s := ggufwrite.Small
		s.Type = typ
		switch typ {
		case ggufwrite.Q8_0:
			s.Dim, s.FFN = 96, 160
		case ggufwrite.Q4_K:
			s.Layers, s.Dim, s.FFN = 1, 256, 256
		}
		subjects = append(subjects, newSubject(t, s))
	}
	var all Stats
	for i := range schedules {
		stats, err := subjects[i%len(subjects)].schedule(start + uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		all.Preemptions += stats.Preemptions
		all.PrefixCacheHits += stats.PrefixCacheHits
		all.PromptTokens += stats.PromptTokens
		all.GenerationTokens += stats.GenerationTokens
		all.Steps += stats.Steps
	}
	if all.Preemptions == 0 || all.PrefixCacheHits == 0 {
		t.Errorf("nothing was preempted, or found again: %+v", all)
	}
	t.Logf("%d schedules, %d steps, %d + %d tokens, %d preemptions, %d tokens found again, no bit differs",
		schedules, all.Steps, all.PromptTokens, all.GenerationTokens, all.Preemptions, all.PrefixCacheHits)
}
