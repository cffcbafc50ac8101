package engine

// A symbol is a piece of text while merging; the symbols of a text form a
// doubly linked list in one slice.
type symbol struct {
	start, end int // text[start:end]; empty once merged into its left neighbour
	prev, next int // indices, -1 at the ends
	id         int // token, -1 if the text of the symbol is none
}

// A merge is a candidate: two neighbours that may become one.
type merge struct {
	left, right int     // indices of symbols
	size        int     // bytes of both together, to see that neither changed since
	rank        float64 // lower goes first; on a tie the one further left
	id          int     // token of the result
}

// A mergeHeap is a priority queue of merges. It is container/heap's, without
// its conversions.
type mergeHeap []merge

func (a merge) before(b merge) bool {
	return a.rank < b.rank || a.rank == b.rank && a.left < b.left
}

func (h *mergeHeap) push(m merge) {
	q := append(*h, m)
	i := len(q) - 1
	for i > 0 && m.before(q[(i-1)/2]) {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = m
	*h = q
}

func (h *mergeHeap) pop() merge {
	q := *h
	top, m := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for c := 1; c < len(q); c = 2*i + 1 {
		if c+1 < len(q) && q[c+1].before(q[c]) {
			c++
		}
		if !q[c].before(m) {
			break
		}
		q[i] = q[c]
		i = c
	}
	if len(q) > 0 {
		q[i] = m
	}
	*h = q
	return top
}

// mergeSymbols merges neighbours, lowest rank first, until pair offers no more,
// and returns the symbols; those merged away are empty. pair gives the rank and
// the token of two neighbours. n symbols cost n log n, whatever the text.
func mergeSymbols(symbols []symbol, pair func(a, b symbol) (rank float64, id int, ok bool)) []symbol {
	var queue mergeHeap
	offer := func(left, right int) {
		if left < 0 || right < 0 {
			return
		}
		a, b := symbols[left], symbols[right]
		if rank, id, ok := pair(a, b); ok {
			queue.push(merge{left, right, b.end - a.start, rank, id})
		}
	}
	for i := range symbols {
		symbols[i].prev, symbols[i].next = i-1, i+1
		if i > 0 {
			offer(i-1, i)
		}
	}
	if len(symbols) > 0 {
		symbols[len(symbols)-1].next = -1
	}
	for len(queue) > 0 {
		m := queue.pop()
		a, b := &symbols[m.left], &symbols[m.right]
		if a.start == a.end || b.start == b.end || b.end-a.start != m.size {
			continue // one of the two has been merged meanwhile
		}
		a.end, a.id, a.next = b.end, m.id, b.next
		b.start = b.end
		if a.next >= 0 {
			symbols[a.next].prev = m.left
		}
		offer(a.prev, m.left)
		offer(m.left, a.next)
	}
	return symbols
}
