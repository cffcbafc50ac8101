package engine

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// The assembly of what is not a matrix product computes the bits of plain Go.
func TestVectorKernels(t *testing.T) {
	defer func(l level) { kernels = l }(kernels)
	rng := rand.New(rand.NewPCG(6, 6))
	inf := float32(math.Inf(1))
	for name, draw := range map[string]func() float32{
		"random": func() float32 { return float32(rng.NormFloat64()) * 3 },
		"wide":   func() float32 { return float32(math.Exp(20*rng.NormFloat64())) * float32(rng.NormFloat64()) },
		"edges":  func() float32 { return []float32{0, 1, -1, inf, -inf, 1e-40, 65520, 88.5, -87.5}[rng.IntN(9)] },
	} {
		for _, n := range []int{1, 8, 24, 37, 256} {
			x, y := make([]float32, 1024), make([]float32, 1024)
			for i := range x {
				x[i], y[i] = draw(), draw()
			}
			compute := func(l level) [][]float32 {
				kernels = l
				var results [][]float32
				keep := func(f func(a, b []float32)) {
					a, b := slices.Clone(x), slices.Clone(y)
					f(a[:n], b[:n])
					results = append(results, a, b)
				}
				keep(swiGLU)
				keep(add)
				keep(func(a, _ []float32) { scaleBy(a, 1.7) })
				keep(func(a, b []float32) { rmsNorm(a, b, a, 1e-5) })
				keep(func(a, _ []float32) {
					h := make([]uint16, n)
					narrow16(h, a)
					for i := range h {
						a[i] = float16(h[i])
					}
				})
				keep(func(a, b []float32) { rope(a, n, b[:n/2], y[512:][:n/2]) })
				keep(func(a, b []float32) { ropeNeoX(a, n, b[:n/2], y[512:][:n/2]) })
				states := make([]softmaxState, 2)
				for i := range states {
					states[i].top = noScores
				}
				for _, part := range [][]float32{x, y} {
					scores := make([][blockLen]float32, 11)
					for i := range scores {
						copy(scores[i][:], part[29*i:])
						for j := n; j < blockLen; j++ {
							scores[i][j] = -inf
						}
					}
					softmax(scores, states)
					for i := range scores {
						s, lane := &states[i/8], i%8
						results = append(results, scores[i][:], []float32{s.top[lane], s.sum[lane], s.scale[lane]})
					}
				}
				if name != "edges" { // integers of what is not finite are anything
					b32, b256 := make([]block32, 32), make([]block256, 4)
					quantize32(b32, x, 8)
					quantize256(b256, x)
					results = append(results, unsafe.Slice((*float32)(unsafe.Pointer(&b32[0])), 32*11),
						unsafe.Slice((*float32)(unsafe.Pointer(&b256[0])), 4*85))
				}
				return results
			}
			want := compute(levelPlain)
			for l := levelAVX2; l <= bestLevel; l++ {
				for i, got := range compute(l) {
					for j := range got {
						if math.Float32bits(got[j]) != math.Float32bits(want[i][j]) && (got[j] == got[j] || want[i][j] == want[i][j]) {
							t.Fatalf("%s, length %d, %s, result %d: element %d is %g, want %g", name, n, levelNames[l], i, j, got[j], want[i][j])
						}
					}
				}
			}
		}
	}
}

