package engine

import "slices"

// blockLen is how many positions a block of the cache holds.
const blockLen = 32

// A kvBlock holds the keys and values of blockLen positions: [layer][position]
// [KVHeads·HeadDim].
type kvBlock struct{ k, v []float32 }

// A kvCache holds the keys and values of one sequence. Forks share the blocks
// that are full, which nobody writes again; the last one is copied.
type kvCache struct {
	layers, width int // width is KVHeads·HeadDim
	blocks        []*kvBlock
	len           int // positions that are computed
}

func newKVCache(c *Config) *kvCache {
	return &kvCache{layers: c.Layers, width: c.KVHeads * c.HeadDim}
}

// grow makes room for n positions more.
func (c *kvCache) grow(n int) {
	for len(c.blocks)*blockLen < c.len+n {
		size := c.layers * blockLen * c.width
		c.blocks = append(c.blocks, &kvBlock{make([]float32, size), make([]float32, size)})
	}
}

// fork returns a copy that can go its own way.
func (c *kvCache) fork() *kvCache {
	f := *c
	f.blocks = slices.Clone(c.blocks[:(c.len+blockLen-1)/blockLen])
	if n := len(f.blocks); n > 0 && c.len%blockLen != 0 {
		last := f.blocks[n-1]
		f.blocks[n-1] = &kvBlock{slices.Clone(last.k), slices.Clone(last.v)}
	}
	return &f
}

// keys returns the keys of a layer from position pos to the end of its block,
// width numbers each.
func (c *kvCache) keys(layer, pos int) []float32 {
	from, to := c.within(layer, pos)
	return c.blocks[pos/blockLen].k[from:to]
}

// values returns the values in the same way.
func (c *kvCache) values(layer, pos int) []float32 {
	from, to := c.within(layer, pos)
	return c.blocks[pos/blockLen].v[from:to]
}

func (c *kvCache) within(layer, pos int) (from, to int) {
	return (layer*blockLen + pos%blockLen) * c.width, (layer + 1) * blockLen * c.width
}
