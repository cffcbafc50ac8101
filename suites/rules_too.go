package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// tooRules judge tools (TOO), beside those of tooNegatives.
var tooRules = append(negativeRules(tooNegatives), []rule{
	{clause: "TOO-006", reads: []string{"tools"}, judge: func(c *Case) {
		if r := c.answeredAs("tools", "none"); r != nil {
			if calls := r.calls(); len(calls) > 0 {
				c.fail(r, "choices[0].message.tool_calls", "absent: tool_choice is none", shorten(calls[0].Raw, 80))
			}
		}
	}},
	{clause: "TOO-007", reads: []string{"tools"}, judge: func(c *Case) {
		for _, name := range toolNames {
			r := c.answeredAs("tools", name)
			if r == nil {
				continue
			}
			if len(r.calls()) == 0 {
				c.fail(r, "choices[0].message.tool_calls", "a call of "+name+", which tool_choice names", "none: "+shorten(r.doc.Get("choices.0.message").Raw, 80))
			}
			for i, call := range r.calls() {
				if got := call.Get("function.name"); got.Str != name {
					c.fail(r, fmt.Sprintf("choices[0].message.tool_calls[%d].function.name", i), strconv.Quote(name)+", which tool_choice names", shorten(got.Raw, 60))
				}
			}
		}
	}},
	{clause: "TOO-008", reads: []string{"tools"}, judge: func(c *Case) {
		r := c.labelled("tools", "required")
		switch {
		case r == nil:
		case r.isRefusal():
			c.note("required is refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "200 with a call, or a refusal", r.statusLine())
		case len(r.calls()) == 0:
			c.fail(r, "choices[0].message.tool_calls", "at least one call", "none: "+shorten(r.doc.Get("choices.0.message").Raw, 80))
		}
	}},
	{clause: "TOO-009", reads: []string{"tools"}, judge: func(c *Case) {
		c.everyCall(func(r *reply, where string, call gjson.Result, ids []string) {
			if id := call.Get("id"); id.Type != gjson.String || id.Str == "" || slices.Contains(ids, id.Str) {
				c.fail(r, where+".id", "a text of its own", show(id))
			}
			if v := call.Get("type"); v.Str != "function" {
				c.fail(r, where+".type", `"function"`, show(v))
			}
			if v := call.Get("function.name"); v.Type != gjson.String || v.Str == "" {
				c.fail(r, where+".function.name", "the name of a function", show(v))
			}
			if v := call.Get("function.arguments"); v.Type != gjson.String {
				c.fail(r, where+".function.arguments", "a string (C43)", show(v))
			}
		})
	}},
	{clause: "TOO-010", reads: []string{"tools"}, judge: func(c *Case) {
		c.everyCall(func(r *reply, where string, call gjson.Result, _ []string) {
			v := call.Get("function.arguments")
			if v.Type == gjson.String && !gjson.Valid(v.Str) && r.doc.Get("choices.0.finish_reason").Str != "length" {
				c.fail(r, where+".function.arguments", "JSON", strconv.Quote(shorten(v.Str, 80)))
			}
		})
	}},
	{clause: "TOO-011", reads: []string{"tools"}, judge: func(c *Case) {
		if r := c.labelled("tools", "answered"); r != nil && r.refused() && r.names("tools") {
			c.declined(r) // it has no tools at all
			return
		}
		c.wantOK("tools", "answered", "the message answers a call")
	}},
	{clause: "TOO-013", reads: []string{"tools"}, judge: streamedCalls},
	{clause: "TOO-014", reads: []string{"tools"}, judge: func(c *Case) {
		r := c.labelled("tools", toolNames[0])
		switch {
		case r == nil:
		case r.refused():
			if r.status() != http.StatusUnprocessableEntity {
				c.fail(r, "status", "422: the model has no tools (C36)", r.statusLine())
			}
		case !r.ok():
			c.fail(r, "status", "200 with a call, or 422", r.statusLine())
		case len(r.calls()) == 0:
			c.fail(r, "choices[0].message.tool_calls", "the call that tool_choice names, or 422: tools are not to be ignored", "none")
		default:
			c.note("the model calls tools")
		}
	}},
	{clause: "TOO-015", reads: []string{"tools.llama"}, judge: toolsAlways},
}...)

// calls are those of the first choice of a plain answer.
func (r *reply) calls() []gjson.Result { return r.doc.Get("choices.0.message.tool_calls").Array() }

// everyCall looks at each call of the plain answers that must have one; ids are
// those of the calls before it in the same answer.
func (c *Case) everyCall(look func(r *reply, where string, call gjson.Result, ids []string)) {
	seen := 0
	for _, label := range append(slices.Clone(toolNames), "required") {
		r := c.answeredAs("tools", label)
		if r == nil {
			continue
		}
		var ids []string
		for i, call := range r.calls() {
			look(r, fmt.Sprintf("choices[0].message.tool_calls[%d]", i), call, ids)
			ids = append(ids, call.Get("id").Str)
			seen++
		}
	}
	if seen == 0 {
		c.inconclusive("no tool was called (TOO-007, TOO-008)")
	}
}

// A streamedCall is a call as a client puts it together from a stream.
type streamedCall struct{ id, name, arguments string }

// streamedCalls puts calls together as client libraries do and compares them
// with the same call in a plain answer.
func streamedCalls(c *Case) {
	r, plain := c.labelled("tools", "stream"), c.labelled("tools", toolNames[1])
	if r == nil || plain == nil {
		return
	}
	if !r.ok() {
		c.declined(r)
		return
	}
	var calls []streamedCall
	for _, ch := range r.chunks {
		for _, d := range ch.doc.Get("choices.0.delta.tool_calls").Array() {
			where := fmt.Sprintf("event %d: choices[0].delta.tool_calls", ch.event)
			index := d.Get("index")
			i := int(index.Int())
			if index.Type != gjson.Number || i < 0 || i > len(calls) || i < len(calls)-1 {
				c.fail(r, where+".index", fmt.Sprintf("%d, of the call under way, or the next", max(0, len(calls)-1)), show(index))
				return
			}
			id, name := d.Get("id").Str, d.Get("function.name").Str
			switch {
			case i == len(calls):
				if id == "" || name == "" {
					c.fail(r, where, "id and name with the first piece of a call", shorten(d.Raw, 80))
				}
				calls = append(calls, streamedCall{id: id, name: name})
			case id != "" || name != "":
				c.fail(r, where, "id and name once, with the first piece of a call", shorten(d.Raw, 80))
			}
			calls[i].arguments += d.Get("function.arguments").Str
		}
	}
	want := plain.calls()
	switch {
	case len(calls) == 0 && len(want) == 0:
		c.inconclusive("no tool was called (TOO-007)")
	case len(calls) == 0:
		c.fail(r, "choices[0].delta.tool_calls", "the call of the plain answer "+plain.ID, "none in the stream")
	case !c.Facts.Repeatable || len(want) == 0:
	default:
		if got, want := calls[0].name+calls[0].arguments, want[0].Get("function.name").Str+want[0].Get("function.arguments").String(); got != want {
			c.fail(r, "choices[0].delta.tool_calls, put together", shorten(want, 80)+", as in "+plain.ID, shorten(got, 80))
		}
	}
}

func toolsAlways(c *Case) {
	var last *reply
	for _, r := range c.sent("tools.llama") {
		class := fmt.Sprint(r.status() / 100)
		switch {
		case r.status() >= 500:
			c.fail(r, "status", "200, 400 or 422", r.statusLine())
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case strings.Contains(string(r.Response.Body), `"tool_calls":[`):
			c.note("a tool was called")
		default:
			c.note("answered as without tools")
		}
		if last != nil && class != fmt.Sprint(last.status()/100) {
			c.fail(r, "status", fmt.Sprintf("%d, as in %s", last.status(), last.ID), r.statusLine())
		}
		last = r
	}
}
