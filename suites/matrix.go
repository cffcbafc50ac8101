package suites

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// An outlook is what the contract says of a combination of parameters.
type outlook int

// A combination is answered, refused, or either where more than one way is
// right. Senseless ones are not sent.
const (
	answered outlook = iota
	either
	refusedTogether
	senseless
)

// A row is a combination of the matrix, with its outlook.
type row struct {
	route   schemas.Route
	members []string // names and JSON values in turn
	outlook outlook
	why     string
}

// label names a row by what it sends.
func (r row) label() string {
	var parts []string
	for i := 0; i+1 < len(r.members); i += 2 {
		parts = append(parts, r.members[i]+"="+strings.ReplaceAll(r.members[i+1], `"`, ""))
	}
	return strings.Join(parts, " ")
}

// stopHit is a stop string that most texts hold; neverSaid is in none.
const stopHit = `"e"`

// factors are what is combined in a dialect; the route is one of them, so that
// both routes share the pairs.
func factors(dialect string) []factor {
	all := []factor{
		{"route", []string{string(schemas.Completions), string(schemas.Chat)}},
		{"stream", []string{"false", "true"}},
		{"temperature", []string{"0", "1"}},
		{"stop", []string{"", stopHit, `["` + neverSaid + `"]`}},
		{"max_tokens", []string{"1", "8", ""}},
	}
	switch dialect {
	case DialectLlamaV1:
		return append(all,
			factor{"n", []string{"1", "2"}}, factor{"best_of", []string{"", "1", "2", "3"}}, factor{"use_beam_search", []string{"false", "true"}},
			factor{"logprobs", []string{"null", "0", "2"}}, factor{"ignore_eos", []string{"false", "true"}})
	case DialectOpenAI:
		return append(all, factor{"n", []string{"1", "2"}}, factor{"logprobs", []string{"null", "0", "2"}}, factor{"presence_penalty", []string{"0", "1"}})
	}
	return append(all, factor{"top_p", []string{"1", "0.5"}}, factor{"presence_penalty", []string{"0", "1"}})
}

// A setting reads a combination by the names of its factors.
type setting map[string]string

func (s setting) int(name string) int { n, _ := strconv.Atoi(s[name]); return n }

// outlookOf applies the guards of the contract in their order: best_of below or
// at n, beam search alone or warm, greedy with several candidates (C10), what
// cannot be streamed (C03). ways counts the guards.
func outlookOf(s setting) (o outlook, why string, ways int) {
	if s["route"] == string(schemas.Chat) && s["max_tokens"] == "" {
		return senseless, "", 0 // C06: without it a chat may go on to the end of the context
	}
	refuse := func(reason string) { o, why, ways = refusedTogether, reason, ways+1 }
	maybe := func(reason string) {
		if ways++; o == answered {
			o, why = either, reason
		}
	}
	n, bestOf, beam, stream := s.int("n"), s.int("best_of"), s["use_beam_search"] == "true", s["stream"] == "true"
	candidates := n
	if bestOf > 0 {
		candidates = bestOf
	}
	if bestOf > 0 && bestOf < n {
		refuse("best_of is below n")
	} else if bestOf > 1 && bestOf == n {
		maybe("best_of is n (C02)")
	}
	switch {
	case beam && candidates < 2:
		refuse("beam search needs best_of above 1")
	case beam && bestOf == 0:
		maybe("best_of is left out of a beam search (C25)")
	case !beam && candidates > 1 && s["temperature"] == "0":
		maybe("several candidates at temperature 0 (C10)")
	}
	if beam && s["temperature"] != "0" {
		refuse("beam search needs temperature 0")
	}
	if stream && (beam || bestOf > n) {
		maybe("the result cannot be streamed (C03)")
	}
	return o, why, ways
}

// rows is the matrix of a dialect: few combinations in which every pair of
// values occurs, in one that is answered where the contract allows any; the
// other pairs occur in combinations that break one rule only.
var rows = func() func(dialect string) []row {
	var mu sync.Mutex
	made := map[string][]row{}
	return func(dialect string) []row {
		mu.Lock()
		defer mu.Unlock()
		if made[dialect] == nil {
			made[dialect] = makeRows(factors(dialect))
		}
		return made[dialect]
	}
}()

func makeRows(fs []factor) []row {
	read := func(c combination) setting {
		s := setting{}
		for i, f := range fs {
			s[f.name] = c[i]
		}
		return s
	}
	// What is right, what breaks one rule, and what leaves a choice.
	kinds := [3][]combination{}
	for _, c := range every(fs) {
		switch o, _, ways := outlookOf(read(c)); {
		case o == answered:
			kinds[0] = append(kinds[0], c)
		case o == refusedTogether && ways == 1:
			kinds[1] = append(kinds[1], c)
		case o == either && ways == 1:
			kinds[2] = append(kinds[2], c)
		}
	}
	var out []row
	covered := map[pair]bool{}
	for _, kind := range kinds {
		if len(kind) == 0 {
			continue
		}
		for _, c := range cover(kind, covered) {
			s := read(c)
			r := row{route: schemas.Route(s["route"])}
			r.outlook, r.why, _ = outlookOf(s)
			for i, f := range fs[1:] {
				r.members = append(r.members, f.name, c[i+1])
			}
			out = append(out, r)
		}
	}
	return out
}

