package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever caches do, a block has as many refs as there are caches with it, no
// block is lost, and what a cache holds stays as it was written.
func TestKVPool(t *testing.T) {
	c := &Config{Layers: 2, KVHeads: 2, HeadDim: 3}
	const limit = 12
	pool := newKVPool(c, limit)
	rng := rand.New(rand.NewPCG(2, 2))
	type sequence struct {
		cache  *kvCache
		tokens []int
	}
	var all []sequence
	write := func(s *sequence, token int) bool {
		if !s.cache.reserve(1) {
			return false
		}
		pos := s.cache.next()
		s.tokens = append(s.tokens, token)
		var sum float32 // like real keys, it depends on all that came before
		for i, id := range s.tokens {
			sum += float32(id * (i%7 + 1) % 13)
		}
		x := []float32{sum, 1, 2, 3, 4, float32(pos)}
		for layer := range c.Layers {
			s.cache.blocks[pos/blockLen].store(c, layer, pos%blockLen, x, x)
		}
		s.cache.publish(s.tokens)
		return true
	}
	check := func(s sequence) {
		var sum float32
		var wide [3]float32
		for pos := range s.tokens {
			sum = 0
			for i, id := range s.tokens[:pos+1] {
				sum += float32(id * (i%7 + 1) % 13)
			}
			k, _ := s.cache.blocks[pos/blockLen].head(c, 1, 0)
			for i := range wide {
				wide[i] = widened[k[i*blockLen+pos%blockLen]]
			}
			if wide != [3]float32{sum, 1, 2} {
				t.Fatalf("position %d holds %v, want %g", pos, wide, sum)
			}
			_, v := s.cache.blocks[pos/blockLen].head(c, 1, 1)
			for i := range wide {
				wide[i] = widened[v[pos%blockLen*3+i]]
			}
			if wide != [3]float32{3, 4, float32(pos)} {
				t.Fatalf("position %d holds %v", pos, wide)
			}
		}
	}
	hits, full := 0, 0
	for range 20000 {
		switch k := rng.IntN(20); {
		case k == 0 && len(all) < 6:
			s := sequence{cache: pool.newCache()}
			tokens := make([]int, 100)
			for i := range tokens {
				tokens[i] = i / blockLen * rng.IntN(2)
			}
			n := s.cache.attach(tokens)
			hits += n
			s.tokens = tokens[:n:n]
			all = append(all, s)
		case k == 1 && len(all) > 0 && len(all) < 6:
			parent := all[rng.IntN(len(all))]
			all = append(all, sequence{parent.cache.fork(), slices.Clone(parent.tokens)})
		case k == 2 && len(all) > 0:
			i := rng.IntN(len(all))
			check(all[i])
			all[i].cache.release()
			all = slices.Delete(all, i, i+1)
		case len(all) > 0:
			s := &all[rng.IntN(len(all))]
			if len(s.tokens) < 100 && !write(s, len(s.tokens)/blockLen*rng.IntN(2)) {
				full++
			}
		}
		refs := map[*kvBlock]int{}
		for _, s := range all {
			for _, b := range s.cache.blocks {
				refs[b]++
			}
		}
		for b, n := range refs {
			if b.refs != n {
				t.Fatalf("a block has %d refs, want %d", b.refs, n)
			}
		}
		if pool.used() != len(refs) || pool.made > limit || pool.available() != limit-len(refs) {
			t.Fatalf("%d blocks used of %d, %d available; want %d", pool.used(), pool.made, pool.available(), len(refs))
		}
	}
	if hits == 0 || full == 0 {
		t.Errorf("%d positions were found again, %d times the pool was full", hits, full)
	}
	for _, s := range all {
		check(s)
		s.cache.release()
	}
	if pool.used() != 0 {
		t.Errorf("%d blocks are still in use", pool.used())
	}
}
