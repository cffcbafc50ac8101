package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
)

// A Workload is a measurement of forward passes alone, without sampling, as
// llama-bench makes them: sequences of Prompt tokens are computed, then Generate
// tokens of each, one a step.
type Workload struct {
	Prompt    int // tokens a sequence
	Generate  int // tokens a sequence
	Sequences int // computed together; 0 is 1
}

// A Timing says how long the two parts of a [Workload] took.
type Timing struct {
	Prompt   time.Duration
	Generate time.Duration
}

// Measure computes w on at most threads processors. The tokens are arbitrary;
// logits are computed after the last of each prompt and for each generated one.
func (m *Model) Measure(ctx context.Context, w Workload, threads int) (t Timing, err error) {
	c := &m.config
	if w.Sequences == 0 {
		w.Sequences = 1
	}
	if w.Prompt < 0 || w.Generate < 0 || w.Sequences < 1 || w.Prompt+w.Generate > c.ContextLength {
		return t, fmt.Errorf("engine: a workload of %d and %d tokens in %d sequences does not fit the context of %d",
			w.Prompt, w.Generate, w.Sequences, c.ContextLength)
	}
	caches := make([]*kvCache, w.Sequences)
	logits := make([][]float32, w.Sequences)
	for i := range caches {
		caches[i], logits[i] = newKVCache(c), make([]float32, c.VocabSize)
	}
	token := uint32(1)
	next := func() int { // any will do
		token = token*1664525 + 1013904223
		return int(uint64(token) * uint64(c.VocabSize) >> 32)
	}
	compute := func(rows []row) error {
		for len(rows) > 0 {
			n := min(len(rows), batchLen)
			m.forward(rows[:n], threads)
			rows = rows[n:]
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	start := time.Now()
	var rows []row
	for s, cache := range caches {
		for i := range w.Prompt {
			r := row{cache: cache, token: next()}
			if i == w.Prompt-1 {
				r.logits = logits[s]
			}
			rows = append(rows, r)
		}
	}
	if err := compute(rows); err != nil {
		return t, err
	}
	t.Prompt = time.Since(start)
	start = time.Now()
	for range w.Generate {
		rows = rows[:0]
		for s, cache := range caches {
			rows = append(rows, row{cache: cache, token: next(), logits: logits[s]})
		}
		if err := compute(rows); err != nil {
			return t, err
		}
	}
	t.Generate = time.Since(start)
	return t, nil
}

// WeightBytes returns how much memory one token of one sequence reads: all
// weights but the embedding, of which it takes a row, unless the output matrix
// is the same.
func (m *Model) WeightBytes() int64 {
	n := m.weights.output.bytes()
	for i := range m.weights.layers {
		l := &m.weights.layers[i]
		for _, w := range []*matrix{l.q, l.k, l.v, l.o, l.gate, l.up, l.down} {
			n += w.bytes()
		}
	}
	return n
}

// bytes returns how much memory the weights take.
func (m *matrix) bytes() int64 { return int64(len(m.quants) + len(m.meta) + len(m.raw)) }

// ReadBandwidth measures how many bytes a second threads processors together
// read from memory, at best of rounds passes over size bytes.
func ReadBandwidth(size, threads, rounds int) (float64, error) {
	data, release, err := mapMemory(size)
	if err != nil {
		return 0, err
	}
	defer release()
	for i := 0; i < size; i += 4096 {
		data[i] = 1 // give each page memory of its own
	}
	const chunk = 128 << 10
	best := 0.0
	for range rounds {
		start := time.Now()
		// As work, so much that each thread gets its share.
		parallel(size/chunk, workPerGoroutine, threads, func(from, to int) {
			for i := from; i < to; i++ {
				readMemory(data[i*chunk : (i+1)*chunk])
			}
		})
		best = max(best, float64(size/chunk*chunk)/time.Since(start).Seconds())
	}
	return best, nil
}

// readWords reads b, a multiple of 64 bytes.
//
//go:norace
func readWords(b []byte) {
	var sum [8]uint64
	for ; len(b) >= 64; b = b[64:] {
		for i := range sum {
			sum[i] += binary.NativeEndian.Uint64(b[8*i:])
		}
	}
	readSink.Store(sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7])
}

// readSink keeps the compiler from leaving the reading out.
var readSink atomic.Uint64
