package engine

import (
	"math"
	"testing"
)

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		if f := float16(uint16(h)); !math.IsNaN(float64(f)) && narrow(f) != uint16(h) {
			t.Fatalf("%#04x is %g, which narrows to %#04x", h, f, narrow(f))
		}
	}
	for _, test := range []struct {
		x    float32
		want uint16
	}{
		{1 + 1./2048, 0x3c00}, // a tie goes to the even one
		{1 + 3./2048, 0x3c02},
		{1 + 1./2048 + 1./(1<<20), 0x3c01},
		{65519, 0x7bff},
		{65520, 0x7c00},
		{-1e9, 0xfc00},
		{float32(math.Inf(1)), 0x7c00},
		{1. / (1 << 24), 1},
		{1. / (1 << 25), 0}, // half of the smallest, to even
		{3. / (1 << 25), 2},
		{6.1035156e-05, 0x0400},
		{6.1e-05, 0x0400 - 1},
		{0, 0},
		{float32(math.Copysign(0, -1)), 0x8000},
	} {
		if got := narrow(test.x); got != test.want {
			t.Errorf("narrow(%g) is %#04x, want %#04x", test.x, got, test.want)
		}
	}
	if h := narrow(float32(math.NaN())); !math.IsNaN(float64(float16(h))) {
		t.Errorf("NaN narrows to %#04x", h)
	}
}

func TestExp(t *testing.T) {
	for x := float32(-87); x < 88; x += 1. / 64 {
		want := math.Exp(float64(x))
		if got := float64(exp32(x)); math.Abs(got-want) > want*2.4e-7 {
			t.Fatalf("exp32(%g) is %g, want %g", x, got, want)
		}
	}
	if exp32(-88) != 0 || exp32(0) != 1 || exp32(float32(math.Inf(-1))) != 0 {
		t.Error("exp32 at its ends")
	}
}
