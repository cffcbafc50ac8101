package suites

import "strings"

// needBorder wants the context length and a prompt of known length whose
// answer ends by itself, so that filling the context costs nothing.
func needBorder(f *Facts) string {
	switch {
	case f.Context == 0:
		return "the context length is not known (K5)"
	case !f.Short.known() || f.Short.Prompted == 0:
		return "no prompt of known length is known whose answer ends by itself (K3)"
	case f.Context <= f.Short.Prompted+shortTokens:
		return "the context is too short to measure"
	}
	return ""
}

func needFiller(f *Facts) string {
	if f.Filler.Tokens == 0 {
		return "no prompt that nearly fills the context was found (K6)"
	}
	return ""
}

// mostWords bounds the prompt that is longer than the context.
const mostWords = 400_000

// ctxProbes are about the context length (CTX).
var ctxProbes = []probe{
	{name: "ctx", free: true, needs: needBorder, asks: func(f *Facts) []ask {
		left := f.Context - f.Short.Prompted
		one := func(label string, limit int, more body) ask {
			return ask{label: label, prompt: f.Short.Prompt, body: f.natural(f.greedy(limit)).with(more)}
		}
		out := []ask{
			one("exact", left, nil),
			one("over", left+1, nil),
			one("stream", left+1, body{"stream": true}),
		}
		if f.target.dialect() != DialectAzureInference {
			// Nearly greedy, so that both choices end by themselves too.
			out = append(out, one("n", left, body{"n": 2, "temperature": 1, "top_p": 0.01}))
		}
		if 2*f.Context <= mostWords {
			out = append(out, ask{label: "beyond", prompt: strings.TrimSpace(strings.Repeat(fourWords+" ", f.Context/2)), body: f.greedy(1)})
		}
		return out
	}},
	{name: "ctx.rest", dialects: notLlama, routes: chatOnly, needs: needFiller, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Filler.Prompt, body: f.natural(body{"temperature": 0})}}
	}},
	{name: "ctx.default", dialects: logDialects, routes: completionsOnly, needs: needFiller, asks: func(f *Facts) []ask {
		groups := len(strings.Fields(f.Filler.Prompt)) / 4
		each := float64(f.Filler.Tokens) / float64(max(1, groups)) // a little too many: what begins the prompt counts in
		more := int(float64(f.Context-1-f.Filler.Tokens) / each)
		return []ask{{prompt: f.Filler.Prompt + strings.Repeat(" "+fourWords, more), body: f.natural(body{"temperature": 0})}}
	}},
}
