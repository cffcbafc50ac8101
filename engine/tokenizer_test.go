package engine

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

func randomModel(t testing.TB, s ggufwrite.Shape) *Model {
	t.Helper()
	m, err := Load(ggufwrite.Random(s).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// llama.cpp's own tests of a vocabulary: texts, and the ids of each on a line.
func TestVocabularies(t *testing.T) {
	for _, name := range []string{"ggml-vocab-gpt-2.gguf", "ggml-vocab-llama-spm.gguf"} {
		t.Run(name, func(t *testing.T) {
			tok, err := OpenTokenizer(dataFile(t, name))
			if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(readFile(t, dataFile(t, name+".inp")), "\n__ggml_vocab_test__\n")
			lines := strings.Split(readFile(t, dataFile(t, name+".out")), "\n")
			if len(texts) < 40 {
				t.Fatalf("%d texts only", len(texts))
			}
			for i, text := range texts {
				var want []int
				for _, f := range strings.Fields(lines[i]) {
					id, err := strconv.Atoi(f)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, id)
				}
				got := tok.Encode(text, false)
				if !slices.Equal(got, want) {
					t.Errorf("%q: %v, want %v", text, got, want)
				}
				if back := tok.Decode(got, false); back != text {
					t.Errorf("%q came back as %q", text, back)
				}
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEncode(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	const bos, note = 262, 267
	tests := []struct {
		text    string
		special bool
		want    []int
	}{
		{"", true, []int{}},
		{"hello", false, []int{259}},
		{"hell", false, []int{258}},
		{"helo", false, []int{256, 'l', 'o'}},
		{" wow", false, []int{261, 'w'}},
		{"hello world", false, []int{259, 261, 'r', 'l', 'd'}},
		{"\xff\x00", false, []int{0xff, 0}},
		{"é", false, []int{0xc3, 0xa9}},
		{"a<|note|>b", true, []int{'a', note, 'b'}},
		{"<|note|><|note|>", true, []int{note, note}},
		{"<|begin_of_text|>hello", true, []int{bos, 259}},
		{"<|note|>", false, []int{'<', '|', 'n', 'o', 't', 'e', '|', '>'}},
	}
	for _, test := range tests {
		if got := tok.Encode(test.text, test.special); !slices.Equal(got, test.want) {
			t.Errorf("Encode(%q, %v) = %v, want %v", test.text, test.special, got, test.want)
		}
	}
	if got := tok.Prompt("hell"); !slices.Equal(got, []int{bos, 258}) {
		t.Errorf("Prompt: %v", got)
	}
	if got := tok.Decode([]int{bos, 259, note, '!', -1, 1 << 20}, true); got != "hello!" {
		t.Errorf("Decode without specials: %q", got)
	}
	if got := tok.Decode([]int{bos, 259, note}, false); got != "<|begin_of_text|>hello<|note|>" {
		t.Errorf("Decode with specials: %q", got)
	}
	if got := tok.Decode([]int{0xe2, 0x82, 'a', 0xe2, 0x82}, false); got != "\ufffda\ufffd" {
		t.Errorf("Decode of half characters: %q", got)
	}
	if got := tok.EOS(); !slices.Equal(got, []int{263, 266}) {
		t.Errorf("EOS: %v", got)
	}
	if tok.Bytes(-1) != nil || tok.Bytes(tok.Size()) != nil || tok.Special(-1) || tok.Special('a') || !tok.Special(note) {
		t.Error("Bytes or Special")
	}
}

// Words that are whole tokens need no merges with Llama 3's tokenizer, and
// control tokens are no words.
func TestUserDefinedTokensAreFoundInPlainText(t *testing.T) {
	f := ggufwrite.Random(ggufwrite.Small)
	types := slices.Clone(get0(f, "tokenizer.ggml.token_type").([]int32))
	types[267] = int32(tokenUserDefined)
	f.Set("tokenizer.ggml.token_type", types)
	m, err := Load(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Tokenizer().Encode("a<|note|>", false); !slices.Equal(got, []int{'a', 267}) {
		t.Errorf("%v", got)
	}
	if m.Tokenizer().Special(267) {
		t.Error("user-defined tokens are text")
	}
}

// The patterns again, independently: Go's regexp for all but the look-ahead.
func TestPretokenizers(t *testing.T) {
	const space = `[\t-\r \x{85}\p{Z}]`
	const symbol = `[^\t-\r \x{85}\p{Z}\p{L}\p{N}]`
	llama3 := regexp.MustCompile(`^(?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?` +
		symbol + `+[\r\n]*|` + space + `*[\r\n]+)`)
	gpt2 := regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?` + symbol + `+)`)
	spaces := regexp.MustCompile(`^` + space + `+`)
	by := func(re *regexp.Regexp, s string) int {
		if m := re.FindString(s); m != "" {
			return len(m)
		}
		run := spaces.FindString(s)
		if _, last := utf8.DecodeLastRuneInString(run); len(run) < len(s) && len(run) > last {
			return len(run) - last
		}
		return len(run)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	alphabet := []string{
		"a", "Z", "s", "'", "'s", "'LL", "'ve", "'Re", "ſ", "é", "한", "界", "ß", "ʰ", "1", "२", "Ⅷ", "½", "_", "-", "!", "😀", "\u0301",
		" ", " ", "  ", "\t", "\n", "\r\n", "\v", "\u00a0", "\u2003", "\u2028", "\u0085", "\u3000", "\u200b", "\x00",
	}
	for range 5000 {
		var b strings.Builder
		for range 1 + rng.IntN(8) {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		for s := b.String(); s != ""; {
			n := splitLlama3(s)
			if want := by(llama3, s); n != want {
				t.Fatalf("Llama 3: %q begins with %q, want %q", s, s[:n], s[:want])
			}
			if n, want := splitGPT2(s), by(gpt2, s); n != want {
				t.Fatalf("GPT-2: %q begins with %q, want %q", s, s[:n], s[:want])
			}
			s = s[n:]
		}
	}
}

// A long word must not take time in its square.
func TestLongWord(t *testing.T) {
	tok := randomModel(t, ggufwrite.Small).Tokenizer()
	ids := tok.Encode(strings.Repeat("hello", 50_000), false)
	if len(ids) != 50_000 {
		t.Errorf("%d tokens", len(ids))
	}
}

func FuzzTokenizer(f *testing.F) {
	bpe := randomModel(f, ggufwrite.Small).Tokenizer()
	spm := smallSPM(f)
	for _, s := range []string{"", "hello world", "<|eot_id|>", "\xff\xe2\x82", "　한국어 1234\r\n\n  x", "a▁b", " <s>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range []*Tokenizer{bpe, spm} {
			for _, special := range []bool{false, true} {
				ids := tok.Encode(text, special)
				for _, id := range ids {
					if id < 0 || id >= tok.Size() || !special && tok.Special(id) {
						t.Fatalf("id %d", id)
					}
				}
				// SentencePiece's mark for a space cannot come back as itself.
				if want := strings.ReplaceAll(text, spaceMark, " "); utf8.ValidString(text) && (tok == bpe || want == text) {
					if back := tok.Decode(ids, false); back != text {
						t.Fatalf("%q came back as %q", text, back)
					}
				}
			}
		}
	})
}

// smallSPM is a SentencePiece tokenizer of bytes and a few words.
func smallSPM(t testing.TB) *Tokenizer {
	t.Helper()
	f := &ggufwrite.File{Version: 3}
	tokens := []string{"<unk>", "<s>", "</s>"}
	types := []int32{2, 3, 3}
	for c := range 256 {
		tokens = append(tokens, "<0x"+strings.ToUpper(strconv.FormatInt(int64(c)+256, 16)[1:])+">")
		types = append(types, 6)
	}
	scores := make([]float32, len(tokens))
	for i, s := range []string{"▁", "a", "b", "<", "s", ">", "ab", "▁a", "<s", "s>", "▁ab"} {
		tokens, types, scores = append(tokens, s), append(types, 1), append(scores, -float32(i))
	}
	f.Set("tokenizer.ggml.model", "llama")
	f.Set("tokenizer.ggml.tokens", tokens)
	f.Set("tokenizer.ggml.token_type", types)
	f.Set("tokenizer.ggml.scores", scores)
	f.Set("tokenizer.ggml.bos_token_id", uint32(1))
	f.Set("tokenizer.ggml.eos_token_id", uint32(2))
	f.Set("tokenizer.ggml.unknown_token_id", uint32(0))
	g, err := readGGUF(f.Bytes(), false)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := newTokenizer(g)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestSPM(t *testing.T) {
	tok := smallSPM(t)
	const first = 3 + 256 // "▁"
	tests := []struct {
		text    string
		special bool
		want    []int
	}{
		{"", false, []int{}},
		{"ab", false, []int{first + 10}},
		{" ab", false, []int{first, first + 10}},
		{"c", false, []int{first, 3 + 'c'}},
		{"é", false, []int{first, 3 + 0xc3, 3 + 0xa9}},
		// Plain text makes no control token, although merges could spell it.
		{"<s>", false, []int{first, first + 8, first + 5}},
		{"<s>a", true, []int{1, first + 7}},
		{"b<s>", true, []int{first, first + 2, 1}},
	}
	for _, test := range tests {
		got := tok.Encode(test.text, test.special)
		if !slices.Equal(got, test.want) {
			t.Errorf("Encode(%q, %v) = %v, want %v", test.text, test.special, got, test.want)
		}
		if back := tok.Decode(got, false); back != test.text {
			t.Errorf("%q came back as %q", test.text, back)
		}
	}
	if got := tok.Prompt("ab"); !slices.Equal(got, []int{1, first + 10}) {
		t.Errorf("Prompt: %v", got)
	}
}
