package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A float is a type of weights that are used as they are.
type float struct {
	name string
	size int // bytes
}

var floats = []float{{"f32", 4}, {"f16", 2}, {"bf16", 2}}

// load widens as many numbers at m as v has lanes.
func (f float) load(s isa, m Mem, v VecVirtual) {
	switch f.name {
	case "f32":
		VMOVUPS(m, v)
	case "f16":
		VCVTPH2PS(m, v)
	case "bf16":
		VPMOVZXWD(m, v)
		VPSLLD(Imm(16), v, v)
	}
}

// dense writes the product of panels of floats with n columns of activations,
// x is [cols, n]; blocks are columns. Each product is added in one step (a fused
// multiply-add). stride is in bytes.
//
// One row meets two panels at a time: in one alone each sum would wait for the
// one before it.
func dense(s isa, f float, n int) {
	text(s, f.name, n, signature)
	w, dst, panels := Load(Param("quants"), GP64()), Load(Param("dst"), GP64()), Load(Param("panels"), GP64())
	x, count, second := GP64(), GP64(), GP64()

	// some computes panels that lie one after another: many times, or once.
	some := func(together int) {
		Load(Param("x"), x)
		Load(Param("blocks"), count)
		ws := []Register{w, second}[:together]
		if together > 1 {
			IMUL3Q(U32(uint32(16*f.size)), count, second)
			ADDQ(w, second)
		}
		sums := make([][]VecVirtual, together*s.vectors)
		for i := range sums {
			sums[i] = s.vecs(n)
			for _, v := range sums[i] {
				s.zero(v)
			}
		}
		step := func(k int) {
			weights := s.vecs(len(sums))
			for i, v := range weights {
				f.load(s, Mem{Base: ws[i/s.vectors], Disp: (16*k + s.lanes*(i%s.vectors)) * f.size}, v)
			}
			for t := range n {
				m := Mem{Base: x, Disp: 4 * (k*n + t)}
				if s.lanes == 16 {
					for i, v := range weights {
						VFMADD231PS_BCST(m, v, sums[i][t])
					}
					continue
				}
				b := s.vec()
				VBROADCASTSS(m, b)
				for i, v := range weights {
					VFMADD231PS(b, v, sums[i][t])
				}
			}
		}
		const unroll = 4
		advance := func(columns int) {
			for _, w := range ws {
				ADDQ(U32(uint32(columns*16*f.size)), w)
			}
			ADDQ(U32(uint32(columns*4*n)), x)
			SUBQ(U32(uint32(columns)), count)
		}
		loop, rest, done := fmt.Sprintf("loop%d", id()), fmt.Sprintf("rest%d", id()), fmt.Sprintf("done%d", id())
		Label(loop)
		CMPQ(count, U32(unroll))
		JL(LabelRef(rest))
		if n == 1 {
			for _, w := range ws {
				for i := 0; i < unroll*16*f.size; i += 64 {
					PREFETCHT0(Mem{Base: w, Disp: i + 3072})
				}
			}
		}
		for k := range unroll {
			step(k)
		}
		advance(unroll)
		JMP(LabelRef(loop))
		Label(rest)
		TESTQ(count, count)
		JZ(LabelRef(done))
		step(0)
		advance(1)
		JMP(LabelRef(rest))
		Label(done)
		for i := range sums {
			store(s, dst, sums[i], 4*s.lanes*i)
		}
		if together > 1 {
			MOVQ(second, w)
		}
		ADDQ(U32(uint32(64*together)), dst)
		SUBQ(U32(uint32(together)), panels)
	}
	many, last, end := fmt.Sprintf("many%d", id()), fmt.Sprintf("last%d", id()), fmt.Sprintf("end%d", id())
	Label(many)
	if n == 1 {
		CMPQ(panels, U32(2))
		JL(LabelRef(last))
		some(2)
		JMP(LabelRef(many))
		Label(last)
		TESTQ(panels, panels)
		JZ(LabelRef(end))
		some(1)
	} else {
		some(1)
		JNZ(LabelRef(many))
	}
	Label(end)
	VZEROUPPER()
	RET()
}
