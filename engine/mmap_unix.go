//go:build unix

package engine

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps the file at path into memory, read-only. The file must not be
// truncated while it is mapped; release ends the mapping.
func mapFile(path string) (data []byte, release func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // the mapping outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() || size == 0 || size > math.MaxInt {
		return nil, nil, fmt.Errorf("%s: not a file that can be mapped (%d bytes, %v)", path, size, info.Mode())
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// mapMemory returns size bytes of zeros, in huge pages if the system can.
func mapMemory(size int) (data []byte, release func() error, err error) {
	data, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("%d bytes for the weights: %w", size, err)
	}
	adviseHugePages(data)
	return data, func() error { return unix.Munmap(data) }, nil
}
