package engine

import (
	"math"
)

// The kernels are batch-invariant: every number that they compute is a sum in
// an order that depends only on the shapes of the model, never on how many rows
// are computed together, nor on how many goroutines share the work. Products
// are rounded before they are added (float32(x*y) forbids the compiler a fused
// multiply-add), or in one with the sum (addProducts), so that every processor
// computes the same sums.
//
// The inner loops are left out of the race detector's watch (go:norace), which
// would make them thirty times slower: what they share is decided in matmul and
// forward, which it does watch.

// rmsNorm sets dst to x divided by its root mean square, times weight. All
// have the same length; dst may be x.
//
// Source: Zhang and Sennrich 2019.
func rmsNorm(dst, x, weight []float32, eps float64) {
	normalize(dst, x, weight, float32(1/math.Sqrt(sumSquares(x)/float64(len(x))+eps)))
}

// plainSumSquares adds the squares in 8 lanes, element i to lane i mod 8, then
// lanes 4 apart, 2 apart, and the last two.
//
//go:norace
func plainSumSquares(x []float32) float64 {
	var s [8]float64
	for ; len(x) >= 8; x = x[8:] {
		for i, v := range (*[8]float32)(x) {
			s[i] += float64(v) * float64(v)
		}
	}
	for i, v := range x {
		s[i] += float64(v) * float64(v)
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// plainNormalize sets dst to x times scale times weight.
//
//go:norace
func plainNormalize(dst, x, weight []float32, scale float32) {
	for i, v := range x {
		dst[i] = float32(v*scale) * weight[i]
	}
}

// plainRope rotates the pairs (x[2i], x[2i+1]) of each head of x by the angle whose
// cosine and sine are cos[i] and sin[i]. Dimensions of a head beyond
// 2·len(cos) stay as they are. Adjacent pairs are how GGUF files of the llama
// architecture lay out a head (converters permute the rows for it).
//
// Source: Su et al. 2021.
//
//go:norace
func plainRope(x []float32, headDim int, cos, sin []float32) {
	for ; len(x) >= headDim; x = x[headDim:] {
		for i, c := range cos {
			s := sin[i]
			a, b := x[2*i], x[2*i+1]
			x[2*i] = float32(a*c) - float32(b*s)
			x[2*i+1] = float32(a*s) + float32(b*c)
		}
	}
}

// plainRopeNeoX is rope for heads whose pairs are (x[i], x[i+len(cos)]), as GPT-NeoX
// and the files of Hugging Face lay them out.
//
//go:norace
func plainRopeNeoX(x []float32, headDim int, cos, sin []float32) {
	for ; len(x) >= headDim; x = x[headDim:] {
		for i, c := range cos {
			s := sin[i]
			a, b := x[i], x[i+len(cos)]
			x[i] = float32(a*c) - float32(b*s)
			x[i+len(cos)] = float32(a*s) + float32(b*c)
		}
	}
}

// normHeads normalises each head of x, which are as long as weight.
//
// Source: Henry et al. 2020 ("query-key normalisation"), with RMSNorm.
func normHeads(x, weight []float32, eps float64) {
	for n := len(weight); len(x) >= n; x = x[n:] {
		rmsNorm(x[:n], x[:n], weight, eps)
	}
}

// plainSwiGLU sets gate to silu(gate) · up, element by element.
//
// Source: Shazeer 2020.
//
//go:norace
func plainSwiGLU(gate, up []float32) {
	for i, g := range gate {
		gate[i] = g / (1 + exp32(-g)) * up[i]
	}
}

// exp32 returns e^x within 2 units in the last place; 0 below -87.
//
// Method: x = n·ln 2 + r, the exponential of r by a polynomial (Moshier's
// Cephes), times 2ⁿ. Every step rounds to F32, so that assembly can follow.
func exp32(x float32) float32 {
	const (
		low, high = -87, 88
		log2e     = 1.44269504088896341
		ln2Hi     = 0.693359375
		ln2Lo     = -2.12194440e-4
		round     = 3 << 22 // added and taken away, leaves the nearest integer
	)
	if x < low {
		return 0
	}
	x = min(x, high)
	n := float32(x*log2e) + round
	n -= round
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(1.9875691500e-4)
	p = float32(p*r) + 1.3981999507e-3
	p = float32(p*r) + 8.3334519073e-3
	p = float32(p*r) + 4.1665795894e-2
	p = float32(p*r) + 1.6666665459e-1
	p = float32(p*r) + 5.0000001201e-1
	p = float32(float32(p*r)*r) + r
	p++
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// plainAdd adds x, at least as long, to dst.
//
//go:norace
func plainAdd(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

// addBias adds bias to dst, which is as long; a nil bias is none.
func addBias(dst, bias []float32) {
	if bias != nil {
		add(dst, bias)
	}
}

// plainScaleBy multiplies x by a.
//
//go:norace
func plainScaleBy(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}
