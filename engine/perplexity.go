package engine

import (
	"context"
	"fmt"
	"math"
)

// A Perplexity says how well a model foretells a text: the exponential of the
// mean of -ln p of the tokens that were scored.
type Perplexity struct {
	Value  float64 `json:"perplexity"`
	Error  float64 `json:"error"`  // standard error of Value
	Tokens int     `json:"tokens"` // scored
}

// Perplexity scores tokens, which begin with BOS where the model asks for it
// ([Tokenizer.Prompt]), in chunks of window tokens, on up to threads goroutines.
// Of each chunk the second half is scored, so that every token has a context;
// the first token of a chunk is replaced by BOS; what is left after the last
// whole chunk is not read. This is llama.cpp's definition (llama-perplexity),
// so that values compare.
//
// After each chunk of all, progress gets the estimate from the chunks up to it.
func (m *Model) Perplexity(ctx context.Context, tokens []int, window, threads int, progress func(chunk, chunks int, p Perplexity)) (p Perplexity, err error) {
	c := &m.config
	switch {
	case window < 4 || window > c.ContextLength:
		return p, fmt.Errorf("engine: chunks of %d tokens: at least 4 and at most the context of %d are possible", window, c.ContextLength)
	case len(tokens) < window:
		return p, fmt.Errorf("engine: %d tokens do not fill a chunk of %d; a longer text or a smaller chunk is needed", len(tokens), window)
	}
	for i, id := range tokens {
		if id < 0 || id >= c.VocabSize {
			return p, fmt.Errorf("engine: token %d is %d, but the vocabulary has %d tokens", i, id, c.VocabSize)
		}
	}
	logits := make([]float32, batchLen*c.VocabSize)
	var sum, squares float64
	chunks := len(tokens) / window
	for chunk := range chunks {
		text := tokens[chunk*window : (chunk+1)*window]
		cache := newKVCache(c)
		for from := 0; from < window; from += batchLen {
			if err := ctx.Err(); err != nil {
				return p, err
			}
			rows := make([]row, min(batchLen, window-from))
			for i := range rows {
				at := from + i
				rows[i] = row{cache: cache, token: text[at]}
				if at == 0 && m.tokenizer.addBOS && m.tokenizer.bos >= 0 {
					rows[i].token = m.tokenizer.bos
				}
				if at >= window/2 && at+1 < window {
					rows[i].logits = logits[i*c.VocabSize : (i+1)*c.VocabSize]
				}
			}
			m.forward(rows, threads)
			for i, r := range rows {
				if r.logits != nil {
					nll := -logProbability(r.logits, text[from+i+1])
					sum += nll
					squares += nll * nll
					p.Tokens++
				}
			}
		}
		n := float64(p.Tokens)
		mean := sum / n
		p.Value = math.Exp(mean)
		p.Error = p.Value * math.Sqrt(max(0, squares/n-mean*mean)/max(1, n-1))
		if math.IsNaN(p.Value) {
			return p, errNotFinite
		}
		if progress != nil {
			progress(chunk+1, chunks, p)
		}
	}
	return p, nil
}

// logProbability returns the natural logarithm of the probability that logits
// give a token.
func logProbability(logits []float32, token int) float64 {
	top := float32(math.Inf(-1))
	for _, x := range logits {
		top = max(top, x)
	}
	var sum float64
	for _, x := range logits {
		sum += math.Exp(float64(x - top))
	}
	return float64(logits[token]-top) - math.Log(sum)
}
