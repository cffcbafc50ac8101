package suites

import (
	"encoding/json"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/tidwall/gjson"
)

// fmtRules judge formats of answers (FMT), beside those of fmtNegatives.
var fmtRules = append(negativeRules(fmtNegatives), []rule{
	{clause: "FMT-001", reads: []string{"format.text"}, judge: func(c *Case) {
		if r := c.wantOK("format.text", "text", "it is the default"); r != nil && c.repeatable() {
			c.wantControl(r)
		}
	}},
	{clause: "FMT-002", reads: []string{"json.mode"}, judge: func(c *Case) {
		r := c.answeredAs("json.mode", "json")
		switch {
		case r == nil:
		case r.finishes() == "length" && honoursJSON(r):
			c.inconclusive("the answer was cut before it ended")
		case !gjson.Parse(r.firstText()).IsObject() || !gjson.Valid(r.firstText()):
			c.fail(r, "choices[0].message.content", "a JSON object", strconv.Quote(shorten(r.firstText(), 80)))
		}
	}},
	{clause: "FMT-004", reads: []string{"json.schema"}, judge: func(c *Case) {
		r := c.labelled("json.schema", "schema")
		switch {
		case r == nil:
		case r.isRefusal():
			c.note("json_schema is refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "200, or a refusal", r.statusLine())
		case r.finishes() == "length" && honoursJSON(r):
			c.inconclusive("the answer was cut before it ended")
		default:
			var v any
			err := json.Unmarshal([]byte(r.firstText()), &v)
			if err == nil {
				err = ice.VisitJSON(v)
			}
			if err != nil {
				c.fail(r, "choices[0].message.content", "JSON by the schema "+iceSchema, strconv.Quote(shorten(r.firstText(), 80)))
			}
		}
	}},
	{clause: "FMT-005", reads: []string{"json.mode"}, judge: func(c *Case) {
		r := c.answeredAs("json.mode", "cut")
		if r == nil {
			return
		}
		whole := gjson.Valid(r.firstText())
		if !whole && r.finishes() != "length" {
			c.fail(r, "choices[0].finish_reason", `"length": the JSON was cut`, strconv.Quote(r.finishes()))
		}
		c.note("within 4 tokens the JSON is %s", map[bool]string{true: "whole", false: "cut"}[whole])
	}},
}...)

// finishes is the finish_reason of the first choice of a plain answer.
func (r *reply) finishes() string { return r.doc.Get("choices.0.finish_reason").Str }

// ice is iceSchema, ready to validate.
var ice = func() *openapi3.Schema {
	var s openapi3.Schema
	if err := json.Unmarshal([]byte(iceSchema), &s); err != nil {
		panic(err)
	}
	return &s
}()
