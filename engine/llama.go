package engine

import (
	"math"
	"sync"
)

// batchLen is the most rows of one forward pass: long prompts are computed in
// chunks of it, so that others get their turn in between.
const batchLen = 512

// A row is one token to compute: the next of its sequence. Rows of the same
// sequence stand in the order of their tokens.
type row struct {
	cache  *kvCache
	token  int
	logits []float32 // [VocabSize], filled; nil if nobody asks
	hidden []float32 // [Dim], the last hidden state, normalised, filled; nil if nobody asks
	pos    int       // set by forward
}

// scratch is the working memory of forward passes, grown when needed.
type scratch struct {
	x, h     []float32 // [rows, Dim]: residual stream, and its normalised copy
	q, att   []float32 // [rows, Heads·HeadDim]
	k, v     []float32 // [rows, KVHeads·HeadDim]
	gate, up []float32 // [rows, FFN]
	cos, sin []float32 // [rows, RopeDim/2]
	logits   []float32 // [rows that ask, VocabSize]

	acts   activations
	tasks  []attendTask
	attend sync.Pool // of *attention
}

// fit makes room for n rows.
func (s *scratch) fit(c *Config, n int) {
	for _, part := range []struct {
		memory *[]float32
		width  int
	}{
		{&s.x, c.Dim}, {&s.h, c.Dim},
		{&s.q, c.Heads * c.HeadDim}, {&s.att, c.Heads * c.HeadDim},
		{&s.k, c.KVHeads * c.HeadDim}, {&s.v, c.KVHeads * c.HeadDim},
		{&s.gate, c.FFN}, {&s.up, c.FFN},
		{&s.cos, c.RopeDim / 2}, {&s.sin, c.RopeDim / 2},
	} {
		*part.memory = grown(*part.memory, n*part.width)
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
	s.fit(c, n)
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
	s.tasks = attendTasks(s.tasks, c, rows)
	for l := range w.layers {
		b := &w.layers[l]
		s.norm(n, dim, threads, b.attnNorm, c.NormEpsilon)
		matmul(&s.acts, s.h, n, threads, product{s.q, b.q}, product{s.k, b.k}, product{s.v, b.v})
		parallel(n, 4*(qDim+kvDim), threads, func(from, to int) {
			for t := from; t < to; t++ {
				cos, sin := s.cos[t*half:(t+1)*half], s.sin[t*half:(t+1)*half]
				q, k, v := s.q[t*qDim:(t+1)*qDim], s.k[t*kvDim:(t+1)*kvDim], s.v[t*kvDim:(t+1)*kvDim]
				b.prepare(c, q, k, v, cos, sin)
				pos := rows[t].pos
				rows[t].cache.blocks[pos/blockLen].store(c, l, pos%blockLen, k, v)
			}
		})
		// All keys are in place: each row attends to those up to its own.
		parallel(len(s.tasks), 4*n*qDim*(rows[n-1].pos+1)/len(s.tasks), threads, func(from, to int) {
			a := s.attend.Get().(*attention)
			for _, task := range s.tasks[from:to] {
				a.attend(c, s.att, s.q, rows, task, l)
			}
			s.attend.Put(a)
		})
		matmul(&s.acts, s.att, n, threads, product{s.h, b.o})
		s.addTo(n, dim, threads, b.oBias)

		s.norm(n, dim, threads, b.ffnNorm, c.NormEpsilon)
		matmul(&s.acts, s.h, n, threads, product{s.gate, b.gate}, product{s.up, b.up})
		parallel(n, 8*c.FFN, threads, func(from, to int) {
			swiGLU(s.gate[from*c.FFN:to*c.FFN], s.up[from*c.FFN:to*c.FFN])
		})
		matmul(&s.acts, s.gate, n, threads, product{s.h, b.down})
		s.addTo(n, dim, threads, nil)
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
	s.logits = grown(s.logits, asked*c.VocabSize)
	matmul(&s.acts, s.h, asked, threads, product{s.logits, w.output})
	logits := s.logits
	for _, r := range rows {
		if r.logits != nil {
			copy(r.logits, logits[:c.VocabSize])
			logits = logits[c.VocabSize:]
		}
	}
}

// norm sets h to x, normalised.
func (s *scratch) norm(n, dim, threads int, weight []float32, eps float64) {
	parallel(n, 4*dim, threads, func(from, to int) {
		for t := from; t < to; t++ {
			rmsNorm(s.h[t*dim:(t+1)*dim], s.x[t*dim:(t+1)*dim], weight, eps)
		}
	})
}

// addTo adds h and a bias to x.
func (s *scratch) addTo(n, dim, threads int, bias []float32) {
	parallel(n, 2*dim, threads, func(from, to int) {
		for t := from; t < to; t++ {
			addBias(s.h[t*dim:(t+1)*dim], bias)
		}
		add(s.x[from*dim:to*dim], s.h[from*dim:to*dim])
	})
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
