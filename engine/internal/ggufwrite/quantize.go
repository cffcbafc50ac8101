package ggufwrite

import (
	"bytes"
	"math"
)

// Encode returns the elements of data as type typ, those of the block types in
// whole blocks. It rounds each element to the nearest that its block can say,
// without the search for better scales that llama.cpp makes.
func Encode(typ uint32, data []float32) []byte {
	var b bytes.Buffer
	switch typ {
	case F32:
		put(&b, data)
		return b.Bytes()
	case F16:
		for _, x := range data {
			put(&b, Half(x))
		}
		return b.Bytes()
	case BF16:
		for _, x := range data {
			bits := math.Float32bits(x)
			put(&b, uint16((bits+0x7fff+bits>>16&1)>>16))
		}
		return b.Bytes()
	}
	n, encode := 32, map[uint32]func(*bytes.Buffer, []float32){
		Q4_0: q4_0, Q4_1: q4_1, Q5_0: q5_0, Q5_1: q5_1, Q8_0: q8_0,
	}[typ]
	if encode == nil {
		n, encode = 256, map[uint32]func(*bytes.Buffer, []float32){
			Q2_K: q2K, Q3_K: q3K, Q4_K: q4K, Q5_K: q5K, Q6_K: q6K,
		}[typ]
	}
	if encode == nil {
		panic("ggufwrite: type")
	}
	for ; len(data) >= n; data = data[n:] {
		encode(&b, data[:n])
	}
	return b.Bytes()
}

// BlockLen returns how many elements a row of the type is a multiple of.
func BlockLen(typ uint32) int {
	switch typ {
	case F32, F16, BF16:
		return 1
	case Q4_0, Q4_1, Q5_0, Q5_1, Q8_0:
		return 32
	}
	return 256
}

// round returns x/d + zero, rounded, within 0 and most; zero where d is 0.
func round(x, d float64, zero, most int) byte {
	q := zero
	if d != 0 {
		q += int(math.Round(x / d))
	}
	return byte(max(0, min(most, q)))
}

// signed returns the scale with which the element of the largest magnitude
// becomes -steps.
func signed(x []float32, steps float64) float64 {
	var top float32
	for _, v := range x {
		if math.Abs(float64(v)) > math.Abs(float64(top)) {
			top = v
		}
	}
	return -float64(top) / steps
}

// span returns the least element, at most 0, and the scale with which the
// largest becomes steps.
func span(x []float32, steps float64) (least, d float64) {
	var top float32
	low := float32(0)
	for _, v := range x {
		top, low = max(top, v), min(low, v)
	}
	return float64(low), (float64(top) - float64(low)) / steps
}

// nibbles packs 32 numbers below 16: element i low, i+16 high.
func nibbles(q []byte) (out [16]byte) {
	for i := range out {
		out[i] = q[i]&15 | q[i+16]&15<<4
	}
	return out
}

// fifths packs the bits above the nibbles.
func fifths(q []byte) (out uint32) {
	for i, v := range q {
		out |= uint32(v>>4&1) << i
	}
	return out
}

func q4_0(b *bytes.Buffer, x []float32) {
	d := signed(x, 8)
	put(b, Half(float32(d)), nibbles(each(x, d, 0, 8, 15)))
}

func q4_1(b *bytes.Buffer, x []float32) {
	least, d := span(x, 15)
	put(b, Half(float32(d)), Half(float32(least)), nibbles(each(x, d, least, 0, 15)))
}

func q5_0(b *bytes.Buffer, x []float32) {
	d := signed(x, 16)
	q := each(x, d, 0, 16, 31)
	put(b, Half(float32(d)), fifths(q), nibbles(q))
}

func q5_1(b *bytes.Buffer, x []float32) {
	least, d := span(x, 31)
	q := each(x, d, least, 0, 31)
	put(b, Half(float32(d)), Half(float32(least)), fifths(q), nibbles(q))
}

func q8_0(b *bytes.Buffer, x []float32) {
	var most float64
	for _, v := range x {
		most = math.Max(most, math.Abs(float64(v)))
	}
	scale := float32(most / 127)
	put(b, Half(scale))
	for _, v := range x {
		q := 0.0
		if scale != 0 {
			q = math.Round(float64(v / scale))
		}
		put(b, int8(q))
	}
}

// each rounds all of x.
func each(x []float32, d, least float64, zero, most int) []byte {
	q := make([]byte, len(x))
	for i, v := range x {
		q[i] = round(float64(v)-least, d, zero, most)
	}
	return q
}

