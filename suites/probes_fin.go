package suites

// finProbes are about why an answer ended (FIN).
var finProbes = []probe{
	{name: "cap1", tests: []string{"ignore_eos"}, asks: ask1(body{"ignore_eos": true, "max_tokens": 1, "temperature": 0})},
	{name: "stop", needs: needStop, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: f.endless(f.greedy(longTokens)).with(body{"stop": []string{stopSlice(f.Long.Answer)}})}}
	}},
	{name: "stop.stream", needs: needStop, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: f.endless(f.greedy(longTokens)).with(body{"stop": []string{stopSlice(f.Long.Answer)}, "stream": true})}}
	}},
	{name: "stop.last", tests: []string{"stop"}, needs: func(f *Facts) string {
		if lastSlice(f.Capped) == "" {
			return "no slice at the end of the known answer serves as a stop string (K4)"
		}
		return needStop(f)
	}, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"stop": lastSlice(f.Capped)})}}
	}},
	{name: "context", needs: needContext, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Filler.Prompt, body: f.endless(f.greedy(f.Context - f.Filler.Tokens))}}
	}},
	{name: "reasons", needs: needShort, tests: []string{"n", "logprobs"}, asks: func(f *Facts) []ask {
		var out []ask
		// Half of the greedy answer cuts nearly all samples, so much more nearly none.
		for _, most := range []int{f.Short.Tokens / 2, f.Short.Tokens - 1, f.Short.Tokens + 4, f.Short.Tokens + 40} {
			out = append(out, ask{prompt: f.Short.Prompt, body: f.natural(body{"n": 6, "temperature": 1, "max_tokens": max(2, most)}).with(withLogprobs(f, 1))})
		}
		return out
	}},
}
