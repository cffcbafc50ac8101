package suites

import (
	"slices"
	"strings"
)

// chtNegatives are the conversations that must be refused (CHT).
var chtNegatives = []negative{
	{clause: "CHT-001", probe: "bad.messages", why: "messages is required", cases: []edit{set("messages", "").called("no messages")}},
	{clause: "CHT-003", probe: "bad.messages", why: "messages is empty", cases: each("messages", "[]")},
	{clause: "CHT-004", probe: "bad.messages", why: "messages is an array", cases: each("messages", "null", "{}")},
	{clause: "CHT-005", probe: "bad.messages", why: "a message is an object", cases: each("messages", `["hi"]`, "[null]")},
	{clause: "CHT-006", probe: "bad.messages", why: "a message has a role", cases: each("messages", `[{"content":"hi"}]`)},
	{clause: "CHT-007", probe: "bad.messages", why: "the role is system, user or assistant", cases: []edit{
		role(`"foo"`), role(`""`), role("null")}},
	{clause: "CHT-008", probe: "bad.messages", why: "the role is none of the dialect's", cases: []edit{role(`"foo"`).called("foo")}},
	{clause: "CHT-009", probe: "bad.messages", why: "roles are matched in their exact case", cases: []edit{role(`"User"`)}},
	{clause: "CHT-010", probe: "bad.messages", why: "a message has content", cases: []edit{
		set("messages", `[{"role":"user"}]`).called("no content"), content("null")}},
	{clause: "CHT-012", probe: "bad.messages", why: "content is a string", cases: []edit{content("1"), content("{}")}},
}

// role is the edit that gives the one message a role.
func role(raw string) edit {
	return set("messages", `[{"role":`+raw+`,"content":"hi"}]`).called("role " + raw)
}

// content is the edit that gives the one message another content.
func content(raw string) edit {
	return set("messages", `[{"role":"user","content":`+raw+`}]`).called("content " + raw)
}

// turns is the edit that sends a conversation: role and text in turn.
func turns(label string, said ...string) edit {
	var list []string
	for i := 0; i+1 < len(said); i += 2 {
		list = append(list, `{"role":`+quoted(said[i])+`,"content":`+quoted(said[i+1])+`}`)
	}
	return set("messages", "["+strings.Join(list, ",")+"]", "temperature", "0").called(label)
}

// orders are conversations in an unusual order (CHT-016).
var orders = []edit{
	turns("system last", "user", "hi", "system", "be brief"),
	turns("two systems", "system", "be brief", "system", "be kind", "user", "hi"),
	turns("two users", "user", "hi", "user", "are you there?"),
	turns("assistant last", "user", "hi", "assistant", "hello"),
}

// markers look like control tokens of one model or another.
var markers = []string{"<|eot_id|>", "<|im_end|>", "<|endoftext|>"}

// chtProbes are about conversations (CHT); what is bad of their parts is sent
// with the rest.
var chtProbes = append(negativeProbes(slices.Concat(chtNegatives, visNegatives)),
	probe{name: "messages.forms", routes: chatOnly, asks: func(f *Facts) []ask {
		raw := func(label, messages string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, "", "messages", messages, "max_tokens", "16", "temperature", "0")}}
		}
		p := quoted(plainPrompt(f.Route))
		return []ask{
			raw("string", p),
			raw("parts", `[{"role":"user","content":[{"type":"text","text":`+p+`}]}]`),
		}
	}},
	probe{name: "messages.empty", routes: chatOnly, asks: edits(content(`""`))},
	probe{name: "messages.orders", free: true, routes: chatOnly, asks: edits(orders...)},
	probe{name: "messages.more", free: true, routes: chatOnly, asks: edits(
		turns("one", "user", "What is ice?"),
		turns("three", "user", "What is fire?", "assistant", "It is hot.", "user", "What is ice?"),
		turns("system", "system", "Answer in few words.", "user", "What is ice?"))},
	probe{name: "messages.swapped", routes: chatOnly, asks: func(f *Facts) []ask {
		var out []ask
		for _, e := range []edit{
			turns("ab", "user", "What is fire?", "assistant", "Yes.", "user", "What is ice?"),
			turns("ba", "user", "What is ice?", "assistant", "Yes.", "user", "What is fire?"),
		} {
			e.members = append(e.members, "max_tokens", "16")
			switch f.target.dialect() {
			case DialectLlamaV1:
				e.members = append(e.members, "logprobs", "1")
			case DialectOpenAI:
				e.members = append(e.members, "logprobs", "true", "top_logprobs", "1")
			}
			out = append(out, e.ask(f))
		}
		return out
	}},
	probe{name: "messages.markers", free: true, routes: chatOnly, asks: func(f *Facts) []ask {
		out := []ask{turns("plain", "user", "Ice is cold. Yes.").ask(f)}
		for _, m := range markers {
			out = append(out, turns(m, "user", "Ice is cold."+m+" Yes.").ask(f))
		}
		return out
	}},
	probe{name: "messages.history", routes: chatOnly, asks: func(f *Facts) []ask {
		var said []string
		for range 100 {
			said = append(said, "user", "hi", "assistant", "yes")
		}
		return []ask{turns("200", append(said, "user", "hi")...).ask(f)}
	}},
	probe{name: "messages.tools", routes: chatOnly, dialects: notLlama, asks: edits(
		set("messages", `[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1","content":"1"}]`).called("tool_calls"),
		set("messages", `[{"role":"user","content":null}]`).called("user null"))},
	probe{name: "messages.name", routes: chatOnly, dialects: []string{DialectOpenAI}, asks: edits(
		set("messages", `[{"role":"user","name":"anna","content":"hi"}]`).called("name"))},
)
