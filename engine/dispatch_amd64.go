//go:build amd64 && !purego

package engine

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// bestLevel is what the processor can do.
var bestLevel = func() level {
	x := &cpu.X86
	switch {
	case !(x.HasAVX2 && x.HasFMA && x.HasF16C):
		return levelPlain
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasAVX512VNNI:
		return levelAVX512
	}
	return levelAVX2
}()

// kernelSets are the kernels of each level.
var kernelSets = [...][formats]kernelSet{
	levelPlain: plainKernels,
	levelAVX2: {
		f32:     {{6, f32x6AVX2}, {4, f32x4AVX2}, {2, f32x2AVX2}, {1, f32x1AVX2}},
		f16:     {{6, f16x6AVX2}, {4, f16x4AVX2}, {2, f16x2AVX2}, {1, f16x1AVX2}},
		bf16:    {{6, bf16x6AVX2}, {4, bf16x4AVX2}, {2, bf16x2AVX2}, {1, bf16x1AVX2}},
		q8:      {{4, q8x4AVX2}, {2, q8x2AVX2}, {1, q8x1AVX2}},
		q8Least: {{4, q8Leastx4AVX2}, {2, q8Leastx2AVX2}, {1, q8Leastx1AVX2}},
		q4:      {{4, q4x4AVX2}, {2, q4x2AVX2}, {1, q4x1AVX2}},
		q4K:     {{4, q4Kx4AVX2}, {2, q4Kx2AVX2}, {1, q4Kx1AVX2}},
		q5K:     {{4, q5Kx4AVX2}, {2, q5Kx2AVX2}, {1, q5Kx1AVX2}},
		q6K:     {{4, q6Kx4AVX2}, {2, q6Kx2AVX2}, {1, q6Kx1AVX2}},
	},
	levelAVX512: {
		f32:     {{16, f32x16AVX512}, {8, f32x8AVX512}, {4, f32x4AVX512}, {2, f32x2AVX512}, {1, f32x1AVX512}},
		f16:     {{16, f16x16AVX512}, {8, f16x8AVX512}, {4, f16x4AVX512}, {2, f16x2AVX512}, {1, f16x1AVX512}},
		bf16:    {{16, bf16x16AVX512}, {8, bf16x8AVX512}, {4, bf16x4AVX512}, {2, bf16x2AVX512}, {1, bf16x1AVX512}},
		q8:      {{8, q8x8AVX512}, {4, q8x4AVX512}, {2, q8x2AVX512}, {1, q8x1AVX512}},
		q8Least: {{8, q8Leastx8AVX512}, {4, q8Leastx4AVX512}, {2, q8Leastx2AVX512}, {1, q8Leastx1AVX512}},
		q4:      {{8, q4x8AVX512}, {4, q4x4AVX512}, {2, q4x2AVX512}, {1, q4x1AVX512}},
		q4K:     {{8, q4Kx8AVX512}, {4, q4Kx4AVX512}, {2, q4Kx2AVX512}, {1, q4Kx1AVX512}},
		q5K:     {{8, q5Kx8AVX512}, {4, q5Kx4AVX512}, {2, q5Kx2AVX512}, {1, q5Kx1AVX512}},
		q6K:     {{8, q6Kx8AVX512}, {4, q6Kx4AVX512}, {2, q6Kx2AVX512}, {1, q6Kx1AVX512}},
	},
}

// readMemory reads b, a multiple of 512 bytes.
func readMemory(b []byte) {
	if bestLevel >= levelAVX2 {
		readAVX2(&b[0], len(b))
		return
	}
	readWords(b)
}

// The kernels below compute whole vectors of 8 in assembly, the rest in Go.

func vectors(n int) int {
	if kernels == levelPlain {
		return 0
	}
	return n &^ 7
}

func swiGLU(gate, up []float32) {
	n := vectors(len(gate))
	if n > 0 {
		swiGLUAVX2(&gate[0], &up[0], n)
	}
	plainSwiGLU(gate[n:], up[n:])
}

func add(dst, x []float32) {
	n := vectors(len(dst))
	if n > 0 {
		addAVX2(&dst[0], &x[0], n)
	}
	plainAdd(dst[n:], x[n:])
}

func scaleBy(x []float32, a float32) {
	n := vectors(len(x))
	if n > 0 {
		scaleAVX2(&x[0], n, a)
	}
	plainScaleBy(x[n:], a)
}

func sumSquares(x []float32) float64 {
	if n := vectors(len(x)); n > 0 && n == len(x) {
		return sumSquaresAVX2(&x[0], n)
	}
	return plainSumSquares(x)
}

func normalize(dst, x, weight []float32, scale float32) {
	n := vectors(len(x))
	if n > 0 {
		normalizeAVX2(&dst[0], &x[0], &weight[0], n, scale)
	}
	plainNormalize(dst[n:], x[n:], weight[n:], scale)
}

