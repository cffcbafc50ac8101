package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// pause writes the hint that a loop waits for another processor.
func pause() {
	TEXT("pause", attr.NOSPLIT, "func(n int)")
	Doc("pause waits for about n times 40 cycles.")
	n := Load(Param("n"), GP64())
	Label("again")
	PAUSE()
	DECQ(n)
	JNZ(LabelRef("again"))
	RET()
}

// read writes a loop that reads memory as fast as it comes, for measuring: from
// several places at a time, as blocks32 does.
func read() {
	TEXT("readAVX2", attr.NOSPLIT, "func(p *byte, n int)")
	Pragma("noescape")
	Doc("readAVX2 reads n bytes, a multiple of 512.")
	n, quarter := Load(Param("n"), GP64()), GP64()
	MOVQ(n, quarter)
	SHRQ(Imm(2), quarter)
	p := newTokens(Load(Param("p"), GP64()), quarter, 4)
	sums := avx2.vecs(4)
	for _, v := range sums {
		avx2.zero(v)
	}
	Label("again")
	for i := range 4 {
		for k, v := range sums {
			VPOR(p.at(i, 32*k), v, v)
		}
	}
	p.advance(128)
	SUBQ(U32(512), n)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()
}

// interleave: see engine.interleave.
func interleave() {
	TEXT("interleaveAVX2", attr.NOSPLIT, "func(dst, x *float32, n, cols int)")
	Pragma("noescape")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	stride, d, left, v := GP64(), GP64(), GP64(), GP32()
	MOVQ(n, stride)
	SHLQ(Imm(2), stride)
	Label("row")
	MOVQ(dst, d)
	Load(Param("cols"), left)
	Label("column")
	MOVL(Mem{Base: x}, v)
	MOVL(v, Mem{Base: d})
	ADDQ(Imm(4), x)
	ADDQ(stride, d)
	DECQ(left)
	JNZ(LabelRef("column"))
	ADDQ(Imm(4), dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	RET()
}

// eachVector writes a loop over n numbers, a multiple of step, that calls body
// with the index register, in bytes.
func eachVector(n Register, step int, body func(i Register)) {
	again := fmt.Sprintf("again%d", id())
	i := GP64()
	XORQ(i, i)
	SHLQ(Imm(2), n)
	Label(again)
	body(i)
	ADDQ(U32(uint32(4*step)), i)
	CMPQ(i, n)
	JL(LabelRef(again))
}

func at(p, i Register, disp int) Mem { return Mem{Base: p, Index: i, Scale: 1, Disp: disp} }

// swiGLU: see engine.swiGLU.
func swiGLU() {
	TEXT("swiGLUAVX2", attr.NOSPLIT, "func(gate, up *float32, n int)")
	Pragma("noescape")
	gate, up := Load(Param("gate"), GP64()), Load(Param("up"), GP64())
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		g, e := YMM(), YMM()
		VMOVUPS(at(gate, i, 0), g)
		VXORPS(eight(1<<31), g, e)
		exp(e)
		VADDPS(eightFloats(1), e, e)
		VDIVPS(e, g, g)
		VMULPS(at(up, i, 0), g, g)
		VMOVUPS(g, at(gate, i, 0))
	})
	VZEROUPPER()
	RET()
}

// add: see engine.add.
func add() {
	TEXT("addAVX2", attr.NOSPLIT, "func(dst, x *float32, n int)")
	Pragma("noescape")
	dst, x := Load(Param("dst"), GP64()), Load(Param("x"), GP64())
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(dst, i, 0), v)
		VADDPS(at(x, i, 0), v, v)
		VMOVUPS(v, at(dst, i, 0))
	})
	VZEROUPPER()
	RET()
}

// scale: see engine.scaleBy.
func scale() {
	TEXT("scaleAVX2", attr.NOSPLIT, "func(x *float32, n int, a float32)")
	Pragma("noescape")
	x := Load(Param("x"), GP64())
	a, v := YMM(), YMM()
	Load(Param("a"), a.AsX())
	VBROADCASTSS(a.AsX(), a)
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		VMULPS(at(x, i, 0), a, v)
		VMOVUPS(v, at(x, i, 0))
	})
	VZEROUPPER()
	RET()
}

// squares: see engine.sumSquares.
func squares() {
	TEXT("sumSquaresAVX2", attr.NOSPLIT, "func(x *float32, n int) float64")
	Pragma("noescape")
	x := Load(Param("x"), GP64())
	low, high := YMM(), YMM()
	VXORPD(low, low, low)
	VXORPD(high, high, high)
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		a, b := YMM(), YMM()
		VCVTPS2PD(at(x, i, 0), a)
		VCVTPS2PD(at(x, i, 16), b)
		VMULPD(a, a, a)
		VMULPD(b, b, b)
		VADDPD(a, low, low)
		VADDPD(b, high, high)
	})
	t := XMM()
	VADDPD(high, low, low)
	VEXTRACTF128(Imm(1), low, t)
	VADDPD(t, low.AsX(), low.AsX())
	VUNPCKHPD(low.AsX(), low.AsX(), t)
	VADDSD(t, low.AsX(), low.AsX())
	Store(low.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// normalize: see engine.rmsNorm.
func normalize() {
	TEXT("normalizeAVX2", attr.NOSPLIT, "func(dst, x, weight *float32, n int, scale float32)")
	Pragma("noescape")
	dst, x, w := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("weight"), GP64())
	s, v := YMM(), YMM()
	Load(Param("scale"), s.AsX())
	VBROADCASTSS(s.AsX(), s)
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		VMULPS(at(x, i, 0), s, v)
		VMULPS(at(w, i, 0), v, v)
		VMOVUPS(v, at(dst, i, 0))
	})
	VZEROUPPER()
	RET()
}