// rowsOf are the rows that are sent on a route: all of them where it is alone.
func rowsOf(f *Facts) []row {
	var out []row
	for _, r := range rows(f.target.dialect()) {
		if r.route != f.Route && !f.Alone {
			continue
		}
		if at := slices.Index(r.members, "max_tokens"); f.Alone && f.Route == schemas.Chat && r.members[at+1] == "" {
			continue
		}
		out = append(out, r)
	}
	return out
}

// matrixProbes send the matrix.
var matrixProbes = []probe{
	{name: "matrix", free: true, tests: []string{"n", "best_of", "use_beam_search", "logprobs", "ignore_eos", "presence_penalty"}, asks: func(f *Facts) []ask {
		var out []ask
		for _, r := range rowsOf(f) {
			members := slices.Clone(r.members)
			// OpenAI's chat route has a switch and a number (C29).
			if at := slices.Index(members, "logprobs"); at >= 0 && f.target.dialect() == DialectOpenAI && f.Route == schemas.Chat && members[at+1] != "null" {
				members = append(members, "top_logprobs", members[at+1])
				members[at+1] = "true"
			}
			out = append(out, ask{label: r.label(), wire: wire{raw: rawBody(f, plainPrompt(f.Route), members...)}})
		}
		return out
	}},
}

// matrixRules judge the matrix. What an answer says is the matter of the rules
// that judge every answer.
var matrixRules = []rule{
	{clause: "REQ-080", reads: []string{"matrix", "beam.two", "n3"}, judge: func(c *Case) {
		beams := !slices.ContainsFunc(c.replies, func(r *reply) bool {
			return r.probe == "beam.two" && r.refused() && r.names("use_beam_search")
		})
		// A target that ignores n by itself is the matter of REQ-055.
		counted := !slices.ContainsFunc(c.replies, func(r *reply) bool {
			return r.probe == "n3" && r.ok() && len(r.choices()) != r.number("n", 1)
		})
		for _, row := range rowsOf(c.Facts) {
			r := c.labelled("matrix", row.label())
			switch {
			case r == nil:
			case r.ok():
				if row.outlook == refusedTogether {
					c.fail(r, "status", "400 or 422: "+row.why, r.statusLine())
				} else {
					c.wellFormed(r, counted)
				}
			case !r.isRefusal():
				c.fail(r, "status", map[outlook]string{answered: "200", either: "200, 400 or 422", refusedTogether: "400 or 422"}[row.outlook], r.statusLine())
			case row.outlook != answered:
			case !beams && r.req.Get("use_beam_search").Bool():
				c.note("no beam search (C53)")
			case c.lacks(r):
				c.note("a parameter is refused by name: %s", shorten(r.message(), 80))
			default:
				c.fail(r, "status", "200: these parameters go together", r.statusLine())
			}
		}
	}},
}

// lacks is whether a refusal names a parameter that the target refuses in every
// combination: it does not have it, or not this value.
func (c *Case) lacks(r *reply) bool {
	for _, name := range probeByName["matrix"].tests {
		if r.names(name) && !slices.ContainsFunc(c.replies, func(o *reply) bool {
			return o.probe == "matrix" && o.ok() && o.req.Get(name).Raw == r.req.Get(name).Raw
		}) {
			return true
		}
	}
	return false
}

// wellFormed expects as many choices as were asked for, where they are to be
// counted, each with its end, in the form that was asked for.
func (c *Case) wellFormed(r *reply, counted bool) {
	if r.isStream() != r.streams() {
		c.wantKind(r, r.streams())
		return
	}
	n := r.number("n", 1)
	if !r.streams() {
		if counted {
			c.countChoices(r, n)
		}
		for i, ch := range r.choices() {
			if ch.Get("finish_reason").String() == "" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "a reason", show(ch.Get("finish_reason")))
			}
		}
		return
	}
	if !slices.ContainsFunc(r.events, func(e exchange.Event) bool { return e.Done() }) {
		return // it broke off (STR-006)
	}
	indices, _ := r.byIndex()
	if counted && len(indices) != n {
		c.fail(r, "choices of all events", fmt.Sprintf("%d choices", n), fmt.Sprintf("%d choices", len(indices)))
	}
	for _, i := range indices {
		if r.finish(i) == "" {
			c.fail(r, fmt.Sprintf("finish_reason of choice %d", i), "a reason", "none")
		}
	}
}
