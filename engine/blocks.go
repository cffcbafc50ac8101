package engine

import (
	"encoding/binary"
	"math"
)

// The element types of tensors. Types beyond F32, F16 and BF16 keep elements in
// blocks: small integers that share a scale d, some also a least value m. The
// decoders here are the specification of what the kernels compute with; they
// round every product and sum to float32.
//
// Block layouts: ggml-common.h of https://github.com/ggml-org/ggml.
const (
	typeF32  tensorType = 0
	typeF16  tensorType = 1
	typeQ4_0 tensorType = 2
	typeQ4_1 tensorType = 3
	typeQ5_0 tensorType = 6
	typeQ5_1 tensorType = 7
	typeQ8_0 tensorType = 8
	typeQ2_K tensorType = 10
	typeQ3_K tensorType = 11
	typeQ4_K tensorType = 12
	typeQ5_K tensorType = 13
	typeQ6_K tensorType = 14
	typeBF16 tensorType = 30
)

// superBlock is how many elements a block of the K types has.
const superBlock = 256

// block says how many elements share a block and how many bytes it has; ok is
// false for the types that this engine does not read.
func (t tensorType) block() (elements, bytes int, ok bool) {
	switch t {
	case typeF32:
		return 1, 4, true
	case typeF16, typeBF16:
		return 1, 2, true
	case typeQ4_0: // d; 16 bytes of nibbles
		return 32, 2 + 16, true
	case typeQ4_1: // d, m; nibbles
		return 32, 4 + 16, true
	case typeQ5_0: // d; 32 fifth bits; nibbles
		return 32, 2 + 4 + 16, true
	case typeQ5_1: // d, m; fifth bits; nibbles
		return 32, 4 + 4 + 16, true
	case typeQ8_0: // d; 32 int8
		return 32, 2 + 32, true
	case typeQ2_K: // 16 scales and least values of 4 bits; 2-bit numbers; d, m
		return superBlock, 16 + 64 + 4, true
	case typeQ3_K: // third bits; 2-bit numbers; 16 scales of 6 bits; d
		return superBlock, 32 + 64 + 12 + 2, true
	case typeQ4_K: // d, m; 8 scales and least values of 6 bits; nibbles
		return superBlock, 4 + 12 + 128, true
	case typeQ5_K: // d, m; 8 scales and least values of 6 bits; fifth bits; nibbles
		return superBlock, 4 + 12 + 32 + 128, true
	case typeQ6_K: // nibbles; bits 4 and 5; 16 int8 scales; d
		return superBlock, 128 + 64 + 16 + 2, true
	}
	return 0, 0, false
}

// widen decodes raw, len(dst) elements of type typ, into dst.
func widen(dst []float32, typ tensorType, raw []byte) {
	elements, size, _ := typ.block()
	switch typ {
	case typeF32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return
	case typeF16:
		for i := range dst {
			dst[i] = half(raw[2*i:])
		}
		return
	case typeBF16: // the upper half of a float32
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
		return
	}
	decode := decoders[typ]
	for ; len(dst) >= elements; dst, raw = dst[elements:], raw[size:] {
		decode(dst[:elements], raw[:size])
	}
}

