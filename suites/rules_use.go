package suites

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// useRules judge usage (USE).
var useRules = []rule{
	{clause: "USE-001", reads: plain, all: true, judge: threeCounts},
	{clause: "USE-002", reads: append([]string{"usage.stream"}, plain...), all: true, judge: totalIsSum},
	{clause: "USE-003", reads: plain, all: true, judge: withinMaxTokens},
	{clause: "USE-004", reads: plain, all: true, judge: samePromptTokens},
	{clause: "USE-005", reads: []string{"words"}, judge: longerPrompt},
	{clause: "USE-006", reads: []string{"n3"}, judge: promptOnce},
	{clause: "USE-007", reads: []string{"n3"}, judge: sumsChoices},
	{clause: "USE-008", reads: []string{"words"}, across: true, judge: templateCounts},
	{clause: "USE-009", reads: []string{"usage.stream"}, judge: streamUsage},
	{clause: "USE-010", reads: []string{"usage.stream.n"}, judge: streamUsageSums},
	{clause: "USE-011", reads: []string{"prompt.batch"}, judge: batchPrompts},
	{clause: "USE-012", reads: plain, all: true, judge: textHasTokens},
	{clause: "USE-013", reads: append([]string{"usage.stream"}, plain...), all: true, judge: detailsAgree},
	{clause: "USE-014", reads: []string{"best_of.less", "bad.stream"}, all: true, judge: refusalWithoutUsage},
}

// count is a member of usage, false where it is no number.
func (r *reply) count(name string) (int, bool) {
	v := r.doc.Get("usage." + name)
	return int(v.Int()), v.Type == gjson.Number
}

// promptOf is the prompt of a request as it was sent.
func (r *reply) promptOf() string {
	if v := r.req.Get("messages"); v.Exists() {
		return v.Raw
	}
	return r.req.Get("prompt").Raw
}

// usages lists the usage objects of an answer, streamed or not.
func (r *reply) usages() (where []string, values []gjson.Result) {
	if v := r.doc.Get("usage"); v.IsObject() {
		where, values = append(where, "usage"), append(values, v)
	}
	for _, ck := range r.chunks {
		if v := ck.doc.Get("usage"); v.IsObject() {
			where, values = append(where, fmt.Sprintf("event %d, usage", ck.event)), append(values, v)
		}
	}
	return where, values
}

func threeCounts(c *Case) {
	for _, r := range c.allAnswers() {
		for _, name := range []string{"prompt_tokens", "completion_tokens", "total_tokens"} {
			if v := r.doc.Get("usage." + name); v.Type != gjson.Number || v.Num < 0 || v.Num != float64(v.Int()) {
				c.fail(r, "usage."+name, "an integer of 0 or above", show(v))
			}
		}
	}
}

func totalIsSum(c *Case) {
	any := false
	for _, r := range c.everyAnswer() {
		where, usages := r.usages()
		for i, u := range usages {
			p, k, t := u.Get("prompt_tokens"), u.Get("completion_tokens"), u.Get("total_tokens")
			if p.Type != gjson.Number || k.Type != gjson.Number || t.Type != gjson.Number {
				continue // USE-001
			}
			any = true
			if p.Int()+k.Int() != t.Int() {
				c.fail(r, where[i]+".total_tokens", fmt.Sprintf("%d, the sum of %d and %d", p.Int()+k.Int(), p.Int(), k.Int()), show(t))
			}
		}
	}
	if !any {
		c.inconclusive("no answer tells the three counts (USE-001)")
	}
}

func withinMaxTokens(c *Case) {
	for _, r := range c.allAnswers() {
		tokens, ok := r.completionTokens()
		limit := r.number("max_tokens", 0)
		if !ok || limit < 1 || r.number("best_of", 1) > 1 {
			continue
		}
		most := limit * r.number("n", 1) * max(1, len(r.req.Get("prompt").Array()))
		if tokens > most {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("at most %d: max_tokens is %d", most, limit), strconv.Itoa(tokens))
		}
	}
}

