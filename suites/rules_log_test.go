package suites

import (
	"regexp"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// labelledAs is a transcript with a label.
func labelledAs(label string, t transcript) transcript {
	t.label = label
	return t
}

// numbered is a choice of n tokens with log probabilities.
func numbered(n int, reason string) made {
	return made{pieces: words(n), reason: reason, logprobs: flat(n, -0.5)}
}

// logGood is what a good target answers to the probes of LOG.
func logGood(f *Facts) []transcript {
	greedy := func(n int, k any) body { return body{"temperature": 0, "max_tokens": n, "logprobs": k} }
	wide := made{pieces: []string{"안녕", "하세요"}, reason: "stop", logprobs: flat(2, -0.5)}
	list := func(n int, t transcript) transcript {
		t.sent = body{"top_logprobs": 2}.with(t.sent)
		if f.target.dialect() == DialectOpenAI && f.Route == schemas.Chat {
			entry := `{"token":"né","logprob":-0.5,"bytes":[110,195,169],"top_logprobs":[{"token":"né","logprob":-0.5,"bytes":null},{"token":"x","logprob":-2,"bytes":[120]}]}`
			t.body = asContent.ReplaceAllString(t.body, `"logprobs":{"content":[`+strings.Repeat(","+entry, n)[1:]+`]}`)
		}
		return t
	}
	return []transcript{
		plainly(f.Route, "logprobs.null", greedy(4, nil), made{words(4), "length", nil}),
		labelledAs("0", plainly(f.Route, "logprobs.k", greedy(8, 0), numbered(8, "length"))),
		labelledAs("5", plainly(f.Route, "logprobs.k", greedy(8, 5), numbered(8, "length"))),
		plainly(f.Route, "logprobs.wide", greedy(32, 1), wide),
		list(capped, plainly(f.Route, "logprobs.chat", greedy(capped, 2), numbered(capped, "length"))),
		list(1, streamly(f.Route, "logprobs.chat.stream", greedy(8, 2), numbered(8, "length"))),
		refusal("logprobs.absurd", greedy(1, tooMany), "logprobs", "Cannot request more than 20 logprobs."),
	}
}

// asContent finds log probabilities in the form of four arrays.
var asContent = regexp.MustCompile(`"logprobs":\{[^a-z]*"tokens".*?"text_offset":\[[0-9,]*\]\}`)

// logFaults are what breaks each clause of LOG.
var logFaults = []fault{
	{clause: "LOG-001", probe: "logprobs.null", from: `"logprobs":null`, to: `"logprobs":{"tokens":[]}`},
	{clause: "LOG-001", probe: "greedy.stream", from: `"logprobs":null`, to: `"logprobs":{"tokens":[]}`},
	{clause: "LOG-002", probe: "logprobs", from: `"top_logprobs"`, to: `"tops"`},
	{clause: "LOG-002", probe: "beam.greedy", edit: func(t *transcript) { t.sent["logprobs"] = 1; t.body = cutMember(t.body, "text_offset") }},
	{clause: "LOG-003", probe: "logprobs", from: `"text_offset"`, to: `"text_offsets":[],"text_offset"`},
	{clause: "LOG-004", route: schemas.Chat, probe: "logprobs.chat", from: `"tokens":[" w00",`, to: `"tokens":[`},
	{clause: "LOG-004", probe: "logprobs", from: `"token_logprobs":[`, to: `"token_logprobs":[-1,`},
	{clause: "LOG-004", probe: "logprobs.stream", from: `"tokens":[" w00"]`, to: `"tokens":[]`},
	{clause: "LOG-005", probe: "logprobs", from: `"completion_tokens":16`, to: `"completion_tokens":15`},
	{clause: "LOG-006", probe: "logprobs", from: `"token_logprobs":[-0.5`, to: `"token_logprobs":[0.6`},
	{clause: "LOG-006", probe: "logprobs", from: `"token_logprobs":[-0.5`, to: `"token_logprobs":[null`},
	{clause: "LOG-006", probe: "logprobs.stream", from: `"token_logprobs":[-0.5`, to: `"token_logprobs":[0.6`},
	{clause: "LOG-007", probe: "logprobs", from: `"tokens":[" w00",`, to: `"tokens":["w00",`},
	{clause: "LOG-008", probe: "logprobs", from: `{" w00":-0.5}`, to: `{" w00":-0.5,"a":-3,"b":-3,"c":-3}`},
	{clause: "LOG-008", probe: "logprobs.stream", from: `{" w00":-0.5}`, to: `{" w00":-0.5,"a":-3,"b":-3,"c":-3}`},
	{clause: "LOG-009", probe: "logprobs", from: `{" w00":-0.5}`, to: `{" w00":-0.6}`},
	{clause: "LOG-009", probe: "logprobs.stream", from: `{" w00":-0.5}`, to: `{" w00":-0.6}`},
	{clause: "LOG-009", probe: "logprobs", from: `{" w00":-0.5}`, to: `{"x":-0.5}`},
	{clause: "LOG-010", probe: "logprobs", from: `{" w00":-0.5}`, to: `{" w00":-0.5,"x":0.1}`},
	{clause: "LOG-010", probe: "logprobs", from: `{" w00":-0.5}`, to: `{" w00":-0.5,"x":-0.5}`},
	{clause: "LOG-011", probe: "logprobs", from: `{" w00":-0.5}`, to: `{" w00":-0.5,"x":-0.4}`},
	{clause: "LOG-012", probe: "logprobs.k", label: "0", edit: func(t *transcript) {
		*t = labelledAs("0", plainly(schemas.Completions, t.probe, t.sent, made{words(8), "length", nil}))
	}},
	{clause: "LOG-013", probe: "logprobs", from: `"text_offset":[0,`, to: `"text_offset":[44,`},
	{clause: "LOG-013", probe: "logprobs", from: `"text_offset":[0,4,8`, to: `"text_offset":[0,8,4`},
	{clause: "LOG-014", probe: "logprobs.wide", from: `"text_offset":[0,2]`, to: `"text_offset":[0,6]`},
	{clause: "LOG-015", route: schemas.Chat, probe: "logprobs.chat", edit: func(t *transcript) {
		*t = plainly(schemas.Chat, t.probe, t.sent, made{words(capped), "length", nil})
	}},
	{clause: "LOG-016", dialect: DialectOpenAI, route: schemas.Chat, probe: "logprobs.chat", from: `"content":[{`, to: `"contents":[{`},
	{clause: "LOG-016", dialect: DialectOpenAI, route: schemas.Chat, probe: "logprobs.chat.stream", from: `,"bytes":[110,195,169]`, to: ``},
	{clause: "LOG-018", dialect: DialectOpenAI, route: schemas.Chat, probe: "logprobs.chat", from: `"logprob":-2`, to: `"logprob":-0.1`},
	{clause: "LOG-018", dialect: DialectOpenAI, route: schemas.Chat, probe: "logprobs.chat", edit: func(t *transcript) { t.sent["top_logprobs"] = 1 }},
	{clause: "LOG-019", dialect: DialectOpenAI, route: schemas.Chat, probe: "logprobs.chat", from: `[110,195,169]`, to: `[110,233]`},
	{clause: "LOG-023", dialect: azure, route: schemas.Chat, probe: "extra.chat", label: "logprobs", edit: accept200},
	{clause: "LOG-023", dialect: azure, route: schemas.Chat, probe: "extra.chat", label: "logprobs passed", from: `"logprobs":{"tokens":[" w00"]}`, to: `"logprobs":null`},
	{clause: "LOG-020", probe: "logprobs.absurd", edit: accepted},
	{clause: "LOG-021", probe: "logprobs", from: ` w03`, to: ` x03`},
	{clause: "LOG-022", probe: "reasons", from: `"tokens":[" w00"`, to: `"tokens":[" x00"`},
}

// cutMember renames a member so that nobody finds it.
func cutMember(body, name string) string { return strings.ReplaceAll(body, `"`+name+`"`, `"gone"`) }
