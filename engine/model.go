package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
)

// Config is the shape of a model, read from its file.
type Config struct {
	Name          string      `json:"name"`           // general.name, "" if the file has none
	Architecture  string      `json:"architecture"`   // "llama" (Mistral and SmolLM too), "qwen2", "qwen3" or "smollm3"
	ContextLength int         `json:"context_length"` // tokens of prompt and answer together
	VocabSize     int         `json:"vocab_size"`     // tokens
	Layers        int         `json:"layers"`         // transformer blocks
	Dim           int         `json:"dim"`            // width of the residual stream
	Heads         int         `json:"heads"`          // query heads
	KVHeads       int         `json:"kv_heads"`       // key and value heads; divides Heads
	HeadDim       int         `json:"head_dim"`       // width of a head
	FFN           int         `json:"ffn"`            // width of the feed-forward layer
	RopeDim       int         `json:"rope_dim"`       // how many dimensions of a head are rotated
	RopeTheta     float64     `json:"rope_theta"`     // base of the rotary frequencies
	RopeNeoX      bool        `json:"rope_neox"`      // a pair to rotate is (i, i + RopeDim/2) of its head, not (2i, 2i + 1)
	RopeScaling   RopeScaling `json:"rope_scaling"`
	NoRopeEvery   int         `json:"no_rope_every"` // each so many-th layer does not rotate; 0: all do
	NormEpsilon   float64     `json:"norm_epsilon"`  // of RMSNorm
	Parameters    int64       `json:"parameters"`    // weights in the file
	TiedOutput    bool        `json:"tied_output"`   // the output matrix is the embedding
}

// A Model is a loaded model file. It is read-only and safe for concurrent use.
type Model struct {
	config    Config
	tokenizer *Tokenizer
	weights   *weights
	chat      func() (*chatTemplate, error) // compiled at first use
	chatName  string                        // of a format; "": the template is the file's own
	scratch   sync.Pool                     // of *scratch
	release   func() error
}

// Open reads the model at path: a folder in Hugging Face's layout (config.json,
// tokenizer.json, *.safetensors), or a GGUF file, and with the first of a split
// model ("…-00001-of-00003.gguf") all its parts. They are not needed any more
// when it returns.
func Open(path string) (*Model, error) {
	f, release, err := openFile(path, true)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer release()
	m, err := load(f)
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", path, err)
	}
	return m, nil
}

// Load reads a GGUF file that is in memory already.
func Load(gguf []byte) (*Model, error) {
	f, err := readGGUF(gguf, true)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if f.parts() > 1 {
		return nil, fmt.Errorf("engine: gguf: one of the %d parts of a split model, which Open reads", f.parts())
	}
	m, err := load(f)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return m, nil
}

// load makes a model of what a file holds.
func load(f *modelFile) (m *Model, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", f.format, err)
		}
	}()
	if m, err = describe(f); err != nil {
		return nil, err
	}
	if m.weights, err = readWeights(f, &m.config); err != nil {
		return nil, err
	}
	m.release = m.weights.release
	m.scratch.New = func() any {
		return &scratch{attend: sync.Pool{New: func() any { return new(attention) }}}
	}
	return m, nil
}

// describe reads all but the weights.
func describe(f *modelFile) (m *Model, err error) {
	m = &Model{}
	if m.config, err = readConfig(f); err != nil {
		return nil, err
	}
	if m.tokenizer, err = newTokenizer(f); err != nil {
		return nil, err
	}
	m.config.VocabSize = m.tokenizer.Size()
	source, err := get[string](f, "tokenizer.chat_template")
	if err != nil {
		return nil, err
	}
	if name := strings.TrimSpace(source); name == "" {
		source = guessChatFormat(m.config.Name, m.tokenizer)
	} else if chatName(name) != "" {
		source = name
	}
	m.chatName = chatName(source)
	m.chat = sync.OnceValues(func() (*chatTemplate, error) { return newChatTemplate(source, m.tokenizer) })
	return m, nil
}

// architectures are those that the forward pass computes; all are Llama's but
// for what is said here and in the tensors that their files have.
var architectures = map[string]struct {
	ropeNeoX    bool
	noRopeEvery int
}{
	"llama":   {},               // Llama 2 and 3, Mistral, SmolLM
	"qwen2":   {ropeNeoX: true}, // biases on queries, keys and values
	"qwen3":   {ropeNeoX: true}, // normalised heads
	"smollm3": {noRopeEvery: 4}, // layers without positions, Yang et al. 2025
}

