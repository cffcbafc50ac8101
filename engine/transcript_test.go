package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// Ids of the random model: a byte is its own id.
const (
	idHell, idHello, idEOS, idEOT, idNote = 258, 259, 263, 266, 267
)

// script feeds ids to a transcript until the choice ends, and returns all that
// it said, as one choice and as the texts of the steps.
func script(t *testing.T, tok *Tokenizer, r Request, ids []int) (Choice, []string) {
	t.Helper()
	if r.MaxTokens == 0 {
		r.MaxTokens = len(ids)
	}
	logp := make([]float64, tok.Size())
	for i := range logp {
		logp[i] = -float64(i)
	}
	out := newTranscript(tok, &r)
	var texts []string
	steps := func(yield func(Step, error) bool) {
		for _, id := range ids {
			s := out.accept(id, logp)
			texts = append(texts, s.Text)
			if !utf8.ValidString(s.Text) {
				t.Fatalf("half a character: %q", s.Text)
			}
			if !yield(s, nil) || s.Finish != "" {
				return
			}
		}
	}
	c, err := Collect(steps, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c[0], texts
}

func bytesOf(s string) (ids []int) {
	for _, c := range []byte(s) {
		ids = append(ids, int(c))
	}
	return ids
}

func TestTranscript(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	tests := []struct {
		name   string
		r      Request
		ids    []int
		text   string
		tokens string // the texts of the tokens, each in brackets
		finish FinishReason
		used   int // tokens generated
	}{
		{"length", Request{}, bytesOf("abc"), "abc", "[a][b][c]", FinishLength, 3},
		{"EOS leaves no trace", Request{MaxTokens: 9}, []int{'a', idEOS}, "a", "[a]", FinishStop, 2},
		{"end of turn", Request{MaxTokens: 9}, []int{idEOT}, "", "", FinishStop, 1},
		{"EOS on the last permitted token", Request{}, []int{'a', idEOS}, "a", "[a]", FinishStop, 2},
		{"EOS shown", Request{KeepSpecialTokens: true}, []int{'a', idEOS}, "a<|end_of_text|>", "[a][<|end_of_text|>]", FinishStop, 2},
		{"EOS ignored", Request{IgnoreEOS: true}, []int{'a', idEOS, 'b'}, "ab", "[a][][b]", FinishLength, 3},
		{"EOS ignored and shown", Request{IgnoreEOS: true, KeepSpecialTokens: true}, []int{'a', idEOS, 'b'}, "a<|end_of_text|>b", "[a][<|end_of_text|>][b]", FinishLength, 3},
		{"special in the middle", Request{}, []int{'a', idNote, 'b'}, "ab", "[a][][b]", FinishLength, 3},
		{"stop token stays", Request{MaxTokens: 9, StopTokenIDs: []int{'b'}}, bytesOf("abc"), "ab", "[a][b]", FinishStop, 2},
		{"special stop token goes", Request{MaxTokens: 9, StopTokenIDs: []int{idNote}}, []int{'a', idNote}, "a", "[a]", FinishStop, 2},
		{"stop tokens of no vocabulary", Request{StopTokenIDs: []int{-1, 1 << 30}}, bytesOf("ab"), "ab", "[a][b]", FinishLength, 2},
		{"EOS ignored but a stop token", Request{MaxTokens: 9, IgnoreEOS: true, StopTokenIDs: []int{idEOS}}, []int{'a', idEOS}, "a", "[a]", FinishStop, 2},
		{"EOS before min_tokens", Request{MaxTokens: 9, MinTokens: 3}, []int{'a', idEOS, 'b', idEOS}, "ab", "[a][][b]", FinishStop, 4},
		{"stop token before min_tokens", Request{MaxTokens: 9, MinTokens: 2, StopTokenIDs: []int{'a'}}, bytesOf("aba"), "aba", "[a][b][a]", FinishStop, 3},
		{"stop string before min_tokens", Request{MaxTokens: 9, MinTokens: 3, Stop: []string{"b"}}, bytesOf("abcdb"), "abcd", "[a][b][c][d]", FinishStop, 5},
		{"stop string across min_tokens", Request{MaxTokens: 9, MinTokens: 3, Stop: []string{"bcd"}}, bytesOf("abcd"), "a", "[a]", FinishStop, 4},
		{"a short stop string in one that has begun before min_tokens", Request{MaxTokens: 9, MinTokens: 4, Stop: []string{"abcd", "bc"}}, bytesOf("abcxbc"), "abcx", "[a][b][c][x]", FinishStop, 6},
		{"stop string at min_tokens", Request{MaxTokens: 9, MinTokens: 3, Stop: []string{"c"}}, bytesOf("abc"), "ab", "[a][b]", FinishStop, 3},
		{"stop string", Request{MaxTokens: 9, Stop: []string{"c"}}, bytesOf("abcd"), "ab", "[a][b]", FinishStop, 3},
		{"across tokens", Request{MaxTokens: 9, Stop: []string{"bcd"}}, bytesOf("abcde"), "a", "[a]", FinishStop, 4},
		{"inside a token", Request{MaxTokens: 9, Stop: []string{"ell"}}, []int{'a', idHello, 'b'}, "ah", "[a][hello]", FinishStop, 2},
		{"from a token's middle on", Request{MaxTokens: 9, Stop: []string{"lo!"}}, []int{idHello, '!'}, "hel", "[hello]", FinishStop, 2},
		{"at the very start", Request{MaxTokens: 9, Stop: []string{"he"}}, []int{idHello, '!'}, "", "", FinishStop, 1},
		{"completed by the last permitted token", Request{Stop: []string{"bc"}}, bytesOf("abc"), "a", "[a]", FinishStop, 3},
		{"begun but never completed", Request{Stop: []string{"bcd"}}, bytesOf("abc"), "abc", "[a][b][c]", FinishLength, 3},
		{"begun before EOS", Request{MaxTokens: 9, Stop: []string{"bcd"}}, []int{'a', 'b', idEOS}, "ab", "[a][b]", FinishStop, 3},
		{"the one that begins first", Request{MaxTokens: 9, Stop: []string{"lo", "ell"}}, []int{idHello}, "h", "[hello]", FinishStop, 1},
		{"the one that begins first, though it ends later", Request{MaxTokens: 9, Stop: []string{"bc", "abcd"}}, bytesOf("xabcd"), "x", "[x]", FinishStop, 5},
		{"which is not completed", Request{MaxTokens: 9, Stop: []string{"bc", "abcd"}}, bytesOf("xabce"), "xa", "[x][a]", FinishStop, 5},
		{"which is cut off by max_tokens", Request{Stop: []string{"bc", "abcd"}}, bytesOf("xabc"), "xa", "[x][a]", FinishStop, 4},
		{"which is cut off by EOS", Request{MaxTokens: 9, Stop: []string{"bc", "abcd"}}, append(bytesOf("xabc"), idEOS), "xa", "[x][a]", FinishStop, 5},
		{"false start", Request{Stop: []string{"aab"}}, bytesOf("aaab"), "a", "[a]", FinishStop, 4},
		{"case counts", Request{Stop: []string{"B"}}, bytesOf("abc"), "abc", "[a][b][c]", FinishLength, 3},
		{"across a hidden special", Request{MaxTokens: 9, Stop: []string{"ab"}}, []int{'x', 'a', idNote, 'b'}, "x", "[x]", FinishStop, 4},
		{"in a stop token's text", Request{MaxTokens: 9, Stop: []string{"lo"}, StopTokenIDs: []int{idHello}}, []int{idHello}, "hel", "[hello]", FinishStop, 1},
		{"characters of several tokens", Request{}, bytesOf("é한!"), "é한!", "[][é][][][한][!]", FinishLength, 6},
		{"stop string of such", Request{MaxTokens: 9, Stop: []string{"한"}}, bytesOf("é한!"), "é", "[][é]", FinishStop, 5},
		{"half a character at the end", Request{}, []int{'a', 0xe2, 0x82}, "a\ufffd", "[a][][\ufffd]", FinishLength, 3},
		{"half a character before EOS", Request{MaxTokens: 9}, []int{0xe2, 0x82, idEOS}, "\ufffd", "[][\ufffd]", FinishStop, 3},
		{"half a character before a hidden special", Request{}, []int{0xe2, idNote}, "\ufffd", "[\ufffd][]", FinishLength, 2},
		{"half a character, then another", Request{}, []int{0xe2, 0x82, 'a', 0xff}, "\ufffda\ufffd", "[][][\ufffda][\ufffd]", FinishLength, 4},
		{"a character around a hidden special", Request{}, []int{0xc3, idNote, 0xa9}, "é", "[][][é]", FinishLength, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, _ := script(t, tok, test.r, test.ids)
			var tokens strings.Builder
			for _, k := range c.Tokens {
				fmt.Fprintf(&tokens, "[%s]", k.Text)
			}
			if c.Text != test.text || tokens.String() != test.tokens || c.Finish != test.finish || c.Generated != test.used {
				t.Errorf("text %q, tokens %s, finish %q, %d generated; want %q, %s, %q, %d",
					c.Text, &tokens, c.Finish, c.Generated, test.text, test.tokens, test.finish, test.used)
			}
			checkOffsets(t, c)
		})
	}
}

