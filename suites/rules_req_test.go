package suites

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/schemas"
)

// reqGood is what a good target answers to the probes of REQ.
func reqGood(f *Facts) []transcript {
	sixteen := made{pieces: words(capped), reason: "length"}
	four := made{pieces: words(4), reason: "length"}
	var ts []transcript
	for _, n := range reqNegatives {
		if !slices.ContainsFunc(ts, func(t transcript) bool { return t.probe == n.probe }) {
			ts = append(ts, refusals(f, n.probe)...)
		}
	}
	for _, name := range []string{"path", "comma", "twice", "bytes", "model.bad", "prompt.array", "bad.values", "n.huge", "n.greedy", "unknown", "flags.quoted", "length.zero", "top_p.zero"} {
		ts = append(ts, refusals(f, name)...)
	}
	for _, name := range []string{"chunked", "accept", "top_p.one", "temperatures", "temperature.azure", "flags", "surrogates", "scripts", "prompt.empty"} {
		ts = append(ts, replies(f, name, four)...)
	}
	for _, name := range []string{"gzip", "model.names", "default.length", "default.null"} {
		ts = append(ts, replies(f, name, sixteen)...)
	}
	ts = append(ts, refusal("oversize", body{}, "", "too large"))
	for i := range ts {
		if t := &ts[i]; t.probe == "path" {
			t.status = 404
			t.header.Set("X-Ms-Error-Code", "NotFound")
		}
	}
	for _, t := range refusals(f, "methods") {
		t.status = 405
		t.header.Set("Allow", "OPTIONS, POST")
		ts = append(ts, t)
	}
	ts = append(ts, relabel(replies(f, "content-type", four), "text", func(t transcript) transcript { refuse400(&t); t.status = 415; return t })...)
	ts = append(ts, relabel(replies(f, "length.forms", sixteen), "quoted", func(t transcript) transcript { refuse400(&t); return t })...)
	ts = append(ts, refusals(f, "two.bad")...)
	ts = relabel(ts, "two", func(t transcript) transcript {
		t.body = `{"error":{"message":"top_p must be in (0, 1]","type":"x","param":null,"code":null}}`
		return t
	})
	for _, t := range replies(f, "stream.values", four) {
		if strings.ContainsAny(t.label, `"012`) {
			refuse400(&t)
		}
		ts = append(ts, t)
	}
	for _, t := range replies(f, "penalties", four) {
		if strings.Contains(t.label, ".01") {
			refuse400(&t)
		}
		ts = append(ts, t)
	}
	for _, a := range asksOf(f, "length") {
		ts = append(ts, answering(f, "length", a, plainly(f.Route, "", nil, made{words(a.body["max_tokens"].(int)), "length", nil})))
	}
	for _, a := range asksOf(f, "length.other") {
		ts = append(ts, answering(f, "length.other", a, plainly(f.Route, "", nil, made{words(otherLength), "length", nil})))
	}
	for _, t := range replies(f, "penalty.effect", sixteen) {
		t.body = strings.ReplaceAll(t.body, " w03", " "+t.label)
		ts = append(ts, t)
	}
	for _, a := range asksOf(f, "prompt.batch") {
		one, two := made{[]string{" one"}, "stop", nil}, made{[]string{" two"}, "stop", nil}
		choices := map[string][]made{"batch": {one, two}, "first": {one}, "second": {two}}[a.label]
		t := plainly(f.Route, "", nil, choices...)
		if a.label == "batch" {
			t.body = strings.NewReplacer(`"prompt_tokens":5`, `"prompt_tokens":10`, `"total_tokens":7`, `"total_tokens":12`).Replace(t.body)
		}
		ts = append(ts, answering(f, "prompt.batch", a, t))
	}
	for _, t := range replies(f, "prompt.ids", four) {
		t.body = strings.Replace(t.body, `"prompt_tokens":5`, `"prompt_tokens":3`, 1)
		t.body = strings.Replace(t.body, `"total_tokens":9`, `"total_tokens":7`, 1)
		ts = append(ts, t)
	}
	return append(ts, replies(f, "echo", made{[]string{"hi", " there"}, "stop", nil})...)
}

