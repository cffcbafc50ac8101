// Command asm writes the assembly of the kernels and their Go declarations into
// the engine's folder: make asm.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64,!purego")
	for _, n := range []int{1, 2, 4} {
		matrices(avx2, n)
	}
	for _, n := range []int{1, 2, 4, 8} {
		matrices(avx512, n)
	}
	for _, f := range floats {
		dense(avx2, f, 6)
		dense(avx512, f, 16)
	}
	for _, n := range []int{1, 2, 4} {
		dotKeys(avx2, n)
		addValues(avx2, n)
	}
	for _, n := range []int{1, 2, 4, 8} {
		dotKeys(avx512, n)
		addValues(avx512, n)
	}
	softmax()
	for _, f := range []func(){swiGLU, add, scale, squares, normalize, narrow, rope, ropeNeoX, interleave, quantize32, quantize256} {
		f()
	}
	pause()
	read()
	widen(floats[1])
	widen(floats[2])
	Generate()
}

// matrices writes the products of every type of weights with n rows.
func matrices(s isa, n int) {
	blocks32(s, 8, false, n)
	blocks32(s, 8, true, n)
	blocks32(s, 4, false, n)
	q45K(s, 4, n)
	q45K(s, 5, n)
	q6K(s, n)
	for _, f := range floats {
		dense(s, f, n)
	}
}
