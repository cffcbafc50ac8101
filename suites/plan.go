package suites

import (
	"slices"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// A Plan is what a run would send at most, before it sends anything.
type Plan struct {
	Clauses int
	Probes  []PlannedProbe
	// Requests and Tokens are the sums, calibration included. Tokens counts what
	// is asked for and the prompts, at 4 bytes a token; repeats after 429 and
	// broken connections are not in it.
	Requests, Tokens int
}

// A PlannedProbe is a probe on a route.
type PlannedProbe struct {
	Route            schemas.Route
	Name             string
	Requests, Tokens int
}

// MakePlan says what a run would send, and sends nothing. Errors are those of
// [Run].
func MakePlan(t Target, o Options) (Plan, error) {
	k, err := newCheck(t, o)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Clauses: len(k.clauses)}
	for _, route := range k.target.Routes {
		f := expected(k.target, route)
		// Calibration: the control request, and at most this much to find prompts,
		// the long and the short one with ignore_eos too, and the context.
		most := repeats + len(longPrompts[route]) + 1 + len(shortPrompts) + 1 + len(widePrompts) + 1 + fillings
		p.add(PlannedProbe{Route: route, Name: "calibration", Requests: most, Tokens: most * 48})
		var names []string
		for _, c := range k.clauses {
			if slices.Contains(k.plannedRoutes(c), route) && k.unclaimed(c) == "" {
				names = append(names, ruleOf(c.ID).reads...)
			}
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			for pr := probeByName[name]; pr != nil; pr = probeByName[pr.then] {
				if pr.unsent(f) != "" {
					break
				}
				one := PlannedProbe{Route: route, Name: pr.name}
				for _, a := range pr.asks(f) {
					one.Requests++
					one.Tokens += k.session.cost(route, a)
				}
				if pr.hostile && one.Requests > 0 {
					one.Requests++
				}
				p.add(one)
			}
		}
	}
	return p, nil
}

func (p *Plan) add(one PlannedProbe) {
	if one.Requests == 0 {
		return
	}
	p.Probes = append(p.Probes, one)
	p.Requests += one.Requests
	p.Tokens += one.Tokens
}

// plannedRoutes are those on which a clause would be judged if all are served.
func (k *check) plannedRoutes(c schemas.Clause) []schemas.Route {
	var out []schemas.Route
	for _, r := range k.target.Routes {
		if c.Holds(k.target.Dialect, r) && (len(out) == 0 || !ruleOf(c.ID).endpoint) {
			out = append(out, r)
		}
	}
	return out
}

// cost is what a request may cost at most, in tokens. What must be refused
// costs nothing.
func (s *session) cost(route schemas.Route, a ask) int {
	raw := s.request(route, a).Body
	doc := gjson.ParseBytes(raw)
	max := doc.Get("max_tokens")
	if !gjson.ValidBytes(raw) || max.Exists() && (max.Type != gjson.Number || max.Int() > maxContext || max.Int() < 1) || len(raw) > longest {
		return 0
	}
	n := int64(capped)
	if max.Exists() {
		n = max.Int()
	}
	choices := int64(1)
	for _, name := range []string{"n", "best_of"} {
		if v := doc.Get(name); v.Type == gjson.Number && v.Int() > choices && v.Int() <= 32 {
			choices = v.Int()
		}
	}
	return int(n*choices) + len(raw)/4
}

// expected are the facts of a target on which every probe is sent.
func expected(t Target, route schemas.Route) *Facts {
	long := Sample{Prompt: longPrompts[route][0], Answer: "a story that goes on, and on, and does not come to an end at all", Tokens: longTokens}
	f := &Facts{
		Route: route, target: t, Served: true, Repeatable: true, IgnoreEOS: Honoured, Capped: "a text that is cut at some point", Context: 1024,
		Long: long, Short: Sample{Prompt: shortPrompts[0], Answer: "Far away.", Tokens: 8}, Wide: Sample{Prompt: widePrompts[0], Answer: "안녕하세요", Tokens: 8},
		Filler: Sample{Prompt: "one two", Tokens: 1000},
	}
	if t.dialect() != DialectLlamaV1 {
		f.IgnoreEOS = Refused
	}
	return f
}
