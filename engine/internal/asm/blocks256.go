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
	vectors           []int // of the panel that the pass computes
	q, m              Register
	floats            [][]Op // sums over superblocks, by row and vector: registers, or with avx2 memory
}

// run calls block for each superblock of each pass.
func (k *superKernel) run(quantBytes, metaBytes int, block func()) {
	panels, count := Load(Param("panels"), GP64()), GP64()
	panel := fmt.Sprintf("panel%d", id())
	Label(panel)
	for _, k.vectors = range k.s.passes(k.n) {
		loop := fmt.Sprintf("block%d", id())
		MOVQ(k.quants, k.q)
		MOVQ(k.meta, k.m)
		Load(Param("x"), k.x.base)
		k.x.start()
		Load(Param("blocks"), count)
		for t, zeros := range k.s.grid(k.n, len(k.vectors)) {
			for i, v := range zeros {
				k.s.zero(v)
				if k.s == avx2 {
					VMOVUPS(v, k.floats[t][i])
				} else {
					k.floats[t][i] = v
				}
			}
		}
		Label(loop)
		if k.n == 1 {
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
		for i, vector := range k.vectors {
			sums := k.s.vecs(k.n)
			for t := range sums {
				if k.s == avx2 {
					VMOVUPS(k.floats[t][i], sums[t])
				} else {
					sums[t] = k.floats[t][i].(VecVirtual)
				}
			}
			store(k.s, k.dst, sums, 32*vector)
		}
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
	vectors := len(s.passes(n)[0])
	var local Mem
	if s == avx2 {
		local = AllocLocal(32 * n * vectors)
	}
	floats := make([][]Op, n)
	for t := range floats {
		floats[t] = make([]Op, vectors)
		for i := range floats[t] {
			if s == avx2 {
				floats[t][i] = local.Offset(32 * (t*vectors + i))
			}
		}
	}
	return &superKernel{
		floats: floats,
		s:      s, n: n,
		quants: Load(Param("quants"), GP64()), meta: Load(Param("meta"), GP64()), dst: Load(Param("dst"), GP64()),
		x: newTokens(GP64(), Load(Param("xstride"), GP64()), n),
		q: GP64(), m: GP64(),
	}
}

// grid returns a vector for each row of activations and vector of the pass.
func (k *superKernel) grid() [][]VecVirtual { return k.s.grid(k.n, len(k.vectors)) }

// eachScale adds to the sums of each row and vector its integers in v, times the
// scales at disp of the superblock and the scale of the activations; or
// subtracts them.
func (k *superKernel) eachScale(v [][]VecVirtual, disp int, subtract bool) {
	for i, vector := range k.vectors {
		scale := k.s.vec()
		VCVTPH2PS(Mem{Base: k.m, Disp: disp + 16*vector}, scale)
		for t := range k.n {
			k.scale(t, i, v[t][i], scale, subtract)
		}
	}
}

// scale is eachScale for one row and vector.
func (k *superKernel) scale(t, i int, v, scale VecVirtual, subtract bool) {
	d := k.s.vec()
	VCVTDQ2PS(v, v)
	k.s.mulBroadcast(k.x.at(t, superScale), scale, d)
	VMULPS(d, v, v)
	sum := d
	if k.s == avx2 {
		VMOVUPS(k.floats[t][i], sum)
	} else {
		sum = k.floats[t][i].(VecVirtual)
	}
	if subtract {
		VSUBPS(v, sum, sum)
	} else {
		VADDPS(v, sum, sum)
	}
	if k.s == avx2 {
		VMOVUPS(sum, k.floats[t][i])
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
	words := s == avx2 && bits == 4 // 8 times 2·15·127 fit a word
	k.run(quantBytes, kMeta, func() {
		isums, total := k.grid(), k.grid()
		s.zeroAll(total)
		for sub := range 8 {
			if s == avx512 || words {
				s.zeroAll(isums)
			}
			scales := s.vecs(len(k.vectors)) // int32 lanes; with avx2 pairs of equal words
			if s == avx2 {
				for i, v := range k.vectors {
					VPMOVZXBD(Mem{Base: k.m, Disp: kScales + 16*sub + 8*v}, scales[i])
					t := s.vec()
					VPSLLD(Imm(16), scales[i], t)
					VPOR(t, scales[i], scales[i])
				}
			}
			for c := range 8 {
				u := s.vecs(len(k.vectors))
				for i, v := range k.vectors {
					s.load(Mem{Base: k.q, Disp: (sub/2*8+c)*64 + 32*v}, u[i])
					if sub%2 == 1 {
						VPSRLW(Imm(4), u[i], u[i])
					}
					s.and(low, u[i], u[i])
					if bits == 5 {
						h := s.vec()
						s.load(Mem{Base: k.q, Disp: 2048 + c*64 + 32*v}, h)
						switch {
						case sub < 4:
							VPSLLW(Imm(uint64(4-sub)), h, h)
						case sub > 4:
							VPSRLW(Imm(uint64(sub-4)), h, h)
						}
						s.and(bit, h, h)
						s.or(h, u[i], u[i])
					}
				}
				for t := range n {
					if m := k.x.at(t, 32*sub+4*c); s == avx512 || words {
						s.dot4(m, u, isums[t])
					} else {
						s.dot4(m, u, total[t], scales...)
					}
				}
			}
			for i, v := range k.vectors {
				switch {
				case s == avx512:
					VPMOVZXBD(Mem{Base: k.m, Disp: kScales + 16*sub + 8*v}, scales[i])
					for t := range n {
						VPMULLD(scales[i], isums[t][i], isums[t][i])
						VPADDD(isums[t][i], total[t][i], total[t][i])
					}
				case words:
					for t := range n {
						VPMADDWD(scales[i], isums[t][i], isums[t][i])
						VPADDD(isums[t][i], total[t][i], total[t][i])
					}
				}
			}
		}
		k.eachScale(total, kScale, false)
		least := isums
		s.zeroAll(least)
		for pair := range 4 {
			for i, v := range k.vectors {
				mins := s.vec()
				VPMOVZXBW(Mem{Base: k.m, Disp: kMins + 32*pair + 16*v}, mins)
				for t := range n {
					m, sum := k.x.at(t, superSums32+4*pair), least[t][i]
					if s == avx512 {
						VPDPWSSD_BCST(m, mins, sum)
						continue
					}
					p := s.vec()
					VPBROADCASTD(m, p)
					VPMADDWD(mins, p, p)
					VPADDD(p, sum, sum)
				}
			}
		}
		k.eachScale(least, kLeast, true)
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
		isums, total := k.grid(), k.grid()
		s.zeroAll(total)
		if s == avx512 && n <= 2 {
			k.q6KParts(column(total, 0), parts, low, two)
		} else {
			k.q6KSubs(total, isums, low, two)
		}
		k.eachScale(total, kScale, false)
	})
}

// q6KSubs adds to total the integers of a superblock, 16 columns after 16.
func (k *superKernel) q6KSubs(total, isums [][]VecVirtual, low, two VecVirtual) {
	s, n := k.s, k.n
	for sub := range 16 { // of 16 columns
		group, part := sub/4, sub%4
		if s == avx512 {
			s.zeroAll(isums)
		}
		scales := s.vecs(len(k.vectors))
		var words []VecVirtual // pairs of equal words, with avx2
		for i, v := range k.vectors {
			VPMOVSXBD(Mem{Base: k.m, Disp: q6Scales + 16*sub + 8*v}, scales[i])
			if s == avx2 {
				w, t := s.vec(), s.vec()
				VPSLLD(Imm(16), scales[i], t)
				VPBLENDW(Imm(0xaa), t, scales[i], w)
				words = append(words, w)
			}
		}
		for c := range 4 {
			u := s.vecs(len(k.vectors))
			for i, v := range k.vectors {
				h, at := s.vec(), 768*group+32*v
				s.load(Mem{Base: k.q, Disp: at + (part/2*4+c)*64}, u[i])
				s.load(Mem{Base: k.q, Disp: at + 512 + c*64}, h)
				if part%2 == 1 {
					VPSRLW(Imm(4), u[i], u[i])
				}
				switch part {
				case 0:
					VPSLLW(Imm(4), h, h)
				case 1:
					VPSLLW(Imm(2), h, h)
				case 3:
					VPSRLW(Imm(2), h, h)
				}
				s.and(low, u[i], u[i])
				s.and(two, h, h)
				s.or(h, u[i], u[i])
			}
			for t := range n {
				if m := k.x.at(t, 16*sub+4*c); s == avx512 {
					s.dot4(m, u, isums[t])
				} else {
					s.dot4(m, u, total[t], words...)
				}
			}
		}
		for t := range n {
			for i, v := range isums[t] {
				// u is 32 above the weight.
				if m := k.x.at(t, superSums16+4*sub); s == avx2 {
					VPBROADCASTD(m, v)
				} else {
					VPADDD_BCST(m, v, v)
				}
				VPMULLD(scales[i], v, v)
				VPADDD(v, total[t][i], total[t][i])
			}
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
