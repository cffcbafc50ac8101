package simulator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/schemas"
)

// TestCallReader cuts what a model says at every place: the pieces are the same.
func TestCallReader(t *testing.T) {
	tools := []engine.Tool{{Name: "add"}, {Name: "add_all"}}
	for _, c := range []struct{ said, text, calls string }{
		{`The sum is 3.`, `The sum is 3.`, ``},
		{`{"name": "add", "parameters": {"a": 1, "b": "}\"{"}}`, ``, `add{"a": 1, "b": "}\"{"}`},
		{" \n{ \"name\" : \"add_all\" ,\n\"arguments\": {} } ", ``, `add_all{}`},
		{`{"name":"add","parameters":{"a":[{}]}}; {"name":"add_all","parameters":{}}`, ``, `add{"a":[{}]} add_all{}`},
		{`{"name": "other", "parameters": {}}`, `{"name": "other", "parameters": {}}`, ``},
		{`{"name": "add", "parameters": "x"}`, `{"name": "add", "parameters": "x"}`, ``},
		{`{"name": "ad`, `{"name": "ad`, ``},
		{`{"a": 1}`, `{"a": 1}`, ``},
		{`{"name": "add", "parameters": {"a": 1`, ``, `add{"a": 1`},
		{`{"name": "add", "parameters": {}} So be it.`, `So be it.`, `add{}`},
		{``, ``, ``},
	} {
		for size := 1; size <= len(c.said)+1; size++ {
			r := callReader{tools: tools, newID: func(prefix string) string { return prefix + "x" }}
			text, calls := "", ""
			for i := 0; i == 0 || i < len(c.said); i += size {
				end := min(i+size, len(c.said))
				for _, p := range r.read(c.said[i:end], nil, end == len(c.said)) {
					text += p.text
					if p.id != "" {
						calls += " " + p.name
					}
					calls += p.arguments
				}
			}
			if text != c.text || strings.TrimSpace(calls) != c.calls {
				t.Errorf("%q by %d: text %q, calls %q", c.said, size, text, calls)
			}
		}
	}
}

const addTool = `"tools":[{"type":"function","function":{"name":"add","description":"Adds","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}}]`

