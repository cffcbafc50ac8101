package suites

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// detRules judge determinism, defaults and isolation (DET).
var detRules = []rule{
	{clause: "DET-001", reads: []string{"det", "det.alive"}, all: true, judge: greedyRepeats},
	{clause: "DET-002", reads: []string{"det"}, judge: sameAs("det", "top_p", "top_p has no effect at temperature 0")},
	{clause: "DET-003", reads: []string{"det", "beam.off"}, judge: defaultsChangeNothing},
	{clause: "DET-004", reads: []string{"det"}, judge: sameAs("det", "null", "null means absent")},
	{clause: "DET-005", reads: []string{"det"}, judge: both(
		sameAs("det", "reversed", "the order of members has no meaning"),
		sameAs("det", "indented", "white space has no meaning"))},
	{clause: "DET-006", reads: []string{"length"}, judge: fewerBeginMore},
	{clause: "DET-007", reads: []string{"seeds"}, judge: seedRepeats},
	{clause: "DET-008", reads: []string{"seeds"}, judge: seedsDiffer},
	{clause: "DET-009", reads: plain, all: true, judge: fingerprintStays},
	{clause: "DET-010", reads: []string{"n3", "best_of.candidates"}, judge: choicesDiffer},
	{clause: "DET-011", reads: []string{"det.first", "det.draw"}, judge: temperatureOne},
	{clause: "DET-012", reads: []string{"det"}, judge: sameAs("det", "tiny top_p", "a tiny top_p takes the most likely token")},
	{clause: "DET-013", reads: []string{"det.parallel"}, judge: nothingMixed},
	{clause: "DET-014", reads: []string{"det.history"}, judge: nothingRemembered},
	{clause: "DET-015", reads: []string{"det.long"}, judge: penaltyActs},
	{clause: "DET-016", reads: []string{"det.alive"}, judge: connectionsAlike},
	{clause: "DET-017", reads: []string{"det.path"}, endpoint: true, judge: pathsAlike},
}

// greedyRepeats compares all answers to equal bodies at temperature 0.
func greedyRepeats(c *Case) {
	known := map[string]*reply{}
	again := 0
	for _, r := range c.allAnswers() {
		if !r.greedy() || len(r.choices()) == 0 {
			continue
		}
		a := known[string(r.Request.Body)]
		if a == nil {
			known[string(r.Request.Body)] = r
			continue
		}
		if again++; a.firstText() != r.firstText() {
			c.fail(r, textPath[c.Route], strconv.Quote(around(a.firstText(), r.firstText()))+", as in "+a.ID, strconv.Quote(around(r.firstText(), a.firstText())))
		}
	}
	if again == 0 {
		c.inconclusive("no greedy request was answered twice")
	}
}

// sameAs expects the answer to the control request.
func sameAs(probe, label, why string) func(*Case) {
	return func(c *Case) {
		if !c.repeatable() {
			return
		}
		switch r := c.labelled(probe, label); {
		case r == nil:
		case !r.ok():
			c.fail(r, "status", "200: "+why, r.statusLine())
		default:
			c.wantText(r, c.Facts.Capped, why)
		}
	}
}

func defaultsChangeNothing(c *Case) {
	if !c.repeatable() {
		return
	}
	compared := 0
	for _, r := range c.replies {
		if (r.probe != "det" || !strings.HasPrefix(r.label, "default")) && r.probe != "beam.off" || r.unanswered() != "" {
			continue
		}
		c.look(r)
		sent := slices.DeleteFunc(r.members(), func(name string) bool { return r.required(name) })
		what := strings.Join(sent, ", ")
		switch {
		case r.refused() && r.names(sent...):
			c.note("of %s one is refused by name", what)
		case !r.ok():
			c.fail(r, "status", "200: "+what+" at the default", r.statusLine())
		default:
			compared++
			c.wantText(r, c.Facts.Capped, what+" at the default")
		}
	}
	if compared == 0 {
		c.inconclusive("no parameter was accepted with its default")
	}
}

// members are the names of a request's members, in order.
func (r *reply) members() []string {
	var out []string
	r.req.ForEach(func(k, _ gjson.Result) bool { out = append(out, k.Str); return true })
	return out
}

// required is whether a member is one of those that every greedy request has.
func (r *reply) required(name string) bool {
	return slices.Contains([]string{"prompt", "messages", "model", "temperature", "max_tokens"}, name)
}

func fewerBeginMore(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, r := range c.answers("length") {
		if got := strings.TrimRight(r.firstText(), "\uFFFD"); !strings.HasPrefix(c.Facts.Long.Answer, got) || got == "" {
			c.fail(r, textPath[c.Route], "a beginning of "+strconv.Quote(around(c.Facts.Long.Answer, got)), strconv.Quote(around(got, c.Facts.Long.Answer)))
		}
	}
}