// Products of floats are added with one rounding, whatever adds them.
func TestProductsAreRoundedOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	draw := func(exponent int) float32 {
		return float32(math.Ldexp(float64(rng.IntN(3)-1)*math.Ldexp(float64(1<<23+rng.IntN(3)*rng.IntN(1<<23)), -23), exponent))
	}
	const ulp = 1. / (1 << 23)
	ties := 0
	for range 2000 {
		var w [2]lanes // a number, then the factors of what is added to it
		unit := math.Ldexp(1, -75*rng.IntN(2))
		x := [2]float32{1, float32(unit * (1 + ulp*float64(rng.IntN(9)-4)))}
		for r := range w[0] {
			w[0][r], w[1][r] = draw(rng.IntN(60)-30), draw(rng.IntN(60)-30)
			switch r % 4 {
			case 1: // half a unit in the last place, more or less by a little
				w[1][r] = float32(math.Ldexp(1+ulp*float64(rng.IntN(9)-4), -24))
				w[0][r] = float32(unit * (1 + ulp*float64(rng.IntN(5))))
			case 2: // the same below all normal numbers
				w[1][r] = float32(math.Ldexp(1+ulp*float64(rng.IntN(9)-4), -75))
				w[0][r] = math.Float32frombits(rng.Uint32N(1 << 23))
			}
		}
		var want lanes
		for r := range want {
			exact := new(big.Float).SetPrec(1000).SetFloat64(float64(w[1][r]))
			exact.Mul(exact, new(big.Float).SetFloat64(float64(x[1])))
			exact.Add(exact, new(big.Float).SetFloat64(float64(w[0][r])))
			want[r], _ = exact.Float32()
			if twice := float32(float64(w[1][r])*float64(x[1]) + float64(w[0][r])); twice != want[r] {
				ties++
			}
		}
		withKernels(t, func(level string) {
			var got lanes
			k := kernelsOf(f32)
			k[len(k)-1].run(&got[0], 4*panelRows, &memoryOf(w[0][:])[0], nil, &memoryOf(x[:])[0], 0, 2, 1)
			for r := range got {
				if got[r] != want[r] {
					t.Fatalf("%s: %g · %g + %g is %g, want %g", level, w[1][r], x[1], w[0][r], got[r], want[r])
				}
			}
		})
	}
	if ties < 100 {
		t.Errorf("only %d sums would be others if they were rounded twice", ties)
	}
}

// All kernels give a whole model the same bits.
func TestLevels(t *testing.T) {
	defer func(l level) { kernels = l }(kernels)
	for _, test := range []struct {
		heads, kvHeads, headDim int
		typ                     uint32
	}{
		{4, 2, 8, ggufwrite.Q8_0}, {4, 4, 16, ggufwrite.F16}, {8, 2, 48, ggufwrite.Q4_0}, {3, 1, 80, ggufwrite.F32},
		{9, 3, 64, ggufwrite.Q8_0}, {2, 2, 30, ggufwrite.F32}, {12, 1, 16, ggufwrite.BF16}, {4, 1, 64, ggufwrite.Q4_K},
	} {
		s := ggufwrite.Small
		s.Heads, s.KVHeads, s.HeadDim, s.Type = test.heads, test.kvHeads, test.headDim, test.typ
		s.Layers, s.Dim, s.FFN = 1, 256, 256
		m := randomModel(t, s)
		ids := make([]int, 75)
		for i := range ids {
			ids[i] = i * 7 % m.Config().VocabSize
		}
		kernels = levelPlain
		want := logitsAfter(m, ids, 75, 1)
		withKernels(t, func(level string) {
			for _, chunk := range []int{13, 75} {
				if got := logitsAfter(m, ids, chunk, 2); !slices.Equal(got, want) {
					t.Errorf("%+v: %s in chunks of %d gives other bits", test, level, chunk)
				}
			}
		})
	}
}

func BenchmarkVectors(b *testing.B) {
	const n = 2048
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], y[i] = float32(i%7)/7, float32(i%5)/5
	}
	b32, b256 := make([]block32, n/32), make([]block256, n/256)
	for name, f := range map[string]func(){
		"swiGLU":      func() { swiGLU(x, y) },
		"rmsNorm":     func() { rmsNorm(x, x, y, 1e-5) },
		"rope":        func() { rope(x, n, y[:n/2], y[n/2:]) },
		"quantize32":  func() { quantize32(b32, y, 8) },
		"quantize256": func() { quantize256(b256, y) },
	} {
		withKernels(b, func(level string) {
			b.Run(name+"/"+level, func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		})
	}
}

func BenchmarkAttention(b *testing.B) {
	c := &Config{Layers: 1, Heads: 32, KVHeads: 4, HeadDim: 64}
	cache := newKVCache(c)
	for _, n := range []int{1, 64} {
		rows := make([]row, n)
		for i := range rows {
			for cache.len < 512+i {
				cache.next()
			}
			rows[i] = row{cache: cache, pos: cache.next()}
		}
		q, out := make([]float32, n*2048), make([]float32, n*2048)
		for i := range q {
			q[i] = float32(i%11) / 11
		}
		tasks := attendTasks(nil, c, rows)
		withKernels(b, func(level string) {
			b.Run(fmt.Sprintf("rows=%d/%s", n, level), func(b *testing.B) {
				var a attention
				for b.Loop() {
					for _, task := range tasks {
						a.attend(c, out, q, rows, task, 0)
					}
				}
			})
		})
	}
}
