package suites

import (
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// cliRules judge what real clients would see (CLI).
var cliRules = []rule{
	{clause: "CLI-001", reads: []string{"clients"}, judge: works("CLI-001")},
	{clause: "CLI-002", reads: []string{"clients"}, judge: works("CLI-002")},
	{clause: "CLI-003", reads: []string{"clients"}, judge: works("CLI-003")},
	{clause: "CLI-004", reads: []string{"clients"}, judge: works("CLI-004")},
	{clause: "CLI-005", reads: []string{"clients"}, judge: works("CLI-005")},
	{clause: "CLI-006", reads: []string{"clients"}, judge: works("CLI-006")},
	{clause: "CLI-007", reads: []string{"clients"}, judge: works("CLI-007")},
	{clause: "CLI-008", reads: []string{"notebook"}, judge: func(c *Case) {
		r := c.labelled("notebook", "notebook")
		switch {
		case r == nil:
		case r.ok() && c.Profile == schemas.Strict:
			c.fail(r, "status", "401 or 400: neither the bare key nor a quoted boolean is of the dialect", r.statusLine())
		case !r.ok() && (!r.refused() || r.message() == ""):
			c.fail(r, "status", "an answer, or a refusal that can be read", r.statusLine())
		case r.ok() && !r.isStream():
			c.fail(r, "body", `a stream, as "True" means`, "a document")
		}
	}},
	{clause: "CLI-009", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			legible := false
			for _, path := range []string{"error.message", "message", "detail", "error"} {
				v := r.doc.Get(path)
				legible = legible || v.Type == gjson.String && v.Str != "" || path == "detail" && v.IsArray()
			}
			if !legible {
				c.fail(r, "body", "a message where client libraries look: error.message, message or detail", shorten(string(r.Response.Body), 80))
			}
		}
	}},
}

// works expects each recorded request of a client to be answered; what the
// contract does not promise may be refused by name.
func works(clause string) func(*Case) {
	return func(c *Case) {
		for _, rec := range recorded(c.Facts, clause) {
			r := c.labelled("clients", rec.label)
			switch {
			case r == nil:
			case r.refused() && r.names(rec.beyond...):
				c.note("%s: %s is refused", rec.label, rec.beyond[0])
			case !r.ok():
				c.fail(r, "status", "200 to "+rec.label, r.statusLine())
			case rec.stream && (len(r.chunks) == 0 || clause == "CLI-006" && r.finish(0) == ""):
				c.fail(r, "body", "a stream, which ends with a finish_reason", fmt.Sprintf("%d events, finish_reason %q", len(r.chunks), r.finish(0)))
			case !rec.stream && len(r.choices()) == 0:
				c.fail(r, "choices", "an answer", shorten(string(r.Response.Body), 80))
			case rec.full > 0:
				if n, ok := r.completionTokens(); ok && n <= capped && n < rec.full && r.choices()[0].Get("finish_reason").Str == "length" {
					c.fail(r, "usage.completion_tokens", strconv.Itoa(rec.full), strconv.Itoa(n))
				}
			}
		}
	}
}
