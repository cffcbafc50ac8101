//go:build amd64 && !purego

package engine

import "golang.org/x/sys/cpu"

// bestLevel is what the processor can do.
var bestLevel = func() level {
	x := &cpu.X86
	switch {
	case !(x.HasAVX2 && x.HasFMA && x.HasF16C):
		return levelPlain
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasAVX512VNNI:
		return levelAVX512
	}
	return levelAVX2
}()

// kernelSets are the kernels of each level.
var kernelSets = [...][formats]kernelSet{
	levelPlain: plainKernels,
	levelAVX2: {
		f32:     {{6, f32x6AVX2}, {4, f32x4AVX2}, {2, f32x2AVX2}, {1, f32x1AVX2}},
		f16:     {{6, f16x6AVX2}, {4, f16x4AVX2}, {2, f16x2AVX2}, {1, f16x1AVX2}},
		bf16:    {{6, bf16x6AVX2}, {4, bf16x4AVX2}, {2, bf16x2AVX2}, {1, bf16x1AVX2}},
		q8:      {{4, q8x4AVX2}, {2, q8x2AVX2}, {1, q8x1AVX2}},
		q8Least: {{4, q8Leastx4AVX2}, {2, q8Leastx2AVX2}, {1, q8Leastx1AVX2}},
		q4:      {{4, q4x4AVX2}, {2, q4x2AVX2}, {1, q4x1AVX2}},
		q4K:     {{4, q4Kx4AVX2}, {2, q4Kx2AVX2}, {1, q4Kx1AVX2}},
		q5K:     {{4, q5Kx4AVX2}, {2, q5Kx2AVX2}, {1, q5Kx1AVX2}},
		q6K:     {{4, q6Kx4AVX2}, {2, q6Kx2AVX2}, {1, q6Kx1AVX2}},
	},
	levelAVX512: {
		f32:     {{16, f32x16AVX512}, {8, f32x8AVX512}, {4, f32x4AVX512}, {2, f32x2AVX512}, {1, f32x1AVX512}},
		f16:     {{16, f16x16AVX512}, {8, f16x8AVX512}, {4, f16x4AVX512}, {2, f16x2AVX512}, {1, f16x1AVX512}},
		bf16:    {{16, bf16x16AVX512}, {8, bf16x8AVX512}, {4, bf16x4AVX512}, {2, bf16x2AVX512}, {1, bf16x1AVX512}},
		q8:      {{8, q8x8AVX512}, {4, q8x4AVX512}, {2, q8x2AVX512}, {1, q8x1AVX512}},
		q8Least: {{8, q8Leastx8AVX512}, {4, q8Leastx4AVX512}, {2, q8Leastx2AVX512}, {1, q8Leastx1AVX512}},
		q4:      {{8, q4x8AVX512}, {4, q4x4AVX512}, {2, q4x2AVX512}, {1, q4x1AVX512}},
		q4K:     {{8, q4Kx8AVX512}, {4, q4Kx4AVX512}, {2, q4Kx2AVX512}, {1, q4Kx1AVX512}},
		q5K:     {{8, q5Kx8AVX512}, {4, q5Kx4AVX512}, {2, q5Kx2AVX512}, {1, q5Kx1AVX512}},
		q6K:     {{8, q6Kx8AVX512}, {4, q6Kx4AVX512}, {2, q6Kx2AVX512}, {1, q6Kx1AVX512}},
	},
}
