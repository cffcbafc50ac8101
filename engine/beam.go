package engine

import (
	"cmp"
	"math"
	"slices"
)

// searchOn goes one step on with a beam search, when all running sequences are
// ready, or ends it: with the sequences found, best first; width of them, or
// more than the vocabulary has fewer.
//
// It is vLLM's search. Each step extends the running sequences by their most
// probable tokens and keeps the 2 × width best extensions. Those that end join
// the finished ones, of which the best width stay; the best width of the others
// run on. The search ends when nothing runs, or when width have finished and
// [EarlyStopping] says so. On a tie the better parent goes first, then the lower
// token id.
func (g *generation) searchOn() error {
	for _, c := range g.live {
		if !c.drawn {
			return nil
		}
		if c.err != nil {
			return c.err
		}
	}
	var children []*candidate
	for _, x := range extend(g.live, 2*g.width) {
		child := x.parent.child(x.id)
		if child.finish != "" {
			child.sampler, child.parent = nil, nil
			g.finished = append(g.finished, child)
		} else {
			children = append(children, child)
		}
	}
	rank(g.finished, g.score)
	rank(children, g.score)
	g.finished = g.finished[:min(len(g.finished), g.width)]
	children = children[:min(len(children), g.width)]
	g.done = len(children) == 0 || len(g.finished) == g.width && g.stopsEarly(g.finished[g.width-1], children[0])
	if g.done {
		rank(g.finished, g.finalScore)
		g.show(g.finished[:min(g.request.N, len(g.finished))])
		return nil
	}
	for i, c := range children {
		c.index = i
		c.cache = c.parent.cache.fork()
		c.parent = nil
	}
	g.release()
	g.live = children
	return nil
}

// An extension is a running sequence and a token more.
type extension struct {
	parent  *candidate
	id      int
	logprob float64 // of the sequence
}

// extend returns the n most probable extensions of the running sequences.
func extend(running []*candidate, n int) []extension {
	var all []extension
	for _, c := range running {
		for _, id := range best(c.sampler.logp, n) {
			if c.sampler.logp[id] == impossible {
				break
			}
			all = append(all, extension{c, id, c.logprob + c.sampler.logp[id]})
		}
	}
	slices.SortStableFunc(all, func(a, b extension) int { return cmp.Compare(b.logprob, a.logprob) })
	return all[:min(len(all), n)]
}

// child returns the candidate extended by a token, without a cache.
func (c *candidate) child(id int) *candidate {
	child := &candidate{
		transcript: c.transcript.fork(),
		gen:        c.gen,
		tokens:     append(slices.Clip(c.tokens), id),
		parent:     c,
		sampler:    c.sampler.fork(),
		text:       c.text,
		written:    slices.Clip(c.written),
	}
	child.keep(child.accept(id, c.sampler.logp))
	child.sampler.accept(id)
	return child
}

// stopsEarly says whether a search ends that has found as many as it keeps.
func (g *generation) stopsEarly(worst, running *candidate) bool {
	switch g.request.EarlyStopping {
	case EarlyStoppingTrue:
		return true
	case EarlyStoppingNever:
		return g.score(worst) >= g.attainable(running)
	}
	return g.score(worst) >= g.score(running)
}

// score is the log probability of a sequence divided by length to the power of
// length_penalty, where the length counts the prompt and leaves out an EOS at
// the end.
func (g *generation) score(c *candidate) float64 {
	n := len(g.request.Prompt) + c.generated
	if slices.Contains(c.tokenizer.EOS(), c.last) {
		n--
	}
	return g.penalised(c.logprob, n)
}

// attainable is the best score that a running sequence could end with: its log
// probability only falls, but above length_penalty 0 a longer sequence divides
// it by more.
func (g *generation) attainable(c *candidate) float64 {
	if p := g.request.LengthPenalty; p != nil && *p <= 0 {
		return g.score(c)
	}
	return g.penalised(c.logprob, len(g.request.Prompt)+g.request.MaxTokens)
}

// finalScore counts EOS too, as vLLM's last ranking does.
func (g *generation) finalScore(c *candidate) float64 {
	return g.penalised(c.logprob, len(g.request.Prompt)+c.generated)
}

func (g *generation) penalised(logprob float64, length int) float64 {
	if p := g.request.LengthPenalty; p != nil {
		return logprob / math.Pow(float64(length), *p)
	}
	return logprob / float64(length)
}

// rank sorts candidates by score, best first.
func rank(c []*candidate, score func(*candidate) float64) {
	slices.SortStableFunc(c, func(a, b *candidate) int { return cmp.Compare(score(b), score(a)) })
}
