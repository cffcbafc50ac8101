package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// logits whose softmax at temperature 1 is p.
func logitsOf(p ...float64) []float32 {
	l := make([]float32, len(p))
	for i, x := range p {
		l[i] = float32(math.Log(x)) + 3
	}
	return l
}

func TestDistribution(t *testing.T) {
	const no = 0 // left out by top_p
	tests := []struct {
		name string
		r    Request
		seen []int
		in   []float64
		want []float64
	}{
		{"plain", Request{Temperature: 1, TopP: 1}, nil, []float64{.5, .3, .2}, []float64{.5, .3, .2}},
		{"greedy is the plain softmax", Request{TopP: .1}, nil, []float64{.5, .3, .2}, []float64{.5, .3, .2}},
		{"temperature", Request{Temperature: .5, TopP: 1}, nil, []float64{.5, .3, .2}, []float64{.25 / .38, .09 / .38, .04 / .38}},
		{"top_p", Request{Temperature: 1, TopP: .6}, nil, []float64{.2, .5, .3}, []float64{no, .625, .375}},
		{"top_p keeps one at least", Request{Temperature: 1, TopP: 1e-9}, nil, []float64{.2, .5, .3}, []float64{no, 1, no}},
		{"top_p on a tie keeps the lower id", Request{Temperature: 1, TopP: .3}, nil, []float64{.25, .25, .25, .25}, []float64{.5, .5, no, no}},
		{"penalty", Request{Temperature: 1, TopP: 1, PresencePenalty: math.Ln2}, []int{0, 0}, []float64{.5, .25, .25}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{"penalty before temperature", Request{Temperature: .5, TopP: 1, PresencePenalty: math.Ln2}, []int{0}, []float64{.6, .4}, []float64{.09 / .25, .16 / .25}},
		{"top_k", Request{Temperature: 1, TopP: 1, TopK: 2}, nil, []float64{.2, .5, .3}, []float64{no, .625, .375}},
		{"top_k on a tie keeps the lower ids", Request{Temperature: 1, TopP: 1, TopK: 3}, nil, []float64{.2, .3, .2, .1, .2}, []float64{.2 / .7, .3 / .7, .2 / .7, no, no}},
		{"top_k -1 keeps all", Request{Temperature: 1, TopP: 1, TopK: -1}, nil, []float64{.5, .3, .2}, []float64{.5, .3, .2}},
		{"top_k beyond the vocabulary", Request{Temperature: 1, TopP: 1, TopK: 9}, nil, []float64{.5, .3, .2}, []float64{.5, .3, .2}},
		{"top_p of what top_k left", Request{Temperature: 1, TopP: .6, TopK: 2}, nil, []float64{.2, .5, .3}, []float64{no, 1, no}},
		{"min_p", Request{Temperature: 1, TopP: 1, MinP: .5}, nil, []float64{.2, .5, .3}, []float64{no, .625, .375}},
		{"min_p 1 keeps the most probable", Request{Temperature: 1, TopP: 1, MinP: 1}, nil, []float64{.4, .2, .4}, []float64{.5, no, .5}},
		{"min_p after temperature", Request{Temperature: .5, TopP: 1, MinP: .3}, nil, []float64{.2, .5, .3}, []float64{no, .25 / .34, .09 / .34}},
		{"min_p after top_p and top_k", Request{Temperature: 1, TopP: .95, TopK: 3, MinP: .7}, nil, []float64{.2, .5, .3}, []float64{no, 1, no}},
		{"greedy is not cut", Request{TopP: .1, TopK: 1, MinP: 1}, nil, []float64{.5, .3, .2}, []float64{.5, .3, .2}},
		{"frequency", Request{Temperature: 1, TopP: 1, FrequencyPenalty: math.Ln2}, []int{0, 0, 1}, []float64{.5, .25, .25}, []float64{.25, .25, .5}},
		{"frequency and presence", Request{Temperature: 1, TopP: 1, FrequencyPenalty: math.Ln2, PresencePenalty: -math.Ln2}, []int{0, 0, 1}, []float64{.5, .25, .25}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{"bias", Request{Temperature: 1, TopP: 1, LogitBias: map[int]float64{1: math.Ln2, 2: -1e5}}, nil, []float64{.5, .25, .25}, []float64{.5, .5, no}},
		{"bias at temperature 0", Request{TopP: 1, LogitBias: map[int]float64{1: math.Ln2}}, nil, []float64{.5, .25, .25}, []float64{.4, .4, .2}},
		{"EOS before min_tokens", Request{Temperature: 1, TopP: 1, MinTokens: 3}, []int{0, 0}, []float64{.2, .5, .3}, []float64{.4, no, .6}},
		{"EOS after min_tokens", Request{Temperature: 1, TopP: 1, MinTokens: 2}, []int{0, 0}, []float64{.2, .5, .3}, []float64{.2, .5, .3}},
		{"EOS ignored, a stop token before min_tokens", Request{Temperature: 1, TopP: 1, MinTokens: 1, IgnoreEOS: true, StopTokenIDs: []int{2, -1, 99}}, nil, []float64{.2, .5, .3}, []float64{.2 / .7, .5 / .7, no}},
		{"greedy with penalty", Request{PresencePenalty: math.Ln2, TopP: 1}, []int{0}, []float64{.5, .5}, []float64{1. / 3, 2. / 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSampler(&test.r, []int{1}, 1, 0)
			for _, id := range test.seen {
				s.accept(id)
			}
			if err := s.distribution(logitsOf(test.in...)); err != nil {
				t.Fatal(err)
			}
			for i, p := range test.want {
				if p == no {
					if s.logp[i] != impossible {
						t.Errorf("token %d has log probability %g, want %d", i, s.logp[i], impossible)
					}
				} else if math.Abs(math.Exp(s.logp[i])-p) > 1e-6 || s.logp[i] > 0 {
					t.Errorf("token %d has probability %g, want %g", i, math.Exp(s.logp[i]), p)
				}
			}
		})
	}
}

// Where the logit is above 0 the repetition penalty divides, else it
// multiplies; it counts the prompt too.
func TestRepetitionPenalty(t *testing.T) {
	r := &Request{TopP: 1, RepetitionPenalty: 2, Prompt: []int{0, 1, 1}}
	s := newSampler(r, nil, 1, 0)
	s.accept(2)
	s.accept(2)
	if err := s.distribution([]float32{3, -1, 2, 1.5}); err != nil {
		t.Fatal(err)
	}
	for id, want := range []float64{1.5, -2, 1, 1.5} { // differences of logits stay
		if got := s.logp[id] - s.logp[3]; math.Abs(got-(want-1.5)) > 1e-12 {
			t.Errorf("token %d has logit %g, want %g", id, got+1.5, want)
		}
	}
}

func TestNothingPossible(t *testing.T) {
	r := &Request{TopP: 1, MinTokens: 1, StopTokenIDs: []int{0, 1}}
	if _, err := newSampler(r, nil, 1, 0).sample([]float32{1, 2}); !errors.Is(err, errNothingPossible) {
		t.Errorf("%v", err)
	}
}

func TestGreedyTieGoesToTheLowestID(t *testing.T) {
	s := newSampler(&Request{Temperature: 9e-6, TopP: 1}, nil, 1, 0)
	if id, err := s.sample([]float32{1, 3, 2, 3}); id != 1 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
}

func TestLogitsThatAreNoNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, l := range [][]float32{{1, nan}, {inf, 1}, {-inf, -inf}} {
		if _, err := newSampler(&Request{TopP: 1}, nil, 1, 0).sample(l); err == nil {
			t.Errorf("%v: no error", l)
		}
	}
}

// Draws follow the distribution, and are those of the seed and the candidate.
func TestSampling(t *testing.T) {
	r := &Request{Temperature: 1, TopP: .75}
	draw := func(seed uint64, i int) (ids []int) {
		s := newSampler(r, nil, seed, i)
		for range 20000 {
			id, err := s.sample(logitsOf(.1, .2, .3, .4))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	a := draw(7, 0)
	var count [4]float64
	for _, id := range a {
		count[id]++
	}
	// .4 and .3 fall short of .75, so .2 is kept; a standard deviation is 70.
	for id, want := range []float64{0, 20000 * 2. / 9, 20000 * 3. / 9, 20000 * 4. / 9} {
		if math.Abs(count[id]-want) > 350 {
			t.Errorf("token %d was drawn %g times, want about %.0f", id, count[id], want)
		}
	}
	if !slices.Equal(a, draw(7, 0)) {
		t.Error("a seed does not repeat")
	}
	if slices.Equal(a, draw(7, 1)) || slices.Equal(a, draw(8, 0)) {
		t.Error("other candidates and seeds draw the same")
	}
}

func TestBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		logp := make([]float64, 1+rng.IntN(30))
		all := make([]int, len(logp))
		for i := range logp {
			logp[i], all[i] = float64(rng.IntN(8)), i
		}
		slices.SortFunc(all, func(a, b int) int { return byLogprob(logp, a, b) })
		for k := range len(logp) + 2 {
			if got, want := best(logp, k), all[:min(k, len(all))]; !slices.Equal(got, want) {
				t.Fatalf("best %d of %v: %v, want %v", k, logp, got, want)
			}
		}
	}
}
