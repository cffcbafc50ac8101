package suites

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func needLimited(f *Facts) string {
	if f.target.Limited == nil {
		return "no deployment is known whose quota may be exhausted"
	}
	return ""
}

// toLimited is a small request to the deployment that may be exhausted.
func toLimited(f *Facts, label string, members ...string) ask {
	return ask{label: label, wire: wire{to: limited, raw: rawBody(f, shortPrompt, append([]string{"max_tokens", "1"}, members...)...)}}
}

// large is more than half of the tokens of a window.
func (l *Limited) large() string { return strconv.Itoa(l.Tokens/2 + 1) }

// longPrompt has more than half of the tokens of a window, counted by the words
// that calibration has counted.
func longPrompt(f *Facts) string {
	each := 4.0 // tokens that fourWords cost
	if n := len(strings.Fields(f.Filler.Prompt)); n >= 4 && f.Filler.Tokens > 0 {
		each = float64(f.Filler.Tokens) / float64(n/4)
	}
	return strings.TrimSpace(strings.Repeat(fourWords+" ", int(0.6*float64(f.target.Limited.Tokens)/each)+1))
}

// times repeats an ask; only the first one rests.
func times(n int, a ask) []ask {
	out := slices.Repeat([]ask{a}, n)
	for i := range out[1:] {
		out[i+1].rest = none
	}
	return out
}

// limProbes exhaust the quota of the deployment that may be (LIM). Windows may
// begin at a request or by the clock, so three times as many requests are sent
// as one admits.
var limProbes = []probe{
	{name: "limits.burst", beside: true, together: true, once: true, needs: needLimited, then: "limits", asks: func(f *Facts) []ask {
		var out []ask
		for i := range 3 * f.target.Limited.Requests {
			a := toLimited(f, "plain")
			if i%2 == 1 {
				a = toLimited(f, "stream", "stream", "true")
			}
			a.rest = silence
			out = append(out, a)
		}
		return out
	}},
	{name: "limits", beside: true, once: true, needs: needLimited, asks: func(f *Facts) []ask {
		if f.target.dialect() == DialectOpenAI {
			return nil
		}
		return slices.Concat(whileRefused(f), whole(f), refusedForFree(f), longOnes(f))
	}},
}

// whileRefused asks while the burst has exhausted the quota, and after it.
func whileRefused(f *Facts) []ask {
	l := f.target.Limited
	out := []ask{{label: "main", wire: wire{raw: rawBody(f, shortPrompt, "max_tokens", "3")}}}
	if key := f.target.beside(l.Beside).SecondKey; key != "" {
		other := toLimited(f, "other key")
		other.wire.header = bearer("Bearer " + key)
		out = append(out, other)
	}
	again := toLimited(f, "again")
	again.rest = asTold
	out = append(out, toLimited(f, "still"), again)
	if l.Tokens == 0 {
		return out
	}
	n := toLimited(f, "n", "n", "3", "max_tokens", l.large())
	if f.target.dialect() == DialectAzureInference { // to which n is extra (C48)
		n.wire.header = http.Header{"Extra-Parameters": {"pass-through"}}
	}
	return append(out, n, toLimited(f, "after n"), toLimited(f, "over", "max_tokens", strconv.Itoa(l.Tokens+1)))
}

// whole asks for all that a window admits, and for one more.
func whole(f *Facts) []ask {
	a := toLimited(f, "whole")
	a.rest = silence
	return append(times(f.target.Limited.Requests, a), toLimited(f, "one more"))
}

// refusedForFree sends what costs nothing, then large answers until the tokens
// are used up.
func refusedForFree(f *Facts) []ask {
	l := f.target.Limited
	var out []ask
	bad := toLimited(f, "bad form", "temperature", `"warm"`, "max_tokens", strconv.Itoa(max(1, l.Tokens)))
	bad.rest = silence
	out = append(out, times(l.Requests, bad)...)
	if f.target.Key != "" {
		stranger := toLimited(f, "wrong key")
		stranger.wire.header = bearer("Bearer " + wrongKey)
		out = append(out, times(l.Requests, stranger)...)
	}
	out = append(out, toLimited(f, "good"))
	if l.Tokens == 0 {
		return out
	}
	members := []string{"max_tokens", l.large()}
	if f.IgnoreEOS == Honoured {
		members = append(members, "ignore_eos", "true")
	}
	one := toLimited(f, "large", members...)
	one.until429 = true
	return append(out, times(5, one)...)
}

// longOnes sends long prompts until the tokens are used up, and filtered ones
// until the requests are.
func longOnes(f *Facts) []ask {
	l := f.target.Limited
	var out []ask
	if l.Tokens > 0 {
		long := ask{label: "long", rest: silence, until429: true, wire: wire{to: limited, raw: rawBody(f, longPrompt(f), "max_tokens", "1")}}
		out = times(4, long)
	}
	if trigger := f.target.Safety.Prompt; trigger != "" {
		filtered := ask{label: "filtered", wire: wire{to: limited, raw: rawBody(f, trigger, "max_tokens", "1")}}
		if len(out) == 0 {
			filtered.rest = silence
		}
		out = append(append(out, times(l.Requests, filtered)...), toLimited(f, "counted"))
	}
	return out
}
