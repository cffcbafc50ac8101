package suites

import "strings"

// fourWords make prompts of any length, each a beginning of the next.
const fourWords = "one two three four"

// useProbes are about usage (USE).
var useProbes = []probe{
	{name: "words", asks: func(f *Facts) []ask {
		var out []ask
		for _, n := range []int{1, 2, 4} {
			out = append(out, ask{prompt: strings.TrimSpace(strings.Repeat(fourWords+" ", n)), body: f.greedy(1)})
		}
		return out
	}},
	{name: "usage.stream", tests: []string{"stream_options"}, asks: func(f *Facts) []ask {
		b := f.greedy(capped).with(body{"stream": true})
		if f.target.dialect() != DialectAzureInference { // there it is an extra parameter, and streams may tell usage without it
			b["stream_options"] = body{"include_usage": true}
		}
		return []ask{{prompt: plainPrompt(f.Route), body: b}}
	}},
	{name: "usage.stream.n", needs: needLong, tests: []string{"stream_options", "n"}, dialects: logDialects, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: f.endless(body{"n": 2, "temperature": 1, "top_p": 0.5, "max_tokens": 4, "stream": true, "stream_options": body{"include_usage": true}})}}
	}},
}
