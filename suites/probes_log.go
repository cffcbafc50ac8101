package suites

import "github.com/touchstone-llm/touchstone/schemas"

// withLogprobs are the members that ask for k log probabilities a token: a
// number, but on OpenAI's chat route a switch and a number (C29).
func withLogprobs(f *Facts, k int) body {
	if f.target.dialect() == DialectOpenAI && f.Route == schemas.Chat {
		return body{"logprobs": true, "top_logprobs": k}
	}
	return body{"logprobs": k}
}

// tooMany is more log probabilities than a server gives a token.
const tooMany = 1000

// logDialects are those with log probabilities; to azure-inference they are
// extra parameters.
var logDialects = []string{DialectLlamaV1, DialectOpenAI}

// logProbes are about log probabilities (LOG).
var logProbes = []probe{
	{name: "logprobs.null", dialects: logDialects, tests: []string{"logprobs"}, asks: ask1(body{"temperature": 0, "max_tokens": 4, "logprobs": nil})},
	{name: "logprobs.k", dialects: logDialects, routes: []schemas.Route{schemas.Completions}, tests: []string{"logprobs"}, asks: func(f *Facts) []ask {
		return []ask{
			{label: "0", prompt: plainPrompt(f.Route), body: f.greedy(8).with(withLogprobs(f, 0))},
			{label: "5", prompt: plainPrompt(f.Route), body: f.greedy(8).with(withLogprobs(f, 5))},
		}
	}},
	{name: "logprobs.wide", dialects: logDialects, routes: []schemas.Route{schemas.Completions}, needs: needWide, tests: []string{"logprobs"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Wide.Prompt, body: f.natural(f.greedy(32)).with(withLogprobs(f, 1))}}
	}},
	{name: "logprobs.chat", dialects: logDialects, routes: []schemas.Route{schemas.Chat}, tests: []string{"logprobs"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.greedy(capped).with(withLogprobs(f, 2))}}
	}},
	{name: "logprobs.chat.stream", dialects: []string{DialectOpenAI}, routes: []schemas.Route{schemas.Chat}, tests: []string{"logprobs"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.greedy(8).with(withLogprobs(f, 2)).with(body{"stream": true})}}
	}},
	{name: "logprobs.absurd", dialects: logDialects, tests: []string{"logprobs"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.greedy(1).with(withLogprobs(f, tooMany))}}
	}},
}
