package engine

import (
	"fmt"
	"math"
)

// A RopeScaling is how the rotary frequencies of a model were changed after its
// first training, so that it reads longer contexts. The zero value changes
// nothing.
type RopeScaling struct {
	Type            string  `json:"type"`             // "", "linear", "llama3" or "yarn"
	Factor          float64 `json:"factor"`           // how much longer contexts become
	OriginalContext int     `json:"original_context"` // tokens of the first training (llama3, yarn)
	LowFreqFactor   float64 `json:"low_freq_factor"`  // llama3: of wavelengths above OriginalContext/LowFreqFactor all are scaled
	HighFreqFactor  float64 `json:"high_freq_factor"` // llama3: of wavelengths below OriginalContext/HighFreqFactor none is
	BetaFast        float64 `json:"beta_fast"`        // yarn: rotations within OriginalContext above which nothing is scaled
	BetaSlow        float64 `json:"beta_slow"`        // yarn: … below which all is
	AttentionFactor float64 `json:"attention_factor"` // yarn: multiplies queries and keys; 0 is 1 + 0.1·ln Factor
}

// check says which field makes no sense for a base of theta.
func (s RopeScaling) check(theta float64) error {
	positive := func(name string, x float64) error {
		if !(x > 0) || math.IsInf(x, 0) {
			return fmt.Errorf("rope scaling %s: %s %g is not above 0", s.Type, name, x)
		}
		return nil
	}
	switch s.Type {
	case "":
		return nil
	case "linear", "llama3", "yarn":
	default:
		return fmt.Errorf("rope scaling %q is not supported (linear, llama3 and yarn are)", s.Type)
	}
	if err := positive("factor", s.Factor); err != nil || s.Type == "linear" {
		return err
	}
	if s.OriginalContext < 1 {
		return fmt.Errorf("rope scaling %s: the original context length is missing", s.Type)
	}
	low, high, slow, fast := "low_freq_factor", "high_freq_factor", s.LowFreqFactor, s.HighFreqFactor
	if s.Type == "yarn" {
		low, high, slow, fast = "beta_slow", "beta_fast", s.BetaSlow, s.BetaFast
	}
	if err := positive(low, slow); err != nil {
		return err
	}
	if err := positive(high, fast); err != nil {
		return err
	}
	if slow >= fast {
		return fmt.Errorf("rope scaling %s: %s %g is not below %s %g", s.Type, low, slow, high, fast)
	}
	if s.Type == "yarn" && theta <= 1 {
		return fmt.Errorf("rope scaling yarn: a base of %g is not above 1", theta)
	}
	if s.AttentionFactor < 0 || math.IsNaN(s.AttentionFactor) || math.IsInf(s.AttentionFactor, 0) {
		return fmt.Errorf("rope scaling %s: attention factor %g", s.Type, s.AttentionFactor)
	}
	return nil
}

// magnitude is by how much queries and keys are multiplied when they are
// rotated.
func (s RopeScaling) magnitude() float64 {
	switch {
	case s.Type != "yarn":
		return 1
	case s.AttentionFactor > 0:
		return s.AttentionFactor
	}
	return 1 + 0.1*math.Log(max(s.Factor, 1))
}

// ropeFrequencies returns how many radians each rotated pair turns a position,
// [RopeDim/2]: θ^(-2i/RopeDim), scaled.
//
// Sources: Su et al. 2021; linear: Chen et al. 2023 ("position interpolation");
// llama3: apply_scaling in Meta's llama-models; yarn: Peng et al. 2023, section
// 3.2 ("NTK-by-parts").
func ropeFrequencies(c *Config) []float64 {
	s, dim := c.RopeScaling, float64(c.RopeDim)
	freqs := make([]float64, c.RopeDim/2)
	for i := range freqs {
		f := math.Pow(c.RopeTheta, -2*float64(i)/dim)
		switch s.Type {
		case "linear":
			f /= s.Factor
		case "llama3":
			// Turns within the first context; few turns are a low frequency.
			turns := float64(s.OriginalContext) * f / (2 * math.Pi)
			keep := clamp01((turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor))
			f = keep*f + (1-keep)*f/s.Factor
		case "yarn":
			// The pairs that make beta turns within the first context, rounded
			// outwards.
			pair := func(beta float64) float64 {
				return dim * math.Log(float64(s.OriginalContext)/(beta*2*math.Pi)) / (2 * math.Log(c.RopeTheta))
			}
			from, to := max(0, math.Floor(pair(s.BetaFast))), min(dim-1, math.Ceil(pair(s.BetaSlow)))
			keep := 1 - clamp01((float64(i)-from)/max(0.001, to-from))
			f = keep*f + (1-keep)*f/s.Factor
		}
		freqs[i] = f
	}
	return freqs
}

func clamp01(x float64) float64 { return min(1, max(0, x)) }