// narrow: see engine.narrow16.
func narrow() {
	TEXT("narrowAVX2", attr.NOSPLIT, "func(dst *uint16, x *float32, n int)")
	Pragma("noescape")
	dst, x := Load(Param("dst"), GP64()), Load(Param("x"), GP64())
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(x, i, 0), v)
		VCVTPS2PH(Imm(0), v, v.AsX())
		VMOVDQU(v.AsX(), Mem{Base: dst})
		ADDQ(Imm(16), dst)
	})
	VZEROUPPER()
	RET()
}

// rope: see engine.rope; n pairs.
func rope() {
	TEXT("ropeAVX2", attr.NOSPLIT, "func(x, cos, sin *float32, n int)")
	Pragma("noescape")
	x, cos, sin := Load(Param("x"), GP64()), Load(Param("cos"), GP64()), Load(Param("sin"), GP64())
	eachVector(Load(Param("n"), GP64()), 4, func(i Register) {
		v, c, s, turned := YMM(), YMM(), YMM(), YMM()
		VMOVUPS(Mem{Base: x, Index: i, Scale: 2}, v)
		VPMOVZXDQ(at(cos, i, 0), c)
		VPMOVZXDQ(at(sin, i, 0), s)
		VMOVSLDUP(c, c)
		VMOVSLDUP(s, s)
		VPERMILPS(Imm(0xb1), v, turned)
		VMULPS(c, v, v)
		VMULPS(s, turned, turned)
		VADDSUBPS(turned, v, v)
		VMOVUPS(v, Mem{Base: x, Index: i, Scale: 2})
	})
	VZEROUPPER()
	RET()
}

// ropeNeoX: see engine.ropeNeoX; y is where the second halves begin.
func ropeNeoX() {
	TEXT("ropeNeoXAVX2", attr.NOSPLIT, "func(x, y, cos, sin *float32, n int)")
	Pragma("noescape")
	x, y, cos, sin := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("cos"), GP64()), Load(Param("sin"), GP64())
	eachVector(Load(Param("n"), GP64()), 8, func(i Register) {
		a, b, c, s, t := YMM(), YMM(), YMM(), YMM(), YMM()
		VMOVUPS(at(x, i, 0), a)
		VMOVUPS(at(y, i, 0), b)
		VMOVUPS(at(cos, i, 0), c)
		VMOVUPS(at(sin, i, 0), s)
		VMULPS(s, b, t)
		VMULPS(s, a, s)
		VMULPS(c, a, a)
		VSUBPS(t, a, a)
		VMULPS(c, b, b)
		VADDPS(b, s, b)
		VMOVUPS(a, at(x, i, 0))
		VMOVUPS(b, at(y, i, 0))
	})
	VZEROUPPER()
	RET()
}

// maxAbs sets every lane of v to the largest magnitude of n vectors at x.
func maxAbs(x Register, n int, v VecVirtual) {
	t := YMM()
	VMOVUPS(Mem{Base: x}, v)
	VANDPS(eight(1<<31-1), v, v)
	for i := 1; i < n; i++ {
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, t)
		VANDPS(eight(1<<31-1), t, t)
		VPMAXSD(t, v, v)
	}
	VPERM2F128(Imm(1), v, v, t)
	VPMAXSD(t, v, v)
	VPERMILPS(Imm(0x4e), v, t)
	VPMAXSD(t, v, v)
	VPERMILPS(Imm(0xb1), v, t)
	VPMAXSD(t, v, v)
}

// quantizeVectors writes 32 int8 to dst, of 4 vectors at x times inverse, and
// returns the sums of their vectors as int32, 8 lanes each.
func quantizeVectors(dst Mem, x Mem, inverse VecVirtual) []VecVirtual {
	v := []VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for i := range v {
		m := x
		m.Disp += 32 * i
		VMULPS(m, inverse, v[i])
		VADDPS(eightFloats(3<<22), v[i], v[i])
		VSUBPS(eightFloats(3<<22), v[i], v[i])
		VCVTTPS2DQ(v[i], v[i])
	}
	a, b := YMM(), YMM()
	VPACKSSDW(v[1], v[0], a)
	VPACKSSDW(v[3], v[2], b)
	VPACKSSWB(b, a, a)
	order := YMM()
	VMOVDQU(packOrder(), order)
	VPERMD(a, order, a)
	VMOVDQU(a, dst)
	return v
}

var packed *Mem

