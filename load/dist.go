package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Dist is how a number varies from request to request: a token length, a
// think time in seconds. The zero Dist is always 0.
type Dist struct {
	kind     string // "" fixed, uniform, normal, lognormal, exp
	a, b     float64
	min, max float64 // bounds of normal, lognormal and exp; max 0: none
}

// Fixed is always v.
func Fixed(v float64) Dist { return Dist{a: v} }

const distForms = "want N, MIN-MAX, normal:MEAN,SD[,MIN,MAX], lognormal:MEDIAN,SIGMA[,MIN,MAX] or exp:MEAN[,MIN,MAX]"

// ParseDist reads N, MIN-MAX (uniform), normal:MEAN,SD, lognormal:MEDIAN,SIGMA
// or exp:MEAN; the last three take bounds behind them: normal:128,32,1,512.
func ParseDist(s string) (Dist, error) {
	kind, rest, named := strings.Cut(s, ":")
	if !named {
		kind, rest = "", s
		if i := strings.IndexByte(s, '-'); i > 0 {
			kind, rest = "uniform", s[:i]+","+s[i+1:]
		}
	}
	var v []float64
	for _, f := range strings.Split(rest, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) || x < 0 {
			return Dist{}, fmt.Errorf("%q: %s", s, distForms)
		}
		v = append(v, x)
	}
	want := map[string]int{"": 1, "uniform": 2, "normal": 2, "lognormal": 2, "exp": 1}
	n, ok := want[kind]
	bounded := len(v) == n+2 && kind != "" && kind != "uniform"
	if !ok || len(v) != n && !bounded {
		return Dist{}, fmt.Errorf("%q: %s", s, distForms)
	}
	d := Dist{kind: kind, a: v[0]}
	if n == 2 {
		d.b = v[1]
	}
	if bounded {
		d.min, d.max = v[n], v[n+1]
		if d.min > d.max {
			return Dist{}, fmt.Errorf("%q: the bounds are the wrong way round", s)
		}
	}
	if kind == "uniform" && d.a > d.b {
		return Dist{}, fmt.Errorf("%q: the bounds are the wrong way round", s)
	}
	return d, nil
}

// draw is one value.
func (d Dist) draw(r random) float64 {
	var v float64
	switch d.kind {
	case "":
		return d.a
	case "uniform":
		return d.a + (d.b-d.a)*r.unit()
	case "normal":
		v = d.a + d.b*r.normal()
	case "lognormal":
		v = d.a * math.Exp(d.b*r.normal())
	case "exp":
		v = d.a * r.exp()
	}
	v = max(v, d.min)
	if d.max > 0 {
		v = min(v, d.max)
	}
	return v
}

// tokens is one value as a count; uniform gives both ends alike a chance.
func (d Dist) tokens(r random) int {
	if d.kind == "uniform" {
		return int(d.a) + r.below(int(d.b)-int(d.a)+1)
	}
	return max(0, int(math.Round(d.draw(r))))
}

// String is the form that ParseDist reads.
func (d Dist) String() string {
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	var s string
	switch d.kind {
	case "":
		return num(d.a)
	case "uniform":
		return num(d.a) + "-" + num(d.b)
	case "exp":
		s = "exp:" + num(d.a)
	default:
		s = d.kind + ":" + num(d.a) + "," + num(d.b)
	}
	if d.max > 0 {
		s += "," + num(d.min) + "," + num(d.max)
	}
	return s
}

// IsZero is whether d is always 0.
func (d Dist) IsZero() bool { return d == Dist{} }

// MarshalText and UnmarshalText let a Dist stand in JSON and YAML.
func (d Dist) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDist reads.
func (d *Dist) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDist(string(b))
	return err
}
