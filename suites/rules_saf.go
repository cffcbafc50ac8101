package suites

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// safRules judge content safety (SAF).
var safRules = []rule{
	{clause: "SAF-001", reads: []string{"safety.prompt"}, judge: promptFiltered("plain")},
	{clause: "SAF-002", reads: []string{"safety.prompt"}, judge: filterParam},
	{clause: "SAF-003", reads: []string{"safety.prompt"}, judge: innerError},
	{clause: "SAF-004", reads: []string{"safety.prompt", "safety.answer"}, all: true, judge: categoryShape},
	{clause: "SAF-005", reads: []string{"safety.prompt"}, judge: someCategory},
	{clause: "SAF-006", reads: []string{"safety.prompt", "safety.answer"}, all: true, judge: safeIsNotFiltered},
	{clause: "SAF-007", reads: []string{"safety.answer"}, judge: answerFiltered},
	{clause: "SAF-008", reads: []string{"safety.answer"}, judge: nothingLeaks},
	{clause: "SAF-010", reads: []string{"safety.answer"}, judge: filteredStreamEnds},
	{clause: "SAF-011", reads: []string{"safety.prompt"}, judge: filteredBeforeStream},
	{clause: "SAF-014", all: true, judge: promptResults},
	{clause: "SAF-015", reads: []string{"safety.prompt"}, judge: allPathsFilter},
	{clause: "SAF-016", reads: plain, all: true, judge: harmlessPasses},
	{clause: "SAF-017", reads: []string{"safety.off"}, judge: func(c *Case) {
		for _, r := range c.sent("safety.off") {
			if !r.ok() || r.doc.Get("choices.0.finish_reason").Str == "content_filter" {
				c.fail(r, "status", "200 with the answer: content safety is switched off", r.statusLine())
			}
		}
	}},
	{clause: "SAF-018", reads: []string{"safety.earlier"}, judge: earlierSeen},
	{clause: "SAF-020", reads: []string{"safety.answer"}, judge: filteredUsage},
}

// filterCode is the code of a refusal, wherever it stands (C39).
func (r *reply) filterCode() string {
	for _, p := range []string{"code", "error.code"} {
		if v := r.doc.Get(p); v.Str != "" {
			return v.Str
		}
	}
	return ""
}

func (r *reply) isFiltered() bool { return r.status() == 400 && r.filterCode() == "content_filter" }

func (c *Case) wantFiltered(r *reply, what string) {
	if r != nil && !r.isFiltered() {
		c.fail(r, "status", "400 with the code content_filter: "+what, r.statusLine())
	}
}

func promptFiltered(label string) func(*Case) {
	return func(c *Case) { c.wantFiltered(c.labelled("safety.prompt", label), "the prompt is a trigger") }
}

// refusedPrompt is the refusal of the trigger; nil, and the case inconclusive,
// where there is none.
func (c *Case) refusedPrompt() *reply {
	r := c.labelled("safety.prompt", "plain")
	if r != nil && !r.refused() {
		c.inconclusive("the trigger was not refused (SAF-001)")
		return nil
	}
	return r
}

func filterParam(c *Case) {
	r := c.refusedPrompt()
	if r == nil {
		return
	}
	v := r.doc.Get("error.param")
	if !v.Exists() {
		v = r.doc.Get("param")
	}
	want := []string{"prompt"}
	if c.Route == schemas.Chat {
		want = append(want, "messages")
	}
	if !slices.Contains(want, v.Str) {
		c.fail(r, "param", strings.Join(want, " or "), show(v))
	}
}

func innerError(c *Case) {
	r := c.refusedPrompt()
	if r == nil {
		return
	}
	inner := r.doc.Get("error.innererror")
	if !inner.Exists() {
		inner = r.doc.Get("innererror")
	}
	switch {
	case !inner.Exists():
		c.note("no innererror")
	case inner.Get("code").Str != "ResponsibleAIPolicyViolation":
		c.fail(r, "innererror.code", "ResponsibleAIPolicyViolation", show(inner.Get("code")))
	case !inner.Get("content_filter_result").IsObject() && !inner.Get("content_filter_results").IsObject():
		c.fail(r, "innererror.content_filter_result", "an object of categories", show(inner.Get("content_filter_result")))
	}
}

// categories calls f with each result of a category in a document: what stands
// below content_filter_result or one of its other names (C57).
func categories(doc gjson.Result, f func(where string, v gjson.Result)) {
	var walk func(path string, v gjson.Result, inside bool)
	walk = func(path string, v gjson.Result, inside bool) {
		if !v.IsObject() && !v.IsArray() {
			return
		}
		v.ForEach(func(key, x gjson.Result) bool {
			name := strings.TrimPrefix(path+"."+key.String(), ".")
			if inside && key.String() != "error" && key.String() != "custom_blocklists" {
				f(name, x)
				return true
			}
			walk(name, x, strings.HasPrefix(key.String(), "content_filter_result"))
			return true
		})
	}
	walk("", doc, false)
}

func (c *Case) eachCategory(f func(r *reply, where string, v gjson.Result)) {
	for _, r := range c.every(func(r *reply) bool { return r.doc.IsObject() || len(r.chunks) > 0 }, "no answer came") {
		categories(r.doc, func(where string, v gjson.Result) { f(r, where, v) })
		for _, ck := range r.chunks {
			categories(ck.doc, func(where string, v gjson.Result) { f(r, "event "+strconv.Itoa(ck.event)+", "+where, v) })
		}
	}
}