// choicesDiffer asks whether equal choices can be chance: the probability of
// a choice, by its log probabilities, bounds that of drawing it again.
func choicesDiffer(c *Case) {
	var equal *reply
	chance := true
	for _, p := range []string{"n3", "best_of.candidates"} {
		for _, r := range c.answers(p) {
			cs := r.choices()
			if len(cs) < 2 {
				continue
			}
			for _, ch := range cs[1:] {
				if r.text(ch) != r.text(cs[0]) {
					return // drawn each for itself
				}
			}
			lps, _, ok := logprobs(cs[0])
			if ok && !repeatedByChance(sum(lps), len(cs)) {
				equal, chance = r, false
			}
		}
	}
	if chance {
		c.inconclusive("all choices are equal, which may be chance: log probabilities do not show that it has less than %g", byChance)
		return
	}
	c.fail(equal, "choices", fmt.Sprintf("choices drawn each for itself (that all are equal has a probability below %g)", byChance),
		strconv.Quote(shorten(equal.text(equal.choices()[0]), 60))+" in all of them")
}

func seedRepeats(c *Case) {
	var one *reply
	for _, r := range c.answers("seeds") {
		switch {
		case r.number("seed", 0) != firstSeed:
		case one == nil:
			one = r
		case r.firstText() != one.firstText():
			c.fail(r, textPath[c.Route], strconv.Quote(around(one.firstText(), r.firstText()))+", as in "+one.ID+" with the same seed", strconv.Quote(around(r.firstText(), one.firstText())))
		}
	}
}

func seedsDiffer(c *Case) {
	seen := map[int]*reply{}
	for _, r := range c.answers("seeds") {
		seen[r.number("seed", 0)] = r
	}
	if len(seen) < seeds {
		c.inconclusive("%d of %d seeds were answered", len(seen), seeds)
		return
	}
	one := seen[firstSeed]
	for _, r := range seen {
		if r.firstText() != one.firstText() {
			return
		}
	}
	lps, _, ok := logprobs(one.choices()[0])
	if !ok || repeatedByChance(sum(lps), seeds) {
		c.inconclusive("all %d answers are equal, which may be chance: log probabilities do not show that it has less than %g", seeds, byChance)
		return
	}
	c.fail(one, textPath[c.Route], fmt.Sprintf("other answers to other seeds (that %d are equal has a probability below %g)", seeds, byChance), strconv.Quote(shorten(one.firstText(), 60))+" to all of them")
}

func fingerprintStays(c *Case) {
	var one *reply
	for _, r := range c.everyAnswer() {
		v := r.fingerprint()
		switch {
		case v == "":
		case one == nil:
			one = r
		case v != one.fingerprint():
			c.fail(r, "system_fingerprint", strconv.Quote(one.fingerprint())+", as in "+one.ID, strconv.Quote(v))
		}
	}
	if one == nil {
		c.note("no system_fingerprint")
	}
}

// fingerprint is the first system_fingerprint of an answer, "" for none.
func (r *reply) fingerprint() string {
	if v := r.doc.Get("system_fingerprint"); v.Str != "" {
		return v.Str
	}
	for _, ck := range r.chunks {
		if v := ck.doc.Get("system_fingerprint"); v.Str != "" {
			return v.Str
		}
	}
	return ""
}

// firstTop is the distribution of the first token of an answer. Tokens that
// share a text (what is not shown, parts of characters) are left out.
func (r *reply) firstTop() map[string]float64 {
	out := map[string]float64{}
	defer maps.DeleteFunc(out, func(token string, _ float64) bool { return token == "" || strings.Contains(token, "\uFFFD") })
	for _, ch := range r.choices() {
		for token, v := range ch.Get("logprobs.top_logprobs.0").Map() {
			out[token] = v.Num
		}
		for _, v := range ch.Get("logprobs.content.0.top_logprobs").Array() {
			out[v.Get("token").String()] = v.Get("logprob").Num
		}
	}
	return out
}

// near is whether two distributions agree where both speak.
func near(a, b map[string]float64) bool {
	both := 0
	for k, v := range a {
		if w, ok := b[k]; ok {
			if both++; math.Abs(v-w) > 0.02 {
				return false
			}
		}
	}
	return both > 0
}