func narrow16(dst []uint16, x []float32) {
	n := vectors(len(dst))
	if n > 0 {
		narrowAVX2(&dst[0], &x[0], n)
	}
	plainNarrow16(dst[n:], x[n:])
}

func rope(x []float32, headDim int, cos, sin []float32) {
	if kernels == levelPlain || len(cos) == 0 || len(cos)%4 != 0 {
		plainRope(x, headDim, cos, sin)
		return
	}
	for ; len(x) >= headDim; x = x[headDim:] {
		ropeAVX2(&x[0], &cos[0], &sin[0], len(cos))
	}
}

func ropeNeoX(x []float32, headDim int, cos, sin []float32) {
	if kernels == levelPlain || len(cos) == 0 || len(cos)%8 != 0 {
		plainRopeNeoX(x, headDim, cos, sin)
		return
	}
	for ; len(x) >= headDim; x = x[headDim:] {
		ropeNeoXAVX2(&x[0], &x[len(cos)], &cos[0], &sin[0], len(cos))
	}
}

func interleave(dst, x []float32, n, cols int) {
	if kernels == levelPlain {
		plainInterleave(dst, x, n, cols)
		return
	}
	interleaveAVX2(&dst[0], &x[0], n, cols)
}

func quantize32(dst []block32, x []float32, offset int32) {
	if kernels == levelPlain || len(dst) == 0 {
		plainQuantize32(dst, x, offset)
		return
	}
	quantize32AVX2((*byte)(unsafe.Pointer(&dst[0])), &x[0], offset, len(dst))
}

func quantize256(dst []block256, x []float32) {
	if kernels == levelPlain || len(dst) == 0 {
		plainQuantize256(dst, x)
		return
	}
	quantize256AVX2((*byte)(unsafe.Pointer(&dst[0])), &x[0], len(dst))
}

func softmax(scores [][blockLen]float32, states []softmaxState) {
	if kernels == levelPlain {
		plainSoftmax(scores, states)
		return
	}
	softmaxAVX2(&scores[0][0], &states[0].top[0], len(scores))
}

func dotKeys(scores [][blockLen]float32, queries []float32, keys []uint16, n int) {
	if kernels == levelPlain {
		eachDotKeys(scores, queries, keys, n)
		return
	}
	dim := len(keys) / blockLen
	for at := 0; at < n; {
		s, q := &scores[at][0], &queries[at*dim]
		switch left := n - at; {
		case kernels == levelAVX512 && left >= 8:
			dotKeysx8AVX512(s, q, &keys[0], dim)
			at += 8
		case kernels == levelAVX512 && left >= 4:
			dotKeysx4AVX512(s, q, &keys[0], dim)
			at += 4
		case kernels == levelAVX512 && left >= 2:
			dotKeysx2AVX512(s, q, &keys[0], dim)
			at += 2
		case kernels == levelAVX512:
			dotKeysx1AVX512(s, q, &keys[0], dim)
			at++
		case left >= 4:
			dotKeysx4AVX2(s, q, &keys[0], dim)
			at += 4
		case left >= 2:
			dotKeysx2AVX2(s, q, &keys[0], dim)
			at += 2
		default:
			dotKeysx1AVX2(s, q, &keys[0], dim)
			at++
		}
	}
}

func addValues(out, scales []float32, weights [][blockLen]float32, values []uint16, dim, from, to int) {
	level := kernels
	if level == levelAVX512 && dim%16 != 0 {
		level = levelAVX2
	}
	if level == levelPlain || dim%8 != 0 {
		eachAddValues(out, scales, weights, values, dim, from, to)
		return
	}
	v, count, n := &values[from*dim], to-from, len(scales)
	for at := 0; at < n; {
		o, f, w := &out[at*dim], &scales[at], &weights[at][from]
		switch left := n - at; {
		case level == levelAVX512 && left >= 8:
			addValuesx8AVX512(o, f, w, v, dim, count)
			at += 8
		case level == levelAVX512 && left >= 4:
			addValuesx4AVX512(o, f, w, v, dim, count)
			at += 4
		case level == levelAVX512 && left >= 2:
			addValuesx2AVX512(o, f, w, v, dim, count)
			at += 2
		case level == levelAVX512:
			addValuesx1AVX512(o, f, w, v, dim, count)
			at++
		case left >= 4:
			addValuesx4AVX2(o, f, w, v, dim, count)
			at += 4
		case left >= 2:
			addValuesx2AVX2(o, f, w, v, dim, count)
			at += 2
		default:
			addValuesx1AVX2(o, f, w, v, dim, count)
			at++
		}
	}
}

func widenFloats(dst []float32, f format, x []byte) {
	switch {
	case kernels == levelPlain || len(dst) == 0:
		plainWidenFloats(dst, f, x)
	case f == f16:
		widenF16AVX2(&dst[0], &x[0], len(dst))
	case f == bf16:
		widenBF16AVX2(&dst[0], &x[0], len(dst))
	}
}
