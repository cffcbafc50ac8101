package engine

import (
	"math"
	"slices"
)

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

var (
	noScore  = float32(math.Inf(-1)) // of a position that is not seen
	noScores = [8]float32{noScore, noScore, noScore, noScore, noScore, noScore, noScore, noScore}
	one      = []float32{1}
)

// An attention is the memory of attend.
type attention struct {
	queries, out []float32           // [queries, HeadDim]
	scores       [][blockLen]float32 // [queries]
	states       []softmaxState      // of 8 queries each
}

// A softmaxState is what the online softmaxes of 8 queries have seen so far.
type softmaxState struct {
	top, sum   [8]float32 // the highest score; the sum of the exponentials of scores less top
	scale      [8]float32 // what the last block multiplied by what was added up before it
	high, part [8]float32 // what top becomes with the last block, and the sum of that alone
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
	a.scores, a.states = grown(a.scores, n), grown(a.states, (n+7)/8)
	for i := range a.states {
		a.states[i] = softmaxState{top: noScores}
	}
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
		for i := range n { // what a query does not see has no part
			for j := max(0, rows[i/group].pos+1-at); j < blockLen; j++ {
				a.scores[i][j] = noScore
			}
		}
		softmax(a.scores[:n], a.states)
		// All see the positions that the first does; the others go on alone.
		least := min(blockLen, rows[first/group].pos+1-at)
		for i := first; i < n; {
			state, lane := &a.states[i/8], i%8
			m := min(n-i, 8-lane)
			addValues(a.out[i*d:], state.scale[lane:lane+m], a.scores[i:], v, d, 0, least)
			i += m
		}
		for i := first + group; i < n; i++ {
			if count := min(blockLen, rows[i/group].pos+1-at); count > least {
				addValues(a.out[i*d:], one, a.scores[i:], v, d, least, count)
			}
		}
	}
	for i := range n {
		scaleBy(a.out[i*d:(i+1)*d], 1/a.states[i/8].sum[i%8])
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

// plainSoftmax turns the scores of a block into exponentials, less the highest
// score so far, and brings the states up to date.
func plainSoftmax(scores [][blockLen]float32, states []softmaxState) {
	for i := range scores {
		s, lane := &states[i/8], i%8
		s.high[lane] = max(s.top[lane], slices.Max(scores[i][:]))
		s.part[lane] = plainExpSum(&scores[i], s.high[lane])
		s.scale[lane] = exp32(s.top[lane] - s.high[lane])
		s.sum[lane] = float32(s.sum[lane]*s.scale[lane]) + s.part[lane]
		s.top[lane] = s.high[lane]
	}
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

// plainAddValues multiplies o by scale and adds the values, [positions, len(o)],
// times their weights.
//
//go:norace
func plainAddValues(o []float32, scale float32, weights []float32, values []uint16) {
	for i := range o {
		o[i] *= scale
	}
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

// eachAddValues multiplies as many outputs, [n, dim], as there are scales by
// them, and adds the values of the positions from … to, times their weights.
func eachAddValues(out, scales []float32, weights [][blockLen]float32, values []uint16, dim, from, to int) {
	for i, scale := range scales {
		plainAddValues(out[i*dim:(i+1)*dim], scale, weights[i][from:to], values[from*dim:])
	}
}
