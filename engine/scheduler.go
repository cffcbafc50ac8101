package engine

import (
	"cmp"
	"slices"
)

// A scheduler decides what the next step computes. It is used by one goroutine.
//
// There is no phase of prompts and one of answers: every candidate has tokens
// and a cache that lags behind them, by a whole prompt at first, by one token
// while it generates, by everything after it was preempted; a step computes some
// of what lags.
//
// Source: Agrawal et al. 2023 (chunked prefill), Kwon et al. 2023 (preemption by
// recomputation), Sheng et al. 2024 (fair service by counters of tokens).
type scheduler struct {
	pool         *kvPool
	tokens       int // of one step
	sequences    int // of one step
	findPrefixes bool

	requests []*generation // in the order in which they came
	arrivals uint64
	queries  int64 // tokens looked for in the pool
	hits     int64 // and found
	preempts int64
}

// add admits a request. Its counter of service starts where the least served
// one stands, so that it neither waits for what others had before it came, nor
// makes up for it.
func (s *scheduler) add(g *generation) {
	s.arrivals++
	g.arrival = s.arrivals
	for i, other := range s.requests {
		if i == 0 || other.served < g.served {
			g.served = other.served
		}
	}
	for _, c := range g.live {
		c.cache = s.pool.newCache()
	}
	s.requests = append(s.requests, g)
}

// remove drops the requests for which gone is true, and gives back their blocks.
func (s *scheduler) remove(gone func(*generation) bool) {
	s.requests = slices.DeleteFunc(s.requests, func(g *generation) bool {
		if !gone(g) {
			return false
		}
		g.release()
		return true
	})
}

// schedule returns the candidates that the next step computes, by request, and
// sets of how many tokens each. It is empty only if no request can go on.
//
// Each sequence gets one token, then prompts get what is left, both in the order
// of service received; so neither a long prompt nor a request with many
// sequences holds up the others. Memory goes to those that came first.
func (s *scheduler) schedule() []*candidate {
	var order []*generation
	for _, g := range s.requests {
		g.paused = g.out.waiting() >= maxAhead*g.width
		if !g.paused {
			order = append(order, g)
		}
	}
	s.admitAll(order, false)
	step := s.plan(order)
	if len(step) == 0 && len(order) > 0 {
		// Each waits for memory that others hold, who wait too. The first takes what
		// it needs: all that came later can be preempted, so it can go on.
		s.admitAll(order, true)
		step = s.plan(order)
	}
	return step
}

// plan chooses among the candidates that have memory.
func (s *scheduler) plan(requests []*generation) []*candidate {
	order := slices.Clone(requests)
	slices.SortStableFunc(order, func(a, b *generation) int { return cmp.Compare(a.served, b.served) })
	var step []*candidate
	left := s.tokens
	for _, g := range order {
		for _, c := range g.live {
			if left == 0 || len(step) == s.sequences {
				break
			}
			if !c.ready && len(c.cache.blocks) > 0 && s.makeRoom(c, 1) {
				c.planned = 1
				left--
				step = append(step, c)
			}
		}
	}
	for _, c := range step {
		if n := min(c.lag()-c.planned, left); c.planned > 0 && n > 0 && s.makeRoom(c, c.planned+n) {
			c.planned += n
			left -= n
		}
	}
	// Some may have been preempted after they were planned.
	step = slices.DeleteFunc(step, func(c *candidate) bool { return c.planned == 0 })
	slices.SortStableFunc(step, func(a, b *candidate) int { return cmp.Compare(a.gen.arrival, b.gen.arrival) })
	return step
}

// admitAll gives memory to the candidates that have none, in the order in which
// their requests came, as long as there is some. With force the first takes it
// from those that came later.
func (s *scheduler) admitAll(requests []*generation, force bool) {
	for _, g := range requests {
		for _, c := range g.live {
			if c.ready || len(c.cache.blocks) > 0 {
				continue
			}
			if !s.admit(c, force) {
				return
			}
			force = false
		}
	}
}

// admit takes what the pool holds of the tokens of a candidate and reserves
// blocks for the rest, if then each of the others can still grow by one; with
// force, if need be, at the cost of those that came later.
func (s *scheduler) admit(c *candidate, force bool) bool {
	may := func(v *candidate) bool { return v.idle(c) || force && v.after(c) }
	if s.findPrefixes {
		// The last token is always computed, for its logits.
		c.cache.attach(c.tokens[:min(len(c.tokens)-1, c.gen.reusable())])
	}
	need := blocksFor(len(c.tokens)) - len(c.cache.blocks)
	for _, g := range s.requests {
		for _, other := range g.live {
			if other != c && len(other.cache.blocks) > 0 && !may(other) {
				need++
			}
		}
	}
	for s.pool.available() < need {
		if !s.preempt(may) {
			c.cache.release()
			return false
		}
	}
	if s.findPrefixes && !c.gen.started {
		s.queries += int64(len(c.tokens))
		s.hits += int64(c.cache.len)
	}
	return c.cache.reserve(c.lag())
}

// makeRoom reserves n positions for c. If the pool has no blocks left, those
// that came later are preempted, the last first. If there are none, c waits.
func (s *scheduler) makeRoom(c *candidate, n int) bool {
	for !c.cache.reserve(n) {
		if !s.preempt(func(v *candidate) bool { return v.idle(c) || v.after(c) }) {
			return false
		}
	}
	return true
}

// idle says whether the candidate holds memory that it does not need now: its
// caller is behind, or it waits for other, of the same search.
func (c *candidate) idle(other *candidate) bool {
	return c.gen.paused || c.ready && c.gen == other.gen
}

// preempt takes the blocks of the last candidate that may be preempted, which
// will compute anew what it loses. It returns false if there is none.
func (s *scheduler) preempt(may func(*candidate) bool) bool {
	for _, g := range slices.Backward(s.requests) {
		for _, c := range slices.Backward(g.live) {
			if len(c.cache.blocks) > 0 && may(c) {
				c.cache.release()
				c.planned = 0
				s.preempts++
				return true
			}
		}
	}
	return false
}
