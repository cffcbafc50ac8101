package suites

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// finRules judge why an answer ended (FIN).
var finRules = []rule{
	{clause: "FIN-001", reads: append([]string{"greedy.stream"}, plain...), all: true, judge: knownReasons},
	{clause: "FIN-002", reads: append([]string{"greedy.stream"}, plain...), all: true, judge: listedReasons},
	{clause: "FIN-003", reads: plain, all: true, judge: lengthMeansCapped},
	{clause: "FIN-004", reads: []string{"stop"}, all: true, judge: stopWithinCap},
	{clause: "FIN-005", reads: []string{"cap1"}, judge: oneTokenIsLength},
	{clause: "FIN-006", reads: []string{"stop", "stop.stream"}, judge: stopStringIsStop},
	{clause: "FIN-007", reads: []string{"stop.last"}, judge: stopOnLastToken},
	{clause: "FIN-008", judge: naturalEnd},
	{clause: "FIN-009", reads: []string{"cap1"}, all: true, judge: ignoreEOSNeverStops},
	{clause: "FIN-010", reads: []string{"context"}, judge: contextIsLength},
	{clause: "FIN-011", reads: []string{"reasons"}, judge: ownReason},
	{clause: "FIN-012", reads: append([]string{"greedy.stream"}, plain...), all: true, judge: neverEmptyReason},
	{clause: "FIN-013", reads: []string{"tools"}, judge: func(c *Case) {
		for _, name := range toolNames {
			r := c.answeredAs("tools", name)
			if r == nil {
				continue
			}
			switch got := r.doc.Get("choices.0.finish_reason"); {
			case len(r.calls()) == 0:
				c.inconclusive("no tool was called (TOO-007)")
			case got.Str != "tool_calls" && got.Str != "length":
				c.fail(r, "choices.0.finish_reason", `"tool_calls"`, show(got))
			}
		}
	}},
	{clause: "FIN-014", reads: []string{"short.stream", "long.stream", "greedy.stream", "stop", "stop.stream"}, judge: sameReason},
}

// reasons lists every finish_reason of an answer, streamed or not, with where
// it stood; null is left out.
func (r *reply) reasons() (where []string, values []gjson.Result) {
	for i, ch := range r.choices() {
		if v := ch.Get("finish_reason"); v.Exists() && v.Type != gjson.Null {
			where, values = append(where, fmt.Sprintf("choices.%d.finish_reason", i)), append(values, v)
		}
	}
	for _, ck := range r.chunks {
		for i, ch := range ck.doc.Get("choices").Array() {
			if v := ch.Get("finish_reason"); v.Exists() && v.Type != gjson.Null {
				where, values = append(where, fmt.Sprintf("event %d, choices.%d.finish_reason", ck.event, i)), append(values, v)
			}
		}
	}
	return where, values
}

func (c *Case) allReasons(check func(r *reply, where string, v gjson.Result)) {
	for _, r := range c.everyAnswer() {
		where, values := r.reasons()
		for i := range values {
			check(r, where[i], values[i])
		}
	}
}

func knownReasons(c *Case) {
	known := []string{"stop", "length", "content_filter", "content_filter_error"}
	c.allReasons(func(r *reply, where string, v gjson.Result) {
		if v.Raw == `""` {
			return // FIN-012
		}
		if v.Type != gjson.String || !slices.Contains(known, v.Str) {
			c.fail(r, where, "one of "+strings.Join(known, ", "), show(v))
		}
	})
}

// listedReasons is knownReasons by the lists of Azure and OpenAI. Azure's is open
// (C19): more is a finding under strict alone.
func listedReasons(c *Case) {
	known := []string{"stop", "length", "content_filter", "tool_calls"}
	if c.dialect() == DialectOpenAI {
		known = append(known, "function_call")
	}
	c.allReasons(func(r *reply, where string, v gjson.Result) {
		switch {
		case v.Raw == `""` || slices.Contains(known, v.Str): // "" is the matter of FIN-012
		case v.Type == gjson.String && c.dialect() == DialectAzureInference && c.Profile != schemas.Strict:
			c.note("the reason %s", v.Raw)
		default:
			c.fail(r, where, "one of "+strings.Join(known, ", "), show(v))
		}
	})
}

