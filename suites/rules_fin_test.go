package suites

import (
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// finFaults are what breaks each clause of FIN.
var finFaults = []fault{
	{clause: "FIN-001", probe: "short", from: `"stop"`, to: `"eos"`},
	{clause: "FIN-002", dialect: DialectOpenAI, probe: "short", from: `"stop"`, to: `"eos"`},
	{clause: "FIN-002", dialect: azure, probe: "short", from: `"finish_reason":"stop"`, to: `"finish_reason":1`},
	{clause: "FIN-003", probe: "short", from: `"stop"`, to: `"length"`},
	{clause: "FIN-004", probe: "short", edit: func(t *transcript) { t.sent["max_tokens"] = 2 }},
	{clause: "FIN-005", probe: "cap1", from: `"length"`, to: `"stop"`},
	{clause: "FIN-006", probe: "stop", from: `"stop"`, to: `"length"`},
	{clause: "FIN-007", probe: "stop.last", edit: func(t *transcript) {
		stop := t.sent["stop"].(string)
		t.body = strings.Replace(t.body, `","logprobs"`, stop+`","logprobs"`, 1)
	}},
	{clause: "FIN-008", probe: "short", from: `"stop"`, to: `"length"`},
	{clause: "FIN-009", probe: "long", from: `"length"`, to: `"stop"`},
	{clause: "FIN-010", probe: "context", from: `"length"`, to: `"stop"`},
	{clause: "FIN-011", probe: "reasons", from: `"length"`, to: `"stop"`},
	{clause: "FIN-012", probe: "greedy.stream", from: `"finish_reason":null`, to: `"finish_reason":""`},
	{clause: "FIN-013", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", from: `"finish_reason":"tool_calls"`, to: `"finish_reason":"stop"`},
	{clause: "FIN-014", probe: "greedy.stream", from: `"length"`, to: `"stop"`},
}
