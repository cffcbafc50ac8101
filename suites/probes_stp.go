package suites

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A stops holds the pieces of a known text that serve as stop strings (K4);
// one that the text does not yield is "".
type stops struct {
	text     string
	twice    string // occurs again later
	early    string // occurs once, in the first half
	late     string // occurs once, behind early
	across   string // from inside a word to inside the next
	inside   string // from inside a word
	spaced   string // begins with a space; what follows occurs earlier
	opening  string // the first characters
	capitals string // early in capitals, which the text lacks
	patterns []string
	prompt   string // a word of the prompt that the text lacks
}

// stopsOf cuts stop strings out of the answer to the control prompt.
func stopsOf(f *Facts) stops {
	t := f.Capped
	s := stops{text: t, twice: repeated(t), early: piece(t, len(t)/4, 3), across: crossing(t), inside: interior(t), spaced: afterSpace(t)}
	if s.early != "" {
		s.late = piece(t, max(len(t)*5/8, strings.Index(t, s.early)+len(s.early)), 3)
		if up := strings.ToUpper(s.early); up != s.early && !strings.Contains(t, up) {
			s.capitals = up
		}
	}
	for _, p := range []string{".*", "[a-z]+"} {
		if m := regexp.MustCompile(p); m.FindString(t) != "" && !strings.Contains(t, p) {
			s.patterns = append(s.patterns, p)
		}
	}
	if r := []rune(t); len(r) >= 8 {
		s.opening = string(r[:3])
	}
	for _, w := range strings.Fields(plainPrompt(f.Route)) {
		if w = strings.Trim(w, ".,"); len(w) >= 3 && !strings.Contains(t, w) {
			s.prompt = w
			break
		}
	}
	return s
}

// piece is a slice of text at or behind from that occurs there first, holds
// n characters or a few more, and neither begins nor ends with space.
func piece(text string, from, n int) string {
	for at := from; at < len(text); at++ {
		for end := at + n; end <= min(at+n+6, len(text)); end++ {
			if s := text[at:end]; utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.Index(text, s) == at {
				return s
			}
		}
	}
	return ""
}

// repeated is a short slice that occurs at least twice, first behind the
// beginning.
func repeated(text string) string {
	for n := 3; n >= 1; n-- {
		for at := 4; at+n < len(text); at++ {
			s := text[at : at+n]
			if utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.Index(text, s) == at && strings.LastIndex(text, s) >= at+n {
				return s
			}
		}
	}
	return ""
}

var (
	twoWords = regexp.MustCompile(`\pL{2} \pL{2}`)
	longWord = regexp.MustCompile(`\pL{5,}`)
)

// crossing is a slice from inside a word over a space to inside the next.
func crossing(text string) string {
	for _, at := range twoWords.FindAllStringIndex(text, -1) {
		if s := text[at[0]:at[1]]; at[0] > 0 && strings.Index(text, s) == at[0] {
			return s
		}
	}
	return ""
}

// interior is a slice from inside a word.
func interior(text string) string {
	for _, at := range longWord.FindAllStringIndex(text, -1) {
		w := []rune(text[at[0]:at[1]])
		if s := string(w[1 : len(w)-1]); len(w) <= 12 && strings.Index(text, s) == at[0]+utf8.RuneLen(w[0]) {
			return s
		}
	}
	return ""
}

// afterSpace is a space and a letter that occurs without the space before.
func afterSpace(text string) string {
	for at, c := range text {
		if c != ' ' || at == 0 {
			continue
		}
		letter, n := utf8.DecodeRuneInString(text[at+1:])
		if s := text[at : at+1+n]; unicode.IsLetter(letter) && strings.Index(text, s) == at && strings.ContainsRune(text[:at], letter) {
			return s
		}
	}
	return ""
}

// wideStop is a multi-byte character of the known answer that has some.
func wideStop(answer string) string {
	stop := ""
	for at, c := range answer {
		if utf8.RuneLen(c) >= 3 && (stop == "" || at > 0 && strings.HasPrefix(answer, stop)) && strings.IndexRune(answer, c) == at {
			stop = string(c)
		}
	}
	return stop
}

// absentStop is a stop string that does not occur in text, though its first
// letter does.
func absentStop(text string) string {
	for _, c := range text[min(len(text), 4):] {
		if c > ' ' && c < 0x7f && c != '"' && c != '\\' {
			return string(c) + "☃☃"
		}
	}
	return "e☃☃"
}

const (
	neverSaid = "\u2042zq9xK\u2042" // no answer holds it
	longStop  = 10_000              // characters
	idTokens  = 48                  // asked for with stop_token_ids
	firstID   = 3                   // below are the special tokens of many vocabularies
	idsAtOnce = 1024
)

