package suites

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// limRules judge what a target says of its limits (LIM).
var limRules = []rule{
	{clause: "LIM-014", reads: plain, all: true, judge: rateHeaders},
}

func rateHeaders(c *Case) {
	any := false
	for _, r := range c.every(func(r *reply) bool { return r.Response != nil }, "no answer came") {
		for _, what := range []string{"requests", "tokens"} {
			left, limit := r.Response.Header.Get("X-Ratelimit-Remaining-"+what), r.Response.Header.Get("X-Ratelimit-Limit-"+what)
			for name, v := range map[string]string{"remaining": left, "limit": limit} {
				if v == "" {
					continue
				}
				any = true
				if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < 0 {
					c.fail(r, "header x-ratelimit-"+name+"-"+what, "an integer of 0 or above", strconv.Quote(v))
				}
			}
			l, errL := strconv.ParseInt(left, 10, 64)
			m, errM := strconv.ParseInt(limit, 10, 64)
			if errL == nil && errM == nil && l > m {
				c.fail(r, "header x-ratelimit-remaining-"+what, fmt.Sprintf("at most %d, the limit", m), left)
			}
		}
	}
	if !any {
		c.note("no x-ratelimit headers")
	}
}

// tooProbes are about tools (TOO).
var tooProbes = []probe{
	{name: "tools.llama", dialects: []string{DialectLlamaV1}, routes: []schemas.Route{schemas.Chat}, asks: func(f *Facts) []ask {
		tool := body{"type": "function", "function": body{"name": "get_weather", "parameters": body{"type": "object", "properties": body{"city": body{"type": "string"}}}}}
		one := ask{prompt: plainPrompt(f.Route), body: f.greedy(8).with(body{"tools": []body{tool}})}
		return []ask{one, one}
	}},
}

// tooRules judge tools (TOO).
var tooRules = []rule{
	{clause: "TOO-015", reads: []string{"tools.llama"}, judge: toolsAlways},
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