// spans finds the scales and least values of a super-block's rows of n elements,
// as multiples up to steps of the common d and m, and the numbers up to most.
func spans(x []float32, n, most, steps int) (d, m float32, scales, mins, q []byte) {
	var ds, ms []float64
	var dTop, mTop float64
	for i := 0; i < len(x); i += n {
		least, s := span(x[i:i+n], float64(most))
		ds, ms = append(ds, s), append(ms, -least)
		dTop, mTop = max(dTop, s), max(mTop, -least)
	}
	d, m = unhalf(dTop/float64(steps)), unhalf(mTop/float64(steps))
	for i := range ds {
		s, l := round(ds[i], float64(d), 0, steps), round(ms[i], float64(m), 0, steps)
		scales, mins = append(scales, s), append(mins, l)
		q = append(q, each(x[i*n:(i+1)*n], float64(d)*float64(s), -float64(m)*float64(l), 0, most)...)
	}
	return d, m, scales, mins, q
}

// unhalf is x as a half-precision number says it.
func unhalf(x float64) float32 {
	h := Half(float32(x))
	if h == 0 {
		return 0
	}
	return float32(math.Ldexp(1+float64(h&0x3ff)/1024, int(h>>10&31)-15))
}

// scalesK packs 8 scales and 8 least values of 6 bits.
func scalesK(scales, mins []byte) (out [12]byte) {
	for j := range 4 {
		out[j] = scales[j] | scales[j+4]>>4<<6
		out[j+4] = mins[j] | mins[j+4]>>4<<6
		out[j+8] = scales[j+4]&15 | mins[j+4]&15<<4
	}
	return out
}

// rowPairs packs the nibbles of 8 rows of 32, two rows in 32 bytes.
func rowPairs(q []byte) (out [128]byte) {
	for i := range out {
		at := i/32*64 + i%32
		out[i] = q[at]&15 | q[at+32]&15<<4
	}
	return out
}

func q4K(b *bytes.Buffer, x []float32) {
	d, m, scales, mins, q := spans(x, 32, 15, 63)
	put(b, Half(d), Half(m), scalesK(scales, mins), rowPairs(q))
}

func q5K(b *bytes.Buffer, x []float32) {
	d, m, scales, mins, q := spans(x, 32, 31, 63)
	var high [32]byte
	for i, v := range q {
		high[i%32] |= v >> 4 << (i / 32)
	}
	put(b, Half(d), Half(m), scalesK(scales, mins), high, rowPairs(q))
}

// quads packs the low 2 bits of 256 numbers: halves of 4 rows of 32, one above
// the other.
func quads(q []byte) (out [64]byte) {
	for i, v := range q {
		out[i/128*32+i%32] |= v & 3 << (i / 32 % 4 * 2)
	}
	return out
}

func q2K(b *bytes.Buffer, x []float32) {
	d, m, scales, mins, q := spans(x, 16, 3, 15)
	var packed [16]byte
	for i := range packed {
		packed[i] = scales[i] | mins[i]<<4
	}
	put(b, packed, quads(q), Half(d), Half(m))
}

// signeds finds the signed scales of rows of 16, as multiples up to steps of a
// common d, and the numbers, which are -zero to zero-1, with zero added.
func signeds(x []float32, zero, steps int) (d float32, scales []int, q []byte) {
	var ds []float64
	var top float64
	for i := 0; i < len(x); i += 16 {
		s := signed(x[i:i+16], float64(zero))
		ds, top = append(ds, s), max(top, math.Abs(s))
	}
	d = unhalf(top / float64(steps))
	for i, s := range ds {
		scale := int(round(s, float64(d), steps, 2*steps)) - steps
		scales = append(scales, scale)
		q = append(q, each(x[16*i:16*i+16], float64(d)*float64(scale), 0, zero, 2*zero-1)...)
	}
	return d, scales, q
}

func q3K(b *bytes.Buffer, x []float32) {
	d, scales, q := signeds(x, 4, 31)
	var high [32]byte
	for i, v := range q {
		high[i%32] |= v >> 2 << (i / 32)
	}
	var packed [12]byte
	for i, s := range scales {
		s := byte(s + 32)
		packed[i%8] |= s & 15 << (i / 8 * 4)
		packed[8+i%4] |= s >> 4 << (i / 4 * 2)
	}
	put(b, high, quads(q), packed, Half(d))
}

func q6K(b *bytes.Buffer, x []float32) {
	d, scales, q := signeds(x, 32, 127)
	var low [128]byte
	var high [64]byte
	for i, v := range q {
		half, row, at := i/128, i/32%4, i%32
		low[64*half+row%2*32+at] |= v & 15 << (row / 2 * 4)
		high[32*half+at] |= v >> 4 << (2 * row)
	}
	put(b, low, high)
	for _, s := range scales {
		put(b, int8(s))
	}
	put(b, Half(d))
}
