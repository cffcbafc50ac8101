package engine

import (
	"unicode"
	"unicode/utf8"
)

// The patterns by which text is cut into words before merging, written as
// functions because Go's regexp has no look-ahead. Each returns the length of
// the first word of s, which is not empty. A byte that is no UTF-8 counts as a
// symbol, neither letter nor digit nor space.

// splitLlama3 is Llama 3's pattern:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// (?i:) is taken as ASCII's, as llama.cpp takes it.
func splitLlama3(s string) int {
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
	// \p{N}{1,3}
	if unicode.IsNumber(r) {
		for range 2 {
			r, m := utf8.DecodeRuneInString(s[n:])
			if !unicode.IsNumber(r) {
				break
			}
			n += m
		}
		return n
	}
	// ?[^\s\p{L}\p{N}]+[\r\n]*
	if m := symbols(s); m > 0 {
		return m + span(s[m:], isNewline)
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
