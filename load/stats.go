package load

import (
	"math"
	"sort"
)

// quantile is the exact quantile of sorted values by nearest rank: always a
// value that was measured.
func quantile(sorted []int64, p float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	k := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(k, 0), len(sorted)-1)]
}

// floor is how many samples must stand behind a quantile p at 99 %
// confidence: the least n for which at most one sample above it is less
// likely than 1 %. These are the floors of MLPerf's loadgen: 64 for p90, 662
// for p99, 6 636 for p99.9.
func floor(p float64) int {
	q := 1 - p
	return sort.Search(1<<30, func(n int) bool {
		if n < 2 {
			return false
		}
		f := float64(n)
		return math.Exp(f*math.Log(p))+f*q*math.Exp((f-1)*math.Log(p)) <= 0.01
	})
}

// interval is where the true quantile p lies with the given confidence, from
// the order statistics of n sorted values; it assumes nothing of their
// distribution. ok is false where n is too small to bound it on both sides.
func interval(sorted []int64, p, confidence float64) (lo, hi int64, ok bool) {
	n := len(sorted)
	tail := (1 - confidence) / 2
	// The number of values below the quantile is binomial.
	l := sort.Search(n+1, func(k int) bool { return binomialCDF(n, p, k) > tail })    // P(B < l) ≤ tail
	u := sort.Search(n+1, func(k int) bool { return binomialCDF(n, p, k) >= 1-tail }) // P(B ≤ u) ≥ 1-tail
	ok = l >= 1 && u < n
	l, u = max(l, 1), min(u+1, n)
	if n == 0 {
		return 0, 0, false
	}
	return sorted[l-1], sorted[u-1], ok
}

// binomialCDF is P(B ≤ k) of n trials with probability p, by the normal
// approximation where that is good, else summed.
func binomialCDF(n int, p float64, k int) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	f := float64(n)
	if v := f * p * (1 - p); v > 200 {
		return 0.5 * math.Erfc(-(float64(k)+0.5-f*p)/math.Sqrt(2*v))
	}
	lnN, _ := math.Lgamma(f + 1)
	sum := 0.0
	for i := 0; i <= k; i++ {
		a, _ := math.Lgamma(float64(i) + 1)
		b, _ := math.Lgamma(f - float64(i) + 1)
		sum += math.Exp(lnN - a - b + float64(i)*math.Log(p) + (f-float64(i))*math.Log1p(-p))
	}
	return min(sum, 1)
}
