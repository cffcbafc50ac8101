package simulator

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// toolDefects break the areas TOO and FMT on the dialects that have them.
var toolDefects = []Defect{
	{
		Name: "tools-empty-taken", Stage: "decode", Clauses: []string{"TOO-001"}, Dialects: onBoth,
		Sentence: "An empty list of tools is taken for none.",
		arm:      rewrite(instead("tools", "[]", "")),
	},
	{
		Name: "tool-name-mended", Stage: "decode", Clauses: []string{"TOO-002"}, Dialects: onBoth,
		Sentence: "A space in the name of a function becomes an underscore.",
		arm:      replaced(`"name":"a b"`, `"name":"a_b"`),
	},
	{
		Name: "tool-schema-unread", Stage: "decode", Clauses: []string{"TOO-003"}, Dialects: onAzure,
		Sentence: "The parameters of a function may be of a type that there is not.",
		arm:      replaced(`"parameters":{"type":"nope"}`, `"parameters":{}`),
	},
	{
		Name: "tool-choice-alone", Stage: "decode", Clauses: []string{"TOO-004"}, Dialects: onBoth,
		Sentence: "tool_choice without tools is ignored.",
		arm: rewrite(func(_ *call, o *object) {
			if o.get("tools") == "" {
				o.remove("tool_choice")
			}
		}),
	},
	{
		Name: "tool-choice-unknown", Stage: "decode", Clauses: []string{"TOO-005"}, Dialects: onBoth,
		Sentence: "A tool_choice that names no tool of the list is ignored.",
		arm: rewrite(func(_ *call, o *object) {
			if name := gjson.Get(o.get("tool_choice"), "function.name").Str; name != "" && !strings.Contains(o.get("tools"), quote(name)) {
				o.remove("tool_choice")
			}
		}),
	},
	{
		Name: "tool-choice-none-called", Stage: "decode", Clauses: []string{"TOO-006"}, Dialects: onBoth,
		Sentence: "tool_choice none is read as required.",
		arm:      rewrite(instead("tool_choice", `"none"`, `"required"`)),
	},
	{
		Name: "tool-choice-last", Stage: "decode", Clauses: []string{"TOO-007"}, Dialects: onBoth,
		Sentence: "A tool_choice that names a function gives a call of the last of the list.",
		arm: rewrite(func(_ *call, o *object) {
			if name := gjson.Get(o.get("tool_choice"), "function.name"); name.Exists() {
				if names := gjson.Get(o.get("tools"), "#.function.name").Array(); len(names) > 1 && strings.Contains(o.get("tools"), name.Raw) {
					o.set("tool_choice", `{"type":"function","function":{"name":`+names[len(names)-1].Raw+`}}`)
				}
			}
		}),
	},
	{
		Name: "tool-choice-required-auto", Stage: "decode", Clauses: []string{"TOO-008"}, Dialects: onBoth,
		Sentence: "tool_choice required leaves the model its choice.",
		arm:      rewrite(instead("tool_choice", `"required"`, `"auto"`)),
	},
	{
		Name: "tool-arguments-object", Stage: "shape", Clauses: []string{"TOO-009"}, Dialects: onBoth,
		Sentence: "The arguments of a call are an object instead of a text.",
		Seen:     "llama.cpp#20198, TGI#2136",
		arm: calls(func(call *object) {
			f := parseObject(call.get("function"))
			f.set("arguments", gjson.Parse(f.get("arguments")).Str)
			call.set("function", f.String())
		}),
	},
	{
		Name: "tool-call-id-empty", Stage: "shape", Clauses: []string{"TOO-009"}, Dialects: onBoth,
		Sentence: "The id of every call is empty.",
		arm:      calls(func(call *object) { call.set("id", `""`) }),
	},
	{
		Name: "tool-arguments-python", Stage: "shape", Clauses: []string{"TOO-010"}, Dialects: onBoth,
		Sentence: "The arguments of a call are written as Python writes a dict, with single quotes.",
		arm: both(
			calls(func(call *object) { call.set("function", strings.ReplaceAll(call.get("function"), `\"`, `'`)) }),
			chunkChoices(func(_ *call, choice *object) {
				if delta := choice.get("delta"); strings.Contains(delta, `"tool_calls"`) {
					choice.set("delta", strings.ReplaceAll(delta, `\"`, `'`))
				}
			}),
		),
	},
	{
		Name: "tool-message-refused", Stage: "decode", Clauses: []string{"TOO-011", "CHT-011"}, Dialects: onBoth,
		Sentence: "The role tool is refused.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if strings.Contains(o.get("messages"), `"role":"tool"`) {
				return invalid(codeType, "messages", "Conversation roles must alternate user/assistant.")
			}
			return nil
		}),
	},
	{
		Name: "tool-message-unplaced", Stage: "decode", Clauses: []string{"TOO-012"}, Dialects: onBoth,
		Sentence: "A message of the role tool need not say which call it answers.",
		arm: rewrite(func(_ *call, o *object) {
			if m := o.get("messages"); m != "" && !strings.Contains(m, `"tool_call_id"`) {
				o.set("messages", strings.ReplaceAll(m, `{"role":"tool",`, `{"role":"tool","tool_call_id":"call_1",`))
			}
		}),
	},
	{
		Name: "tool-call-id-repeated", Stage: "shape", Clauses: []string{"TOO-013"}, Dialects: onBoth,
		Sentence: "Every piece of a streamed call says id and name again.",
		arm: func() arming {
			return chunkChoices(func(c *call, choice *object) {
				delta := choice.get("delta")
				if at := strings.Index(delta, `"function":{"arguments"`); at > 0 {
					name := strings.TrimPrefix(c.values.text("tool_choice"), ":")
					choice.set("delta", delta[:at]+`"id":"call_again","type":"function","function":{"name":`+quote(name)+`,`+delta[at+len(`"function":{`):])
				}
			})()
		},
	},
	{
		Name: "tools-unsupported-400", Stage: "decode", Clauses: []string{"TOO-014"}, Dialects: onAzure,
		Sentence: "A tool_choice that names a function is refused as not supported, with 400.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if strings.Contains(o.get("tool_choice"), `"set_light"`) {
				return invalid(codeCombination, "tool_choice", "tool_choice is not supported by this model.")
			}
			return nil
		}),
	},
	{
		Name: "format-text-shortens", Stage: "decode", Clauses: []string{"FMT-001", "FIN-003"}, Dialects: onBoth,
		Sentence: "With response_format text an answer has at most 8 tokens.",
		arm: rewrite(func(_ *call, o *object) {
			if gjson.Get(o.get("response_format"), "type").Str == "text" {
				o.set("max_tokens", "8")
			}
		}),
	},
	{
		Name: "json-fenced", Stage: "shape", Clauses: []string{"FMT-002", "ERR-007", "EXT-013"}, Dialects: onBoth,
		Sentence: "With json_object the answer begins with a fence of Markdown.",
		arm: answerChoices(func(c *call, _ int, choice *object) {
			if f, asked := c.values.of("response_format").(format); asked && f.kind == "json_object" {
				message := parseObject(choice.get("message"))
				message.set("content", quote("```json\n"+gjson.Parse(message.get("content")).Str))
				choice.set("message", message.String())
			}
		}),
	},
	{
		Name: "format-unknown-ignored", Stage: "decode", Clauses: []string{"FMT-003"}, Dialects: onBoth,
		Sentence: "A response_format of an unknown type is ignored.",
		arm:      rewrite(instead("response_format", `{"type":"xml"}`, "")),
	},
	{
		Name: "json-schema-loose", Stage: "decode", Clauses: []string{"FMT-004"}, Dialects: onBoth,
		Sentence: "With json_schema the answer is some JSON, whatever the schema says.",
		arm: rewrite(func(_ *call, o *object) {
			if gjson.Get(o.get("response_format"), "type").Str == "json_schema" {
				o.set("response_format", `{"type":"json_object"}`)
			}
		}),
	},
	{
		Name: "json-cut-stop", Stage: "shape", Clauses: []string{"FMT-005"}, Dialects: onBoth,
		Sentence: "JSON that max_tokens cut ends with stop.",
		arm: answerChoices(func(c *call, _ int, choice *object) {
			if f, asked := c.values.of("response_format").(format); asked && f.kind == "json_object" && c.values.maxTokens() == 4 {
				choice.set("finish_reason", `"stop"`)
			}
		}),
	},
}

