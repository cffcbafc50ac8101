package simulator

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// mostTools is OpenAI's.
const mostTools = 128

var functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// typedTools reads what the model may call (clauses TOO-001 to TOO-003).
func typedTools(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	list, bad := listOf(p, v, wrong, "tool", typedTool)
	if bad != nil {
		return nil, bad
	}
	tools := list.([]engine.Tool)
	for i, t := range tools {
		if slices.ContainsFunc(tools[:i], func(other engine.Tool) bool { return other.Name == t.Name }) {
			return nil, invalid(codeCombination, p.name, "%s names the function %s twice.", p.name, t.Name)
		}
	}
	return tools, nil
}

func typedTool(where string, d document) (tool engine.Tool, bad *refusal) {
	if kind, bad := d.textAt(where, "type", true); bad != nil || kind != "function" {
		return tool, invalid(codeType, where+".type", "%s.type must be \"function\".", where)
	}
	v, _ := d.get("function")
	at := where + ".function"
	function, bad := objectAt(at, v)
	if bad != nil {
		return tool, bad
	}
	if tool.Name, bad = function.textAt(at, "name", true); bad != nil {
		return tool, bad
	}
	if !functionName.MatchString(tool.Name) {
		return tool, invalid(codeRange, at+".name", "%s.name must be 1 to 64 letters, digits, _ and -, got %q.", at, clip(tool.Name))
	}
	if tool.Description, bad = function.textAt(at, "description", false); bad != nil {
		return tool, bad
	}
	if parameters, sent := function.optional("parameters"); sent {
		if !parameters.IsObject() {
			return tool, invalid(codeType, at+".parameters", "%s.parameters must be a JSON Schema, got %s.", at, shown(parameters))
		}
		if bad = checkSchema(at+".parameters", parameters, 0); bad != nil {
			return tool, bad
		}
		tool.Parameters = parameters.Raw
	}
	return tool, nil
}

var schemaTypes = []string{"object", "array", "string", "number", "integer", "boolean", "null"}

// checkSchema looks at what is surely wrong in a JSON Schema: types that there
// are not, and subschemas that are no schemas (TOO-003).
func checkSchema(where string, v gjson.Result, depth int) *refusal {
	if v.Type == gjson.True || v.Type == gjson.False {
		return nil
	}
	d, bad := objectAt(where, v)
	if bad != nil {
		return bad
	}
	for _, m := range d {
		at := where + "." + clip(m.name)
		switch m.name {
		case "type":
			names := []gjson.Result{m.value}
			if m.value.IsArray() {
				names = m.value.Array()
			}
			for _, name := range names {
				if name.Type != gjson.String || !slices.Contains(schemaTypes, name.Str) {
					return invalid(codeType, at, "%s must be one of %s, got %s.", at, strings.Join(schemaTypes, ", "), shown(name))
				}
			}
		case "properties", "$defs", "definitions", "patternProperties":
			properties, bad := objectAt(at, m.value)
			if bad != nil {
				return bad
			}
			for _, property := range properties {
				if bad := checkSchema(at+"."+clip(property.name), property.value, depth+1); bad != nil {
					return bad
				}
			}
		case "items", "additionalProperties", "not":
			if m.value.IsArray() { // tuples of older drafts
				continue
			}
			if bad := checkSchema(at, m.value, depth+1); bad != nil {
				return bad
			}
		case "required":
			if !m.value.IsArray() || slices.ContainsFunc(m.value.Array(), func(v gjson.Result) bool { return v.Type != gjson.String }) {
				return invalid(codeType, at, "%s must be an array of strings, got %s.", at, shown(m.value))
			}
		case "enum":
			if !m.value.IsArray() {
				return invalid(codeType, at, "%s must be an array, got %s.", at, shown(m.value))
			}
		}
	}
	return nil
}

