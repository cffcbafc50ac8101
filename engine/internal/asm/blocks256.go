package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Sizes of engine.block256: 256 int8, -32 times the sums of 16 of them, the
// sums of 32 as int16, and the scale.
const (
	superBytes  = 340
	superSums16 = 256
	superSums32 = 320
	superScale  = 336
)

// Layout of what a panel's superblock has beside its quants, as engine.repack
// writes it.
const (
	kScale  = 0  // [16] F16
	kLeast  = 32 // [16] F16: Q4_K and Q5_K only, and so
	kMins   = 64 // [4, 16, 2] bytes
	kScales = 64 + 128
	kMeta   = 64 + 128 + 128

	q6Scales = 32 // [16, 16] int8
	q6Meta   = 32 + 256
)

// A superKernel is what Q4_K, Q5_K and Q6_K share: a loop over panels, passes
// and superblocks.
type superKernel struct {
	s                 isa
	n                 int
	quants, meta, dst Register
	x                 *tokens
	pass              int
	q, m              Register
	floats            []Op // sums over superblocks: registers, or with avx2 memory
}

// run calls block for each superblock; it returns vectors of sums to which it
// has added.
func (k *superKernel) run(quantBytes, metaBytes int, block func()) {
	panels, count := Load(Param("panels"), GP64()), GP64()
	panel := fmt.Sprintf("panel%d", id())
	Label(panel)
	for k.pass = range k.s.passes {
		loop := fmt.Sprintf("block%d", id())
		MOVQ(k.quants, k.q)
		MOVQ(k.meta, k.m)
		Load(Param("x"), k.x.base)
		k.x.start()
		Load(Param("blocks"), count)
		zero := k.s.vecs(k.n)
		for i, v := range zero {
			k.s.zero(v)
			if k.s == avx2 {
				VMOVUPS(v, k.floats[i])
			} else {
				k.floats[i] = v
			}
		}
		Label(loop)
		if k.n == 1 && k.pass == 0 {
			for i := 0; i < quantBytes; i += 64 {
				PREFETCHT0(Mem{Base: k.q, Disp: i + 4096})
			}
		}
		block()
		ADDQ(U32(uint32(quantBytes)), k.q)
		ADDQ(U32(uint32(metaBytes)), k.m)
		k.x.advance(superBytes)
		DECQ(count)
		JNZ(LabelRef(loop))
		sums := k.s.vecs(k.n)
		for i := range sums {
			if k.s == avx2 {
				VMOVUPS(k.floats[i], sums[i])
			} else {
				sums[i] = k.floats[i].(VecVirtual)
			}
		}
		store(k.s, k.dst, sums, 32*k.pass)
	}
	MOVQ(k.q, k.quants)
	MOVQ(k.m, k.meta)
	ADDQ(U32(64), k.dst)
	DECQ(panels)
	JNZ(LabelRef(panel))
	VZEROUPPER()
	RET()
}

func newSuperKernel(s isa, n int) *superKernel {
	sums := make([]Op, n)
	if s == avx2 {
		local := AllocLocal(32 * n)
		for i := range sums {
			sums[i] = local.Offset(32 * i)
		}
	}
	return &superKernel{
		floats: sums,
		s:      s, n: n,
		quants: Load(Param("quants"), GP64()), meta: Load(Param("meta"), GP64()), dst: Load(Param("dst"), GP64()),
		x: newTokens(GP64(), Load(Param("xstride"), GP64()), n),
		q: GP64(), m: GP64(),
	}
}

// add adds to the sums of token t the integers of v, times the scales at
// disp of the superblock and the scale of the activations; or subtracts it.
func (k *superKernel) scale(t int, v, scale VecVirtual, subtract bool) {
	d := k.s.vec()
	VCVTDQ2PS(v, v)
	k.s.mulBroadcast(k.x.at(t, superScale), scale, d)
	VMULPS(d, v, v)
	sum := d
	if k.s == avx2 {
		VMOVUPS(k.floats[t], sum)
	} else {
		sum = k.floats[t].(VecVirtual)
	}
	if subtract {
		VSUBPS(v, sum, sum)
	} else {
		VADDPS(v, sum, sum)
	}
	if k.s == avx2 {
		VMOVUPS(sum, k.floats[t])
	}
}

