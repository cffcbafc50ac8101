package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/tidwall/gjson"
)

// extRules judge extra parameters (EXT).
var extRules = []rule{
	{clause: "EXT-001", reads: []string{"extra"}, judge: func(c *Case) {
		r := c.labelled("extra", "default")
		if r != nil && (!r.ok() || c.Facts.target.Kind != "managed") {
			c.wantRefusal(r, "a parameter is unknown (C12)")
		}
	}},
	{clause: "EXT-002", reads: []string{"extra"}, judge: extraRefused("error")},
	{clause: "EXT-003", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.wantOK("extra", "drop", "the unknown parameter is dropped"); r != nil {
			c.wantControl(r)
		}
	}},
	{clause: "EXT-004", reads: []string{"extra"}, judge: func(c *Case) {
		r := c.wantOK("extra", "pass known", "the model knows ignore_eos")
		if r == nil {
			return
		}
		most := r.number("max_tokens", 0)
		if n, ok := r.completionTokens(); !ok {
			c.inconclusive("the answer has no usage (USE-001)")
		} else if n != most {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d, the cap: ignore_eos was passed through", most), strconv.Itoa(n))
		}
	}},
	{clause: "EXT-005", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.labelled("extra", "pass unknown"); r != nil {
			c.wantNoServerError(r, "the model does not know the parameter")
		}
	}},
	{clause: "EXT-006", reads: []string{"extra"}, judge: extraRefused("ignore", "allow", "PASS-THROUGH")},
	{clause: "EXT-007", reads: []string{"extra"}, judge: func(c *Case) { c.wantOK("extra", "case", "the name of a header has no case") }},
	{clause: "EXT-008", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.labelled("extra", "known"); r != nil && !r.ok() && r.names("top_p", "stop", "presence_penalty", "frequency_penalty", "seed", "stream") && r.status() != http.StatusUnprocessableEntity {
			c.fail(r, "status", "200: all are parameters of the dialect", r.statusLine())
		}
	}},
	{clause: "EXT-009", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.labelled("extra", "two"); r != nil && r.refused() && (!r.names(unknownName) || !r.names(otherUnknown)) {
			c.fail(r, "error", "the names of both unknown parameters", strconv.Quote(shorten(r.message(), 100)))
		}
	}},
	{clause: "EXT-010", reads: []string{"extra.v1"}, endpoint: true, judge: func(c *Case) { c.wantOK("extra.v1", "v1", "the header says nothing under /v1") }},
	{clause: "EXT-011", reads: []string{"extra.chat"}, judge: func(c *Case) {
		for _, label := range []string{"n", "stream_options"} {
			if r := c.labelled("extra.chat", label); r != nil {
				c.wantRefusal(r, label+" is an extra parameter (C48)")
			}
		}
		if r := c.wantOK("extra.chat", "n passed", "the model knows n"); r != nil {
			c.countChoices(r, 2)
		}
	}},
	{clause: "EXT-012", reads: []string{"extra.chat"}, judge: func(c *Case) {
		c.wantOK("extra.chat", "name", "the header is about the members of the request alone")
	}},
	{clause: "EXT-013", reads: []string{"extra.chat"}, judge: func(c *Case) {
		if r := c.labelled("extra.chat", "json dropped"); r != nil && r.status() != http.StatusUnprocessableEntity && !honoursJSON(r) {
			c.fail(r, "status", "422, or an answer in JSON: response_format is not extra", r.statusLine())
		}
	}},
	{clause: "EXT-014", reads: []string{"extra"}, judge: func(c *Case) {
		if r := c.labelled("extra", "twice"); r != nil {
			c.wantNoServerError(r, "the header stands there twice")
			c.note("a repeated header gets %d", r.status())
		}
	}},
}

func extraRefused(labels ...string) func(*Case) {
	return func(c *Case) {
		for _, label := range labels {
			if r := c.labelled("extra", label); r != nil {
				c.wantRefusal(r, "extra-parameters is "+label)
			}
		}
	}
}

// verRules judge the api-version (VER).
var verRules = []rule{
	{clause: "VER-001", reads: []string{"version"}, judge: func(c *Case) {
		if r := c.labelled("version", "none"); r != nil {
			c.wantRefusal(r, "there is no api-version")
		}
	}},
	{clause: "VER-002", reads: []string{"version"}, judge: func(c *Case) {
		for _, q := range []string{"1999-01-01", "abc", ""} {
			if r := c.labelled("version", "query "+q); r != nil {
				c.wantRefusal(r, "there is no such version", http.StatusNotFound)
			}
		}
	}},
	{clause: "VER-003", reads: []string{"version"}, judge: func(c *Case) {
		for _, q := range []string{"2024-04-01-preview", "2024-05-01-preview"} {
			c.wantOK("version", "query "+q, "clients send this version")
		}
	}},
	{clause: "VER-004", reads: []string{"version.v1"}, endpoint: true, judge: func(c *Case) {
		if r := c.wantOK("version.v1", "v1", "this dialect has no versions"); r != nil {
			c.wantControl(r)
		}
	}},
}

