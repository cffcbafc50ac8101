package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// bpe is byte-level byte-pair encoding: text is cut into words, the bytes of a
// word are merged by rank.
//
// Source: Sennrich et al. 2016; Radford et al. 2019 for the bytes.
type bpe struct {
	pre   pretokenizer
	bytes [256]int               // byte → token, -1: none
	merge map[[2]int32]mergeRule // pair of tokens → rule
	words map[string]int         // whole words that are tokens and need no merges; nil: none
}

type mergeRule struct{ rank, id int32 }

// initBPE reads the merges of a byte-level BPE tokenizer.
func (t *Tokenizer) initBPE(f *modelFile) error {
	b := &bpe{}
	pre, err := get[string](f, "tokenizer.ggml.pre")
	if err != nil {
		return err
	}
	known := false
	if b.pre, known = pretokenizers[pre]; !known {
		return fmt.Errorf("tokenizer: tokenizer.ggml.pre %q is not supported (%s are)",
			pre, strings.Join(slices.Sorted(maps.Keys(pretokenizers))[1:], ", "))
	}
	t.addBOS = b.pre.addBOS

	spell, unspell := byteAlphabet()
	t.pieces = make([][]byte, len(t.tokens))
	for id, text := range t.tokens {
		piece := []byte(text)
		if t.types[id] == tokenNormal || t.types[id] == tokenUnused {
			piece = unspellBytes(text, unspell)
		}
		t.pieces[id] = piece
	}
	for c := range b.bytes {
		id, ok := t.ids[string(spell[c])]
		if !ok {
			// Some vocabularies leave out what no text of theirs had: control
			// characters, the bytes of rare scripts. They are lost.
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f {
				id = -1
			} else {
				return fmt.Errorf("tokenizer: no token for byte %#02x", c)
			}
		}
		b.bytes[c] = id
	}

	merges, err := get[[]string](f, "tokenizer.ggml.merges")
	if err != nil {
		return err
	}
	b.merge = make(map[[2]int32]mergeRule, len(merges))
	for rank, line := range merges {
		left, right, ok := strings.Cut(line, " ")
		l, okL := t.ids[left]
		r, okR := t.ids[right]
		id, okM := t.ids[left+right]
		if !ok || !okL || !okR || !okM {
			return fmt.Errorf("tokenizer: merge %d, %q, is not of two tokens into a third", rank, line)
		}
		pair := [2]int32{int32(l), int32(r)}
		if _, ok := b.merge[pair]; !ok {
			b.merge[pair] = mergeRule{int32(rank), int32(id)}
		}
	}
	if b.pre.ignoreMerges {
		b.words = make(map[string]int, len(t.ids))
		for _, id := range t.ids {
			b.words[string(t.pieces[id])] = id
		}
	}
	t.encode = func(ids []int, text string, _ bool) []int { return b.encode(ids, text) }
	return nil
}

// encode appends the tokens of text.
func (b *bpe) encode(ids []int, text string) []int {
	b.pre.words(text, func(word string) {
		if id, ok := b.words[word]; ok {
			ids = append(ids, id)
		} else if len(word) <= shortWord {
			ids = b.mergeShort(ids, word)
		} else {
			ids = b.mergeLong(ids, word)
		}
	})
	return ids
}

// shortWord is up to how many bytes of a word it is faster to look at every
// pair again after each merge than to keep a queue of them.
const shortWord = 48

// mergeShort appends the tokens of a word of at most shortWord bytes.
func (b *bpe) mergeShort(ids []int, word string) []int {
	const none = math.MaxInt32
	var tokens [shortWord + 1]int32
	var rules [shortWord + 1]mergeRule // of each token and the next
	rule := func(i, n int) mergeRule {
		if i+1 < n {
			if r, ok := b.merge[[2]int32{tokens[i], tokens[i+1]}]; ok {
				return r
			}
		}
		return mergeRule{rank: none}
	}
	n := len(word)
	for i := range n {
		tokens[i] = int32(b.bytes[word[i]])
	}
	for i := range n {
		rules[i] = rule(i, n)
	}
	for {
		best := mergeRule{rank: none}
		at := 0
		for i, r := range rules[:n] {
			if r.rank < best.rank {
				best, at = r, i
			}
		}
		if best.rank == none {
			break
		}
		tokens[at] = best.id
		n--
		copy(tokens[at+1:n], tokens[at+2:])
		copy(rules[at+1:n], rules[at+2:])
		rules[at] = rule(at, n)
		if at > 0 {
			rules[at-1] = rule(at-1, n)
		}
	}
	for _, id := range tokens[:n] {
		if id >= 0 {
			ids = append(ids, int(id))
		}
	}
	return ids
}

// mergeLong appends the tokens of a word of any length.
func (b *bpe) mergeLong(ids []int, word string) []int {
	symbols := make([]symbol, len(word))
	for i := range symbols {
		symbols[i] = symbol{start: i, end: i + 1, id: b.bytes[word[i]]}
	}
	mergeSymbols(symbols, func(left, right symbol) (float64, int, bool) {
		m, ok := b.merge[[2]int32{int32(left.id), int32(right.id)}]
		return float64(m.rank), int(m.id), ok
	})
	for _, s := range symbols {
		if s.start < s.end && s.id >= 0 {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// byteAlphabet returns the printable characters by which vocabularies spell
// bytes, and the reverse.
//
// Source: bytes_to_unicode in GPT-2's encoder.py.
func byteAlphabet() (spell [256]rune, unspell map[rune]byte) {
	unspell = make(map[rune]byte, 256)
	next := rune(256)
	for c := range spell {
		spell[c] = rune(c)
		if c <= ' ' || c >= 0x7f && c <= 0xa0 || c == 0xad {
			spell[c] = next
			next++
		}
		unspell[spell[c]] = byte(c)
	}
	return spell, unspell
}

// unspellBytes returns the bytes of a token; what is no byte's character
// stands for itself.
func unspellBytes(text string, unspell map[rune]byte) []byte {
	piece := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if c, ok := unspell[r]; ok {
			piece = append(piece, c)
		} else {
			piece = append(piece, text[i:i+n]...)
		}
		i += n
	}
	return piece
}
