//go:build !amd64 || purego

package engine

import "runtime"

// bestLevel is what is built in.
const bestLevel = levelPlain

var kernelSets = [...][formats]kernelSet{levelPlain: plainKernels}

// pause waits a moment.
func pause(int) { runtime.Gosched() }
