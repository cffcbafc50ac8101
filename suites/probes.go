package suites

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// with returns b and more members.
func (b body) with(more body) body {
	for k, v := range more {
		b[k] = v
	}
	return b
}

// ask1 is the plan of a probe with one request after the control prompt.
func ask1(b body) func(*Facts) []ask {
	return func(f *Facts) []ask { return []ask{{plainPrompt(f.Route), body{}.with(b)}} }
}

// askEndless is ask1 with ignore_eos where the target takes it, so that
// lengths are known.
func askEndless(b body) func(*Facts) []ask {
	return func(f *Facts) []ask { return []ask{{plainPrompt(f.Route), f.endless(body{}.with(b))}} }
}

func needLong(f *Facts) string {
	if !f.Long.known() {
		return "no prompt is known whose answer goes on (K3)"
	}
	return ""
}

func needShort(f *Facts) string {
	if !f.Short.known() {
		return "no prompt is known whose answer ends by itself (K3)"
	}
	return ""
}

func needWide(f *Facts) string {
	if !f.Wide.known() {
		return "no prompt is known whose answer holds multi-byte characters"
	}
	return ""
}

func needStop(f *Facts) string {
	if !f.Repeatable {
		return "answers at temperature 0 are not repeatable (K2), so no stop string is known to occur"
	}
	if needLong(f) == "" && stopSlice(f.Long.Answer) == "" {
		return "no slice of the known answer serves as a stop string (K4)"
	}
	return needLong(f)
}

func needContext(f *Facts) string {
	switch {
	case f.Context == 0:
		return "the context length is not known (K5)"
	case f.Context > maxContext:
		return "the context is too long to fill politely"
	case f.IgnoreEOS != Honoured:
		return "ignore_eos is " + f.IgnoreEOS.String() + ", so nothing makes an answer reach the end of the context"
	case f.Filler.Tokens == 0:
		return "no prompt that nearly fills the context was found (K6)"
	}
	return ""
}

const (
	maxContext = 8192 // tokens that a run is willing to spend on filling one
	capped     = 16   // max_tokens of the stop probe that ends on its last token
)

// stopSlice chooses a stop string (K4) from a known answer: a slice that starts
// inside a word, crosses a space, so it spans tokens of any vocabulary, and
// occurs first well behind the start of the answer.
func stopSlice(answer string) string {
	for at := len(answer) / 4; at < len(answer)*3/4; at++ {
		end := at + 7
		if end > len(answer) || !utf8.RuneStart(answer[at]) || end < len(answer) && !utf8.RuneStart(answer[end]) {
			continue
		}
		s := answer[at:end]
		if i := strings.Index(s[1:len(s)-1], " "); i < 0 || strings.TrimSpace(s) != s || answer[at-1] == ' ' {
			continue
		}
		if strings.Index(answer, s) == at {
			return s
		}
	}
	return ""
}

// lastSlice chooses a stop string that completes with the last character of
// a text.
func lastSlice(text string) string {
	for n := 3; n <= 24 && n < len(text); n++ {
		s := text[len(text)-n:]
		if utf8.ValidString(s) && strings.Index(text, s) == len(text)-n {
			return s
		}
	}
	return ""
}

// gone is when a client has seen enough of a stream that it drops.
func gone(b []byte) bool { return bytes.Contains(b, []byte("\n\n")) }

// nonces are prompts that no model repeats by chance (RSP-021).
var nonces = []string{
	"Touchstone 7f3a9: the violet ferry counted twelve lanterns.",
	"Kestrel 20114 of Ostrava sold nine umbrellas to the baker.",
	"Quartz 5512: seven polite otters painted the library blue.",
}

