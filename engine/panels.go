package engine

import (
	"math"
	"unsafe"
)

// A panelKernel multiplies panels, one after another, with rows of activations
// (as many as its tile has), and sets 16 numbers of each row of dst for each
// panel. stride is how many bytes the next row of dst is on, xstride likewise of
// x; blocks is how many blocks a panel has.
type panelKernel func(dst *float32, stride int, quants, meta, x *byte, xstride, blocks, panels int)

// A kernelSet has the kernels of one format, of decreasing tiles, the last of 1
// row.
type kernelSet []struct {
	rows int
	run  panelKernel
}

// A tile is rows at to at+n of the activations, which one call computes.
type tile struct {
	at, n  int
	kernel panelKernel
}

// cover appends tiles that cover n rows.
func (k kernelSet) cover(tiles []tile, n int) []tile {
	for at := 0; at < n; {
		for _, kernel := range k {
			if kernel.rows <= n-at {
				tiles = append(tiles, tile{at, kernel.rows, kernel.run})
				at += kernel.rows
				break
			}
		}
	}
	return tiles
}

// plainKernels are the specification of the products.
var plainKernels = [formats]kernelSet{
	f32:     {{1, plainDense(f32)}},
	f16:     {{1, plainDense(f16)}},
	bf16:    {{1, plainDense(bf16)}},
	q8:      {{1, plainQ8}},
	q8Least: {{1, plainQ8Least}},
	q4:      {{1, plainQ4}},
	q4K:     {{1, plainQ45K(q4K)}},
	q5K:     {{1, plainQ45K(q5K)}},
	q6K:     {{1, plainQ6K}},
}

// A lanes holds a number for each row of a panel.
type lanes [panelRows]float32

// eachPanel calls f for each panel and stores what it returns.
//
//go:norace
func eachPanel(f format, dst *float32, quants, meta *byte, blocks, panels int, sum func(s *lanes, quants, meta []byte)) {
	info := formatInfos[f]
	for p := range panels {
		var q, m []byte
		q = unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(quants), p*blocks*info.quants)), blocks*info.quants)
		if info.meta > 0 {
			m = unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(meta), p*blocks*info.meta)), blocks*info.meta)
		}
		s := (*lanes)(unsafe.Add(unsafe.Pointer(dst), p*panelRows*4))
		*s = lanes{}
		sum(s, q, m)
	}
}

// plainDense adds column by column, from left to right, each product in one
// step.
func plainDense(f format) panelKernel {
	return func(dst *float32, _ int, quants, meta, x *byte, _, cols, panels int) {
		xs := unsafe.Slice((*float32)(unsafe.Pointer(x)), cols)
		eachPanel(f, dst, quants, meta, cols, panels, func(s *lanes, quants, _ []byte) {
			switch f {
			case f32:
				addColumns(s, unsafe.Slice((*lanes)(unsafe.Pointer(unsafe.SliceData(quants))), cols), xs)
			case f16:
				addHalves(s, unsafe.Slice((*[panelRows]uint16)(unsafe.Pointer(unsafe.SliceData(quants))), cols), xs)
			case bf16:
				addBrains(s, unsafe.Slice((*[panelRows]uint16)(unsafe.Pointer(unsafe.SliceData(quants))), cols), xs)
			}
		})
	}
}

//go:norace
func addColumns(s *lanes, w []lanes, x []float32) {
	for i, v := range x {
		s.addProducts(&w[i], v)
	}
}

//go:norace
func addHalves(s *lanes, w [][panelRows]uint16, x []float32) {
	var column lanes
	for i, v := range x {
		for r, a := range &w[i] {
			column[r] = widened[a]
		}
		s.addProducts(&column, v)
	}
}

//go:norace
func addBrains(s *lanes, w [][panelRows]uint16, x []float32) {
	var column lanes
	for i, v := range x {
		for r, a := range &w[i] {
			column[r] = brain(a)
		}
		s.addProducts(&column, v)
	}
}

// addProducts adds the products of w and x. Product and sum are rounded once,
// together, as a processor's fused multiply-add does it.
//
//go:norace
func (s *lanes) addProducts(w *lanes, x float32) {
	for r, a := range w {
		product, before := float64(a)*float64(x), float64(s[r]) // exact
		sum := product + before
		// If this looks as if it lay halfway between two float32, or may so
		// because it is below all normal ones, what was rounded away decides.
		if bits := math.Float64bits(sum); bits<<35 == 1<<63 || bits<<1 < 897<<53 {
			sum = roundedToOdd(sum, product, before)
		}
		s[r] = float32(sum)
	}
}

// roundedToOdd returns the sum of a and b, given as rounded to the nearest; if
// that is even, and more or less than the sum, the float64 on the other side of
// the sum. To round it again does no harm.
//
// Source: Boldo and Melquiond 2008; Knuth 1969 for the error of a sum.
func roundedToOdd(sum, a, b float64) float64 {
	back := sum - a
	lost := (a - (sum - back)) + (b - back)
	if lost != 0 && math.Float64bits(sum)&1 == 0 {
		sum = math.Nextafter(sum, math.Copysign(math.Inf(1), lost))
	}
	return sum
}

// dot4s adds to each lane the products of the 4 bytes of a chunk, less offset,
// and 4 activations. shift and mask choose bits of the bytes.
//
//go:norace
func dot4s(sums *[panelRows]int32, chunk *[64]byte, shift, mask byte, x []int8) {
	x0, x1, x2, x3 := int32(x[0]), int32(x[1]), int32(x[2]), int32(x[3])
	for r := range sums {
		w := (*[4]byte)(chunk[4*r:])
		sums[r] += int32(w[0]>>shift&mask)*x0 + int32(w[1]>>shift&mask)*x1 +
			int32(w[2]>>shift&mask)*x2 + int32(w[3]>>shift&mask)*x3
	}
}