// readConfig reads the keys of f that give the shape of the model.
func readConfig(f *modelFile) (c Config, err error) {
	if c.Architecture, err = get[string](f, "general.architecture"); err != nil {
		return c, err
	}
	arch, ok := architectures[c.Architecture]
	if !ok {
		return c, fmt.Errorf("general.architecture %q is not supported (%s are)",
			c.Architecture, strings.Join(slices.Sorted(maps.Keys(architectures)), ", "))
	}
	c.RopeNeoX, c.NoRopeEvery = arch.ropeNeoX, arch.noRopeEvery
	if neox, ok := f.meta["rope.neox"].(bool); ok && f.format == "safetensors" {
		c.RopeNeoX = neox // converters to GGUF permute the rows of the others
	}
	if c.Name, err = get[string](f, "general.name"); err != nil {
		return c, err
	}
	integer := func(key string, def, most int) int {
		if err != nil {
			return 0
		}
		var n int
		n, err = f.int(c.Architecture+"."+key, def, 1, most)
		return n
	}
	number := func(key string, def float64) float64 {
		if err != nil {
			return 0
		}
		var x float64
		key = c.Architecture + "." + key
		if x, err = f.float(key, def); err == nil && x <= 0 {
			err = fmt.Errorf("key %q: %g is not above 0", key, x)
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
	// Within a window of attention all is attention; what lies beyond is not
	// supported.
	c.ContextLength = min(c.ContextLength, integer("attention.sliding_window", 1<<24, 1<<24))
	if err == nil {
		c.RopeScaling, err = readRopeScaling(f, &c)
	}
	switch {
	case err != nil:
	case c.Heads%c.KVHeads != 0:
		err = fmt.Errorf("%d heads are no multiple of %d key heads", c.Heads, c.KVHeads)
	case values != c.HeadDim:
		err = fmt.Errorf("values %d wide but keys %d are not supported", values, c.HeadDim)
	case c.RopeDim%2 != 0 || c.RopeDim > c.HeadDim:
		err = fmt.Errorf("%d rotated dimensions in heads %d wide", c.RopeDim, c.HeadDim)
	case math.IsInf(c.RopeTheta, 0):
		err = fmt.Errorf("%s.rope.freq_base %g", c.Architecture, c.RopeTheta)
	}
	return c, err
}

// readRopeScaling reads the keys of rope.scaling. Llama 3's scaling has none in
// a GGUF file: its converter writes the factors as a tensor.
func readRopeScaling(f *modelFile, c *Config) (s RopeScaling, err error) {
	prefix := c.Architecture + ".rope."
	if s.Type, err = get[string](f, prefix+"scaling.type"); err != nil {
		return s, err
	}
	number := func(key string, def float64) float64 {
		if err != nil {
			return 0
		}
		var x float64
		x, err = f.float(prefix+key, def)
		return x
	}
	s.Factor = number("scaling.factor", 0)
	if s.Factor == 0 {
		s.Factor = number("scale_linear", 0)
	}
	switch s.Type {
	case "":
		if s.Factor == 0 || s.Factor == 1 {
			return RopeScaling{}, err
		}
		s.Type = "linear" // what the key meant before there was a type
	case "none":
		return RopeScaling{}, err
	case "llama3":
		s.LowFreqFactor, s.HighFreqFactor = number("scaling.low_freq_factor", 1), number("scaling.high_freq_factor", 4)
	case "yarn":
		s.BetaFast, s.BetaSlow = number("scaling.yarn_beta_fast", 32), number("scaling.yarn_beta_slow", 1)
		if m := number("scaling.yarn_log_multiplier", 0); m != 0 && err == nil {
			err = fmt.Errorf("key %q is not supported", prefix+"scaling.yarn_log_multiplier")
		}
		if a := number("scaling.attn_factor", 1); a != 1 {
			s.AttentionFactor = a * s.magnitude()
		}
		s.AttentionFactor = number("scaling.attention_factor", s.AttentionFactor)
	}
	if s.Type != "linear" && err == nil {
		s.OriginalContext, err = f.int(prefix+"scaling.original_context_length", c.ContextLength, 1, 1<<24)
	}
	if err != nil {
		return s, err
	}
	if err := s.check(c.RopeTheta); err != nil {
		return s, fmt.Errorf("%w", err)
	}
	return s, nil
}

// Close releases the memory of the weights. Engines on the model are closed first.
func (m *Model) Close() error {
	release := m.release
	m.release = func() error { return nil }
	return release()
}

// Config returns the shape of the model.
func (m *Model) Config() Config { return m.config }

// Tokenizer returns the tokenizer in the model's file.
func (m *Model) Tokenizer() *Tokenizer { return m.tokenizer }