// probes are all that a run may send, but for calibration.
var probes = []probe{
	// Shape, order and content of streams.
	{name: "greedy.stream", asks: ask1(body{"temperature": 0, "max_tokens": 16, "stream": true})},
	{name: "long.stream", needs: needLong, asks: func(f *Facts) []ask {
		return []ask{{f.Long.Prompt, f.endless(f.greedy(longTokens)).with(body{"stream": true})}}
	}},
	{name: "short.stream", needs: needShort, asks: func(f *Facts) []ask {
		return []ask{{f.Short.Prompt, f.natural(f.greedy(shortTokens)).with(body{"stream": true})}}
	}},
	{name: "wide.stream", needs: needWide, asks: func(f *Facts) []ask {
		return []ask{{f.Wide.Prompt, f.natural(f.greedy(32)).with(body{"stream": true})}}
	}},
	{name: "bad.stream", asks: ask1(body{"n": 0, "max_tokens": 8, "stream": true})},
	{name: "together", needs: needShort, together: true, asks: func(f *Facts) []ask {
		var out []ask
		for range 2 {
			out = append(out,
				ask{plainPrompt(f.Route), f.greedy(16).with(body{"stream": true})},
				ask{f.Short.Prompt, f.natural(f.greedy(shortTokens)).with(body{"stream": true})})
		}
		return out
	}},
	{name: "disconnect", needs: needLong, together: true, then: "reconnect", opts: []exchange.Option{exchange.StopWhen(gone)},
		asks: func(f *Facts) []ask {
			var out []ask
			for range 8 {
				out = append(out, ask{f.Long.Prompt, f.endless(f.greedy(4 * longTokens)).with(body{"stream": true})})
			}
			return out
		}},
	// once: after dropped streams a refusal for load is the matter of STR-028. A
	// target may need a moment to notice, so the last of several counts.
	{name: "reconnect", once: true, asks: func(f *Facts) []ask {
		return slices.Repeat([]ask{{plainPrompt(f.Route), f.greedy(4)}}, 4)
	}},

	// Why an answer ended.
	{name: "cap1", tests: []string{"ignore_eos"}, asks: ask1(body{"ignore_eos": true, "max_tokens": 1, "temperature": 0})},
	{name: "stop", needs: needStop, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		return []ask{{f.Long.Prompt, f.endless(f.greedy(longTokens)).with(body{"stop": []string{stopSlice(f.Long.Answer)}})}}
	}},
	{name: "stop.stream", needs: needStop, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		return []ask{{f.Long.Prompt, f.endless(f.greedy(longTokens)).with(body{"stop": []string{stopSlice(f.Long.Answer)}, "stream": true})}}
	}},
	{name: "stop.last", tests: []string{"stop"}, needs: func(f *Facts) string {
		if lastSlice(f.Capped) == "" {
			return "no slice at the end of the known answer serves as a stop string (K4)"
		}
		return needStop(f)
	}, asks: func(f *Facts) []ask {
		return []ask{{plainPrompt(f.Route), f.greedy(capped).with(body{"stop": lastSlice(f.Capped)})}}
	}},
	{name: "context", needs: needContext, asks: func(f *Facts) []ask {
		return []ask{{f.Filler.Prompt, f.endless(f.greedy(f.Context - f.Filler.Tokens))}}
	}},
	{name: "reasons", needs: needShort, tests: []string{"n", "logprobs"}, asks: func(f *Facts) []ask {
		var out []ask
		for _, d := range []int{0, -1, 2, 4, 8} {
			out = append(out, ask{f.Short.Prompt, f.natural(body{"n": 4, "temperature": 1, "logprobs": 1, "max_tokens": max(2, f.Short.Tokens+d)})})
		}
		return out
	}},

	// n choices, and the prompt that must not come back.
	{name: "n3", tests: []string{"n"}, asks: askEndless(body{"n": 3, "temperature": 1, "max_tokens": 16})},
	{name: "n3.stream", tests: []string{"n"}, asks: askEndless(body{"n": 3, "temperature": 1, "max_tokens": 16, "stream": true})},
	{name: "nonce", asks: func(f *Facts) []ask {
		var out []ask
		for _, n := range nonces {
			out = append(out, ask{n, f.greedy(24)})
		}
		return out
	}},
	{name: "model", asks: func(f *Facts) []ask {
		return []ask{{plainPrompt(f.Route), f.greedy(1)}, {plainPrompt(f.Route), f.greedy(1).with(body{"model": "touchstone-asks-for-another"})}}
	}},
	{name: "logprobs", routes: []schemas.Route{schemas.Completions}, tests: []string{"logprobs"}, asks: ask1(body{"temperature": 0, "max_tokens": 16, "logprobs": 2})},
	{name: "logprobs.stream", routes: []schemas.Route{schemas.Completions}, tests: []string{"logprobs"}, asks: ask1(body{"temperature": 0, "max_tokens": 16, "logprobs": 2, "stream": true})},

	// best_of.
	{name: "best_of.less", tests: []string{"best_of"}, asks: ask1(body{"n": 3, "best_of": 2, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.equal", tests: []string{"best_of"}, asks: ask1(body{"n": 2, "best_of": 2, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.one", tests: []string{"best_of"}, asks: ask1(body{"n": 1, "best_of": 1, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.1of3", tests: []string{"best_of"}, asks: askEndless(body{"n": 1, "best_of": 3, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.2of4", tests: []string{"best_of", "n"}, asks: askEndless(body{"n": 2, "best_of": 4, "temperature": 1, "max_tokens": 8})},
	{name: "best_of.ordered", tests: []string{"best_of", "n", "logprobs"}, asks: func(f *Facts) []ask {
		var out []ask
		for seed := range 3 {
			out = append(out, ask{plainPrompt(f.Route), f.endless(body{"n": 3, "best_of": 6, "temperature": 1, "max_tokens": 8, "logprobs": 1, "seed": 11 + seed})})
		}
		return out
	}},
	{name: "best_of.candidates", tests: []string{"n", "logprobs", "seed"}, asks: func(f *Facts) []ask {
		b := func() body {
			return f.endless(body{"n": 4, "temperature": 1, "max_tokens": 8, "logprobs": 1, "seed": 7})
		}
		return []ask{{plainPrompt(f.Route), b()}, {plainPrompt(f.Route), b()}}
	}},
	{name: "best_of.best", tests: []string{"best_of", "logprobs", "seed"}, asks: askEndless(body{"n": 1, "best_of": 4, "temperature": 1, "max_tokens": 8, "logprobs": 1, "seed": 7})},
	{name: "best_of.stream", tests: []string{"best_of", "stream"}, asks: askEndless(body{"n": 1, "best_of": 2, "temperature": 1, "max_tokens": 16, "stream": true})},
	{name: "best_of.equal.stream", tests: []string{"best_of", "stream"}, asks: ask1(body{"n": 2, "best_of": 2, "temperature": 1, "max_tokens": 8, "stream": true})},
	{name: "best_of.greedy", tests: []string{"best_of"}, asks: ask1(body{"n": 1, "best_of": 2, "temperature": 0, "max_tokens": 16})},
	{name: "best_of.null", tests: []string{"best_of"}, asks: ask1(body{"best_of": nil, "temperature": 0, "max_tokens": 16})},
	{name: "best_of.absurd", tests: []string{"best_of"}, once: true, opts: []exchange.Option{exchange.Timeout(10 * time.Second)},
		asks: ask1(body{"n": 1, "best_of": 1_000_000, "temperature": 1, "max_tokens": 1})},

	// Beam search.
	{name: "beam.one", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 1, "temperature": 0, "max_tokens": 8})},
	{name: "beam.warm", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0.5, "max_tokens": 8})},
	{name: "beam.default", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "max_tokens": 8})},
	{name: "beam", tests: []string{"use_beam_search"}, asks: func(f *Facts) []ask {
		var out []ask
		for range repeats {
			out = append(out, ask{plainPrompt(f.Route), f.endless(f.greedy(16)).with(body{"use_beam_search": true, "best_of": 4, "logprobs": 1})})
		}
		return out
	}},
	{name: "beam.two", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "max_tokens": 8})},
	{name: "beam.greedy", tests: []string{"logprobs"}, asks: askEndless(body{"temperature": 0, "max_tokens": 16, "logprobs": 1})},
	{name: "beam.n2", tests: []string{"use_beam_search", "n"}, asks: askEndless(body{"use_beam_search": true, "n": 2, "best_of": 4, "temperature": 0, "max_tokens": 16, "logprobs": 1})},
	{name: "beam.top_p", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "top_p": 0.5, "max_tokens": 8})},
	{name: "beam.stream", tests: []string{"use_beam_search", "stream"}, asks: ask1(body{"use_beam_search": true, "best_of": 2, "temperature": 0, "max_tokens": 8, "stream": true})},
	{name: "beam.off", tests: []string{"use_beam_search"}, asks: ask1(body{"use_beam_search": false, "temperature": 0, "max_tokens": 16})},
	{name: "beam.n2.alone", tests: []string{"use_beam_search", "n"}, asks: ask1(body{"use_beam_search": true, "n": 2, "temperature": 0, "max_tokens": 8})},
}

var probeByName = func() map[string]*probe {
	m := map[string]*probe{}
	for i := range probes {
		m[probes[i].name] = &probes[i]
	}
	return m
}()
