package suites

import "slices"

// A factor is a parameter and the values, as JSON, that it takes in the matrix
// of combinations; "" leaves it out.
type factor struct {
	name   string
	values []string
}

// A combination is a value of each factor.
type combination []string

// A pair is a value of one factor beside a value of another.
type pair struct {
	i, j int
	a, b string
}

func (c combination) pairs() []pair {
	var out []pair
	for i := range c {
		for j := i + 1; j < len(c); j++ {
			out = append(out, pair{i, j, c[i], c[j]})
		}
	}
	return out
}

// every lists all combinations.
func every(factors []factor) []combination {
	all := []combination{nil}
	for _, f := range factors {
		var longer []combination
		for _, c := range all {
			for _, v := range f.values {
				longer = append(longer, append(slices.Clone(c), v))
			}
		}
		all = longer
	}
	return all
}

// cover chooses few of the combinations so that each pair of values that occurs
// in any of them, and is not covered yet, occurs in one of those chosen: the
// greedy algorithm for a covering array of strength 2. It adds what it covers.
func cover(all []combination, covered map[pair]bool) []combination {
	var out []combination
	fresh := func(c combination) int {
		n := 0
		for _, p := range c.pairs() {
			if !covered[p] {
				n++
			}
		}
		return n
	}
	for {
		// Begin each search elsewhere: equally good combinations then differ.
		var best combination
		most := 0
		for k := range all {
			c := all[(k+len(out)*7919)%len(all)]
			if n := fresh(c); n > most {
				best, most = c, n
			}
		}
		if best == nil {
			return out
		}
		for _, p := range best.pairs() {
			covered[p] = true
		}
		out = append(out, best)
	}
}
