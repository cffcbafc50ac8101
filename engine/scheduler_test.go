package engine

import (
	"slices"
	"testing"
)

// Two searches wait, each for a candidate that has no memory, while the others
// of it hold all there is: the first goes on at the cost of the second.
func TestSchedulerBreaksDeadlock(t *testing.T) {
	c := &Config{Layers: 1, KVHeads: 1, HeadDim: 2}
	s := &scheduler{pool: newKVPool(c, 4), tokens: 100, sequences: 9, findPrefixes: true}
	search := func(held, wanted int) *generation {
		g := &generation{width: 2, started: true, out: newOutbox(), request: Request{Prompt: []int{1}, MaxTokens: 200}}
		has := &candidate{gen: g, tokens: make([]int, held), ready: true}
		wants := &candidate{gen: g, index: 1, tokens: make([]int, wanted)}
		g.live = []*candidate{has, wants}
		s.add(g)
		for held > 0 && has.cache.len < held {
			if has.cache.reserve(1) {
				has.cache.next()
			}
		}
		return g
	}
	a, b := search(20, 70), search(60, 40) // of 4 blocks they hold 1 and 2, and want 3 and 2
	step := s.schedule()
	if !slices.Equal(step, []*candidate{a.live[1]}) || a.live[1].planned != 70 {
		t.Errorf("the step is %v", step)
	}
	if len(b.live[0].cache.blocks) != 0 || s.preempts != 2 {
		t.Errorf("the second search has %d blocks, after %d preemptions", len(b.live[0].cache.blocks), s.preempts)
	}
}

// Each sequence gets a token, then prompts what is left; the least served first.
func TestSchedulerIsFair(t *testing.T) {
	c := &Config{Layers: 1, KVHeads: 1, HeadDim: 2}
	s := &scheduler{pool: newKVPool(c, 100), tokens: 10, sequences: 4}
	add := func(served int64, lags ...int) *generation {
		g := &generation{width: len(lags), out: newOutbox(), request: Request{Prompt: []int{1}, MaxTokens: 200}}
		for i, lag := range lags {
			g.live = append(g.live, &candidate{gen: g, index: i, tokens: make([]int, lag)})
		}
		s.add(g)
		g.served = served
		return g
	}
	planned := func(g *generation) (n []int) {
		for _, c := range g.live {
			n = append(n, c.planned)
			c.planned = 0
		}
		return n
	}
	long, many, short := add(5, 50), add(9, 1, 1, 1, 1), add(0, 3)
	s.schedule()
	for _, test := range []struct {
		name string
		got  []int
		want []int
	}{
		{"the long prompt", planned(long), []int{5}}, // what is left of 10
		{"the request with many sequences", planned(many), []int{1, 1, 0, 0}},
		{"the newest, least served", planned(short), []int{3}},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s gets %v, want %v", test.name, test.got, test.want)
		}
	}
	long.served, many.served, short.served = 90, 10, 80
	s.schedule()
	if got := planned(many); !slices.Equal(got, []int{1, 1, 1, 1}) {
		t.Errorf("once it is the least served, the many get %v", got)
	}
}
