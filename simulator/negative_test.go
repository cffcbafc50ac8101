package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// refused asserts that r is a refusal that a client can read, and that it names
// param (clauses ERR-001, ERR-002, ERR-006, ERR-012, USE-014).
func refused(t *testing.T, r reply, status int, param string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
		return
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q, want application/json", got)
	}
	if !gjson.Valid(r.body) || r.get("error.message").Str == "" {
		t.Errorf("not an error envelope: %s", r.body)
	}
	keys := []string{"error.type", "error.param", "error.code"}
	if code := r.header.Get("X-Ms-Error-Code"); code != "" {
		keys = []string{"error.code"}
		if r.get("error.code").Str != code {
			t.Errorf("x-ms-error-code is %s: %s", code, r.body)
		}
	}
	for _, key := range keys {
		if !r.get(key).Exists() {
			t.Errorf("%s is absent: %s", key, r.body)
		}
	}
	for _, key := range []string{"choices", "usage"} {
		if r.get(key).Exists() {
			t.Errorf("a refusal has %s: %s", key, r.body)
		}
	}
	if param != "" && !strings.Contains(r.get("error.message").Str, param) {
		t.Errorf("the message does not name %s: %s", param, r.body)
	}
}

// TestNegatives sends what 'Negative generators' of the catalog asks for: each
// parameter, on each route, with values of a wrong type or out of range.
func TestNegatives(t *testing.T) {
	common := []string{`NaN`, `Infinity`, `-Infinity`, `'x'`, `{"a":1}`}
	byKind := map[kind][]string{
		flag:     {`"true"`, `"false"`, `"True"`, `1`, `0`, `2`, `[]`, `[true]`},
		integer:  {`"16"`, `1.5`, `true`, `[]`, `[1]`, `1e400`, `-1e400`, `1e-1`, `9223372036854775808`, `99999999999999999999`},
		number:   {`"0.5"`, `true`, `[]`, `[1]`, `1e400`, `-1e400`},
		text:     {`1`, `true`, `[]`, `["a"]`, `["a",1]`, `[[]]`, `[1,2]`},
		texts:    {`1`, `true`, `[1]`, `[null]`, `[["a"]]`, `""`, `[""]`, `["a",""]`},
		integers: {`13`, `"13"`, `["13"]`, `[1.5]`, `[true]`, `[null]`, `[[1]]`, `[-1]`, `[2147483648]`, `[9007199254740993]`},
		messages: {`"hi"`, `1`, `true`, `[]`, `["hi"]`, `[null]`, `[[]]`, `[{}]`, `[{"content":"a"}]`, `[{"role":"user"}]`,
			`[{"role":"user","content":null}]`, `[{"role":"user","content":1}]`, `[{"role":"user","content":true}]`, `[{"role":"user","content":{}}]`,
			`[{"role":"user","content":[{"type":"text","text":"hi"}]}]`, `[{"role":"foo","content":"a"}]`, `[{"role":"","content":"a"}]`,
			`[{"role":1,"content":"a"}]`, `[{"role":null,"content":"a"}]`, `[{"role":"User","content":"a"}]`, `[{"role":"tool","content":"a"}]`,
			`[{"role":"user","content":"a","content":"b"}]`, `[{"role":"user","content":"a","name":"b"}]`},
		prompts: {`1`, `true`, `[]`, `["a",1]`, `[1,"a"]`, `[[]]`, `[[],[1]]`, `[[1],2]`, `[[1],"a"]`, `[-1]`, `[1.5]`, `[[1.5]]`, `[2147483648]`, `[null]`, `[[null]]`, `["a",["b"]]`, `[1000]`, `[[1],[1000]]`},
		inputs:  {`1`, `true`, `[]`, `["a",1]`, `[1]`, `[[1]]`, `[null]`, `[["a"]]`},
		conversation: {`"hi"`, `1`, `true`, `[]`, `["hi"]`, `[null]`, `[[]]`, `[{}]`, `[{"content":"a"}]`, `[{"role":"user"}]`, `[{"role":"system","content":null}]`,
			`[{"role":"user","content":null}]`, `[{"role":"user","content":1}]`, `[{"role":"user","content":true}]`, `[{"role":"user","content":{}}]`, `[{"role":"assistant","content":null}]`,
			`[{"role":"foo","content":"a"}]`, `[{"role":"","content":"a"}]`, `[{"role":1,"content":"a"}]`, `[{"role":null,"content":"a"}]`, `[{"role":"User","content":"a"}]`,
			`[{"role":"function","content":"a"}]`, `[{"role":"tool","content":"a"}]`, `[{"role":"tool","content":"a","tool_call_id":1}]`, `[{"role":"user","content":"a","content":"b"}]`,
			`[{"role":"user","content":"a","name":1}]`, `[{"role":"user","content":[]}]`, `[{"role":"user","content":["a"]}]`, `[{"role":"user","content":[{}]}]`,
			`[{"role":"user","content":[{"type":"text"}]}]`, `[{"role":"user","content":[{"type":"text","text":1}]}]`, `[{"role":"user","content":[{"type":"audio"}]}]`,
			`[{"role":"user","content":[{"type":"image_url"}]}]`, `[{"role":"user","content":[{"type":"image_url","image_url":"http://a/b.png"}]}]`,
			`[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]`, `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]`,
			`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"javascript:1"}}]}]`, `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]}]`,
			`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%%"}}]}]`,
			`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://a/b.png","detail":"foo"}}]}]`,
			`[{"role":"user","content":"a","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]`,
			`[{"role":"assistant","tool_calls":[]}]`, `[{"role":"assistant","tool_calls":{}}]`, `[{"role":"assistant","tool_calls":[1]}]`, `[{"role":"assistant","tool_calls":[{"id":"c"}]}]`,
			`[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{}}}]}]`,
			`[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]}]`},
		tools: {`true`, `"x"`, `[]`, `[1]`, `[{}]`, `[{"type":"foo"}]`, `[{"type":"function"}]`, `[{"type":"function","function":{}}]`, `[{"type":"function","function":{"name":""}}]`,
			`[{"type":"function","function":{"name":"a b"}}]`, `[{"type":"function","function":{"name":"` + strings.Repeat("a", 65) + `"}}]`, `[{"type":"function","function":{"name":1}}]`,
			`[{"type":"function","function":{"name":"f","parameters":"x"}}]`, `[{"type":"function","function":{"name":"f","parameters":{"type":"nope"}}}]`,
			`[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"nope"}}}}}]`, `[{"type":"function","function":{"name":"f","parameters":{"required":"a"}}}]`,
			`[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]`},
		toolChoice: {`true`, `1`, `"maybe"`, `"auto"`, `"none"`, `"required"`, `[]`, `{"type":"function"}`, `{"type":"function","function":{}}`, `{"type":"function","function":{"name":"f"}}`},
		responseFormat: {`"json"`, `1`, `true`, `[]`, `{"type":"xml"}`, `{"type":1}`, `{"type":"json_schema"}`, `{"type":"json_schema","json_schema":{}}`,
			`{"type":"json_schema","json_schema":{"name":"a b"}}`, `{"type":"json_schema","json_schema":{"name":"a","schema":"x"}}`, `{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"nope"}}}`},
		bias:     {`true`, `"x"`, `1`, `[]`, `[1]`, `{"x":1}`, `{"-1":1}`, `{"1.5":1}`, `{"01":1}`, `{"1":"a"}`, `{"1":null}`, `{"1":101}`, `{"1":-100.5}`, `{"1":1,"1":2}`, `{"99999999999":1}`, `{"1000":1}`},
		stopping: {`"true"`, `1`, `"always"`, `[]`, `true`, `"never"`},
		options:  {`true`, `[]`, `"x"`, `1`, `{"include_usage":1}`, `{"include_usage":"true"}`, `{"include_usage":true,"include_usage":true}`},
	}
	byName := map[string][]string{
		"max_tokens":            {`0`, `-1`, `2147483648`, `9007199254740993`},
		"max_completion_tokens": {`0`, `-1`, `2147483648`, `9007199254740993`},
		"temperature":           {`-0.1`, `-1e-300`, `2.01`, `100`},
		"top_p":                 {`0`, `-0.1`, `1.0001`, `2`},
		"n":                     {`0`, `-1`, `33`, `100000`, `2147483648`, `9007199254740993`},
		"best_of":               {`0`, `-1`, `33`, `1000000`, `2147483648`, `9007199254740993`},
		"logprobs":              {`-1`, `21`, `1000`, `2147483648`, `9007199254740993`},
		"presence_penalty":      {`-2.01`, `2.01`},
		"frequency_penalty":     {`-2.01`, `2.01`},
		"repetition_penalty":    {`0`, `-1`, `2.01`},
		"top_k":                 {`0`, `-2`, `2147483648`},
		"min_p":                 {`-0.1`, `1.1`},
		"min_tokens":            {`-1`, `129`, `9223372036854775807`},
		"length_penalty":        {`0`, `-101`, `101`},
		"top_logprobs":          {`-1`, `21`, `1`},
		"parallel_tool_calls":   {`true`, `false`},
		"suffix":                {`"x"`},
		"dimensions":            {`0`, `-1`},
		"encoding_format":       {`"int8"`, `""`},
		"input_type":            {`"other"`},
		"input":                 {`null`},
		"prompt":                {`null`},
		"messages":              {`null`},
	}
	// What one dialect refuses another may take.
	taken := []string{
		"azure-inference/completions/top_p=0", "azure-inference/chat/top_p=0", "openai/completions/top_p=0", "openai/chat/top_p=0", // C08
		"openai/completions/n=33", "openai/chat/n=33", // REQ-057
		"azure-inference/embeddings/input=[1]", "openai/embeddings/input=[1]",
	}
	f := newFake()
	h := serve(t, f)
	refusals := 0
	for _, e := range endpoints() {
		route := e.route
		for _, p := range route.parameters {
			for _, value := range append(append(byKind[p.kind], byName[p.name]...), common...) {
				name := fmt.Sprintf("%s/%s=%s", e, p.name, value)
				if slices.Contains(taken, name) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					body := ask(e.path, fmt.Sprintf("%q:%s", p.name, value))
					if p.required && p.name != "model" {
						body = fmt.Sprintf("{%q:%s}", p.name, value)
						if e.dialect == &openAI {
							body = `{"model":"fake",` + body[1:]
						}
					}
					name := p.name
					if strings.ContainsAny(value, "NI'") {
						name = "" // not JSON, so no parameter can be named
					}
					before := f.generated.Load()
					refusals++
					refused(t, post(t, h, e.path, body), http.StatusBadRequest, name)
					if f.generated.Load() != before {
						t.Error("a refused request was generated for")
					}
				})
			}
		}
	}
	for _, e := range endpoints() {
		for _, other := range endpoints() {
			for _, p := range other.route.parameters {
				if _, known := e.route.parameter(p.name); !known {
					refused(t, post(t, h, e.path, ask(e.path, fmt.Sprintf("%q:1", p.name))), 400, p.name)
				}
			}
		}
		for _, p := range e.route.parameters {
			twice := fmt.Sprintf("%q:null,%q:null", p.name, p.name)
			refused(t, post(t, h, e.path, ask(e.path, twice)), 400, p.name)
			if p.required {
				refused(t, post(t, h, e.path, strings.Replace(ask(e.path, ""), `"`+p.name+`"`, `"zzz"`, 1)), 400, "zzz")
				refused(t, post(t, h, e.path, `{}`), 400, "required")
			}
		}
		refused(t, post(t, h, e.path, ask(e.path, `"zzz_unknown":1`)), 400, "zzz_unknown")
	}
	t.Logf("%d requests were refused", refusals)
	for _, e := range endpoints() {
		if r := post(t, h, e.path, ask(e.path, "")); r.status != 200 {
			t.Errorf("control after the negatives: %d %s", r.status, r.body)
		}
	}
}

