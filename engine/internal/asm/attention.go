package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// dotKeys writes the scores, [n, 32], of n queries, [n, dim], against the 32
// keys of a block, [dim, 32]: see engine.dotKeys. Where there are too many scores
// for the registers it computes half of them at a time.
func dotKeys(s isa, n int) {
	text(s, "dotKeys", n, "func(scores, queries *float32, keys *uint16, dim int)")
	stride := Load(Param("dim"), GP64())
	SHLQ(Imm(2), stride)
	q := newTokens(GP64(), stride, n)
	keys, scores, dim := GP64(), Load(Param("scores"), GP64()), GP64()
	parts := 32 / s.lanes
	together := parts
	if s == avx2 && n > 2 {
		together /= 2
	}
	for first := 0; first < parts; first += together {
		Load(Param("queries"), q.base)
		q.start()
		Load(Param("keys"), keys)
		Load(Param("dim"), dim)
		sums := s.grid(together, n)
		s.zeroAll(sums)
		loop := fmt.Sprintf("loop%d", id())
		Label(loop)
		ks := s.vecs(together)
		for i, k := range ks {
			VCVTPH2PS(Mem{Base: keys, Disp: 2 * s.lanes * (first + i)}, k)
		}
		for t := range n {
			var b VecVirtual
			if s == avx2 {
				b = s.vec()
				VBROADCASTSS(q.at(t, 0), b)
			}
			for i, k := range ks {
				p := s.vec()
				if s == avx2 {
					VMULPS(b, k, p)
				} else {
					VMULPS_BCST(q.at(t, 0), k, p)
				}
				VADDPS(p, sums[i][t], sums[i][t])
			}
		}
		ADDQ(Imm(64), keys)
		q.advance(4)
		DECQ(dim)
		JNZ(LabelRef(loop))
		for i, row := range sums {
			for t, v := range row {
				VMOVUPS(v, Mem{Base: scores, Disp: 128*t + 4*s.lanes*(first+i)})
			}
		}
	}
	VZEROUPPER()
	RET()
}

// addValues multiplies n outputs, [n, dim], by scales, [n], and adds count
// values, [count, dim], times their weights, [n, 32]: see engine.addValues. dim is
// a multiple of the columns that it computes at a time.
func addValues(s isa, n int) {
	text(s, "addValues", n, "func(out, scales, weights *float32, values *uint16, dim, count int)")
	scales := Load(Param("scales"), GP64())
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
			scale := s.vec()
			VBROADCASTSS(Mem{Base: scales, Disp: 4 * t}, scale)
			for i, sum := range sums[t] {
				VMULPS(o.at(t, 4*s.lanes*i), scale, sum)
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
	if n == 8 || n == 4 && s == avx2 {
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

// softmax: see engine.softmax. The state of 8 queries is five vectors: their
// highest scores so far, their sums, by what the sums before were multiplied, and
// the highest scores and sums of this block.
func softmax() {
	const top, sum, scale, high, part, stateBytes = 0, 32, 64, 96, 128, 160
	text(avx2, "softmax", 0, "func(scores, state *float32, n int)")
	scores, state, n := Load(Param("scores"), GP64()), Load(Param("state"), GP64()), Load(Param("n"), GP64())
	at, left := GP64(), GP64()
	Label("eight")
	MOVQ(U32(8), left)
	CMPQ(n, left)
	CMOVQLT(n, left)
	SUBQ(left, n)
	MOVQ(state, at)

	Label("query")
	v, t := avx2.vecs(4), YMM()
	for i := range v {
		VMOVUPS(Mem{Base: scores, Disp: 32 * i}, v[i])
	}
	highest := YMM()
	VMAXPS(v[1], v[0], highest)
	VMAXPS(v[2], highest, highest)
	VMAXPS(v[3], highest, highest)
	VPERM2F128(Imm(1), highest, highest, t)
	VMAXPS(t, highest, highest)
	VPERMILPS(Imm(0x4e), highest, t)
	VMAXPS(t, highest, highest)
	VPERMILPS(Imm(0xb1), highest, t)
	VMAXPS(t, highest, highest)
	VBROADCASTSS(Mem{Base: at, Disp: top}, t)
	VMAXPS(t, highest, highest)
	VMOVSS(highest.AsX(), Mem{Base: at, Disp: high})
	for i := range v {
		VSUBPS(highest, v[i], v[i])
		exp(v[i])
		VMOVUPS(v[i], Mem{Base: scores, Disp: 32 * i})
	}
	VADDPS(v[2], v[0], v[0])
	VADDPS(v[3], v[1], v[1])
	VADDPS(v[1], v[0], v[0])
	x, y := v[0].AsX(), XMM()
	VEXTRACTF128(Imm(1), v[0], y)
	VADDPS(y, x, x)
	VPERMILPS(Imm(0x4e), x, y)
	VADDPS(y, x, x)
	VPERMILPS(Imm(0xb1), x, y)
	VADDSS(y, x, x)
	VMOVSS(x, Mem{Base: at, Disp: part})
	ADDQ(Imm(128), scores)
	ADDQ(Imm(4), at)
	DECQ(left)
	JNZ(LabelRef("query"))

	now, e := YMM(), YMM()
	VMOVUPS(Mem{Base: state, Disp: high}, now)
	VMOVUPS(Mem{Base: state, Disp: top}, e)
	VSUBPS(now, e, e)
	exp(e)
	VMOVUPS(now, Mem{Base: state, Disp: top})
	VMOVUPS(e, Mem{Base: state, Disp: scale})
	VMULPS(Mem{Base: state, Disp: sum}, e, e)
	VADDPS(Mem{Base: state, Disp: part}, e, e)
	VMOVUPS(e, Mem{Base: state, Disp: sum})
	ADDQ(U32(stateBytes), state)
	TESTQ(n, n)
	JNZ(LabelRef("eight"))
	VZEROUPPER()
	RET()
}