func categoryShape(c *Case) {
	severities := []string{"safe", "low", "medium", "high"}
	c.eachCategory(func(r *reply, where string, v gjson.Result) {
		if f := v.Get("filtered"); !f.IsBool() {
			c.fail(r, where+".filtered", "true or false", show(f))
		}
		severity, detected := v.Get("severity"), v.Get("detected")
		if !detected.IsBool() && (severity.Type != gjson.String || !slices.Contains(severities, severity.Str)) {
			c.fail(r, where+".severity", strings.Join(severities, ", ")+", or detected", show(severity))
		}
	})
}

func safeIsNotFiltered(c *Case) {
	c.eachCategory(func(r *reply, where string, v gjson.Result) {
		if v.Get("severity").Str == "safe" && v.Get("filtered").Bool() {
			c.fail(r, where, "filtered false: severity is safe", show(v))
		}
	})
}

func someCategory(c *Case) {
	r := c.refusedPrompt()
	if r == nil {
		return
	}
	any, filtered := false, strings.Contains(strings.ReplaceAll(string(r.Response.Body), " ", ""), `"custom_blocklists":{"filtered":true`)
	categories(r.doc, func(_ string, v gjson.Result) {
		any = true
		filtered = filtered || v.Get("filtered").Bool()
	})
	if any && !filtered {
		c.fail(r, "content_filter_result", "a category that is filtered", "none")
	}
}

func answerFiltered(c *Case) {
	r := c.labelled("safety.answer", "plain")
	switch {
	case r == nil:
	case !r.ok():
		c.fail(r, "status", "200: the answer is filtered, not the prompt", r.statusLine())
	default:
		if got := r.doc.Get("choices.0.finish_reason"); got.Str != "content_filter" {
			c.fail(r, "choices.0.finish_reason", `"content_filter"`, show(got))
		}
	}
}

func nothingLeaks(c *Case) {
	withheld := c.Facts.target.Safety.Withheld
	for _, label := range []string{"plain", "logprobs", "stream"} {
		if label == "logprobs" && c.dialect() != DialectLlamaV1 {
			continue
		}
		r := c.labelled("safety.answer", label)
		if r == nil || !r.ok() {
			continue
		}
		seen := string(r.Response.Body)
		for _, ch := range r.choices() {
			if _, tokens, ok := logprobs(ch); ok {
				seen += strings.Join(tokens, "")
			}
		}
		seen += r.streamText(0)
		if strings.Contains(seen, withheld) {
			c.fail(r, "body", "no word of what is withheld", strconv.Quote(withheld))
		}
	}
}

func filteredStreamEnds(c *Case) {
	r := c.labelled("safety.answer", "stream")
	switch {
	case r == nil:
	case !r.ok() || r.stream == nil:
		c.fail(r, "body", "a stream that ends with content_filter", r.statusLine())
	case r.finish(0) != "content_filter":
		c.fail(r, "last finish_reason", `"content_filter"`, strconv.Quote(r.finish(0)))
	case len(r.events) == 0 || !r.events[len(r.events)-1].Done():
		c.fail(r, "last event", "[DONE]", "another")
	}
}

func filteredBeforeStream(c *Case) {
	r := c.labelled("safety.prompt", "stream")
	if r != nil && (!r.refused() || r.looksSSE() || !r.doc.IsObject()) {
		c.fail(r, "status", "a refusal in JSON, as without stream", r.statusLine())
	}
}

func promptResults(c *Case) {
	any := false
	for _, r := range c.allAnswers() {
		list := r.doc.Get("prompt_filter_results")
		if !list.Exists() {
			list = r.doc.Get("prompt_annotations")
		}
		if !list.Exists() {
			continue
		}
		any = true
		for _, v := range list.Array() {
			if i := v.Get("prompt_index"); i.Type != gjson.Number {
				c.fail(r, "prompt_filter_results.prompt_index", "a number", show(i))
			}
			if !v.Get("content_filter_results").IsObject() && !v.Get("content_filter_result").IsObject() {
				c.fail(r, "prompt_filter_results.content_filter_results", "an object of categories", show(v))
			}
		}
	}
	if !any {
		c.note("no prompt_filter_results")
	}
}

func allPathsFilter(c *Case) {
	c.wantFiltered(c.labelled("safety.prompt", "plain"), "every route is screened")
	if c.dialect() != DialectLlamaV1 {
		return
	}
	switch r := c.labelled("safety.prompt", "bare"); {
	case r == nil:
	case r.ok():
		c.fail(r, "status", "400, as on the path with /v1", r.statusLine())
	case r.status() == 404 || r.status() == 405:
		c.note("the path without /v1 is not served")
	}
}

func harmlessPasses(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.Response != nil && !strings.HasPrefix(r.probe, "safety") }, "no answer came") {
		if r.isFiltered() {
			c.fail(r, "status", "an answer: the prompt is harmless", r.statusLine())
		}
	}
}

func earlierSeen(c *Case) {
	for _, r := range c.sent("safety.earlier") {
		c.wantFiltered(r, "an earlier message is a trigger")
	}
}

func filteredUsage(c *Case) {
	if r := c.answeredAs("safety.answer", "plain"); r != nil {
		if n, ok := r.count("total_tokens"); !ok || n < 1 {
			c.fail(r, "usage.total_tokens", "what was generated", show(r.doc.Get("usage")))
		}
	}
}
