//go:build !amd64 || purego

package engine

import "runtime"

// bestLevel is what is built in.
const bestLevel = levelPlain

var kernelSets = [...][formats]kernelSet{levelPlain: plainKernels}

// pause waits a moment.
func pause(int) { runtime.Gosched() }

// readMemory reads b, a multiple of 512 bytes.
func readMemory(b []byte) { readWords(b) }

func swiGLU(gate, up []float32)                             { plainSwiGLU(gate, up) }
func add(dst, x []float32)                                  { plainAdd(dst, x) }
func scaleBy(x []float32, a float32)                        { plainScaleBy(x, a) }
func sumSquares(x []float32) float64                        { return plainSumSquares(x) }
func normalize(dst, x, weight []float32, scale float32)     { plainNormalize(dst, x, weight, scale) }
func narrow16(dst []uint16, x []float32)                    { plainNarrow16(dst, x) }
func rope(x []float32, headDim int, cos, sin []float32)     { plainRope(x, headDim, cos, sin) }
func ropeNeoX(x []float32, headDim int, cos, sin []float32) { plainRopeNeoX(x, headDim, cos, sin) }
func interleave(dst, x []float32, n, cols int)              { plainInterleave(dst, x, n, cols) }
func quantize32(dst []block32, x []float32, offset int32)   { plainQuantize32(dst, x, offset) }
func quantize256(dst []block256, x []float32)               { plainQuantize256(dst, x) }

func softmax(scores [][blockLen]float32, states []softmaxState) { plainSoftmax(scores, states) }

func dotKeys(scores [][blockLen]float32, queries []float32, keys []uint16, n int) {
	eachDotKeys(scores, queries, keys, n)
}

func addValues(out, scales []float32, weights [][blockLen]float32, values []uint16, dim, from, to int) {
	eachAddValues(out, scales, weights, values, dim, from, to)
}

func widenFloats(dst []float32, f format, x []byte) { plainWidenFloats(dst, f, x) }
