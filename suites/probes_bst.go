package suites

import (
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
)

// bstProbes are about best_of (BST).
var bstProbes = []probe{
	{name: "best_of.less", bad: true, tests: []string{"best_of"}, asks: ask1(body{"n": 3, "best_of": 2, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.equal", tests: []string{"best_of"}, asks: ask1(body{"n": 2, "best_of": 2, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.one", tests: []string{"best_of"}, asks: ask1(body{"n": 1, "best_of": 1, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.1of3", tests: []string{"best_of"}, asks: askEndless(body{"n": 1, "best_of": 3, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.2of4", tests: []string{"best_of", "n"}, asks: askEndless(body{"n": 2, "best_of": 4, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.ordered", tests: []string{"best_of", "n", "logprobs"}, asks: func(f *Facts) []ask {
		var out []ask
		for seed := range 2 {
			out = append(out, ask{prompt: plainPrompt(f.Route), body: f.endless(body{"n": 4, "best_of": 6, "temperature": 1, "max_tokens": 8, "logprobs": 1, "seed": 11 + seed})})
		}
		return out
	}},
	{name: "best_of.candidates", tests: []string{"n", "logprobs", "seed"}, asks: func(f *Facts) []ask {
		b := func() body {
			return f.endless(body{"n": 4, "temperature": 1, "max_tokens": 8, "seed": 7}.with(withLogprobs(f, 1)))
		}
		return []ask{{prompt: plainPrompt(f.Route), body: b()}, {prompt: plainPrompt(f.Route), body: b()}}
	}},
	{name: "best_of.best", tests: []string{"best_of", "logprobs", "seed"}, asks: askEndless(body{"n": 1, "best_of": 4, "temperature": 1, "max_tokens": 8, "logprobs": 1, "seed": 7})},
	{name: "best_of.stream", tests: []string{"best_of", "stream"}, asks: askEndless(body{"n": 1, "best_of": 2, "temperature": 1, "max_tokens": 16, "stream": true})},
	{name: "best_of.equal.stream", tests: []string{"best_of", "stream"}, asks: ask1(body{"n": 2, "best_of": 2, "temperature": 1, "max_tokens": 8, "stream": true})},
	{name: "best_of.greedy", tests: []string{"best_of"}, asks: ask1(body{"n": 1, "best_of": 2, "temperature": 0, "max_tokens": 16})},
	{name: "best_of.null", tests: []string{"best_of"}, asks: ask1(body{"best_of": nil, "temperature": 0, "max_tokens": 16})},
	{name: "best_of.absurd", bad: true, tests: []string{"best_of"}, once: true, opts: []exchange.Option{exchange.Timeout(10 * time.Second)},
		asks: ask1(body{"n": 1, "best_of": 1_000_000, "temperature": 1, "max_tokens": 1})},
}
