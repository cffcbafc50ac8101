package simulator

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/tidwall/gjson"
)

// A Distribution is one of durations. In a file it is a duration, such as
// 100ms, or an object.
type Distribution struct {
	// Shape is "constant" (also ""), "normal", "log-normal" or "empirical".
	Shape string `yaml:"distribution"`
	// Mean, and Stddev but for a constant. Draws below 0 are 0.
	Mean   time.Duration `yaml:"mean"`
	Stddev time.Duration `yaml:"stddev"`
	// Values of an empirical one, each as likely as the others.
	Values []time.Duration `yaml:"values"`
	// File is a result of touchstone load, in place of values: the percentiles
	// of its ttft or icl, joined by lines.
	File string `yaml:"file"`

	curve []point // of an empirical one, ascending
}

// A point of a distribution: a share of p is at most at.
type point struct {
	p  float64
	at time.Duration
}

// UnmarshalYAML reads a duration or an object.
func (d *Distribution) UnmarshalYAML(unmarshal func(any) error) error {
	var constant time.Duration
	if unmarshal(&constant) == nil {
		*d = Distribution{Mean: constant}
		return nil
	}
	type plain Distribution
	return unmarshal((*plain)(d))
}

func (d Distribution) zero() bool {
	return d.Mean == 0 && d.Shape == "" && len(d.Values) == 0 && d.File == ""
}

const mostDelay = time.Hour

func (d Distribution) validate() error {
	empirical := d.Shape == "empirical"
	switch {
	case !slices.Contains([]string{"", "constant", "normal", "log-normal", "empirical"}, d.Shape):
		return at("distribution", fmt.Errorf("must be constant, normal, log-normal or empirical, got %q", d.Shape))
	case d.Mean < 0 || d.Mean > mostDelay:
		return at("mean", fmt.Errorf("must be between 0 and an hour, got %s", d.Mean))
	case d.Stddev < 0 || d.Stddev > mostDelay:
		return at("stddev", fmt.Errorf("must be between 0 and an hour, got %s", d.Stddev))
	case d.Stddev > 0 && d.Shape != "normal" && d.Shape != "log-normal":
		return at("stddev", errors.New("is for distribution normal or log-normal"))
	case d.Shape == "log-normal" && d.Mean == 0:
		return at("mean", errors.New("of a log-normal distribution must be above 0"))
	case empirical && (len(d.Values) == 0) == (d.File == ""):
		return at("values", errors.New("or file is needed for an empirical distribution, one of them"))
	case !empirical && (len(d.Values) > 0 || d.File != ""):
		return at("distribution", errors.New("must be empirical where there are values or a file"))
	}
	for i, v := range d.Values {
		if v < 0 || v > mostDelay {
			return at(fmt.Sprintf("values[%d]", i), fmt.Errorf("must be between 0 and an hour, got %s", v))
		}
	}
	return nil
}

// ready returns the distribution with its file read: the figure of that name.
func (d Distribution) ready(figure string) (Distribution, error) {
	if d.File != "" {
		b, err := os.ReadFile(d.File)
		if err != nil {
			return d, at("file", err)
		}
		if d.curve = curveOf(gjson.ParseBytes(b), figure); d.curve == nil {
			return d, at("file", fmt.Errorf("%s has no percentiles of %s; is it a result of touchstone load?", d.File, figure))
		}
	}
	for i, v := range slices.Sorted(slices.Values(d.Values)) {
		n := float64(len(d.Values))
		d.curve = append(d.curve, point{float64(i) / n, v}, point{float64(i+1) / n, v})
	}
	return d, nil
}

// curveOf finds the figure of that name in a result of touchstone load.
func curveOf(v gjson.Result, name string) []point {
	var curve []point
	if v.IsObject() && v.Get("name").Str == name && v.Get("percentiles").IsArray() {
		curve = append(curve, point{0, time.Duration(v.Get("min_ns").Int())})
		for _, q := range v.Get("percentiles").Array() {
			curve = append(curve, point{q.Get("p").Float() / 100, time.Duration(q.Get("value_ns").Int())})
		}
		curve = append(curve, point{1, time.Duration(v.Get("max_ns").Int())})
		slices.SortStableFunc(curve, func(a, b point) int { return int(math.Copysign(1, a.p-b.p)) })
		return curve
	}
	if v.IsObject() || v.IsArray() {
		v.ForEach(func(_, inner gjson.Result) bool {
			curve = curveOf(inner, name)
			return curve == nil
		})
	}
	return curve
}

// draw returns a duration, 0 or more.
func (d *Distribution) draw() time.Duration {
	switch d.Shape {
	case "normal":
		return max(0, d.Mean+time.Duration(rand.NormFloat64()*float64(d.Stddev)))
	case "log-normal":
		mean, spread := float64(d.Mean), float64(d.Stddev)
		variance := math.Log1p(spread * spread / (mean * mean))
		return time.Duration(math.Exp(math.Log(mean) - variance/2 + rand.NormFloat64()*math.Sqrt(variance)))
	case "empirical":
		return onCurve(d.curve, rand.Float64())
	}
	return d.Mean
}

// onCurve is where the curve reaches p.
func onCurve(curve []point, p float64) time.Duration {
	i, _ := slices.BinarySearchFunc(curve, p, func(x point, p float64) int {
		if x.p < p {
			return -1
		}
		return 1
	})
	switch {
	case i == 0:
		return curve[0].at
	case i == len(curve):
		return curve[i-1].at
	}
	a, b := curve[i-1], curve[i]
	if b.p == a.p {
		return b.at
	}
	return a.at + time.Duration(float64(b.at-a.at)*(p-a.p)/(b.p-a.p))
}
