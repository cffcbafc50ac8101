package suites

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// bstRules judge best_of and n (BST).
var bstRules = []rule{
	{clause: "BST-001", reads: []string{"best_of.less"}, judge: mustRefuse("best_of.less", "best_of 2 is below n 3")},
	{clause: "BST-002", reads: []string{"best_of.equal"}, judge: mustRefuse("best_of.equal", "best_of must be greater than n, both are 2")},
	{clause: "BST-003", reads: []string{"n3"}, judge: nAlone},
	{clause: "BST-004", reads: []string{"best_of.one"}, judge: defaultsAccepted},
	{clause: "BST-005", reads: []string{"best_of.1of3", "best_of.2of4"}, judge: exactlyN},
	{clause: "BST-006", reads: []string{"best_of.candidates", "best_of.best"}, judge: bestIsBest},
	{clause: "BST-007", reads: []string{"best_of.ordered"}, judge: bestFirst},
	{clause: "BST-008", reads: []string{"best_of.stream"}, judge: notTokenWise("best_of.stream")},
	{clause: "BST-009", reads: []string{"best_of.equal.stream"}, endpoint: true, judge: equalMayStream},
	{clause: "BST-010", reads: []string{"best_of.greedy"}, endpoint: true, judge: greedyBestOf},
	{clause: "BST-011", reads: []string{"best_of.null"}, endpoint: true, judge: equalsControl("best_of.null", "best_of null")},
	{clause: "BST-013", reads: []string{"best_of.absurd"}, endpoint: true, judge: refusedFast},
	{clause: "BST-014", reads: []string{"best_of.2of4", "best_of.ordered"}, judge: bestOfIndices},
	{clause: "BST-015", reads: []string{"best_of.1of3"}, judge: chatBestOf},
	{clause: "BST-016", reads: []string{"best_of.2of4", "best_of.1of3"}, judge: bestOfUsage},
}

// isRefusal is whether the target refused a bad request as such: 400 or 422.
func (r *reply) isRefusal() bool { return r.status() == 400 || r.status() == 422 }

func (r *reply) statusLine() string {
	if r.ok() {
		return "200 " + shorten(string(r.Response.Body), 80)
	}
	return fmt.Sprintf("%d %s", r.status(), shorten(r.message(), 80))
}

// mustRefuse expects 400 or 422 for each request of a probe.
func mustRefuse(probe, why string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.sent(probe) {
			if !r.isRefusal() {
				c.fail(r, "status", "400 or 422: "+why, r.statusLine())
			}
		}
	}
}

// accepts expects 200; a refusal that names a parameter under test, and not
// best_of's default, is an honest one.
func (c *Case) accepts(probe, why string, check func(*reply)) {
	for _, r := range c.sent(probe) {
		switch {
		case r.ok():
			check(r)
		case r.refused() && probeByName[probe].tests[0] != "best_of" && r.names(probeByName[probe].tests...) && !r.names("best_of"):
			c.settle("unsupported", "the target refuses "+probeByName[probe].tests[0]+": "+shorten(r.message(), 120))
		default:
			c.fail(r, "status", "200: "+why, r.statusLine())
		}
	}
}

func (c *Case) countChoices(r *reply, want int) {
	if n := len(r.choices()); n != want {
		c.fail(r, "choices", fmt.Sprintf("%d choices", want), fmt.Sprintf("%d choices", n))
	}
}

func nAlone(c *Case) {
	c.accepts("n3", "n without best_of is plain n (C25)", func(r *reply) { c.countChoices(r, 3) })
}

func defaultsAccepted(c *Case) {
	c.accepts("best_of.one", "n 1 and best_of 1 are the documented defaults (C02)", func(r *reply) { c.countChoices(r, 1) })
}

func exactlyN(c *Case) {
	for _, p := range []string{"best_of.1of3", "best_of.2of4"} {
		for _, r := range c.answers(p) {
			c.countChoices(r, asked(r))
		}
	}
}

// bestIsBest uses a seed: with it, the candidates of best_of 4 are the choices
// of n 4, and the best of them is known.
func bestIsBest(c *Case) {
	cands := c.answers("best_of.candidates")
	best := first(c.answers("best_of.best"))
	if len(cands) < 2 || best == nil || len(best.choices()) == 0 {
		return
	}
	same := func(a, b gjson.Result) bool { return cands[0].text(a) == cands[0].text(b) }
	x, y := cands[0].choices(), cands[1].choices()
	for i := range x {
		if i >= len(y) || !same(x[i], y[i]) {
			c.inconclusive("the seed does not repeat the candidates")
			return
		}
	}
	top, text, member := math.Inf(-1), "", false
	for _, ch := range x {
		lps, _, ok := logprobs(ch)
		if !ok {
			c.inconclusive("the candidates carry no log probabilities")
			return
		}
		if m := mean(lps); m > top {
			top, text = m, cands[0].text(ch)
		}
		member = member || cands[0].text(ch) == best.firstText()
	}
	if !member {
		c.inconclusive("with best_of the seed gives other candidates")
		return
	}
	lps, _, _ := logprobs(best.choices()[0])
	if got := mean(lps); got < top-1e-3 {
		c.fail(best, "choices.0", fmt.Sprintf("the candidate with mean log probability %.4f: %s", top, strconv.Quote(shorten(text, 40))),
			fmt.Sprintf("%.4f: %s", got, strconv.Quote(shorten(best.firstText(), 40))))
	}
}

