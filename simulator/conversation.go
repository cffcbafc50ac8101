package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// typedConversation reads messages as azure-inference and openai have them: five
// roles, parts, calls of tools and their results (clauses CHT-001 to CHT-015,
// CHT-023, TOO-011, TOO-012, VIS-002 to VIS-009).
func typedConversation(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	return listOf(p, v, wrong, "message", typedTurn)
}

// listOf reads an array of objects that is not empty.
func listOf[T any](p *parameter, v gjson.Result, wrong func() *refusal, what string, read func(where string, d document) (T, *refusal)) (any, *refusal) {
	if !v.IsArray() {
		return nil, wrong()
	}
	items := v.Array()
	switch {
	case len(items) == 0:
		return nil, invalid(codeRange, p.name, "%s is empty; send at least one %s.", p.name, what)
	case p.most > 0 && len(items) > p.most:
		return nil, invalid(codeRange, p.name, "%s can hold at most %d, got %d.", p.name, p.most, len(items))
	}
	list := make([]T, len(items))
	for i, item := range items {
		where := fmt.Sprintf("%s[%d]", p.name, i)
		d, bad := objectAt(where, item)
		if bad == nil {
			list[i], bad = read(where, d)
		}
		if bad != nil {
			return nil, bad
		}
	}
	return list, nil
}

// objectAt returns the members of an object.
func objectAt(where string, v gjson.Result) (document, *refusal) {
	if !v.IsObject() {
		return nil, invalid(codeType, where, "%s must be an object, got %s.", where, shown(v))
	}
	return members(where+".", v)
}

// optional returns a member, which counts as absent when it is null.
func (d document) optional(name string) (gjson.Result, bool) {
	v, sent := d.get(name)
	return v, sent && v.Type != gjson.Null
}

// textAt returns a member that must be a string, "" if it may be absent and is.
func (d document) textAt(where, name string, required bool) (string, *refusal) {
	v, sent := d.optional(name)
	if !sent && !required {
		return "", nil
	}
	if v.Type != gjson.String {
		path := where + "." + name
		return "", invalid(codeType, path, "%s must be a string, got %s.", path, shown(v))
	}
	return v.Str, nil
}

var roles = []string{"system", "developer", "user", "assistant", "tool"}

// typedTurn reads a message. Members beside the known ones say nothing to the
// model and are let pass, as clients send back what they were sent (EXT-012).
func typedTurn(where string, d document) (m engine.Message, bad *refusal) {
	role, _ := d.get("role")
	if role.Type != gjson.String || !slices.Contains(roles, role.Str) {
		return m, invalid(codeType, where+".role", "%s.role must be one of %s, got %s.", where, strings.Join(roles, ", "), shown(role))
	}
	m.Role = role.Str
	if _, bad = d.textAt(where, "name", false); bad != nil {
		return m, bad
	}
	calls, sent := d.optional("tool_calls")
	if sent && m.Role != "assistant" {
		return m, invalid(codeCombination, where+".tool_calls", "%s.tool_calls is for the role assistant.", where)
	}
	if sent {
		list, bad := listOf(&parameter{name: where + ".tool_calls"}, calls, func() *refusal {
			return invalid(codeType, where+".tool_calls", "%s.tool_calls must be an array of calls, got %s.", where, shown(calls))
		}, "call", typedToolCall)
		if bad != nil {
			return m, bad
		}
		m.ToolCalls = list.([]engine.ToolCall)
	}
	if m.ToolCallID, bad = d.textAt(where, "tool_call_id", m.Role == "tool"); bad != nil {
		return m, bad
	}
	content, sent := d.optional("content")
	if sent || m.Role != "assistant" || m.ToolCalls == nil { // C50
		m.Content, bad = typedContent(where+".content", content)
	}
	if m.Role == "developer" { // the later name of it
		m.Role = "system"
	}
	return m, bad
}

func typedToolCall(where string, d document) (call engine.ToolCall, bad *refusal) {
	if call.ID, bad = d.textAt(where, "id", true); bad != nil {
		return call, bad
	}
	if kind, bad := d.textAt(where, "type", true); bad != nil || kind != "function" {
		return call, invalid(codeType, where+".type", "%s.type must be \"function\".", where)
	}
	v, _ := d.get("function")
	function, bad := objectAt(where+".function", v)
	if bad != nil {
		return call, bad
	}
	if call.Name, bad = function.textAt(where+".function", "name", true); bad != nil {
		return call, bad
	}
	call.Arguments, bad = function.textAt(where+".function", "arguments", true)
	if bad == nil && (!gjson.Valid(call.Arguments) || !gjson.Parse(call.Arguments).IsObject()) {
		bad = invalid(codeType, where+".function.arguments", "%s.function.arguments must be a JSON object in a string.", where)
	}
	return call, bad
}

// typedContent reads a text, or parts that are texts.
func typedContent(where string, v gjson.Result) (string, *refusal) {
	switch {
	case v.Type == gjson.String:
		return v.Str, nil
	case !v.IsArray():
		return "", invalid(codeType, where, "%s must be a string or an array of parts, got %s.", where, shown(v))
	}
	items := v.Array()
	if len(items) == 0 {
		return "", invalid(codeRange, where, "%s is empty; send at least one part.", where)
	}
	var all strings.Builder
	var image *refusal
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", where, i)
		part, bad := objectAt(at, item)
		if bad != nil {
			return "", bad
		}
		kind, bad := part.textAt(at, "type", true)
		if bad != nil {
			return "", bad
		}
		switch kind {
		case "text":
			text, bad := part.textAt(at, "text", true)
			if bad != nil {
				return "", bad
			}
			all.WriteString(text)
		case "image_url":
			if bad := checkImage(at, part); bad != nil {
				return "", bad
			}
			if image == nil {
				image = unsupported("messages", "%s is an image, and the model reads text only; send text parts.", at)
			}
		default:
			return "", invalid(codeType, at+".type", "%s.type must be \"text\" or \"image_url\", got %q.", at, clip(kind))
		}
	}
	return all.String(), image
}

// imageURL is what an image may come as; nothing is ever fetched (VIS-004).
var imageURL = regexp.MustCompile(`^(https?://[^\s]+|data:image/[a-z+.-]+;base64,(.+))$`)

// isImage is whether a URL can be one of an image: what a data URL holds is
// looked at (VIS-003).
func isImage(url string) bool {
	m := imageURL.FindStringSubmatch(url)
	if m == nil || m[2] == "" {
		return m != nil
	}
	b, err := base64.StdEncoding.DecodeString(m[2])
	return err == nil && strings.HasPrefix(http.DetectContentType(b), "image/")
}

func checkImage(at string, part document) *refusal {
	v, _ := part.get("image_url")
	image, bad := objectAt(at+".image_url", v)
	if bad != nil {
		return bad
	}
	url, bad := image.textAt(at+".image_url", "url", true)
	if bad != nil {
		return bad
	}
	if !isImage(url) {
		return invalid(codeType, at+".image_url.url", "%s.image_url.url must be an http or https URL or an image as a base64 data URL.", at)
	}
	detail, bad := image.textAt(at+".image_url", "detail", false)
	if bad == nil && !slices.Contains([]string{"", "auto", "low", "high"}, detail) {
		bad = invalid(codeRange, at+".image_url.detail", "%s.image_url.detail must be auto, low or high, got %q.", at, clip(detail))
	}
	return bad
}
