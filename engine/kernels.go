package engine

import (
	"math"
	"sync"
)

// The kernels are batch-invariant: every number that they compute is a sum in
// an order that depends only on the shapes of the model, never on how many rows
// are computed together, nor on how many goroutines share the work. Products
// are rounded before they are added (float32(x*y) forbids the compiler a fused
// multiply-add), so that every processor computes the same sums.
//
// The inner loops are left out of the race detector's watch (go:norace), which
// would make them thirty times slower: what they share is decided in matmul and
// forward, which it does watch.

// dot returns the sum of a[i]·x[i], added from left to right. a is at least as
// long as x. This order is the specification of every matrix product here.
//
//go:norace
func dot(a, x []float32) (s float32) {
	a = a[:len(x)]
	for i, v := range x {
		s += float32(a[i] * v)
	}
	return s
}

// dot4 computes the dots of four rows at a time: the processor adds in four
// chains instead of waiting for one.
//
//go:norace
func dot4(a, b, c, d, x []float32) (s, t, u, v float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	for i, w := range x {
		s += float32(a[i] * w)
		t += float32(b[i] * w)
		u += float32(c[i] * w)
		v += float32(d[i] * w)
	}
	return s, t, u, v
}

// dot4x2 computes the dots of four rows with two vectors, which loads the rows
// once.
//
//go:norace
func dot4x2(a, b, c, d, x, y []float32, p, q *[4]float32) {
	var s0, t0, u0, v0, s1, t1, u1, v1 float32
	a, b, c, d, y = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)], y[:len(x)]
	for i, w := range x {
		z := y[i]
		e, f, g, h := a[i], b[i], c[i], d[i]
		s0 += float32(e * w)
		t0 += float32(f * w)
		u0 += float32(g * w)
		v0 += float32(h * w)
		s1 += float32(e * z)
		t1 += float32(f * z)
		u1 += float32(g * z)
		v1 += float32(h * z)
	}
	*p, *q = [4]float32{s0, t0, u0, v0}, [4]float32{s1, t1, u1, v1}
}

// A product is a matrix and where its product goes: dst is [n, m.rows].
type product struct {
	dst []float32
	m   *matrix
}

// matmul computes dst = x · mᵀ for each product: row t of dst is m times row t
// of x, which is [n, m.cols]. All matrices have the same number of columns.
// threads goroutines share the rows of the matrices; no sum depends on their
// number.
func matmul(x []float32, n, threads int, products ...product) {
	rows := 0
	for _, p := range products {
		rows += p.m.rows
	}
	parallel(rows, n*products[0].m.cols, threads, func(from, to int) {
		for _, p := range products {
			p.rows(x, n, max(from, 0), min(to, p.m.rows))
			from, to = from-p.m.rows, to-p.m.rows
		}
	})
}

// rows computes the columns from … to of dst, which rows of m give.
func (p product) rows(x []float32, n, from, to int) {
	m := p.m
	cols := m.cols
	var buf []float32
	if m.f32 == nil && from < to {
		buf = make([]float32, 4*cols)
	}
	r := from
	for ; r+4 <= to; r += 4 {
		w := m.read(r, 4, buf)
		a, b, c, d := w[:cols], w[cols:2*cols], w[2*cols:3*cols], w[3*cols:4*cols]
		t := 0
		for ; t+2 <= n; t += 2 {
			dot4x2(a, b, c, d, x[t*cols:(t+1)*cols], x[(t+1)*cols:(t+2)*cols],
				(*[4]float32)(p.dst[t*m.rows+r:]), (*[4]float32)(p.dst[(t+1)*m.rows+r:]))
		}
		for ; t < n; t++ {
			o := p.dst[t*m.rows+r:]
			o[0], o[1], o[2], o[3] = dot4(a, b, c, d, x[t*cols:(t+1)*cols])
		}
	}
	for ; r < to; r++ {
		w := m.read(r, 1, buf)
		for t := range n {
			p.dst[t*m.rows+r] = dot(w, x[t*cols:(t+1)*cols])
		}
	}
}

// workPerGoroutine is how many multiply-adds make it worth to start a
// goroutine, which costs about a microsecond.
const workPerGoroutine = 64 << 10

// parallel calls f on ranges that cover 0 to n, each index of which costs work
// multiply-adds, on at most threads goroutines.
func parallel(n, work, threads int, f func(from, to int)) {
	parts := min(threads, n, max(1, n*work/workPerGoroutine))
	if parts <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for p := 1; p < parts; p++ {
		wg.Go(func() { f(n*p/parts, n*(p+1)/parts) })
	}
	f(0, n/parts)
	wg.Wait()
}

// rmsNorm sets dst to x divided by its root mean square, times weight. All
// have the same length; dst may be x.
//
// Source: Zhang and Sennrich 2019.
//
//go:norace
func rmsNorm(dst, x, weight []float32, eps float64) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := float32(1 / math.Sqrt(sum/float64(len(x))+eps))
	for i, v := range x {
		dst[i] = float32(v*scale) * weight[i]
	}
}

// rope rotates the pairs (x[2i], x[2i+1]) of each head of x by the angle whose
// cosine and sine are cos[i] and sin[i]. Dimensions of a head beyond
// 2·len(cos) stay as they are. Adjacent pairs are how GGUF files of the llama
// architecture lay out a head (converters permute the rows for it).
//
// Source: Su et al. 2021.
//
//go:norace
func rope(x []float32, headDim int, cos, sin []float32) {
	for ; len(x) >= headDim; x = x[headDim:] {
		for i, c := range cos {
			s := sin[i]
			a, b := x[2*i], x[2*i+1]
			x[2*i] = float32(a*c) - float32(b*s)
			x[2*i+1] = float32(a*s) + float32(b*c)
		}
	}
}

// ropeNeoX is rope for heads whose pairs are (x[i], x[i+len(cos)]), as GPT-NeoX
// and the files of Hugging Face lay them out.
//
//go:norace
func ropeNeoX(x []float32, headDim int, cos, sin []float32) {
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

// swiGLU sets gate to silu(gate) · up, element by element.
//
// Source: Shazeer 2020.
//
//go:norace
func swiGLU(gate, up []float32) {
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

// add adds x, at least as long, to dst.
//
//go:norace
func add(dst, x []float32) {
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

// scaleBy multiplies x by a.
//
//go:norace
func scaleBy(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}
