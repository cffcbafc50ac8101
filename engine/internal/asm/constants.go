package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var constants = map[uint32]Mem{}

// eight returns memory that holds bits eight times.
func eight(bits uint32) Mem {
	m, ok := constants[bits]
	if !ok {
		m = GLOBL(fmt.Sprintf("eight%08x", bits), attr.RODATA|attr.NOPTR)
		for i := range 8 {
			DATA(4*i, U32(bits))
		}
		constants[bits] = m
	}
	return m
}

func eightFloats(f float64) Mem { return eight(math.Float32bits(float32(f))) }

// exp replaces x by its exponential, step by step as engine.exp32 does.
func exp(x VecVirtual) {
	zero, n, r, p, t := YMM(), YMM(), YMM(), YMM(), YMM()
	VCMPPS(Imm(1), eightFloats(-87), x, zero) // x < -87
	VMOVUPS(eightFloats(88), t)
	VMINPS(x, t, x)
	VMULPS(eightFloats(1.44269504088896341), x, n)
	VADDPS(eightFloats(3<<22), n, n)
	VSUBPS(eightFloats(3<<22), n, n)
	VMULPS(eightFloats(0.693359375), n, t)
	VSUBPS(t, x, r)
	VMULPS(eightFloats(-2.12194440e-4), n, t)
	VSUBPS(t, r, r)
	VMULPS(eightFloats(1.9875691500e-4), r, p)
	for i, c := range []float64{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		if i > 0 {
			VMULPS(r, p, p)
		}
		VADDPS(eightFloats(c), p, p)
	}
	VMULPS(r, p, p)
	VMULPS(r, p, p)
	VADDPS(r, p, p)
	VADDPS(eightFloats(1), p, p)
	VCVTTPS2DQ(n, n)
	VPADDD(eight(127), n, n)
	VPSLLD(Imm(23), n, n)
	VMULPS(n, p, p)
	VANDNPS(p, zero, x)
}
