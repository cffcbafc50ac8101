package suites

import (
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// upTo is the answer to the control prompt as a stop string cuts it.
func upTo(f *Facts, stop string) made {
	m := made{pieces: words(capped), reason: "length"}
	text := until(f.Capped, stop)
	if text == f.Capped {
		return m
	}
	m = made{reason: "stop"}
	for _, w := range words(capped) {
		if text == "" {
			break
		}
		n := min(len(w), len(text))
		m.pieces, text = append(m.pieces, text[:n]), text[n:]
	}
	return m
}

// stpGood is what a good target answers to the probes of STP.
func stpGood(f *Facts) []transcript {
	s := stopsOf(f)
	var ts []transcript
	add := func(label string, stop any, cut string) {
		sent := body{"temperature": 0, "max_tokens": capped, "stop": stop}
		ts = append(ts, labelledAs(label, plainly(f.Route, "stops", sent, upTo(f, cut))))
	}
	list := func(ss ...string) []string { return ss }
	add("twice", list(s.twice), s.twice)
	add("string", s.early, s.early)
	add("order", list(s.early, s.late), s.early)
	add("disorder", list(s.late, s.early), s.early)
	add("miss", list(neverSaid), "")
	add("across", list(s.across), s.across)
	add("inside", list(s.inside), s.inside)
	add("prompt", list(s.prompt), "")
	add("literal", list(s.capitals, ".*"), "")
	add("spaced", list(s.spaced), s.spaced)
	add("opening", list(s.opening), s.opening)
	add("absurd", list(strings.Repeat("x", longStop)), "")
	add("no list", []string{}, "")
	add("letters", "w☃☃", "")
	for _, label := range []string{"empty", "empty list"} {
		ts = append(ts, labelledAs(label, refusal("stops", body{"stop": ""}, "stop", "stop cannot contain an empty string.")))
	}
	eightCut := made{pieces: append(words(6), " gard"), reason: "stop"}
	byID := made{pieces: words(3), reason: "stop"}
	sent := func(more body) body {
		return body{"temperature": 0, "max_tokens": idTokens, "ignore_eos": true, "stop_token_ids": []int{3, 4}}.with(more)
	}
	hidden := made{pieces: []string{"Yes", ", it", " is.", "", " w00", " w01"}, reason: "length"}
	shown := made{pieces: []string{"Yes", ", it", " is.", "<|eot_id|>", " w00", " w01"}, reason: "length"}
	special := func(skip any) body {
		return body{"temperature": 0, "max_tokens": 6, "ignore_eos": true, "skip_special_tokens": skip}
	}
	plain16 := made{pieces: words(capped), reason: "length"}
	return append(ts,
		plainly(f.Route, "stops.wide", body{"temperature": 0, "max_tokens": 32, "stop": []string{wideStop(f.Wide.Answer)}}, made{[]string{"안"}, "stop", nil}),
		plainly(f.Route, "stops.n", body{"n": 2, "seed": 7, "max_tokens": 8, "stop": "e"}, eightCut, eightCut),
		labelledAs("low", plainly(f.Route, "stop_ids", sent(nil), byID)),
		labelledAs("next", plainly(f.Route, "stop_ids", sent(nil), byID)),
		labelledAs("stream", streamly(f.Route, "stop_ids", sent(nil), byID)),
		labelledAs("stop first", plainly(f.Route, "stop_ids", sent(body{"stop": "w0"}), made{[]string{" "}, "stop", nil})),
		labelledAs("stop later", plainly(f.Route, "stop_ids", sent(body{"stop": "w20"}), byID)),
		labelledAs("empty", plainly(f.Route, "stop_ids.none", body{"stop_token_ids": []int{}}, plain16)),
		labelledAs("negative", refusal("stop_ids.none", body{"stop_token_ids": []int{-1}}, "stop_token_ids", "0 or above")),
		labelledAs("beyond", plainly(f.Route, "stop_ids.none", body{"stop_token_ids": []int{1e9}}, plain16)),
		labelledAs("hidden", plainly(f.Route, "special", special(true), hidden)),
		labelledAs("shown", plainly(f.Route, "special", special(false), shown)),
		labelledAs("null", plainly(f.Route, "special", special(nil), hidden)),
	)
}

// says replaces the answer, whatever it was, by one text.
func says(reason string, pieces ...string) func(*transcript) {
	return func(t *transcript) {
		*t = labelledAs(t.label, plainly(schemas.Completions, t.probe, t.sent, made{pieces, reason, nil}))
	}
}

func fails500(t *transcript) { t.status, t.body = 500, `{"error":{"message":"internal"}}` }

// stpFaults are what breaks each clause of STP.
var stpFaults = []fault{
	{clause: "STP-001", probe: "stops", label: "twice", edit: says("stop", " w00 w01 w02")},
	{clause: "STP-002", probe: "stops", label: "string", edit: says("stop", " ")},
	{clause: "STP-003", probe: "stops", label: "disorder", edit: says("stop", words(12)...)},
	{clause: "STP-004", probe: "stops", label: "miss", edit: says("length", words(8)...)},
	{clause: "STP-005", probe: "stops", label: "across", edit: says("length", words(capped)...)},
	{clause: "STP-005", probe: "stops", label: "inside", edit: says("length", words(capped)...)},
	{clause: "STP-006", probe: "stops", label: "prompt", edit: says("stop", "")},
	{clause: "STP-007", probe: "stops", label: "literal", edit: says("stop", "")},
	{clause: "STP-008", probe: "stops", label: "spaced", edit: says("stop", words(6)...)},
	{clause: "STP-008", probe: "stops.wide", edit: says("stop", "안녕", "하세요")},
	{clause: "STP-009", probe: "stops", label: "opening", edit: fails500},
	{clause: "STP-009", probe: "stops", label: "opening", from: `"text":""`, to: `"text":null`},
	{clause: "STP-009", probe: "stops", label: "opening", from: `"stop"`, to: `"length"`},
	{clause: "STP-010", probe: "stops", label: "empty", edit: says("stop", "")},
	{clause: "STP-010", probe: "stops", label: "empty list", edit: fails500},
	{clause: "STP-011", probe: "stops", label: "absurd", edit: fails500},
	{clause: "STP-012", probe: "stops", label: "across", from: `"completion_tokens":`, to: `"completion_tokens":0,"x":`},
	{clause: "STP-013", probe: "stops.n", from: ` gard"`, to: `"`},
	{clause: "STP-014", probe: "stop_ids", edit: says("length", words(idTokens)...)},
	{clause: "STP-014", probe: "stop_ids", label: "low", from: `"stop"`, to: `"length"`},
	{clause: "STP-015", probe: "stop_ids", label: "stream", from: ` w02`, to: ``},
	{clause: "STP-016", probe: "stop_ids.none", label: "empty", edit: fails500},
	{clause: "STP-016", probe: "det", label: "null", edit: refusedAs("stop_token_ids")},
	{clause: "STP-017", probe: "stop_ids.none", label: "beyond", edit: fails500},
	{clause: "STP-018", probe: "stop_ids", label: "stop first", edit: says("stop", words(3)...)},
	{clause: "STP-018", probe: "stop_ids", label: "stop later", edit: says("stop", words(20)...)},
	{clause: "STP-019", probe: "special", label: "hidden", from: ` is.`, to: ` is.<|eot_id|>`},
	{clause: "STP-020", probe: "special", label: "shown", from: `\u003c|eot_id|\u003e`, to: ``},
	{clause: "STP-021", probe: "special", label: "null", from: ` is.`, to: ` is.<|eot_id|>`},
	{clause: "STP-022", probe: "special", label: "hidden", from: `"completion_tokens":6`, to: `"completion_tokens":5`},
	{clause: "STP-023", probe: "stops", label: "twice", from: `"finish_reason":"stop"`, to: `"finish_reason":"w0"`},
}
