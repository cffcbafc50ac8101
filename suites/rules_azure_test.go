package suites

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// ownDocument is a small OpenAPI document of a target's own.
func ownDocument(f *Facts) string {
	var paths []string
	for _, p := range slices.Sorted(maps.Values(servedPaths(f.target))) {
		paths = append(paths, fmt.Sprintf(`%q:{"post":{"requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{"top_p":{"type":"number","minimum":0,"maximum":1},"temperature":{"type":"number","minimum":0,"maximum":2}}}}}},"responses":{"200":{"description":"ok","content":{"application/json":{"schema":{"type":"object","properties":{"created":{"type":"integer"}}}}}}}}}`, p))
	}
	return `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{` + strings.Join(paths, ",") + `}}`
}

// azureGood is what a good target answers to the probes of EXT, VER, INF and DEP.
func azureGood(f *Facts) []transcript {
	sixteen := made{pieces: words(capped), reason: "length"}
	var ts []transcript
	for _, name := range []string{"extra", "extra.chat", "extra.v1", "version", "version.v1"} {
		for _, t := range replies(f, name, sixteen) {
			switch t.label {
			case "default", "error", "two", "ignore", "allow", "PASS-THROUGH", "twice", "n", "stream_options", "json dropped", "ignore_eos", "logprobs", "logprobs true passed", "none", "query 1999-01-01", "query abc", "query ":
				refuse400(&t)
			case "n passed":
				like := plainly(f.Route, t.probe, nil, sixteen, sixteen)
				t.body, t.header = like.body, like.header
			}
			switch t.label {
			case "two":
				t.body = `{"error":{"code":"x","message":"zzz_touchstone, zzy_touchstone are not allowed"}}`
			case "known":
				t.header.Set("X-Ms-Client-Request-Id", clientRequestID)
			case "logprobs passed":
				t.body = strings.Replace(t.body, `"logprobs":null`, `"logprobs":{"tokens":[" w00"]}`, 1)
			case "json dropped":
				t.status = http.StatusUnprocessableEntity
			}
			ts = append(ts, t)
		}
	}
	for _, a := range asksOf(f, "info") {
		t := answering(f, "info", a, plainly(f.Route, "", nil, sixteen))
		t.body = `{"model_name":"m","model_type":"chat-completion","model_provider_name":"Meta"}`
		if a.label == "POST" {
			refuse400(&t)
			t.status = 405
		}
		ts = append(ts, t)
	}
	for _, a := range asksOf(f, "openapi") {
		t := answering(f, "openapi", a, plainly(f.Route, "", nil, sixteen))
		t.body = ownDocument(f)
		ts = append(ts, t)
	}
	ts = append(ts, refusals(f, "openapi.paths")...)
	for _, a := range asksOf(f, "models") {
		t := answering(f, "models", a, plainly(f.Route, "", nil, sixteen))
		t.body = `{"object":"list","data":[{"id":"m"}]}`
		ts = append(ts, t)
	}
	for _, a := range asksOf(f, "deployments") {
		t := answering(f, "deployments", a, plainly(f.Route, "", nil, made{words(4), "length", nil}))
		t.header.Set("azureml-model-deployment", a.label)
		if strings.HasPrefix(a.label, "touchstone") {
			refuse400(&t)
			t.status = 404
		}
		ts = append(ts, t)
	}
	return ts
}

const azure = DialectAzureInference

// azureFaults are what breaks each clause of EXT, VER, INF and DEP.
var azureFaults = []fault{
	{clause: "EXT-001", dialect: azure, probe: "extra", label: "default", edit: accept200},
	{clause: "EXT-002", dialect: azure, probe: "extra", label: "error", edit: accept200},
	{clause: "EXT-003", dialect: azure, probe: "extra", label: "drop", edit: another},
	{clause: "EXT-003", dialect: azure, probe: "extra", label: "drop", edit: refuse400},
	{clause: "EXT-004", dialect: azure, probe: "extra", label: "pass known", from: `"completion_tokens":`, to: `"completion_tokens":1`},
	{clause: "EXT-005", dialect: azure, probe: "extra", label: "pass unknown", edit: status(500)},
	{clause: "EXT-006", dialect: azure, probe: "extra", label: "allow", edit: accept200},
	{clause: "EXT-007", dialect: azure, probe: "extra", label: "case", edit: refuse400},
	{clause: "EXT-008", dialect: azure, probe: "extra", label: "known", edit: func(t *transcript) {
		refuse400(t)
		t.body = `{"error":{"message":"seed is not allowed"}}`
	}},
	{clause: "EXT-009", dialect: azure, probe: "extra", label: "two", from: ", zzy_touchstone", to: ""},
	{clause: "EXT-010", probe: "extra.v1", edit: refuse400},
	{clause: "EXT-011", dialect: azure, route: schemas.Chat, probe: "extra.chat", label: "n", edit: accept200},
	{clause: "EXT-012", dialect: azure, route: schemas.Chat, probe: "extra.chat", label: "name", edit: refuse400},
	{clause: "EXT-013", dialect: azure, route: schemas.Chat, probe: "extra.chat", label: "json dropped", edit: accept200},
	{clause: "EXT-014", dialect: azure, probe: "extra", label: "twice", edit: status(500)},
	{clause: "VER-001", dialect: azure, probe: "version", label: "none", edit: accept200},
	{clause: "VER-002", dialect: azure, probe: "version", label: "query abc", edit: accept200},
	{clause: "VER-003", dialect: azure, probe: "version", label: "query 2024-04-01-preview", edit: refuse400},
	{clause: "VER-004", probe: "version.v1", edit: refuse400},
	{clause: "INF-001", dialect: azure, probe: "info", label: "GET", from: `"Meta"`, to: `5`},
	{clause: "INF-002", dialect: azure, probe: "info", label: "GET", from: "chat-completion", to: "large"},
	{clause: "INF-003", dialect: azure, probe: "info", label: "GET", from: "chat-completion", to: "embeddings"},
	{clause: "INF-004", dialect: azure, probe: "info", label: "GET", from: `"m"`, to: `"other"`},
	{clause: "INF-005", dialect: azure, probe: "info", label: "POST", edit: accept200},
	{clause: "INF-006", probe: "openapi", label: "1", from: `"paths"`, to: `"path"`},
	{clause: "INF-007", probe: "openapi.paths", label: "/v1/completions", edit: status(404)},
	{clause: "INF-008", probe: "openapi", label: "1", from: "/v1/chat/completions", to: "/v1/chat/completion"},
	{clause: "INF-009", probe: "openapi", label: "1", from: `"created":{"type":"integer"`, to: `"created":{"type":"string"`},
	{clause: "INF-010", probe: "openapi", label: "1", from: `"maximum":1`, to: `"maximum":9`},
	{clause: "INF-011", probe: "openapi", label: "2", from: `"title":"t"`, to: `"title":"u"`},
	{clause: "INF-012", dialect: DialectOpenAI, probe: "models", from: `"id":"m"`, to: `"ids":"m"`},
	{clause: "DEP-033", probe: "deployments", label: "blue", edit: func(t *transcript) { t.header.Set("azureml-model-deployment", "green") }},
	{clause: "DEP-034", probe: "deployments", label: "touchstone-no-such-deployment", edit: accept200},
}