// addScaled adds to each lane its integer, times the product of the scale of
// the weights, scales[lane], and that of the activations.
//
//go:norace
func addScaled(s *lanes, sums *[panelRows]int32, scales []byte, scale float32) {
	for r := range s {
		s[r] += float32(float32(sums[r]) * float32(half(scales[2*r:])*scale))
	}
}

//go:norace
func plainQ8(dst *float32, _ int, quants, meta, x *byte, _, blocks, panels int) {
	xs := unsafe.Slice((*block32)(unsafe.Pointer(x)), blocks)
	eachPanel(q8, dst, quants, meta, blocks, panels, func(s *lanes, quants, meta []byte) {
		for b := range xs {
			x := &xs[b]
			sums := [panelRows]int32{}
			for c := range 8 {
				dot4s(&sums, (*[64]byte)(quants[b*512+64*c:]), 0, 255, x.q[4*c:])
			}
			for r := range sums {
				sums[r] += x.offset
			}
			addScaled(s, &sums, meta[32*b:], x.scale)
		}
	})
}

//go:norace
func plainQ8Least(dst *float32, _ int, quants, meta, x *byte, _, blocks, panels int) {
	xs := unsafe.Slice((*block32)(unsafe.Pointer(x)), blocks)
	eachPanel(q8Least, dst, quants, meta, blocks, panels, func(s *lanes, quants, meta []byte) {
		for b := range xs {
			x := &xs[b]
			sums := [panelRows]int32{}
			for c := range 8 {
				dot4s(&sums, (*[64]byte)(quants[b*512+64*c:]), 0, 255, x.q[4*c:])
			}
			addScaled(s, &sums, meta[64*b:], x.scale)
			for r := range s {
				s[r] += float32(half(meta[64*b+32+2*r:]) * x.sum)
			}
		}
	})
}

//go:norace
func plainQ4(dst *float32, _ int, quants, meta, x *byte, _, blocks, panels int) {
	xs := unsafe.Slice((*block32)(unsafe.Pointer(x)), blocks)
	eachPanel(q4, dst, quants, meta, blocks, panels, func(s *lanes, quants, meta []byte) {
		for b := range xs {
			x := &xs[b]
			sums := [panelRows]int32{}
			for c := range 4 {
				chunk := (*[64]byte)(quants[b*256+64*c:])
				dot4s(&sums, chunk, 0, 15, x.q[4*c:])
				dot4s(&sums, chunk, 4, 15, x.q[4*c+16:])
			}
			for r := range sums {
				sums[r] += x.offset
			}
			addScaled(s, &sums, meta[32*b:], x.scale)
		}
	})
}

// plainQ45K adds up a superblock in integers: the sums of 32 columns times
// their scales; then, times its scale, what the least values take away.
func plainQ45K(f format) panelKernel {
	return func(dst *float32, _ int, quants, meta, x *byte, _, blocks, panels int) {
		xs := unsafe.Slice((*block256)(unsafe.Pointer(x)), blocks)
		eachPanel(f, dst, quants, meta, blocks, panels, func(s *lanes, quants, meta []byte) {
			info := formatInfos[f]
			for b := range xs {
				addQ45K(s, f, quants[b*info.quants:], meta[b*info.meta:], &xs[b])
			}
		})
	}
}

//go:norace
func addQ45K(s *lanes, f format, quants, meta []byte, x *block256) {
	var total, least [panelRows]int32
	for j := range 8 {
		var sums, fifth [panelRows]int32
		for c := range 8 {
			at := x.q[32*j+4*c:]
			dot4s(&sums, (*[64]byte)(quants[64*(j/2*8+c):]), byte(j%2*4), 15, at)
			if f == q5K {
				dot4s(&fifth, (*[64]byte)(quants[2048+64*c:]), byte(j), 1, at)
			}
		}
		for r := range total {
			total[r] += (sums[r] + 16*fifth[r]) * int32(meta[kScales+16*j+r])
			least[r] += int32(meta[kMins+j/2*32+2*r+j%2]) * int32(x.sums32[j])
		}
	}
	addScaled(s, &total, meta, x.scale)
	for r := range s {
		s[r] -= float32(float32(least[r]) * float32(half(meta[kLeast+2*r:])*x.scale))
	}
}

//go:norace
func plainQ6K(dst *float32, _ int, quants, meta, x *byte, _, blocks, panels int) {
	xs := unsafe.Slice((*block256)(unsafe.Pointer(x)), blocks)
	eachPanel(q6K, dst, quants, meta, blocks, panels, func(s *lanes, quants, meta []byte) {
		for b := range xs {
			x, quants, meta := &xs[b], quants[b*3072:], meta[b*q6Meta:]
			total := [panelRows]int32{}
			for j := range 16 {
				group, part := quants[768*(j/4):], j%4
				var low, high [panelRows]int32
				for c := range 4 {
					at := x.q[16*j+4*c:]
					dot4s(&low, (*[64]byte)(group[64*(part/2*4+c):]), byte(part%2*4), 15, at)
					dot4s(&high, (*[64]byte)(group[512+64*c:]), byte(part*2), 3, at)
				}
				for r := range total {
					total[r] += (low[r] + 16*high[r] + x.sums16[j]) * int32(int8(meta[q6Scale+16*j+r]))
				}
			}
			addScaled(s, &total, meta, x.scale)
		}
	})
}
