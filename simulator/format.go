package simulator

import (
	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// A format is what response_format asks the text to be.
type format struct {
	kind       string // text, json_object or json_schema
	constraint *engine.Constraint
}

// typedFormat reads response_format (clauses FMT-001 to FMT-004). A schema that
// the engine cannot enforce is refused, not ignored.
func typedFormat(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if !v.IsObject() {
		return nil, wrong()
	}
	d, bad := objectAt(p.name, v)
	if bad != nil {
		return nil, bad
	}
	kind, bad := d.textAt(p.name, "type", true)
	if bad != nil {
		return nil, bad
	}
	wanted, sent := d.optional("json_schema")
	switch kind {
	case "text":
		return format{kind: kind}, nil
	case "json_object":
		return format{kind, engine.JSONObject()}, nil
	case "json_schema":
		if !sent {
			return nil, invalid(codeMissing, p.name+".json_schema", "%s.json_schema is required with the type json_schema.", p.name)
		}
		return typedSchemaFormat(p.name+".json_schema", wanted)
	}
	return nil, invalid(codeType, p.name+".type", "%s.type must be text, json_object or json_schema, got %q.", p.name, clip(kind))
}

func typedSchemaFormat(where string, v gjson.Result) (any, *refusal) {
	d, bad := objectAt(where, v)
	if bad != nil {
		return nil, bad
	}
	name, bad := d.textAt(where, "name", true)
	if bad != nil {
		return nil, bad
	}
	if !functionName.MatchString(name) {
		return nil, invalid(codeRange, where+".name", "%s.name must be 1 to 64 letters, digits, _ and -, got %q.", where, clip(name))
	}
	if strict, sent := d.optional("strict"); sent && strict.Type != gjson.True && strict.Type != gjson.False {
		return nil, invalid(codeType, where+".strict", "%s.strict must be true or false, got %s.", where, shown(strict))
	}
	schema, sent := d.optional("schema")
	if !sent {
		return format{"json_schema", engine.JSONObject()}, nil
	}
	if bad := checkSchema(where+".schema", schema, 0); bad != nil {
		return nil, bad
	}
	constraint, err := engine.JSONSchema([]byte(schema.Raw))
	if err != nil {
		return nil, unsupported("response_format", "%s.schema cannot be enforced: %s.", where, schemaFault(err))
	}
	return format{"json_schema", constraint}, nil
}
