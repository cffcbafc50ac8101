package suites

import (
	"slices"
	"strings"

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
		f.Alone = len(k.target.Routes) < 2
		long, short, wide := len(longPrompts[route])+2, len(shortPrompts)+1, len(widePrompts)
		p.add(PlannedProbe{
			Route: route, Name: "calibration", Requests: repeats + long + short + wide + 1 + fillers,
			Tokens: repeats*capped + long*longTokens + short*shortTokens + wide*wideTokens + (fillers-2)*f.Context,
		})
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
					one.Tokens += k.session.cost(f, a)
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
func (s *session) cost(f *Facts, a ask) int {
	raw := s.request(f.Route, a).Body
	doc := gjson.ParseBytes(raw)
	prompt := len(doc.Get("prompt").String()) / 4
	for _, m := range doc.Get("messages").Array() {
		prompt += len(m.Get("content").String())/4 + perMessage
	}
	limit := doc.Get("max_tokens")
	refused := !gjson.ValidBytes(raw) || limit.Exists() && (limit.Type != gjson.Number || limit.Int() < 1)
	if refused || prompt > f.Context || int(limit.Int()) > f.Context-f.Short.Prompted {
		return 0
	}
	n := capped
	if limit.Exists() {
		n = int(limit.Int())
	}
	choices := 1
	for _, name := range []string{"n", "best_of"} {
		if v := doc.Get(name); v.Type == gjson.Number && v.Num <= mostPlanned {
			choices = max(choices, int(v.Num))
		}
	}
	return n*choices + prompt
}

const (
	perMessage  = 4   // tokens that a template adds, at most
	mostPlanned = 128 // choices; more must be refused
)

// expected are the facts of a target on which every probe is sent.
func expected(t Target, route schemas.Route) *Facts {
	long := Sample{Prompt: longPrompts[route][0], Answer: "a story that goes on, and on, and does not come to an end at all", Tokens: longTokens}
	f := &Facts{
		Route: route, target: t, Served: true, Repeatable: true, IgnoreEOS: Honoured, Capped: "a text that is cut at some point, and goes on", Context: 1024,
		Long: long, Short: Sample{Prompt: shortPrompts[0], Answer: "Far away.", Tokens: 8, Prompted: 12}, Wide: Sample{Prompt: widePrompts[0], Answer: "안녕하세요", Tokens: 8},
		Filler: Sample{Prompt: strings.Repeat(fourWords+" ", 250), Tokens: 1018},
	}
	if t.dialect() != DialectLlamaV1 {
		f.IgnoreEOS = Refused
	}
	return f
}
