package simulator

import "github.com/touchstone-llm/touchstone/engine"

// values are the parameters of a request, typed. Those that the request does
// not give, or gives as null, have the default of the dialect's table.
type values struct {
	route *route
	list  []value // those that differ; few, so that a search is quicker than a map
}

type value struct {
	name string
	// typed is string, bool, int64, float64, []string, []int64, []prompt,
	// map[int]float64, []engine.Message, []engine.Tool, format, or nil for what
	// has no value, whatever its default.
	typed any
	raw   string // as it was written, if it is given
	given bool
	row   *parameter // nil: to be found by its name
}

func (v values) find(name string) *value {
	for i := range v.list {
		if v.list[i].name == name {
			return &v.list[i]
		}
	}
	return nil
}

// of returns the value of name, nil for none.
func (v values) of(name string) any {
	if x := v.find(name); x != nil {
		return x.typed
	}
	if v.route == nil { // not typed yet
		return nil
	}
	if p, ok := v.route.parameter(name); ok {
		return p.fallback
	}
	return nil
}

// given says whether the request set name to something other than null.
func (v values) given(name string) bool {
	x := v.find(name)
	return x != nil && x.given
}

// raw returns a given parameter as it was written.
func (v values) raw(name string) string {
	if x := v.find(name); x != nil {
		return x.raw
	}
	return ""
}

func (v *values) put(x value) {
	if old := v.find(x.name); old != nil {
		x.row = old.row
		*old = x
	} else {
		v.list = append(v.list, x)
	}
}

// set makes name a given parameter.
func (v *values) set(name string, typed any, raw string) {
	v.put(value{name: name, typed: typed, raw: raw, given: true})
}

// fill gives name a value that the request does not give.
func (v *values) fill(name string, typed any) { v.put(value{name: name, typed: typed}) }

// unset makes name absent.
func (v *values) unset(name string) { v.fill(name, nil) }

func (v values) text(name string) string    { s, _ := v.of(name).(string); return s }
func (v values) flag(name string) bool      { b, _ := v.of(name).(bool); return b }
func (v values) int(name string) int        { n, _ := v.of(name).(int64); return int(n) }
func (v values) number(name string) float64 { x, _ := v.of(name).(float64); return x }
func (v values) texts(name string) []string { s, _ := v.of(name).([]string); return s }
func (v values) ints(name string) []int64   { s, _ := v.of(name).([]int64); return s }

func (v values) tools() []engine.Tool { t, _ := v.of("tools").([]engine.Tool); return t }

// bestOf is how many candidates are asked for: n when best_of is absent (C25).
func (v values) bestOf() int {
	if v.given("best_of") {
		return v.int("best_of")
	}
	return v.int("n")
}

// maxTokens is the most tokens of a choice, by either of its names.
func (v values) maxTokens() int { return v.int(v.lengthName()) }

func (v values) lengthName() string {
	if v.given("max_completion_tokens") {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// logprobs is how many alternatives are asked for, -1 when none are: by a number,
// or by true and top_logprobs.
func (v values) logprobs() int {
	switch wanted := v.of("logprobs").(type) {
	case int64:
		return int(wanted)
	case bool:
		if wanted {
			return v.int("top_logprobs")
		}
	}
	return -1
}

// greedy says whether the temperature picks the likeliest token (vLLM's bound).
func (v values) greedy() bool { return v.number("temperature") < 1e-5 }
