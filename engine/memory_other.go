//go:build !linux

package engine

// machineMemory returns the bytes of memory that the machine has.
func machineMemory() int64 { return assumedMemory }
