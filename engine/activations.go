package engine

import (
	"math"
	"unsafe"
)

// Activations meet quantised weights quantised themselves, as in llama.cpp: the
// products of integers are exact, so that only a sum for each block of columns
// is rounded, and assembly computes the same bits as plain Go.

// A block32 is 32 activations of a row.
type block32 struct {
	q      [32]int8
	scale  float32 // rounded to F16
	offset int32   // minus the sum of q, times how far the bytes of the weights are above them
	sum    float32 // of q, times the scale
}

// A block256 is 256 activations of a row.
type block256 struct {
	q      [256]int8
	sums16 [16]int32 // of 16 columns each, times -32
	sums32 [8]int16  // of 32 columns each
	scale  float32
}

// offsets says how far the bytes of a format are above its weights.
var offsets = [formats]int32{q8: 128, q4: 8}

// plainQuantize32 sets dst to the activations x, 32 for each block. offset is that
// of the weights' format.
//
//go:norace
func plainQuantize32(dst []block32, x []float32, offset int32) {
	for b := range dst {
		y, x := &dst[b], (*[32]float32)(x[32*b:])
		var top float32
		for _, v := range x {
			top = max(top, float32(math.Abs(float64(v))))
		}
		inverse := float32(0)
		if top > 0 {
			inverse = 127 / top
		}
		y.scale = widened[narrow(top/127)]
		sum := int32(0)
		for i, v := range x {
			q := roundEven(v * inverse)
			y.q[i] = int8(q)
			sum += q
		}
		y.offset = -offset * sum
		y.sum = float32(sum) * y.scale
	}
}

// plainQuantize256 sets dst to the activations x, 256 for each block.
//
//go:norace
func plainQuantize256(dst []block256, x []float32) {
	for b := range dst {
		y, x := &dst[b], (*[256]float32)(x[256*b:])
		var top float32
		for _, v := range x {
			top = max(top, float32(math.Abs(float64(v))))
		}
		inverse := float32(0)
		y.scale = 0
		if top > 0 {
			inverse = 127 / top
			y.scale = 1 / inverse
		}
		for i := range y.sums16 {
			sum := int32(0)
			for j := 16 * i; j < 16*i+16; j++ {
				q := roundEven(x[j] * inverse)
				y.q[j] = int8(q)
				sum += q
			}
			y.sums16[i] = -32 * sum
		}
		for i := range y.sums32 {
			y.sums32[i] = int16(-(y.sums16[2*i] + y.sums16[2*i+1]) / 32)
		}
	}
}

// roundEven rounds a number of at most 2^22 to the nearest integer, of two to
// the even one.
func roundEven(x float32) int32 {
	const round = 3 << 22
	return int32(x+round) - round
}

// activations are the inputs of products, [n, cols], in the forms that the
// kernels want.
type activations struct {
	x       []float32
	n, cols int

	dense    []float32          // by tiles: [cols, rows of the tile]
	blocks32 [formats][]block32 // [n, cols/32], by the format of the weights
	supers   []block256         // [n, cols/256]
	have     [formats]bool      // forms that hold x
	tiles    [formats][]tile    // that cover the rows, by the format of the weights; empty: unknown
}

// set makes x the activations.
func (a *activations) set(x []float32, n, cols int) {
	a.x, a.n, a.cols, a.have = x, n, cols, [formats]bool{}
	for f := range a.tiles {
		a.tiles[f] = a.tiles[f][:0]
	}
}

// form is the first of the formats that want the activations in the same form.
func (f format) form() format {
	switch f {
	case f16, bf16, asFile:
		return f32
	case q5K, q6K:
		return q4K
	}
	return f
}

// prepare brings the activations into the form that a format wants.
func (a *activations) prepare(f format, threads int) {
	for _, f := range [...]format{f, f.form()} { // F16 may be computed as F32
		if len(a.tiles[f]) == 0 && f != asFile {
			a.tiles[f] = kernelsOf(f).cover(a.tiles[f], a.n)
		}
	}
	f = f.form()
	if a.have[f] {
		return
	}
	a.have[f] = true
	switch f {
	case f32:
		if a.n == 1 {
			return // one row is as it is
		}
		a.dense = grown(a.dense, a.n*a.cols)
		tiles := a.tiles[f32]
		parallel(len(tiles), a.n*a.cols/len(tiles), threads, func(from, to int) {
			for _, t := range tiles[from:to] {
				interleave(a.dense[t.at*a.cols:], a.x[t.at*a.cols:], t.n, a.cols)
			}
		})
	case q4K:
		blocks := a.cols / superBlock
		a.supers = grown(a.supers, a.n*blocks)
		parallel(a.n, 4*a.cols, threads, func(from, to int) {
			quantize256(a.supers[from*blocks:to*blocks], a.x[from*a.cols:])
		})
	default:
		blocks := a.cols / 32
		y := grown(a.blocks32[f], a.n*blocks)
		a.blocks32[f] = y
		parallel(a.n, 4*a.cols, threads, func(from, to int) {
			quantize32(y[from*blocks:to*blocks], a.x[from*a.cols:], offsets[f])
		})
	}
}

// at returns row t in the form for a format, and how many bytes on the next is.
func (a *activations) at(f format, t int) (p *byte, stride int) {
	switch f = f.form(); f {
	case f32:
		x := a.dense
		if a.n == 1 {
			x = a.x
		}
		return (*byte)(unsafe.Pointer(&x[t*a.cols])), 0
	case q4K:
		blocks := a.cols / superBlock
		return (*byte)(unsafe.Pointer(&a.supers[t*blocks])), blocks * int(unsafe.Sizeof(block256{}))
	}
	blocks := a.cols / 32
	return (*byte)(unsafe.Pointer(&a.blocks32[f][t*blocks])), blocks * int(unsafe.Sizeof(block32{}))
}

// plainInterleave sets dst, [cols, n], to x, [n, cols].
//
//go:norace
func plainInterleave(dst, x []float32, n, cols int) {
	for t := range n {
		row := x[t*cols : (t+1)*cols]
		for i, v := range row {
			dst[i*n+t] = v
		}
	}
}

// grown returns s with length n; what it held is lost if it must grow.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