// typedToolChoice reads none, auto, required, or the name of a function, which
// comes back with a colon before it.
func typedToolChoice(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if v.Type == gjson.String {
		if !slices.Contains([]string{"none", "auto", "required"}, v.Str) {
			return nil, wrong()
		}
		return v.Str, nil
	}
	if !v.IsObject() {
		return nil, wrong()
	}
	d, bad := objectAt(p.name, v)
	if bad != nil {
		return nil, bad
	}
	if kind, bad := d.textAt(p.name, "type", true); bad != nil || kind != "function" {
		return nil, invalid(codeType, p.name+".type", "%s.type must be \"function\".", p.name)
	}
	function, _ := d.get("function")
	f, bad := objectAt(p.name+".function", function)
	if bad != nil {
		return nil, bad
	}
	name, bad := f.textAt(p.name+".function", "name", true)
	return ":" + name, bad
}

// toolChoices: a choice is among the tools (clauses TOO-004, TOO-005).
func toolChoices(v values) *refusal {
	tools := v.tools()
	switch {
	case v.given("tool_choice") && len(tools) == 0:
		return invalid(codeCombination, "tool_choice", "tool_choice needs tools.")
	case v.given("parallel_tool_calls") && len(tools) == 0:
		return invalid(codeCombination, "parallel_tool_calls", "parallel_tool_calls needs tools.")
	}
	name, named := strings.CutPrefix(v.text("tool_choice"), ":")
	if named && !slices.ContainsFunc(tools, func(t engine.Tool) bool { return t.Name == name }) {
		return invalid(codeCombination, "tool_choice", "tool_choice names the function %q, which is not in tools.", clip(name))
	}
	return nil
}

// offered are the tools that the model is told of: none where none is to be
// called, one where that one is.
func (v values) offered() []engine.Tool {
	choice := v.text("tool_choice")
	if choice == "none" {
		return nil
	}
	name, named := strings.CutPrefix(choice, ":")
	return slices.DeleteFunc(slices.Clone(v.tools()), func(t engine.Tool) bool { return named && t.Name != name })
}

// callNeeded says whether the answer must be a call.
func (v values) callNeeded() bool {
	choice := v.text("tool_choice")
	return choice == "required" || strings.HasPrefix(choice, ":")
}

// callConstraint holds the answer to a call of one of the tools, with arguments
// by their schema. A schema that the engine cannot enforce is refused, not
// ignored.
func callConstraint(tools []engine.Tool) (*engine.Constraint, *refusal) {
	constraint, err := engine.JSONSchema(callSchema(tools))
	if err == nil {
		return constraint, nil
	}
	for _, t := range tools {
		if t.Parameters == "" {
			continue
		}
		if _, bad := engine.JSONSchema([]byte(t.Parameters)); bad != nil {
			return nil, unsupported("tools", "The parameters of the function %s cannot be enforced: %s.", t.Name, schemaFault(bad))
		}
	}
	return nil, unsupported("tool_choice", "tool_choice cannot be enforced: %s.", schemaFault(err))
}

// schemaFault is what the engine says against a JSON Schema.
func schemaFault(err error) string { return strings.TrimPrefix(err.Error(), "engine: JSON schema: ") }

// reference is where a JSON Schema refers to a place in itself.
var reference = regexp.MustCompile(`("\$ref"\s*:\s*"#)`)

func callSchema(tools []engine.Tool) []byte {
	b := []byte(`{"anyOf":[`)
	for i, t := range tools {
		b = append(comma(b, i), `{"type":"object","properties":{"name":{"const":`...)
		b = appendString(b, t.Name)
		b = append(b, `},"parameters":`...)
		if t.Parameters != "" {
			b = append(b, reference.ReplaceAllString(t.Parameters, fmt.Sprintf("${1}/anyOf/%d/properties/parameters", i))...)
		} else {
			b = append(b, `{"type":"object","additionalProperties":false}`...) // a function without parameters
		}
		b = append(b, `},"required":["name","parameters"],"additionalProperties":false}`...)
	}
	return append(b, `]}`...)
}

// cannotRender refuses a conversation that the model's template refuses.
func cannotRender(c *call, err error) *refusal {
	if errors.Is(err, engine.ErrTools) {
		return unsupported("tools", "The model cannot call tools: its chat template does not know them. Remove tools.") // TOO-014
	}
	c.log.Info("chat template", "error", err)
	return invalid(codeCombination, "messages", "The model's chat template cannot render these messages; change their roles or order.")
}
