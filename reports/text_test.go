package reports

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain\ttext\n안녕 שלום 🙂", "plain\ttext\n안녕 שלום 🙂"},
		{"a\x00b\x1b[31m\x7f\r", "a␀b␛[31m␡␍"},
		{"\u0085", "⟨U+0085⟩"},
		{"\u202egnp", "⟨U+202E⟩gnp"},
		{"\xed\xa0\x80|\xff", "\ufffd\ufffd\ufffd|\ufffd"},
		{"\ufffe\u2028", "⟨U+FFFE⟩⟨U+2028⟩"},
	} {
		if got := visible(test.in); got != test.want {
			t.Errorf("visible(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got, want := oneLine(" a\r\nb\n\tc\rd "), "a⏎b⏎ c␍d"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"long er", 6, "long…"},
		{"안녕하세요", 10, "안녕하세요"},
		{"안녕하세요", 9, "안녕하세…"},
		{"안녕하세요", 8, "안녕하…"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"},
		{"any", 0, "any"},
	} {
		got := cut(test.in, test.width)
		if got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.in, test.width, got, test.want)
		}
	}
}

func TestExcerptKeepsCharactersWhole(t *testing.T) {
	s := strings.Repeat("é안🙂", 50)
	for head := range 20 {
		for tail := range 20 {
			first, left, last := excerpt(s, head, tail)
			if !utf8.ValidString(first) || !utf8.ValidString(last) {
				t.Fatalf("excerpt(%d, %d) cuts a character", head, tail)
			}
			if len(first)+left+len(last) != len(s) {
				t.Fatalf("excerpt(%d, %d) leaves out %d bytes, and keeps %d of %d", head, tail, left, len(first)+len(last), len(s))
			}
		}
	}
}
