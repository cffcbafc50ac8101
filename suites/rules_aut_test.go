package suites

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// autGood is what a good target answers to the probes of AUT.
func autGood(f *Facts) []transcript {
	four := made{pieces: words(4), reason: "length"}
	var ts []transcript
	for _, name := range []string{"auth", "auth.forms", "auth.families", "auth.azure", "auth.keys", "auth.time"} {
		for _, a := range asksOf(f, name) {
			switch a.label {
			case "right", "lower", "second", "api-key", "both":
				ts = append(ts, answering(f, name, a, plainly(f.Route, "", nil, four)))
				continue
			}
			t := answering(f, name, a, refusal(name, nil, "", "The key is not valid."))
			t.status = 401
			t.header.Set("Www-Authenticate", "Bearer")
			t.header.Set("X-Ms-Error-Code", "401")
			ts = append(ts, t)
		}
	}
	return ts
}

// errGood is what a good target answers to the probes of ERR.
func errGood(f *Facts) []transcript {
	ts := append(refusals(f, "again"), refusals(f, "embeddings")...)
	for i := range ts {
		if ts[i].probe == "embeddings" {
			ts[i].status = 404
		}
	}
	for _, p := range []string{"bad.numbers", "bad.lists", "bad.body"} {
		ts = append(ts, answering(f, after.name, ask{label: p, prompt: "p", body: body{"max_tokens": 1}}, plainly(f.Route, "", nil, made{words(1), "length", nil})))
	}
	return ts
}

// named makes refusals name the parameter that their label begins with.
func named(ts []transcript) []transcript {
	for i := range ts {
		if name, _, ok := strings.Cut(ts[i].label, " "); ok && strings.HasPrefix(ts[i].probe, "bad.") {
			ts[i].body = `{"error":{"message":"` + name + ` is bad","type":"invalid_request_error","param":"` + name + `","code":null}}`
		}
	}
	return ts
}

// A key that other text may hold by chance says nothing, nor does a cookie.
func TestKeysThatErrorsShow(t *testing.T) {
	g := goodOf(DialectLlamaV1, schemas.Completions)
	for key, want := range map[string]reports.Status{"e": reports.Inconclusive, "no-key-of-theirs": reports.Pass, "error": reports.Pass} {
		f := *g.facts
		f.target.Key = key
		if got := judge("AUT-009", schemas.Must, &f, g.replies); got.status != want {
			t.Errorf("%q: %s %s", key, got.status, got.reason)
		}
	}
	replies := slices.Clone(g.replies)
	for i, x := range g.transcripts {
		if x.probe == "auth" && x.label == "wrong" {
			x.header = x.header.Clone()
			x.header.Set("Set-Cookie", exchange.Redacted)
			replies[i] = x.reply(g.facts, i)
		}
	}
	if got := judge("AUT-009", schemas.Must, g.facts, replies); got.status != reports.Pass {
		t.Errorf("a cookie: %s %s", got.status, got.reason)
	}
}

// autFaults are what breaks each clause of AUT.
var autFaults = []fault{
	{clause: "AUT-001", probe: "auth", label: "none", edit: accept200},
	{clause: "AUT-002", probe: "auth", label: "wrong", edit: accept200},
	{clause: "AUT-003", probe: "auth", label: "right", edit: status(401)},
	{clause: "AUT-004", probe: "auth.forms", label: "bare", edit: status(500)},
	{clause: "AUT-005", probe: "auth.forms", label: "lower", edit: status(401)},
	{clause: "AUT-006", dialect: azure, probe: "auth.azure", label: "both", edit: status(400)},
	{clause: "AUT-007", probe: "auth.forms", label: "more", edit: accept200},
	{clause: "AUT-008", probe: "auth.forms", label: "broken", edit: status(422)},
	{clause: "AUT-009", probe: "auth", label: "wrong", edit: func(t *transcript) {
		t.body = strings.Replace(t.body, "The key", "The key "+wrongKey, 1)
	}},
	{clause: "AUT-010", probe: "auth", edit: func(t *transcript) { t.header.Del("Www-Authenticate") }},
	{clause: "AUT-011", probe: "auth.families", label: "/chat/completions", edit: accept200},
	{clause: "AUT-012", dialect: azure, probe: "auth.azure", label: "info", edit: accept200},
	{clause: "AUT-013", probe: "auth.keys", label: "second", edit: status(401)},
	{clause: "AUT-015", probe: "auth.keys", label: "foreign", edit: accept200},
	{clause: "AUT-016", probe: "auth.forms", label: "query", edit: accept200},
	{clause: "AUT-017", probe: "auth", label: "stream", edit: func(t *transcript) {
		t.header, t.body = sseHeader(), "data: {}\n\n"
	}},
	{clause: "AUT-018", dialect: azure, probe: "auth", edit: func(t *transcript) { t.header.Del("X-Ms-Error-Code") }},
	{clause: "AUT-020", probe: "auth.time", edit: func(t *transcript) {
		if strings.HasPrefix(t.label, "near") {
			t.headers = 20 * time.Millisecond
		}
	}},
}

