package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
)

// searchByHand is vLLM's beam search told once more, without a cache, a sampler
// or a transcript: whole sequences, scored anew each time. What it returns are
// the tokens and the log probabilities of the n best.
func searchByHand(t *testing.T, m *Model, r Request) (out [][]int, logprobs []float64) {
	type beam struct {
		ids []int
		cum float64
	}
	eos := m.Tokenizer().EOS()
	power := 1.
	if r.LengthPenalty != nil {
		power = *r.LengthPenalty
	}
	ended := func(b beam) bool { return slices.Contains(eos, b.ids[len(b.ids)-1]) }
	score := func(b beam) float64 {
		n := len(r.Prompt) + len(b.ids)
		if ended(b) {
			n--
		}
		return b.cum / math.Pow(float64(n), power)
	}
	byScore := func(bs []beam) {
		slices.SortStableFunc(bs, func(a, b beam) int { return cmp.Compare(score(b), score(a)) })
	}
	running, finished := []beam{{}}, []beam(nil)
	for {
		var all []beam
		for _, b := range running {
			logits := logitsAfter(m, append(slices.Clone(r.Prompt), b.ids...), 64, 1)
			var wide []float64
			for id, l := range logits {
				wide = append(wide, float64(l)+r.LogitBias[id])
			}
			top := slices.Max(wide)
			var sum float64
			for _, l := range wide {
				sum += math.Exp(l - top)
			}
			for id, l := range wide {
				all = append(all, beam{append(slices.Clone(b.ids), id), b.cum + l - (top + math.Log(sum))})
			}
		}
		slices.SortStableFunc(all, func(a, b beam) int { return cmp.Compare(b.cum, a.cum) })
		var next []beam
		for _, b := range all[:2*r.BestOf] {
			if ended(b) || len(b.ids) == r.MaxTokens {
				finished = append(finished, b)
			} else {
				next = append(next, b)
			}
		}
		byScore(finished)
		byScore(next)
		finished = finished[:min(len(finished), r.BestOf)]
		running = next[:min(len(next), r.BestOf)]
		if len(running) == 0 {
			break
		}
		if len(finished) == r.BestOf {
			best := score(running[0])
			if r.EarlyStopping == EarlyStoppingNever && power > 0 {
				best = running[0].cum / math.Pow(float64(len(r.Prompt)+r.MaxTokens), power)
			}
			if r.EarlyStopping == EarlyStoppingTrue || score(finished[r.BestOf-1]) >= best {
				break
			}
		}
	}
	slices.SortStableFunc(finished, func(a, b beam) int {
		final := func(b beam) float64 { return b.cum / math.Pow(float64(len(r.Prompt)+len(b.ids)), power) }
		return cmp.Compare(final(b), final(a))
	})
	for _, b := range finished[:r.N] {
		out, logprobs = append(out, b.ids), append(logprobs, b.cum)
	}
	return out, logprobs
}

// Every length penalty and way to stop gives what the search by hand gives; and
// they do not all give the same.
func TestBeamSearchByHand(t *testing.T) {
	e := newTestEngine(t)
	answers := map[string]bool{}
	for i := range 24 {
		power, early := []float64{-1, 0, 1, 4}[i%4], EarlyStopping(i/4%3)
		r := greedy(e)
		r.UseBeamSearch, r.IgnoreEOS, r.KeepSpecialTokens = true, false, true
		r.N, r.BestOf, r.MaxTokens = 3, 3, 12
		r.LengthPenalty, r.EarlyStopping = &power, early
		r.LogitBias = map[int]float64{idEOS: 2 + float64(i/12), idEOT: 1}
		want, logprobs := searchByHand(t, e.Model(), r)
		for i, c := range generate(t, e, r) {
			if !slices.Equal(ids(c), want[i]) || math.Abs(c.CumulativeLogprob-logprobs[i]) > 1e-9 {
				t.Errorf("length_penalty %g, early_stopping %d: choice %d is %v (%g), want %v (%g)",
					power, early, i, ids(c), c.CumulativeLogprob, want[i], logprobs[i])
			}
			if ended := slices.Contains(e.Model().Tokenizer().EOS(), want[i][len(want[i])-1]); ended != (c.Finish == FinishStop) {
				t.Errorf("length_penalty %g, early_stopping %d: choice %d finishes %s", power, early, i, c.Finish)
			}
		}
		answers[fmt.Sprint(want)] = true
	}
	if len(answers) < 4 {
		t.Errorf("only %d different answers", len(answers))
	}
}

// The log probabilities of beams are those after penalties.
func TestBeamSearchWithPenalties(t *testing.T) {
	e := newTestEngine(t)
	r := greedy(e)
	r.UseBeamSearch, r.N, r.BestOf, r.MaxTokens, r.Logprobs = true, 2, 3, 12, 1
	r.RepetitionPenalty, r.PresencePenalty, r.FrequencyPenalty = 1.5, .7, .3
	for _, c := range generate(t, e, r) {
		s := newSampler(&r, nil, 0, 0)
		seq := slices.Clone(r.Prompt)
		var sum float64
		for i, k := range c.Tokens {
			if err := s.distribution(logitsAfter(e.Model(), seq, 64, 1)); err != nil {
				t.Fatal(err)
			}
			if k.Logprob != s.logp[k.ID] || k.Top[0].Logprob != slices.Max(s.logp) {
				t.Errorf("token %d has log probability %g, want %g", i, k.Logprob, s.logp[k.ID])
			}
			sum += k.Logprob
			s.accept(k.ID)
			seq = append(seq, k.ID)
		}
		if sum != c.CumulativeLogprob {
			t.Errorf("cumulative %g, want %g", c.CumulativeLogprob, sum)
		}
	}
}
