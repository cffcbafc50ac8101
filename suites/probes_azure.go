package suites

import (
	"net/http"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// extra is a request to an Azure route with the header extra-parameters.
func extra(f *Facts, label, header string, members ...string) ask {
	h := http.Header{"Extra-Parameters": {header}}
	if header == "" {
		h = nil
	}
	return ask{label: label, wire: wire{header: h, raw: rawBody(f, plainPrompt(f.Route), append([]string{"temperature", "0", "max_tokens", "16"}, members...)...)}}
}

// versioned is the path of a route with another api-version, none where empty.
func versioned(f *Facts, query string) string {
	path, _, _ := strings.Cut(f.target.path(f.Route), "?")
	return path + query
}

// clientRequestID is the name that a client gives a request.
const clientRequestID = "3fc99576-aa9e-4a13-972f-9566b169f79a"

const unknownName, otherUnknown = "zzz_touchstone", "zzy_touchstone"

// azureProbes are about extra parameters and the api-version (EXT, VER).
var azureProbes = []probe{
	{name: "extra", free: true, dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		known := extra(f, "known", "error", "top_p", "1", "stop", `["☃☃"]`, "presence_penalty", "0", "frequency_penalty", "0", "seed", "7", "stream", "false")
		known.wire.header["X-Ms-Client-Request-Id"] = []string{clientRequestID} // RSP-025
		out := []ask{
			extra(f, "default", "", unknownName, "1"),
			extra(f, "error", "error", unknownName, "1"),
			extra(f, "two", "error", unknownName, "1", otherUnknown, "2"),
			extra(f, "drop", "drop", unknownName, "1"),
			extra(f, "pass unknown", "pass-through", unknownName, "1"),
			known,
			extra(f, "ignore", "ignore", unknownName, "1"),
			extra(f, "allow", "allow", unknownName, "1"),
			extra(f, "PASS-THROUGH", "PASS-THROUGH", unknownName, "1"),
			extra(f, "ignore_eos", "", "ignore_eos", "true"),
		}
		lower := extra(f, "case", "", unknownName, "1")
		lower.wire.header = http.Header{"eXTRA-parameters": {"drop"}}
		twice := extra(f, "twice", "", unknownName, "1")
		twice.wire.header = http.Header{"Extra-Parameters": {"drop", "error"}}
		out = append(out, lower, twice)
		if f.Short.known() { // an answer that ends by itself shows the effect
			passed := ask{label: "pass known", prompt: f.Short.Prompt, body: f.greedy(f.Short.Tokens + 8).with(body{"ignore_eos": true})}
			passed.wire.header = http.Header{"Extra-Parameters": {"pass-through"}}
			out = append(out, passed)
		}
		return out
	}},
	{name: "extra.chat", free: true, routes: chatOnly, dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		return []ask{
			extra(f, "n", "", "n", "2", "temperature", "1"),
			extra(f, "n passed", "pass-through", "n", "2", "temperature", "1"),
			extra(f, "stream_options", "", "stream", "true", "stream_options", `{"include_usage":true}`),
			extra(f, "name", "error", "messages", `[{"role":"user","name":"anna","content":"hi"}]`),
			extra(f, "logprobs", "", "logprobs", "true"),
			extra(f, "logprobs passed", "pass-through", "logprobs", "1", "max_tokens", "4"),
			extra(f, "logprobs true passed", "pass-through", "logprobs", "true", "max_tokens", "4"),
			extra(f, "json dropped", "drop", "response_format", `{"type":"json_object"}`, "max_tokens", "64"),
		}
	}},
	{name: "extra.v1", dialects: []string{DialectLlamaV1}, tests: []string{"ignore_eos"}, asks: func(f *Facts) []ask {
		return []ask{extra(f, "v1", "error", "ignore_eos", "false")}
	}},
	{name: "version", free: true, dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		var out []ask
		for _, q := range []string{"", "?api-version=1999-01-01", "?api-version=abc", "?api-version=", "?api-version=2024-04-01-preview", "?api-version=2024-05-01-preview"} {
			out = append(out, ask{label: "query " + strings.TrimPrefix(q, "?api-version="), wire: wire{path: versioned(f, q), raw: rawBody(f, shortPrompt)}})
		}
		out[0].label = "none"
		return out
	}},
	{name: "version.v1", dialects: []string{DialectLlamaV1}, asks: func(f *Facts) []ask {
		return []ask{{label: "v1", wire: wire{path: versioned(f, "?api-version="+apiVersion), raw: rawBody(f, plainPrompt(f.Route), "temperature", "0", "max_tokens", "16")}}}
	}},
	{name: "info", dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		path := "/info?api-version=" + apiVersion
		return []ask{
			{label: "GET", wire: wire{method: http.MethodGet, path: path, raw: []byte{}}},
			{label: "POST", wire: wire{path: path, raw: []byte("{}")}},
		}
	}},
	{name: "openapi", asks: func(f *Facts) []ask {
		get := wire{method: http.MethodGet, path: "/swagger.json", raw: []byte{}}
		return []ask{{label: "1", wire: get}, {label: "2", wire: get}}
	}},
	{name: "openapi.paths", free: true, asks: func(f *Facts) []ask {
		var out []ask
		// Every path that an inference endpoint of a known dialect may list.
		for _, path := range knownPaths {
			out = append(out, ask{label: path, wire: wire{path: path + map[bool]string{true: "?api-version=" + apiVersion}[!strings.HasPrefix(path, "/v1")], raw: []byte("{}")}})
		}
		return out
	}},
	{name: "models", dialects: []string{DialectOpenAI}, asks: func(f *Facts) []ask {
		return []ask{{wire: wire{method: http.MethodGet, path: "/v1/models", raw: []byte{}}}}
	}},
	{name: "deployments", dialects: []string{DialectLlamaV1, DialectAzureInference}, asks: func(f *Facts) []ask {
		var out []ask
		for _, d := range append([]string{"touchstone-no-such-deployment"}, f.target.Deployments...) {
			out = append(out, ask{label: d, wire: wire{raw: rawBody(f, shortPrompt), header: http.Header{"Azureml-Model-Deployment": {d}}}})
		}
		return out
	}},
}

// knownPaths are the POST paths of the dialects, as INF-007 asks for them.
var knownPaths = []string{"/completions", "/chat/completions", "/v1/completions", "/v1/chat/completions", "/v1/completion", "/v1/chat/completion", "/embeddings", "/images/embeddings", "/score"}

// servedPaths are those of the dialect's routes, without their query.
func servedPaths(t Target) map[schemas.Route]string {
	out := map[schemas.Route]string{}
	for _, r := range []schemas.Route{schemas.Completions, schemas.Chat} {
		out[r], _, _ = strings.Cut(t.path(r), "?")
	}
	return out
}
