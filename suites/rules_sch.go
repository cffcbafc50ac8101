package suites

import (
	"github.com/touchstone-llm/touchstone/schemas"
)

// schRules hold bodies against the OpenAPI document of the dialect (SCH).
var schRules = []rule{
	{clause: "SCH-001", reads: plain, all: true, judge: func(c *Case) {
		for _, r := range c.allAnswers() {
			c.validate(r, "", schemas.ResponseBody, []byte(r.doc.Raw))
		}
	}},
	{clause: "SCH-002", reads: streamed, all: true, judge: func(c *Case) {
		for _, r := range c.allStreams() {
			for _, ck := range r.chunks {
				if !isError(ck.doc) && !c.validate(r, event(ck.event)+", ", schemas.Chunk, []byte(ck.doc.Raw)) {
					break
				}
			}
		}
	}},
	{clause: "SCH-003", reads: []string{"best_of.less", "bad.stream"}, all: true, judge: func(c *Case) {
		for _, r := range c.every(func(r *reply) bool { return r.status() >= 400 }, "nothing was refused") {
			c.validate(r, "", schemas.ErrorBody, r.Response.Body)
		}
	}},
}

// validate records each violation of the schema and is whether there is none.
func (c *Case) validate(r *reply, where string, kind schemas.Kind, body []byte) bool {
	vs := schemas.Validate(c.dialect(), c.Route, kind, body)
	for _, v := range vs {
		c.fail(r, where+v.Pointer, v.Expected, shorten(v.Seen, 80))
	}
	return len(vs) == 0
}
