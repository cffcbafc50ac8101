package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Embed returns a vector of length 1 that stands for tokens, [Dim]: the mean of
// the last hidden states (after the final norm) of all tokens, divided by its
// Euclidean norm. tokens are of the vocabulary and fit in the context.
//
// A model that was trained to generate makes a poor embedding, but a repeatable
// one: the same tokens give the same bits.
func (e *Engine) Embed(ctx context.Context, tokens []int) ([]float32, error) {
	c := &e.model.config
	if len(tokens) == 0 {
		return nil, errors.New("engine: no tokens to embed")
	}
	if len(tokens) > c.ContextLength {
		return nil, &ContextError{Prompt: len(tokens), Context: c.ContextLength}
	}
	for i, id := range tokens {
		if id < 0 || id >= c.VocabSize {
			return nil, fmt.Errorf("engine: token %d to embed is %d, but the vocabulary has %d tokens", i, id, c.VocabSize)
		}
	}
	pooled := &embedding{sum: make([]float64, c.Dim)}
	g := newGeneration(e, Request{Prompt: tokens, N: 1})
	g.observer = pooled
	if err := e.compute(ctx, g, func(Step, error) bool { return true }); err != nil {
		return nil, err
	}
	return unit(pooled.sum)
}

// An embedding observes the hidden states of a prompt.
type embedding struct{ sum []float64 }

func (p *embedding) want(r *row) { r.hidden = make([]float32, len(p.sum)) }

func (p *embedding) see(_ int, rows []row) error {
	for _, r := range rows {
		for i, x := range r.hidden {
			p.sum[i] += float64(x)
		}
	}
	return nil
}

// unit returns x divided by its Euclidean norm.
func unit(x []float64) ([]float32, error) {
	var square float64
	for _, v := range x {
		square += v * v
	}
	norm := math.Sqrt(square)
	if !(norm > 0) || math.IsInf(norm, 0) {
		return nil, errNotFinite
	}
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v / norm)
	}
	return out, nil
}
