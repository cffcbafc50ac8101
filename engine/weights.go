package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A layer holds the weights of one transformer block. D is Config.Dim, Q is
// Heads·HeadDim, KV is KVHeads·HeadDim.
type layer struct {
	attnNorm   []float32 // [D]
	q, k, v, o *matrix   // [Q, D], [KV, D], [KV, D], [D, Q]
	qBias      []float32 // [Q]; nil: none, and so the other biases
	kBias      []float32 // [KV]
	vBias      []float32 // [KV]
	oBias      []float32 // [D]
	qNorm      []float32 // [HeadDim]; nil: heads are not normalised
	kNorm      []float32 // [HeadDim]
	noRope     bool      // heads are not rotated
	ffnNorm    []float32 // [D]
	gate, up   *matrix   // [FFN, D]
	down       *matrix   // [D, FFN]
}

// weights are all that a forward pass needs.
type weights struct {
	embedding  *matrix // [VocabSize, D]
	layers     []layer
	outputNorm []float32 // [D]
	output     *matrix   // [VocabSize, D]
	freqs      []float64 // [RopeDim/2]: radians a position of each rotated pair
	magnitude  float64   // by which rotated pairs are multiplied
	release    func() error
}

// A weightReader takes tensors out of a file; the first error stays.
type weightReader struct {
	file   *modelFile
	arena  *arena
	unused map[string]bool
	count  int64
	err    error
}

// take returns the tensor of that name and shape.
func (r *weightReader) take(name string, shape ...int) (tensor, bool) {
	if r.err != nil {
		return tensor{}, false
	}
	t, ok := r.file.tensors[name]
	if !ok {
		r.err = fmt.Errorf("tensor %q is missing", r.file.called(name))
		return t, false
	}
	if !slices.Equal(t.shape, shape) {
		r.err = fmt.Errorf("tensor %q has shape %v, want %v (the contiguous dimension first)", r.file.called(name), t.shape, shape)
		return t, false
	}
	delete(r.unused, name)
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	r.count += n
	return t, true
}

// vector returns a tensor of n elements.
func (r *weightReader) vector(name string, n int) []float32 {
	t, ok := r.take(name, n)
	if !ok {
		return nil
	}
	v := make([]float32, n)
	widen(v, t.typ, t.data)
	return v
}

// optional returns a tensor of n elements, nil if there is none.
func (r *weightReader) optional(name string, n int) []float32 {
	if _, ok := r.file.tensors[name]; !ok {
		return nil
	}
	return r.vector(name, n)
}

// matrix returns a tensor of rows times cols elements.
func (r *weightReader) matrix(name string, rows, cols int) *matrix {
	t, ok := r.take(name, cols, rows)
	if !ok {
		return nil
	}
	if r.arena == nil {
		return &matrix{}
	}
	return newMatrix(r.arena, t.typ, rows, cols, t.data)
}

// readWeights takes the weights of a model of shape c out of f, and completes
// c by what only they tell. It keeps nothing of f.
func readWeights(f *modelFile, c *Config) (*weights, error) {
	total := 0
	for _, t := range f.tensors {
		if len(t.shape) == 2 {
			total += packedBytes(t.typ, t.shape[1], t.shape[0])
		}
	}
	arena, err := newArena(total)
	if err != nil {
		return nil, err
	}
	w, err := takeWeights(f, c, arena)
	if err != nil {
		arena.release()
		return nil, err
	}
	w.release = arena.release
	return w, nil
}

// takeWeights is readWeights into an arena; without one it only looks whether
// all is there, and the matrices are empty.
func takeWeights(f *modelFile, c *Config, arena *arena) (*weights, error) {
	r := &weightReader{file: f, arena: arena, unused: map[string]bool{}}
	for name := range f.tensors {
		r.unused[name] = true
	}
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	w := &weights{}
	w.embedding = r.matrix("token_embd.weight", c.VocabSize, c.Dim)
	for i := 0; i < c.Layers && r.err == nil; i++ {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", i, s) }
		bias := func(s string, n int) []float32 { return r.optional(fmt.Sprintf("blk.%d.%s.bias", i, s), n) }
		w.layers = append(w.layers, layer{
			attnNorm: r.vector(name("attn_norm"), c.Dim),
			q:        r.matrix(name("attn_q"), q, c.Dim),
			k:        r.matrix(name("attn_k"), kv, c.Dim),
			v:        r.matrix(name("attn_v"), kv, c.Dim),
			o:        r.matrix(name("attn_output"), c.Dim, q),
			qBias:    bias("attn_q", q),
			kBias:    bias("attn_k", kv),
			vBias:    bias("attn_v", kv),
			oBias:    bias("attn_output", c.Dim),
			noRope:   c.NoRopeEvery > 0 && (i+1)%c.NoRopeEvery == 0,
			ffnNorm:  r.vector(name("ffn_norm"), c.Dim),
			gate:     r.matrix(name("ffn_gate"), c.FFN, c.Dim),
			up:       r.matrix(name("ffn_up"), c.FFN, c.Dim),
			down:     r.matrix(name("ffn_down"), c.Dim, c.FFN),
		})
		if c.Architecture == "qwen3" {
			w.layers[i].qNorm = r.vector(name("attn_q_norm"), c.HeadDim)
			w.layers[i].kNorm = r.vector(name("attn_k_norm"), c.HeadDim)
		}
	}
	w.outputNorm = r.vector("output_norm.weight", c.Dim)
	if _, ok := f.tensors["output.weight"]; ok {
		w.output = r.matrix("output.weight", c.VocabSize, c.Dim)
	} else {
		w.output, c.TiedOutput = w.embedding, true
	}
	w.freqs, w.magnitude = ropeFrequencies(c), c.RopeScaling.magnitude()
	if _, ok := f.tensors["rope_freqs.weight"]; ok {
		// Llama 3.1's scaling, worked out by the converter.
		for i, factor := range r.vector("rope_freqs.weight", len(w.freqs)) {
			if w.freqs[i] /= float64(factor); !(factor > 0) {
				return nil, fmt.Errorf("tensor %q: factor %g is not above 0", "rope_freqs.weight", factor)
			}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	for name := range r.unused {
		if strings.HasSuffix(name, ".attn_rot_embd") || strings.HasSuffix(name, ".rope_freqs.weight") {
			delete(r.unused, name) // old files carry what can be computed
		}
	}
	if len(r.unused) > 0 {
		// To leave out a weight would be to compute another model.
		name := slices.Min(slices.Collect(maps.Keys(r.unused)))
		return nil, fmt.Errorf("tensor %q has no place in the %s architecture as this engine knows it", name, c.Architecture)
	}
	c.Parameters = r.count
	return w, nil
}