// imageDefects break the area VIS.
var imageDefects = []Defect{
	{
		Name: "image-ignored", Stage: "decode", Clauses: []string{"VIS-002"}, Dialects: onBoth,
		Sentence: "An image is left out, and the text answered alone.",
		arm: withoutParts(func(p gjson.Result) bool {
			return strings.HasPrefix(p.Get("image_url.url").Str, "data:image/png;base64,iVBOR") && !p.Get("image_url.detail").Exists()
		}),
	},
	{
		Name: "image-broken-ignored", Stage: "decode", Clauses: []string{"VIS-003"}, Dialects: onBoth,
		Sentence: "An image whose base64 is broken is left out.",
		arm:      withoutParts(func(p gjson.Result) bool { return strings.Contains(p.Get("image_url.url").Str, "@") }),
	},
	{
		Name: "image-fetched", Stage: "decode", Clauses: []string{"VIS-004"}, Dialects: onBoth,
		Sentence: "An image at an http address of the server's own network is asked for.",
		arm: before("decode", func(c *call) {
			gjson.GetBytes(c.body, "messages.#.content").ForEach(func(_, content gjson.Result) bool {
				for _, p := range content.Array() {
					if url := p.Get("image_url.url").Str; strings.HasPrefix(url, "http://127.0.0.1:") {
						fetch(c.context, url)
					}
				}
				return true
			})
		}),
	},
	{
		Name: "image-unaddressed", Stage: "decode", Clauses: []string{"VIS-005"}, Dialects: onBoth,
		Sentence: "An image part without a URL is left out.",
		arm:      withoutParts(func(p gjson.Result) bool { return p.Get("image_url").Raw == "{}" }),
	},
	{
		Name: "image-detail-any", Stage: "decode", Clauses: []string{"VIS-006"}, Dialects: onBoth,
		Sentence: "An image with a detail that there is not is left out.",
		arm:      withoutParts(func(p gjson.Result) bool { return p.Get("image_url.detail").Str == "foo" }),
	},
	{
		Name: "images-two-unsaid", Stage: "decode", Clauses: []string{"VIS-007"}, Dialects: onAzure,
		Sentence: "Two images are refused without saying what is wrong.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if strings.Count(o.get("messages"), `"image_url":{`) == 2 {
				return invalid(codeBody, "", "The request is not valid.")
			}
			return nil
		}),
	},
	{
		Name: "part-unknown-ignored", Stage: "decode", Clauses: []string{"VIS-009"}, Dialects: onBoth,
		Sentence: "A part of an unknown type is left out.",
		arm:      withoutParts(func(p gjson.Result) bool { return p.Get("type").Str == "foo" }),
	},
	{
		Name: "image-dead-ignored", Stage: "decode", Clauses: []string{"VIS-010"}, Dialects: onBoth,
		Sentence: "An image that cannot be fetched is left out.",
		arm:      withoutParts(func(p gjson.Result) bool { return strings.Contains(p.Get("image_url.url").Str, ".invalid/") }),
	},
}

