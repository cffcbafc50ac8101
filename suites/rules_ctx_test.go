package suites

import (
	"fmt"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// ctxGood is what a good target of 64 tokens answers to the probes of CTX.
func ctxGood(f *Facts) []transcript {
	short := made{pieces: []string{"Yes", ", it", " is."}, reason: "stop"}
	over := func(label string, sent body) transcript {
		return labelledAs(label, refusal("ctx", sent, "max_tokens", "This model's maximum context length is 64 tokens."))
	}
	ts := []transcript{
		labelledAs("exact", plainly(f.Route, "ctx", body{"max_tokens": 59}, short)),
		over("over", body{"max_tokens": 60}),
		over("stream", body{"max_tokens": 60, "stream": true}),
		over("beyond", body{"max_tokens": 1}),
		labelledAs("n", plainly(f.Route, "ctx", body{"max_tokens": 59, "n": 2}, short, short)),
		plainly(f.Route, "ctx.rest", body{"temperature": 0}, short),
		refusal("ctx.default", body{"temperature": 0}, "max_tokens", "This model's maximum context length is 64 tokens."),
	}
	for _, words := range []int{32, 800} {
		prompt := strings.TrimSpace(strings.Repeat(fourWords+" ", words/4))
		t := plainly(f.Route, "filler", body{"max_tokens": 1}.prompt(f.Route, prompt), made{[]string{" w00"}, "length", nil})
		t.body = strings.Replace(t.body, `"prompt_tokens":5`, fmt.Sprintf(`"prompt_tokens":%d`, words+promptExtra(f.Route)), 1)
		t.body = strings.Replace(t.body, `"total_tokens":6`, fmt.Sprintf(`"total_tokens":%d`, words+promptExtra(f.Route)+1), 1)
		ts = append(ts, t)
	}
	return ts
}

// ctxFaults are what breaks each clause of CTX.
var ctxFaults = []fault{
	{clause: "CTX-001", probe: "ctx", label: "over", edit: says("stop", "Yes")},
	{clause: "CTX-001", probe: "ctx", label: "over", edit: fails500},
	{clause: "CTX-002", probe: "ctx", label: "exact", edit: fails500},
	{clause: "CTX-003", probe: "ctx", label: "beyond", edit: fails500},
	{clause: "CTX-003", probe: "ctx", label: "beyond", edit: says("length", " w00")},
	{clause: "CTX-004", probe: "filler", from: `"prompt_tokens":801`, to: `"prompt_tokens":64`},
	{clause: "CTX-005", probe: "ctx.default", edit: fails500},
	{clause: "CTX-005", probe: "ctx.default", edit: says("length", words(capped)...)},
	{clause: "CTX-006", dialect: azure, route: schemas.Chat, probe: "ctx.rest", edit: refuse400},
	{clause: "CTX-006", dialect: DialectOpenAI, route: schemas.Chat, probe: "ctx.rest", from: `"total_tokens":8`, to: `"total_tokens":80`},
	{clause: "CTX-007", probe: "ctx", label: "over", from: "64", to: "some"},
	{clause: "CTX-008", probe: "ctx", label: "n", edit: func(t *transcript) {
		*t = labelledAs("n", refusal(t.probe, t.sent, "max_tokens", "2 times 64 tokens are too many"))
	}},
	{clause: "CTX-009", probe: "ctx", label: "stream", edit: func(t *transcript) {
		t.status, t.header, t.body = 200, sseHeader(), "data: {\"error\":{\"message\":\"too long\"}}\n\ndata: [DONE]\n\n"
	}},
	{clause: "CTX-010", route: schemas.Chat, probe: "ctx", label: "over", edit: fails500},
}
