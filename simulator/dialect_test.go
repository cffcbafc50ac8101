package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/touchstone-llm/touchstone/schemas"
)

// TestDialectGolden holds the bytes in which azure-inference and openai differ.
func TestDialectGolden(t *testing.T) {
	for _, c := range []struct{ name, path, members, want string }{
		{"azure refusal", azureChatPath, `"max_tokens":0`,
			`{"error":{"code":"out_of_range","message":"max_tokens must be at least 1, got 0.","target":"max_tokens"}}`},
		{"openai chat", openAIChatPath, `"max_tokens":2`,
			`{"id":"chatcmpl-00000001","object":"chat.completion","created":1795492800,"model":"fake","system_fingerprint":"fp_b5d54c39e6","choices":[` +
				`{"index":0,"message":{"role":"assistant","content":"The moon","refusal":null},"logprobs":null,"finish_reason":"length"}],` +
				`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`},
		{"openai chat logprobs", openAIChatPath, `"max_tokens":1,"logprobs":true,"top_logprobs":2,"stream":true`, strings.ReplaceAll(
			`data: {HEAD"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"delta":{"content":"The"},"logprobs":{"content":[{"token":"The","logprob":-2,"bytes":[84,104,101],"top_logprobs":[`+
				`{"token":"The","logprob":-2,"bytes":[84,104,101]},{"token":" moon","logprob":-3,"bytes":[32,109,111,111,110]}]}],"refusal":null},"finish_reason":null}]}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}`+"\n\n"+
				"data: [DONE]\n\n", "HEAD", `"id":"chatcmpl-00000001","object":"chat.completion.chunk","created":1795492800,"model":"fake","system_fingerprint":"fp_b5d54c39e6",`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := post(t, serve(t, newFake()), c.path, ask(c.path, c.members)); r.body != c.want {
				t.Errorf("got %d\n%s\nwant\n%s", r.status, r.body, c.want)
			}
		})
	}
}

// TestSchemas holds answers of every route, and refusals, against the OpenAPI
// document of their dialect, which is also served (clause INF-009).
func TestSchemas(t *testing.T) {
	h := serve(t, newFake())
	for _, e := range endpoints() {
		if e.route.name == "embeddings" {
			continue // below
		}
		valid := func(kind schemas.Kind, body string) {
			t.Helper()
			for _, v := range schemas.Validate(e.dialect.name, schemas.Route(e.route.name), kind, []byte(body)) {
				t.Errorf("%s: %s: %s\n%s", e, kind, v, body)
			}
		}
		logprobs := `"logprobs":2`
		if e.path == openAIChatPath {
			logprobs = `"logprobs":true,"top_logprobs":2`
		}
		for _, members := range []string{``, `"n":2`, logprobs, `"max_tokens":2`} {
			body := ask(e.path, members)
			valid(schemas.RequestBody, body)
			r := post(t, h, e.path, body)
			if r.status != 200 {
				t.Fatalf("%s %s: %d %s", e, members, r.status, r.body)
			}
			valid(schemas.ResponseBody, r.body)
			if members != "" {
				members += ","
			}
			for _, event := range post(t, h, e.path, ask(e.path, members+`"stream":true,"stream_options":{"include_usage":true}`)).events() {
				if event != "[DONE]" {
					valid(schemas.Chunk, event)
				}
			}
		}
		valid(schemas.ErrorBody, post(t, h, e.path, ask(e.path, `"n":0`)).body)
		valid(schemas.ErrorBody, post(t, h, e.path, `{`).body)
	}
	for _, e := range endpoints()[6:] {
		body := ask(e.path, "")
		r := post(t, h, e.path, body)
		for _, v := range slices.Concat(
			schemas.Validate(e.dialect.name, schemas.Embeddings, schemas.RequestBody, []byte(body)),
			schemas.Validate(e.dialect.name, schemas.Embeddings, schemas.ResponseBody, []byte(r.body)),
			schemas.Validate(e.dialect.name, schemas.Embeddings, schemas.ErrorBody, []byte(post(t, h, e.path, `{}`).body)),
		) {
			t.Errorf("%s: %s\n%s", e, v, r.body)
		}
	}
}

