package suites

// beamProbes are about beam search (BEAM).
var beamProbes = []probe{
	{name: "beam.one", bad: true, tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 1, "temperature": 0, "max_tokens": 8})},
	{name: "beam.warm", bad: true, tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0.5, "max_tokens": 8})},
	{name: "beam.default", bad: true, tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "max_tokens": 8})},
	{name: "beam", tests: []string{"use_beam_search"}, asks: func(f *Facts) []ask {
		var out []ask
		for range repeats {
			out = append(out, ask{prompt: plainPrompt(f.Route), body: f.endless(f.greedy(16)).with(body{"use_beam_search": true, "best_of": 4, "logprobs": 1})})
		}
		return out
	}},
	{name: "beam.two", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "max_tokens": 8})},
	{name: "beam.greedy", tests: []string{"logprobs"}, asks: askEndless(body{"temperature": 0, "max_tokens": 16, "logprobs": 1})},
	{name: "beam.n2", tests: []string{"use_beam_search", "n"}, asks: askEndless(body{"use_beam_search": true, "n": 2, "best_of": 4, "temperature": 0, "max_tokens": 16, "logprobs": 1})},
	{name: "beam.top_p", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "top_p": 0.5, "max_tokens": 8})},
	{name: "beam.stream", tests: []string{"use_beam_search", "stream"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "max_tokens": 8, "stream": true})},
	{name: "beam.off", dialects: []string{DialectLlamaV1}, tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": false, "temperature": 0, "max_tokens": 16})},
	{name: "beam.n2.alone", tests: []string{"use_beam_search", "n"}, asks: ask1(body{"use_beam_search": true, "n": 2, "temperature": 0, "max_tokens": 8})},
}
