package engine

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Info is what a model file holds. It is made for people to look at; models are
// run by [Open].
type Info struct {
	Files    []string `json:"files"`
	Format   string   `json:"format"`  // "gguf" or "safetensors"
	Bytes    int64    `json:"bytes"`   // of the files
	Problem  string   `json:"problem"` // why the engine cannot run it, "" if it can
	Config   Config   `json:"config"`  // as far as it could be read
	KVBytes  int64    `json:"kv_bytes_per_token"`
	Metadata []Meta   `json:"metadata"` // by key
	// Tensors are in the order of the layers; Types sums them up, the largest first.
	Tensors   []TensorInfo   `json:"tensors"`
	Types     []TypeInfo     `json:"types"`
	Tokenizer *TokenizerInfo `json:"tokenizer"` // nil if it cannot be read
	// ChatFormat names the format of chats; "" is the file's own template.
	ChatFormat   string `json:"chat_format"`
	ChatTemplate string `json:"chat_template"` // as in the file
}

// Meta is a key of the file. Of arrays the value is a summary.
type Meta struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// TensorInfo describes a tensor.
type TensorInfo struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"` // the contiguous dimension first, as in GGUF
	Bytes int64  `json:"bytes"`
}

// TypeInfo sums up the tensors of a type.
type TypeInfo struct {
	Type     string `json:"type"`
	Tensors  int    `json:"tensors"`
	Elements int64  `json:"elements"`
	Bytes    int64  `json:"bytes"`
}

// TokenizerInfo describes a tokenizer.
type TokenizerInfo struct {
	Model   string   `json:"model"` // "gpt2" (byte-level BPE) or "llama" (SentencePiece)
	Pre     string   `json:"pre"`   // pre-tokenizer, of BPE
	Tokens  int      `json:"tokens"`
	Special int      `json:"special"`
	AddBOS  bool     `json:"add_bos"`
	BOS     string   `json:"bos"` // "" for none
	EOS     []string `json:"eos"` // all that end a generation
}

// Inspect reads the file at path as [Open] does, and goes on where a model of
// another kind has what the engine does not know.
func Inspect(path string) (*Info, error) {
	f, release, err := openFile(path, true)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer release()
	info := inspect(f)
	for _, file := range f.files {
		if stat, err := os.Stat(file); err == nil {
			info.Bytes += stat.Size()
		}
	}
	return info, nil
}

// InspectData is [Inspect] for a GGUF file in memory.
func InspectData(gguf []byte) (*Info, error) {
	f, err := readGGUF(gguf, true)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	info := inspect(f)
	info.Bytes = int64(len(gguf))
	return info, nil
}

func inspect(f *modelFile) *Info {
	info := &Info{Files: f.files, Format: f.format}
	for key, value := range f.meta {
		info.Metadata = append(info.Metadata, Meta{key, summary(value)})
	}
	slices.SortFunc(info.Metadata, func(a, b Meta) int { return strings.Compare(a.Key, b.Key) })

	types := map[tensorType]*TypeInfo{}
	for _, t := range f.tensors {
		info.Tensors = append(info.Tensors, TensorInfo{t.name, t.typ.String(), t.shape, int64(len(t.data))})
		s := types[t.typ]
		if s == nil {
			s = &TypeInfo{Type: t.typ.String()}
			types[t.typ] = s
		}
		n := int64(1)
		for _, d := range t.shape {
			n *= int64(d)
		}
		s.Tensors, s.Elements, s.Bytes = s.Tensors+1, s.Elements+n, s.Bytes+int64(len(t.data))
	}
	for _, s := range types {
		info.Types = append(info.Types, *s)
	}
	slices.SortFunc(info.Types, func(a, b TypeInfo) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Type, b.Type))
	})
	slices.SortFunc(info.Tensors, func(a, b TensorInfo) int { return naturally(a.Name, b.Name) })

	if t, err := newTokenizer(f); err == nil {
		info.Tokenizer = t.info(f)
		info.Config.VocabSize = t.Size()
	}
	info.ChatTemplate, _ = get[string](f, "tokenizer.chat_template")
	m, err := describe(f)
	if err == nil {
		info.ChatFormat = m.ChatFormat()
		_, err = takeWeights(f, &m.config, nil)
		info.Config = m.config
	} else if c, err := readConfig(f); err == nil {
		c.VocabSize = info.Config.VocabSize
		info.Config = c
	}
	if err != nil {
		info.Problem = f.format + ": " + err.Error()
	}
	c := info.Config
	info.KVBytes = 2 * 2 * int64(c.Layers) * int64(c.KVHeads) * int64(c.HeadDim)
	return info
}

func (t *Tokenizer) info(f *modelFile) *TokenizerInfo {
	i := &TokenizerInfo{Tokens: t.Size(), AddBOS: t.addBOS, EOS: []string{}}
	i.Model, _ = get[string](f, "tokenizer.ggml.model")
	if i.Model == "gpt2" {
		i.Pre, _ = get[string](f, "tokenizer.ggml.pre")
	}
	for id := range t.tokens {
		if t.Special(id) {
			i.Special++
		}
	}
	if t.bos >= 0 {
		i.BOS = t.tokens[t.bos]
	}
	for _, id := range t.eos {
		i.EOS = append(i.EOS, t.tokens[id])
	}
	return i
}

// summary is value, or the length of an array.
func summary(value any) any {
	n := 0
	switch v := value.(type) {
	case []string:
		n = len(v)
	case []int32:
		n = len(v)
	case []float32:
		n = len(v)
	case nil:
		return "array"
	default:
		return value
	}
	return fmt.Sprintf("array of %d", n)
}

// naturally compares names so that "blk.2" stands before "blk.10".
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, nb := span(a, unicode.IsDigit), span(b, unicode.IsDigit)
		if na > 0 && nb > 0 {
			x, errX := strconv.ParseUint(a[:na], 10, 64)
			y, errY := strconv.ParseUint(b[:nb], 10, 64)
			if errX == nil && errY == nil && x != y {
				return cmp.Compare(x, y)
			}
			if errX == nil && errY == nil {
				a, b = a[na:], b[nb:]
				continue
			}
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}
