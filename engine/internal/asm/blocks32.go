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
	words := bits == 4 && s == avx2 // 8 times 2·15·127 fit a word
	var ones, sign, low VecVirtual
	var each []VecVirtual // ones for dot4
	if s == avx2 {
		ones = s.ones()
		if !words {
			each = []VecVirtual{ones, ones}
		}
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
	for _, vectors := range s.passes(n) {
		loop := fmt.Sprintf("block%d", id())
		MOVQ(quants, q)
		MOVQ(scales, sc)
		Load(Param("x"), x.base)
		x.start()
		Load(Param("blocks"), count)
		sums, isums := s.grid(n, len(vectors)), s.grid(n, len(vectors))
		s.zeroAll(sums)
		Label(loop)
		s.zeroAll(isums)
		if n == 1 {
			for c := range chunks {
				PREFETCHT0(Mem{Base: q, Disp: 64*c + 3072})
			}
		}
		for c := range chunks {
			u := s.vecs(len(vectors))
			for i, v := range vectors {
				s.load(Mem{Base: q, Disp: 64*c + 32*v}, u[i])
			}
			switch {
			case signed && s == avx2:
				// Two products of 255·127 would not fit 16 bits: the sign
				// goes to the activations.
				abs := s.vecs(len(vectors))
				for i := range u {
					VPXOR(sign, u[i], u[i])
					VPABSB(u[i], abs[i])
				}
				for t := range n {
					x4 := s.vec()
					VPBROADCASTD(x.at(t, 4*c), x4)
					for i := range u {
						v := s.vec()
						VPSIGNB(u[i], x4, v)
						VPMADDUBSW(v, abs[i], v)
						VPMADDWD(ones, v, v)
						VPADDD(v, isums[t][i], isums[t][i])
					}
				}
			case bits == 8:
				for t := range n {
					s.dot4(x.at(t, 4*c), u, isums[t], each...)
				}
			default:
				high := s.vecs(len(vectors))
				for i := range u {
					VPSRLW(Imm(4), u[i], high[i])
					s.and(low, u[i], u[i])
					s.and(low, high[i], high[i])
				}
				for t := range n {
					s.dot4(x.at(t, 4*c), u, isums[t], each...)
					s.dot4(x.at(t, 4*c+16), high, isums[t], each...)
				}
			}
		}
		for i, vector := range vectors {
			scale := s.vec()
			VCVTPH2PS(Mem{Base: sc, Disp: 16 * vector}, scale)
			for t := range n {
				f, d := isums[t][i], s.vec()
				if words {
					VPMADDWD(ones, f, f)
				}
				if !(signed && s == avx2) && !least {
					s.addIntBroadcast(x.at(t, blockOffset), f)
				}
				VCVTDQ2PS(f, f)
				s.mulBroadcast(x.at(t, blockScale), scale, d)
				VMULPS(d, f, f)
				VADDPS(f, sums[t][i], sums[t][i])
			}
			if least {
				VCVTPH2PS(Mem{Base: sc, Disp: 32 + 16*vector}, scale)
				for t := range n {
					d := s.vec()
					s.mulBroadcast(x.at(t, blockSum), scale, d)
					VADDPS(d, sums[t][i], sums[t][i])
				}
			}
		}
		ADDQ(U32(64*chunks), q)
		ADDQ(U32(uint32(metaBytes)), sc)
		x.advance(blockBytes)
		DECQ(count)
		JNZ(LabelRef(loop))

		for i, v := range vectors {
			store(s, dst, column(sums, i), 32*v)
		}
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
