package suites

import (
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// chtRules judge conversations (CHT), beside those of chtNegatives.
var chtRules = append(negativeRules(chtNegatives), []rule{
	{clause: "CHT-002", reads: []string{"messages.forms"}, judge: looseForm("string", "messages is an array (C14)")},
	{clause: "CHT-011", reads: []string{"messages.tools"}, judge: func(c *Case) {
		c.wantOK("messages.tools", "tool_calls", "an assistant that calls tools needs no content (C50)")
		if r := c.labelled("messages.tools", "user null"); r != nil {
			c.wantRefusal(r, "a user's message has content")
		}
	}},
	{clause: "CHT-013", reads: []string{"messages.empty"}, judge: func(c *Case) {
		for _, r := range c.sent("messages.empty") {
			c.wantNoServerError(r, "content is empty")
		}
	}},
	{clause: "CHT-014", reads: []string{"messages.forms"}, judge: looseForm("parts", "content is a string (C51)")},
	{clause: "CHT-015", reads: []string{"messages.forms"}, judge: func(c *Case) {
		if r := c.wantOK("messages.forms", "parts", "one text part is the string"); r != nil {
			c.wantControl(r)
		}
	}},
	{clause: "CHT-016", reads: []string{"messages.orders"}, judge: func(c *Case) {
		for _, e := range orders {
			if r := c.labelled("messages.orders", e.label); r != nil {
				c.wantNoServerError(r, e.label)
			}
		}
	}},
	{clause: "CHT-017", reads: plain, all: true, judge: everyMessage("role", func(v gjson.Result) bool { return v.Str == "assistant" }, `"assistant"`)},
	{clause: "CHT-018", reads: plain, all: true, judge: everyMessage("content", func(v gjson.Result) bool { return v.Type == gjson.String }, "a string")},
	{clause: "CHT-019", reads: plain, all: true, judge: func(c *Case) {
		for _, r := range c.allAnswers() {
			for i, ch := range r.choices() {
				if !ch.Get("message").IsObject() && (c.Profile != schemas.Paper || !ch.Get("messages").Exists()) {
					c.fail(r, fmt.Sprintf("choices[%d].message", i), "an object", shorten(ch.Raw, 60))
				}
			}
		}
	}},
	{clause: "CHT-020", reads: []string{"messages.more"}, judge: moreTokens("one", "three")},
	{clause: "CHT-021", reads: []string{"messages.swapped"}, judge: swapped},
	{clause: "CHT-022", reads: []string{"messages.markers"}, judge: markersAreText},
	{clause: "CHT-023", reads: []string{"messages.name"}, judge: func(c *Case) { c.wantOK("messages.name", "name", "a message may have a name") }},
	{clause: "CHT-024", reads: []string{"messages.more"}, judge: moreTokens("one", "system")},
	{clause: "CHT-025", reads: []string{"messages.history"}, judge: func(c *Case) {
		for _, r := range c.replies {
			if r.probe == "messages.history" && r.timedOut() {
				c.look(r)
				c.fail(r, "time", "an answer to 200 short messages", r.Error)
			}
		}
		for _, r := range c.sent("messages.history") {
			c.wantNoServerError(r, "200 short messages")
		}
	}},
}...)

// looseForm judges a form that strict refuses and interop may read as the
// control's.
func looseForm(label, why string) func(*Case) {
	return func(c *Case) {
		r := c.labelled("messages.forms", label)
		switch {
		case r == nil:
		case r.ok() && c.Profile != schemas.Strict:
			c.wantControl(r)
		default:
			c.wantRefusal(r, why)
		}
	}
}

// everyMessage expects something of a member of each message that calls no tool.
func everyMessage(member string, right func(gjson.Result) bool, want string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.allAnswers() {
			for i, ch := range r.choices() {
				m := ch.Get("message")
				if v := m.Get(member); m.IsObject() && !m.Get("tool_calls.0").Exists() && !right(v) {
					c.fail(r, fmt.Sprintf("choices[%d].message.%s", i, member), want, shorten(v.Raw, 60))
				}
			}
		}
	}
}

// moreTokens expects the second conversation to have more prompt tokens.
func moreTokens(less, more string) func(*Case) {
	return func(c *Case) {
		a, b := c.labelled("messages.more", less), c.labelled("messages.more", more)
		if a == nil || b == nil {
			return
		}
		if !a.ok() || !b.ok() {
			c.inconclusive("a conversation was refused (HTTP %d and %d)", a.status(), b.status())
		} else if x, y := a.doc.Get("usage.prompt_tokens").Int(), b.doc.Get("usage.prompt_tokens").Int(); y <= x {
			c.fail(b, "usage.prompt_tokens", fmt.Sprintf("more than %d, with more messages", x), strconv.FormatInt(y, 10))
		}
	}
}

func swapped(c *Case) {
	a, b := c.labelled("messages.swapped", "ab"), c.labelled("messages.swapped", "ba")
	if a == nil || b == nil || !c.repeatable() {
		return
	}
	if !a.ok() || !b.ok() || len(a.choices()) == 0 || len(b.choices()) == 0 {
		c.inconclusive("a conversation was refused (HTTP %d and %d)", a.status(), b.status())
		return
	}
	if a.firstText() != b.firstText() {
		return
	}
	x, _, known := logprobs(a.choices()[0])
	y, _, _ := logprobs(b.choices()[0])
	switch {
	case !known:
		c.inconclusive("the answers are equal, and carry no log probabilities that would tell more")
	case fmt.Sprint(x) == fmt.Sprint(y):
		c.fail(b, "choices[0]", "another answer, or other log probabilities, to messages in another order", "the same")
	}
}

func markersAreText(c *Case) {
	base := c.labelled("messages.markers", "plain")
	if base == nil || !base.ok() {
		return
	}
	n := base.doc.Get("usage.prompt_tokens").Int()
	for _, m := range markers {
		r := c.labelled("messages.markers", m)
		if r == nil || !r.ok() {
			continue // a refusal is safe
		}
		if got := r.doc.Get("usage.prompt_tokens").Int(); got <= n+1 {
			c.fail(r, "usage.prompt_tokens", fmt.Sprintf("at least %d: %s is text, not one token", n+2, m), strconv.FormatInt(got, 10))
		}
	}
}