// TestPositives sends what the table must accept, nulls included.
func TestPositives(t *testing.T) {
	h := serve(t, newFake())
	bothRoutes(t, func(t *testing.T, path string) {
		for _, members := range []string{
			`"max_tokens":16.0`, `"max_tokens":1.6e1`, `"max_tokens":null`, `"max_completion_tokens":4`, `"max_tokens":4,"max_completion_tokens":4`,
			`"temperature":0`, `"temperature":0.8`, `"temperature":2`, `"temperature":2.0`, `"temperature":null`,
			`"top_p":1`, `"top_p":1.0`, `"top_p":1e-9`, `"n":null`, `"n":1`, `"n":3`, `"best_of":null`, `"best_of":1`, `"n":1,"best_of":1`,
			`"n":2,"best_of":4`, `"best_of":2`, `"stop":null`, `"stop":[]`, `"stop":"zzz"`, `"stop":["a","a"]`, `"stop":"` + strings.Repeat("z", 10000) + `"`,
			`"stop_token_ids":[]`, `"stop_token_ids":null`, `"stop_token_ids":[1,2]`, `"stop_token_ids":[2147483647]`, `"logprobs":null`, `"logprobs":0`, `"logprobs":20`,
			`"presence_penalty":-2`, `"presence_penalty":2`, `"presence_penalty":null`, `"ignore_eos":true`, `"ignore_eos":false`, `"ignore_eos":null`,
			`"use_beam_search":true,"best_of":2,"temperature":0`, `"use_beam_search":true,"n":2,"temperature":0`, `"use_beam_search":false`, `"use_beam_search":null`,
			`"skip_special_tokens":true`, `"skip_special_tokens":false`, `"skip_special_tokens":null`, `"seed":-5`, `"seed":9223372036854775807`, `"seed":null`,
			`"stream":false`, `"stream":null`, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, `"stream":true,"stream_options":{}`, `"stream_options":null`,
			`"frequency_penalty":2`, `"frequency_penalty":null`, `"repetition_penalty":1.2`, `"top_k":-1`, `"top_k":5`, `"min_p":0.1`, `"min_tokens":16`, `"length_penalty":1`, `"early_stopping":false`,
			`"use_beam_search":true,"best_of":2,"temperature":0,"early_stopping":"never","length_penalty":0.5`, `"logit_bias":{"1":-100,"999":100}`, `"logit_bias":null`, `"logit_bias":{}`,
			`"model":"azureai"`, `"model":"no-such-model"`, `"model":null`, `"user":"someone"`,
		} {
			if r := post(t, h, path, ask(path, members)); r.status != 200 {
				t.Errorf("%s: %d %s", members, r.status, r.body)
			}
		}
	})
}