// ids are n token ids from low on.
func ids(low, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = low + i
	}
	return out
}

func needEnd(f *Facts) string {
	switch {
	case needShort(f) != "":
		return needShort(f)
	case f.IgnoreEOS != Honoured:
		return "ignore_eos is " + f.IgnoreEOS.String() + ", so no end token comes in the middle of an answer"
	}
	return ""
}

func needKnown(f *Facts) string {
	if !f.Repeatable {
		return "answers at temperature 0 are not repeatable (K2), so nothing is known of where a stop string occurs"
	}
	return ""
}

// stpProbes are about stop strings, stop tokens and special tokens (STP).
var stpProbes = []probe{
	{name: "stops", free: true, needs: needKnown, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		s := stopsOf(f)
		var out []ask
		add := func(label string, stop any, pieces ...string) {
			if !slices.Contains(pieces, "") {
				out = append(out, ask{label: label, prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"stop": stop})})
			}
		}
		list := func(ss ...string) []string { return ss }
		add("twice", list(s.twice), s.twice)
		add("string", s.early, s.early)
		add("order", list(s.early, s.late), s.early, s.late)
		add("disorder", list(s.late, s.early), s.early, s.late)
		_, n := utf8.DecodeLastRuneInString(s.text)
		add("miss", list(s.text[len(s.text)-n:]+neverSaid)) // what may begin it must not be held back for ever
		add("across", list(s.across), s.across)
		add("inside", list(s.inside), s.inside)
		add("prompt", list(s.prompt), s.prompt)
		add("literal", append(list(s.capitals), s.patterns...), s.capitals)
		add("spaced", list(s.spaced), s.spaced)
		add("opening", list(s.opening), s.opening)
		add("absurd", list(strings.Repeat("x", longStop), strings.Repeat("x", longStop)))
		add("empty", "")
		add("empty list", list(""))
		add("no list", []string{})           // REQ-060
		add("letters", absentStop(f.Capped)) // REQ-060
		return out
	}},
	{name: "stops.wide", needs: needWide, tests: []string{"stop"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Wide.Prompt, body: f.natural(f.greedy(32)).with(body{"stop": []string{wideStop(f.Wide.Answer)}})}}
	}},
	{name: "stops.n", dialects: logDialects, tests: []string{"stop", "n", "seed", "logprobs"}, asks: func(f *Facts) []ask {
		return []ask{{prompt: plainPrompt(f.Route), body: f.endless(body{"n": 4, "temperature": 1, "max_tokens": 8, "seed": 7, "stop": "e"}).with(withLogprobs(f, 1))}}
	}},
	{name: "stop_ids", free: true, dialects: []string{DialectLlamaV1}, needs: needLong, tests: []string{"stop_token_ids"}, asks: func(f *Facts) []ask {
		low := ids(firstID, idsAtOnce)
		one := func(label string, more body) ask {
			return ask{label: label, prompt: f.Long.Prompt, body: f.endless(f.greedy(idTokens)).with(more)}
		}
		out := []ask{
			one("low", body{"stop_token_ids": low}),
			one("next", body{"stop_token_ids": ids(firstID+idsAtOnce, idsAtOnce)}),
			one("stream", body{"stop_token_ids": low, "stream": true}),
		}
		if r := []rune(f.Long.Answer); len(r) > 8 {
			out = append(out, one("stop first", body{"stop_token_ids": low, "stop": string(r[1:3])}))
		}
		if s := piece(f.Long.Answer, len(f.Long.Answer)/4, 4); s != "" {
			out = append(out, one("stop later", body{"stop_token_ids": low, "stop": s}))
		}
		return out
	}},
	{name: "stop_ids.none", free: true, dialects: []string{DialectLlamaV1}, needs: needKnown, tests: []string{"stop_token_ids"}, asks: func(f *Facts) []ask {
		one := func(label string, list any) ask {
			return ask{label: label, prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"stop_token_ids": list})}
		}
		return []ask{one("empty", []int{}), one("negative", []int{-1}), one("beyond", []int{1_000_000_000})}
	}},
	{name: "special", free: true, dialects: []string{DialectLlamaV1}, needs: needEnd, tests: []string{"skip_special_tokens"}, asks: func(f *Facts) []ask {
		limit := shortTokens
		if f.Short.Tokens > 0 {
			limit = min(limit, f.Short.Tokens+8)
		}
		one := func(label string, skip any) ask {
			return ask{label: label, prompt: f.Short.Prompt, body: f.endless(f.greedy(limit)).with(body{"skip_special_tokens": skip})}
		}
		return []ask{one("hidden", true), one("shown", false), one("null", nil)}
	}},
}
