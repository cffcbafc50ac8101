package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// dotKeys writes the scores, [n, 32], of n queries, [n, dim], against the 32
// keys of a block, [dim, 32]: see engine.dotKeys.
func dotKeys(s isa, n int) {
	text(s, "dotKeys", n, "func(scores, queries *float32, keys *uint16, dim int)")
	queries, keys, dim := Load(Param("queries"), GP64()), Load(Param("keys"), GP64()), Load(Param("dim"), GP64())
	stride := GP64()
	MOVQ(dim, stride)
	SHLQ(Imm(2), stride)
	q := newTokens(queries, stride, n)
	q.start()
	parts := 32 / s.lanes
	sums := make([][]VecVirtual, n)
	for t := range sums {
		sums[t] = s.vecs(parts)
		for _, v := range sums[t] {
			s.zero(v)
		}
	}
	loop := fmt.Sprintf("loop%d", id())
	Label(loop)
	load := func(i int) VecVirtual {
		k := s.vec()
		VCVTPH2PS(Mem{Base: keys, Disp: 2 * s.lanes * i}, k)
		return k
	}
	if s == avx512 {
		for i := range parts {
			k := load(i)
			for t := range n {
				p := s.vec()
				VMULPS_BCST(q.at(t, 0), k, p)
				VADDPS(p, sums[t][i], sums[t][i])
			}
		}
	} else {
		b := s.vecs(n)
		for t := range n {
			VBROADCASTSS(q.at(t, 0), b[t])
		}
		for i := range parts {
			k := load(i)
			for t := range n {
				p := s.vec()
				VMULPS(b[t], k, p)
				VADDPS(p, sums[t][i], sums[t][i])
			}
		}
	}
	ADDQ(Imm(64), keys)
	q.advance(4)
	DECQ(dim)
	JNZ(LabelRef(loop))
	scores := Load(Param("scores"), GP64())
	for t := range n {
		for i, v := range sums[t] {
			VMOVUPS(v, Mem{Base: scores, Disp: 128*t + 4*s.lanes*i})
		}
	}
	VZEROUPPER()
	RET()
}

// addValues adds to n outputs, [n, dim], count values, [count, dim], times
// their weights, [n, 32]: see engine.addValues. dim is a multiple of the columns
// that it computes at a time.
func addValues(s isa, n int) {
	text(s, "addValues", n, "func(out, weights *float32, values *uint16, dim, count int)")
	out, weights, values := Load(Param("out"), GP64()), Load(Param("weights"), GP64()), Load(Param("values"), GP64())
	dim := Load(Param("dim"), GP64())
	stride, bytes := GP64(), GP64() // of a value, of an output
	MOVQ(dim, stride)
	SHLQ(Imm(1), stride)
	MOVQ(dim, bytes)
	SHLQ(Imm(2), bytes)
	o := newTokens(out, bytes, n)
	o.start()
	w, v, count := GP64(), GP64(), GP64()

	columns := func(vectors int) {
		sums := make([][]VecVirtual, n)
		for t := range sums {
			sums[t] = s.vecs(vectors)
			for i, sum := range sums[t] {
				VMOVUPS(o.at(t, 4*s.lanes*i), sum)
			}
		}
		MOVQ(weights, w)
		MOVQ(values, v)
		Load(Param("count"), count)
		loop := fmt.Sprintf("loop%d", id())
		Label(loop)
		var b []VecVirtual
		if s == avx2 {
			b = s.vecs(n)
			for t := range n {
				VBROADCASTSS(Mem{Base: w, Disp: 128 * t}, b[t])
			}
		}
		for i := range vectors {
			x := s.vec()
			VCVTPH2PS(Mem{Base: v, Disp: 2 * s.lanes * i}, x)
			for t := range n {
				p := s.vec()
				if s == avx2 {
					VMULPS(b[t], x, p)
				} else {
					VMULPS_BCST(Mem{Base: w, Disp: 128 * t}, x, p)
				}
				VADDPS(p, sums[t][i], sums[t][i])
			}
		}
		ADDQ(Imm(4), w)
		ADDQ(stride, v)
		DECQ(count)
		JNZ(LabelRef(loop))
		for t := range sums {
			for i, sum := range sums[t] {
				VMOVUPS(sum, o.at(t, 4*s.lanes*i))
			}
		}
		o.advance(4 * s.lanes * vectors)
		ADDQ(U32(uint32(2*s.lanes*vectors)), values)
		SUBQ(U32(uint32(s.lanes*vectors)), dim)
	}
	wide := 4
	if n == 8 {
		wide = 2
	}
	many, few, done := fmt.Sprintf("many%d", id()), fmt.Sprintf("few%d", id()), fmt.Sprintf("done%d", id())
	Label(many)
	CMPQ(dim, U32(uint32(wide*s.lanes)))
	JL(LabelRef(few))
	columns(wide)
	JMP(LabelRef(many))
	Label(few)
	CMPQ(dim, U32(uint32(s.lanes)))
	JL(LabelRef(done))
	columns(1)
	JMP(LabelRef(few))
	Label(done)
	VZEROUPPER()
	RET()
}

// expSum: see engine.expSum; scores beyond the first n must be -Inf.
func expSum() {
	text(avx2, "expSum", 0, "func(scores *float32, top float32) float32")
	scores := Load(Param("scores"), GP64())
	top := YMM()
	Load(Param("top"), top.AsX())
	VBROADCASTSS(top.AsX(), top)
	v := avx2.vecs(4)
	for i := range v {
		VMOVUPS(Mem{Base: scores, Disp: 32 * i}, v[i])
		VSUBPS(top, v[i], v[i])
		exp(v[i])
		VMOVUPS(v[i], Mem{Base: scores, Disp: 32 * i})
	}
	t := XMM()
	VADDPS(v[2], v[0], v[0])
	VADDPS(v[3], v[1], v[1])
	VADDPS(v[1], v[0], v[0])
	x := v[0].AsX()
	VEXTRACTF128(Imm(1), v[0], t)
	VADDPS(t, x, x)
	VPERMILPS(Imm(0x4e), x, t)
	VADDPS(t, x, x)
	VPERMILPS(Imm(0xb1), x, t)
	VADDSS(t, x, x)
	Store(x, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// highest: see engine.highest; all 32 scores count.
func highest() {
	text(avx2, "highest", 0, "func(scores *float32) float32")
	scores := Load(Param("scores"), GP64())
	v, t := YMM(), YMM()
	VMOVUPS(Mem{Base: scores}, v)
	for i := 1; i < 4; i++ {
		VMAXPS(Mem{Base: scores, Disp: 32 * i}, v, v)
	}
	VPERM2F128(Imm(1), v, v, t)
	VMAXPS(t, v, v)
	VPERMILPS(Imm(0x4e), v, t)
	VMAXPS(t, v, v)
	VPERMILPS(Imm(0xb1), v, t)
	VMAXPS(t, v, v)
	Store(v.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
