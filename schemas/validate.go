package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/goccy/go-yaml"
)

// A Kind is what a JSON document is meant to be.
type Kind string

// The kinds of document that a route exchanges.
const (
	RequestBody  Kind = "request"
	ResponseBody Kind = "response" // of a request that does not stream
	Chunk        Kind = "chunk"    // the payload of one event of a stream
	ErrorBody    Kind = "error"
)

// A Violation is one place where a document departs from its schema.
type Violation struct {
	// Pointer is a JSON pointer (RFC 6901) such as /choices/0/finish_reason;
	// the root is "".
	Pointer string
	// Expected and Seen say what belongs there and what stands there, such
	// as `an integer` and `"7"`.
	Expected string
	Seen     string
}

// String is such as `/choices/0/index: expected an integer, saw "7"`.
func (v Violation) String() string {
	at := v.Pointer
	if at == "" {
		at = "body"
	}
	return fmt.Sprintf("%s: expected %s, saw %s", at, v.Expected, v.Seen)
}

// Validate checks body against the schema of that kind of document on that
// route of that dialect, and returns every violation in the order of their
// pointers; none means valid. Body must be one JSON document and nothing else.
// Where there is no such schema, that is the one violation.
//
// The schemas are those of the interop profile. They tell a number that is
// whole from others, but not 7.0 from 7.
func Validate(dialect string, route Route, kind Kind, body []byte) []Violation {
	d, err := documents()
	if err != nil {
		return []Violation{{"", "schemas that can be read", err.Error()}}
	}
	s := d[dialect].schemas[schemaKey{route, kind}]
	if s == nil {
		return []Violation{{"", fmt.Sprintf("a schema of %s %s for %s", route, kind, dialect), "none"}}
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		if err == io.EOF {
			return []Violation{{"", "a JSON document", "nothing"}}
		}
		return []Violation{{"", "a JSON document", fmt.Sprintf("%s (%v)", short(body), err)}}
	}
	if rest := bytes.TrimSpace(body[in.InputOffset():]); len(rest) > 0 {
		return []Violation{{"", "one JSON document", "behind it " + short(rest)}}
	}
	var vs []Violation
	unfold(s.VisitJSON(v, openapi3.MultiErrors()), &vs)
	slices.SortStableFunc(vs, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(vs)
}

// Document is the OpenAPI document of a dialect as JSON, nil if there is none.
func Document(dialect string) []byte {
	d, err := documents()
	if err != nil {
		return nil
	}
	return bytes.Clone(d[dialect].json)
}

//go:embed openapi/*.yaml
var openapiFiles embed.FS

type schemaKey struct {
	route Route
	kind  Kind
}

// A document is an OpenAPI document and the schemas in it that bodies are held
// against.
type document struct {
	json    []byte
	schemas map[schemaKey]*openapi3.Schema
}

var documents = sync.OnceValues(func() (map[string]document, error) {
	files, err := openapiFiles.ReadDir("openapi")
	if err != nil {
		return nil, err
	}
	ds := map[string]document{}
	for _, f := range files {
		b, err := openapiFiles.ReadFile("openapi/" + f.Name())
		if err != nil {
			return nil, err
		}
		d, err := openDocument(b)
		if err != nil {
			return nil, fmt.Errorf("openapi/%s: %w", f.Name(), err)
		}
		ds[strings.TrimSuffix(f.Name(), ".yaml")] = d
	}
	return ds, nil
})

func openDocument(b []byte) (document, error) {
	// To JSON ourselves, so that a duplicate key is an error and the order
	// of the file is kept for those who read the served document.
	text, err := yaml.YAMLToJSON(b)
	if err != nil {
		return document{}, err
	}
	loader := openapi3.NewLoader()
	t, err := loader.LoadFromData(text)
	if err != nil {
		return document{}, err
	}
	if err := t.Validate(loader.Context); err != nil {
		return document{}, err
	}
	d := document{json: text, schemas: map[schemaKey]*openapi3.Schema{}}
	for route, prefix := range map[Route]string{Completions: "Completion", Chat: "ChatCompletion", Embeddings: "Embeddings"} {
		if route == Embeddings && t.Components.Schemas["EmbeddingsRequest"] == nil {
			continue
		}
		for kind, name := range map[Kind]string{
			RequestBody:  prefix + "Request",
			ResponseBody: prefix + "Response",
			Chunk:        prefix + "Chunk",
			ErrorBody:    "ErrorResponse",
		} {
			if route == Embeddings && kind == Chunk {
				continue // they do not stream
			}
			ref := t.Components.Schemas[name]
			if ref == nil {
				return document{}, fmt.Errorf("no schema %s", name)
			}
			d.schemas[schemaKey{route, kind}] = ref.Value
		}
	}
	return d, nil
}

// unfold appends a violation for each schema error in err.
func unfold(err error, vs *[]Violation) {
	switch e := err.(type) {
	case nil:
	case openapi3.MultiError:
		for _, err := range e {
			unfold(err, vs)
		}
	case *openapi3.SchemaError:
		*vs = append(*vs, violation(e))
	default:
		if inner := errors.Unwrap(err); inner != nil {
			unfold(inner, vs)
			return
		}
		*vs = append(*vs, Violation{"", "a valid body", err.Error()})
	}
}

// violation says in our words what the validator found.
func violation(e *openapi3.SchemaError) Violation {
	v := Violation{Pointer: pointer(e.JSONPointer()), Expected: e.Reason, Seen: shortValue(e.Value)}
	s := e.Schema
	switch e.SchemaField {
	case "required":
		v.Expected, v.Seen = "the member", "none"
	case "type", "nullable":
		v.Expected = typeName(s)
	case "enum":
		v.Expected = "one of " + list(s.Enum)
		if len(s.Enum) == 1 {
			v.Expected = shortValue(s.Enum[0])
		}
	case "anyOf", "oneOf":
		v.Expected = s.Title
	case "not":
		v.Expected = "no " + s.Not.Value.Title
	case "minItems", "maxItems", "minLength", "minimum", "maximum":
		v.Expected = bound(s)
	}
	return v
}

func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// typeName is such as "an integer or null".
func typeName(s *openapi3.Schema) string {
	name := s.Title
	if name == "" {
		name = "a " + strings.Join(s.Type.Slice(), " or ")
		if strings.ContainsRune("aeiou", rune(name[2])) {
			name = "an" + name[1:]
		}
	}
	if s.Nullable {
		name += " or null"
	}
	return name
}

// bound is such as "an integer of at least 0 and at most 2".
func bound(s *openapi3.Schema) string {
	var limits []string
	if s.Min != nil {
		limits = append(limits, fmt.Sprintf("at least %g", *s.Min))
	}
	if s.Max != nil {
		limits = append(limits, fmt.Sprintf("at most %g", *s.Max))
	}
	if s.MinItems > 0 || s.MinLength > 0 {
		limits = append(limits, "length at least 1")
	}
	return typeName(s) + " of " + strings.Join(limits, " and ")
}

func list(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = shortValue(v)
	}
	return strings.Join(texts, ", ")
}

func shortValue(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return short(b.Bytes())
}

// short is b cut to what fits into a line of a report.
func short(b []byte) string {
	const most = 80
	r := []rune(string(bytes.ToValidUTF8(bytes.TrimSpace(b), []byte("\ufffd"))))
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(r)
}