// temperatureOne reads the default from log probabilities where they follow
// the temperature, and from drawn tokens where they do not.
func temperatureOne(c *Case) {
	one, cold, without := c.answeredAs("det.first", "1"), c.answeredAs("det.first", "0.7"), c.answeredAs("det.first", "default")
	if one == nil || cold == nil || without == nil {
		return
	}
	p := one.firstTop()
	if len(p) < 2 || len(cold.firstTop()) < 2 || len(without.firstTop()) < 2 {
		c.inconclusive("an answer carries no log probabilities of alternatives (LOG-002)")
		return
	}
	if !near(p, cold.firstTop()) { // they follow the temperature
		switch q := without.firstTop(); {
		case near(p, q):
			c.note("log probabilities are those of temperature 1")
		case near(cold.firstTop(), q):
			c.fail(without, "choices.0.logprobs", "the distribution at temperature 1", "that at 0.7")
		default:
			c.fail(without, "choices.0.logprobs", "the distribution at temperature 1", "another one")
		}
		return
	}
	var tokens []string
	var last *reply
	for _, r := range c.answers("det.draw") {
		last = r
		for _, ch := range r.choices() {
			tokens = append(tokens, r.text(ch))
		}
	}
	ratio, used := logRatio(tokens, tempered(p, 1), tempered(p, 0.7))
	switch wald(ratio) {
	case 1:
		c.note("%d drawn tokens speak for temperature 1, %.0f to 1", used, math.Exp(ratio))
	case -1:
		c.fail(last, "choices", fmt.Sprintf("tokens drawn at temperature 1 (%d were drawn)", used), fmt.Sprintf("tokens that speak for 0.7, %.0f to 1", math.Exp(-ratio)))
	default:
		c.inconclusive("%d drawn tokens do not tell temperature 1 from 0.7 with an error rate of %g", used, errorRate)
	}
}

func nothingMixed(c *Case) {
	if !c.repeatable() {
		return
	}
	want := map[string]string{"plain": c.Facts.Capped, "short": c.Facts.Short.Answer, "long": c.Facts.Long.Answer}
	n := 0
	for _, r := range c.answers("det.parallel") {
		n++
		got := strings.TrimRight(r.firstText(), "\uFFFD")
		if w := want[r.label]; r.label == "long" && !strings.HasPrefix(w, got) || r.label != "long" && r.firstText() != w {
			c.fail(r, textPath[c.Route], strconv.Quote(around(w, got))+", the answer to this prompt", strconv.Quote(around(got, w)))
		}
	}
}

func nothingRemembered(c *Case) {
	if !c.repeatable() {
		return
	}
	a, b := c.answeredAs("det.history", "first"), c.answeredAs("det.history", "last")
	if a != nil && b != nil && a.firstText() != b.firstText() {
		c.fail(b, textPath[c.Route], strconv.Quote(shorten(a.firstText(), 60))+", as before another request came between", strconv.Quote(shorten(b.firstText(), 60)))
	}
}

func penaltyActs(c *Case) {
	if !c.repeatable() {
		return
	}
	a, b := c.labelled("det.long", "penalty 2"), c.labelled("det.long", "penalty -2")
	switch {
	case a == nil || b == nil:
	case a.refused() && a.names("presence_penalty"):
		c.settle("unsupported", "the target refuses presence_penalty: "+shorten(a.message(), 120))
	case !a.ok() || !b.ok():
		c.inconclusive("a request with presence_penalty was refused")
	case a.firstText() != b.firstText():
	case repetitive(c.Facts.Long.Answer):
		c.fail(a, textPath[c.Route], "another answer than with presence_penalty -2: the known one repeats words", "the same answer")
	default:
		c.inconclusive("the known answer repeats nothing that a penalty could act on")
	}
}

// repetitive is whether a text says many of its words again.
func repetitive(text string) bool {
	seen, again := map[string]bool{}, 0
	for _, w := range strings.Fields(text) {
		if seen[w] {
			again++
		}
		seen[w] = true
	}
	return again >= 8
}

func connectionsAlike(c *Case) {
	if !c.repeatable() {
		return
	}
	alone := c.answeredAs("det.alive", "alone")
	if alone == nil {
		return
	}
	kept := 0
	for _, r := range c.replies {
		if r.probe != "det.alive" || r.label != "kept" {
			continue
		}
		c.look(r)
		if r.Reused {
			kept++
		}
		switch {
		case r.status() == 429:
			c.inconclusive("the target was busy")
		case r.Response == nil:
			c.fail(r, "response", "an answer on the kept connection", r.Error)
		case !r.ok():
			c.fail(r, "status", "200, as on a connection of its own", r.statusLine())
		case r.firstText() != alone.firstText():
			c.fail(r, textPath[c.Route], strconv.Quote(alone.firstText())+", as on a connection of its own", strconv.Quote(shorten(r.firstText(), 60)))
		}
	}
	if kept == 0 {
		c.note("the target keeps no connection")
	} else {
		c.note("%d on kept connections", kept)
	}
}

func pathsAlike(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, r := range c.sent("det.path") {
		if !r.ok() || !r.doc.IsObject() {
			c.note("the path without /v1 is not served (HTTP %d)", r.status())
			continue
		}
		if !r.doc.Get("choices").Exists() {
			c.note("the path without /v1 is of another API")
			continue
		}
		c.wantText(r, c.Facts.Capped, "as on the path with /v1")
	}
}
