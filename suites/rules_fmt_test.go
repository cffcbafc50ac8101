package suites

import "github.com/touchstone-llm/touchstone/schemas"

// fmtGood is what a good target answers to the probes of FMT.
func fmtGood(f *Facts) []transcript {
	if f.Route != schemas.Chat {
		return nil
	}
	ts := replies(f, "format.text", made{pieces: words(capped), reason: "length"})
	for _, t := range replies(f, "json.mode", made{pieces: []string{`{"cold"`, `: true}`}, reason: "stop"}) {
		if t.label == "cut" {
			t.body = plainly(f.Route, "", nil, made{[]string{`{"`, `cold`, `"`, `:`}, "length", nil}).body
		}
		ts = append(ts, t)
	}
	return append(ts, replies(f, "json.schema", made{pieces: []string{`{"cold": true, `, `"kind": "solid"}`}, reason: "stop"})...)
}

// saying is the edit that gives an answer another text and finish_reason.
func saying(text, reason string) func(*transcript) {
	return func(t *transcript) {
		t.body = plainly(schemas.Chat, t.probe, nil, made{[]string{text}, reason, nil}).body
	}
}

// fmtFaults are what breaks each clause of FMT.
var fmtFaults = append(negativeFaults(fmtNegatives), []fault{
	{clause: "FMT-001", dialect: azure, route: schemas.Chat, probe: "format.text", edit: another},
	{clause: "FMT-001", dialect: DialectOpenAI, route: schemas.Chat, probe: "format.text", edit: refuse400},
	{clause: "FMT-002", dialect: azure, route: schemas.Chat, probe: "json.mode", label: "json", edit: saying("Yes, it is.", "stop")},
	{clause: "FMT-002", dialect: DialectOpenAI, route: schemas.Chat, probe: "json.mode", label: "json", edit: saying(`"yes"`, "stop")},
	{clause: "FMT-004", dialect: azure, route: schemas.Chat, probe: "json.schema", edit: saying(`{"cold": "yes"}`, "stop")},
	{clause: "FMT-004", dialect: DialectOpenAI, route: schemas.Chat, probe: "json.schema", edit: status(500)},
	{clause: "FMT-005", dialect: azure, route: schemas.Chat, probe: "json.mode", label: "cut", edit: saying(`{"col`, "stop")},
}...)
