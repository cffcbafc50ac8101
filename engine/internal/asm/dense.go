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
// x is [cols, n]; blocks are columns. Products are rounded before they are added. stride is in
// bytes.
func dense(s isa, f float, n int) {
	text(s, f.name, n, signature)
	w, dst, panels := Load(Param("quants"), GP64()), Load(Param("dst"), GP64()), Load(Param("panels"), GP64())
	x, count := GP64(), GP64()

	panel := fmt.Sprintf("panel%d", id())
	Label(panel)
	Load(Param("x"), x)
	Load(Param("blocks"), count)
	sums := make([][]VecVirtual, s.vectors)
	for i := range sums {
		sums[i] = s.vecs(n)
		for _, v := range sums[i] {
			s.zero(v)
		}
	}
	step := func(k int) {
		ws := s.vecs(s.vectors)
		for i, v := range ws {
			f.load(s, Mem{Base: w, Disp: (16*k + s.lanes*i) * f.size}, v)
		}
		for t := range n {
			m := Mem{Base: x, Disp: 4 * (k*n + t)}
			if s.lanes == 16 {
				p := s.vec()
				VMULPS_BCST(m, ws[0], p)
				VADDPS(p, sums[0][t], sums[0][t])
				continue
			}
			b, p := s.vec(), s.vec()
			VBROADCASTSS(m, b)
			VMULPS(b, ws[0], p)
			VADDPS(p, sums[0][t], sums[0][t])
			VMULPS(b, ws[1], b)
			VADDPS(b, sums[1][t], sums[1][t])
		}
	}
	unroll := 4
	if n > 4 {
		unroll = 2
	}
	loop, rest, done := fmt.Sprintf("loop%d", id()), fmt.Sprintf("rest%d", id()), fmt.Sprintf("done%d", id())
	Label(loop)
	CMPQ(count, U32(uint32(unroll)))
	JL(LabelRef(rest))
	if n == 1 {
		for i := 0; i < unroll*16*f.size; i += 64 {
			PREFETCHT0(Mem{Base: w, Disp: i + 3072})
		}
	}
	for k := range unroll {
		step(k)
	}
	ADDQ(U32(uint32(unroll*16*f.size)), w)
	ADDQ(U32(uint32(unroll*4*n)), x)
	SUBQ(U32(uint32(unroll)), count)
	JMP(LabelRef(loop))
	Label(rest)
	TESTQ(count, count)
	JZ(LabelRef(done))
	step(0)
	ADDQ(U32(uint32(16*f.size)), w)
	ADDQ(U32(uint32(4*n)), x)
	DECQ(count)
	JMP(LabelRef(rest))
	Label(done)
	for i := range sums {
		store(s, dst, sums[i], 32*i)
	}
	ADDQ(U32(64), dst)
	DECQ(panels)
	JNZ(LabelRef(panel))
	VZEROUPPER()
	RET()
}