// single is whether a request asks for one choice and adds nothing to its
// prompt.
func (r *reply) single() bool {
	return r.number("n", 1) == 1 && r.number("best_of", 1) == 1 && r.promptOf() != "" && !r.req.Get("tools").Exists() && !r.req.Get("response_format").Exists()
}

func samePromptTokens(c *Case) {
	known := map[string]*reply{}
	for _, r := range c.allAnswers() {
		n, ok := r.count("prompt_tokens")
		if !ok || !r.single() {
			continue
		}
		if n < 1 {
			if r.promptOf() != `""` { // an empty one may well have none
				c.fail(r, "usage.prompt_tokens", "above 0", strconv.Itoa(n))
			}
			continue
		}
		if a := known[r.promptOf()]; a == nil {
			known[r.promptOf()] = r
		} else if m, _ := a.count("prompt_tokens"); m != n {
			c.fail(r, "usage.prompt_tokens", fmt.Sprintf("%d, as in %s for the same prompt", m, a.ID), strconv.Itoa(n))
		}
	}
}

func longerPrompt(c *Case) {
	var last *reply
	for _, r := range c.answers("words") {
		n, ok := r.count("prompt_tokens")
		if !ok {
			c.inconclusive("usage does not count the prompt (USE-001)")
			return
		}
		if last != nil {
			if m, _ := last.count("prompt_tokens"); n <= m {
				c.fail(r, "usage.prompt_tokens", fmt.Sprintf("more than %d, that of the first half of the prompt in %s", m, last.ID), strconv.Itoa(n))
			}
		}
		last = r
	}
}

func promptOnce(c *Case) {
	for _, r := range c.answers("n3") {
		for _, one := range c.of("control") {
			n, ok := r.count("prompt_tokens")
			m, known := one.count("prompt_tokens")
			if !ok || !known {
				c.inconclusive("usage does not count the prompt (USE-001)")
				return
			}
			if one.promptOf() == r.promptOf() && n != m {
				c.fail(r, "usage.prompt_tokens", fmt.Sprintf("%d, as with n 1 in %s", m, one.ID), strconv.Itoa(n))
			}
		}
	}
}

func sumsChoices(c *Case) {
	if c.Facts.IgnoreEOS != Honoured {
		c.inconclusive("ignore_eos is %s, so the length of the choices is not known", c.Facts.IgnoreEOS)
		return
	}
	for _, r := range c.answers("n3") {
		want := len(r.choices()) * r.number("max_tokens", 0)
		if n, ok := r.completionTokens(); !ok {
			c.inconclusive("usage does not count the tokens (USE-001)")
		} else if n != want {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d: %d choices of max_tokens each", want, len(r.choices())), strconv.Itoa(n))
		}
	}
}

// templateCounts compares the prompts of the probe on both routes. Where both
// answer all of them alike there may be no template to count.
func templateCounts(c *Case) {
	bare := map[string]*reply{}
	for _, r := range c.elsewhere[schemas.Completions] {
		if r.probe == "words" && r.ok() {
			bare[r.req.Get("prompt").String()] = r
		}
	}
	if len(bare) == 0 {
		c.inconclusive("the completions route, which has no template, is not there to compare with")
		return
	}
	alike := true
	for _, r := range c.answers("words") {
		other := bare[r.req.Get("messages.0.content").String()]
		alike = alike && other != nil && other.firstText() == r.firstText()
	}
	if alike {
		c.inconclusive("both routes answer the same text alike: no template shows")
		return
	}
	for _, r := range c.answers("words") {
		other := bare[r.req.Get("messages.0.content").String()]
		if other == nil {
			continue
		}
		n, _ := r.count("prompt_tokens")
		m, ok := other.count("prompt_tokens")
		if !ok {
			c.inconclusive("usage does not count the prompt (USE-001)")
		} else if n <= m {
			c.fail(r, "usage.prompt_tokens", fmt.Sprintf("more than %d, that of the bare text in %s", m, other.ID), strconv.Itoa(n))
		}
	}
}

