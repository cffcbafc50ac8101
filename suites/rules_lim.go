package suites

import (
	"fmt"
	"strconv"
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
