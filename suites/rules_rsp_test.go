package suites

import (
	"fmt"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// rspFaults are what breaks each clause of RSP.
var rspFaults = []fault{
	{clause: "RSP-001", probe: "control", edit: func(t *transcript) { t.body += "{}" }},
	{clause: "RSP-001", probe: "control", edit: func(t *transcript) { t.header.Set("Content-Type", "text/plain") }},
	{clause: "RSP-002", probe: "control", from: `"usage"`, to: `"used"`},
	{clause: "RSP-002", probe: "penalties", label: "presence_penalty 2", from: `"object":"text_completion",`, to: ``},
	{clause: "RSP-002", probe: "bytes", label: "NUL", edit: func(t *transcript) {
		accept200(t)
		t.body = strings.Replace(t.body, `"object":"text_completion",`, "", 1)
	}},
	{clause: "RSP-003", dialect: DialectOpenAI, probe: "control", from: `"model"`, to: `"modal"`},
	{clause: "RSP-024", dialect: azure, probe: "n3", edit: func(t *transcript) { t.header.Del("X-Ms-Request-Id") }},
	{clause: "RSP-025", dialect: azure, probe: "extra", label: "known", edit: func(t *transcript) { t.header.Del("X-Ms-Client-Request-Id") }},
	{clause: "RSP-004", probe: "control", edit: func(t *transcript) { t.body = strings.Replace(t.body, `"id":"cmpl-`, `"id":"","x":"`, 1) }},
	{clause: "RSP-006", probe: "control", from: "text_completion", to: "text.completion"},
	{clause: "RSP-007", route: schemas.Chat, probe: "control", from: `"chat.completion"`, to: `"chat.completion.chunk"`},
	{clause: "RSP-008", probe: "control", from: fmt.Sprint(clock.Unix()), to: fmt.Sprint(clock.Unix()) + ".5"},
	{clause: "RSP-009", probe: "control", from: fmt.Sprint(clock.Unix()), to: "217877"},
	{clause: "RSP-010", probe: "control", from: fmt.Sprint(clock.Unix()), to: fmt.Sprint(clock.Unix() - 3600)},
	{clause: "RSP-011", probe: "control", from: `"model":"m"`, to: `"model":null`},
	{clause: "RSP-012", probe: "model.names", label: "unknown", from: `"model":"m"`, to: `"model":"other"`},
	{clause: "RSP-013", probe: "n3", edit: func(t *transcript) { t.sent["n"] = 4 }},
	{clause: "RSP-014", probe: "greedy.stream", edit: func(t *transcript) { t.body = twoInOne(t.body) }},
	{clause: "RSP-014", probe: "n3", from: `"index":1`, to: `"index":0`},
	{clause: "RSP-015", probe: "n3", from: `"index":2`, to: `"index":3`},
	{clause: "RSP-016", probe: "control", from: `"text":`, to: `"message":{"content":"x"},"texts":`},
	{clause: "RSP-017", route: schemas.Chat, probe: "control", from: `"message":`, to: `"messages":`},
	{clause: "RSP-018", probe: "control", from: `"finish_reason":"length"`, to: `"finish_reason":null`},
	{clause: "RSP-019", probe: "control", from: `"logprobs":null`, to: `"logprobs":{}`},
	{clause: "RSP-005", probe: "control", from: `"id":"`, to: `"id":"request `},
	{clause: "RSP-020", route: schemas.Chat, probe: "control", from: `"logprobs":null`, to: `"logprobs":{}`},
	{clause: "RSP-021", probe: "nonce", from: `"text":"`, to: `"text":"` + nonces[0]},
	{clause: "RSP-022", probe: "best_of.less", from: `{"error":`, to: `{"choices":[],"error":`},
	{clause: "RSP-022", probe: "control", from: `{"id":`, to: `{"error":{"message":"x"},"id":`},
	{clause: "RSP-023", probe: "control", from: " w03", to: " \xff"},
	{clause: "RSP-023", probe: "control", from: " w03", to: ` \ud83d`},
	{clause: "RSP-026", probe: "control", from: `"prompt_tokens":5`, to: `"prompt_tokens":"5"`},
	{clause: "RSP-027", probe: "control", edit: func(t *transcript) {
		t.header.Set("Content-Length", "5")
		t.header.Set("Transfer-Encoding", "chunked")
	}},
}

// twoInOne says the choice of the first chunk twice in it.
func twoInOne(stream string) string {
	head, rest, _ := strings.Cut(stream, "\n\n")
	before, choice, _ := strings.Cut(head, `"choices":[`)
	choice, after, _ := strings.Cut(choice, `}]`)
	return before + `"choices":[` + choice + `},` + choice + `}]` + after + "\n\n" + rest
}
