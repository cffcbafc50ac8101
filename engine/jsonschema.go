package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// A jsonGrammar compiles JSON Schemas to a grammar of the JSON values that are
// valid against them.
//
// JSON is written on one line, with at most a space after a colon or a comma;
// the properties of an object come in the order of the schema, further ones
// after them. That is less than the schema allows, but never more.
type jsonGrammar struct {
	grammar
	root   gjson.Result
	depth  int             // of the schema that is being compiled
	refs   map[string]rule // by JSON pointer
	shared map[string]rule // of every schema, by name
}

// compileSchema returns the grammar of a schema.
func compileSchema(schema []byte) (*grammar, error) {
	if !gjson.ValidBytes(schema) {
		return nil, errors.New("the schema is no JSON")
	}
	j := &jsonGrammar{root: gjson.ParseBytes(schema), refs: map[string]rule{}, shared: map[string]rule{}}
	start := j.declare()
	e, err := j.value(j.root, "#")
	if err != nil {
		return nil, err
	}
	j.define(start, e)
	return j.finish()
}

// compileObject returns the grammar of all JSON objects.
func compileObject() (*grammar, error) {
	j := &jsonGrammar{refs: map[string]rule{}, shared: map[string]rule{}}
	start := j.declare()
	j.define(start, j.anyObject())
	return j.finish()
}

// A jsonSchema is the keywords of one schema, merged with those of allOf.
type jsonSchema struct {
	path  string
	types []string // nil: any
	enum  []string // in compact JSON
	fixed bool     // enum says what there is

	properties []jsonProperty
	required   []string
	additional *gjson.Result // nil: not said

	items    *gjson.Result
	prefix   []gjson.Result
	minItems int
	maxItems int // -1: no bound

	minLength, maxLength int // -1: no bound
	pattern              *string
	format               string

	least, most *bound
}

type jsonProperty struct {
	name   string
	schema gjson.Result
	path   string
}

type bound struct {
	value     float64
	exclusive bool
}

var jsonTypes = []string{"object", "array", "string", "number", "integer", "boolean", "null"}

