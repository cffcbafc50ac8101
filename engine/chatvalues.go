package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ardanlabs/jinja"
)

// What a chat template sees, as Hugging Face's templates expect it. Members keep
// their order, since some templates list them.

func dict(members ...any) jinja.Value {
	d := jinja.NewDict()
	for i := 0; i < len(members); i += 2 {
		d.AsDict().Set(members[i].(string), members[i+1].(jinja.Value))
	}
	return d
}

func messageValue(m Message, shown func(string) string) (jinja.Value, error) {
	v := dict("role", jinja.NewString(shown(m.Role)), "content", jinja.NewString(shown(m.Content)))
	if m.ToolCallID != "" {
		v.AsDict().Set("tool_call_id", jinja.NewString(shown(m.ToolCallID)))
	}
	if len(m.ToolCalls) == 0 {
		return v, nil
	}
	calls := make([]jinja.Value, len(m.ToolCalls))
	for i, call := range m.ToolCalls {
		arguments, err := jsonValue(call.Arguments, shown)
		if err != nil {
			return jinja.Value{}, fmt.Errorf("engine: the arguments of %s are not JSON: %w", call.Name, err)
		}
		calls[i] = dict("id", jinja.NewString(shown(call.ID)), "type", jinja.NewString("function"),
			"function", dict("name", jinja.NewString(shown(call.Name)), "arguments", arguments))
	}
	v.AsDict().Set("tool_calls", jinja.NewList(calls))
	return v, nil
}

func toolValue(t Tool, shown func(string) string) (jinja.Value, error) {
	function := dict("name", jinja.NewString(shown(t.Name)))
	if t.Description != "" {
		function.AsDict().Set("description", jinja.NewString(shown(t.Description)))
	}
	if t.Parameters != "" {
		parameters, err := jsonValue(t.Parameters, shown)
		if err != nil {
			return jinja.Value{}, fmt.Errorf("engine: the parameters of %s are not JSON: %w", t.Name, err)
		}
		function.AsDict().Set("parameters", parameters)
	}
	return dict("type", jinja.NewString("function"), "function", function), nil
}

// jsonValue reads text, with its strings as shown changes them.
func jsonValue(text string, shown func(string) string) (jinja.Value, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := nextValue(d, shown)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = fmt.Errorf("there is more behind the value")
		}
	}
	return v, err
}

func nextValue(d *json.Decoder, shown func(string) string) (jinja.Value, error) {
	token, err := d.Token()
	if err != nil {
		return jinja.Value{}, err
	}
	switch x := token.(type) {
	case string:
		return jinja.NewString(shown(x)), nil
	case json.Delim:
		var list []jinja.Value
		object := jinja.NewDict()
		for d.More() {
			key := ""
			if x == '{' {
				name, err := d.Token()
				if err != nil {
					return jinja.Value{}, err
				}
				key = name.(string)
			}
			v, err := nextValue(d, shown)
			if err != nil {
				return jinja.Value{}, err
			}
			if x == '{' {
				object.AsDict().Set(shown(key), v)
			} else {
				list = append(list, v)
			}
		}
		if _, err := d.Token(); err != nil { // the closing delimiter
			return jinja.Value{}, err
		}
		if x == '{' {
			return object, nil
		}
		return jinja.NewList(list), nil
	default:
		return jinja.FromGoValue(x), nil
	}
}