// zipped compresses a body and lets it arrive in one read.
func zipped(t *transcript) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(t.body))
	_ = z.Close()
	t.body = b.String()
	t.header.Set("Content-Encoding", "gzip")
}

func another(t *transcript) { t.body = strings.Replace(t.body, " w01", " x", 1) }

// reqFaults are what breaks each clause of REQ.
var reqFaults = append(negativeFaults(reqNegatives), []fault{
	{clause: "REQ-001", probe: "methods", label: "GET", edit: accept200},
	{clause: "REQ-002", probe: "methods", edit: func(t *transcript) { t.header.Set("Allow", "GET, HEAD") }},
	{clause: "REQ-003", probe: "path", edit: accept200},
	{clause: "REQ-003", probe: "path", edit: func(t *transcript) { t.body = "<html>" }},
	{clause: "REQ-004", probe: "content-type", label: "charset", edit: status(415)},
	{clause: "REQ-005", probe: "content-type", label: "text", edit: accept200},
	{clause: "REQ-008", probe: "comma", edit: accept200},
	{clause: "REQ-010", probe: "twice", edit: onlyOnce(accept200)},
	{clause: "REQ-010", probe: "twice", edit: status(500)},
	{clause: "REQ-011", probe: "scripts", edit: refuse400},
	{clause: "REQ-012", probe: "surrogates", label: "escaped", from: `"prompt_tokens":5`, to: `"prompt_tokens":9`},
	{clause: "REQ-012", probe: "surrogates", label: "escaped", edit: another},
	{clause: "REQ-013", probe: "bytes", label: "ff fe", edit: status(500)},
	{clause: "REQ-013", probe: "bytes", label: "lone surrogate", edit: func(t *transcript) { t.status, t.error = 0, "timeout: no response after 1m" }},
	{clause: "REQ-014", probe: "bytes", label: "NUL", edit: status(500)},
	{clause: "REQ-015", probe: "oversize", edit: func(t *transcript) { t.status, t.error = 0, "no response: connection reset" }},
	{clause: "REQ-016", probe: "chunked", edit: refuse400},
	{clause: "REQ-017", probe: "accept", label: "application/json", edit: accept200},
	{clause: "REQ-017", probe: "accept", label: "plain", edit: status(406)},
	{clause: "REQ-017", probe: "accept", label: "text/event-stream", edit: func(t *transcript) {
		t.body = strings.NewReplacer(`"text":"`, `"text":"x`, `"content":"`, `"content":"x`).Replace(t.body)
	}},
	{clause: "REQ-018", probe: "gzip", label: "stream", edit: zipped},
	{clause: "REQ-018", probe: "gzip", label: "plain", edit: another},
	{clause: "REQ-019", probe: "model.names", label: "azureai", edit: refuse400},
	{clause: "REQ-020", probe: "model.names", label: "unknown", edit: status(500)},
	{clause: "REQ-021", dialect: DialectOpenAI, probe: "model.bad", label: "absent", edit: accept200},
	{clause: "REQ-025", probe: "prompt.empty", edit: status(500)},
	{clause: "REQ-026", probe: "prompt.array", edit: accept200},
	{clause: "REQ-027", dialect: DialectAzureInference, probe: "prompt.batch", label: "batch", edit: accept200},
	{clause: "REQ-028", dialect: DialectAzureInference, probe: "prompt.batch", label: "batch", from: `"index":1`, to: `"index":0`},
	{clause: "REQ-029", dialect: DialectOpenAI, probe: "prompt.ids", from: `"prompt_tokens":3`, to: `"prompt_tokens":7`},
	{clause: "REQ-031", probe: "stream.values", label: "stream null", edit: func(t *transcript) { t.header, t.body = sseHeader(), "data: {}\n\n" }},
	{clause: "REQ-032", probe: "stream.values", label: `stream "True"`, edit: accept200},
	{clause: "REQ-033", probe: "stream.values", label: "stream 2", edit: accept200},
	{clause: "REQ-034", probe: "default.length", label: "plain", from: `"completion_tokens":16`, to: `"completion_tokens":256`},
	{clause: "REQ-035", route: schemas.Chat, probe: "default.length", label: "stream", from: " w15", to: ""},
	{clause: "REQ-036", dialect: DialectAzureInference, probe: "default.length", label: "plain", from: `"completion_tokens":16`, to: `"completion_tokens":400`},
	{clause: "REQ-037", dialect: DialectAzureInference, route: schemas.Chat, probe: "default.null", edit: another},
	{clause: "REQ-038", probe: "length", from: `"completion_tokens":9`, to: `"completion_tokens":10`},
	{clause: "REQ-040", probe: "length.zero", label: "1", edit: accept200},
	{clause: "REQ-042", probe: "length.forms", label: "16.0", edit: another},
	{clause: "REQ-043", probe: "length.forms", label: "quoted", edit: func(t *transcript) {
		accept200(t)
		t.body = strings.Replace(t.body, `"completion_tokens":1`, `"completion_tokens":16`, 1)
	}},
	{clause: "REQ-045", probe: "bad.values", label: "n 2147483648", edit: status(500)},
	{clause: "REQ-048", probe: "top_p.zero", label: "1", edit: status(500)},
	{clause: "REQ-049", probe: "top_p.one", label: "top_p 1", edit: refuse400},
	{clause: "REQ-050", probe: "temperatures", label: "temperature 2", edit: refuse400},
	{clause: "REQ-053", dialect: DialectAzureInference, probe: "temperature.azure", edit: status(500)},
	{clause: "REQ-054", probe: "bad.values", label: "temperature []", edit: accept200},
	{clause: "REQ-055", probe: "n3", from: `"index":2`, to: `"index":2},{"index":3`},
	{clause: "REQ-058", probe: "n.huge", edit: func(t *transcript) { t.took = 9 * time.Second }},
	{clause: "REQ-058", probe: "n.huge", edit: status(500)},
	{clause: "REQ-059", probe: "n.greedy", edit: func(t *transcript) {
		like := plainly(schemas.Completions, t.probe, nil, made{[]string{" a"}, "length", nil}, made{[]string{" b"}, "length", nil})
		like.label, like.wire = t.label, t.wire
		*t = like
	}},
	{clause: "REQ-060", probe: "stops", label: "letters", edit: another},
	{clause: "REQ-060", probe: "stops", label: "no list", edit: says("stop", " w00")},
	{clause: "REQ-060", probe: "det", label: "null", edit: refusedAs("stop")},
	{clause: "REQ-063", probe: "penalties", label: "presence_penalty -2", edit: refuse400},
	{clause: "REQ-063", probe: "penalties", label: "presence_penalty 2.01", edit: accept200},
	{clause: "REQ-064", dialect: DialectOpenAI, probe: "penalties", label: "frequency_penalty 2.01", edit: accept200},
	{clause: "REQ-065", probe: "penalty.effect", edit: func(t *transcript) { t.body = strings.Replace(t.body, " -2", " 2", 1) }},
	{clause: "REQ-066", probe: "flags", label: "skip_special_tokens null", edit: refuse400},
	{clause: "REQ-067", probe: "flags.quoted", label: "false", edit: func(t *transcript) {
		accept200(t)
		t.body = strings.Replace(t.body, `"completion_tokens":1`, `"completion_tokens":64`, 1)
	}},
	{clause: "REQ-070", probe: "bad.values", label: "best_of -1", edit: accept200},
	{clause: "REQ-070", route: schemas.Chat, probe: "bad.values", label: "best_of 0", edit: status(500)},
	{clause: "REQ-071", probe: "unknown", edit: onlyOnce(accept200)},
	{clause: "REQ-071", probe: "unknown", edit: accept200},
	{clause: "REQ-074", probe: "length.other", edit: func(t *transcript) {
		t.body = strings.Replace(t.body, `"completion_tokens":24`, `"completion_tokens":16`, 1)
	}},
	{clause: "REQ-075", probe: "two.bad", label: "early", edit: func(t *transcript) { t.took = 3 * time.Second }},
	{clause: "REQ-076", probe: "two.bad", label: "two", edit: refuse400},
	{clause: "REQ-077", probe: "bytes", label: "deep", edit: func(t *transcript) { t.status = http.StatusBadGateway }},
	{clause: "REQ-078", dialect: DialectOpenAI, probe: "echo", from: `"hi`, to: `"hihi`},
}...)
