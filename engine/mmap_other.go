//go:build !unix

package engine

import "os"

// mapFile reads the file where there is no mmap of unix.
func mapFile(path string) (data []byte, release func() error, err error) {
	data, err = os.ReadFile(path)
	return data, func() error { return nil }, err
}

// mapMemory returns size bytes of zeros.
func mapMemory(size int) (data []byte, release func() error, err error) {
	return make([]byte, size), func() error { return nil }, nil
}