// q45K writes the product of panels of Q4_K or Q5_K with n rows of activations.
func q45K(s isa, bits, n int) {
	text(s, fmt.Sprintf("q%dK", bits), n, signature)
	k := newSuperKernel(s, n)
	low := s.bytes(0x0f)
	var bit VecVirtual
	quantBytes := 2048
	if bits == 5 {
		bit = s.bytes(0x10)
		quantBytes += 512
	}
	k.run(quantBytes, kMeta, func() {
		isums, total := s.vecs(n), s.vecs(n)
		for _, v := range total {
			s.zero(v)
		}
		for sub := range 8 {
			for _, v := range isums {
				if s == avx512 || bits == 4 {
					s.zero(v)
				}
			}
			var scale VecVirtual // int32 lanes; with avx2 pairs of equal words
			if s == avx2 {
				scale = s.vec()
				VPMOVZXBD(Mem{Base: k.m, Disp: kScales + 16*sub + 8*k.pass}, scale)
				t := s.vec()
				VPSLLD(Imm(16), scale, t)
				VPOR(t, scale, scale)
			}
			for c := range 8 {
				u := s.vec()
				s.load(Mem{Base: k.q, Disp: (sub/2*8+c)*64 + 32*k.pass}, u)
				if sub%2 == 1 {
					VPSRLW(Imm(4), u, u)
				}
				s.and(low, u, u)
				if bits == 5 {
					h := s.vec()
					s.load(Mem{Base: k.q, Disp: 2048 + c*64 + 32*k.pass}, h)
					switch {
					case sub < 4:
						VPSLLW(Imm(uint64(4-sub)), h, h)
					case sub > 4:
						VPSRLW(Imm(uint64(sub-4)), h, h)
					}
					s.and(bit, h, h)
					s.or(h, u, u)
				}
				for t := range n {
					m := k.x.at(t, 32*sub+4*c)
					if s == avx512 {
						VPDPBUSD_BCST(m, u, isums[t])
						continue
					}
					v := s.vec()
					VPBROADCASTD(m, v)
					VPMADDUBSW(v, u, v)
					if bits == 4 { // 8 times 2·15·127 fit a word
						VPADDW(v, isums[t], isums[t])
					} else {
						VPMADDWD(scale, v, v)
						VPADDD(v, total[t], total[t])
					}
				}
			}
			switch {
			case s == avx512:
				scale = s.vec()
				VPMOVZXBD(Mem{Base: k.m, Disp: kScales + 16*sub}, scale)
				for t, v := range isums {
					VPMULLD(scale, v, v)
					VPADDD(v, total[t], total[t])
				}
			case bits == 4:
				for t, v := range isums {
					VPMADDWD(scale, v, v)
					VPADDD(v, total[t], total[t])
				}
			}
		}
		d := s.vec()
		VCVTPH2PS(Mem{Base: k.m, Disp: kScale + 16*k.pass}, d)
		for t := range n {
			k.scale(t, total[t], d, false)
		}
		least := isums
		for _, v := range least {
			s.zero(v)
		}
		for pair := range 4 {
			mins := s.vec()
			VPMOVZXBW(Mem{Base: k.m, Disp: kMins + 32*pair + 16*k.pass}, mins)
			for t, v := range least {
				m := k.x.at(t, superSums32+4*pair)
				if s == avx512 {
					VPDPWSSD_BCST(m, mins, v)
					continue
				}
				p := s.vec()
				VPBROADCASTD(m, p)
				VPMADDWD(mins, p, p)
				VPADDD(p, v, v)
			}
		}
		VCVTPH2PS(Mem{Base: k.m, Disp: kLeast + 16*k.pass}, d)
		for t := range n {
			k.scale(t, least[t], d, true)
		}
	})
}

// q6K writes the product of panels of Q6_K with n rows of activations.
func q6K(s isa, n int) {
	text(s, "q6K", n, signature)
	k := newSuperKernel(s, n)
	low, two := s.bytes(0x0f), s.bytes(0x30)
	parts := [4][]VecVirtual{s.vecs(n), s.vecs(n), s.vecs(n), s.vecs(n)}
	// avo takes v xor v for a use of what v was, so vectors are named once.
	k.run(3072, q6Meta, func() {
		isums, total := s.vecs(n), s.vecs(n)
		for _, v := range total {
			s.zero(v)
		}
		if s == avx512 && n <= 2 {
			k.q6KParts(total, parts, low, two)
		} else {
			k.q6KSubs(total, isums, low, two)
		}
		d := s.vec()
		VCVTPH2PS(Mem{Base: k.m, Disp: kScale + 16*k.pass}, d)
		for t := range n {
			k.scale(t, total[t], d, false)
		}
	})
}