// replaced changes a text within a request's body.
func replaced(from, to string) func() arming {
	return rebody(func(_ *call, body []byte) []byte { return bytes.ReplaceAll(body, []byte(from), []byte(to)) })
}

// both arms two.
func both(a, b func() arming) func() arming {
	return func() arming {
		x, y := a(), b()
		return func(c *call) { x(c); y(c) }
	}
}

// calls changes each call of tools in answers that are not streamed.
func calls(f func(call *object)) func() arming {
	return answerChoices(func(_ *call, _ int, choice *object) {
		message := parseObject(choice.get("message"))
		list := gjson.Parse(message.get("tool_calls")).Array()
		if len(list) == 0 {
			return
		}
		b := []byte{'['}
		for i, one := range list {
			call := parseObject(one.Raw)
			f(call)
			b = append(comma(b, i), call.String()...)
		}
		message.set("tool_calls", string(append(b, ']')))
		choice.set("message", message.String())
	})
}

// withoutParts leaves parts out of messages, but never the first of one.
func withoutParts(drop func(part gjson.Result) bool) func() arming {
	return rewrite(func(_ *call, o *object) {
		messages := o.get("messages")
		gjson.Parse(messages).ForEach(func(_, m gjson.Result) bool {
			m.Get("content").ForEach(func(_, p gjson.Result) bool {
				if p.IsObject() && drop(p) {
					messages = strings.Replace(messages, ","+p.Raw, "", 1)
				}
				return true
			})
			return true
		})
		if messages != "" {
			o.set("messages", messages)
		}
	})
}

// fetch asks for what is at a URL and throws it away.
func fetch(ctx context.Context, url string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	if response, err := http.DefaultClient.Do(r); err == nil {
		_ = response.Body.Close()
	}
}