// TestDescribes reads the documents that the server serves about itself: they
// are OpenAPI, and every path in them is there (clauses INF-006 to INF-011).
func TestDescribes(t *testing.T) {
	key := map[string]string{"Authorization": "Bearer " + testKey}
	for _, served := range [][]string{nil, {"llama-v1"}, {"azure-inference"}, {"openai"}, {"openai", "azure-inference"}} {
		s, err := New(Options{Generator: newFake(), Keys: []string{testKey}, Dialects: served})
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		for _, base := range []string{"", "/openai"} {
			for _, page := range []string{"/openapi.json", "/swagger.json"} {
				refusedOrAbsent := do(t, h, "GET", base+page, "", nil)
				r := do(t, h, "GET", base+page, "", key)
				if base != "" && served != nil && !slices.Contains(served, "openai") {
					refused(t, r, 404, "")
					continue
				}
				if refusedOrAbsent.status != 401 {
					t.Errorf("%s without a key: %d", base+page, refusedOrAbsent.status)
				}
				loader := openapi3.NewLoader()
				d, err := loader.LoadFromData([]byte(r.body))
				if err != nil {
					t.Fatalf("%v %s: %v", served, base+page, err)
				}
				if err := d.Validate(loader.Context); err != nil {
					t.Errorf("%v %s: %v", served, base+page, err)
				}
				if strings.Contains(r.body, testKey) || r.body != do(t, h, "GET", base+page, "", key).body {
					t.Error("the document changes, or shows a key")
				}
				posts := 0
				for path, item := range d.Paths.Map() {
					method := "GET"
					if item.Post != nil {
						method = "POST"
						posts++
					}
					if r := do(t, h, method, base+path, "", key); r.status == 404 || r.status == 405 {
						t.Errorf("%v: %s %s: %d", served, method, base+path, r.status)
					}
				}
				dialects := max(1, len(served))
				if served == nil && base == "" {
					dialects = 3
				}
				if base != "" {
					dialects = 1
				}
				if posts < 2*dialects {
					t.Errorf("%v %s: %d routes", served, base+page, posts)
				}
			}
		}
		h.Close()
	}
}

// TestServedDialects is about which paths answer when some dialects are chosen.
func TestServedDialects(t *testing.T) {
	for _, c := range []struct {
		served []string
		paths  string // that answer
	}{
		{nil, "/v1/completions /completions /openai/v1/completions"},
		{[]string{"llama-v1"}, "/v1/completions"},
		{[]string{"azure-inference"}, "/completions"},
		{[]string{"openai"}, "/v1/completions /openai/v1/completions"},
		{[]string{"openai", "llama-v1"}, "/v1/completions /openai/v1/completions"},
	} {
		s, err := New(Options{Generator: newFake(), Dialects: c.served})
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		var answer []string
		for _, path := range []string{"/v1/completions", "/completions", "/openai/v1/completions"} {
			if r := post(t, h, path+"?api-version=2024-05-01-preview", `{"model":"fake","prompt":"a"}`); r.status == 200 {
				answer = append(answer, path)
			}
		}
		if got := strings.Join(answer, " "); got != c.paths {
			t.Errorf("%v: %s answer, want %s", c.served, got, c.paths)
		}
		h.Close()
	}
	if _, err := New(Options{Generator: newFake(), Dialects: []string{"vertex"}}); err == nil || !strings.Contains(err.Error(), "azure-inference") {
		t.Errorf("an unknown dialect: %v", err)
	}
}

