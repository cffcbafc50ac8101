package engine

import "math"

// attendTile is how many queries are compared with a block of keys at a time.
const attendTile = 8

// An attendTask is what one goroutine computes at a time: rows that follow one
// another in one sequence, and a key head.
type attendTask struct {
	row, rows int
	head      int
}

// attendTasks splits the attention of rows by sequence, position and key head.
func attendTasks(tasks []attendTask, c *Config, rows []row) []attendTask {
	most := max(1, attendTile/(c.Heads/c.KVHeads))
	tasks = tasks[:0]
	for head := range c.KVHeads {
		for t := 0; t < len(rows); {
			n := 1
			for t+n < len(rows) && n < most && rows[t+n].cache == rows[t].cache {
				n++
			}
			tasks = append(tasks, attendTask{t, n, head})
			t += n
		}
	}
	return tasks
}

// An attention is the memory of attend.
type attention struct {
	queries, out []float32           // [queries, HeadDim]
	scores       [][blockLen]float32 // [queries]
	top, sum     []float32           // [queries]
}

// attend sets, for the rows of one task in layer l, the part of out that belongs
// to the query heads that share the task's key head. q and out are [rows, Heads,
// HeadDim].
//
// The cache is read once, block by block, with an online softmax: what has been
// summed is scaled anew when a block brings a higher score. What a query gets
// depends on itself and the positions up to its own alone.
//
// Source: Milakov and Gimelshein 2018; Dao et al. 2022.
func (a *attention) attend(c *Config, out, q []float32, rows []row, task attendTask, l int) {
	d, group := c.HeadDim, c.Heads/c.KVHeads
	n := task.rows * group
	a.queries, a.out = grown(a.queries, n*d), grown(a.out, n*d)
	a.scores, a.top, a.sum = grown(a.scores, n), grown(a.top, n), grown(a.sum, n)
	clear(a.out)
	rows = rows[task.row : task.row+task.rows]
	heads := func(x []float32, i int) []float32 { // of row i
		return x[((task.row+i)*c.Heads+task.head*group)*d:][:group*d]
	}
	for i := range rows {
		copy(a.queries[i*group*d:], heads(q, i))
	}
	scaleBy(a.queries, float32(1/math.Sqrt(float64(d))))
	blocks := rows[0].cache.blocks
	for at := 0; at <= rows[len(rows)-1].pos; at += blockLen {
		k, v := blocks[at/blockLen].head(c, l, task.head)
		first := 0 // query that sees the block; the rows before end earlier
		for rows[first/group].pos < at {
			first += group
		}
		dotKeys(a.scores[first:], a.queries[first*d:], k, n-first)
		for i := first; i < n; i++ {
			count := min(blockLen, rows[i/group].pos+1-at)
			scores := &a.scores[i]
			for j := count; j < blockLen; j++ {
				scores[j] = float32(math.Inf(-1))
			}
			if high := highest(scores); at == 0 {
				a.top[i], a.sum[i] = high, 0
			} else if high > a.top[i] {
				rescale := exp32(a.top[i] - high)
				a.sum[i] *= rescale
				scaleBy(a.out[i*d:(i+1)*d], rescale)
				a.top[i] = high
			}
			a.sum[i] += expSum(scores, a.top[i])
		}
		// All see the positions that the first does; the others go on alone.
		least := min(blockLen, rows[first/group].pos+1-at)
		addValues(a.out[first*d:], a.scores[first:], v, d, n-first, 0, least)
		for i := first + group; i < n; i++ {
			if count := min(blockLen, rows[i/group].pos+1-at); count > least {
				addValues(a.out[i*d:], a.scores[i:], v, d, 1, least, count)
			}
		}
	}
	for i := range n {
		scaleBy(a.out[i*d:(i+1)*d], 1/a.sum[i])
	}
	for i := range rows {
		copy(heads(out, i), a.out[i*group*d:])
	}
}

// plainDotKeys sets the scores of a query: its products with each of the keys,
// [len(query), blockLen], added dimension by dimension.
//
//go:norace
func plainDotKeys(scores *[blockLen]float32, query []float32, keys []uint16) {
	clear(scores[:])
	for i, q := range query {
		k := (*[blockLen]uint16)(keys[i*blockLen:])
		for j := range scores {
			scores[j] += float32(q * widened[k[j]])
		}
	}
}

// plainHighest returns the largest of the scores.
func plainHighest(scores *[blockLen]float32) float32 {
	top := scores[0]
	for _, s := range scores[1:] {
		top = max(top, s)
	}
	return top
}

// plainExpSum replaces the scores by exp(score - top) and returns their sum:
// position j is added to position j+16, the halves of what remains likewise,
// down to one.
//
//go:norace
func plainExpSum(scores *[blockLen]float32, top float32) float32 {
	for j, s := range scores {
		scores[j] = exp32(s - top)
	}
	sums := *scores
	for half := blockLen / 2; half > 0; half /= 2 {
		for j := range half {
			sums[j] += sums[j+half]
		}
	}
	return sums[0]
}

// plainAddValues adds to o the values, [positions, len(o)], times their weights.
//
//go:norace
func plainAddValues(o, weights []float32, values []uint16) {
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
func storeKey(keys, k []uint16) {
	for i, x := range k {
		keys[i*blockLen] = x
	}
}

// eachDotKeys sets the scores of n queries, [n, dim], against the keys, [dim,
// blockLen].
func eachDotKeys(scores [][blockLen]float32, queries []float32, keys []uint16, n int) {
	dim := len(keys) / blockLen
	for i := range n {
		plainDotKeys(&scores[i], queries[i*dim:(i+1)*dim], keys)
	}
}

// eachAddValues adds to n outputs, [n, dim], the values of the positions from …
// to, times their weights.
func eachAddValues(out []float32, weights [][blockLen]float32, values []uint16, dim, n, from, to int) {
	for i := range n {
		plainAddValues(out[i*dim:(i+1)*dim], weights[i][from:to], values[from*dim:])
	}
}
