package reports

import (
	"fmt"
	"strings"
	"time"
)

// sample is a run with every kind of verdict, the way a middling endpoint
// would leave it.
func sample() *Result {
	const base = "https://llama.example.com"
	stream := func(last string) string {
		var b strings.Builder
		for _, word := range []string{"The", " stone", " is", " dark", "."} {
			fmt.Fprintf(&b, `data: {"id":"cmpl-1","object":"text_completion","created":1795492521,"model":"llama-8b","choices":[{"index":0,"text":%q,"finish_reason":null}]}`+"\n\n", word)
		}
		b.WriteString(last)
		b.WriteString("data: [DONE]\n\n")
		return b.String()
	}
	request := []string{"Authorization: Bearer [redacted]", "Content-Type: application/json"}
	events := []string{"Content-Type: text/event-stream", "Cache-Control: no-cache"}
	document := []string{"Content-Type: application/json", "Date: Tue, 24 Nov 2026 03:55:21 GMT"}

	r := &Result{
		Format:  Format,
		Tool:    Tool{Name: "touchstone", Version: "0.1.0"},
		Target:  Target{URL: base, Dialect: "llama-v1", Kind: "serverless", Model: "llama-8b"},
		Profile: "interop",
		Started: time.Date(2026, 11, 24, 3, 55, 18, 0, time.UTC),
		Seconds: 12.34,
		Calibration: []Fact{
			{Name: "control request", Route: "/v1/completions", Value: "200 in 41 ms", OK: true},
			{Name: "control request", Route: "/v1/chat/completions", Value: "200 in 44 ms", OK: true},
			{Name: "temperature 0 is repeatable", Route: "/v1/completions", Value: "5 of 5 equal", OK: true},
			{Name: "a prompt that ends by itself", Route: "/v1/completions", Value: "none of 8 prompts ended within 256 tokens", OK: false},
		},
		Capabilities: []Capability{
			{Parameter: "stream", Route: "completions", Support: "honoured", How: "events came", Exchange: "x2"},
			{Parameter: "stream", Route: "chat", Support: "honoured", How: "events came"},
			{Parameter: "use_beam_search", Route: "completions", Support: "refused", How: "accepted with two beams", Exchange: "x11"},
			{Parameter: "best_of", Route: "completions", Support: "silently ignored", How: "1 choice came of 3 candidates", Claimed: true},
		},
		Waivers: []Waiver{
			{Clause: "STR-018", Reason: "known, ticket 4711", Until: "2027-01-01", State: WaiverUsed},
			{Clause: "RSP-001", Reason: "the proxy was old", Until: "2027-01-01", State: WaiverStale},
			{Clause: "STR-009", Reason: "fixed in October", Until: "2026-10-31", State: WaiverEnded},
		},
		Areas: map[string]string{
			"RSP":  "Response shape",
			"FIN":  "finish_reason",
			"STR":  "Streaming",
			"BST":  "best_of",
			"BEAM": "Beam search",
		},
		Exchanges: map[string]Exchange{
			"x1": {
				Method: "POST", URL: base + "/v1/completions", RequestHeaders: request,
				RequestBody: `{"prompt":"What is a touchstone?","max_tokens":5,"temperature":0}`,
				Status:      200, ResponseHeaders: document,
				ResponseBody: `{"id":"cmpl-0","object":"text_completion","created":1795492521,"model":"llama-8b","choices":[{"index":0,"text":"The stone is dark.","finish_reason":"length","logprobs":null}],"usage":{"prompt_tokens":6,"completion_tokens":5,"total_tokens":11}}`,
				Milliseconds: 41.2,
			},
			"x2": {
				Method: "POST", URL: base + "/v1/completions", RequestHeaders: request,
				RequestBody: `{"prompt":"What is a touchstone?","max_tokens":5,"temperature":0,"stream":true}`,
				Status:      200, ResponseHeaders: events,
				ResponseBody: stream(`data: {"id":"cmpl-1","object":"text_completion","created":1795492521,"model":"llama-8b","choices":[{"index":0,"text":"","finish_reason":"length"}]}` + "\n\n" +
					`data: {"id":"cmpl-1","object":"text_completion","created":1795492521,"model":"llama-8b","choices":[{"index":0,"text":"","finish_reason":"stop"}]}` + "\n\n"),
				Milliseconds: 187.5,
			},
			"x10": {
				Method: "POST", URL: base + "/v1/chat/completions", RequestHeaders: request,
				RequestBody:  `{"messages":[{"role":"user","content":"안녕하세요 שלום 🙂"}],"max_tokens":64,"stream":true}`,
				Error:        "read tcp: connection reset by peer after 0 bytes",
				Milliseconds: 5000,
			},
			"x11": {
				Method: "POST", URL: base + "/v1/completions", RequestHeaders: request,
				RequestBody: `{"prompt":"x","use_beam_search":true,"best_of":2,"temperature":0}`,
				Status:      400, ResponseHeaders: document,
				ResponseBody: `{"error":{"message":"use_beam_search is not supported","type":"invalid_request_error","param":"use_beam_search","code":null}}`,
				Milliseconds: 3.1,
			},
		},
	}

	add := func(clause, level string, status Status, statement, source string, more ...func(*Verdict)) {
		area, _, _ := strings.Cut(clause, "-")
		v := Verdict{Clause: clause, Area: area, Level: level, Verdict: status, Statement: statement, Source: source}
		for _, m := range more {
			m(&v)
		}
		r.Verdicts = append(r.Verdicts, v)
	}
	reason := func(s string) func(*Verdict) { return func(v *Verdict) { v.Reason = s } }
	evidence := func(ids ...string) func(*Verdict) { return func(v *Verdict) { v.Evidence = ids } }
	finding := func(f Finding) func(*Verdict) {
		return func(v *Verdict) { v.Findings = append(v.Findings, f) }
	}

	add("RSP-001", "MUST", Pass, "Success is 200 with Content-Type application/json and exactly one JSON document.", "S:161-182", evidence("x1"))
	add("RSP-002", "MUST", Pass, "id, object, created, model, choices, usage are present.", "S:163-182, 348-367; D-tsp required", evidence("x1"))
	add("RSP-005", "MAY", Info, "id format is free (uuid, cmpl-, chatcmpl-, chat-).", "S:235 against V060, OAS", reason("ids look like cmpl-0"), evidence("x1"))
	add("RSP-010", "SHOULD", Warn, "created lies between request start and end (2 s skew, by the Date header).", "S:173",
		reason("created is 7 hours ahead of the Date header"), evidence("x1"),
		finding(Finding{Exchange: "x1", Route: "/v1/completions", Where: "created", Expected: "1795492519 to 1795492523", Seen: "1795517721"}))
	add("FIN-001", "MUST", Pass, "Value in {stop, length, content_filter, content_filter_error}; null only inside a stream.", "S:198-200, 386-388", evidence("x1", "x2"))
	add("FIN-008", "MUST", Inconclusive, "Natural EOS with ignore_eos:false → stop.", "S:200", reason("no prompt was found that ends by itself"))
	add("FIN-010", "MUST", Inconclusive, "Generation that hits the model context → length.", "S:109,200", reason("no prompt was found that ends by itself"))
	add("FIN-013", "MUST", Skip, "A tool call → tool_calls.", "D-chat; OAS", reason("llama-v1 has no tools"))
	add("STR-001", "MUST", Pass, "stream:true → 200 with Content-Type text/event-stream.", "S:105; EXP (a JSON body is silently read as an empty stream by openai-go, go-openai, langchaingo, openai-js)", evidence("x2"))
	add("STR-009", "MUST", Fail, "For each index exactly one chunk has a non-null finish_reason and it is the last chunk of that index.", "S:184-187; TGI PR 2336; vLLM issue 27572",
		reason("two chunks of index 0 carry a finish_reason"), evidence("x2", "x99"),
		finding(Finding{Exchange: "x2", Route: "/v1/completions", Where: "event 6, choices[0].finish_reason", Expected: "null, since event 7 is a later chunk of index 0", Seen: `"length"`,
			Curl: `curl -sN https://llama.example.com/v1/completions -H "Authorization: Bearer $TOUCHSTONE_API_KEY" -H 'Content-Type: application/json' -d '{"prompt":"What is a touchstone?","max_tokens":5,"temperature":0,"stream":true}'`}),
		finding(Finding{Exchange: "x2", Route: "/v1/completions", Where: "event 7, choices[0].finish_reason", Expected: "one finish_reason for index 0", Seen: "\"stop\"\nafter \"length\""}))
	add("STR-018", "MUST", Waived, "The concatenated stream equals the non-stream text at temperature 0.", "S:105",
		reason("waived until 2027-01-01: known, ticket 4711"), evidence("x1", "x2"),
		finding(Finding{Exchange: "x2", Route: "/v1/completions", Where: "text", Expected: "The stone is dark.", Seen: "The stone is dark"}))
	add("STR-036", "MUST", Error, "After [DONE] the HTTP message ends properly (final chunk or close).", "RFC 9112", reason("the rule panicked: index out of range [3] with length 3"), evidence("x10"))
	add("BST-001", "MUST", Pass, "best_of smaller than n → 4xx*.", "S:129, 295; V060; OAS")
	add("BEAM-004", "MUST", Unsupported, "use_beam_search:true,best_of:2,temperature:0 → 200 with n choices, or an explicit refusal that names the parameter when the engine lacks it.", "S:145; later vLLM has no such field in SamplingParams (PR 16459), server support varies by version",
		reason(`400: "use_beam_search is not supported"`), evidence("x11"))
	r.Summary = Summarise(r.Verdicts, r.Profile, 312, 18440, false)
	return r
}

