package suites

import (
	"fmt"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// aCall is an answer that calls a tool.
func aCall(id, name, arguments string) string {
	serial++
	return fmt.Sprintf(`{"id":"chatcmpl-%d","object":"chat.completion","created":%d,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,`+
		`"tool_calls":[{"id":%q,"type":"function","function":{"name":%q,"arguments":%q}}]},"logprobs":null,"finish_reason":"tool_calls"}],`+
		`"usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14}}`, serial, clock.Unix(), id, name, arguments)
}

// aCallStreamed is a call in pieces.
func aCallStreamed(id, name string, arguments ...string) string {
	serial++
	var b strings.Builder
	put := func(delta, reason string) {
		fmt.Fprintf(&b, "data: {\"id\":\"chatcmpl-%d\",\"object\":\"chat.completion.chunk\",\"created\":%d,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}]}\n\n", serial, clock.Unix(), delta, reason)
	}
	put(`{"role":"assistant","content":""}`, "null")
	put(fmt.Sprintf(`{"tool_calls":[{"index":0,"id":%q,"type":"function","function":{"name":%q,"arguments":""}}]}`, id, name), "null")
	for _, a := range arguments {
		put(fmt.Sprintf(`{"tool_calls":[{"index":0,"function":{"arguments":%q}}]}`, a), "null")
	}
	put("{}", `"tool_calls"`)
	b.WriteString("data: [DONE]\n\n")
	return b.String()
}

// tooGood is what a good target answers to the probes of TOO.
func tooGood(f *Facts) []transcript {
	if f.Route != schemas.Chat {
		return nil
	}
	ts := refusals(f, "tools.llama")
	ts = append(ts, refusals(f, "bad.tools")...)
	for _, t := range replies(f, "tools", made{pieces: words(capped), reason: "length"}) {
		switch t.label {
		case "set_light":
			t.body = aCall("call_1", "set_light", `{"on": true}`)
		case "open_door", "required":
			t.body = aCall("call_2", "open_door", `{"room": "cellar"}`)
		case "stream":
			t.body = aCallStreamed("call_3", "open_door", `{"room"`, `: "cel`, `lar"}`)
		}
		ts = append(ts, t)
	}
	return ts
}

// uncalled is an answer in words where a call was due.
func uncalled(t *transcript) {
	t.body = plainly(schemas.Chat, t.probe, nil, made{words(4), "stop", nil}).body
}

// tooFaults are what breaks each clause of TOO.
var tooFaults = append(negativeFaults(tooNegatives), []fault{
	{clause: "TOO-006", dialect: azure, route: schemas.Chat, probe: "tools", label: "none", edit: func(t *transcript) { t.body = aCall("call_4", "set_light", "{}") }},
	{clause: "TOO-007", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", from: `"name":"set_light"`, to: `"name":"open_door"`},
	{clause: "TOO-007", dialect: DialectOpenAI, route: schemas.Chat, probe: "tools", label: "open_door", edit: uncalled},
	{clause: "TOO-008", dialect: azure, route: schemas.Chat, probe: "tools", label: "required", edit: uncalled},
	{clause: "TOO-008", dialect: DialectOpenAI, route: schemas.Chat, probe: "tools", label: "required", edit: status(500)},
	{clause: "TOO-009", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", from: `"{\"on\": true}"`, to: `{"on": true}`},
	{clause: "TOO-009", dialect: DialectOpenAI, route: schemas.Chat, probe: "tools", label: "required", from: `"id":"call_2"`, to: `"id":""`},
	{clause: "TOO-009", dialect: azure, route: schemas.Chat, probe: "tools", label: "open_door", from: `"type":"function",`, to: ``},
	{clause: "TOO-010", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", from: `\"on\"`, to: `'on'`},
	{clause: "TOO-011", dialect: azure, route: schemas.Chat, probe: "tools", label: "answered", edit: refuse400},
	{clause: "TOO-013", dialect: azure, route: schemas.Chat, probe: "tools", label: "stream", from: `"index":0,"function":{`, to: `"index":0,"id":"call_3","function":{`},
	{clause: "TOO-013", dialect: azure, route: schemas.Chat, probe: "tools", label: "stream", from: `{\"room\"`, to: `{\"hall\"`},
	{clause: "TOO-013", dialect: azure, route: schemas.Chat, probe: "tools", label: "stream", from: `{"index":0,`, to: `{`},
	{clause: "TOO-013", dialect: DialectOpenAI, route: schemas.Chat, probe: "tools", label: "stream", edit: func(t *transcript) {
		t.body = streamly(schemas.Chat, t.probe, body{}, made{words(4), "stop", nil}).body
	}},
	{clause: "TOO-014", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", edit: refuse400},
	{clause: "TOO-014", dialect: azure, route: schemas.Chat, probe: "tools", label: "set_light", edit: uncalled},
	{clause: "TOO-015", route: schemas.Chat, probe: "tools.llama", edit: fails500},
	{clause: "TOO-015", route: schemas.Chat, probe: "tools.llama", edit: onlyOnce(func(t *transcript) {
		*t = plainly(schemas.Chat, t.probe, t.sent, made{words(8), "length", nil})
	})},
}...)