// q6KSubs adds to total the integers of a superblock, 16 columns after 16.
func (k *superKernel) q6KSubs(total, isums []VecVirtual, low, two VecVirtual) {
	s, n := k.s, k.n
	for sub := range 16 { // of 16 columns
		group, part := sub/4, sub%4
		for _, v := range isums {
			if s == avx512 {
				s.zero(v)
			}
		}
		scale := s.vec()
		VPMOVSXBD(Mem{Base: k.m, Disp: q6Scales + 16*sub + 8*k.pass}, scale)
		var words VecVirtual
		if s == avx2 { // pairs of equal words
			words = s.vec()
			t := s.vec()
			VPSLLD(Imm(16), scale, t)
			VPBLENDW(Imm(0xaa), t, scale, words)
		}
		for c := range 4 {
			u, h := s.vec(), s.vec()
			at := 768*group + 32*k.pass
			s.load(Mem{Base: k.q, Disp: at + (part/2*4+c)*64}, u)
			s.load(Mem{Base: k.q, Disp: at + 512 + c*64}, h)
			if part%2 == 1 {
				VPSRLW(Imm(4), u, u)
			}
			switch part {
			case 0:
				VPSLLW(Imm(4), h, h)
			case 1:
				VPSLLW(Imm(2), h, h)
			case 3:
				VPSRLW(Imm(2), h, h)
			}
			s.and(low, u, u)
			s.and(two, h, h)
			s.or(h, u, u)
			for t := range n {
				m := k.x.at(t, 16*sub+4*c)
				if s == avx512 {
					VPDPBUSD_BCST(m, u, isums[t])
					continue
				}
				v := s.vec()
				VPBROADCASTD(m, v)
				VPMADDUBSW(v, u, v)
				VPMADDWD(words, v, v)
				VPADDD(v, total[t], total[t])
			}
		}
		for t, v := range isums {
			// u is 32 above the weight.
			if m := k.x.at(t, superSums16+4*sub); s == avx2 {
				VPBROADCASTD(m, v)
			} else {
				VPADDD_BCST(m, v, v)
			}
			VPMULLD(scale, v, v)
			VPADDD(v, total[t], total[t])
		}
	}
}

// q6KParts does the same for few rows: it loads each vector once, for the four
// times 16 columns that share it.
func (k *superKernel) q6KParts(total []VecVirtual, parts [4][]VecVirtual, low, two VecVirtual) {
	s := k.s
	for group := range 4 {
		for _, isums := range parts {
			for _, v := range isums {
				s.zero(v)
			}
		}
		for c := range 4 {
			h, l := s.vec(), []VecVirtual{s.vec(), s.vec()}
			at := 768 * group
			s.load(Mem{Base: k.q, Disp: at + c*64}, l[0])
			s.load(Mem{Base: k.q, Disp: at + (4+c)*64}, l[1])
			s.load(Mem{Base: k.q, Disp: at + 512 + c*64}, h)
			for part, isums := range parts {
				u, nibble := s.vec(), l[part/2]
				switch part {
				case 0:
					VPSLLW(Imm(4), h, u)
				case 1:
					VPSLLW(Imm(2), h, u)
				case 3:
					VPSRLW(Imm(2), h, u)
				}
				if part == 2 {
					s.and(two, h, u)
				} else {
					s.and(two, u, u)
				}
				if part%2 == 1 {
					VPSRLW(Imm(4), nibble, nibble)
				}
				VPTERNLOGD(Imm(0xf8), low, nibble, u) // u | nibble & low
				for t, v := range isums {
					VPDPBUSD_BCST(k.x.at(t, 64*group+16*part+4*c), u, v)
				}
			}
		}
		for part, isums := range parts {
			scale := s.vec()
			VPMOVSXBD(Mem{Base: k.m, Disp: q6Scales + 16*(4*group+part)}, scale)
			for t, v := range isums {
				VPADDD_BCST(k.x.at(t, superSums16+4*(4*group+part)), v, v)
				VPMULLD(scale, v, v)
				VPADDD(v, total[t], total[t])
			}
		}
	}
}
