package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Tokenizer turns text into tokens and back. It is read from the metadata of
// a GGUF file and safe for concurrent use.
//
// Two families are known: byte-level BPE (tokenizer.ggml.model "gpt2", of
// Llama 3 and GPT-2) and SentencePiece (model "llama", of Llama 2).
type Tokenizer struct {
	tokens []string       // id → text as the file spells it
	types  []tokenType    // id → kind
	pieces [][]byte       // id → the bytes it stands for
	ids    map[string]int // text → id, of the tokens that text may become
	bos    int            // -1: none
	eos    []int          // ids that end a generation
	eosID  int            // the one that the file calls eos, -1: none
	addBOS bool

	// Special tokens, longest text first: the order in which they are sought.
	specials []int

	// encode appends the tokens of text that holds no special token. start
	// says that text opens the input or follows a special token.
	encode func(ids []int, text string, start bool) []int
	// spacePrefix: encode puts a space in front of such text (SentencePiece).
	spacePrefix bool
}

// A tokenType is the kind of a token, as numbered in tokenizer.ggml.token_type.
type tokenType int32

const (
	tokenNormal      tokenType = 1
	tokenUnknown     tokenType = 2
	tokenControl     tokenType = 3
	tokenUserDefined tokenType = 4 // found in plain text too, before all others
	tokenUnused      tokenType = 5
	tokenByte        tokenType = 6 // <0xNN>, SentencePiece's fallback
)

// Texts of control tokens that end a generation in some model family, even
// where the metadata names only one of them (as in llama.cpp's vocabulary).
var endTexts = []string{
	"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "<|end|>",
	"<|endoftext|>", "<end_of_turn>", "</s>", "<EOT>",
}

// OpenTokenizer reads the tokenizer of the GGUF file at path; the file need not
// hold a model that this engine can run.
func OpenTokenizer(path string) (*Tokenizer, error) {
	f, release, err := openFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer release()
	t, err := newTokenizer(f)
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %s: %w", path, f.format, err)
	}
	return t, nil
}

// newTokenizer reads the tokenizer.ggml keys of f.
func newTokenizer(f *modelFile) (*Tokenizer, error) {
	tokens, err := get[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("key %q is missing or empty", "tokenizer.ggml.tokens")
	}
	types, err := get[[]int32](f, "tokenizer.ggml.token_type")
	if err != nil {
		return nil, err
	}
	if types != nil && len(types) != len(tokens) {
		return nil, fmt.Errorf("tokenizer: %d token types for %d tokens", len(types), len(tokens))
	}
	t := &Tokenizer{
		tokens: tokens,
		types:  make([]tokenType, len(tokens)),
		ids:    make(map[string]int, len(tokens)),
	}
	for id := range tokens {
		t.types[id] = tokenNormal
		if types != nil {
			t.types[id] = tokenType(types[id])
		}
	}
	if err := t.initSpecials(f); err != nil {
		return nil, err
	}
	for id, text := range tokens {
		switch t.types[id] {
		case tokenNormal, tokenUnused, tokenUserDefined:
			// A control token never comes out of plain text.
			if _, ok := t.ids[text]; !ok {
				t.ids[text] = id
			}
		}
	}

	model, err := get[string](f, "tokenizer.ggml.model")
	if err != nil {
		return nil, err
	}
	switch model {
	case "gpt2":
		err = t.initBPE(f)
	case "llama":
		err = t.initSPM(f)
	default:
		err = fmt.Errorf("tokenizer: tokenizer.ggml.model %q is not supported (gpt2 and llama are)", model)
	}
	if err != nil {
		return nil, err
	}
	if v, ok := f.meta["tokenizer.ggml.add_bos_token"]; ok {
		if t.addBOS, ok = v.(bool); !ok {
			return nil, fmt.Errorf("key %q is not a bool", "tokenizer.ggml.add_bos_token")
		}
	}
	return t, nil
}

// initSpecials finds the tokens that begin and end a text, and all that are
// sought as wholes.
func (t *Tokenizer) initSpecials(f *modelFile) error {
	id := func(key string) (int, error) {
		if v, ok := f.meta[key].(uint32); ok && v == 1<<32-1 {
			return -1, nil // how converters write "none"
		}
		if _, ok := f.meta[key]; !ok {
			return -1, nil
		}
		return f.int(key, 0, 0, len(t.tokens)-1)
	}
	var err error
	if t.bos, err = id("tokenizer.ggml.bos_token_id"); err != nil {
		return err
	}
	for _, key := range []string{"eos", "eot", "eom"} {
		e, err := id("tokenizer.ggml." + key + "_token_id")
		if err != nil {
			return err
		}
		if key == "eos" {
			t.eosID = e
		}
		if e >= 0 {
			t.eos = append(t.eos, e)
		}
	}
	more, err := get[[]int32](f, "tokenizer.ggml.eos_token_ids")
	if err != nil {
		return err
	}
	for _, e := range more {
		if e >= 0 && int(e) < len(t.tokens) {
			t.eos = append(t.eos, int(e))
		}
	}
	for id, text := range t.tokens {
		if t.types[id] == tokenControl && slices.Contains(endTexts, text) {
			t.eos = append(t.eos, id)
		}
	}
	slices.Sort(t.eos)
	t.eos = slices.Compact(t.eos)
	// Some files do not mark them.
	for _, id := range append([]int{t.bos}, t.eos...) {
		if id >= 0 && t.types[id] != tokenUnknown {
			t.types[id] = tokenControl
		}
	}
	for id, text := range t.tokens {
		switch t.types[id] {
		case tokenControl, tokenUnknown, tokenUserDefined:
			if text != "" {
				t.specials = append(t.specials, id)
			}
		}
	}
	slices.SortStableFunc(t.specials, func(a, b int) int {
		return cmp.Compare(len(t.tokens[b]), len(t.tokens[a]))
	})
	return nil
}