// packOrder puts what the packing of halves has mixed in order.
func packOrder() Mem {
	if packed == nil {
		m := GLOBL("packOrder", attr.RODATA|attr.NOPTR)
		for i, n := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, U32(n))
		}
		packed = &m
	}
	return *packed
}

// lanesSum sets the lowest lane of v to the sum of its int32.
func lanesSum(v VecVirtual) {
	t := XMM()
	VEXTRACTI128(Imm(1), v, t)
	VPADDD(t, v.AsX(), v.AsX())
	VPSHUFD(Imm(0x4e), v.AsX(), t)
	VPADDD(t, v.AsX(), v.AsX())
	VPSHUFD(Imm(0xb1), v.AsX(), t)
	VPADDD(t, v.AsX(), v.AsX())
}

// inverseOf sets inverse to 127/top, 0 where that is not above 0.
func inverseOf(top, inverse VecVirtual) {
	mask, zero := YMM(), YMM()
	VMOVUPS(eightFloats(127), inverse)
	VDIVPS(top, inverse, inverse)
	VXORPS(zero, zero, zero)
	VCMPPS(Imm(14), zero, top, mask) // top > 0
	VANDPS(mask, inverse, inverse)
}

// quantize32: see engine.quantize32.
func quantize32() {
	TEXT("quantize32AVX2", attr.NOSPLIT, "func(dst *byte, x *float32, offset int32, blocks int)")
	Pragma("noescape")
	dst, x, offset, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("offset"), GP32()), Load(Param("blocks"), GP64())
	NEGL(offset)
	Label("again")
	top, inverse := YMM(), YMM()
	maxAbs(x, 4, top)
	inverseOf(top, inverse)
	VDIVPS(eightFloats(127), top, top)
	VCVTPS2PH(Imm(0), top, top.AsX())
	VCVTPH2PS(top.AsX(), top)
	VMOVSS(top.AsX(), Mem{Base: dst, Disp: blockScale})
	v := quantizeVectors(Mem{Base: dst}, Mem{Base: x}, inverse)
	VPADDD(v[1], v[0], v[0])
	VPADDD(v[3], v[2], v[2])
	VPADDD(v[2], v[0], v[0])
	lanesSum(v[0])
	sum := GP32()
	VMOVD(v[0].AsX(), sum)
	IMULL(offset, sum)
	MOVL(sum, Mem{Base: dst, Disp: blockOffset})
	f := v[0].AsX()
	VCVTDQ2PS(f, f)
	VMULSS(top.AsX(), f, f)
	VMOVSS(f, Mem{Base: dst, Disp: blockSum})
	ADDQ(U32(128), x)
	ADDQ(U32(blockBytes), dst)
	DECQ(n)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()
}

// quantize256: see engine.quantize256.
func quantize256() {
	TEXT("quantize256AVX2", attr.NOSPLIT, "func(dst *byte, x *float32, blocks int)")
	Pragma("noescape")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("blocks"), GP64())
	Label("again")
	top, inverse, scale := YMM(), YMM(), YMM()
	maxAbs(x, 32, top)
	inverseOf(top, inverse)
	mask, zero := YMM(), YMM()
	VXORPS(zero, zero, zero)
	VCMPPS(Imm(14), zero, top, mask)
	VMOVUPS(eightFloats(1), scale)
	VDIVPS(inverse, scale, scale)
	VANDPS(mask, scale, scale)
	VMOVSS(scale.AsX(), Mem{Base: dst, Disp: superScale})
	for i := range 8 {
		v := quantizeVectors(Mem{Base: dst, Disp: 32 * i}, Mem{Base: x, Disp: 128 * i}, inverse)
		VPADDD(v[1], v[0], v[0])
		VPADDD(v[3], v[2], v[2])
		lanesSum(v[0])
		lanesSum(v[2])
		a, b, s := GP32(), GP32(), GP32()
		VMOVD(v[0].AsX(), a)
		VMOVD(v[2].AsX(), b)
		MOVL(a, s)
		ADDL(b, s)
		MOVW(s.As16(), Mem{Base: dst, Disp: superSums32 + 2*i})
		for j, r := range []GPVirtual{a, b} {
			NEGL(r)
			SHLL(Imm(5), r)
			MOVL(r, Mem{Base: dst, Disp: superSums16 + 8*i + 4*j})
		}
	}
	ADDQ(U32(1024), x)
	ADDQ(U32(superBytes), dst)
	DECQ(n)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()
}

// widen writes a loop that widens n numbers, a multiple of 16, to F32.
func widen(f float) {
	TEXT(fmt.Sprintf("widen%sAVX2", strings.ToUpper(f.name)), attr.NOSPLIT, "func(dst *float32, x *byte, n int)")
	Pragma("noescape")
	dst, x := Load(Param("dst"), GP64()), Load(Param("x"), GP64())
	eachVector(Load(Param("n"), GP64()), 16, func(i Register) {
		for half := range 2 {
			v := YMM()
			f.load(avx2, Mem{Base: x, Disp: 16 * half}, v)
			VMOVUPS(v, at(dst, i, 32*half))
		}
		ADDQ(Imm(32), x)
	})
	VZEROUPPER()
	RET()
}
