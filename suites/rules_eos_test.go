package suites

// eosGood is what a good target answers to the probes of EOS.
func eosGood(f *Facts) []transcript {
	short := made{pieces: []string{"Yes", ", it", " is."}, reason: "stop"}
	going := made{pieces: append([]string{"Yes", ", it", " is."}, words(shortTokens-3)...), reason: "length"}
	sent := body{"temperature": 0, "max_tokens": shortTokens}
	return []transcript{
		labelledAs("plain", plainly(f.Route, "eos.default", sent, short)),
		labelledAs("stream", streamly(f.Route, "eos.default", sent, short)),
		plainly(f.Route, "short.endless", body{"temperature": 0, "max_tokens": shortTokens, "ignore_eos": true}, going),
	}
}

// eosFaults are what breaks each clause of EOS.
var eosFaults = []fault{
	{clause: "EOS-001", probe: "short", edit: func(t *transcript) {
		t.sent["prompt"] = shortPrompts[0]
		says("length", words(shortTokens)...)(t)
	}},
	{clause: "EOS-002", probe: "cap1", from: `"completion_tokens":1`, to: `"completion_tokens":2`},
	{clause: "EOS-002", probe: "long", from: `"length"`, to: `"stop"`},
	{clause: "EOS-003", probe: "eos.default", label: "stream", from: ` is.`, to: ` is. And`},
	{clause: "EOS-004", probe: "flags.quoted", label: "false", edit: says("length", words(shortTokens)...)},
	{clause: "EOS-005", probe: "stop", edit: says("length", words(longTokens)...)},
	{clause: "EOS-007", dialect: azure, probe: "extra", label: "ignore_eos", edit: accept200},
	{clause: "EOS-007", dialect: azure, probe: "extra", label: "pass known", edit: refuse400},
	{clause: "EOS-006", probe: "short.endless", from: `Yes`, to: `No`},
}
