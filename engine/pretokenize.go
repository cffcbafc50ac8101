package engine

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The patterns by which text is cut into words before merging. Those of the
// models that this engine runs are written as functions, because Go's regexp
// has no look-ahead. A byte that is no UTF-8 counts as a symbol, neither letter
// nor digit nor space.

// A stage finds the first match of a pattern in s, which is not empty; start is
// -1 if there is none.
type stage func(s string) (start, end int)

// A pretokenizer is known by the name that GGUF files have for it.
type pretokenizer struct {
	// stages cut in turn: the matches of one, and what lies between them, are
	// the texts of the next.
	stages       []stage
	addBOS       bool
	ignoreMerges bool // a word that is a token is that token
}

var (
	individually = []stage{first(unicode.IsNumber), begins(splitGPT2)} // each digit a word
	gpt2         = []stage{begins(splitGPT2)}
	qwen2        = []stage{begins(func(s string) int { return splitLlama(s, 1) })}
	llama3       = pretokenizer{stages: []stage{begins(func(s string) int { return splitLlama(s, 3) })}, addBOS: true, ignoreMerges: true}
)

// pretokenizers are those that are known, by tokenizer.ggml.pre. Files older
// than the key are GPT-2's kind.
var pretokenizers = map[string]pretokenizer{
	"llama-bpe": llama3, "llama3": llama3, "llama-v3": llama3, "falcon3": llama3, "pixtral": llama3,
	"qwen2": {stages: qwen2}, "deepseek-r1-qwen": {stages: qwen2}, "stablelm2": {stages: qwen2}, "megrez": {stages: qwen2},
	"": {stages: gpt2}, "gpt-2": {stages: gpt2}, "gpt2": {stages: gpt2}, "mpt": {stages: gpt2}, "olmo": {stages: gpt2},
	"smollm": {stages: individually}, "starcoder": {stages: individually}, "refact": {stages: individually},
	"codeshell": {stages: individually}, "command-r": {stages: individually},
	"tekken": {stages: []stage{begins(splitTekken)}, addBOS: true, ignoreMerges: true},
	"falcon": {stages: []stage{runs(isPunctuation('`')), begins(splitGPT2), digits3}},
	"default": {stages: []stage{
		runs(isPunctuation(0)), begins(splitGPT2), runs(unicode.IsNumber), digits3,
	}},
	"deepseek-coder": {stages: []stage{
		first(isNewline), matches(spaceClass + `?\p{L}+`), matches(spaceClass + `?\p{P}+`),
		matches(`[一-龥ࠀ-一가-퟿]+`), first(unicode.IsNumber),
	}},
	"deepseek-llm": {stages: []stage{
		first(isNewline), matches(spaceClass + `?[\p{Lu}\p{Ll}\p{Lt}]+`),
		matches(spaceClass + `?[!-/:-~！-／：-～‘-‟　-。]+`), lastSpaces,
		matches(`[一-龥ࠀ-一가-퟿]+`), runs(unicode.IsNumber),
	}},
}

// spaceClass is \s of Unicode for Go's regexp.
const spaceClass = `[\t-\r \x{85}\p{Z}]`

// words calls word with the words of text, in order.
func (p *pretokenizer) words(text string, word func(string)) { cut(text, p.stages, word) }

func cut(text string, stages []stage, word func(string)) {
	if len(stages) == 0 {
		word(text)
		return
	}
	for text != "" {
		start, end := stages[0](text)
		if start < 0 {
			cut(text, stages[1:], word)
			return
		}
		if start > 0 {
			cut(text[:start], stages[1:], word)
		}
		cut(text[start:end], stages[1:], word)
		text = text[end:]
	}
}

// begins is the stage of a pattern that matches everywhere: split gives the
// length of the first match.
func begins(split func(string) int) stage {
	return func(s string) (int, int) { return 0, split(s) }
}

// first matches each character of a class.
func first(class func(rune) bool) stage {
	return func(s string) (int, int) {
		for i, r := range s {
			if class(r) {
				_, n := utf8.DecodeRuneInString(s[i:])
				return i, i + n
			}
		}
		return -1, -1
	}
}

// runs matches as many characters of a class as there are.
func runs(class func(rune) bool) stage {
	one := first(class)
	return func(s string) (int, int) {
		start, end := one(s)
		if start >= 0 {
			end += span(s[end:], class)
		}
		return start, end
	}
}

// matches is the stage of a pattern that Go's regexp knows.
func matches(pattern string) stage {
	re := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
	return func(s string) (int, int) {
		at := re().FindStringIndex(s)
		if at == nil {
			return -1, -1
		}
		return at[0], at[1]
	}
}

