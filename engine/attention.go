package engine

import "math"

// attend sets out to the attention of the query heads of one row in layer l
// that share the key head `head`: q and out are [Heads/KVHeads, HeadDim], blocks
// hold the first n positions.
//
// The cache is read once, block by block, with an online softmax: what has been
// summed is scaled anew when a block brings a higher score. A head's result
// depends on its own query and the first n positions alone. q is scaled in
// place.
//
// Source: Milakov and Gimelshein 2018; Dao et al. 2022.
func attend(c *Config, out, q []float32, blocks []*kvBlock, l, head, n int) {
	d := c.HeadDim
	group := len(q) / d
	scale := float32(1 / math.Sqrt(float64(d)))
	scaleBy(q, scale)
	clear(out)
	var scores [blockLen]float32
	for g := range group {
		query, o := q[g*d:(g+1)*d], out[g*d:(g+1)*d]
		top, sum := float32(math.Inf(-1)), float32(0)
		for at := 0; at < n; at += blockLen {
			k, v := blocks[at/blockLen].head(c, l, head)
			count := min(blockLen, n-at)
			dotKeys(&scores, query, k)
			if high := highest(scores[:count]); high > top {
				if at > 0 {
					rescale := exp32(top - high)
					sum = float32(sum * rescale)
					scaleBy(o, rescale)
				}
				top = high
			}
			sum += expSum(&scores, count, top)
			addValues(o, scores[:count], v)
		}
		scaleBy(o, 1/sum)
	}
}

// dotKeys sets scores to the query times each of the keys, [len(query),
// blockLen], added dimension by dimension.
//
//go:norace
func dotKeys(scores *[blockLen]float32, query []float32, keys []uint16) {
	clear(scores[:])
	for i, q := range query {
		k := (*[blockLen]uint16)(keys[i*blockLen:])
		for j := range scores {
			scores[j] += float32(q * widened[k[j]])
		}
	}
}

// highest returns the largest of the scores, of which there is one at least.
func highest(scores []float32) float32 {
	top := scores[0]
	for _, s := range scores[1:] {
		top = max(top, s)
	}
	return top
}

// expSum replaces the first n scores by exp(score - top), the others by 0, and
// returns their sum: position j is added to position j+16, the halves of what
// remains likewise, down to one.
//
//go:norace
func expSum(scores *[blockLen]float32, n int, top float32) float32 {
	for j := range scores {
		if j < n {
			scores[j] = exp32(scores[j] - top)
		} else {
			scores[j] = 0
		}
	}
	sums := *scores
	for half := blockLen / 2; half > 0; half /= 2 {
		for j := range half {
			sums[j] += sums[j+half]
		}
	}
	return sums[0]
}

// addValues adds to o the values, [blockLen, len(o)], of the positions times
// their weights.
//
//go:norace
func addValues(o, weights []float32, values []uint16) {
	for _, w := range weights {
		v := values[:len(o)]
		for i, x := range v {
			o[i] += float32(w * widened[x])
		}
		values = values[len(o):]
	}
}

// storeKey sets a column of keys, [len(k), blockLen].
//
//go:norace
func storeKey(keys []uint16, k []float32) {
	for i, x := range k {
		keys[i*blockLen] = narrow(x)
	}
}