// hostile is a run against an endpoint that attacks whoever reads the report.
func hostile() *Result {
	const attack = "</script><script>alert(1)</script><!--\"'`&amp;\x00\x1b[2J\a\u202egnp.\u2066\x7f\u0085\u2028\ufffe\xff\xed\xa0\x80]]>\r\n${alert(1)}<img src=x onerror=alert(1)>"
	return &Result{
		Format:       Format,
		Tool:         Tool{attack, attack},
		Target:       Target{URL: "javascript:alert(1)//" + attack, Dialect: attack, Kind: attack, Model: attack},
		Profile:      attack,
		Calibration:  []Fact{{Name: attack, Route: attack, Value: attack}},
		Capabilities: []Capability{{Parameter: attack, Route: attack, Support: attack, How: attack, Exchange: attack}},
		Waivers:      []Waiver{{Clause: attack, Reason: attack, Until: attack, State: WaiverStale}},
		Areas:        map[string]string{attack: attack},
		Verdicts: []Verdict{{
			Clause: attack, Area: attack, Level: attack, Verdict: Fail, Statement: attack, Source: attack, Reason: attack,
			Findings: []Finding{{Exchange: attack, Route: attack, Where: attack, Expected: attack, Seen: attack, Curl: attack}},
			Evidence: []string{attack},
		}},
		Exchanges: map[string]Exchange{attack: {
			Method: attack, URL: attack, RequestHeaders: []string{attack}, RequestBody: attack, Status: 200,
			ResponseHeaders: []string{attack}, ResponseBody: attack, Error: attack,
		}},
		Summary: Summarise([]Verdict{{Verdict: Fail}}, "interop", 1, 1, false),
	}
}

// large is a run of the size of the whole register.
func large() *Result {
	r := sample()
	one := r.Exchanges["x2"]
	one.ResponseBody = strings.Repeat(one.ResponseBody, 12)
	var ids []string
	for i := range 700 {
		id := fmt.Sprintf("x%d", 100+i)
		ids = append(ids, id)
		r.Exchanges[id] = one
	}
	for area := range 24 {
		for i := range 20 {
			v := r.Verdicts[(area+i*i)%len(r.Verdicts)]
			if v.Verdict == Fail && i > 3 {
				v = r.Verdicts[0]
			}
			v.Area = fmt.Sprintf("A%02d", area)
			v.Clause = fmt.Sprintf("%s-%03d", v.Area, i)
			v.Evidence = ids[area*20:][:1+(i*i)%200]
			r.Verdicts = append(r.Verdicts, v)
		}
	}
	r.Summary = Summarise(r.Verdicts, r.Profile, 712, 184400, false)
	return r
}