// lastUsage is the last usage that a stream tells; not Exists() if none.
func (r *reply) lastUsage() gjson.Result {
	if _, us := r.usages(); len(us) > 0 {
		return us[len(us)-1]
	}
	return gjson.Result{}
}

func streamUsage(c *Case) {
	told := false
	for _, s := range c.streams("usage.stream") {
		u := s.lastUsage()
		if !u.Exists() {
			continue
		}
		told = true
		for _, p := range c.of("control") {
			if s.streamText(0) != p.firstText() {
				c.inconclusive("the stream says something else than the plain answer (STR-018)")
				return
			}
			for _, name := range []string{"prompt_tokens", "completion_tokens", "total_tokens"} {
				want := p.doc.Get("usage." + name)
				if want.Type == gjson.Number && want.Raw != u.Get(name).Raw {
					c.fail(s, "usage."+name, show(want)+", as in "+p.ID, show(u.Get(name)))
				}
			}
		}
	}
	if !told {
		c.note("no stream tells usage")
	}
}

func streamUsageSums(c *Case) {
	for _, s := range c.streams("usage.stream.n") {
		u := s.lastUsage()
		indices, _ := s.byIndex()
		var reasons []string
		for _, i := range indices {
			reasons = append(reasons, s.finish(i))
		}
		limit := s.number("max_tokens", 0)
		switch {
		case !u.Exists():
			c.note("no stream tells usage")
		case strings.Count(strings.Join(reasons, " "), "length") != s.number("n", 1):
			c.inconclusive("not every choice reached max_tokens, so the sum is not known")
		case u.Get("completion_tokens").Int() != int64(limit*len(indices)):
			c.fail(s, "usage.completion_tokens", fmt.Sprintf("%d: %d choices of %d tokens", limit*len(indices), len(indices), limit), show(u.Get("completion_tokens")))
		}
	}
}

func batchPrompts(c *Case) {
	want := 0
	for _, label := range []string{"first", "second", "batch"} {
		r := c.answeredAs("prompt.batch", label)
		if r == nil {
			return
		}
		n, ok := r.count("prompt_tokens")
		switch {
		case !ok:
			c.inconclusive("usage does not count the prompt (USE-001)")
			return
		case label != "batch":
			want += n
		case n != want:
			c.fail(r, "usage.prompt_tokens", fmt.Sprintf("%d, the sum of both prompts alone", want), strconv.Itoa(n))
		}
	}
}

// detailsAgree compares the details of usage with what they are details of.
func detailsAgree(c *Case) {
	any := false
	for _, r := range c.everyAnswer() {
		where, usages := r.usages()
		for i, u := range usages {
			for _, d := range [][2]string{{"prompt_tokens_details.cached_tokens", "prompt_tokens"}, {"completion_tokens_details.reasoning_tokens", "completion_tokens"}} {
				part, whole := u.Get(d[0]), u.Get(d[1])
				if !part.Exists() || part.Type == gjson.Null {
					continue
				}
				any = true
				if part.Type != gjson.Number || part.Int() < 0 || part.Int() > whole.Int() {
					c.fail(r, where[i]+"."+d[0], "0 to "+show(whole)+", that of "+d[1], show(part))
				}
			}
		}
	}
	if !any {
		c.note("no usage has details")
	}
}

func textHasTokens(c *Case) {
	for _, r := range c.allAnswers() {
		if n, ok := r.completionTokens(); ok && n < 1 && r.firstText() != "" {
			c.fail(r, "usage.completion_tokens", "at least 1: there is text", strconv.Itoa(n))
		}
	}
}

func refusalWithoutUsage(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.status() >= 400 && r.doc.Exists() }, "nothing was refused") {
		if v := r.doc.Get("usage"); v.Exists() && v.Type != gjson.Null {
			c.fail(r, "usage", "absent: nothing was generated", show(v))
		}
	}
}
