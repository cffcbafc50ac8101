package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// beamSearch returns the sequences that a beam of the given width finds, best
// first: width of them, or more than the vocabulary has fewer.
//
// It is vLLM's search. Each step extends the running sequences by their most
// probable tokens and keeps the 2 × width best extensions. Those that end join
// the finished ones, of which the best width stay; the best width of the others
// run on. The search ends when nothing runs, or when width have finished and
// [EarlyStopping] says so. On a tie the better parent goes first, then the lower
// token id.
func (g *generation) beamSearch(ctx context.Context, first *candidate, width int) ([]*candidate, error) {
	running := []*candidate{first}
	var finished []*candidate
	for {
		extensions, err := extend(running, 2*width)
		if err != nil {
			return nil, err
		}
		var children []*candidate
		for _, x := range extensions {
			child := x.parent.child(x.id)
			if child.finish != "" {
				child.cache, child.sampler = nil, nil
				finished = append(finished, child)
			} else {
				children = append(children, child)
			}
		}
		g.rank(finished, g.score)
		g.rank(children, g.score)
		finished = finished[:min(len(finished), width)]
		children = children[:min(len(children), width)]
		if len(children) == 0 {
			break
		}
		if len(finished) == width && g.stopsEarly(finished[width-1], children[0]) {
			break
		}
		for _, c := range children {
			c.cache = c.cache.fork()
			c.logits = make([]float32, len(first.logits))
		}
		if err := g.next(ctx, children); err != nil {
			return nil, err
		}
		running = children
	}
	g.rank(finished, g.finalScore)
	return finished, nil
}

// An extension is a running sequence and a token more.
type extension struct {
	parent  *candidate
	id      int
	logprob float64 // of the sequence
}

// extend returns the n most probable extensions of the running sequences.
func extend(running []*candidate, n int) ([]extension, error) {
	var all []extension
	for _, c := range running {
		if err := c.sampler.distribution(c.logits); err != nil {
			return nil, err
		}
		for _, id := range best(c.sampler.logp, n) {
			all = append(all, extension{c, id, c.logprob + c.sampler.logp[id]})
		}
	}
	slices.SortStableFunc(all, func(a, b extension) int { return cmp.Compare(b.logprob, a.logprob) })
	return all[:min(len(all), n)], nil
}

// child returns the candidate extended by a token. It still has its parent's
// cache.
func (c *candidate) child(id int) *candidate {
	child := &candidate{
		transcript: c.transcript.fork(),
		sampler:    c.sampler.fork(),
		cache:      c.cache,
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
func (g *generation) rank(c []*candidate, score func(*candidate) float64) {
	slices.SortStableFunc(c, func(a, b *candidate) int { return cmp.Compare(score(b), score(a)) })
}