// TestExtraParameters is about the area EXT.
func TestExtraParameters(t *testing.T) {
	f := newFake()
	h := serve(t, f)
	send := func(path, policy, members string) reply {
		header := map[string]string{"Authorization": "Bearer " + testKey}
		if policy != "none" {
			header["extra-parameters"] = policy
		}
		return do(t, h, "POST", path, ask(path, members), header)
	}
	for _, path := range []string{azureCompletionsPath, azureChatPath} {
		for _, members := range []string{`"zzz":1`, `"n":2`, `"logprobs":1`, `"best_of":1`, `"stream_options":{}`, `"ignore_eos":true`, `"use_beam_search":false`, `"zzz":null`} {
			for _, policy := range []string{"none", "error"} {
				name, _, _ := strings.Cut(strings.Trim(members, `"`), `"`)
				before := f.generated.Load()
				r := send(path, policy, members)
				refused(t, r, 400, "'"+name+"'")
				if f.generated.Load() != before {
					t.Error("a refused request was generated for")
				}
			}
		}
		refused(t, send(path, "none", `"zzz":1,"n":2`), 400, "['zzz', 'n']")
		plain := send(path, "none", "")
		if r := send(path, "drop", `"zzz":1,"n":2,"ignore_eos":true`); r.status != 200 || r.get("choices").Raw != plain.get("choices").Raw {
			t.Errorf("drop: %d %s", r.status, r.body)
		}
		if r := send(path, "pass-through", `"n":2,"ignore_eos":true,"max_tokens":20`); r.status != 200 || r.get("usage.completion_tokens").Int() != 40 {
			t.Errorf("pass-through: %d %s", r.status, r.body)
		}
		refused(t, send(path, "pass-through", `"zzz":1`), 400, "zzz")
		for _, policy := range []string{"ignore", "allow", "PASS-THROUGH", "", "drop, error"} {
			refused(t, send(path, policy, ""), 400, "'error', 'drop' and 'pass-through'")
		}
		for _, members := range []string{`"temperature":0.5`, `"top_p":0`, `"max_tokens":3`, `"stop":"x"`, `"stream":false`, `"presence_penalty":0`, `"seed":1`, `"model":"x"`} {
			if r := send(path, "error", members); r.status != 200 {
				t.Errorf("%s: %d %s", members, r.status, r.body)
			}
		}
	}
	if r := send(chatPath, "error", `"ignore_eos":true`); r.status != 200 {
		t.Errorf("the header counts on /v1: %d %s", r.status, r.body)
	}
}

// TestVersions is about the area VER.
func TestVersions(t *testing.T) {
	h := serve(t, newFake())
	key := map[string]string{"Authorization": "Bearer " + testKey}
	for _, route := range []string{"/completions", "/chat/completions"} {
		for query, status := range map[string]int{
			"": 400, "?api-version=": 400, "?api-version=1999-01-01": 400, "?api-version=abc": 400, "?api-version=2024-05-01-preview&api-version=2024-04-01-preview": 400,
			"?api-version=2024-04-01-preview": 200, "?api-version=2024-05-01-preview": 200, "?api-version=2025-04-01": 200,
		} {
			if r := do(t, h, "POST", route+query, ask(route, ""), key); r.status != status {
				t.Errorf("%s%s: %d, want %d: %s", route, query, r.status, status, r.body)
			}
			if r := do(t, h, "POST", "/v1"+route+query, ask(route, ""), key); r.status != 200 {
				t.Errorf("/v1%s%s: %d, want 200: %s", route, query, r.status, r.body)
			}
		}
	}
	// A wrong key is told first.
	refused(t, do(t, h, "POST", "/completions", "{", nil), 401, "")
	r := do(t, h, "GET", "/info?api-version=2024-05-01-preview", "", key)
	if r.status != 200 || r.get("model_name").Str != "fake" || r.get("model_type").Str == "" || r.get("model_provider_name").Str == "" {
		t.Errorf("info: %d %s", r.status, r.body)
	}
	refused(t, do(t, h, "GET", "/info?api-version=2024-05-01-preview", "", nil), 401, "")
	refused(t, do(t, h, "POST", "/info?api-version=2024-05-01-preview", "", key), 405, "GET")
}