// value returns the JSON values that are valid against a schema at path.
func (j *jsonGrammar) value(s gjson.Result, path string) (expr, error) {
	switch {
	case s.Type == gjson.True, s.IsObject() && len(s.Map()) == 0:
		return j.anyValue(), nil
	case s.Type == gjson.False:
		return choice{}, nil
	case !s.IsObject():
		return nil, fmt.Errorf("%s: a schema is an object or a boolean", path)
	}
	if j.depth++; j.depth > maxDepth {
		return nil, fmt.Errorf("%s: schemas nested too deeply", path)
	}
	defer func() { j.depth-- }()
	// What stands alone is not merged with anything, and may refer to itself.
	switch only(s) {
	case "$ref":
		return j.reference(s.Get("$ref").Str, path)
	case "oneOf":
		if _, err := j.branches(s, path, 0); err != nil { // that they exclude each other
			return nil, err
		}
		return j.alternatives(s, "oneOf", path)
	case "anyOf":
		return j.alternatives(s, "anyOf", path)
	}
	all, err := j.branches(s, path, 0)
	if err != nil {
		return nil, err
	}
	var out choice
	for _, one := range all {
		e, err := j.one(one)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// maxDepth bounds how deeply schemas are nested, in each other or by what they
// refer to.
const maxDepth = 64

// only returns the one keyword of a schema that matters, "" if there are more.
func only(s gjson.Result) (keyword string) {
	n := 0
	s.ForEach(func(key, _ gjson.Result) bool {
		if !annotations[key.Str] {
			keyword = key.Str
			n++
		}
		return true
	})
	if n != 1 {
		return ""
	}
	return keyword
}

// alternatives returns the values of any schema of a list.
func (j *jsonGrammar) alternatives(s gjson.Result, keyword, path string) (expr, error) {
	list := s.Get(keyword)
	if !list.IsArray() || len(list.Array()) == 0 {
		return nil, fmt.Errorf("%s: %s must be a list of schemas", path, keyword)
	}
	var out choice
	for i, sub := range list.Array() {
		e, err := j.value(sub, fmt.Sprintf("%s/%s/%d", path, keyword, i))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// reference returns the rule of a schema in this document.
func (j *jsonGrammar) reference(ref, path string) (expr, error) {
	if r, ok := j.refs[ref]; ok {
		return r, nil
	}
	s, err := j.resolve(ref, path)
	if err != nil {
		return nil, err
	}
	r := j.declare()
	j.refs[ref] = r
	e, err := j.value(s, ref)
	if err != nil {
		return nil, err
	}
	j.define(r, e)
	return r, nil
}

// resolve follows a JSON pointer in this document.
func (j *jsonGrammar) resolve(ref, path string) (gjson.Result, error) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return gjson.Result{}, fmt.Errorf("%s: $ref %q is not in this schema (#/…)", path, ref)
	}
	s := j.root
	for _, name := range strings.Split(pointer, "/")[1:] {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		var found gjson.Result
		i := 0
		s.ForEach(func(key, value gjson.Result) bool {
			if s.IsArray() && strconv.Itoa(i) == name || key.Str == name {
				found = value
			}
			i++
			return true
		})
		if s = found; !s.Exists() {
			return s, fmt.Errorf("%s: $ref %q leads nowhere", path, ref)
		}
	}
	return s, nil
}

// annotations are keywords that say nothing of what is valid.
var annotations = map[string]bool{
	"$schema": true, "$id": true, "$anchor": true, "$comment": true, "$defs": true, "definitions": true,
	"title": true, "description": true, "default": true, "example": true, "examples": true,
	"deprecated": true, "readOnly": true, "writeOnly": true, "nullable": true,
}

// maxBranches bounds what anyOf within anyOf multiplies to.
const maxBranches = 256

// branches returns schemas without anyOf, oneOf, allOf and $ref that together
// mean the same as s.
func (j *jsonGrammar) branches(s gjson.Result, path string, depth int) ([]jsonSchema, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: schemas nested too deeply in anyOf, oneOf, allOf or $ref", path)
	}
	if s.Type == gjson.True {
		s = gjson.Parse("{}")
	}
	if !s.IsObject() {
		return nil, fmt.Errorf("%s: a schema here is an object", path)
	}
	base, err := j.keywords(s, path)
	if err != nil {
		return nil, err
	}
	all := []jsonSchema{base}
	with := func(alternatives []jsonSchema) error {
		var out []jsonSchema
		for _, a := range all {
			for _, b := range alternatives {
				m, err := a.merge(b)
				if err != nil {
					return err
				}
				out = append(out, m)
			}
		}
		if all = out; len(all) > maxBranches {
			return fmt.Errorf("%s: too many alternatives", path)
		}
		return nil
	}
	if ref := s.Get("$ref"); ref.Exists() {
		target, err := j.resolve(ref.Str, path)
		if err != nil {
			return nil, err
		}
		more, err := j.branches(target, ref.Str, depth+1)
		if err != nil {
			return nil, err
		}
		if err := with(more); err != nil {
			return nil, err
		}
	}
	for i, sub := range s.Get("allOf").Array() {
		more, err := j.branches(sub, fmt.Sprintf("%s/allOf/%d", path, i), depth+1)
		if err != nil {
			return nil, err
		}
		if err := with(more); err != nil {
			return nil, err
		}
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		list := s.Get(keyword)
		if !list.Exists() {
			continue
		}
		var alternatives []jsonSchema
		for i, sub := range list.Array() {
			more, err := j.branches(sub, fmt.Sprintf("%s/%s/%d", path, keyword, i), depth+1)
			if err != nil {
				return nil, err
			}
			if keyword == "oneOf" {
				for _, a := range alternatives {
					for _, b := range more {
						if !disjoint(a, b) {
							return nil, fmt.Errorf("%s: oneOf whose alternatives may both be valid is not supported; use anyOf", path)
						}
					}
				}
			}
			alternatives = append(alternatives, more...)
		}
		if err := with(alternatives); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// disjoint says whether it is plain that no value is valid against both.
func disjoint(a, b jsonSchema) bool {
	if a.types != nil && b.types != nil && !slices.ContainsFunc(a.types, func(t string) bool {
		return slices.Contains(b.types, t) || t == "integer" && slices.Contains(b.types, "number") ||
			t == "number" && slices.Contains(b.types, "integer")
	}) {
		return true
	}
	if a.fixed && b.fixed {
		return !slices.ContainsFunc(a.enum, func(v string) bool { return slices.Contains(b.enum, v) })
	}
	object := []string{"object"}
	if !slices.Equal(a.types, object) || !slices.Equal(b.types, object) {
		return false
	}
	fixed := func(p jsonProperty) []string { // its only values, if it is required and has such
		if c := p.schema.Get("const"); c.Exists() {
			return []string{compact(c)}
		}
		var all []string
		for _, v := range p.schema.Get("enum").Array() {
			all = append(all, compact(v))
		}
		return all
	}
	for _, p := range a.properties {
		for _, q := range b.properties {
			if p.name != q.name || !slices.Contains(a.required, p.name) || !slices.Contains(b.required, q.name) {
				continue
			}
			v, w := fixed(p), fixed(q)
			if v != nil && w != nil && !slices.ContainsFunc(v, func(x string) bool { return slices.Contains(w, x) }) {
				return true
			}
		}
	}
	return false
}

// compact returns a value in its shortest form, strings as this package writes
// them.
func compact(v gjson.Result) string {
	if v.Type == gjson.String {
		return quote(v.Str)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(v.Raw)); err != nil {
		return v.Raw
	}
	return b.String()
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// keywords reads the keywords of one schema, but for those of combination.
func (j *jsonGrammar) keywords(s gjson.Result, path string) (jsonSchema, error) {
	out := jsonSchema{path: path, maxItems: -1, maxLength: -1}
	var err error
	bad := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf("%s: "+format, append([]any{path}, args...)...)
		}
	}
	count := func(key string, v gjson.Result) int {
		if v.Type != gjson.Number || v.Num < 0 || v.Num != math.Trunc(v.Num) {
			bad("%s must be a whole number, got %s", key, v.Raw)
			return 0
		}
		return int(min(v.Num, maxNodes))
	}
	limit := func(key string, v gjson.Result, b **bound, exclusive, upper bool) {
		if v.Type != gjson.Number {
			bad("%s must be a number, got %s", key, v.Raw)
			return
		}
		*b = tighter(*b, &bound{v.Num, exclusive}, upper)
	}
	s.ForEach(func(k, v gjson.Result) bool {
		switch key := k.Str; key {
		case "type":
			for _, t := range v.Array() {
				if !slices.Contains(jsonTypes, t.Str) {
					bad("type %s is none of JSON's", t.Raw)
				}
				out.types = append(out.types, t.Str)
			}
		case "enum", "const":
			values := []gjson.Result{v}
			if key == "enum" {
				values = v.Array()
			}
			var more []string
			for _, one := range values {
				more = append(more, compact(one))
			}
			if out.fixed {
				more = common(out.enum, more)
			}
			out.enum, out.fixed = more, true
		case "properties":
			v.ForEach(func(name, schema gjson.Result) bool {
				out.properties = append(out.properties, jsonProperty{name.Str, schema, path + "/properties/" + name.Str})
				return true
			})
		case "required":
			for _, name := range v.Array() {
				out.required = append(out.required, name.Str)
			}
		case "additionalProperties":
			out.additional = &v
		case "items":
			if v.IsArray() { // before draft 2020-12
				out.prefix = v.Array()
			} else {
				out.items = &v
			}
		case "prefixItems":
			out.prefix = v.Array()
		case "minItems":
			out.minItems = count(key, v)
		case "maxItems":
			out.maxItems = count(key, v)
		case "minLength":
			out.minLength = count(key, v)
		case "maxLength":
			out.maxLength = count(key, v)
		case "pattern":
			out.pattern = &v.Str
		case "format":
			out.format = v.Str
		case "minimum":
			limit(key, v, &out.least, false, false)
		case "exclusiveMinimum":
			limit(key, v, &out.least, true, false)
		case "maximum":
			limit(key, v, &out.most, false, true)
		case "exclusiveMaximum":
			limit(key, v, &out.most, true, true)
		case "anyOf", "oneOf", "allOf":
			if !v.IsArray() || len(v.Array()) == 0 {
				bad("%s must be a list of schemas", key)
			}
		case "$ref":
		default:
			if !annotations[key] {
				bad("the keyword %q is not supported", key)
			}
		}
		return err == nil
	})
	return out, err
}

// tighter returns the bound that leaves less.
func tighter(a, b *bound, upper bool) *bound {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.value == b.value && b.exclusive, a.value != b.value && (b.value < a.value) == upper:
		return b
	}
	return a
}

// common returns the strings of a that are in b.
func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// merge returns a schema of what is valid against both.
func (a jsonSchema) merge(b jsonSchema) (jsonSchema, error) {
	out := a
	both := func(keyword string) (jsonSchema, error) {
		return out, fmt.Errorf("%s and %s: %s in both is not supported", a.path, b.path, keyword)
	}
	if b.types != nil {
		out.types = b.types
		if a.types != nil {
			if out.types = common(a.types, b.types); len(out.types) == 0 {
				return both("another type")
			}
		}
	}
	if b.fixed {
		out.enum, out.fixed = b.enum, true
		if a.fixed {
			out.enum = common(a.enum, b.enum)
		}
	}
	out.properties = slices.Clone(a.properties)
	for _, p := range b.properties {
		i := slices.IndexFunc(a.properties, func(q jsonProperty) bool { return q.name == p.name })
		switch {
		case i < 0:
			out.properties = append(out.properties, p)
		case a.properties[i].schema.Raw != p.schema.Raw:
			return both("the property " + strconv.Quote(p.name))
		}
	}
	out.required = append(slices.Clone(a.required), b.required...)
	// additionalProperties looks at the properties of its own schema alone.
	if (a.additional != nil && len(b.properties)+len(b.required) > 0 || b.additional != nil && len(a.properties)+len(a.required) > 0) &&
		(a.additional == nil || b.additional == nil || a.additional.Raw != b.additional.Raw || a.additional.Type != gjson.True) {
		return both("additionalProperties beside properties")
	}
	if b.additional != nil {
		out.additional = b.additional
	}
	if b.items != nil || b.prefix != nil {
		if a.items != nil || a.prefix != nil {
			return both("items")
		}
		out.items, out.prefix = b.items, b.prefix
	}
	out.minItems = max(a.minItems, b.minItems)
	out.maxItems = fewest(a.maxItems, b.maxItems)
	out.minLength = max(a.minLength, b.minLength)
	out.maxLength = fewest(a.maxLength, b.maxLength)
	if b.pattern != nil {
		if a.pattern != nil {
			return both("pattern")
		}
		out.pattern = b.pattern
	}
	if b.format != "" {
		out.format = b.format
	}
	out.least, out.most = tighter(a.least, b.least, false), tighter(a.most, b.most, true)
	return out, nil
}

// fewest returns the lower of two bounds, where a negative one is none.
func fewest(a, b int) int {
	if a < 0 || b < 0 {
		return max(a, b)
	}
	return min(a, b)
}
