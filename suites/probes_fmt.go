package suites

// jsonPrompt names JSON, since OpenAI refuses json_object where no message does.
const jsonPrompt = "Is ice cold? Answer in JSON."

// iceSchema is small, so that any model that is held to it soon ends.
const iceSchema = `{"type":"object","properties":{"cold":{"type":"boolean"},"kind":{"type":"string","enum":["solid","liquid"]}},` +
	`"required":["cold","kind"],"additionalProperties":false}`

// fmtNegatives are the formats that must be refused (FMT).
var fmtNegatives = []negative{
	{clause: "FMT-003", probe: "bad.tools", why: "response_format is an object of a known type", cases: each("response_format", `{"type":"xml"}`, `"json"`)},
}

// fmtProbes are about formats of answers (FMT).
var fmtProbes = []probe{
	{name: "json.mode", routes: chatOnly, dialects: notLlama, tests: []string{"response_format"}, asks: func(f *Facts) []ask {
		return []ask{
			formatted(f, "json", `{"type":"json_object"}`, "64"),
			formatted(f, "cut", `{"type":"json_object"}`, "4"),
		}
	}},
	{name: "json.schema", routes: chatOnly, dialects: notLlama, tests: []string{"response_format"}, asks: func(f *Facts) []ask {
		return []ask{formatted(f, "schema", `{"type":"json_schema","json_schema":{"name":"ice","strict":true,"schema":`+iceSchema+`}}`, "64")}
	}},
	{name: "format.text", routes: chatOnly, dialects: notLlama, tests: []string{"response_format"}, asks: func(f *Facts) []ask {
		return []ask{{label: "text", prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"response_format": body{"type": "text"}})}}
	}},
}

// formatted asks for an answer in a format.
func formatted(f *Facts, label, format, maxTokens string) ask {
	return ask{label: label, wire: wire{raw: rawBody(f, jsonPrompt, "temperature", "0", "max_tokens", maxTokens, "response_format", format)}}
}