// checkOffsets sees that the texts of the tokens join to the text, but for what
// was cut in the last of them, and that each begins at its offset.
func checkOffsets(t *testing.T, c Choice) {
	t.Helper()
	var text string
	for i, k := range c.Tokens {
		if n := utf8.RuneCountInString(text); k.Offset != n {
			t.Errorf("token %d, %q, has offset %d, want %d", i, k.Text, k.Offset, n)
		}
		text += k.Text
	}
	if !strings.HasPrefix(text, c.Text) {
		t.Errorf("tokens make %q, the text is %q", text, c.Text)
	}
}

// Whatever the tokens and the stop strings: the steps join to the text that ends
// before the stop string that begins first in the whole; no step shows a part of
// it; and cutting the same bytes into other tokens changes nothing.
func TestStopStringsProperty(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	rng := rand.New(rand.NewPCG(2, 3))
	pick := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString([]string{"h", "e", "l", "lo", "hello", "é", "w"}[rng.IntN(7)])
		}
		return b.String()
	}
	for range 5000 {
		whole := pick(1 + rng.IntN(12))
		var stops []string
		for range rng.IntN(4) {
			stops = append(stops, pick(1+rng.IntN(3)))
		}
		want, finish := whole, FinishLength
		for _, s := range stops {
			if i := strings.Index(whole, s); i >= 0 && i <= len(want) {
				want, finish = whole[:i], FinishStop
			}
		}
		for _, ids := range [][]int{bytesOf(whole), tok.Encode(whole, false)} {
			c, texts := script(t, tok, Request{Stop: stops}, ids)
			if c.Text != want || c.Finish != finish {
				t.Fatalf("%q with stops %q: %q %s, want %q %s", whole, stops, c.Text, c.Finish, want, finish)
			}
			shown := ""
			for _, s := range texts {
				if shown += s; !strings.HasPrefix(want, shown) {
					t.Fatalf("%q with stops %q showed %q", whole, stops, shown)
				}
			}
			checkOffsets(t, c)
		}
	}
}

