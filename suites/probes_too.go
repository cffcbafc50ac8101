package suites

import (
	"slices"
	"strings"
)

// Two tools whose arguments any model that is held to them ends soon.
const (
	lightTool = `{"type":"function","function":{"name":"set_light","description":"Turns the light on or off.","parameters":` +
		`{"type":"object","properties":{"on":{"type":"boolean"}},"required":["on"],"additionalProperties":false}}}`
	doorTool = `{"type":"function","function":{"name":"open_door","description":"Opens the door of a room.","parameters":` +
		`{"type":"object","properties":{"room":{"type":"string","enum":["cellar","attic"]}},"required":["room"],"additionalProperties":false}}}`
	bothTools   = "[" + lightTool + "," + doorTool + "]"
	toolsPrompt = "Turn the light on, then open the door of the cellar."
)

// toolNames are those of bothTools.
var toolNames = []string{"set_light", "open_door"}

// choosing is the tool_choice that names a function.
func choosing(function string) string {
	return `{"type":"function","function":{"name":` + quoted(function) + `}}`
}

// oneTool is a list with one tool of that function.
func oneTool(function string) string { return `[{"type":"function","function":` + function + `}]` }

// tooNegatives are the tools that must be refused (TOO).
var tooNegatives = []negative{
	{clause: "TOO-001", probe: "bad.tools", why: "tools is a list of functions with names, and not empty", cases: []edit{
		set("tools", "[]"), set("tools", "{}"),
		set("tools", `[{"type":"foo","function":{"name":"f"}}]`).called("tool of type foo"),
		set("tools", oneTool("{}")).called("function without name"),
	}},
	{clause: "TOO-002", probe: "bad.tools", why: "a name has 1 to 64 letters, digits, _ and -", cases: []edit{
		set("tools", oneTool(`{"name":"a b"}`)).called("name with a space"),
		set("tools", oneTool(`{"name":`+quoted(strings.Repeat("n", 65))+`}`)).called("name of 65"),
		set("tools", oneTool(`{"name":""}`)).called("name empty"),
	}},
	{clause: "TOO-003", probe: "bad.tools", why: "parameters is a JSON Schema, which has no type nope", cases: []edit{
		set("tools", oneTool(`{"name":"f","parameters":{"type":"nope"}}`)).called("parameters of type nope"),
	}},
	{clause: "TOO-004", probe: "bad.tools", why: "there are no tools to choose from", cases: each("tool_choice", `"auto"`)},
	{clause: "TOO-005", probe: "bad.tools", why: "there is no such tool", cases: []edit{
		set("tools", bothTools, "tool_choice", choosing("ring_bell")).called("another tool"),
	}},
	{clause: "TOO-012", probe: "bad.tools", why: "which call is answered is not said", cases: []edit{
		set("tools", bothTools, "messages", toolTurns("")).called("no tool_call_id"),
	}},
}

// toolTurns is a conversation in which a tool was called and has answered, with a
// further member of its message.
func toolTurns(member string) string {
	return `[{"role":"user","content":` + quoted(toolsPrompt) + `},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"set_light","arguments":"{\"on\": true}"}}]},` +
		`{"role":"tool","content":"The light is on."` + member + `}]`
}

// tooProbes are about tools (TOO); what is bad of them and of formats is sent together.
var tooProbes = append(negativeProbes(slices.Concat(tooNegatives, fmtNegatives)),
	probe{name: "tools.llama", dialects: []string{DialectLlamaV1}, routes: chatOnly, asks: func(f *Facts) []ask {
		tool := body{"type": "function", "function": body{"name": "get_weather", "parameters": body{"type": "object", "properties": body{"city": body{"type": "string"}}}}}
		one := ask{prompt: plainPrompt(f.Route), body: f.greedy(8).with(body{"tools": []body{tool}})}
		return []ask{one, one}
	}},
	probe{name: "tools", dialects: notLlama, routes: chatOnly, tests: []string{"tools", "tool_choice"}, asks: func(f *Facts) []ask {
		one := func(label string, members ...string) ask {
			members = append([]string{"temperature", "0", "max_tokens", "64", "tools", bothTools}, members...)
			return ask{label: label, wire: wire{raw: rawBody(f, toolsPrompt, members...)}}
		}
		return []ask{
			one("set_light", "tool_choice", choosing("set_light")),
			one("open_door", "tool_choice", choosing("open_door")),
			one("stream", "tool_choice", choosing("open_door"), "stream", "true"),
			one("required", "tool_choice", `"required"`),
			one("none", "tool_choice", `"none"`, "max_tokens", "16"),
			one("answered", "messages", toolTurns(`,"tool_call_id":"call_1"`), "max_tokens", "16"),
		}
	}},
)
