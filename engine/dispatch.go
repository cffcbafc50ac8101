package engine

import (
	"os"
	"runtime"
	"unsafe"
)

// maxTile is the most rows that a kernel computes at a time.
const maxTile = 16

// A level is a set of kernels.
type level int

const (
	levelPlain level = iota
	levelAVX2
	levelAVX512 // with VNNI
)

var levelNames = []string{"plain", "avx2", "avx512"}

// KernelsVariable is the environment variable that chooses among the kernels:
// "plain" for those in Go, "avx2", "avx512"; the best but "avx512" that the
// processor has by default. All compute the same bits.
const KernelsVariable = "TOUCHSTONE_KERNELS"

// kernels is the level in use. AVX-512 must be asked for: the tests hold it
// against the others only where the processor has it, and none that ran them so
// far had.
var kernels = chooseLevel(os.Getenv(KernelsVariable), bestLevel)

func chooseLevel(name string, best level) level {
	for l, n := range levelNames {
		if n == name {
			return min(level(l), best)
		}
	}
	return min(best, levelAVX2)
}

// Kernels returns which kernels compute: "plain", "avx2" or "avx512".
func Kernels() string { return levelNames[kernels] }

// kernelsOf returns the kernels of a format.
func kernelsOf(f format) kernelSet { return kernelSets[kernels][f] }

// allThreads is as many goroutines as there are processors.
const allThreads = 1 << 20

func maxThreads() int { return runtime.GOMAXPROCS(0) }

// memoryOf returns the memory of s.
func memoryOf(s []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}