// modelTypes are what model_type may say, with underscores.
var modelTypes = []string{"chat", "chat_completion", "completion", "text_generation", "embeddings", "image_generation", "image_embeddings", "audio_generation"}

// infRules judge model information and self-description (INF).
var infRules = []rule{
	{clause: "INF-001", reads: []string{"info"}, endpoint: true, judge: func(c *Case) {
		r := c.info()
		if r == nil {
			return
		}
		for _, name := range []string{"model_name", "model_type", "model_provider_name"} {
			if v := r.doc.Get(name); v.Type != gjson.String || v.Str == "" {
				c.fail(r, name, "a text", shorten(v.Raw, 40))
			}
		}
	}},
	{clause: "INF-002", reads: []string{"info"}, endpoint: true, judge: func(c *Case) {
		if r := c.info(); r != nil {
			if t := strings.ReplaceAll(r.doc.Get("model_type").Str, "-", "_"); !slices.Contains(modelTypes, t) {
				c.fail(r, "model_type", strings.Join(modelTypes, ", "), strconv.Quote(t))
			}
		}
	}},
	{clause: "INF-003", reads: []string{"info"}, endpoint: true, judge: func(c *Case) {
		r := c.info()
		if r == nil {
			return
		}
		if t := r.doc.Get("model_type").Str; strings.HasPrefix(t, "embed") || strings.HasPrefix(t, "image") {
			c.fail(r, "model_type", "a type that completes text: "+string(c.Route)+" is answered", strconv.Quote(t))
		}
	}},
	{clause: "INF-004", reads: []string{"info"}, endpoint: true, judge: func(c *Case) {
		r := c.info()
		for _, a := range c.replies {
			if r != nil && a.probe == "control" && a.ok() {
				if m := a.doc.Get("model").Str; m != "" && m != r.doc.Get("model_name").Str {
					c.fail(r, "model_name", strconv.Quote(m)+", as answers say", r.doc.Get("model_name").Raw)
				}
				return
			}
		}
	}},
	{clause: "INF-005", reads: []string{"info"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("info", "POST"); r != nil && r.status() != http.StatusMethodNotAllowed && r.status() != http.StatusNotFound {
			c.fail(r, "status", "405 or 404: /info is read by GET", r.statusLine())
		}
	}},
	{clause: "INF-006", reads: []string{"openapi"}, endpoint: true, judge: func(c *Case) {
		r := c.labelled("openapi", "1")
		if r == nil {
			return
		}
		d := r.doc
		if !r.ok() || !d.Get("paths").IsObject() || !strings.HasPrefix(d.Get("openapi").Str, "3.") && d.Get("swagger").Str != "2.0" || len(d.Get("paths").Map()) == 0 {
			c.fail(r, "body", "200 with an OpenAPI document", r.statusLine())
		}
	}},
	{clause: "INF-007", reads: []string{"openapi", "openapi.paths"}, endpoint: true, judge: func(c *Case) {
		r := c.described()
		if r == nil {
			return
		}
		r.doc.Get("paths").ForEach(func(path, item gjson.Result) bool {
			if !item.Get("post").Exists() {
				return true
			}
			for _, a := range c.replies {
				if a.probe == "openapi.paths" && a.label == path.Str {
					c.look(a)
					if s := a.status(); s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
						c.fail(a, "status", "anything but 404 and 405: the endpoint's document lists "+path.Str, a.statusLine())
					}
				}
			}
			return true
		})
	}},
	{clause: "INF-008", reads: []string{"openapi"}, endpoint: true, judge: func(c *Case) {
		r := c.described()
		if r == nil {
			return
		}
		listed := r.doc.Get("paths").Map()
		for route, path := range servedPaths(c.Facts.target) {
			if _, ok := listed[path]; !ok && slices.Contains(c.Facts.target.Routes, route) {
				c.fail(r, "paths", path+", which is served", strings.Join(slices.Sorted(mapKeys(listed)), ", "))
			}
		}
	}},
	{clause: "INF-009", reads: []string{"openapi"}, judge: ownSchema},
	{clause: "INF-010", reads: []string{"openapi", "bad.numbers"}, judge: ownBounds},
	{clause: "INF-011", reads: []string{"openapi"}, endpoint: true, judge: func(c *Case) {
		a, b := c.described(), c.labelled("openapi", "2")
		if a == nil || b == nil {
			return
		}
		if string(a.Response.Body) != string(b.Response.Body) {
			c.fail(b, "body", "the same document twice", "another")
		}
		if key := c.Facts.target.Key; key != "" && strings.Contains(string(a.Response.Body), key) {
			c.fail(a, "body", "no key", "the key")
		}
	}},
	{clause: "INF-012", reads: []string{"models"}, endpoint: true, judge: func(c *Case) {
		for _, r := range c.sent("models") {
			if r.ok() && r.doc.Get("data.0.id").Type != gjson.String {
				c.fail(r, "data[0].id", "the name of a model", shorten(r.doc.Raw, 60))
			}
			c.note("/v1/models gets %d", r.status())
		}
	}},
}

