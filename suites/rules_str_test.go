package suites

import (
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/schemas"
)

// strFaults are what breaks each clause of STR.
var strFaults = []fault{
	{clause: "STR-001", probe: "greedy.stream", edit: func(t *transcript) { t.header.Set("Content-Type", "application/json") }},
	{clause: "STR-002", probe: "greedy.stream", from: "\n\n", to: "\n"},
	{clause: "STR-003", probe: "greedy.stream", from: "data: {", to: "event: message\ndata: {"},
	{clause: "STR-004", probe: "greedy.stream", from: `,"object"`, to: "\ndata: ,\"object\""},
	{clause: "STR-005", probe: "greedy.stream", edit: func(t *transcript) { t.body = "\ufeff" + t.body }},
	{clause: "STR-006", probe: "greedy.stream", from: "data: [DONE]\n\n", to: ""},
	{clause: "STR-006", probe: "greedy.stream", from: "[DONE]", to: `"[DONE]"`},
	{clause: "STR-029", probe: "greedy.stream", edit: func(t *transcript) { t.body += ": bye\n\n" }},
	{clause: "STR-033", probe: "greedy.stream", from: `"finish_reason":null}]`, to: `"finish_reason":null}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`},
	{clause: "STR-007", probe: "greedy.stream", edit: func(t *transcript) { t.body += "data: {}\n\n" }},
	{clause: "STR-008", probe: "greedy.stream", from: `,"finish_reason":null`, to: ""},
	{clause: "STR-009", probe: "greedy.stream", from: `"length"`, to: `null`},
	{clause: "STR-010", route: schemas.Chat, probe: "greedy.stream", from: "chat.completion.chunk", to: "chat.completion"},
	{clause: "STR-011", probe: "greedy.stream", from: `"text_completion"`, to: `"text_completion.chunk"`},
	{clause: "STR-012", probe: "greedy.stream", edit: func(t *transcript) { t.body = strings.Replace(t.body, `"id":"`, `"id":"other-`, 1) }},
	{clause: "STR-013", route: schemas.Chat, probe: "greedy.stream", from: `"delta"`, to: `"message"`},
	{clause: "STR-014", route: schemas.Chat, probe: "greedy.stream", from: `"role":"assistant",`, to: ``},
	{clause: "STR-015", route: schemas.Chat, probe: "greedy.stream", from: `"delta":{"content":" `, to: `"delta":{"role":"assistant","content":" `},
	{clause: "STR-016", route: schemas.Chat, probe: "greedy.stream", from: `"content":" w00"`, to: `"content":["w00"]`},
	{clause: "STR-017", probe: "greedy.stream", from: `"text":""`, to: `"text":null`},
	{clause: "STR-018", probe: "greedy.stream", from: " w03", to: ""},
	{clause: "STR-018", probe: "wide.stream", from: "안녕", to: ""},
	{clause: "STR-018", probe: "gzip", label: "stream", from: " w03", to: ""},
	{clause: "STR-018", route: schemas.Chat, probe: "clients", label: "openai-go stream", from: " w03", to: ""},
	{clause: "STR-018", route: schemas.Chat, probe: "clients", label: "openai-js stream", from: " w03", to: ""}, // with stream_options
	{clause: "STR-018", probe: "stream.values", label: "stream true", from: " w03", to: ""},
	{clause: "STR-019", probe: "n3.stream", from: `"index":2`, to: `"index":1`},
	{clause: "STR-020", probe: "stop.stream", edit: func(t *transcript) {
		t.body = strings.Replace(t.body, `","logprobs"`, t.sent["stop"].([]string)[0][:3]+`","logprobs"`, 1)
	}},
	{clause: "STR-021", probe: "wide.stream", from: "안녕", to: "안\uFFFD"},
	{clause: "STR-022", edit: func(t *transcript) {
		if t.header.Get("Content-Type") == "text/event-stream" {
			t.late, t.every, t.took = 2*time.Second, 100*time.Microsecond, 2*time.Second
		}
	}},
	{clause: "STR-023", probe: "greedy.stream", edit: func(t *transcript) {
		*t = streamly(schemas.Completions, "greedy.stream", body{"max_tokens": capped, "temperature": 0}, made{[]string{strings.Join(words(capped), "")}, "length", nil})
	}},
	{clause: "STR-024", probe: "greedy.stream", edit: func(t *transcript) { t.header.Del("Cache-Control") }},
	{clause: "STR-025", probe: "bad.stream", edit: func(t *transcript) {
		t.status, t.header, t.body = 200, sseHeader(), "data: {\"error\":{\"message\":\"n\"}}\n\ndata: [DONE]\n\n"
	}},
	{clause: "STR-028", probe: "reconnect", edit: func(t *transcript) { t.status, t.body = 429, `{"error":{"message":"busy"}}` }},
	{clause: "STR-031", dialect: DialectOpenAI, probe: "usage.stream", from: `"choices":[],"usage"`, to: `"choices":[],"used"`},
	{clause: "STR-031", dialect: DialectOpenAI, probe: "usage.stream", from: `"choices":[],"usage"`, to: `"choices":[{"index":0,"text":"","finish_reason":"length"}],"usage"`},
	{clause: "STR-032", dialect: DialectOpenAI, probe: "usage.stream", from: `"choices":[{`, to: `"usage":{"total_tokens":1},"choices":[{`},
	{clause: "STR-032", dialect: DialectOpenAI, probe: "greedy.stream", from: "data: [DONE]", to: "data: {\"choices\":[],\"usage\":{\"total_tokens\":21}}\n\ndata: [DONE]"},
	{clause: "STR-034", probe: "greedy.stream", edit: func(t *transcript) {
		t.body = `data: {"id":"x","choices":[]}` + "\n\n" + t.body
	}},
	{clause: "STR-035", probe: "logprobs.stream", from: `"text_offset":[4]`, to: `"text_offset":[0]`},
	{clause: "STR-036", probe: "greedy.stream", edit: func(t *transcript) { t.cut = true }},
	{clause: "STR-037", probe: "greedy.stream", edit: func(t *transcript) {
		e := strings.SplitAfter(t.body, "\n\n")
		t.body = strings.Repeat(e[0], 8) + t.body
	}},
	{clause: "STR-039", probe: "greedy.stream", from: `"text":""`, to: `"text":" x"`},
	{clause: "STR-040", probe: "together", from: " w03", to: " is."},
}