// bestFirst wants the choices, in the order of the array, by falling mean log
// probability.
func bestFirst(c *Case) {
	c.ordered("best_of.ordered")
}

func (c *Case) ordered(probe string) {
	for _, r := range c.answers(probe) {
		last := math.Inf(1)
		for i, ch := range r.choices() {
			lps, _, ok := logprobs(ch)
			if !ok {
				c.inconclusive("the choices carry no log probabilities")
				return
			}
			m := mean(lps)
			if m > last+1e-3 {
				c.fail(r, fmt.Sprintf("choices.%d", i), fmt.Sprintf("mean log probability at most %.4f, that of the choice before", last), fmt.Sprintf("%.4f", m))
			}
			last = m
		}
	}
}

// notTokenWise accepts a refusal, or one event with text a choice (C03).
func notTokenWise(probe string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.sent(probe) {
			switch {
			case r.isRefusal():
				c.note("refused with %d", r.status())
			case !r.ok():
				c.fail(r, "status", "400 or 422, or a stream with one complete event a choice", r.statusLine())
			case r.stream == nil:
				c.fail(r, "body", "400 or 422, or a stream with one complete event a choice", "a plain answer with 200")
			default:
				_, parts := r.byIndex()
				for i := range parts {
					n := 0
					for _, p := range parts[i] {
						if r.delta(p) != "" {
							n++
						}
					}
					if n > 1 {
						c.fail(r, fmt.Sprintf("index %d", i), "one event with the whole text: results of best_of cannot be streamed", fmt.Sprintf("%d events with text", n))
					}
				}
				c.note("streamed as complete events")
			}
		}
	}
}

func equalMayStream(c *Case) {
	for _, r := range c.sent("best_of.equal.stream") {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case r.ok() && r.stream != nil:
			c.note("streamed")
		default:
			c.fail(r, "status", "a stream, 400 or 422", r.statusLine())
		}
	}
}

func greedyBestOf(c *Case) {
	for _, r := range c.sent("best_of.greedy") {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "400 or 422, or the greedy text", r.statusLine())
		case c.repeatable() && r.firstText() != c.Facts.Capped:
			c.fail(r, textPath[c.Route], "the greedy text "+strconv.Quote(shorten(c.Facts.Capped, 60)), strconv.Quote(shorten(r.firstText(), 60)))
		default:
			c.note("the greedy text")
		}
	}
}

// equalsControl wants a probe that adds only a default to the control request
// to be answered like it.
func equalsControl(probe, what string) func(*Case) {
	return func(c *Case) {
		c.accepts(probe, what+" equals omitted", func(r *reply) {
			if c.repeatable() && r.firstText() != c.Facts.Capped {
				c.fail(r, textPath[c.Route], "as without it: "+strconv.Quote(shorten(c.Facts.Capped, 60)), strconv.Quote(shorten(r.firstText(), 60)))
			}
		})
	}
}

func refusedFast(c *Case) {
	const soon = 2 * time.Second
	for _, r := range c.replies {
		if r.probe != "best_of.absurd" {
			continue
		}
		c.look(r)
		if r.status() != 429 && !r.isRefusal() {
			seen := r.statusLine()
			if r.Response == nil {
				seen = r.Error
			}
			c.fail(r, "status", "400, 422 or 429: best_of is 1000000", seen)
		} else if took := r.End - r.Sent; took > soon {
			c.fail(r, "time", "refused within 2 s", took.Round(time.Millisecond).String())
		}
	}
}

func bestOfIndices(c *Case) {
	for _, p := range []string{"best_of.2of4", "best_of.ordered"} {
		for _, r := range c.answers(p) {
			seen := map[int64]bool{}
			for i, ch := range r.choices() {
				v := ch.Get("index")
				if v.Type != gjson.Number || seen[v.Int()] {
					c.fail(r, fmt.Sprintf("choices.%d.index", i), "an index that no other choice has", show(v))
				}
				seen[v.Int()] = true
			}
		}
	}
}

func chatBestOf(c *Case) {
	for _, r := range c.sent("best_of.1of3") {
		if !r.ok() {
			c.fail(r, "status", "200: best_of is a parameter of the chat route too", r.statusLine())
			continue
		}
		c.countChoices(r, 1)
	}
}

// bestOfUsage bounds completion_tokens: the returned choices at least, all
// candidates at most (C24).
func bestOfUsage(c *Case) {
	for _, p := range []string{"best_of.1of3", "best_of.2of4"} {
		for _, r := range c.answers(p) {
			tokens, ok := r.completionTokens()
			if !ok {
				c.inconclusive("usage does not count the tokens (RSP-002)")
				continue
			}
			limit := r.number("max_tokens", 0)
			most := limit * r.number("best_of", 1)
			least := 0
			for _, ch := range r.choices() {
				if ch.Get("finish_reason").String() == "length" {
					least += limit
				} else {
					least++
				}
			}
			if tokens < least || tokens > most {
				c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d (the returned choices) to %d (all candidates)", least, most), strconv.Itoa(tokens))
			} else {
				c.note("%s", map[bool]string{true: "counts the returned choices", false: "counts more than the returned choices"}[tokens == least])
			}
		}
	}
}
