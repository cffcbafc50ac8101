package reports

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible makes text of unknown origin safe to show: control characters
// become the pictures that stand for them, characters that turn the direction
// of writing are named, invalid UTF-8 becomes U+FFFD. An endpoint could
// otherwise move the cursor of a terminal, break XML, or show a proof that
// reads differently from what it is. Tabs and line feeds stay.
func visible(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !hidden(r):
			b.WriteRune(r) // an invalid byte ranges as U+FFFD
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune('␡')
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r == '\u2028', r == '\u2029': // line ends to some readers only
		return true
	case r == 0xfffe, r == 0xffff: // not allowed in XML
		return true
	}
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r)
}

// oneLine is visible text without line breaks, for places that have one line.
func oneLine(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.NewReplacer("\n", "⏎", "\t", " ").Replace(strings.TrimSpace(s))
	return visible(s)
}

// excerpt keeps the start and the end of a text that is longer than head+tail
// bytes, and how many bytes are left out between them. Ends matter: a stream
// that went wrong often did so in its last event.
func excerpt(s string, head, tail int) (first string, left int, last string) {
	if len(s) <= head+tail {
		return s, 0, ""
	}
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	from := len(s) - tail
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return s[:head], from - head, s[from:]
}

// short is an excerpt in one string, with a note where text is left out.
func short(s string, limit int) string {
	first, left, last := excerpt(s, limit*3/4, limit/4)
	if left == 0 {
		return first
	}
	return fmt.Sprintf("%s … [%s left out] … %s", first, plural(left, "byte"), last)
}

// columns is how many columns of a terminal a text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// cut shortens a text to so many columns, an ellipsis included.
func cut(s string, width int) string {
	if width <= 0 || columns(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > width-1 {
			return strings.TrimRight(s[:i], " ") + "…"
		}
	}
	return s
}

// runeColumns knows the wide blocks of East Asian scripts and emoji; for the
// rest, one column is right or near enough.
func runeColumns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f,
		r >= 0x2e80 && r <= 0xa4cf,
		r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
