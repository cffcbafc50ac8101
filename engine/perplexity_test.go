package engine

import (
	"context"
	"math"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// The estimate is made of the log probabilities that one pass after another
// gives.
func TestPerplexity(t *testing.T) {
	m := randomModel(t, ggufwrite.Small)
	tokens := m.Tokenizer().Prompt(mixedText(300))
	const window = 90
	var sum, n float64
	for chunk := range len(tokens) / window {
		text := append([]int(nil), tokens[chunk*window:(chunk+1)*window]...)
		text[0] = m.tokenizer.bos
		for at := window / 2; at+1 < window; at++ {
			logits := logitsAfter(m, text[:at+1], 64, 1)
			var all float64
			for _, x := range logits {
				all += math.Exp(float64(x))
			}
			sum -= math.Log(math.Exp(float64(logits[text[at+1]])) / all)
			n++
		}
	}
	calls := 0
	p, err := m.Perplexity(context.Background(), tokens, window, 1, func(chunk, chunks int, _ Perplexity) {
		if calls++; chunk != calls || chunks != len(tokens)/window {
			t.Errorf("chunk %d of %d", chunk, chunks)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Exp(sum / n); math.Abs(p.Value/want-1) > 1e-6 || p.Tokens != int(n) || calls != len(tokens)/window {
		t.Errorf("%+v after %d calls, want %g over %g tokens", p, calls, want, n)
	}
	if !(p.Error > 0 && p.Error < p.Value) {
		t.Errorf("standard error %g", p.Error)
	}
	for _, window := range []int{3, 129, len(tokens) + 1} {
		if _, err := m.Perplexity(context.Background(), tokens, window, 1, nil); err == nil {
			t.Errorf("chunks of %d: no error", window)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Perplexity(ctx, tokens, window, 1, nil); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
