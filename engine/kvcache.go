package engine

import (
	"container/list"
	"math"
	"slices"
)

// blockLen is how many positions a block of the cache holds.
const blockLen = 32

// A kvBlock holds the keys and values of blockLen positions in half precision.
//
// Keys are [Layers, KVHeads, HeadDim, blockLen]: the 32 keys of a head lie side
// by side, dimension by dimension, so that a query is compared with all of them
// at a time without a sum across lanes. Values are [Layers, KVHeads, blockLen,
// HeadDim]. Positions that were not stored hold anything.
type kvBlock struct {
	k, v []uint16
	refs int // caches that use it

	key prefixKey     // of a block that can be found by its tokens
	id  uint64        // of the prefix that ends with this block; 0: cannot be found
	lru *list.Element // where it waits to be used again or evicted
}

func newKVBlock(c *Config) *kvBlock {
	n := c.Layers * c.KVHeads * c.HeadDim * blockLen
	return &kvBlock{k: make([]uint16, n), v: make([]uint16, n)}
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
		var short [256]uint16
		narrowed := grown(short[:0], d)
		narrow16(narrowed, k[head*d:(head+1)*d])
		storeKey(keys[pos:], narrowed)
		narrow16(values[pos*d:(pos+1)*d], v[head*d:(head+1)*d])
	}
}

// A prefixKey says what a full block holds: its tokens and, by the id of the
// block before, all that came before.
type prefixKey struct {
	parent uint64
	tokens [blockLen]int32
}

// A kvPool owns the blocks of the caches of an engine. Blocks that no cache
// uses keep what they hold as long as there is room, to be found by the next
// request that begins alike.
//
// Source: Kwon et al. 2023 (PagedAttention); Zheng et al. 2024 (prefix reuse,
// RadixAttention).
type kvPool struct {
	config   *Config
	limit    int // blocks at most
	made     int // blocks in memory
	free     []*kvBlock
	cached   list.List // of blocks without refs that can be found, to be evicted from the front
	prefixes map[prefixKey]*kvBlock
	lastID   uint64
}

func newKVPool(c *Config, blocks int) *kvPool {
	return &kvPool{config: c, limit: blocks, prefixes: map[prefixKey]*kvBlock{}}
}

// blockBytes is the memory of one block.
func blockBytes(c *Config) int64 {
	return 2 * 2 * int64(c.Layers) * int64(c.KVHeads) * blockLen * int64(c.HeadDim)
}

// blocksFor returns how many blocks n positions take.
func blocksFor(n int) int { return (n + blockLen - 1) / blockLen }

// available returns how many blocks can be taken.
func (p *kvPool) available() int { return p.limit - p.made + len(p.free) + p.cached.Len() }

// used returns how many blocks caches use.
func (p *kvPool) used() int { return p.made - len(p.free) - p.cached.Len() }

// take returns a block for one cache, nil if all are in use.
func (p *kvPool) take() *kvBlock {
	var b *kvBlock
	switch {
	case len(p.free) > 0:
		b = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	case p.made < p.limit:
		p.made++
		b = newKVBlock(p.config)
	case p.cached.Len() > 0:
		b = p.cached.Remove(p.cached.Front()).(*kvBlock)
		delete(p.prefixes, b.key)
		b.id, b.lru = 0, nil
	default:
		return nil
	}
	b.refs = 1
	return b
}

// share adds a user to a block.
func (p *kvPool) share(b *kvBlock) {
	if b.lru != nil {
		p.cached.Remove(b.lru)
		b.lru = nil
	}
	b.refs++
}

// drop takes a user from a block.
func (p *kvPool) drop(b *kvBlock) {
	switch b.refs--; {
	case b.refs > 0:
	case b.id != 0:
		b.lru = p.cached.PushBack(b)
	default:
		p.free = append(p.free, b)
	}
}

// A kvCache is the keys and values of one sequence: a table of blocks, which
// forks and sequences that begin alike share. A block that is shared is never
// written: who has to, copies it first.
type kvCache struct {
	pool   *kvPool
	blocks []*kvBlock
	len    int    // positions that are computed
	found  int    // blocks, from the first, that can be found by their tokens
	prefix uint64 // id of the last of those
}

func (p *kvPool) newCache() *kvCache { return &kvCache{pool: p} }

// newKVCache returns a cache that shares its blocks with nobody but its forks.
func newKVCache(c *Config) *kvCache { return newKVPool(c, math.MaxInt).newCache() }

// attach takes the blocks of the longest beginning of tokens that is in the
// pool, of full blocks, and returns its length. The cache is empty.
func (c *kvCache) attach(tokens []int) int {
	for len(tokens) >= blockLen {
		b := c.pool.prefixes[makePrefixKey(c.prefix, tokens)]
		if b == nil {
			break
		}
		c.pool.share(b)
		c.blocks = append(c.blocks, b)
		c.found, c.prefix = c.found+1, b.id
		c.len += blockLen
		tokens = tokens[blockLen:]
	}
	return c.len
}

// publish makes the blocks that are full findable; tokens are those of the
// sequence. Where another sequence has published the same, its block replaces
// this one's: they hold the same bits.
func (c *kvCache) publish(tokens []int) {
	p := c.pool
	for c.found < c.len/blockLen {
		b := c.blocks[c.found]
		key := makePrefixKey(c.prefix, tokens[c.found*blockLen:])
		if same := p.prefixes[key]; same == nil {
			p.lastID++
			b.key, b.id = key, p.lastID
			p.prefixes[key] = b
		} else if same != b {
			p.share(same)
			p.drop(b)
			b = same
			c.blocks[c.found] = b
		}
		c.found, c.prefix = c.found+1, b.id
	}
}

func makePrefixKey(parent uint64, tokens []int) prefixKey {
	key := prefixKey{parent: parent}
	for i := range key.tokens {
		key.tokens[i] = int32(tokens[i])
	}
	return key
}

// reserve makes room for n positions more, which may be written; it returns
// false, having changed nothing of what is computed, if the pool has no more
// blocks.
func (c *kvCache) reserve(n int) bool {
	if at := c.len / blockLen; n > 0 && c.len%blockLen != 0 && c.blocks[at].refs > 1 {
		b := c.pool.take()
		if b == nil {
			return false
		}
		copy(b.k, c.blocks[at].k)
		copy(b.v, c.blocks[at].v)
		c.pool.drop(c.blocks[at])
		c.blocks[at] = b
	}
	for len(c.blocks) < blocksFor(c.len+n) {
		b := c.pool.take()
		if b == nil {
			return false
		}
		c.blocks = append(c.blocks, b)
	}
	return true
}

// next returns the position of the row to compute and makes room for it, if
// that is not reserved.
func (c *kvCache) next() int {
	if !c.reserve(1) {
		panic("engine: a position of the cache was not reserved")
	}
	c.len++
	return c.len - 1
}

// fork returns a copy that can go its own way.
func (c *kvCache) fork() *kvCache {
	f := *c
	f.blocks = slices.Clone(c.blocks[:blocksFor(c.len)])
	for _, b := range f.blocks {
		c.pool.share(b)
	}
	return &f
}

// release gives all blocks back. The last go first, so that beginnings, which
// more sequences have in common, are evicted after what follows them.
func (c *kvCache) release() {
	for _, b := range slices.Backward(c.blocks) {
		c.pool.drop(b)
	}
	*c = kvCache{pool: c.pool}
}