// digits3 matches [0-9][0-9][0-9].
func digits3(s string) (int, int) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			n = 0
		} else if n++; n == 3 {
			return i - 2, i + 1
		}
	}
	return -1, -1
}

// lastSpaces matches \s+$.
func lastSpaces(s string) (int, int) {
	if start := len(strings.TrimRightFunc(s, unicode.IsSpace)); start < len(s) {
		return start, len(s)
	}
	return -1, -1
}

// isPunctuation is the class [\p{P}\$\+<=>\^~\|] with one character more.
func isPunctuation(more rune) func(rune) bool {
	return func(r rune) bool {
		return unicode.IsPunct(r) || r != 0 && r == more || r < utf8.RuneSelf && strings.ContainsRune("$+<=>^~|", r)
	}
}

// splitLlama is Llama 3's pattern, and with digits 1 Qwen2's:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// (?i:) is taken as ASCII's, as llama.cpp takes it. It returns the length of the
// first word of s, which is not empty, as do the functions below.
func splitLlama(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	r, n := utf8.DecodeRuneInString(s)
	// [^\r\n\p{L}\p{N}]?\p{L}+
	if unicode.IsLetter(r) {
		return n + span(s[n:], unicode.IsLetter)
	}
	if r != '\r' && r != '\n' && !unicode.IsNumber(r) {
		if m := span(s[n:], unicode.IsLetter); m > 0 {
			return n + m
		}
	}
	return splitRest(s, digits, isNewline)
}

// splitRest matches what these patterns have after letters: up to so many
// digits, symbols and what may trail them, newlines, spaces.
func splitRest(s string, digits int, trailing func(rune) bool) int {
	// \p{N}{1,3}
	n := 0
	for range digits {
		r, m := utf8.DecodeRuneInString(s[n:])
		if !unicode.IsNumber(r) {
			break
		}
		n += m
	}
	if n > 0 {
		return n
	}
	// ?[^\s\p{L}\p{N}]+[\r\n]*
	if m := symbols(s); m > 0 {
		return m + span(s[m:], trailing)
	}
	// What is left begins with a space: \s*[\r\n]+ up to the last newline in
	// the run of spaces,
	run := span(s, unicode.IsSpace)
	for i := run - 1; i >= 0; i-- {
		if s[i] == '\r' || s[i] == '\n' {
			return i + 1
		}
	}
	return spaces(s, run)
}

// splitTekken is Mistral's pattern: words end where small letters are followed
// by large ones.
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitTekken(s string) int {
	if _, n := tekkenWord(s); n > 0 {
		return n
	}
	return splitRest(s, 1, func(r rune) bool { return isNewline(r) || r == '/' })
}

var tekkenWord = matches(`^(?:` +
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)`)

// splitGPT2 is GPT-2's pattern:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func splitGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	blank := 0
	if s[0] == ' ' {
		blank = 1
	}
	if n := span(s[blank:], unicode.IsLetter); n > 0 {
		return blank + n
	}
	if n := span(s[blank:], unicode.IsNumber); n > 0 {
		return blank + n
	}
	if n := symbols(s); n > 0 {
		return n
	}
	return spaces(s, span(s, unicode.IsSpace))
}

// contraction returns the length of the English contraction that s begins
// with, 0 if none.
func contraction(s string, foldCase bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	at := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if foldCase && 'A' <= s[i] && s[i] <= 'Z' {
			return s[i] + 'a' - 'A'
		}
		return s[i]
	}
	switch at(1) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if at(2) == 'e' {
			return 3
		}
	case 'l':
		if at(2) == 'l' {
			return 3
		}
	}
	return 0
}

// symbols matches " ?[^\s\p{L}\p{N}]+".
func symbols(s string) int {
	blank := 0
	if s[0] == ' ' {
		blank = 1
	}
	if n := span(s[blank:], isSymbol); n > 0 {
		return blank + n
	}
	return 0
}

// spaces matches "\s+(?!\S)|\s+" where s begins with run bytes of spaces: the
// last space before a word is left to that word.
func spaces(s string, run int) int {
	if run == len(s) {
		return run
	}
	_, last := utf8.DecodeLastRuneInString(s[:run])
	if run > last {
		return run - last
	}
	return run
}

// span returns the length of the longest prefix of s whose characters are all
// in the class.
func span(s string, class func(rune) bool) int {
	for i, r := range s {
		if !class(r) {
			return i
		}
	}
	return len(s)
}

func isNewline(r rune) bool { return r == '\r' || r == '\n' }

func isSymbol(r rune) bool {
	return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}
