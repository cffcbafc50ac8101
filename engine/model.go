package engine

import (
	"fmt"
	"math"
	"sync"
)

// Config is the shape of a model, read from its file.
type Config struct {
	Name          string  // general.name, "" if the file has none
	Architecture  string  // "llama"
	ContextLength int     // tokens of prompt and answer together
	VocabSize     int     // tokens
	Layers        int     // transformer blocks
	Dim           int     // width of the residual stream
	Heads         int     // query heads
	KVHeads       int     // key and value heads; divides Heads
	HeadDim       int     // width of a head
	FFN           int     // width of the feed-forward layer
	RopeDim       int     // how many dimensions of a head are rotated
	RopeTheta     float64 // base of the rotary frequencies
	NormEpsilon   float64 // of RMSNorm
	Parameters    int64   // weights in the file
	TiedOutput    bool    // the output matrix is the embedding
}

// A Model is a loaded GGUF file of the llama architecture. It is read-only and
// safe for concurrent use.
type Model struct {
	config    Config
	tokenizer *Tokenizer
	weights   *weights
	chat      func() (*chatTemplate, error) // compiled at first use
	scratch   sync.Pool                     // of *scratch
	release   func() error
}

// Open maps the GGUF file at path into memory. The file must not change before
// [Model.Close].
func Open(path string) (*Model, error) {
	data, release, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	m, err := load(data)
	if err != nil {
		release()
		return nil, fmt.Errorf("engine: %s: %w", path, err)
	}
	m.release = release
	return m, nil
}

// Load reads a GGUF file that is in memory already; it must not change while
// the model is in use.
func Load(gguf []byte) (*Model, error) {
	m, err := load(gguf)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return m, nil
}

func load(data []byte) (*Model, error) {
	f, err := readGGUF(data, true)
	if err != nil {
		return nil, err
	}
	m := &Model{release: func() error { return nil }}
	if m.config, err = readConfig(f); err != nil {
		return nil, err
	}
	if m.tokenizer, err = newTokenizer(f); err != nil {
		return nil, err
	}
	m.config.VocabSize = m.tokenizer.Size()
	if m.weights, err = readWeights(f, &m.config); err != nil {
		return nil, err
	}
	source, err := get[string](f, "tokenizer.chat_template")
	if err != nil {
		return nil, err
	}
	m.chat = sync.OnceValues(func() (*chatTemplate, error) { return newChatTemplate(source, m.tokenizer) })
	m.scratch.New = func() any { return newScratch(&m.config) }
	return m, nil
}

// readConfig reads the llama keys of f.
func readConfig(f *ggufFile) (c Config, err error) {
	if c.Architecture, err = get[string](f, "general.architecture"); err != nil {
		return c, err
	}
	if c.Architecture != "llama" {
		return c, fmt.Errorf("gguf: general.architecture %q is not supported (llama is)", c.Architecture)
	}
	if c.Name, err = get[string](f, "general.name"); err != nil {
		return c, err
	}
	integer := func(key string, def, most int) int {
		if err != nil {
			return 0
		}
		var n int
		n, err = f.int("llama."+key, def, 1, most)
		return n
	}
	number := func(key string, def float64) float64 {
		if err != nil {
			return 0
		}
		var x float64
		if x, err = f.float("llama."+key, def); err == nil && x <= 0 {
			err = fmt.Errorf("gguf: key %q: %g is not above 0", "llama."+key, x)
		}
		return x
	}
	c.ContextLength = integer("context_length", 0, 1<<24)
	c.Layers = integer("block_count", 0, 1<<12)
	c.Dim = integer("embedding_length", 0, 1<<20)
	c.FFN = integer("feed_forward_length", 0, 1<<20)
	c.Heads = integer("attention.head_count", 0, 1<<12)
	c.KVHeads = integer("attention.head_count_kv", c.Heads, 1<<12)
	c.HeadDim = integer("attention.key_length", max(c.Dim, 1)/max(c.Heads, 1), 1<<12)
	values := integer("attention.value_length", c.HeadDim, 1<<12)
	c.RopeDim = integer("rope.dimension_count", c.HeadDim, 1<<12)
	c.RopeTheta = number("rope.freq_base", 10000)
	c.NormEpsilon = number("attention.layer_norm_rms_epsilon", 1e-5)
	if err != nil {
		return c, err
	}
	scaling, err := get[string](f, "llama.rope.scaling.type")
	if err != nil {
		return c, err
	}
	for _, key := range []string{"llama.rope.scaling.factor", "llama.rope.scale_linear"} {
		factor, ferr := f.float(key, 1)
		if ferr != nil {
			return c, ferr
		}
		if scaling == "" && factor != 0 && factor != 1 {
			scaling = "linear" // what the key meant before there was a type
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		err = fmt.Errorf("gguf: %d heads are no multiple of %d key heads", c.Heads, c.KVHeads)
	case values != c.HeadDim:
		err = fmt.Errorf("gguf: values %d wide but keys %d are not supported", values, c.HeadDim)
	case c.RopeDim%2 != 0 || c.RopeDim > c.HeadDim:
		err = fmt.Errorf("gguf: %d rotated dimensions in heads %d wide", c.RopeDim, c.HeadDim)
	case scaling != "" && scaling != "none":
		err = fmt.Errorf("gguf: llama.rope.scaling.type %q is not supported", scaling)
	case math.IsInf(c.RopeTheta, 0):
		err = fmt.Errorf("gguf: llama.rope.freq_base %g", c.RopeTheta)
	}
	return c, err
}

// Close releases the mapping of [Open]. Engines on the model are closed first.
func (m *Model) Close() error {
	release := m.release
	m.release = func() error { return nil }
	return release()
}

// Config returns the shape of the model.
func (m *Model) Config() Config { return m.config }

// Tokenizer returns the tokenizer in the model's file.
func (m *Model) Tokenizer() *Tokenizer { return m.tokenizer }
