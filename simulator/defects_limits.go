package simulator

import (
	"net/http"
	"strings"
)

// limitDefects break the areas LIM and TOO, as far as those are shown on
// llama-v1.
var limitDefects = []Defect{
	{
		Name:     "ratelimit-negative",
		Sentence: "x-ratelimit-remaining-requests falls below 0.",
		Stage:    "wire",
		Clauses:  []string{"LIM-014"},
		Seen:     "mastra#10310",
		arm: headers(func(_ *call, h http.Header) {
			h.Set("X-Ratelimit-Limit-Requests", "1000")
			h.Set("X-Ratelimit-Remaining-Requests", "-3")
		}),
	},
	{
		Name:     "tools-500",
		Sentence: "tools on the chat route of llama-v1 are answered with 500.",
		Stage:    "type",
		Clauses:  []string{"TOO-015", "ERR-009"},
		arm: always(func(c *call) {
			c.hooks.on("decode", func(c *call) *refusal {
				if c.route.name == "chat" && c.dialect == &llamaV1 && strings.Contains(string(c.body), `"get_weather"`) {
					return internal()
				}
				return nil
			})
		}),
	},
}