// Any bytes in any cuts decode as the Unicode Standard recommends, which is what
// Python's errors="replace" gives too.
func TestUTF8Decoder(t *testing.T) {
	tests := map[string]string{
		"":                         "",
		"a\xc3\xa9":                "aé",
		"\xe2\x82":                 "\ufffd",
		"\xe2\x82a":                "\ufffda",
		"\xf0\x9f\x98\x80":         "😀",
		"\xf0\x9f\x98":             "\ufffd",
		"\xf0\x80\x80\x41":         "\ufffd\ufffd\ufffdA",
		"\xed\xa0\x80":             "\ufffd\ufffd\ufffd",
		"\xf1\x80\x80\xe1\x80\xc2": "\ufffd\ufffd\ufffd",
		"\xc0\xaf\xe0\x80\xbf":     "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"\xf4\x91\x92\x93\xff":     "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"\ufffd":                   "\ufffd",
	}
	for in, want := range tests {
		for cut := range len(in) + 1 {
			for second := cut; second <= len(in); second++ {
				var d utf8Decoder
				got := d.write([]byte(in[:cut])) + d.write([]byte(in[cut:second])) + d.write([]byte(in[second:])) + d.flush()
				if got != want {
					t.Errorf("%q cut at %d and %d: %q, want %q", in, cut, second, got, want)
				}
			}
		}
	}
}

// Forks go their own ways.
func TestTranscriptFork(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	logp := make([]float64, tok.Size())
	r := &Request{MaxTokens: 9, Stop: []string{"xyz"}}
	a := newTranscript(tok, r)
	for _, id := range []int{'x', 'y', 0xc3} {
		if s := a.accept(id, logp); id == 'x' && s.Text != "" {
			t.Errorf("%q leaked", s.Text)
		}
	}
	b := a.fork()
	sa, sb := a.accept(0xa9, logp), b.accept(0xa8, logp)
	if sa.Text != "xyé" || sb.Text != "xyè" || sa.Tokens[3].Text != "é" || sb.Tokens[3].Text != "è" {
		t.Errorf("%+v %+v", sa, sb)
	}
}
