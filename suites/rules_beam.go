package suites

import (
	"fmt"
	"strconv"
)

// beamRules judge beam search (BEAM).
var beamRules = []rule{
	{clause: "BEAM-001", reads: []string{"beam.two", "beam.one"}, judge: beamRefused("beam.one", "beam search needs best_of above 1")},
	{clause: "BEAM-002", reads: []string{"beam.two", "beam.warm"}, judge: beamRefused("beam.warm", "beam search needs temperature 0")},
	{clause: "BEAM-003", reads: []string{"beam.two", "beam.default"}, judge: beamRefused("beam.default", "without temperature it is 1, and beam search needs 0")},
	{clause: "BEAM-004", reads: []string{"beam.two", "beam", "beam.one", "beam.warm", "beam.default", "beam.greedy"}, judge: beamAnswered},
	{clause: "BEAM-005", reads: []string{"beam.two", "beam"}, judge: beamRepeats},
	{clause: "BEAM-006", reads: []string{"beam.two", "beam.n2"}, judge: beamsDiffer},
	{clause: "BEAM-007", reads: []string{"beam.two", "beam", "beam.greedy"}, judge: beamBeatsGreedy},
	{clause: "BEAM-008", reads: []string{"beam.two", "beam.top_p"}, endpoint: true, judge: beamTopP},
	{clause: "BEAM-009", reads: []string{"beam.two", "beam.stream"}, judge: beamStream},
	{clause: "BEAM-010", reads: []string{"beam.off"}, endpoint: true, judge: equalsControl("beam.off", "use_beam_search false")},
	{clause: "BEAM-011", reads: []string{"beam.two", "beam.n2.alone"}, endpoint: true, judge: beamN},
}

// hasBeams is whether the target answers a correct beam search. One that
// refuses it by name lacks it and says so (C53): then no clause on beams but
// BEAM-004 can be shown.
func (c *Case) hasBeams() bool {
	for _, r := range c.replies {
		if r.probe != "beam.two" {
			continue
		}
		if r.refused() && r.names("use_beam_search") {
			c.settle("unsupported", "the target refuses use_beam_search: "+shorten(r.message(), 120))
			return false
		}
		return r.ok() || r.Response != nil
	}
	c.inconclusive("the beam search probe was not answered")
	return false
}

func beamRefused(probe, why string) func(*Case) {
	return func(c *Case) {
		if c.hasBeams() {
			mustRefuse(probe, why)(c)
		}
	}
}

// beamAnswered fails a target that takes use_beam_search without effect: one
// that lets what beam search forbids pass, and answers like greedy.
func beamAnswered(c *Case) {
	for _, r := range c.sent("beam.two") {
		switch {
		case r.ok():
			c.countChoices(r, 1)
		case r.refused() && r.names("use_beam_search"):
			c.note("refused by name: the engine has no beam search (C53)")
			return
		default:
			c.fail(r, "status", "200, or 400 or 422 that names use_beam_search", r.statusLine())
			return
		}
	}
	for _, name := range []string{"beam.one", "beam.warm", "beam.default"} {
		if r := first(c.sent(name)); r == nil || !r.ok() || len(r.choices()) == 0 {
			return // it looks at what goes with use_beam_search
		}
	}
	greedy := c.greedyTwin()
	for _, b := range c.answers("beam") {
		if greedy != nil && c.Facts.Repeatable && b.firstText() == greedy.firstText() {
			c.fail(b, "choices.0", "a beam search, or a refusal that names use_beam_search", "the greedy text, and all that beam search forbids is let pass: the parameter has no effect")
			return
		}
	}
}

func (c *Case) greedyTwin() *reply { return first(c.answers("beam.greedy")) }

func beamRepeats(c *Case) {
	if !c.hasBeams() {
		return
	}
	rs := c.answers("beam")
	for _, r := range rs[min(1, len(rs)):] {
		if r.firstText() != rs[0].firstText() {
			c.fail(r, textPath[c.Route], strconv.Quote(shorten(rs[0].firstText(), 60))+", as in "+rs[0].ID, strconv.Quote(shorten(r.firstText(), 60)))
		}
	}
}

func beamsDiffer(c *Case) {
	if !c.hasBeams() {
		return
	}
	for _, r := range c.answers("beam.n2") {
		ch := r.choices()
		if len(ch) != 2 {
			c.fail(r, "choices", "2 choices", fmt.Sprintf("%d", len(ch)))
			continue
		}
		_, a, okA := logprobs(ch[0])
		_, b, okB := logprobs(ch[1])
		if r.text(ch[0]) == r.text(ch[1]) && (!okA || !okB || fmt.Sprint(a) == fmt.Sprint(b)) {
			c.fail(r, "choices.1", "another sequence than choices.0", strconv.Quote(shorten(r.text(ch[1]), 60)))
		}
	}
	c.ordered("beam.n2")
}

// beamBeatsGreedy compares the sums of log probabilities of the best beam and
// of the greedy answer, both of the same number of tokens.
func beamBeatsGreedy(c *Case) {
	if !c.hasBeams() || !c.repeatable() {
		return
	}
	greedy := c.greedyTwin()
	for _, r := range c.answers("beam") {
		if greedy == nil || len(r.choices()) == 0 || len(greedy.choices()) == 0 {
			return
		}
		g, _, okG := logprobs(greedy.choices()[0])
		b, _, okB := logprobs(r.choices()[0])
		if !okG || !okB || len(g) != len(b) {
			c.inconclusive("the two answers do not both carry log probabilities for the same number of tokens")
			return
		}
		if sum(b) < sum(g)-1e-2 {
			c.fail(r, "choices.0.logprobs", fmt.Sprintf("at least %.3f, the log probability of the greedy answer", sum(g)), fmt.Sprintf("%.3f", sum(b)))
		}
	}
}

func beamTopP(c *Case) {
	if !c.hasBeams() {
		return
	}
	for _, r := range c.sent("beam.top_p") {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case r.ok():
			c.note("accepted")
		default:
			c.fail(r, "status", "200, 400 or 422", r.statusLine())
		}
	}
}

func beamStream(c *Case) {
	if c.hasBeams() {
		notTokenWise("beam.stream")(c)
	}
}

func beamN(c *Case) {
	if !c.hasBeams() {
		return
	}
	for _, r := range c.sent("beam.n2.alone") {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case r.ok() && len(r.choices()) == 2:
			c.note("accepted as best_of 2")
		default:
			c.fail(r, "status", "2 choices, 400 or 422", r.statusLine())
		}
	}
}