func mapKeys(m map[string]gjson.Result) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// info is the answer of /info, nil and settled where a managed target has none.
func (c *Case) info() *reply {
	r := c.labelled("info", "GET")
	switch {
	case r == nil:
	case r.status() == http.StatusNotFound && c.Facts.target.Kind == "managed":
		c.settle("skip", "a managed target need not have /info")
		return nil
	case !r.ok() || !r.doc.IsObject():
		c.fail(r, "status", "200 with a JSON object", r.statusLine())
		return nil
	}
	return r
}

// described is the OpenAPI document that the endpoint serves, nil and settled
// where it is none.
func (c *Case) described() *reply {
	r := c.labelled("openapi", "1")
	if r != nil && (!r.ok() || !r.doc.Get("paths").IsObject()) {
		c.inconclusive("the endpoint serves no OpenAPI document (INF-006)")
		return nil
	}
	return r
}

// operation loads the endpoint's own document and finds the route in it.
func (c *Case) operation() (*reply, *openapi3.Operation) {
	r := c.described()
	if r == nil {
		return nil, nil
	}
	doc, err := openapi3.NewLoader().LoadFromData(r.Response.Body)
	if err != nil {
		c.fail(r, "body", "an OpenAPI 3 document", shorten(err.Error(), 120))
		return nil, nil
	}
	item := doc.Paths.Find(servedPaths(c.Facts.target)[c.Route])
	if item == nil || item.Post == nil {
		c.inconclusive("the document does not list the route (INF-008)")
		return nil, nil
	}
	return r, item.Post
}

func ownSchema(c *Case) {
	_, op := c.operation()
	if op == nil {
		return
	}
	ref := op.Responses.Status(http.StatusOK)
	if ref == nil || ref.Value == nil || ref.Value.Content.Get("application/json") == nil {
		c.inconclusive("the document has no schema for 200")
		return
	}
	schema := ref.Value.Content.Get("application/json").Schema
	for _, r := range c.answers("control") {
		if err := schema.Value.VisitJSON(r.doc.Value()); err != nil {
			c.fail(r, "body", "what the endpoint's own document says", shorten(err.Error(), 160))
		}
	}
}

// ownBounds compares the documented bounds with the values that were refused.
func ownBounds(c *Case) {
	doc, op := c.operation()
	if op == nil || op.RequestBody == nil || op.RequestBody.Value.Content.Get("application/json") == nil {
		return
	}
	schema := op.RequestBody.Value.Content.Get("application/json").Schema.Value
	for _, name := range []string{"temperature", "top_p"} {
		p := property(schema, name)
		if p == nil {
			continue
		}
		for _, r := range c.sent("bad.numbers") {
			param, value, _ := strings.Cut(r.label, " ")
			x, err := strconv.ParseFloat(value, 64)
			if param != name || err != nil || !(x >= -1e9 && x <= 1e9) || !r.isRefusal() {
				continue
			}
			if (p.Min == nil || x >= *p.Min) && (p.Max == nil || x <= *p.Max) {
				c.fail(doc, "the document's bounds of "+name, "bounds that exclude "+value+", which is refused", "bounds that allow it")
			}
		}
	}
}

// property finds a property of a schema, also in parts of it.
func property(s *openapi3.Schema, name string) *openapi3.Schema {
	if p := s.Properties[name]; p != nil {
		return p.Value
	}
	for _, part := range s.AllOf {
		if p := property(part.Value, name); p != nil {
			return p
		}
	}
	return nil
}

// depRules judge deployments, as far as the data plane shows them (DEP).
var depRules = []rule{
	{clause: "DEP-033", reads: []string{"deployments"}, endpoint: true, judge: func(c *Case) {
		for _, d := range c.Facts.target.Deployments {
			r := c.wantOK("deployments", d, "the header names a deployment")
			if r == nil {
				continue
			}
			said := r.Response.Header.Get("azureml-model-deployment")
			if said == "" {
				said = r.doc.Get("model").Str
			}
			if said != d {
				c.fail(r, "deployment", d, fmt.Sprintf("%q", said))
			}
		}
	}},
	{clause: "DEP-034", reads: []string{"deployments"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("deployments", "touchstone-no-such-deployment"); r != nil && !r.refused() {
			c.fail(r, "status", "404, or another refusal: there is no such deployment", r.statusLine())
		}
	}},
}
