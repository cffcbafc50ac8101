package suites

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
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
	return func(f *Facts) []ask { return []ask{{prompt: plainPrompt(f.Route), body: body{}.with(b)}} }
}

// askEndless is ask1 with ignore_eos where the target takes it, so that
// lengths are known.
func askEndless(b body) func(*Facts) []ask {
	return func(f *Facts) []ask { return []ask{{prompt: plainPrompt(f.Route), body: f.endless(body{}.with(b))}} }
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
	"Quartz 5512: seven polite otters painted the library blue.",
}

// probes are all that a run may send, but for calibration, by area.
var probes = slices.Concat(
	reqProbes,
	chtProbes,
	autProbes,
	errProbes,
	azureProbes,
	cliProbes,
	strProbes,
	finProbes,
	rspProbes,
	bstProbes,
	beamProbes,
	logProbes,
	stpProbes,
	eosProbes,
	useProbes,
	ctxProbes,
	safProbes,
	limProbes,
	matrixProbes,
	tooProbes,
	fmtProbes,
	visProbes,
	detProbes,
)

var probeByName = func() map[string]*probe {
	m := map[string]*probe{}
	for i := range probes {
		m[probes[i].name] = &probes[i]
	}
	return m
}()
