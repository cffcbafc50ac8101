package engine

import "slices"

// blockLen is how many positions a block of the cache holds.
const blockLen = 32

// A kvBlock holds the keys and values of blockLen positions in half precision.
//
// Keys are [Layers, KVHeads, HeadDim, blockLen]: the 32 keys of a head lie side
// by side, dimension by dimension, so that a query is compared with all of them
// at a time without a sum across lanes. Values are [Layers, KVHeads, blockLen,
// HeadDim]. Positions that were not stored hold anything.
type kvBlock struct{ k, v []uint16 }

func newKVBlock(c *Config) *kvBlock {
	n := c.Layers * c.KVHeads * c.HeadDim * blockLen
	return &kvBlock{make([]uint16, n), make([]uint16, n)}
}

// head returns the keys, [HeadDim, blockLen], and the values, [blockLen,
// HeadDim], of one head in one layer.
func (b *kvBlock) head(c *Config, layer, head int) (k, v []uint16) {
	n := c.HeadDim * blockLen
	at := (layer*c.KVHeads + head) * n
	return b.k[at : at+n], b.v[at : at+n]
}

// store sets the keys and values of a layer, [KVHeads, HeadDim], at position
// pos of the block.
func (b *kvBlock) store(c *Config, layer, pos int, k, v []float32) {
	d := c.HeadDim
	for head := range c.KVHeads {
		keys, values := b.head(c, layer, head)
		storeKey(keys[pos:], k[head*d:(head+1)*d])
		narrow16(values[pos*d:(pos+1)*d], v[head*d:(head+1)*d])
	}
}

// A kvCache holds the keys and values of one sequence. Forks share the blocks
// that are full, which nobody writes again; the last one is copied.
type kvCache struct {
	config *Config
	blocks []*kvBlock
	len    int // positions that are computed
}

func newKVCache(c *Config) *kvCache { return &kvCache{config: c} }

// grow makes room for n positions more.
func (c *kvCache) grow(n int) {
	for len(c.blocks)*blockLen < c.len+n {
		c.blocks = append(c.blocks, newKVBlock(c.config))
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
