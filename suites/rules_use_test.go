package suites

import (
	"fmt"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// useGood is what a good target answers to the probes of USE.
func useGood(f *Facts) []transcript {
	var ts []transcript
	for i := range 3 {
		prompt := strings.TrimSpace(strings.Repeat(fourWords+" ", 1<<i))
		first := map[schemas.Route]string{schemas.Completions: " five", schemas.Chat: "Numbers"}[f.Route]
		t := plainly(f.Route, "words", body{"max_tokens": 1}.prompt(f.Route, prompt), made{[]string{first}, "length", nil})
		t.body = strings.Replace(t.body, `"prompt_tokens":5`, fmt.Sprintf(`"prompt_tokens":%d`, 4<<i+promptExtra(f.Route)), 1)
		t.body = strings.Replace(t.body, `"total_tokens":6`, fmt.Sprintf(`"total_tokens":%d`, 4<<i+promptExtra(f.Route)+1), 1)
		ts = append(ts, t)
	}
	object := map[schemas.Route]string{schemas.Completions: "text_completion", schemas.Chat: "chat.completion.chunk"}[f.Route]
	usage := func(t transcript, n int) transcript {
		t.body = strings.Replace(t.body, "data: [DONE]", fmt.Sprintf(
			"data: {\"id\":\"cmpl-%d\",\"object\":%q,\"created\":%d,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]",
			serial, object, clock.Unix(), n, n+5), 1)
		return t
	}
	sixteen, eight := made{words(capped), "length", nil}, made{words(8), "length", nil}
	return append(ts,
		usage(streamly(f.Route, "usage.stream", body{"temperature": 0, "max_tokens": capped, "stream_options": body{"include_usage": true}}, sixteen), capped),
		usage(streamly(f.Route, "usage.stream.n", body{"n": 2, "max_tokens": 8, "stream_options": body{"include_usage": true}}, eight, eight), 16),
	)
}

func promptExtra(r schemas.Route) int {
	return map[schemas.Route]int{schemas.Completions: 1, schemas.Chat: 9}[r]
}

// useFaults are what breaks each clause of USE.
var useFaults = []fault{
	{clause: "USE-001", probe: "control", from: `"prompt_tokens":5`, to: `"prompt_tokens":-5`},
	{clause: "USE-001", probe: "control", from: `"completion_tokens":16`, to: `"completion_tokens":null`},
	{clause: "USE-002", probe: "control", from: `"total_tokens":21`, to: `"total_tokens":417`},
	{clause: "USE-002", probe: "usage.stream", from: `"total_tokens":21`, to: `"total_tokens":20`},
	{clause: "USE-003", probe: "n3", from: `"completion_tokens":12`, to: `"completion_tokens":13`},
	{clause: "USE-004", probe: "words", edit: func(t *transcript) { t.body = strings.Replace(t.body, `"prompt_tokens":`, `"prompt_tokens":0,"x":`, 1) }},
	{clause: "USE-004", probe: "words", edit: func(t *transcript) { t.sent["prompt"] = fourWords }},
	{clause: "USE-005", probe: "words", edit: func(t *transcript) { t.body = strings.Replace(t.body, `"prompt_tokens":`, `"prompt_tokens":9,"x":`, 1) }},
	{clause: "USE-006", probe: "n3", edit: func(t *transcript) {
		t.sent = body{"n": 3}.with(t.sent)
		t.body = strings.Replace(t.body, `"prompt_tokens":5`, `"prompt_tokens":15`, 1)
	}},
	{clause: "USE-007", probe: "n3", from: `"completion_tokens":12`, to: `"completion_tokens":4`},
	{clause: "USE-008", route: schemas.Chat, probe: "words", edit: func(t *transcript) { t.body = strings.Replace(t.body, `"prompt_tokens":`, `"prompt_tokens":1,"x":`, 1) }},
	{clause: "USE-009", probe: "usage.stream", from: `"completion_tokens":16`, to: `"completion_tokens":17`},
	{clause: "USE-010", probe: "usage.stream.n", from: `"completion_tokens":16`, to: `"completion_tokens":8`},
	{clause: "USE-011", dialect: DialectOpenAI, probe: "prompt.batch", label: "batch", from: `"prompt_tokens":10`, to: `"prompt_tokens":5`},
	{clause: "USE-013", dialect: DialectOpenAI, probe: "control", from: `"prompt_tokens":5`, to: `"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}`},
	{clause: "USE-013", dialect: azure, probe: "control", from: `"prompt_tokens":5`, to: `"prompt_tokens":5,"completion_tokens_details":{"reasoning_tokens":-1}`},
	{clause: "USE-012", probe: "control", from: `"completion_tokens":16`, to: `"completion_tokens":0`},
	{clause: "USE-014", probe: "best_of.less", from: `{"error":`, to: `{"usage":{"total_tokens":0},"error":`},
}