// decoders decode one block.
var decoders = map[tensorType]func(y []float32, b []byte){
	typeQ4_0: func(y []float32, b []byte) {
		d := half(b)
		for i, q := range b[2:] {
			y[i] = d * float32(int(q&15)-8)
			y[i+16] = d * float32(int(q>>4)-8)
		}
	},
	typeQ4_1: func(y []float32, b []byte) {
		d, m := half(b), half(b[2:])
		for i, q := range b[4:] {
			y[i] = float32(d*float32(q&15)) + m
			y[i+16] = float32(d*float32(q>>4)) + m
		}
	},
	typeQ5_0: func(y []float32, b []byte) {
		d, high := half(b), binary.LittleEndian.Uint32(b[2:])
		for i, q := range b[6:] {
			y[i] = d * float32(int(uint32(q&15)|high>>i&1<<4)-16)
			y[i+16] = d * float32(int(uint32(q>>4)|high>>(i+16)&1<<4)-16)
		}
	},
	typeQ5_1: func(y []float32, b []byte) {
		d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
		for i, q := range b[8:] {
			y[i] = float32(d*float32(uint32(q&15)|high>>i&1<<4)) + m
			y[i+16] = float32(d*float32(uint32(q>>4)|high>>(i+16)&1<<4)) + m
		}
	},
	typeQ8_0: func(y []float32, b []byte) {
		d := half(b)
		for i, q := range b[2:] {
			y[i] = d * float32(int8(q))
		}
	},
	typeQ2_K: func(y []float32, b []byte) {
		scales, qs, d, m := b[:16], b[16:80], half(b[80:]), half(b[82:])
		// Each half of 128 elements has 32 bytes, which hold 4 rows of 32
		// numbers one above the other; 16 elements share a scale.
		for i := range y {
			q := qs[i/128*32+i%32] >> (i / 32 % 4 * 2) & 3
			s := scales[i/16]
			y[i] = float32(float32(d*float32(s&15))*float32(q)) - float32(m*float32(s>>4))
		}
	},
	typeQ3_K: func(y []float32, b []byte) {
		high, qs, d := b[:32], b[32:96], half(b[108:])
		scales := scalesQ3K(b[96:108])
		for i := range y { // laid out as in Q2_K, a third bit in high
			q := int(qs[i/128*32+i%32]>>(i/32%4*2)&3) | int(high[i%32]>>(i/32)&1)<<2
			y[i] = float32(d*float32(scales[i/16])) * float32(q-4)
		}
	},
	typeQ4_K: func(y []float32, b []byte) {
		d, m, qs := half(b), half(b[2:]), b[16:]
		for j := 0; j < 8; j += 2 { // rows j and j+1 share 32 bytes
			s0, m0 := scaleMinK(b[4:16], j)
			s1, m1 := scaleMinK(b[4:16], j+1)
			scale0, least0 := float32(d*float32(s0)), float32(m*float32(m0))
			scale1, least1 := float32(d*float32(s1)), float32(m*float32(m1))
			lo, hi := y[32*j:32*j+32], y[32*j+32:32*j+64]
			for i, q := range qs[16*j : 16*j+32] {
				lo[i] = float32(scale0*float32(q&15)) - least0
				hi[i] = float32(scale1*float32(q>>4)) - least1
			}
		}
	},
	typeQ5_K: func(y []float32, b []byte) {
		d, m, high, qs := half(b), half(b[2:]), b[16:48], b[48:]
		for j := 0; j < 8; j += 2 {
			s0, m0 := scaleMinK(b[4:16], j)
			s1, m1 := scaleMinK(b[4:16], j+1)
			scale0, least0 := float32(d*float32(s0)), float32(m*float32(m0))
			scale1, least1 := float32(d*float32(s1)), float32(m*float32(m1))
			lo, hi := y[32*j:32*j+32], y[32*j+32:32*j+64]
			for i, q := range qs[16*j : 16*j+32] {
				lo[i] = float32(scale0*float32(q&15|high[i]>>j&1<<4)) - least0
				hi[i] = float32(scale1*float32(q>>4|high[i]>>(j+1)&1<<4)) - least1
			}
		}
	},
	typeQ6_K: func(y []float32, b []byte) {
		low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
		for h := range 2 { // halves of 128 elements: 4 rows of 32
			y, low, high, scales := y[128*h:], low[64*h:], high[32*h:], scales[8*h:]
			for i := range 32 {
				row := func(r int, nibble byte) {
					q := int(nibble|high[i]>>(2*r)&3<<4) - 32
					y[32*r+i] = float32(d*float32(int8(scales[2*r+i/16]))) * float32(q)
				}
				row(0, low[i]&15)
				row(1, low[i+32]&15)
				row(2, low[i]>>4)
				row(3, low[i+32]>>4)
			}
		}
	},
}

// scaleMinK returns the 6-bit scale and least value of row j of 8: those of rows
// 0 to 3 lie in the low bits of 8 bytes, of the others in four bytes of nibbles
// and in the high bits of the eight.
func scaleMinK(b []byte, j int) (scale, least byte) {
	if j < 4 {
		return b[j] & 63, b[j+4] & 63
	}
	return b[j+4]&15 | b[j-4]>>6<<4, b[j+4]>>4 | b[j]>>6<<4
}

// scalesQ3K returns the 16 scales of a Q3_K block, -32 to 31: their low 4 bits
// are the nibbles of 8 bytes, their high 2 lie in 4 bytes.
func scalesQ3K(b []byte) (scales [16]int8) {
	for i := range scales {
		low := b[i%8] >> (i / 8 * 4) & 15
		high := b[8+i%4] >> (i / 4 * 2) & 3
		scales[i] = int8(low|high<<4) - 32
	}
	return scales
}

// half reads a half-precision number.
func half(b []byte) float32 { return float16(binary.LittleEndian.Uint16(b)) }
