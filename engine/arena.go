package engine

import "unsafe"

// arenaAlign is how matrices are aligned: to cache lines.
const arenaAlign = 64

// An arena is memory for the weights of a model, which live and go together.
type arena struct {
	free    []byte
	release func() error
}

// largeArena is the size from which weights get memory of their own from the
// system, in huge pages where there are any: a model of a billion parameters
// would need 300 000 ordinary ones, more than the processor remembers.
const largeArena = 32 << 20

func newArena(size int) (*arena, error) {
	if size >= largeArena {
		data, release, err := mapMemory(size)
		if err != nil {
			return nil, err
		}
		return &arena{data, release}, nil
	}
	return &arena{make([]byte, size+arenaAlign), func() error { return nil }}, nil
}

// alloc returns n zero bytes. It panics if the arena was made too small.
func (a *arena) alloc(n int) []byte {
	skip := misaligned(a.free)
	data := a.free[skip : skip+n : skip+n]
	a.free = a.free[skip+n:]
	return data
}

// misaligned returns how many bytes are missing to alignment.
func misaligned(b []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (arenaAlign - 1))
}
