package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// describing are the pages on which an endpoint describes itself as OpenAPI
// (clauses INF-006 to INF-011, conflict C42).
var describing = []page{
	{path: "/openapi.json", write: (*deployment).describe},
	{path: "/swagger.json", write: (*deployment).describe},
}

// describe returns the OpenAPI document of what is served: below a base of the
// dialect there, at the root of all.
func (d *deployment) describe(m mount, _ string) ([]byte, *refusal) {
	documents, err := d.site.openapi()
	if err != nil {
		d.server.log.Error("OpenAPI document", "error", err)
		return nil, internal()
	}
	return documents[m.base], nil
}

// describe makes the documents, by the prefix below which they are served.
func (s *site) describe() (map[string][]byte, error) {
	documents := map[string][]byte{}
	var all []part
	for _, d := range s.dialects {
		p := part{dialect: d, prefix: s.prefix(d)}
		all = append(all, p)
		if d.base != "" {
			document, err := join(d.base, []part{{dialect: d}})
			if err != nil {
				return nil, err
			}
			documents[d.base] = document
		}
	}
	document, err := join("/", all)
	documents[""] = document
	return documents, err
}

// A part is a dialect in a document that describes several.
type part struct {
	dialect *dialect
	prefix  string // before its paths
}

// join makes one OpenAPI document of those of the parts, whose paths begin at
// server. Beyond the first, the
// names of components and operations carry the name of the dialect.
func join(server string, parts []part) ([]byte, error) {
	var whole map[string]any
	var titles []string
	for i, p := range parts {
		source := schemas.Document(p.dialect.name)
		if source == nil {
			return nil, fmt.Errorf("simulator: there is no OpenAPI document of %s", p.dialect.name)
		}
		mark := ""
		if i > 0 {
			mark = p.dialect.name + "."
		}
		for _, kind := range []string{"schemas", "responses", "parameters", "securitySchemes", "headers"} {
			source = bytes.ReplaceAll(source, []byte(`"#/components/`+kind+`/`), []byte(`"#/components/`+kind+`/`+mark))
		}
		var d map[string]any
		decoder := json.NewDecoder(bytes.NewReader(source))
		decoder.UseNumber()
		if err := decoder.Decode(&d); err != nil {
			return nil, err
		}
		titles = append(titles, d["info"].(map[string]any)["title"].(string))
		security := d["security"]
		paths := map[string]any{}
		for path, item := range d["paths"].(map[string]any) {
			for _, operation := range item.(map[string]any) {
				o := operation.(map[string]any)
				if id, ok := o["operationId"].(string); ok {
					o["operationId"] = strings.ReplaceAll(mark, ".", "-") + id
				}
				if _, own := o["security"]; !own && security != nil {
					o["security"] = renamed(security, mark)
				}
			}
			paths[p.prefix+path] = item
		}
		components := map[string]any{}
		for kind, list := range d["components"].(map[string]any) {
			named := map[string]any{}
			for name, value := range list.(map[string]any) {
				named[mark+name] = value
			}
			components[kind] = named
		}
		d["paths"], d["components"] = paths, components
		delete(d, "security")
		if i == 0 {
			whole = d
			continue
		}
		maps.Copy(whole["paths"].(map[string]any), paths)
		for kind, list := range components {
			if into, ok := whole["components"].(map[string]any)[kind].(map[string]any); ok {
				maps.Copy(into, list.(map[string]any))
			} else {
				whole["components"].(map[string]any)[kind] = list
			}
		}
	}
	info := whole["info"].(map[string]any)
	info["title"] = strings.Join(titles, ", ")
	whole["servers"] = []any{map[string]any{"url": server}}
	return json.Marshal(whole)
}

// renamed is a list of security requirements with marked names.
func renamed(security any, mark string) any {
	var list []any
	for _, requirement := range security.([]any) {
		named := map[string]any{}
		for name, scopes := range requirement.(map[string]any) {
			named[mark+name] = scopes
		}
		list = append(list, named)
	}
	return list
}
