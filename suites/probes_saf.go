package suites

import "github.com/touchstone-llm/touchstone/schemas"

func needTrigger(f *Facts) string {
	if f.target.Safety.Prompt == "" {
		return "no prompt is known that is filtered"
	}
	return ""
}

func needWithheld(f *Facts) string {
	if s := f.target.Safety; s.Answer == "" || s.Withheld == "" {
		return "no prompt is known whose answer is filtered"
	}
	return ""
}

var notOpenAI = []string{DialectLlamaV1, DialectAzureInference}

// safProbes trigger content safety (SAF). They are sent only where the owner
// of the target claims it.
var safProbes = []probe{
	{name: "safety.prompt", dialects: notOpenAI, needs: needTrigger, asks: func(f *Facts) []ask {
		one := func(label string, more body) ask {
			return ask{label: label, prompt: f.target.Safety.Prompt, body: f.greedy(8).with(more)}
		}
		out := []ask{one("plain", nil), one("stream", body{"stream": true})}
		if f.target.dialect() == DialectLlamaV1 {
			bare := one("bare", nil)
			bare.wire.path = otherPath[f.Route]
			out = append(out, bare)
		}
		return out
	}},
	{name: "safety.earlier", dialects: notOpenAI, routes: []schemas.Route{schemas.Chat}, needs: needTrigger, asks: func(f *Facts) []ask {
		turn := func(role, content string) map[string]string {
			return map[string]string{"role": role, "content": content}
		}
		b := f.greedy(8).with(body{"messages": []map[string]string{
			turn("user", f.target.Safety.Prompt), turn("assistant", "I would rather not."), turn("user", plainPrompt(f.Route)),
		}})
		return []ask{{body: b, wire: wire{bare: true}}}
	}},
	{name: "safety.off", beside: true, dialects: notOpenAI, needs: needTrigger, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.target.Safety.Prompt, body: f.greedy(8), wire: wire{to: unscreened}}}
	}},
	{name: "safety.answer", dialects: notOpenAI, needs: needWithheld, asks: func(f *Facts) []ask {
		one := func(label string, more body) ask {
			return ask{label: label, prompt: f.target.Safety.Answer, body: f.natural(f.greedy(shortTokens)).with(more)}
		}
		out := []ask{one("plain", nil), one("stream", body{"stream": true})}
		if f.target.dialect() == DialectLlamaV1 {
			out = append(out, one("logprobs", body{"logprobs": 2}))
		}
		return out
	}},
}