func refusedWith(body string) func(*transcript) { return func(t *transcript) { t.body = body } }

// errFaults are what breaks each clause of ERR.
var errFaults = []fault{
	{clause: "ERR-001", probe: "again", label: "1", edit: func(t *transcript) { t.header.Set("Content-Type", "text/html") }},
	{clause: "ERR-001", probe: "again", label: "1", edit: refusedWith("<html>")},
	{clause: "ERR-002", probe: "again", label: "1", edit: refusedWith(`{"message":"flat"}`)},
	{clause: "ERR-003", dialect: azure, probe: "again", label: "1", edit: refusedWith(`{"reason":"x"}`)},
	{clause: "ERR-004", dialect: DialectOpenAI, probe: "again", label: "1", edit: refusedWith(`{"error":{"message":"x"}}`)},
	{clause: "ERR-005", probe: "again", label: "1", edit: refusedWith(`{"error":{"message":"x","code":422}}`)},
	{clause: "ERR-006", probe: "again", label: "1", edit: refusedWith(`{"error":{"message":""}}`)},
	{clause: "ERR-007", dialect: azure, route: schemas.Chat, probe: "json.mode", label: "json", edit: accept200},
	{clause: "ERR-008", dialect: azure, route: schemas.Chat, probe: "json.mode", label: "json", edit: func(t *transcript) {
		refuse400(t)
		t.status = http.StatusUnprocessableEntity
	}},
	{clause: "ERR-009", probe: "again", label: "1", edit: status(500)},
	{clause: "ERR-010", probe: "again", label: "1", edit: refusedWith(`{"error":{"message":"Traceback (most recent call last)"}}`)},
	{clause: "ERR-011", probe: after.name, label: "bad.lists", edit: status(503)},
	{clause: "ERR-012", probe: "bad.numbers", label: "max_tokens -1", edit: refusedWith(`{"error":{"message":"no"}}`)},
	{clause: "ERR-013", probe: "again", label: "2", edit: func(t *transcript) { t.status = 422 }},
	{clause: "ERR-014", dialect: azure, probe: "embeddings", edit: accept200},
	{clause: "ERR-015", probe: "bad.numbers", label: "n 0", edit: status(404)},
	{clause: "ERR-016", dialect: azure, probe: "again", label: "1", edit: func(t *transcript) {
		t.header.Set("X-Ms-Error-Code", "a")
		t.body = `{"error":{"code":"b","message":"c"}}`
	}},
	{clause: "ERR-017", probe: "again", label: "1", edit: status(http.StatusFailedDependency)},
	{clause: "ERR-019", probe: "again", label: "1", edit: func(t *transcript) { t.status = 200 }},
	{clause: "ERR-020", probe: "again", label: "1", edit: refusedWith(`{"detail":[{"msg":"x"}]}`)},
	{clause: "ERR-021", probe: "again", label: "1", edit: refusedWith(`{"error":{"type":"a","param":null,"code":"b"}}`)},
	{clause: "ERR-021", probe: "again", label: "1", edit: refusedWith(`{"error":{"message":["x"]}}`)},
	{clause: "ERR-021", probe: "bad.numbers", label: "n 0", from: `n is bad`, to: `n is ba`},
	{clause: "ERR-021", probe: "bad.numbers", label: "n 0", from: `"code":null`, to: `"code":"x"`},
	{clause: "ERR-021", probe: "bad.numbers", label: "n 0", from: `"param":"n"`, to: `"param":""`},
	{clause: "ERR-021", probe: "bad.numbers", label: "max_tokens true", edit: refusedWith(`{"error":{"message":"bad","type":"invalid_request_error","param":"max_tok","code":null}}`)},
	{clause: "ERR-021", probe: "auth.forms", label: "query", edit: refusedWith(`{"error":{"type":"a","param":null,"code":"b"}}`)},
}