func neverEmptyReason(c *Case) {
	c.allReasons(func(r *reply, where string, v gjson.Result) {
		if v.Raw == `""` {
			c.fail(r, where, "a reason, or null while the answer goes on", `""`)
		}
	})
}

// single calls f with each plain answer that has one choice and counts its
// tokens.
func (c *Case) single(f func(r *reply, reason string, tokens, limit int)) {
	any := false
	for _, r := range c.allAnswers() {
		tokens, ok := r.completionTokens()
		if len(r.choices()) != 1 || r.number("best_of", 1) > 1 || !ok || r.number("max_tokens", 0) < 1 { // none, or one that was to be refused (REQ-039)
			continue
		}
		any = true
		f(r, r.choices()[0].Get("finish_reason").String(), tokens, r.number("max_tokens", 0))
	}
	if !any {
		c.inconclusive("no answer counts its tokens in usage")
	}
}

// lengthMeansCapped lets the end of the context pass. Where its length is not
// known, an answer that another one outgrew cannot have reached it.
func lengthMeansCapped(c *Case) {
	total := func(r *reply, tokens int) int { return int(r.doc.Get("usage.prompt_tokens").Int()) + tokens }
	context := c.Facts.Context
	if context == 0 {
		c.single(func(r *reply, _ string, tokens, _ int) { context = max(context, total(r, tokens)) })
	}
	c.single(func(r *reply, reason string, tokens, limit int) {
		if reason == "length" && tokens != limit && total(r, tokens) < context {
			c.fail(r, "choices.0.finish_reason", fmt.Sprintf("length only at %d tokens, the cap", limit), fmt.Sprintf("length after %d tokens", tokens))
		}
	})
}

func stopWithinCap(c *Case) {
	c.single(func(r *reply, reason string, tokens, limit int) {
		if reason == "stop" && tokens > limit {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("at most %d, the cap, with finish_reason stop", limit), strconv.Itoa(tokens))
		}
	})
}

func oneTokenIsLength(c *Case) {
	for _, r := range c.answers("cap1") {
		for i, ch := range r.choices() {
			if v := ch.Get("finish_reason"); v.String() != "length" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "length: one token was allowed and EOS is ignored", show(v))
			}
		}
	}
}

func stopStringIsStop(c *Case) {
	for _, r := range c.answers("stop") {
		for i, ch := range r.choices() {
			if v := ch.Get("finish_reason"); v.String() != "stop" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "stop: the stop string occurs in the known answer", show(v))
			}
		}
	}
}

func stopOnLastToken(c *Case) {
	for _, r := range c.answers("stop.last") {
		stop := r.req.Get("stop").String()
		for i, ch := range r.choices() {
			reason := ch.Get("finish_reason")
			if reason.String() != "stop" && reason.String() != "length" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "stop or length", show(reason))
			}
			if strings.Contains(r.text(ch), stop) {
				c.fail(r, fmt.Sprintf("choices.%d.%s", i, textPath[c.Route]), "the text without "+strconv.Quote(stop), strconv.Quote(shorten(r.text(ch), 120)))
			}
			c.note("finish_reason %s", reason.String())
		}
	}
}

func naturalEnd(c *Case) {
	if why := needShort(c.Facts); why != "" {
		c.inconclusive("%s", why)
		return
	}
	if c.Facts.IgnoreEOS == Refused {
		c.settle("unsupported", "the target refuses ignore_eos")
		return
	}
	for _, r := range c.answers("short") {
		if tokens, ok := r.completionTokens(); !ok || tokens >= r.number("max_tokens", 0) {
			continue
		}
		for i, ch := range r.choices() {
			if v := ch.Get("finish_reason"); v.String() != "stop" {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "stop: the answer ended by itself", show(v))
			}
		}
	}
}

