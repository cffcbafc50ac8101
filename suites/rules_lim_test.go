package suites

import (
	"net/http"

	"github.com/touchstone-llm/touchstone/schemas"
)

// limFaults are what breaks each clause of LIM.
var limFaults = []fault{
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Requests": {"-3"}}
	}},
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Tokens": {"9"}, "X-Ratelimit-Limit-Tokens": {"8"}}
	}},
}

// tooGood is what a good target answers to tools that it does not know.
func tooGood(f *Facts) []transcript {
	if f.Route != schemas.Chat {
		return nil
	}
	t := refusal("tools.llama", body{"tools": []int{}}, "tools", "tools is not a parameter")
	return []transcript{t, t}
}

// tooFaults are what breaks each clause of TOO.
var tooFaults = []fault{
	{clause: "TOO-015", route: schemas.Chat, probe: "tools.llama", edit: fails500},
	{clause: "TOO-015", route: schemas.Chat, probe: "tools.llama", edit: onlyOnce(func(t *transcript) {
		*t = plainly(schemas.Chat, t.probe, t.sent, made{words(8), "length", nil})
	})},
}
