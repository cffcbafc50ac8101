package suites

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// defaults are what parameters are where they are not sent, by dialect (C06,
// C09, C32: max_tokens on chat, ignore_eos and temperature are left out): those
// of every server in one request, those that some lack in another;
// use_beam_search has a probe of its own, beam.off.
func defaults(f *Facts) []body {
	common := body{"top_p": 1, "presence_penalty": 0, "stream": false}
	if f.target.dialect() != DialectAzureInference {
		common["n"] = 1
	}
	if f.target.dialect() != DialectLlamaV1 {
		return []body{common}
	}
	return []body{common, {"best_of": 1, "skip_special_tokens": true}}
}

// nulls are the parameters that may be null.
func nulls(f *Facts) body {
	b := body{"top_p": nil, "stop": nil, "presence_penalty": nil, "stream": nil}
	if f.target.dialect() != DialectAzureInference {
		b["n"], b["logprobs"] = nil, nil
	}
	if f.target.dialect() == DialectLlamaV1 {
		b = b.with(body{"best_of": nil, "use_beam_search": nil, "stop_token_ids": nil, "skip_special_tokens": nil})
	}
	return b
}

// shapes are the control request as other texts of the same JSON.
func shapes(f *Facts) (reversed, indented []byte) {
	b := f.greedy(capped).prompt(f.Route, plainPrompt(f.Route))
	if f.target.Model != "" {
		b["model"] = f.target.Model
	}
	indented, _ = json.MarshalIndent(b, "\r\n ", "\t")
	var names []string
	for k := range b {
		names = append(names, k)
	}
	slices.Sort(names)
	slices.Reverse(names)
	var parts []string
	for _, k := range names {
		v, _ := json.Marshal(b[k])
		parts = append(parts, `"`+k+`":`+string(v))
	}
	return []byte("{" + strings.Join(parts, ",") + "}"), append([]byte(" \n\t"), append(indented, "\r\n "...)...)
}

// otherPath is the path of a route of llama-v1 without its /v1.
var otherPath = map[schemas.Route]string{
	schemas.Completions: "/completions?api-version=" + apiVersion,
	schemas.Chat:        "/chat/completions?api-version=" + apiVersion,
}

// Prompts after which many words may come first (DET-011).
var openPrompts = map[schemas.Route]string{schemas.Completions: "One day", schemas.Chat: "Tell me a story."}

// seeds are how many seeds are sent (DET-008); the first is sent three times
// (DET-007).
const (
	seeds     = 8
	firstSeed = 42
)

// draws are how many requests for drawn tokens are sent, of drawn choices each.
const (
	draws = 2
	drawn = 40
)

func needAll(f *Facts) string {
	for _, need := range []func(*Facts) string{needKnown, needLong, needShort} {
		if why := need(f); why != "" {
			return why
		}
	}
	return ""
}

// detProbes are about determinism, defaults and isolation (DET).
var detProbes = []probe{
	{name: "det", free: true, needs: needKnown, asks: func(f *Facts) []ask {
		one := func(label string, b body) ask { return ask{label: label, prompt: plainPrompt(f.Route), body: b} }
		out := []ask{one("again", f.greedy(capped))}
		for i, b := range defaults(f) {
			out = append(out, one(fmt.Sprintf("defaults %d", i+1), f.greedy(capped).with(b)))
		}
		reversed, indented := shapes(f)
		return append(out,
			one("null", f.greedy(capped).with(nulls(f))),
			one("top_p", f.greedy(capped).with(body{"top_p": 0.1})),
			one("tiny top_p", f.greedy(capped).with(body{"temperature": 1, "top_p": 1e-9})),
			ask{label: "reversed", wire: wire{raw: reversed}},
			ask{label: "indented", wire: wire{raw: indented}},
		)
	}},
	{name: "det.long", needs: needLong, dialects: []string{DialectLlamaV1}, asks: func(f *Facts) []ask {
		var out []ask
		for _, p := range []int{2, -2} {
			out = append(out, ask{label: fmt.Sprintf("penalty %d", p), prompt: f.Long.Prompt, body: f.endless(f.greedy(longEnough)).with(body{"presence_penalty": p})})
		}
		return out
	}},
	{name: "det.path", dialects: []string{DialectLlamaV1}, needs: needKnown, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.greedy(capped), wire: wire{path: otherPath[f.Route]}}}
	}},
	{name: "det.parallel", together: true, needs: needAll, asks: func(f *Facts) []ask {
		var out []ask
		for range 2 {
			out = append(out,
				ask{label: "plain", prompt: plainPrompt(f.Route), body: f.greedy(capped)},
				ask{label: "short", prompt: f.Short.Prompt, body: f.natural(f.greedy(shortTokens))},
				ask{label: "long", prompt: f.Long.Prompt, body: f.endless(f.greedy(32))})
		}
		return out
	}},
	{name: "det.history", needs: needKnown, asks: func(f *Facts) []ask {
		one := func(label, word string) ask {
			return ask{label: label, prompt: "Touchstone keeps a memory of nothing at all: " + word, body: f.greedy(8)}
		}
		return []ask{one("first", "one"), one("other", "two"), one("last", "one")}
	}},
	{name: "det.alive", last: true, needs: needKnown, asks: func(f *Facts) []ask {
		same := ask{label: "kept", prompt: plainPrompt(f.Route), body: f.greedy(4)}
		long := ask{label: "long", prompt: strings.TrimSpace(strings.Repeat(fourWords+" ", 64)), body: f.greedy(1)}
		bad := ask{label: "bad", prompt: plainPrompt(f.Route), body: f.greedy(4).with(body{"temperature": "warm"})}
		alone := same
		alone.label, alone.wire = "alone", wire{header: http.Header{"Connection": {"close"}}}
		return []ask{alone, same, long, same, bad, same, long, same}
	}},
	{name: "seeds", dialects: notLlama, tests: []string{"seed"}, asks: func(f *Facts) []ask {
		var out []ask
		for i := range seeds + 2 {
			seed := firstSeed + i
			if i >= seeds {
				seed = firstSeed
			}
			b := body{"temperature": 1, "max_tokens": 32, "seed": seed}
			if f.target.dialect() == DialectOpenAI { // shows what chance there is
				b = b.with(withLogprobs(f, 1))
			}
			out = append(out, ask{prompt: openPrompts[f.Route], body: b})
		}
		return out
	}},
	// n: a choice that ends at once shows no token.
	{name: "det.first", free: true, dialects: logDialects, tests: []string{"logprobs", "n"}, asks: func(f *Facts) []ask {
		k := 20
		if f.target.dialect() == DialectOpenAI && f.Route == schemas.Completions {
			k = 5
		}
		one := func(label string, b body) ask {
			return ask{label: label, prompt: openPrompts[f.Route], body: b.with(body{"n": 3, "max_tokens": 1}).with(withLogprobs(f, k))}
		}
		return []ask{one("1", body{"temperature": 1}), one("0.7", body{"temperature": 0.7}), one("default", body{})}
	}},
	{name: "det.draw", dialects: logDialects, tests: []string{"n"}, asks: func(f *Facts) []ask {
		return slices.Repeat([]ask{{prompt: openPrompts[f.Route], body: body{"n": drawn, "max_tokens": 1}}}, draws)
	}},
}