func ignoreEOSNeverStops(c *Case) {
	if c.Facts.IgnoreEOS == Refused {
		c.settle("unsupported", "the target refuses ignore_eos")
		return
	}
	for _, r := range c.every(func(r *reply) bool {
		return r.ok() && r.req.Get("ignore_eos").Bool() && !r.req.Get("stop").Exists() && len(r.req.Get("stop_token_ids").Array()) == 0 && (r.doc.IsObject() || len(r.chunks) > 0)
	}, "no answer with ignore_eos came") {
		where, values := r.reasons()
		for i, v := range values {
			if v.String() == "stop" {
				c.fail(r, where[i], "never stop: EOS is ignored and no stop was given", show(v))
			}
		}
	}
}

func contextIsLength(c *Case) {
	for _, r := range c.sent("context") {
		if !r.ok() {
			c.fail(r, "status", fmt.Sprintf("200: prompt and max_tokens fill the context of %d exactly", c.Facts.Context), fmt.Sprintf("%d %s", r.status(), shorten(r.message(), 120)))
			continue
		}
		tokens, counted := r.completionTokens()
		for i, ch := range r.choices() {
			v := ch.Get("finish_reason")
			switch {
			case v.String() == "length":
			case v.String() == "stop" && c.Facts.IgnoreEOS != Honoured && (!counted || tokens < r.number("max_tokens", 0)):
				c.inconclusive("the answer ended by itself before the end of the context")
			default:
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "length: the answer reached the end of the context", show(v))
			}
		}
	}
}

// ownReason compares each choice's reason with its own length in tokens, which
// its log probabilities count. An end-of-sequence token may be missing there.
func ownReason(c *Case) {
	stopped, cappedToo := false, false
	for _, r := range c.answers("reasons") {
		limit := r.number("max_tokens", 0)
		for i, ch := range r.choices() {
			lps, _, ok := logprobs(ch)
			if !ok && r.text(ch) != "" {
				c.inconclusive("the choices carry no log probabilities, so nothing counts the tokens of each")
				return
			}
			reason, n := ch.Get("finish_reason").String(), len(lps)
			stopped, cappedToo = stopped || n < limit-1, cappedToo || n == limit
			where := fmt.Sprintf("choices.%d.finish_reason", i)
			if n < limit-1 && reason == "length" {
				c.fail(r, where, fmt.Sprintf("stop: this choice ended after %d of %d tokens", n, limit), "length")
			}
			if n == limit && reason == "stop" && i > 0 && r.choices()[0].Get("finish_reason").String() == "stop" && !endsHere(r, ch) {
				c.fail(r, where, fmt.Sprintf("length: this choice reached the cap of %d tokens", limit), "stop")
			}
		}
	}
	if !stopped || !cappedToo {
		c.inconclusive("all samples ended the same way")
	}
}

// endsHere is whether the last reported token of a choice adds no text, as an
// end-of-sequence token does: such a choice may well say stop at the cap.
func endsHere(r *reply, choice gjson.Result) bool {
	_, tokens, _ := logprobs(choice)
	if len(tokens) == 0 {
		return false
	}
	last := tokens[len(tokens)-1]
	return last == "" || !strings.HasSuffix(r.text(choice), last)
}

// sameReason compares plain and streamed answers to the same greedy request.
func sameReason(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, pair := range [][2]string{{"control", "greedy.stream"}, {"long", "long.stream"}, {"short", "short.stream"}, {"stop", "stop.stream"}} {
		if c.why(pair[1]) != "" {
			continue // said by the rules that are about that probe
		}
		for _, s := range c.streams(pair[1]) {
			p := c.twin(s, pair[0])
			if p == nil {
				continue
			}
			was := p.choices()[0].Get("finish_reason")
			if got := s.finish(0); got != "" && was.Type == gjson.String && got != was.Str {
				c.fail(s, "finish_reason", show(was)+", as in "+p.ID, strconv.Quote(got))
			}
		}
	}
}
