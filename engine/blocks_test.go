package engine

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// blockTypes are the types of tensors that keep elements in blocks, and where
// their half-precision numbers lie.
var blockTypes = []struct {
	typ    tensorType
	halves []int
	crc    uint32  // of 64 blocks of TestBlocks, decoded by ggml's dequantize_row_*
	last   float32 // of them
}{
	{typeQ4_0, []int{0}, 0x75410512, 0.00376129150390625},
	{typeQ4_1, []int{0, 2}, 0xc25109fb, -1.0115070343017578},
	{typeQ5_0, []int{0}, 0x2fe1c9cf, 0.69091796875},
	{typeQ5_1, []int{0, 2}, 0x42645c75, -0.9266512393951416},
	{typeQ8_0, []int{0}, 0x40455a24, -0.000947117805480957},
	{typeQ2_K, []int{80, 82}, 0xab0c3fff, 0.2245025634765625},
	{typeQ3_K, []int{108}, 0x1ecab171, -0.06669044494628906},
	{typeQ4_K, []int{0, 2}, 0xbfef3037, -34.2373161315918},
	{typeQ5_K, []int{0, 2}, 0xb65b6273, -198.704833984375},
	{typeQ6_K, []int{208}, 0x54ad6e6f, 1.0133342742919922},
}

// Blocks of arbitrary bits are the same numbers to the last bit that ggml reads.
func TestBlocks(t *testing.T) {
	for _, test := range blockTypes {
		elements, size, _ := test.typ.block()
		const n = 64
		raw := make([]byte, n*size)
		x := uint32(2463534242) // Marsaglia's xorshift
		for i := range raw {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			raw[i] = byte(x)
		}
		for block := range n {
			for _, at := range test.halves {
				raw[block*size+at+1] &= 0xbf // finite, below 2
			}
		}
		y := make([]float32, n*elements)
		widen(y, test.typ, raw)
		var decoded []byte
		for _, v := range y {
			decoded = binary.LittleEndian.AppendUint32(decoded, math.Float32bits(v))
		}
		if got := crc32.ChecksumIEEE(decoded); got != test.crc || y[len(y)-1] != test.last {
			t.Errorf("%s: checksum %#x, want %#x; last %g, want %g", test.typ, got, test.crc, y[len(y)-1], test.last)
		}
	}
}

// What the writer of the tests encodes is near what it was given.
func TestBlocksRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, test := range []struct {
		typ  tensorType
		most float64 // relative root mean square of the errors, about half a step
	}{
		{typeF32, 0}, {typeF16, 3e-4}, {typeBF16, 3e-3}, {typeQ8_0, 0.006},
		{typeQ4_0, 0.11}, {typeQ4_1, 0.1}, {typeQ5_0, 0.06}, {typeQ5_1, 0.05},
		{typeQ2_K, 0.4}, {typeQ3_K, 0.2}, {typeQ4_K, 0.1}, {typeQ5_K, 0.05}, {typeQ6_K, 0.025},
	} {
		x := make([]float32, 16*superBlock)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		y := make([]float32, len(x))
		widen(y, test.typ, ggufwrite.Encode(uint32(test.typ), x))
		var wrong, all float64
		for i := range x {
			wrong += math.Pow(float64(x[i]-y[i]), 2)
			all += math.Pow(float64(x[i]), 2)
		}
		if got := math.Sqrt(wrong / all); got > test.most {
			t.Errorf("%s: error %.4f, want at most %.4f", test.typ, got, test.most)
		}
	}
}

func TestFloat16(t *testing.T) {
	for h := range 1 << 16 {
		got := float64(float16(uint16(h)))
		sign, exp, frac := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac, -24)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			want = math.NaN()
		}
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%#04x: %g, want %g", h, got, want)
		}
	}
}
