package suites

import (
	"slices"

	"github.com/touchstone-llm/touchstone/exchange"
)

// strProbes are about the shape, order and content of streams (STR).
var strProbes = []probe{
	{name: "greedy.stream", asks: ask1(body{"temperature": 0, "max_tokens": 16, "stream": true})},
	{name: "long.stream", needs: needLong, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: f.endless(f.greedy(longTokens)).with(body{"stream": true})}}
	}},
	{name: "short.stream", needs: needShort, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Short.Prompt, body: f.natural(f.greedy(shortTokens)).with(body{"stream": true})}}
	}},
	{name: "wide.stream", needs: needWide, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Wide.Prompt, body: f.natural(f.greedy(32)).with(body{"stream": true})}}
	}},
	{name: "bad.stream", bad: true, asks: ask1(body{"n": 0, "max_tokens": 8, "stream": true})},
	{name: "together", needs: needShort, together: true, asks: func(f *Facts) []ask {
		var out []ask
		for range 2 {
			out = append(out,
				ask{prompt: plainPrompt(f.Route), body: f.greedy(16).with(body{"stream": true})},
				ask{prompt: f.Short.Prompt, body: f.natural(f.greedy(shortTokens)).with(body{"stream": true})})
		}
		return out
	}},
	{name: "disconnect", needs: needLong, together: true, last: true, once: true, then: "reconnect", opts: []exchange.Option{exchange.StopWhen(gone)},
		asks: func(f *Facts) []ask {
			var out []ask
			for range 8 {
				out = append(out, ask{prompt: f.Long.Prompt, body: f.endless(f.greedy(4 * longTokens)).with(body{"stream": true})})
			}
			return out
		}},
	// once: after dropped streams a refusal for load is the matter of STR-028. A
	// target may need a moment to notice, so the last of several counts.
	{name: "reconnect", once: true, asks: func(f *Facts) []ask {
		return slices.Repeat([]ask{{prompt: plainPrompt(f.Route), body: f.greedy(4)}}, 3)
	}},
}
