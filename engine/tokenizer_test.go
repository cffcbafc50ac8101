package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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

// llama.cpp's own tests of a vocabulary, models/ggml-vocab-*.gguf in its
// repository: texts, and the ids of each on a line.
func TestVocabularies(t *testing.T) {
	for _, path := range vocabularies(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if _, err := os.Stat(path + ".inp"); err != nil {
				t.Skip("llama.cpp has no texts for it")
			}
			tok, err := OpenTokenizer(path)
			if err != nil {
				t.Fatal(err)
			}
			testVocabulary(t, tok, path)
		})
	}
}

// vocabularies returns the paths of those of llama.cpp's vocabularies that are
// of our families.
func vocabularies(t *testing.T) []string {
	return slices.DeleteFunc(dataFiles(t, "ggml-vocab-*.gguf"), func(path string) bool {
		return strings.Contains(path, "-bert-") // an encoder's
	})
}

// A vocabulary of another kind, or of a pattern that is not known, is refused.
func TestUnknownVocabularies(t *testing.T) {
	for key, value := range map[string]string{"tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "qwen35"} {
		f := ggufwrite.Random(ggufwrite.Small)
		f.Set(key, value)
		_, err := Load(f.Bytes())
		if want := fmt.Sprintf("%s %q is not supported", key, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A megabyte of text in many scripts comes back as it was.
func TestMixedTextRoundTrip(t *testing.T) {
	text := mixedText(1 << 20)
	toks := map[string]*Tokenizer{"random": randomModel(t, ggufwrite.Small).Tokenizer()}
	if os.Getenv("TOUCHSTONE_DATA") != "" {
		for _, path := range vocabularies(t) {
			tok, err := OpenTokenizer(path)
			if err != nil {
				t.Fatal(err)
			}
			toks[filepath.Base(path)] = tok
		}
	}
	for name, tok := range toks {
		start := time.Now()
		ids := tok.Encode(text, false)
		t.Logf("%s: %d tokens in %v", name, len(ids), time.Since(start).Round(time.Millisecond))
		if tok.Decode(ids, false) != text {
			t.Errorf("%s: the text came back changed", name)
		}
	}
}

// mixedText returns about n bytes of text in many scripts, with spaces and
// symbols of all sorts.
func mixedText(n int) string {
	snippets := []string{
		"The quick brown fox jumps over the lazy dog. ", "I'll say it's DON'T, we've they'RE ", "def f(x):\n\treturn x**2  # 3.14159\n\n",
		"Привет, как дела? Сегодня хорошая погода. ", "今日は天気がいいですね。", "你好，世界！我爱学习语言。", "한국어 문장입니다. 오늘 12월 25일. ",
		"مرحبا بالعالم ١٢٣ ", "हिन्दी पाठ ", "ภาษาไทย", "Ελληνικά και ", "עברית ", "Tiếng Việt có dấu. ", "naïve café Ünïcödé ß ſ ",
		"🦙🚀👩\u200d👩\u200d👧 🏳️\u200d🌈", "1234567890 12 345 ½ Ⅷ ", "a  b   c\t\td\r\n \n\n\n   ", "\u00a0\u3000\u2003x", "<s></s> <|eot_id|> ",
		"e\u0301 \u0958 ", "{\"key\": [1, 2.5, null]}\n", "http://example.org/a?b=c&d=%20 ", "______-----=====!!!???", " ", "\n",
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(snippets[rng.IntN(len(snippets))])
	}
	return b.String()
}

// testVocabulary compares the tokens of path.inp with path.out.
func testVocabulary(t *testing.T, tok *Tokenizer, path string) {
	texts := strings.Split(readFile(t, path+".inp"), "\n__ggml_vocab_test__\n")
	lines := strings.Split(readFile(t, path+".out"), "\n")
	if len(texts) < 40 || len(lines) < len(texts) {
		t.Fatalf("%d texts, %d lines", len(texts), len(lines))
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
	qwen2 := regexp.MustCompile(strings.Replace(llama3.String(), "{1,3}", "", 1))
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
			n := splitLlama(s, 3)
			if want := by(llama3, s); n != want {
				t.Fatalf("Llama 3: %q begins with %q, want %q", s, s[:n], s[:want])
			}
			if n, want := splitLlama(s, 1), by(qwen2, s); n != want {
				t.Fatalf("Qwen2: %q begins with %q, want %q", s, s[:n], s[:want])
			}
			if n, want := splitGPT2(s), by(gpt2, s); n != want {
				t.Fatalf("GPT-2: %q begins with %q, want %q", s, s[:n], s[:want])
			}
			s = s[n:]
		}
	}
}

// Each stage cuts what the one before it left, matches and gaps alike.
func TestPretokenizerStages(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"smollm", "in 2024 it's 10%", []string{"in", " ", "2", "0", "2", "4", " it", "'s", " ", "1", "0", "%"}},
		{"default", "a=b 12345\n", []string{"a", "=", "b", " ", "123", "45", "\n"}},
		{"falcon", "x`y` 1234", []string{"x", "`", "y", "`", " ", "123", "4"}},
		{"deepseek-llm", "Hi 你好, 42  ", []string{"Hi", " ", "你好", ",", " ", "42", "  "}},
		{"tekken", "camelCase HTTPServer 42/\n", []string{"camel", "Case", " HTTPServer", " ", "4", "2", "/\n"}},
		{"qwen2", "I'M 42!!\n\n x", []string{"I", "'M", " ", "4", "2", "!!\n\n", " x"}},
		{"gpt-2", "  two  spaces", []string{" ", " two", " ", " spaces"}},
	} {
		pre := pretokenizers[test.name]
		var got []string
		pre.words(test.text, func(word string) { got = append(got, word) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Words of a few bytes and of many are merged alike, by two ways.
func TestShortAndLongWords(t *testing.T) {
	pair := map[[2]int32]mergeRule{}
	b := &bpe{merge: pair}
	for c := range b.bytes {
		b.bytes[c] = c
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for rank := range 300 { // of a, b, c and what is made of them
		made := func() int32 {
			if rank == 0 || rng.IntN(3) == 0 {
				return int32('a' + rng.IntN(3))
			}
			return int32(256 + rng.IntN(rank))
		}
		pair[[2]int32{made(), made()}] = mergeRule{int32(rank), int32(256 + rank)}
	}
	for range 2000 {
		word := make([]byte, rng.IntN(shortWord+1))
		for i := range word {
			word[i] = byte('a' + rng.IntN(3))
		}
		short, long := b.mergeShort(nil, string(word)), b.mergeLong(nil, string(word))
		if !slices.Equal(short, long) {
			t.Fatalf("%q: %v and %v", word, short, long)
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
