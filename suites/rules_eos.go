package suites

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// eosRules judge the end of a sequence (EOS).
var eosRules = []rule{
	{clause: "EOS-001", reads: []string{"eos.default"}, judge: falseEnds},
	{clause: "EOS-002", reads: []string{"cap1"}, all: true, judge: exactlyMaxTokens},
	{clause: "EOS-003", reads: []string{"eos.default"}, judge: eosDefault},
	{clause: "EOS-004", reads: []string{"flags.quoted"}, judge: textIsFalse},
	{clause: "EOS-005", reads: []string{"stop", "stop_ids"}, judge: stopsInForce},
	{clause: "EOS-006", judge: falseBeginsTrue},
	{clause: "EOS-007", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.labelled("extra", "ignore_eos"); r != nil {
			c.wantRefusal(r, "ignore_eos is an extra parameter (C48)")
		}
		c.wantOK("extra", "pass known", "ignore_eos is passed through") // EXT-004 looks at its effect
	}},
}

// of returns the answered replies to the calibration requests of a name.
func (c *Case) of(name string) []*reply {
	var out []*reply
	for _, r := range c.replies {
		if r.probe == name && r.ok() && len(r.choices()) > 0 {
			out = append(out, r)
		}
	}
	return c.look(out...)
}

// ended is whether an answer ended by itself.
func (r *reply) ended() bool {
	n, _ := r.completionTokens()
	return r.doc.Get("choices.0.finish_reason").Str == "stop" && n < r.number("max_tokens", 0)
}

func falseEnds(c *Case) {
	if c.Facts.IgnoreEOS == Refused {
		c.settle("unsupported", "the target refuses ignore_eos")
		return
	}
	if c.Facts.Short.known() {
		for _, r := range c.of("short") {
			if strings.Contains(string(r.Request.Body), strconv.Quote(c.Facts.Short.Prompt)) && !r.ended() {
				c.fail(r, "choices.0.finish_reason", `"stop" and fewer than max_tokens tokens`, show(r.doc.Get("choices.0.finish_reason")))
			}
		}
		return
	}
	without := c.answeredAs("eos.default", "plain")
	if without == nil {
		return
	}
	if without.ended() {
		for _, r := range c.of("short") {
			if sameBut(r, without, "ignore_eos") && r.firstText() != without.firstText() {
				c.fail(r, "choices.0.finish_reason", `"stop", as without ignore_eos in `+without.ID, show(r.doc.Get("choices.0.finish_reason")))
				return
			}
		}
	}
	c.inconclusive("no prompt is known whose answer ends by itself (K3)")
}

// sameBut is whether two requests differ at most in one member.
func sameBut(a, b *reply, name string) bool {
	members := func(r *reply) map[string]string {
		m := map[string]string{}
		r.req.ForEach(func(k, v gjson.Result) bool {
			if k.Str != name {
				m[k.Str] = v.Raw
			}
			return true
		})
		return m
	}
	x, y := members(a), members(b)
	if len(x) != len(y) {
		return false
	}
	for k, v := range x {
		if y[k] != v {
			return false
		}
	}
	return true
}

func exactlyMaxTokens(c *Case) {
	if c.Facts.IgnoreEOS == Refused {
		c.settle("unsupported", "the target refuses ignore_eos")
		return
	}
	any := false
	for _, r := range c.allAnswers() {
		limit := r.number("max_tokens", 0)
		if v := r.req.Get("ignore_eos"); v.Raw != "true" || limit < 1 || r.req.Get("stop").Exists() || len(r.req.Get("stop_token_ids").Array()) > 0 || r.number("best_of", 1) > 1 {
			continue
		}
		tokens, ok := r.completionTokens()
		if !ok {
			continue // USE-001
		}
		any = true
		if tokens != limit && len(r.choices()) == 1 { // how usage counts several is the matter of USE-007
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d, max_tokens", limit), strconv.Itoa(tokens))
		}
		for i, ch := range r.choices() {
			if got := ch.Get("finish_reason"); got.Str != "length" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), `"length"`, show(got))
			}
		}
	}
	if !any {
		c.inconclusive("no answer with ignore_eos counts its tokens (USE-001)")
	}
}

func eosDefault(c *Case) {
	plain, streamed := c.answeredAs("eos.default", "plain"), c.labelled("eos.default", "stream")
	if plain == nil || streamed == nil || !c.repeatable() {
		return
	}
	if !c.Facts.Short.known() {
		c.inconclusive("no prompt is known whose answer ends by itself (K3)")
		return
	}
	if streamed.ok() && streamed.stream != nil && streamed.streamText(0) != plain.firstText() {
		c.fail(streamed, "the text of all chunks", strconv.Quote(around(plain.firstText(), streamed.streamText(0)))+", as without stream",
			strconv.Quote(around(streamed.streamText(0), plain.firstText())))
	}
	switch {
	case plain.ended():
		c.note("false where it is not sent")
		if c.Profile == schemas.Paper && c.Facts.IgnoreEOS == Honoured {
			c.fail(plain, "choices.0.finish_reason", `"length": the document's default is True`, `"stop"`)
		}
	case c.Facts.IgnoreEOS == Honoured:
		c.note("true where it is not sent")
	}
}

func textIsFalse(c *Case) {
	if r := c.labelled("flags.quoted", "false"); r != nil {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "400, 422 or the answer with false", r.statusLine())
		case c.repeatable():
			c.wantText(r, c.Facts.Short.Answer, `"false" means false, or is refused`)
			c.note("read as false")
		}
	}
}

func stopsInForce(c *Case) {
	if c.Facts.IgnoreEOS != Honoured {
		c.inconclusive("ignore_eos is %s", c.Facts.IgnoreEOS)
		return
	}
	for _, r := range c.answers("stop") {
		if r.firstText() == c.Facts.Long.Answer {
			c.fail(r, textPath[c.Route], "an end at the stop string", "the whole answer")
		}
	}
	if c.honoured("stop_ids") && c.firedIDs() == nil {
		c.inconclusive("no stop token ends an answer, with ignore_eos or without (STP-014)")
	}
}

func falseBeginsTrue(c *Case) {
	if !c.repeatable() {
		return
	}
	if !c.Facts.Short.known() || c.Facts.IgnoreEOS != Honoured {
		c.inconclusive("no answer is known that goes on where ignore_eos says so (K7)")
		return
	}
	for _, r := range c.of("short.endless") {
		if !strings.HasPrefix(r.firstText(), c.Facts.Short.Answer) {
			c.fail(r, textPath[c.Route], strconv.Quote(around(c.Facts.Short.Answer, r.firstText()))+", as with ignore_eos false", strconv.Quote(around(r.firstText(), c.Facts.Short.Answer)))
		}
	}
}