// TestBodies sends bodies that are no requests.
func TestBodies(t *testing.T) {
	h := serve(t, newFake())
	valid := ask(completionsPath, `"max_tokens":4`)
	bodies := []string{
		``, ` `, `[]`, `"x"`, `1`, `null`, `true`, `{`, `{}`, `{"prompt":"a"`, `{"prompt":"a",}`, `{"prompt":"a"} {}`, `{"prompt":"a"}x`, "\xEF\xBB\xBF" + valid,
		`{'prompt':'a'}`, `{"prompt":"a","prompt":"b"}`, `{"prompt":"a","prompt":"b"}`, `{"prompt":"\ud800"}`, `{"prompt":"\ude00"}`,
		`{"prompt":"\ud800\u0041"}`, "{\"prompt\":\"\xff\xfe\"}", `{"prompt":"a","zzz_unknown":1}`, `{"prompt":"a","echo":true}`, `{"prompt":"a","tools":[]}`,
		`{"prompt":"a","messages":[]}`, `{"messages":[{"role":"user","content":"a"}]}`, `{"prompt":"a","x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
		`{"prompt":"a","x":` + strings.Repeat(`{"a":`, 100000) + `}`, `{"prompt":"a","\u0000":1}`, `{"prompt":"a` + "\n" + `"}`,
		`{"prompt":"What's the distance to the moon?","temperature":0.8,"max_tokens":512,}`, // S:156, conflict C01
	}
	for i := 0; i < len(valid); i += 10 {
		bodies = append(bodies, valid[:i])
	}
	for _, body := range bodies {
		t.Run(clip(body), func(t *testing.T) {
			refused(t, post(t, h, completionsPath, body), http.StatusBadRequest, "")
		})
	}
	refused(t, post(t, h, chatPath, `{"prompt":"a"}`), http.StatusBadRequest, "prompt")
	refused(t, post(t, h, completionsPath, `{"messages":[]}`), http.StatusBadRequest, "messages")
	refused(t, post(t, h, completionsPath, `{"prompt":"a","echo":true}`), http.StatusBadRequest, "echo")
	refused(t, post(t, h, completionsPath, `{}`), http.StatusBadRequest, "prompt")
	for _, body := range []string{
		`{"prompt":"\ud83d\ude00"}`, `{"prompt":"😀 안녕 שלום e\u0301"}`, `{"prompt":"a\u0000b"}`, `{"prompt":"a\\ud800"}`, "\n\t{ \"prompt\" : \"a\" }\r\n", `{"prompt":""}`,
	} {
		if r := post(t, h, completionsPath, body); r.status != 200 {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if r := post(t, h, completionsPath, `{"prompt":"`+strings.Repeat("a", mostBytes)+`"}`); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d, want 413", r.status)
	} else {
		refused(t, r, http.StatusRequestEntityTooLarge, "")
	}
}

// TestCombinations holds the messages that clients match on.
func TestCombinations(t *testing.T) {
	f := newFake()
	h := serve(t, f)
	bothRoutes(t, func(t *testing.T, path string) {
		for _, c := range []struct{ members, param, message string }{
			{`"n":0`, "n", "n must be at least 1, got 0."},
			{`"n":3,"best_of":2`, "best_of", "best_of must be greater than or equal to n, got n=3 and best_of=2."},
			{`"n":2,"best_of":2`, "best_of", "best_of must be greater than n, got n=2 and best_of=2; leave best_of out to get all 2."},
			{`"top_p":0`, "top_p", "top_p must be in (0, 1], got 0."},
			{`"temperature":-0.1`, "temperature", "temperature must be non-negative, got -0.1."},
			{`"presence_penalty":2.01`, "presence_penalty", "presence_penalty must be in [-2, 2], got 2.01."},
			{`"max_tokens":0`, "max_tokens", "max_tokens must be at least 1, got 0."},
			{`"stop":[""]`, "stop", "stop cannot contain an empty string."},
			{`"logprobs":-1`, "logprobs", "logprobs must be non-negative, got -1."},
			{`"use_beam_search":true,"best_of":1,"temperature":0`, "best_of", "best_of must be greater than 1 when using beam search. Got 1."},
			{`"use_beam_search":true`, "best_of", "best_of must be greater than 1 when using beam search. Got 1."},
			{`"use_beam_search":true,"best_of":2,"temperature":0.5`, "temperature", "temperature must be 0 when using beam search."},
			{`"use_beam_search":true,"best_of":2`, "temperature", "temperature must be 0 when using beam search."},
			{`"use_beam_search":true,"best_of":2,"temperature":0,"top_p":0.5`, "top_p", "top_p must be 1 when using beam search."},
			{`"best_of":2,"temperature":0`, "best_of", "best_of must be 1 when using greedy sampling.Got 2."},
			{`"n":2,"temperature":0`, "n", "n must be 1 when using greedy sampling. Got 2. Set temperature above 0."},
			{`"stream":true,"best_of":2`, "best_of", "best_of above n cannot be streamed; set stream to false."},
			{`"stream":true,"use_beam_search":true,"best_of":2,"temperature":0`, "best_of", "best_of above n cannot be streamed; set stream to false."},
			{`"stream":true,"use_beam_search":true,"n":2,"temperature":0`, "use_beam_search", "use_beam_search cannot be streamed; set stream to false."},
			{`"stream_options":{"include_usage":true}`, "stream_options", "stream_options needs stream to be true."},
			{`"max_tokens":3,"max_completion_tokens":4`, "max_completion_tokens", "max_completion_tokens and max_tokens differ (4 and 3); send one of them."},
			// The order of the stages, and within them: type, range, combination, context.
			{`"n":"2","temperature":3,"best_of":0`, "n", `n must be an integer, got "2".`},
			{`"n":3,"best_of":2,"temperature":3`, "temperature", "temperature must be at most 2, got 3."},
			{`"n":3,"best_of":2,"max_tokens":99999`, "best_of", "best_of must be greater than or equal to n, got n=3 and best_of=2."},
			{`"stream":true,"n":2,"best_of":2`, "best_of", "best_of must be greater than n, got n=2 and best_of=2; leave best_of out to get all 2."},
		} {
			r := post(t, h, path, ask(path, c.members))
			refused(t, r, http.StatusBadRequest, c.param)
			if got := r.get("error.message").Str; got != c.message {
				t.Errorf("%s:\n got %s\nwant %s", c.members, got, c.message)
			}
			if got := r.get("error.param").Str; got != c.param {
				t.Errorf("%s: param %s, want %s", c.members, got, c.param)
			}
		}
	})
	if n := f.generated.Load(); n > 0 {
		t.Errorf("%d refused requests were generated for", n)
	}
}

// TestContext is about the edge of the context: exactly full is right, one more
// is not, and n and best_of do not count (clauses CTX-001 to CTX-009).
func TestContext(t *testing.T) {
	h := serve(t, newFake()) // of 128 tokens; the prompts have 6 and 9
	for path, prompt := range map[string]int{completionsPath: 6, chatPath: 9} {
		for _, c := range []struct {
			members string
			status  int
		}{
			{fmt.Sprintf(`"max_tokens":%d`, 128-prompt), 200},
			{fmt.Sprintf(`"max_tokens":%d,"n":2,"best_of":4`, 128-prompt), 200},
			{fmt.Sprintf(`"max_tokens":%d`, 129-prompt), 400},
			{fmt.Sprintf(`"max_tokens":%d,"stream":true`, 129-prompt), 400},
			{`"max_tokens":9223372036854775807`, 400},
		} {
			r := post(t, h, path, ask(path, c.members))
			if r.status != c.status {
				t.Errorf("%s %s: %d, want %d: %s", path, c.members, r.status, c.status, r.body)
			}
			if c.status == 400 {
				refused(t, r, 400, "128 tokens")
				if got := r.get("error.code").Str; got != "context_length_exceeded" {
					t.Errorf("code %s", got)
				}
			}
		}
		r := post(t, h, path, ask(path, fmt.Sprintf(`"ignore_eos":true,"max_tokens":%d`, 128-prompt)))
		if got := r.get("choices.0.finish_reason").Str; got != "length" {
			t.Errorf("at the end of the context: finish_reason %q, want length", got)
		}
	}
	long := `{"prompt":"` + strings.Repeat("word ", 200) + `"}`
	refused(t, post(t, h, completionsPath, long), 400, "prompt")
}

func TestTemplateRefuses(t *testing.T) {
	h := serve(t, newFake())
	refused(t, post(t, h, chatPath, `{"messages":[{"role":"assistant","content":"a"}]}`), 400, "messages")
}
