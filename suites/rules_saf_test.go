package suites

import (
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// safGood is what a good target answers to the triggers.
func safGood(f *Facts) []transcript {
	f.target.Safety = Safety{Prompt: "trigger", Answer: "ask", Withheld: "Rome"}
	filtered := func(probe, label string, sent body) transcript {
		t := labelledAs(label, refusal(probe, sent, "prompt", "filtered"))
		t.body = strings.Replace(t.body, `"code":null`, `"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":false,"severity":"safe"},"violence":{"filtered":true,"severity":"high"}}}`, 1)
		return t
	}
	m := made{pieces: []string{"The capital is"}, reason: "content_filter"}
	logs := made{pieces: []string{"The capital is"}, reason: "content_filter", logprobs: []float64{-0.5}}
	ts := []transcript{
		filtered("safety.prompt", "plain", body{}),
		filtered("safety.prompt", "stream", body{"stream": true}),
		filtered("safety.prompt", "bare", body{}),
		plainly(f.Route, "safety.off", body{}, made{words(8), "length", nil}),
		labelledAs("plain", plainly(f.Route, "safety.answer", body{"max_tokens": 64}, m)),
		labelledAs("stream", streamly(f.Route, "safety.answer", body{"max_tokens": 64}, m)),
		labelledAs("logprobs", plainly(f.Route, "safety.answer", body{"max_tokens": 64, "logprobs": 1}, logs)),
	}
	ts[4].body = strings.Replace(ts[4].body, `"usage"`, `"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"usage"`, 1)
	if f.Route == schemas.Chat {
		ts = append(ts, filtered("safety.earlier", "", body{}))
	}
	return ts
}

// safFaults are what breaks each clause of SAF.
var safFaults = []fault{
	{clause: "SAF-001", probe: "safety.prompt", label: "plain", edit: says("stop", "No.")},
	{clause: "SAF-001", probe: "safety.prompt", label: "plain", edit: func(t *transcript) { t.status = 403 }},
	{clause: "SAF-002", probe: "safety.prompt", label: "plain", from: `"param":"prompt"`, to: `"param":null`},
	{clause: "SAF-003", dialect: DialectAzureInference, probe: "safety.prompt", label: "plain", from: "ResponsibleAIPolicyViolation", to: "Other"},
	{clause: "SAF-004", dialect: DialectAzureInference, probe: "safety.prompt", label: "plain", from: `"severity":"high"`, to: `"severity":6`},
	{clause: "SAF-005", dialect: DialectAzureInference, probe: "safety.prompt", label: "plain", from: `"filtered":true`, to: `"filtered":false`},
	{clause: "SAF-006", dialect: DialectAzureInference, probe: "safety.prompt", label: "plain", from: `"high"`, to: `"safe"`},
	{clause: "SAF-007", probe: "safety.answer", label: "plain", from: "content_filter", to: "stop"},
	{clause: "SAF-008", probe: "safety.answer", label: "logprobs", from: `"tokens":["The`, to: `"tokens":[" Rome","The`},
	{clause: "SAF-008", probe: "safety.answer", label: "plain", from: `capital is`, to: `capital is Rome`},
	{clause: "SAF-010", probe: "safety.answer", label: "stream", from: `"content_filter"`, to: `null`},
	{clause: "SAF-011", probe: "safety.prompt", label: "stream", edit: func(t *transcript) { tokenWise(t); t.label = "stream" }},
	{clause: "SAF-014", dialect: DialectAzureInference, probe: "safety.answer", label: "plain", from: `"prompt_index":0,`, to: ``},
	{clause: "SAF-015", probe: "safety.prompt", label: "bare", edit: says("stop", "Yes.")},
	{clause: "SAF-016", probe: "bad.stream", from: `"code":null`, to: `"code":"content_filter"`},
	{clause: "SAF-017", probe: "safety.off", edit: refuse400},
	{clause: "SAF-018", route: schemas.Chat, probe: "safety.earlier", edit: func(t *transcript) { t.status = 200 }},
	{clause: "SAF-020", probe: "safety.answer", label: "plain", from: `"total_tokens"`, to: `"tokens"`},
}
