package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// embedded has the shape of the model in the binary: 2.7 M parameters, Q8_0.
var embedded = ggufwrite.Shape{
	Seed: 1, Context: 1024, Layers: 4, Dim: 256, Heads: 4, KVHeads: 2, FFN: 800, Type: ggufwrite.Q8_0,
}

func benchRequest(e *Engine, prompt, tokens int) Request {
	r := Request{MaxTokens: tokens, N: 1, TopP: 1, IgnoreEOS: true, Logprobs: -1}
	for i := range prompt {
		r.Prompt = append(r.Prompt, i%200)
	}
	return r
}

func runRequest(b *testing.B, e *Engine, r Request) {
	for _, err := range e.Generate(context.Background(), r) {
		if err != nil {
			b.Error(err)
		}
	}
}

func BenchmarkPrefill(b *testing.B) {
	e := New(randomModel(b, embedded), Options{})
	r := benchRequest(e, 512, 1)
	for b.Loop() {
		runRequest(b, e, r)
	}
	b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

func BenchmarkDecode(b *testing.B) {
	e := New(randomModel(b, embedded), Options{})
	for name, change := range map[string]func(r *Request){
		"greedy":  func(r *Request) {},
		"sampled": func(r *Request) { r.Temperature, r.TopP = 1, .9 },
		"n=8":     func(r *Request) { r.Temperature, r.N = 1, 8 },
		"beam=4":  func(r *Request) { r.UseBeamSearch, r.BestOf = true, 4 },
	} {
		r := benchRequest(e, 4, 128)
		change(&r)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				runRequest(b, e, r)
			}
			b.ReportMetric(float64(128*max(r.N, r.BestOf))*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkConcurrent shares the steps among requests: what is reported is
// tokens a second in all.
func BenchmarkConcurrent(b *testing.B) {
	e := New(randomModel(b, embedded), Options{})
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const tokens = 64
			for b.Loop() {
				var wg sync.WaitGroup
				for i := range n {
					r := benchRequest(e, 16, tokens)
					r.Prompt[0] = i
					wg.Go(func() { runRequest(b, e, r) })
				}
				wg.Wait()
			}
			b.ReportMetric(float64(n*tokens*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	tok := randomModel(b, ggufwrite.Small).Tokenizer()
	text := "hello world, this is a text of several words; hello again!\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text, false)
	}
}
