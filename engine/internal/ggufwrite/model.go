package ggufwrite

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
)

// A Shape is the shape of a random model.
type Shape struct {
	Seed                                      uint64
	Context, Layers, Dim, Heads, KVHeads, FFN int
	Type                                      uint32 // of the matrices
	Untied                                    bool
	Architecture                              string // "": llama
	HeadDim                                   int    // 0: Dim/Heads
	AttnBias                                  bool   // on queries, keys, values and, but for qwen2, the output
	HeadNorm                                  bool   // of queries and keys
}

// Small is a shape that computes in microseconds.
var Small = Shape{Seed: 1, Context: 128, Layers: 2, Dim: 32, Heads: 4, KVHeads: 2, FFN: 64}

// Special tokens of a random model, in the order of their ids from 256 +
// len(Merges) on.
var Specials = []string{
	"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|note|>",
}

// Merges of a random model: the token that the n-th makes has id 256+n.
var Merges = []string{"h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o"}

// Random returns a model of random weights with a byte-level BPE tokenizer of
// Llama 3's kind.
func Random(s Shape) *File {
	f := &File{Version: 3}
	arch := cmp.Or(s.Architecture, "llama")
	f.Set("general.architecture", arch)
	f.Set("general.name", "random")
	f.Set(arch+".context_length", uint32(s.Context))
	f.Set(arch+".block_count", uint32(s.Layers))
	f.Set(arch+".embedding_length", uint32(s.Dim))
	f.Set(arch+".feed_forward_length", uint32(s.FFN))
	f.Set(arch+".attention.head_count", uint32(s.Heads))
	f.Set(arch+".attention.head_count_kv", uint32(s.KVHeads))
	f.Set(arch+".attention.layer_norm_rms_epsilon", float32(1e-5))
	if s.HeadDim != 0 {
		f.Set(arch+".attention.key_length", uint32(s.HeadDim))
		f.Set(arch+".attention.value_length", uint32(s.HeadDim))
	}
	vocab := AddTokenizer(f)

	rng := rand.New(rand.NewPCG(s.Seed, 0))
	s.tensors(vocab, func(name string, typ uint32, shape ...int) {
		n := 1
		var dims []uint64
		for _, d := range shape {
			n *= d
			dims = append(dims, uint64(d))
		}
		data := make([]float32, n)
		for i := range data {
			if len(shape) == 1 {
				data[i] = 1 + float32(rng.NormFloat64())/10
			} else {
				data[i] = float32(rng.NormFloat64() * 1.5 / math.Sqrt(float64(shape[0])))
			}
		}
		f.Tensors = append(f.Tensors, Tensor{name, typ, dims, Encode(typ, data)})
	})
	return f
}

// RandomLarge returns a model of shape s with a vocabulary of that size, whose
// matrices have the types that typ says. Its weights repeat a random piece.
func RandomLarge(s Shape, vocab int, typ func(name string) uint32) *File {
	small := s
	small.Layers = 0
	f := Random(small)
	f.Tensors = nil
	f.Set("llama.block_count", uint32(s.Layers))
	var tokens, types = f.Key("tokenizer.ggml.tokens").([]string), f.Key("tokenizer.ggml.token_type").([]int32)
	for i := len(tokens); i < vocab; i++ {
		tokens, types = append(tokens, fmt.Sprintf("token%d", i)), append(types, 1)
	}
	f.Set("tokenizer.ggml.tokens", tokens)
	f.Set("tokenizer.ggml.token_type", types)

	rng := rand.New(rand.NewPCG(s.Seed, 0))
	const piece = 1 << 14 // elements
	long := map[uint32][]byte{}
	s.tensors(vocab, func(name string, t uint32, shape ...int) {
		n := 1
		var dims []uint64
		for _, d := range shape {
			n *= d
			dims = append(dims, uint64(d))
		}
		if len(shape) == 2 {
			t = typ(name)
		}
		size := len(Encode(t, make([]float32, 256))) * n / 256
		if len(long[t]) < size {
			x := make([]float32, piece)
			for i := range x {
				x[i] = float32(rng.NormFloat64() / 32)
			}
			data := Encode(t, x)
			long[t] = bytes.Repeat(data, size/len(data)+1)
		}
		f.Tensors = append(f.Tensors, Tensor{name, t, dims, long[t][:size]})
	})
	return f
}

// tensors calls add for each tensor of a model of shape s.
func (s Shape) tensors(vocab int, add func(name string, typ uint32, shape ...int)) {
	arch := cmp.Or(s.Architecture, "llama")
	headDim := cmp.Or(s.HeadDim, s.Dim/s.Heads)
	q, kv := headDim*s.Heads, headDim*s.KVHeads
	add("token_embd.weight", s.Type, s.Dim, vocab)
	for i := range s.Layers {
		blk := func(name string) string { return fmt.Sprintf("blk.%d.%s.weight", i, name) }
		add(blk("attn_norm"), F32, s.Dim)
		add(blk("attn_q"), s.Type, s.Dim, q)
		add(blk("attn_k"), s.Type, s.Dim, kv)
		add(blk("attn_v"), s.Type, s.Dim, kv)
		add(blk("attn_output"), s.Type, q, s.Dim)
		if s.AttnBias {
			bias := func(name string, n int) { add(fmt.Sprintf("blk.%d.%s.bias", i, name), F32, n) }
			bias("attn_q", q)
			bias("attn_k", kv)
			bias("attn_v", kv)
			if arch != "qwen2" {
				bias("attn_output", s.Dim)
			}
		}
		if s.HeadNorm {
			add(blk("attn_q_norm"), F32, headDim)
			add(blk("attn_k_norm"), F32, headDim)
		}
		add(blk("ffn_norm"), F32, s.Dim)
		add(blk("ffn_gate"), s.Type, s.Dim, s.FFN)
		add(blk("ffn_up"), s.Type, s.Dim, s.FFN)
		add(blk("ffn_down"), s.Type, s.FFN, s.Dim)
	}
	add("output_norm.weight", F32, s.Dim)
	if s.Untied {
		add("output.weight", s.Type, s.Dim, vocab)
	}
}

// AddTokenizer adds the metadata of a tokenizer and returns its size.
func AddTokenizer(f *File) int {
	var tokens []string
	next := rune(256)
	for c := range rune(256) {
		r := c
		if c <= ' ' || c >= 0x7f && c <= 0xa0 || c == 0xad {
			r = next
			next++
		}
		tokens = append(tokens, string(r))
	}
	for _, m := range Merges {
		var a, b string
		fmt.Sscanf(m, "%s %s", &a, &b)
		tokens = append(tokens, a+b)
	}
	types := make([]int32, len(tokens))
	for i := range types {
		types[i] = 1
	}
	first := uint32(len(tokens))
	for _, s := range Specials {
		tokens = append(tokens, s)
		types = append(types, 3)
	}
	f.Set("tokenizer.ggml.model", "gpt2")
	f.Set("tokenizer.ggml.pre", "llama-bpe")
	f.Set("tokenizer.ggml.tokens", tokens)
	f.Set("tokenizer.ggml.token_type", types)
	f.Set("tokenizer.ggml.merges", Merges)
	f.Set("tokenizer.ggml.bos_token_id", first)
	f.Set("tokenizer.ggml.eos_token_id", first+1)
	f.Set("tokenizer.ggml.eot_token_id", first+4)
	return len(tokens)
}
