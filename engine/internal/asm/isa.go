package main

import (
	"fmt"
	"github.com/mmcloughlin/avo/attr"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An isa is an instruction set for which every kernel is written once more. A
// panel of 16 rows is one vector of avx512 or two of avx2.
type isa struct {
	name    string
	lanes   int // 32-bit numbers in a vector
	vectors int // in a panel
}

var (
	avx2   = isa{"AVX2", 8, 2}
	avx512 = isa{"AVX512", 16, 1}
)

// passes returns in how many passes a panel meets n rows of activations, and
// which of its vectors each computes. One row is bound by memory, which must not
// wait for a second pass; more have too many sums for the registers.
func (s isa) passes(n int) [][]int {
	switch {
	case s.vectors == 1:
		return [][]int{{0}}
	case n == 1:
		return [][]int{{0, 1}}
	}
	return [][]int{{0}, {1}}
}

func (s isa) vec() VecVirtual {
	if s.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

func (s isa) vecs(n int) []VecVirtual {
	v := make([]VecVirtual, n)
	for i := range v {
		v[i] = s.vec()
	}
	return v
}

// A grid is a vector for each row of activations and each vector of a pass.
func (s isa) grid(rows, vectors int) [][]VecVirtual {
	g := make([][]VecVirtual, rows)
	for i := range g {
		g[i] = s.vecs(vectors)
	}
	return g
}

// column returns vector i of each row.
func column(grid [][]VecVirtual, i int) (v []VecVirtual) {
	for _, row := range grid {
		v = append(v, row[i])
	}
	return v
}

// half returns the lower half of a vector, which 16-bit numbers fill.
func (s isa) half(v VecVirtual) Op {
	if s.lanes == 16 {
		return v.AsY()
	}
	return v.AsX()
}

func (s isa) zero(v VecVirtual) {
	if s.lanes == 16 {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
}

func (s isa) zeroAll(grid [][]VecVirtual) {
	for _, row := range grid {
		for _, v := range row {
			s.zero(v)
		}
	}
}

func (s isa) load(m Op, v VecVirtual) {
	if s.lanes == 16 {
		VMOVDQU32(m, v)
	} else {
		VMOVDQU(m, v)
	}
}

func (s isa) and(a, b Op, v VecVirtual) {
	if s.lanes == 16 {
		VPANDD(a, b, v)
	} else {
		VPAND(a, b, v)
	}
}

func (s isa) or(a, b Op, v VecVirtual) {
	if s.lanes == 16 {
		VPORD(a, b, v)
	} else {
		VPOR(a, b, v)
	}
}

// bytes returns a vector that is b in every byte.
func (s isa) bytes(b uint32) VecVirtual {
	v, r := s.vec(), GP32()
	MOVL(U32(b*0x01010101), r)
	x := XMM()
	VMOVD(r, x)
	VPBROADCASTD(x, v)
	return v
}

// words returns a vector that is 1 in every 16-bit word.
func (s isa) ones() VecVirtual {
	v, r := s.vec(), GP32()
	MOVL(U32(0x00010001), r)
	x := XMM()
	VMOVD(r, x)
	VPBROADCASTD(x, v)
	return v
}

// mulBroadcast sets v to a times the number at m, in every lane.
func (s isa) mulBroadcast(m Mem, a, v VecVirtual) {
	if s.lanes == 16 {
		VMULPS_BCST(m, a, v)
		return
	}
	t := s.vec()
	VBROADCASTSS(m, t)
	VMULPS(t, a, v)
}

// addIntBroadcast adds the int32 at m to every lane of v.
func (s isa) addIntBroadcast(m Mem, v VecVirtual) {
	if s.lanes == 16 {
		VPADDD_BCST(m, v, v)
		return
	}
	t := s.vec()
	VPBROADCASTD(m, t)
	VPADDD(t, v, v)
}

// spread returns the four bytes at m in every lane, as dot4 wants them; m itself,
// where a product can do that by the way.
func (s isa) spread(m Op) Op {
	if _, ok := m.(Mem); !ok || s.lanes == 16 {
		return m
	}
	v := s.vec()
	VPBROADCASTD(m, v)
	return v
}

// dot4 adds to each lane of each of accs the four products of the unsigned bytes
// of the vector of u in its place, at most 127 with avx2, and the four int8 that
// x is, or is in every lane. With avx2, and only there, the products of two bytes
// are added in words, which are then multiplied with those of weights, one vector
// for each of u; without weights the lanes of accs are pairs of such words.
func (s isa) dot4(x Op, u, accs []VecVirtual, weights ...VecVirtual) {
	x = s.spread(x)
	if s.lanes == 16 {
		VPDPBUSD_BCST(x, u[0], accs[0])
		return
	}
	for i, acc := range accs {
		t := s.vec()
		VPMADDUBSW(x, u[i], t)
		if len(weights) == 0 {
			VPADDW(t, acc, acc)
			continue
		}
		VPMADDWD(weights[i], t, t)
		VPADDD(t, acc, acc)
	}
}

// tokens addresses T rows of memory that lie stride bytes apart.
type tokens struct {
	base, base4, base8, stride, stride3 Register
	n                                   int
}

// newTokens takes the address of the first row, which it may change, and the
// stride.
func newTokens(base, stride Register, n int) *tokens {
	t := &tokens{base: base, stride: stride, n: n}
	if n > 3 {
		t.stride3 = GP64()
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, t.stride3)
	}
	return t
}

// start computes what at needs, after base was set.
func (t *tokens) start() {
	if t.n > 4 {
		if t.base4 == nil {
			t.base4 = GP64()
		}
		LEAQ(Mem{Base: t.base, Index: t.stride, Scale: 4}, t.base4)
	}
}

// at returns the address of byte disp of row i.
func (t *tokens) at(i, disp int) Mem {
	m := Mem{Base: t.base, Disp: disp}
	if i >= 4 {
		m.Base, i = t.base4, i-4
	}
	switch i {
	case 1, 2:
		m.Index, m.Scale = t.stride, uint8(i)
	case 3:
		m.Index, m.Scale = t.stride3, 1
	}
	return m
}

// advance moves on by n bytes.
func (t *tokens) advance(n int) {
	ADDQ(U32(n), t.base)
	if t.n > 4 {
		ADDQ(U32(n), t.base4)
	}
}

func text(s isa, name string, n int, signature string) {
	full := fmt.Sprintf("%s%s", name, s.name)
	if n > 0 {
		full = fmt.Sprintf("%sx%d%s", name, n, s.name)
	}
	TEXT(full, attr.NOSPLIT, signature)
	Pragma("noescape")
}
