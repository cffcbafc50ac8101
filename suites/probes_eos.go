package suites

import "cmp"

// eosProbes are about the end of a sequence (EOS).
var eosProbes = []probe{
	{name: "eos.default", dialects: []string{DialectLlamaV1}, asks: func(f *Facts) []ask {
		prompt := cmp.Or(f.Short.Prompt, shortPrompts[0])
		return []ask{
			{label: "plain", prompt: prompt, body: f.greedy(shortTokens)},
			{label: "stream", prompt: prompt, body: f.greedy(shortTokens).with(body{"stream": true})},
		}
	}},
}
