package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Sizes of engine.block32: 32 int8, their scale, what makes up for the offset of
// the weights, and the sum of what the block stands for.
const (
	blockBytes  = 44
	blockScale  = 32
	blockOffset = 36
	blockSum    = 40
)

// signature is that of engine.panelKernel.
const signature = "func(dst *float32, stride int, quants, meta, x *byte, xstride, blocks, panels int)"

// blocks32 writes the product of panels of 8- or 4-bit weights in blocks of 32
// columns with n rows of activations. With least, a block has a least value
// too, and its weights are below 32. stride and xstride are in bytes.
func blocks32(s isa, bits int, least bool, n int) {
	name, metaBytes := fmt.Sprintf("q%d", bits), 32
	if least {
		name, metaBytes = name+"Least", 64
	}
	text(s, name, n, signature)
	signed := bits == 8 && !least
	chunks := bits // of 64 bytes in a block of a panel
	quants, scales := Load(Param("quants"), GP64()), Load(Param("meta"), GP64())
	dst, panels := Load(Param("dst"), GP64()), Load(Param("panels"), GP64())
	x := newTokens(GP64(), Load(Param("xstride"), GP64()), n)
	var ones, sign, low VecVirtual
	if s == avx2 {
		ones = s.ones()
		if signed {
			sign = s.bytes(0x80)
		}
	}
	if bits == 4 {
		low = s.bytes(0x0f)
	}
	q, sc, count := GP64(), GP64(), GP64()

	panel := fmt.Sprintf("panel%d", id())
	Label(panel)
	for pass := range s.passes {
		loop := fmt.Sprintf("block%d", id())
		MOVQ(quants, q)
		MOVQ(scales, sc)
		Load(Param("x"), x.base)
		x.start()
		Load(Param("blocks"), count)
		sums := s.vecs(n)
		for _, v := range sums {
			s.zero(v)
		}
		Label(loop)
		isums := s.vecs(n)
		for _, v := range isums {
			s.zero(v)
		}
		w := func(chunk int) Mem { return Mem{Base: q, Disp: 64*chunk + 32*pass} }
		if n == 1 && pass == 0 {
			for c := range chunks {
				PREFETCHT0(Mem{Base: q, Disp: 64*c + 3072})
			}
		}
		for c := range chunks {
			u := s.vec()
			s.load(w(c), u)
			switch {
			case signed && s == avx2:
				// Two products of 255·127 would not fit 16 bits: the sign
				// goes to the activations.
				VPXOR(sign, u, u)
				abs := s.vec()
				VPABSB(u, abs)
				for t := range n {
					v := s.vec()
					VPBROADCASTD(x.at(t, 4*c), v)
					VPSIGNB(u, v, v)
					VPMADDUBSW(v, abs, v)
					VPMADDWD(ones, v, v)
					VPADDD(v, isums[t], isums[t])
				}
			case bits == 8:
				for t := range n {
					s.dot4(x.at(t, 4*c), u, isums[t], ones)
				}
			default:
				high := s.vec()
				VPSRLW(Imm(4), u, high)
				s.and(low, u, u)
				s.and(low, high, high)
				for t := range n {
					s.dot4(x.at(t, 4*c), u, isums[t], ones)
					s.dot4(x.at(t, 4*c+16), high, isums[t], ones)
				}
			}
		}
		scale := s.vec()
		VCVTPH2PS(Mem{Base: sc, Disp: 16 * pass}, scale)
		for t := range n {
			if !(signed && s == avx2) && !least {
				s.addIntBroadcast(x.at(t, blockOffset), isums[t])
			}
			f, d := isums[t], s.vec()
			VCVTDQ2PS(f, f)
			s.mulBroadcast(x.at(t, blockScale), scale, d)
			VMULPS(d, f, f)
			VADDPS(f, sums[t], sums[t])
		}
		if least {
			VCVTPH2PS(Mem{Base: sc, Disp: 32 + 16*pass}, scale)
			for t := range n {
				d := s.vec()
				s.mulBroadcast(x.at(t, blockSum), scale, d)
				VADDPS(d, sums[t], sums[t])
			}
		}
		ADDQ(U32(64*chunks), q)
		ADDQ(U32(uint32(metaBytes)), sc)
		x.advance(blockBytes)
		DECQ(count)
		JNZ(LabelRef(loop))

		store(s, dst, sums, 32*pass)
	}
	MOVQ(q, quants)
	MOVQ(sc, scales)
	ADDQ(U32(64), dst)
	DECQ(panels)
	JNZ(LabelRef(panel))
	VZEROUPPER()
	RET()
}

// store writes one vector a token, at byte disp of its row of dst.
func store(s isa, dst Register, sums []VecVirtual, disp int) {
	d := GP64()
	stride := GP64()
	if len(sums) > 1 {
		Load(Param("stride"), stride)
	}
	MOVQ(dst, d)
	for t, v := range sums {
		VMOVUPS(v, Mem{Base: d, Disp: disp})
		if t < len(sums)-1 {
			ADDQ(stride, d)
		}
	}
}

var ids int

func id() int { ids++; return ids }
