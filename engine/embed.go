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
	sum := make([]float64, c.Dim)
	cache := newKVCache(c)
	for len(tokens) > 0 {
		n := min(batchLen, len(tokens))
		rows := make([]row, n)
		for i, token := range tokens[:n] {
			rows[i] = row{cache: cache, token: token, hidden: make([]float32, c.Dim)}
		}
		tokens = tokens[n:]
		if err := e.step(ctx, rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			for i, x := range r.hidden {
				sum[i] += float64(x)
			}
		}
	}
	return unit(sum)
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
