package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

var weightTypes = map[string]tensorType{
	"F32": typeF32, "F16": typeF16, "BF16": typeBF16, "Q8_0": typeQ8_0,
	"Q4_0": typeQ4_0, "Q4_1": typeQ4_1, "Q5_0": typeQ5_0, "Q5_1": typeQ5_1,
	"Q2_K": typeQ2_K, "Q3_K": typeQ3_K, "Q4_K": typeQ4_K, "Q5_K": typeQ5_K, "Q6_K": typeQ6_K,
}

// randomTensor returns the data of a tensor with weights of around 1.
func randomTensor(rng *rand.Rand, typ tensorType, rows, cols int) []byte {
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	return ggufwrite.Encode(uint32(typ), w)
}

func pack(t testing.TB, typ tensorType, rows, cols int, data []byte) *matrix {
	t.Helper()
	a, err := newArena(packedBytes(typ, rows, cols))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.release() })
	return newMatrix(a, typ, rows, cols, data)
}

// withKernels runs f with the kernels of each level that the processor has.
func withKernels(t testing.TB, f func(name string)) {
	best := kernels
	defer func() { kernels = best }()
	for l := levelPlain; l <= bestLevel; l++ {
		kernels = l
		f(levelNames[l])
	}
}

// Repacking loses nothing: each row is what the decoder of the type gives.
func TestRepack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, typ := range weightTypes {
		for _, rows := range []int{1, 16, 37} {
			const cols = 512
			data := randomTensor(rng, typ, rows, cols)
			if elements, _, _ := typ.block(); elements > 1 {
				// Any bits are weights, but for scales that are not numbers.
				for i := range data {
					if rng.IntN(3) == 0 {
						data[i] = byte(rng.Uint32())
					}
				}
			}
			m := pack(t, typ, rows, cols, data)
			want, got := make([]float32, rows*cols), make([]float32, cols)
			widen(want, typ, data)
			for r := range rows {
				m.row(got, r)
				for i, w := range want[r*cols : (r+1)*cols] {
					if math.Float32bits(got[i]) != math.Float32bits(w) && w == w {
						t.Fatalf("%s: row %d of %d, column %d is %g, want %g", name, r, rows, i, got[i], w)
					}
				}
			}
		}
	}
}

// Every product is near the one in float64: activations are rounded to 8 bits
// where weights are quantised.
func TestMatmul(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, typ := range weightTypes {
		const rows, cols, n = 37, 512, 3
		data := randomTensor(rng, typ, rows, cols)
		m := pack(t, typ, rows, cols, data)
		w, x := make([]float32, rows*cols), make([]float32, n*cols)
		widen(w, typ, data)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		dst := make([]float32, n*rows)
		matmul(&activations{}, x, n, 1, product{dst, m})
		bound := 1e-4
		if f := formatOf(typ); f >= q8 && f != asFile {
			bound = 1 // of sums around 20
		}
		for i, got := range dst {
			var want float64
			for k := range cols {
				want += float64(w[i%rows*cols+k]) * float64(x[i/rows*cols+k])
			}
			if math.Abs(float64(got)-want) > bound {
				t.Errorf("%s: row %d of column %d is %g, want %g", name, i/rows, i%rows, got, want)
			}
		}
	}
}

// The assembly computes the bits of plain Go, for any number of rows, on any
// number of goroutines.
func TestKernels(t *testing.T) {
	defer func(l level) { kernels = l }(kernels)
	rng := rand.New(rand.NewPCG(3, 3))
	inputs := map[string]func() float32{
		"random":  func() float32 { return float32(rng.NormFloat64()) },
		"zero":    func() float32 { return 0 },
		"spikes":  func() float32 { return float32(math.Exp(8 * rng.NormFloat64())) },
		"extreme": func() float32 { return []float32{1, -1}[rng.IntN(2)] },
		"tiny":    func() float32 { return float32(rng.NormFloat64()) * 1e-30 },
	}
	for name, typ := range weightTypes {
		for _, rows := range []int{16, 101} {
			cols := 512
			if elements, _, _ := typ.block(); elements == 1 {
				cols = 41
			}
			data := randomTensor(rng, typ, rows, cols)
			if formatOf(typ) == q8 && typ == typeQ8_0 {
				for i := range data { // the largest sums that there are
					if i%34 > 1 && rng.IntN(2) == 0 {
						data[i] = []byte{127, 128, 129}[rng.IntN(3)]
					}
				}
			}
			m := pack(t, typ, rows, cols, data)
			for kind, draw := range inputs {
				for _, n := range []int{1, 2, 3, 5, 9, 16, 31, 67} {
					x := make([]float32, n*cols)
					for i := range x {
						x[i] = draw()
					}
					kernels = levelPlain
					want := make([]float32, n*rows)
					matmul(&activations{}, x, n, 1, product{want, m})
					for kernels = levelAVX2; kernels <= bestLevel; kernels++ {
						for _, threads := range []int{1, 3} {
							got := make([]float32, n*rows)
							matmul(&activations{}, x, n, threads, product{got, m})
							if i := firstDifference(got, want); i >= 0 {
								t.Fatalf("%s, %s, %s, %d rows times %d, %d threads: element %d is %g, want %g",
									name, kind, levelNames[kernels], rows, n, threads, i, got[i], want[i])
							}
						}
					}
				}
			}
		}
	}
}

// firstDifference returns where a and b have other bits, -1 if nowhere.
func firstDifference(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

func BenchmarkMatmul(b *testing.B) {
	rng := rand.New(rand.NewPCG(4, 4))
	const rows, cols = 2048, 2048
	for _, name := range []string{"F32", "F16", "Q8_0", "Q4_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"} {
		m := pack(b, weightTypes[name], rows, cols, randomTensor(rng, weightTypes[name], rows, cols))
		for _, n := range []int{1, 8, 64} {
			x, dst := make([]float32, n*cols), make([]float32, n*rows)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			withKernels(b, func(level string) {
				b.Run(fmt.Sprintf("%s/rows=%d/%s", name, n, level), func(b *testing.B) {
					a := &activations{}
					for b.Loop() {
						matmul(a, x, n, 1, product{dst, m})
					}
					per := float64(b.N) / b.Elapsed().Seconds()
					b.ReportMetric(per*float64(n*rows*cols)/1e9, "GMAC/s")
					b.ReportMetric(per*float64(len(m.quants)+len(m.meta))/1e9, "GB/s")
				})
			})
		}
	}
}