// TestAzureHeaders is about api-key, request ids and error codes (AUT-006,
// AUT-018, RSP-024, RSP-025).
func TestAzureHeaders(t *testing.T) {
	h := serve(t, newFake())
	for _, c := range []struct {
		authorization, apiKey string
		status                int
	}{
		{"Bearer " + testKey, "", 200}, {"", testKey, 200}, {"Bearer " + testKey, testKey, 200},
		{"", "", 401}, {"", "wrong", 401}, {"Bearer wrong", testKey, 401}, {"Bearer " + testKey, "wrong", 401}, {"", "Bearer " + testKey, 401},
	} {
		header := map[string]string{"X-Ms-Client-Request-Id": "mine"}
		if c.authorization != "" {
			header["Authorization"] = c.authorization
		}
		if c.apiKey != "" {
			header["api-key"] = c.apiKey
		}
		r := do(t, h, "POST", azureChatPath, ask(azureChatPath, ""), header)
		if r.status != c.status || r.header.Get("X-Ms-Request-Id") == "" || r.header.Get("X-Ms-Client-Request-Id") != "mine" {
			t.Errorf("%+v: %d %v %s", c, r.status, r.header, r.body)
		}
		if c.status == 401 {
			refused(t, r, 401, "")
			if r.header.Get("X-Ms-Error-Code") == "" {
				t.Error("no x-ms-error-code")
			}
		}
	}
	for _, path := range []string{chatPath, openAIChatPath} {
		refused(t, do(t, h, "POST", path, ask(path, ""), map[string]string{"api-key": testKey}), 401, "")
	}
}

// TestBatch is about several prompts in a request (REQ-027 to REQ-030, USE-011).
func TestBatch(t *testing.T) {
	h := serve(t, newFake())
	for _, path := range []string{azureCompletionsPath, openAICompletionsPath} {
		send := func(prompt, members string) reply {
			t.Helper()
			r := post(t, h, path, fmt.Sprintf(`{"model":"fake","prompt":%s,"max_tokens":2%s}`, prompt, members))
			if r.status != http.StatusOK {
				t.Fatalf("%s: %d %s", prompt, r.status, r.body)
			}
			return r
		}
		one, both := send(`"a b"`, ""), send(`["a b","c"]`, `,"n":2`)
		if n := len(both.get("choices").Array()); n != 4 {
			t.Errorf("%d choices, want 4", n)
		}
		if got, want := both.get("usage.prompt_tokens").Int(), one.get("usage.prompt_tokens").Int()+send(`"c"`, "").get("usage.prompt_tokens").Int(); got != want {
			t.Errorf("%d prompt tokens, want %d", got, want)
		}
		if got := both.get("choices.#.index").Raw; got != "[0,1,2,3]" {
			t.Errorf("indices %s", got)
		}
		if send(`["a b"]`, "").get("choices").Raw != one.get("choices").Raw {
			t.Error("a prompt alone in an array is another")
		}
		if got := send(`[1,2,3]`, "").get("usage.prompt_tokens").Int(); got != 3 {
			t.Errorf("%d prompt tokens of three ids", got)
		}
		if got := send(`[[1,2,3],[4]]`, "").get("usage.prompt_tokens").Int(); got != 4 {
			t.Errorf("%d prompt tokens of four ids", got)
		}
		stream := send(`["a b","c"]`, `,"n":2,"stream":true`)
		for i := range 4 {
			if got, want := stream.text(i), both.get(fmt.Sprintf("choices.%d.text", i)).Str; got != want {
				t.Errorf("streamed choice %d is %q, want %q", i, got, want)
			}
		}
	}
}

