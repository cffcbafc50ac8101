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

// together is engine.panelsTogether.
const together = 4

// A cell is a vector of one of the panels that are computed at a time.
type cell struct{ panel, vector int }

// blocks32 writes the product of panels of 8- or 4-bit weights in blocks of 32
// columns with n rows of activations. With least, a block has a least value
// too, and its weights are below 32. stride and xstride are in bytes.
//
// One row, which memory bounds, meets some panels at a time: the processor
// fetches ahead in each by itself, where in one alone it would begin anew with
// every page. Not to be told what to fetch (PREFETCHT0) is faster, for what it is
// told waits for room in the first cache. Sums of so many panels are in dst.
func blocks32(s isa, bits int, least bool, n int) {
	name, metaBytes := fmt.Sprintf("q%d", bits), 32
	if least {
		name, metaBytes = name+"Least", 64
	}
	text(s, name, n, signature)
	signed := bits == 8 && !least
	chunks := bits                  // of 64 bytes in a block of a panel
	words := bits == 4 && s == avx2 // 8 times 2·15·127 fit a word
	var ones, sign, low VecVirtual
	var each []VecVirtual // ones for dot4
	if s == avx2 {
		ones = s.ones()
		if !words {
			each = []VecVirtual{ones}
		}
		if signed {
			sign = s.bytes(0x80)
		}
	}
	if bits == 4 {
		low = s.bytes(0x0f)
	}
	most := 1 // panels at a time
	if n == 1 {
		most = together
	}
	panels := Load(Param("panels"), GP64())
	d := newTokens(Load(Param("dst"), GP64()), Load(Param("stride"), GP64()), n)
	d.start()
	x := newTokens(GP64(), Load(Param("xstride"), GP64()), n)
	count, qBytes, mBytes := GP64(), GP64(), GP64() // of blocks; of a panel
	Load(Param("blocks"), count)
	IMUL3Q(U32(uint32(64*chunks)), count, qBytes)
	IMUL3Q(U32(uint32(metaBytes)), count, mBytes)
	q := newTokens(Load(Param("quants"), GP64()), qBytes, most)
	meta := newTokens(Load(Param("meta"), GP64()), mBytes, most)

	// weights loads the 32 bytes that a cell has of a chunk: as one vector for dot4,
	// or two, of the low and the high nibbles; or, with a sign, as they are and
	// without it.
	weights := func(c cell, chunk int) []VecVirtual {
		u := []VecVirtual{s.vec()}
		s.load(q.at(c.panel, 64*chunk+32*c.vector), u[0])
		switch {
		case signed && s == avx2:
			u = append(u, s.vec())
			VPXOR(sign, u[0], u[0])
			VPABSB(u[0], u[1])
		case bits == 4:
			u = append(u, s.vec())
			VPSRLW(Imm(4), u[0], u[1])
			s.and(low, u[0], u[0])
			s.and(low, u[1], u[1])
		}
		return u
	}
	// multiply adds the products of weights, of their low or high nibbles, with the
	// activations x to sum.
	multiply := func(u []VecVirtual, nibble int, x Op, sum VecVirtual) {
		if signed && s == avx2 {
			// Two products of 255·127 would not fit 16 bits: the sign goes to the
			// activations.
			v := s.vec()
			VPSIGNB(u[0], x, v)
			VPMADDUBSW(v, u[1], v)
			VPMADDWD(ones, v, v)
			VPADDD(v, sum, sum)
			return
		}
		s.dot4(x, u[nibble:nibble+1], []VecVirtual{sum}, each...)
	}
	// block adds the products of a block of each cell to sums, by cell and row.
	block := func(cells []cell, isums [][]VecVirtual, sums [][]Op) {
		s.zeroAll(isums)
		for c := range chunks {
			// What fewer registers hold is loaded first: the activations of one
			// row, or the weights of one panel.
			spread := func(t, nibble int) Op { return s.spread(x.at(t, 4*c+16*nibble)) }
			nibbles := 8 / bits
			if n == 1 {
				var x4 []Op
				for nibble := range nibbles {
					x4 = append(x4, spread(0, nibble))
				}
				for i, cell := range cells {
					u := weights(cell, c)
					for nibble := range nibbles {
						multiply(u, nibble, x4[nibble], isums[i][0])
					}
				}
				continue
			}
			us := make([][]VecVirtual, len(cells))
			for i, cell := range cells {
				us[i] = weights(cell, c)
			}
			for t := range n {
				for nibble := range nibbles {
					x4 := spread(t, nibble)
					for i, u := range us {
						multiply(u, nibble, x4, isums[i][t])
					}
				}
			}
		}
		add := func(v VecVirtual, sum Op) {
			VADDPS(sum, v, v)
			VMOVUPS(v, sum)
		}
		for i, cell := range cells {
			scale := s.vec()
			VCVTPH2PS(meta.at(cell.panel, 16*cell.vector), scale)
			for t := range n {
				f, factor := isums[i][t], s.vec()
				if words {
					VPMADDWD(ones, f, f)
				}
				if !(signed && s == avx2) && !least {
					s.addIntBroadcast(x.at(t, blockOffset), f)
				}
				VCVTDQ2PS(f, f)
				s.mulBroadcast(x.at(t, blockScale), scale, factor)
				VMULPS(factor, f, f)
				add(f, sums[i][t])
			}
			if least {
				VCVTPH2PS(meta.at(cell.panel, 32+16*cell.vector), scale)
				for t := range n {
					v := s.vec()
					s.mulBroadcast(x.at(t, blockSum), scale, v)
					add(v, sums[i][t])
				}
			}
		}
	}
	// some computes k panels.
	some := func(k int) {
		var cells []cell
		var sums [][]Op
		zero := s.vec()
		s.zero(zero)
		for p := range k {
			for v := range s.vectors {
				cells = append(cells, cell{p, v})
				row := make([]Op, n)
				for t := range row {
					row[t] = d.at(t, 64*p+32*v)
					VMOVUPS(zero, row[t])
				}
				sums = append(sums, row)
			}
		}
		loop := fmt.Sprintf("block%d", id())
		Load(Param("x"), x.base)
		x.start()
		Load(Param("blocks"), count)
		isums := s.grid(len(cells), n)
		Label(loop)
		block(cells, isums, sums)
		ADDQ(U32(uint32(64*chunks)), q.base)
		ADDQ(U32(uint32(metaBytes)), meta.base)
		x.advance(blockBytes)
		DECQ(count)
		JNZ(LabelRef(loop))
		for range k - 1 { // the first is behind
			ADDQ(qBytes, q.base)
			ADDQ(mBytes, meta.base)
		}
		d.advance(64 * k)
		SUBQ(U32(uint32(k)), panels)
	}
	many, last, end := fmt.Sprintf("many%d", id()), fmt.Sprintf("last%d", id()), fmt.Sprintf("end%d", id())
	if n == 1 {
		Label(many)
		CMPQ(panels, U32(together))
		JL(LabelRef(last))
		some(together)
		JMP(LabelRef(many))
	}
	Label(last)
	TESTQ(panels, panels)
	JZ(LabelRef(end))
	some(1)
	JMP(LabelRef(last))
	Label(end)
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
