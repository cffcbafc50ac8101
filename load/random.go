package load

import (
	"math"
	"math/rand/v2"
)

// A random is a stream of random numbers that depends on nothing but the seed
// and the names of what it is for. Distributions are computed here, from
// Uint64 alone, so that a seed means the same schedule in every release of Go.
type random struct{ pcg *rand.PCG }

func newRandom(seed uint64, parts ...uint64) random {
	h := seed ^ 0x9e3779b97f4a7c15
	for _, p := range parts { // splitmix64
		h += p + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return random{rand.NewPCG(seed, h)}
}

// The streams of random numbers of a run.
const (
	forArrivals uint64 = iota + 1
	forWork
	forThink
	forPrefix
	forTrace
)

// unit is uniform in [0, 1).
func (r random) unit() float64 { return float64(r.pcg.Uint64()>>11) / (1 << 53) }

// below is uniform in 0 … n-1.
func (r random) below(n int) int { return int(r.unit() * float64(n)) }

// exp has mean 1.
func (r random) exp() float64 { return -math.Log1p(-r.unit()) }

// normal has mean 0 and variance 1 (Marsaglia's polar method).
func (r random) normal() float64 {
	for {
		u, v := 2*r.unit()-1, 2*r.unit()-1
		if s := u*u + v*v; s > 0 && s < 1 {
			return u * math.Sqrt(-2*math.Log(s)/s)
		}
	}
}

// gamma has the given shape and scale 1 (Marsaglia and Tsang 2000).
func (r random) gamma(shape float64) float64 {
	if shape < 1 {
		return r.gamma(shape+1) * math.Pow(1-r.unit(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.normal()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := 1 - r.unit() // never 0
		if math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
