package engine

import (
	"encoding/binary"
	"math"
)

// widened holds the value of every half-precision number.
var widened = func() *[1 << 16]float32 {
	t := new([1 << 16]float32)
	for h := range t {
		t[h] = float16(uint16(h))
	}
	return t
}()

// float16 widens an IEEE 754 half-precision number.
func float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch exp {
	case 0: // zero, or subnormal: the fraction counts 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)/(1<<24)))
	case 0x1f: // infinite, or not a number
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// narrow returns the half-precision number that is nearest to x, of two the
// even one; infinite beyond 65 519.
func narrow(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits>>16) & 0x8000
	bits &^= 1 << 31
	switch {
	case bits > 0xff<<23: // not a number; quiet, with the top of its payload
		return sign | 0x7e00 | uint16(bits>>13)&0x3ff
	case bits >= (127+16)<<23-1<<12: // 65 520 and above
		return sign | 0x7c00
	case bits < (127-14)<<23: // subnormal: let the addition round to 2^-24
		const magic = 0.5
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+magic)-math.Float32bits(magic))
	}
	bits += 0xfff + bits>>13&1 // to nearest, ties to even
	return sign | uint16((bits-(127-15)<<23)>>13)
}

// plainNarrow16 narrows x into dst, which is as long.
//
//go:norace
func plainNarrow16(dst []uint16, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = narrow(x[i])
	}
}

// brain widens a BF16 number, the upper half of an F32.
func brain(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// plainWidenFloats widens len(dst) numbers of F16 or BF16.
//
//go:norace
func plainWidenFloats(dst []float32, f format, x []byte) {
	for i := range dst {
		h := binary.LittleEndian.Uint16(x[2*i:])
		if f == f16 {
			dst[i] = widened[h]
		} else {
			dst[i] = brain(h)
		}
	}
}
