package suites

import (
	"github.com/touchstone-llm/touchstone/schemas"
)

// rspProbes ask for n choices, and for the prompt that must not come back (RSP).
var rspProbes = []probe{
	{name: "n3", tests: []string{"n"}, asks: askEndless(body{"n": 3, "temperature": 1, "max_tokens": 16})},
	{name: "n3.stream", tests: []string{"n"}, asks: askEndless(body{"n": 3, "temperature": 1, "max_tokens": 16, "stream": true})},
	{name: "nonce", asks: func(f *Facts) []ask {
		var out []ask
		for _, n := range nonces {
			out = append(out, ask{prompt: n, body: f.greedy(24)})
		}
		return out
	}},
	{name: "logprobs", routes: []schemas.Route{schemas.Completions}, tests: []string{"logprobs"}, asks: ask1(body{"temperature": 0, "max_tokens": 16, "logprobs": 2})},
	{name: "logprobs.stream", routes: []schemas.Route{schemas.Completions}, tests: []string{"logprobs"}, asks: ask1(body{"temperature": 0, "max_tokens": 16, "logprobs": 2, "stream": true})},
}
