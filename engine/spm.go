package engine

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// spaceMark is how SentencePiece writes a space.
const spaceMark = "▁"

// spm is SentencePiece's BPE: the characters of a text are merged by the scores
// of the tokens that result; what is no token falls back to bytes.
//
// Source: Kudo and Richardson 2018; llama.cpp's llm_tokenizer_spm.
type spm struct {
	ids     map[string]int
	scores  []float32
	bytes   [256]int // byte → token, or unknown
	unknown int      // -1: none; such bytes are lost
	prefix  bool     // text that opens the input or follows a special token gets a space in front
}

// initSPM reads the scores of a SentencePiece tokenizer.
func (t *Tokenizer) initSPM(f *modelFile) error {
	s := &spm{ids: t.ids, prefix: true}
	var err error
	if s.scores, err = get[[]float32](f, "tokenizer.ggml.scores"); err != nil {
		return err
	}
	if len(s.scores) != len(t.tokens) {
		return fmt.Errorf("tokenizer: %d scores for %d tokens", len(s.scores), len(t.tokens))
	}
	if v, ok := f.meta["tokenizer.ggml.add_space_prefix"]; ok {
		if s.prefix, ok = v.(bool); !ok {
			return fmt.Errorf("key %q is not a bool", "tokenizer.ggml.add_space_prefix")
		}
	}
	s.unknown = -1
	if _, ok := f.meta["tokenizer.ggml.unknown_token_id"]; ok {
		if s.unknown, err = f.int("tokenizer.ggml.unknown_token_id", 0, 0, len(t.tokens)-1); err != nil {
			return err
		}
	}
	for c := range s.bytes {
		s.bytes[c] = s.unknown
	}
	t.pieces = make([][]byte, len(t.tokens))
	for id, text := range t.tokens {
		switch t.types[id] {
		case tokenByte:
			digits, _ := strings.CutPrefix(text, "<0x")
			c, err := strconv.ParseUint(strings.TrimSuffix(digits, ">"), 16, 8)
			if err != nil {
				return fmt.Errorf("tokenizer: token %d, %q, is of the type of bytes but names none", id, text)
			}
			s.bytes[c] = id
			t.pieces[id] = []byte{byte(c)}
		case tokenNormal, tokenUnused:
			t.pieces[id] = []byte(strings.ReplaceAll(text, spaceMark, " "))
		default:
			t.pieces[id] = []byte(text)
		}
	}
	t.addBOS = true
	t.spacePrefix = s.prefix
	t.encode = s.encode
	return nil
}

// encode appends the tokens of text.
func (s *spm) encode(ids []int, text string, start bool) []int {
	if s.prefix && start {
		text = " " + text
	}
	text = strings.ReplaceAll(text, " ", spaceMark)
	symbols := make([]symbol, 0, len(text))
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		id, ok := s.ids[text[i:i+n]]
		if !ok {
			id = -1
		}
		symbols = append(symbols, symbol{start: i, end: i + n, id: id})
		i += n
	}
	mergeSymbols(symbols, func(a, b symbol) (float64, int, bool) {
		id, ok := s.ids[text[a.start:b.end]]
		if !ok {
			return 0, 0, false
		}
		return -float64(s.scores[id]), id, true
	})
	for _, y := range symbols {
		if y.start == y.end {
			continue
		}
		if y.id >= 0 {
			ids = append(ids, y.id)
			continue
		}
		for _, c := range []byte(text[y.start:y.end]) {
			if id := s.bytes[c]; id >= 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
