package engine

import "math"

// batchLen is the most rows of one forward pass: long prompts are computed in
// chunks of it, so that others get their turn in between.
const batchLen = 64

// A row is one token to compute: the next of its sequence. Rows of the same
// sequence stand in the order of their tokens.
type row struct {
	cache  *kvCache
	token  int
	logits []float32 // [VocabSize], filled; nil if nobody asks
	hidden []float32 // [Dim], the last hidden state, normalised, filled; nil if nobody asks
	pos    int       // set by forward
}

// scratch is the working memory of a forward pass of up to batchLen rows.
type scratch struct {
	x, h     []float32 // [rows, Dim]: residual stream, and its normalised copy
	q, att   []float32 // [rows, Heads·HeadDim]
	k, v     []float32 // [rows, KVHeads·HeadDim]
	gate, up []float32 // [rows, FFN]
	cos, sin []float32 // [rows, RopeDim/2]
	logits   []float32 // [rows that ask, VocabSize], grown when needed
	acts     activations
}

func newScratch(c *Config) *scratch {
	floats := func(n int) []float32 { return make([]float32, batchLen*n) }
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return &scratch{
		x: floats(c.Dim), h: floats(c.Dim),
		q: floats(q), att: floats(q),
		k: floats(kv), v: floats(kv),
		gate: floats(c.FFN), up: floats(c.FFN),
		cos: floats(c.RopeDim / 2), sin: floats(c.RopeDim / 2),
	}
}

// forward computes at most batchLen rows, of any sequences, on up to threads
// goroutines: it appends their keys and values to the caches and fills the
// logits that are asked for. A row's result is the same bits in every batch.
//
// Source: Touvron et al. 2023; the names of the tensors are llama.cpp's.
func (m *Model) forward(rows []row, threads int) {
	c, w := &m.config, m.weights
	s := m.scratch.Get().(*scratch)
	defer m.scratch.Put(s)
	n := len(rows)
	dim, qDim, kvDim, half := c.Dim, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim, c.RopeDim/2

	for t := range rows {
		r := &rows[t]
		r.pos = r.cache.next()
		x := s.x[t*dim : (t+1)*dim]
		w.embedding.row(x, r.token)
		for i, freq := range w.freqs {
			sin, cos := math.Sincos(float64(r.pos) * freq)
			s.sin[t*half+i], s.cos[t*half+i] = float32(sin*w.magnitude), float32(cos*w.magnitude)
		}
	}
	for l := range w.layers {
		b := &w.layers[l]
		for t := range n {
			rmsNorm(s.h[t*dim:(t+1)*dim], s.x[t*dim:(t+1)*dim], b.attnNorm, c.NormEpsilon)
		}
		matmul(&s.acts, s.h, n, threads, product{s.q, b.q}, product{s.k, b.k}, product{s.v, b.v})
		for t, r := range rows {
			cos, sin := s.cos[t*half:(t+1)*half], s.sin[t*half:(t+1)*half]
			q, k, v := s.q[t*qDim:(t+1)*qDim], s.k[t*kvDim:(t+1)*kvDim], s.v[t*kvDim:(t+1)*kvDim]
			b.prepare(c, q, k, v, cos, sin)
			r.cache.blocks[r.pos/blockLen].store(c, l, r.pos%blockLen, k, v)
		}
		// All keys are in place: each row attends to those up to its own.
		group := qDim / c.KVHeads
		parallel(n*c.KVHeads, 2*group*(rows[n-1].pos+1), threads, func(from, to int) {
			for i := from; i < to; i++ {
				r, head := rows[i/c.KVHeads], i%c.KVHeads
				attend(c, s.att[i*group:(i+1)*group], s.q[i*group:(i+1)*group], r.cache.blocks, l, head, r.pos+1)
			}
		})
		matmul(&s.acts, s.att, n, threads, product{s.h, b.o})
		for t := range n {
			addBias(s.h[t*dim:(t+1)*dim], b.oBias)
		}
		add(s.x[:n*dim], s.h)

		for t := range n {
			rmsNorm(s.h[t*dim:(t+1)*dim], s.x[t*dim:(t+1)*dim], b.ffnNorm, c.NormEpsilon)
		}
		matmul(&s.acts, s.h, n, threads, product{s.gate, b.gate}, product{s.up, b.up})
		swiGLU(s.gate[:n*c.FFN], s.up)
		matmul(&s.acts, s.gate, n, threads, product{s.h, b.down})
		add(s.x[:n*dim], s.h)
	}
	asked := 0
	for t, r := range rows {
		if r.hidden != nil {
			rmsNorm(r.hidden, s.x[t*dim:(t+1)*dim], w.outputNorm, c.NormEpsilon)
		}
		if r.logits != nil {
			rmsNorm(s.h[asked*dim:(asked+1)*dim], s.x[t*dim:(t+1)*dim], w.outputNorm, c.NormEpsilon)
			asked++
		}
	}
	if s.logits == nil || len(s.logits) < asked*c.VocabSize {
		s.logits = make([]float32, asked*c.VocabSize)
	}
	matmul(&s.acts, s.h, asked, threads, product{s.logits, w.output})
	logits := s.logits
	for _, r := range rows {
		if r.logits != nil {
			copy(r.logits, logits[:c.VocabSize])
			logits = logits[c.VocabSize:]
		}
	}
}

// prepare makes what the matrices gave for one row into the query and the key
// that attention compares, and the value that it adds up: it adds the biases,
// normalises and rotates the heads, where the model does.
func (b *layer) prepare(c *Config, q, k, v, cos, sin []float32) {
	addBias(q, b.qBias)
	addBias(k, b.kBias)
	addBias(v, b.vBias)
	if b.qNorm != nil {
		normHeads(q, b.qNorm, c.NormEpsilon)
		normHeads(k, b.kNorm, c.NormEpsilon)
	}
	switch {
	case b.noRope:
	case c.RopeNeoX:
		ropeNeoX(q, c.HeadDim, cos, sin)
		ropeNeoX(k, c.HeadDim, cos, sin)
	default:
		rope(q, c.HeadDim, cos, sin)
		rope(k, c.HeadDim, cos, sin)
	}
}