// TestToolCalls is about calls in answers and streams (clauses TOO-009 to
// TOO-013, FIN-013).
func TestToolCalls(t *testing.T) {
	f := newFake()
	f.script = [][]string{{`{"name"`, `: "add", "para`, `meters": {"a"`, `: 1`, `}}`}, {"No", " call", "."}}
	h := serve(t, f)
	for _, e := range []endpoint{generating()[3], generating()[5]} {
		valid := func(kind schemas.Kind, body string) {
			for _, v := range schemas.Validate(e.dialect.name, schemas.Chat, kind, []byte(body)) {
				t.Errorf("%s: %s\n%s", e, v, body)
			}
		}
		whole := post(t, h, e.path, ask(e.path, addTool+`,"n":2`))
		valid(schemas.RequestBody, ask(e.path, addTool))
		valid(schemas.ResponseBody, whole.body)
		call := whole.get("choices.0.message.tool_calls.0")
		if call.Get("id").Str == "" || call.Get("type").Str != "function" || call.Get("function.name").Str != "add" || call.Get("function.arguments").Str != `{"a": 1}` {
			t.Errorf("%s: %s", e, whole.body)
		}
		if content := whole.get("choices.0.message.content"); content.Type != gjson.Null || whole.get("choices.0.finish_reason").Str != "tool_calls" {
			t.Errorf("%s: %s", e, whole.body)
		}
		if whole.get("choices.1.message.content").Str != "No call." || whole.get("choices.1.message.tool_calls").Exists() || whole.get("choices.1.finish_reason").Str != "stop" {
			t.Errorf("%s: %s", e, whole.body)
		}
		stream := post(t, h, e.path, ask(e.path, addTool+`,"stream":true`))
		ids, name, arguments, finish := 0, "", "", ""
		for _, event := range stream.events() {
			if event == "[DONE]" {
				continue
			}
			valid(schemas.Chunk, event)
			delta := gjson.Get(event, "choices.0.delta.tool_calls.0")
			if delta.Get("id").Exists() {
				ids++
			}
			name += delta.Get("function.name").Str
			arguments += delta.Get("function.arguments").Str
			finish += gjson.Get(event, "choices.0.finish_reason").Str
		}
		if ids != 1 || name != "add" || arguments != `{"a": 1}` || finish != "tool_calls" {
			t.Errorf("%s: %d ids, %q, %q, %q", e, ids, name, arguments, finish)
		}
		if r := post(t, h, e.path, ask(e.path, addTool+`,"tool_choice":"none"`)); r.get("choices.0.message.tool_calls").Exists() || r.get("choices.0.finish_reason").Str != "stop" {
			t.Errorf("%s none: %s", e, r.body)
		}
		if r := post(t, h, e.path, ask(e.path, addTool+`,"max_tokens":4`)); r.get("choices.0.finish_reason").Str != "length" {
			t.Errorf("%s cut: %s", e, r.body)
		}
		refused(t, post(t, h, e.path, ask(e.path, addTool+`,"tool_choice":{"type":"function","function":{"name":"sub"}}`)), 400, "sub")
		// The result of a call goes back to the model.
		r := post(t, h, e.path, fmt.Sprintf(`{"model":"fake","messages":[{"role":"user","content":"1+2?"},`+
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},`+
			`{"role":"tool","tool_call_id":"c1","content":"3"}],%s}`, addTool))
		if r.status != 200 {
			t.Errorf("%s: %d %s", e, r.status, r.body)
		}
	}
}

// TestParts is about content in parts, and images, which a text model refuses
// (clauses CHT-011, CHT-015, CHT-023, EXT-012, VIS-002).
func TestParts(t *testing.T) {
	f := newFake()
	h := serve(t, f)
	say := func(path, content string) reply {
		return post(t, h, path, fmt.Sprintf(`{"model":"fake","messages":[{"role":"user","content":%s,"name":"a"}]}`, content))
	}
	const image = `{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}}`
	for path, status := range map[string]int{azureChatPath: 422, openAIChatPath: 400} {
		plain, part := say(path, `"far is it"`), say(path, `[{"type":"text","text":"far "},{"type":"text","text":"is it"}]`)
		if plain.status != 200 || part.get("usage").Raw != plain.get("usage").Raw {
			t.Errorf("%s: %s\n%s", path, plain.body, part.body)
		}
		before := f.generated.Load()
		r := say(path, `[{"type":"text","text":"What is it?"},`+image+`]`)
		refused(t, r, status, "image")
		if status == 422 && (r.get("code").Str != "parameter_not_supported" || r.get("detail.loc.1").Str != "messages" || !r.get("detail.input").Exists() || r.get("status").Int() != 422) {
			t.Errorf("422 without its detail: %s", r.body)
		}
		if f.generated.Load() != before {
			t.Error("a refused request was generated for")
		}
	}
}

// TestEcho is about the prompt in front of the text (clause REQ-078).
func TestEcho(t *testing.T) {
	h := serve(t, newFake())
	send := func(members string) reply {
		return post(t, h, openAICompletionsPath, ask(openAICompletionsPath, members))
	}
	plain := send(`"max_tokens":2`).get("choices.0.text").Str
	r := send(`"max_tokens":2,"echo":true,"n":2`)
	for i := range 2 {
		if got := r.get(fmt.Sprintf("choices.%d.text", i)).Str; !strings.HasPrefix(got, "How far is the moon?") || i == 0 && got != "How far is the moon?"+plain {
			t.Errorf("%q", got)
		}
	}
	if streamed := send(`"max_tokens":2,"echo":true,"stream":true`); streamed.text(0) != r.get("choices.0.text").Str {
		t.Errorf("streamed %q", streamed.text(0))
	}
	r = send(`"max_tokens":0,"echo":true,"logprobs":1`)
	if r.get("choices.0.finish_reason").Str != "length" || r.get("usage.completion_tokens").Int() != 0 || len(r.get("choices.0.logprobs.tokens").Array()) != 5 {
		t.Errorf("the prompt alone: %d %s", r.status, r.body)
	}
	r = send(`"max_tokens":1,"echo":true,"logprobs":1`)
	if offsets := r.get("choices.0.logprobs.text_offset").Array(); offsets[len(offsets)-1].Int() != int64(len("How far is the moon?")) {
		t.Errorf("offsets %v", offsets)
	}
	refused(t, send(`"max_tokens":0`), 400, "max_tokens")
	refused(t, send(`"suffix":"x"`), 400, "suffix")
}

// TestEmbeddings is about vectors.
func TestEmbeddings(t *testing.T) {
	h := serve(t, newFake())
	for _, path := range []string{azureEmbeddingsPath, openAIEmbeddingsPath} {
		r := post(t, h, path, `{"model":"fake","input":["a","b c"]}`)
		if r.get("data.#").Int() != 2 || r.get("data.1.index").Int() != 1 || r.get("data.1.embedding").Raw != "[0.6,0.8,3]" || r.get("usage.total_tokens").Int() != 5 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		r = post(t, h, path, `{"model":"fake","input":"a","encoding_format":"base64"}`)
		if got := r.get("data.0.embedding").Str; got != "mpkZP83MTD8AAABA" {
			t.Errorf("base64: %s", got)
		}
		status := map[bool]int{true: 422, false: 400}[path == azureEmbeddingsPath]
		refused(t, post(t, h, path, `{"model":"fake","input":"a","dimensions":2}`), status, "dimensions")
		if r := post(t, h, path, `{"model":"fake","input":"a","dimensions":3}`); r.status != 200 {
			t.Errorf("dimensions: %d %s", r.status, r.body)
		}
		refused(t, post(t, h, path, `{"model":"fake","input":"`+strings.Repeat("a ", 200)+`"}`), 400, "128 tokens")
	}
}