// TestRestOfContext is about max_tokens where it has no default (CTX-006).
func TestRestOfContext(t *testing.T) {
	h := serve(t, newFake()) // of 128 tokens
	for _, path := range []string{azureChatPath, openAIChatPath} {
		extra := ""
		if path == azureChatPath {
			extra = `"ignore_eos":true`
		}
		r := post(t, h, path, ask(path, extra))
		if extra != "" && r.get("usage.total_tokens").Int() != 128 {
			t.Errorf("%s: %s", path, r.body)
		}
		long, _ := json.Marshal(strings.Repeat("word ", 200))
		refused(t, post(t, h, path, fmt.Sprintf(`{"model":"fake","messages":[{"role":"user","content":%s}]}`, long)), 400, "128 tokens")
	}
}

// TestModels: a request to openai names a model that is there, or is refused as
// OpenAI does; the other dialects let any name pass (REQ-020).
func TestModels(t *testing.T) {
	one := Options{Generator: newFake()}
	more := Options{Generator: newFake(), ModelName: "a", ModelAliases: []string{"b", "c/d"}}
	any := Options{Generator: newFake(), ModelName: "a", ModelAliases: []string{"*"}}
	two := Options{Generator: newFake(), ModelName: "a", Deployments: []Deployment{{Name: "two", Settings: Settings{Generator: newFake(), ModelName: "b"}}}}
	for _, c := range []struct {
		options          Options
		listed           string
		known, strangers []string
	}{
		{one, `["fake"]`, []string{"fake"}, []string{"gpt-4o", "", "Fake", "*"}},
		{more, `["a","b","c/d"]`, []string{"a", "b", "c/d"}, []string{"c", "fake"}},
		{any, `["a"]`, []string{"a", "gpt-4o", ""}, nil},
		{two, `["a"]`, []string{"a", "b"}, []string{"c"}},
	} {
		s, err := New(c.options)
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		defer h.Close()
		if got := do(t, h, "GET", "/openai/v1/models", "", nil).get("data.#.id").Raw; got != c.listed {
			t.Errorf("lists %s, want %s", got, c.listed)
		}
		for _, e := range endpoints() {
			name := func(model string) reply {
				return post(t, h, e.path, strings.Replace(ask(e.path, ``), `"model":"fake"`, `"model":"`+model+`"`, 1))
			}
			for _, model := range c.known {
				if r := name(model); r.status != 200 || e.route.name != "embeddings" && r.get("model").Str != cmp.Or(c.options.ModelName, "fake") {
					t.Errorf("%s, %q: %d %s", e, model, r.status, r.body)
				}
			}
			for _, model := range c.strangers {
				r := name(model)
				if e.dialect != &openAI {
					if r.status != 200 {
						t.Errorf("%s, %q: %d %s", e, model, r.status, r.body)
					}
					continue
				}
				if r.status != 404 || r.get("error.code").Str != "model_not_found" || r.get("error.type").Str != "invalid_request_error" ||
					!strings.Contains(r.get("error.message").Str, "`"+model+"`") || r.get("error.param").Raw != "null" {
					t.Errorf("%s, %q: %d %s", e, model, r.status, r.body)
				}
			}
		}
		for _, model := range c.known[:1] {
			if r := do(t, h, "GET", "/openai/v1/models/"+model, "", nil); r.get("id").Str != model {
				t.Errorf("%s: %s", model, r.body)
			}
		}
		refused(t, do(t, h, "GET", "/openai/v1/models/nobody", "", nil), 404, "nobody")
	}
}

// TestDefaultsGoTogether: no guard has anything against what is not given, so
// that none need look at it.
func TestDefaultsGoTogether(t *testing.T) {
	for _, e := range generating() {
		v := values{route: e.route}
		for _, g := range e.dialect.guards {
			if bad := g.check(v); bad != nil {
				t.Errorf("%s: %s", e, bad.message)
			}
		}
	}
}
