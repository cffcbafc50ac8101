package engine

import (
	"cmp"
	"container/heap"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// greedyBelow is the temperature below which vLLM chooses greedily.
	greedyBelow = 1e-5
	// impossible is the log probability of what cannot be, as vLLM writes
	// minus infinity.
	impossible = -9999
)

// A sampler turns the logits of one choice into tokens.
type sampler struct {
	request *Request
	eos     []int // impossible before min_tokens, unless ignored

	rand      *rand.Rand
	generated int
	count     map[int]int  // how often a token was generated, nil without a penalty
	prompt    map[int]bool // tokens of the prompt, nil without a repetition penalty
	logp      []float64    // [VocabSize], of the last distribution

	machine *machine // of a constraint, or nil
	state   *machineState
}

// newSampler returns the sampler of candidate i. Each candidate has a stream
// of random numbers of its own, so that what it draws does not depend on the
// others: the candidates of best_of=k are those of n=k.
func newSampler(r *Request, eos []int, seed uint64, i int) *sampler {
	s := &sampler{
		request: r, eos: eos,
		rand: rand.New(rand.NewPCG(mix(seed), mix(seed^mix(uint64(i)+1)))),
	}
	if r.PresencePenalty != 0 || r.FrequencyPenalty != 0 || s.repetition() != 1 {
		s.count = map[int]int{}
	}
	if s.repetition() != 1 {
		s.prompt = make(map[int]bool, len(r.Prompt))
		for _, id := range r.Prompt {
			s.prompt[id] = true
		}
	}
	return s
}

// repetition returns the repetition penalty, 1 if there is none.
func (s *sampler) repetition() float64 { return cmp.Or(s.request.RepetitionPenalty, 1) }

// greedy says whether the most probable token is always chosen.
func (s *sampler) greedy() bool { return s.request.Temperature < greedyBelow }

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
	if s.greedy() {
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
	s.generated++
	if s.count != nil {
		s.count[id]++
	}
	if s.machine != nil {
		s.state = s.machine.accept(s.state, id)
	}
}

// fork returns a sampler that has seen the same tokens.
func (s *sampler) fork() *sampler {
	f := *s
	f.logp = nil
	f.count = maps.Clone(s.count)
	return &f
}

// errNotFinite is what a model with broken weights computes.
var errNotFinite = errors.New("the model computed logits that are no numbers")

// distribution sets s.logp to the log probabilities after the logit bias,
// min_tokens, penalties, temperature, top_k, top_p and min_p, in vLLM's order.
// At temperature 0 the last four are left out.
func (s *sampler) distribution(logits []float32) error {
	if s.logp == nil {
		s.logp = make([]float64, len(logits))
	}
	if err := checked(s.logp, logits); err != nil {
		return err
	}
	s.adjust()
	if !s.greedy() {
		scale := 1 / s.request.Temperature
		for i, x := range s.logp {
			s.logp[i] = x * scale
		}
	}
	if err := logSoftmax(s.logp); err != nil {
		return err
	}
	if !s.greedy() {
		s.truncate()
	}
	return nil
}

// checked copies logits, of the same length, to dst if they are numbers.
func checked(dst []float64, logits []float32) error {
	top := math.Inf(-1)
	for i, l := range logits {
		x := float64(l)
		if math.IsNaN(x) {
			return errNotFinite
		}
		dst[i] = x
		top = max(top, x)
	}
	if math.IsInf(top, 0) {
		return errNotFinite
	}
	return nil
}

// adjust applies to the logits in s.logp what depends on the token and on what
// was generated before: the logit bias, the constraint, min_tokens, penalties.
func (s *sampler) adjust() {
	r := s.request
	for id, bias := range r.LogitBias {
		s.logp[id] += bias
	}
	ends := false // nothing but the end is possible
	if s.machine != nil {
		var allowed []uint64
		allowed, ends = s.machine.allowed(s.state)
		for id := range s.logp {
			if allowed[id/64]>>(id%64)&1 == 0 {
				s.logp[id] = math.Inf(-1)
			}
		}
	}
	if s.generated < r.MinTokens && !ends {
		for _, id := range r.StopTokenIDs {
			if id >= 0 && id < len(s.logp) {
				s.logp[id] = math.Inf(-1)
			}
		}
		if !r.IgnoreEOS {
			for _, id := range s.eos {
				s.logp[id] = math.Inf(-1)
			}
		}
	}
	repeat := func(id int) {
		if x := s.logp[id]; x > 0 {
			s.logp[id] = x / s.repetition()
		} else {
			s.logp[id] = x * s.repetition()
		}
	}
	for id := range s.prompt {
		repeat(id)
	}
	for id, n := range s.count {
		if s.prompt != nil && !s.prompt[id] {
			repeat(id)
		}
		s.logp[id] -= r.FrequencyPenalty*float64(n) + r.PresencePenalty
	}
}

// errNothingPossible is what a logit bias can do, and a constraint that a model
// has no tokens for.
var errNothingPossible = errors.New("no token of the vocabulary is possible here")

// logSoftmax replaces logits by log probabilities.
func logSoftmax(logits []float64) error {
	top := slices.Max(logits)
	if math.IsInf(top, -1) {
		return errNothingPossible
	}
	var sum float64
	for _, x := range logits {
		sum += math.Exp(x - top)
	}
	normalise(logits, top+math.Log(sum))
	return nil
}

// normalise subtracts logSum from the log probabilities.
func normalise(logp []float64, logSum float64) {
	for i, x := range logp {
		logp[i] = max(min(x-logSum, 0), impossible)
	}
}

// truncate keeps the tokens that top_k, top_p and min_p leave, at least one, and
// normalises again. Of equally probable tokens the lower ids stay.
//
// Source: Fan et al. 2018 (top_k), Holtzman et al. 2020 (top_p, the nucleus),
// Nguyen et al. 2024 (min_p).
func (s *sampler) truncate() {
	r := s.request
	if r.TopK <= 0 && r.TopP >= 1 && r.MinP <= 0 {
		return
	}
	most := len(s.logp)
	if r.TopK > 0 {
		most = min(r.TopK, most)
	}
	h := &idHeap{logp: s.logp, ids: make([]int, len(s.logp))}
	for i := range h.ids {
		h.ids[i] = i
	}
	heap.Init(h)
	least := s.logp[h.ids[0]] + math.Log(r.MinP)
	var order []int // most probable first
	var mass float64
	for len(order) < most {
		id := heap.Pop(h).(int)
		lp := s.logp[id]
		if lp == impossible || lp < least && r.TopK <= 0 {
			break
		}
		order = append(order, id)
		mass += math.Exp(lp)
		if mass >= r.TopP && r.TopK <= 0 {
			break
		}
	}
	if r.TopK > 0 { // the others cut what it left
		n, sum := 0, 0.
		for n < len(order) && sum < r.TopP*mass && s.logp[order[n]] >= least {
			sum += math.Exp(s.logp[order[n]])
			n++
		}
		order, mass = order[:n], sum
	}
	kept := make([]float64, len(order))
	for i, id := range order {
		kept[i] = min(s.logp[id]-math.Log(mass), 0)
	}
	for i := range s.logp {
		s.logp[i] = impossible
	}
	for i, id := range order {
		s.logp[id] = kept[i]
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