// Encode returns the tokens of text, without BOS. With special, the names of
// special tokens in text ("<|eot_id|>") become those tokens; else they are
// plain text. Bytes that are no UTF-8 keep their value where the vocabulary
// has bytes, as all that we know have.
func (t *Tokenizer) Encode(text string, special bool) []int {
	ids := make([]int, 0, len(text)/3+1)
	start := true
	for _, p := range t.partition(text, special) {
		if p.id >= 0 {
			ids, start = append(ids, p.id), true
		} else {
			ids, start = t.encode(ids, p.text, start), false
		}
	}
	return ids
}

// A part of a text is a special token, or else plain text.
type part struct {
	id   int // -1: plain
	text string
}

// partition cuts text at special tokens. Longer ones are sought first and
// anywhere, as llama.cpp does it. Without special only the tokens that their
// model's author added to plain text ("user defined") are sought.
func (t *Tokenizer) partition(text string, special bool) []part {
	if text == "" {
		return nil
	}
	parts := []part{{-1, text}}
	for _, id := range t.specials {
		name := t.tokens[id]
		if !special && t.types[id] != tokenUserDefined || !strings.Contains(text, name) {
			continue
		}
		var next []part
		for _, p := range parts {
			for p.id < 0 {
				before, after, found := strings.Cut(p.text, name)
				if !found {
					break
				}
				if before != "" {
					next = append(next, part{-1, before})
				}
				next = append(next, part{id, name})
				p.text = after
			}
			if p.text != "" {
				next = append(next, p)
			}
		}
		parts = next
	}
	return parts
}

// Prompt is Encode(text, false) with BOS in front when the model asks for it.
func (t *Tokenizer) Prompt(text string) []int {
	return t.withBOS(t.Encode(text, false))
}

// withBOS puts BOS in front of ids when the model asks for it and it is not
// there already.
func (t *Tokenizer) withBOS(ids []int) []int {
	if !t.addBOS || t.bos < 0 || len(ids) > 0 && ids[0] == t.bos {
		return ids
	}
	return slices.Insert(ids, 0, t.bos)
}

// Decode returns the text of ids, such that Decode(Encode(s, …), false) is s
// for any s of valid UTF-8. Bytes that are not UTF-8 become U+FFFD.
// Ids outside the vocabulary stand for nothing.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	var b strings.Builder
	var d utf8Decoder
	prefixed := t.spacePrefix
	for _, id := range ids {
		special := t.Special(id)
		if special && skipSpecial {
			prefixed = t.spacePrefix
			continue
		}
		piece := t.Bytes(id)
		whole := special || id >= 0 && id < len(t.types) && t.types[id] == tokenUserDefined // sought as a whole
		if prefixed && !whole && len(piece) > 0 && piece[0] == ' ' {
			piece = piece[1:] // the space that encoding put there
		}
		prefixed = whole && t.spacePrefix
		b.WriteString(d.write(piece))
	}
	b.WriteString(d.flush())
	return b.String()
}

// Bytes returns the bytes that id stands for, perhaps part of a character, or
// the name of a special token; nil outside the vocabulary. The caller must not
// change them.
func (t *Tokenizer) Bytes(id int) []byte {
	if id < 0 || id >= len(t.pieces) {
		return nil
	}
	return t.pieces[id]
}

// text returns what Bytes(id) is as text by itself.
func (t *Tokenizer) text(id int) string {
	piece := t.Bytes(id)
	if utf8.Valid(piece) {
		return string(piece)
	}
	var d utf8Decoder
	return d.write(piece) + d.flush()
}

// Special says whether id is a control token (the unknown token, BOS and EOS
// are), which skip_special_tokens hides.
func (t *Tokenizer) Special(id int) bool {
	return id >= 0 && id < len(t.types) && (t.types[id] == tokenControl || t.types[id] == tokenUnknown)
}

// EOS returns the ids that end a generation (end of sequence, of turn, of
// message), ascending. The caller must not change them.
func (t *Tokenizer) EOS() []int { return t.eos }

// Size returns the number of tokens.
func (t *Tokenizer) Size() int { return len(t.tokens) }
