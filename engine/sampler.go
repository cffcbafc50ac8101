package engine

import (
	"cmp"
	"container/heap"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// greedyBelow is the temperature below which vLLM chooses greedily.
	greedyBelow = 1e-5
	// impossible is the log probability of what top_p left out, as vLLM
	// writes minus infinity.
	impossible = -9999
)

// A sampler turns the logits of one choice into tokens.
type sampler struct {
	temperature, topP, presence float64

	rand *rand.Rand
	seen map[int]bool // tokens generated, nil without a penalty
	logp []float64    // [VocabSize], of the last distribution
}

// newSampler returns the sampler of candidate i. Each candidate has a stream
// of random numbers of its own, so that what it draws does not depend on the
// others: the candidates of best_of=k are those of n=k.
func newSampler(r *Request, seed uint64, i int) *sampler {
	s := &sampler{
		temperature: r.Temperature, topP: r.TopP, presence: r.PresencePenalty,
		rand: rand.New(rand.NewPCG(mix(seed), mix(seed^mix(uint64(i)+1)))),
	}
	if s.presence != 0 {
		s.seen = map[int]bool{}
	}
	return s
}

// mix spreads the bits of x, so that streams of neighbouring seeds have nothing
// in common (the finaliser of SplitMix64, Steele et al. 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sample draws the next token from logits, [VocabSize].
func (s *sampler) sample(logits []float32) (int, error) {
	if err := s.distribution(logits); err != nil {
		return 0, err
	}
	id := 0
	if s.temperature < greedyBelow {
		for i, lp := range s.logp {
			if lp > s.logp[id] {
				id = i
			}
		}
	} else {
		u := s.rand.Float64()
		for i, lp := range s.logp {
			if lp == impossible {
				continue
			}
			id = i // rounding may leave u a hair above the sum: the last one then
			if u -= math.Exp(lp); u < 0 {
				break
			}
		}
	}
	s.accept(id)
	return id, nil
}

// accept notes that a token was chosen.
func (s *sampler) accept(id int) {
	if s.seen != nil {
		s.seen[id] = true
	}
}

// fork returns a sampler that has seen the same tokens.
func (s *sampler) fork() *sampler {
	f := *s
	f.logp = nil
	if s.seen != nil {
		f.seen = make(map[int]bool, len(s.seen)+1)
		for id := range s.seen {
			f.seen[id] = true
		}
	}
	return &f
}

// errNotFinite is what a model with broken weights computes.
var errNotFinite = errors.New("the model computed logits that are no numbers")

// distribution sets s.logp to the log probabilities after penalty, temperature
// and top_p, in vLLM's order. At temperature 0 the last two are left out.
func (s *sampler) distribution(logits []float32) error {
	if s.logp == nil {
		s.logp = make([]float64, len(logits))
	}
	scale := 1.0
	greedy := s.temperature < greedyBelow
	if !greedy {
		scale = 1 / s.temperature
	}
	for i, l := range logits {
		s.logp[i] = float64(l)
	}
	for id := range s.seen {
		s.logp[id] -= s.presence
	}
	top := math.Inf(-1)
	for i, x := range s.logp {
		x *= scale
		if math.IsNaN(x) {
			return errNotFinite
		}
		s.logp[i] = x
		top = max(top, x)
	}
	if math.IsInf(top, 0) {
		return errNotFinite
	}
	var sum float64
	for _, x := range s.logp {
		sum += math.Exp(x - top)
	}
	normalise(s.logp, top+math.Log(sum))
	if !greedy && s.topP < 1 {
		s.nucleus()
	}
	return nil
}

// normalise subtracts logSum from the log probabilities.
func normalise(logp []float64, logSum float64) {
	for i, x := range logp {
		logp[i] = max(min(x-logSum, 0), impossible)
	}
}

// nucleus keeps the most probable tokens, the fewest whose probabilities reach
// top_p, at least one; of equals the lower ids first.
//
// Source: Holtzman et al. 2020.
func (s *sampler) nucleus() {
	h := &idHeap{logp: s.logp, ids: make([]int, len(s.logp))}
	for i := range h.ids {
		h.ids[i] = i
	}
	heap.Init(h)
	var mass float64
	kept := map[int]float64{}
	for mass < s.topP && h.Len() > 0 {
		id := heap.Pop(h).(int)
		kept[id] = s.logp[id]
		mass += math.Exp(s.logp[id])
	}
	for i := range s.logp {
		s.logp[i] = impossible
	}
	logSum := math.Log(mass)
	for id, lp := range kept {
		s.logp[id] = min(lp-logSum, 0)
	}
}

// idHeap is a priority queue of token ids, most probable first.
type idHeap struct {
	logp []float64
	ids  []int
}

func (h *idHeap) Len() int { return len(h.ids) }
func (h *idHeap) Less(i, j int) bool {
	return byLogprob(h.logp, h.ids[i], h.ids[j]) < 0
}
func (h *idHeap) Swap(i, j int) { h.ids[i], h.ids[j] = h.ids[j], h.ids[i] }
func (h *idHeap) Push(x any)    { h.ids = append(h.ids, x.(int)) }
func (h *idHeap) Pop() any {
	last := h.ids[len(h.ids)-1]
	h.ids = h.ids[:len(h.ids)-1]
	return last
}

// byLogprob orders ids by log probability, falling; equals by id, rising.
func byLogprob(logp []float64, a, b int) int {
	return cmp.Or(cmp.Compare(logp[b], logp[a]), cmp.Compare(a, b))
}

// best returns the k most probable ids, most probable first.
func best(logp []float64, k int) []int {
	ids := make([]int, 0, k+1)
	for id := range logp {
		if len(ids) == k && (k == 0 || byLogprob(logp, id, ids[k-1]) > 0) {
			continue
		}
		at, _ := slices.BinarySearchFunc(ids, id, func(a, b int) int { return byLogprob(logp, a, b) })
		ids = slices.Insert(ids, at, id)
		ids = ids[:min(len(ids), k)]
	}
	return ids
}
