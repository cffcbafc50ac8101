package suites

import "math"

// Where the truth is statistical a test says beforehand how often it may err.
// Below its power it says nothing: then a clause is inconclusive.

// errorRate is how often a statistical verdict may be wrong.
const errorRate = 1e-3

// byChance is the probability below which an event is not put down to chance.
const byChance = 1e-6

// wald compares two hypotheses by the logarithm of their likelihood ratio
// (Wald's sequential test with equal error rates): 1 if the first is accepted,
// -1 if the second is, 0 if neither can be yet. Each verdict is wrong at most
// once in 1/errorRate times.
func wald(logRatio float64) int {
	switch bound := math.Log(1 / errorRate); {
	case logRatio > bound:
		return 1
	case logRatio < -bound:
		return -1
	}
	return 0
}

// tempered is a distribution of log probabilities at temperature 1 at another
// temperature, among the outcomes that it names.
func tempered(logs map[string]float64, temperature float64) map[string]float64 {
	out, mass := map[string]float64{}, 0.0
	for k, l := range logs {
		out[k] = l / temperature
		mass += math.Exp(out[k])
	}
	for k := range out {
		out[k] -= math.Log(mass)
	}
	return out
}

// logRatio is how much likelier outcomes are under the first distribution than
// under the second; those that the distributions do not name are left out.
func logRatio(outcomes []string, first, second map[string]float64) (ratio float64, used int) {
	for _, o := range outcomes {
		a, ok := first[o]
		b, also := second[o]
		if ok && also {
			ratio += a - b
			used++
		}
	}
	return ratio, used
}

// repeatedByChance is whether n equal answers of that log probability, drawn
// independently, may come by chance.
func repeatedByChance(logprob float64, n int) bool {
	return logprob*float64(n-1) > math.Log(byChance)
}
