package suites

import (
	"net/http"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// chtGood is what a good target answers to the probes of CHT.
func chtGood(f *Facts) []transcript {
	sixteen := made{pieces: words(capped), reason: "length"}
	ts := refusals(f, "bad.messages")
	if f.Route != schemas.Chat {
		return nil
	}
	prompt := func(t transcript, n string) transcript {
		t.body = strings.Replace(t.body, `"prompt_tokens":5`, `"prompt_tokens":`+n, 1)
		t.body = strings.Replace(t.body, `"total_tokens":9`, `"total_tokens":16`, 1)
		return t
	}
	for _, name := range []string{"messages.forms", "messages.empty", "messages.orders", "messages.more", "messages.swapped", "messages.markers", "messages.history", "messages.tools", "messages.name"} {
		for _, t := range replies(f, name, sixteen) {
			switch {
			case t.probe == "messages.forms" && f.target.dialect() == DialectLlamaV1, t.label == "user null":
				refuse400(&t)
			case t.label == "three", t.label == "system", strings.HasPrefix(t.label, "<|"):
				t = prompt(t, "12")
			case t.label == "ba":
				another(&t)
			}
			ts = append(ts, t)
		}
	}
	return ts
}

// chtFaults are what breaks each clause of CHT.
var chtFaults = append(negativeFaults(chtNegatives), []fault{
	{clause: "CHT-002", route: schemas.Chat, probe: "messages.forms", label: "string", edit: accept200},
	{clause: "CHT-011", dialect: azure, route: schemas.Chat, probe: "messages.tools", label: "tool_calls", edit: refuse400},
	{clause: "CHT-013", route: schemas.Chat, probe: "messages.empty", edit: status(500)},
	{clause: "CHT-014", route: schemas.Chat, probe: "messages.forms", label: "parts", edit: accept200},
	{clause: "CHT-015", dialect: azure, route: schemas.Chat, probe: "messages.forms", label: "parts", edit: another},
	{clause: "CHT-016", route: schemas.Chat, probe: "messages.orders", label: "two users", edit: status(500)},
	{clause: "CHT-017", route: schemas.Chat, probe: "control", from: `"role":"assistant"`, to: `"role":"user"`},
	{clause: "CHT-018", route: schemas.Chat, probe: "messages.more", edit: func(t *transcript) {
		t.body = strings.Replace(t.body, `"content":"`, `"content":null,"was":"`, 1)
	}},
	{clause: "CHT-019", route: schemas.Chat, probe: "control", from: `"message":`, to: `"messages":`},
	{clause: "CHT-020", route: schemas.Chat, probe: "messages.more", label: "three", from: `"prompt_tokens":12`, to: `"prompt_tokens":5`},
	{clause: "CHT-021", route: schemas.Chat, probe: "messages.swapped", edit: func(t *transcript) {
		like := plainly(schemas.Chat, t.probe, nil, made{words(capped), "length", flat(capped, -1)})
		t.body = like.body
	}},
	{clause: "CHT-022", route: schemas.Chat, probe: "messages.markers", label: "<|im_end|>", from: `"prompt_tokens":12`, to: `"prompt_tokens":6`},
	{clause: "CHT-023", dialect: DialectOpenAI, route: schemas.Chat, probe: "messages.name", edit: refuse400},
	{clause: "CHT-024", dialect: azure, route: schemas.Chat, probe: "messages.more", label: "system", from: `"prompt_tokens":12`, to: `"prompt_tokens":5`},
	{clause: "CHT-025", route: schemas.Chat, probe: "messages.history", edit: status(http.StatusGatewayTimeout)},
}...)

// cliGood is what a good target answers to the recordings of clients.
func cliGood(f *Facts) []transcript {
	ts := replies(f, "clients", made{pieces: words(8), reason: "length"})
	for i, t := range ts {
		switch t.label {
		case "langchaingo chat":
			like := plainly(f.Route, "", nil, made{words(otherLength), "length", nil})
			ts[i].body = like.body
		case "langchain-js completion":
			ts[i].status, ts[i].body = 400, `{"error":{"message":"prompt must be a string","type":"x","param":"prompt","code":null}}`
		}
	}
	return append(ts, refusals(f, "notebook")...)
}

// cliFaults are what breaks each clause of CLI.
var cliFaults = []fault{
	{clause: "CLI-001", probe: "clients", label: "openai-go completion", edit: refuse400},
	{clause: "CLI-006", route: schemas.Chat, probe: "clients", label: "ai-sdk stream", from: `"finish_reason":"length"`, to: `"finish_reason":null`},
	{clause: "CLI-002", route: schemas.Chat, probe: "clients", label: "openai-js chat", edit: refuse400},
	{clause: "CLI-003", route: schemas.Chat, probe: "clients", label: "go-openai stream", edit: status(406)},
	{clause: "CLI-004", route: schemas.Chat, probe: "clients", label: "langchaingo chat", from: `"completion_tokens":24`, to: `"completion_tokens":16`},
	{clause: "CLI-005", probe: "clients", label: "langchain-js completion", edit: refuse400},
	{clause: "CLI-006", probe: "clients", label: "ai-sdk completion", edit: refuse400},
	{clause: "CLI-007", dialect: azure, route: schemas.Chat, probe: "clients", label: "azure-rest chat", edit: status(400)},
	{clause: "CLI-008", probe: "notebook", edit: status(500)},
	{clause: "CLI-009", probe: "again", label: "1", edit: refusedWith(`{"reason":"x"}`)},
}
