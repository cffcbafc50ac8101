package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The schema and the table of README.md are written from the Go types and
// their comments, so that they cannot say anything else.

func TestSchemaIsThatOfTheTypes(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schemaOf(readTypes(t))); err != nil {
		t.Fatal(err)
	}
	goldenAt(t, "result.schema.json", b.Bytes())
}

func TestReadmeNamesEveryField(t *testing.T) {
	const start, end = "<!-- fields, written by go test -update -->\n", "<!-- end of fields -->\n"
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	old := string(b)
	before, rest, ok := strings.Cut(old, start)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has lost the marks around its table of fields")
	}
	goldenAt(t, "README.md", []byte(before+start+fieldTables(readTypes(t))+end+after))
}

// TestSampleFitsSchema keeps the schema honest about what is written.
func TestSampleFitsSchema(t *testing.T) {
	types := readTypes(t)
	for name, r := range map[string]*Result{"sample": sample(), "empty": {Verdicts: []Verdict{}}} {
		var b bytes.Buffer
		if err := encode(&b, r); err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(b.Bytes(), &document); err != nil {
			t.Fatal(err)
		}
		fits(t, types, name, reflect.TypeFor[Result](), document)
	}
}

// typeDocs are comments: of types by name, of fields by Type.Field.
type typeDocs map[string]string

func readTypes(t *testing.T) typeDocs {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "result.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := make(typeDocs)
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				docs[spec.Name.Name] = oneSentence(g.Doc)
				s, ok := spec.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						docs[spec.Name.Name+"."+name.Name] = oneSentence(f.Doc) + oneSentence(f.Comment)
					}
				}
			case *ast.ValueSpec:
				if len(spec.Values) == 1 && spec.Comment != nil {
					if value, ok := spec.Values[0].(*ast.BasicLit); ok {
						s, _ := strconv.Unquote(value.Value)
						docs["Status="+s] = oneSentence(spec.Comment)
					}
				}
			}
		}
	}
	return docs
}

func oneSentence(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	text := strings.Join(strings.Fields(c.Text()), " ")
	return strings.ReplaceAll(text, "[Format]", strconv.Quote(Format))
}

func schemaOf(docs typeDocs) any {
	defs := make(map[string]any)
	root := object(docs, reflect.TypeFor[Result](), defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/touchstone-llm/touchstone/reports/result.schema.json"
	root["title"] = Format
	root["$defs"] = defs
	root["properties"].(map[string]any)["format"].(map[string]any)["const"] = Format
	return root
}

func object(docs typeDocs, t reflect.Type, defs map[string]any) map[string]any {
	properties := make(map[string]any)
	required := []string{}
	for _, f := range fieldsOf(docs, t) {
		p := schemaFor(docs, f.kind, defs)
		p["description"] = f.doc
		properties[f.name] = p
		if f.required {
			required = append(required, f.name)
		}
	}
	// Not closed: a later release may add fields to the same format.
	return map[string]any{"type": "object", "description": docs[t.Name()], "properties": properties, "required": required}
}

func schemaFor(docs typeDocs, t reflect.Type, defs map[string]any) map[string]any {
	switch {
	case t == reflect.TypeFor[Status]():
		if defs["Status"] == nil {
			var of []any
			for _, s := range Statuses {
				of = append(of, map[string]any{"const": s, "description": docs["Status="+string(s)]})
			}
			defs["Status"] = map[string]any{"description": docs["Status"], "oneOf": of}
		}
		return map[string]any{"$ref": "#/$defs/Status"}
	case t.String() == "time.Time":
		return map[string]any{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaFor(docs, t.Elem(), defs)}
	case reflect.Map:
		m := map[string]any{"type": "object", "additionalProperties": schemaFor(docs, t.Elem(), defs)}
		if t.Key() == reflect.TypeFor[Status]() {
			m["propertyNames"] = schemaFor(docs, t.Key(), defs)
		}
		return m
	case reflect.Struct:
		if defs[t.Name()] == nil {
			defs[t.Name()] = object(docs, t, defs)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

type field struct {
	name, doc string
	kind      reflect.Type
	required  bool
}

func fieldsOf(docs typeDocs, t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		doc := docs[t.Name()+"."+f.Name]
		if doc == "" {
			panic(t.Name() + "." + f.Name + " has no comment")
		}
		for _, verb := range []string{" is ", " are "} { // readers of JSON do not know the Go name
			doc = strings.TrimPrefix(doc, f.Name+verb)
		}
		all = append(all, field{name, doc, f.Type, !strings.Contains(options, "omitempty")})
	}
	return all
}

func fieldTables(docs typeDocs) string {
	kinds := strings.NewReplacer("reports.", "", "time.Time", "string, RFC 3339", "float64", "number", "int", "integer", "bool", "boolean")
	var b strings.Builder
	for _, t := range []reflect.Type{
		reflect.TypeFor[Result](), reflect.TypeFor[Tool](), reflect.TypeFor[Target](), reflect.TypeFor[Fact](), reflect.TypeFor[Verdict](),
		reflect.TypeFor[Finding](), reflect.TypeFor[Exchange](), reflect.TypeFor[Summary](),
	} {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", t.Name(), docs[t.Name()])
		for _, f := range fieldsOf(docs, t) {
			kind := kinds.Replace(f.kind.String())
			if !f.required {
				kind += ", may be absent"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, kind, strings.ReplaceAll(f.doc, "|", "\\|"))
		}
	}
	b.WriteString("\n")
	return b.String()
}

// fits checks a decoded document against a type, by the names of its fields.
func fits(t *testing.T, docs typeDocs, where string, kind reflect.Type, v any) {
	t.Helper()
	switch {
	case kind == reflect.TypeFor[Status]():
		if !slices.Contains(Statuses, Status(v.(string))) {
			t.Errorf("%s: %v", where, v)
		}
	case kind.Kind() == reflect.Slice:
		for i, e := range v.([]any) {
			fits(t, docs, fmt.Sprintf("%s[%d]", where, i), kind.Elem(), e)
		}
	case kind.Kind() == reflect.Map:
		for k, e := range v.(map[string]any) {
			fits(t, docs, where+"."+k, kind.Elem(), e)
		}
	case kind.Kind() == reflect.Struct && kind.String() != "time.Time":
		m := maps.Clone(v.(map[string]any))
		for _, f := range fieldsOf(docs, kind) {
			e, ok := m[f.name]
			if !ok && f.required {
				t.Errorf("%s lacks %s", where, f.name)
			}
			if ok && e != nil {
				fits(t, docs, where+"."+f.name, f.kind, e)
			}
			if ok && e == nil {
				t.Errorf("%s.%s is null", where, f.name)
			}
			delete(m, f.name)
		}
		for name := range m {
			t.Errorf("%s has %s, which the schema does not", where, name)
		}
	}
}
