package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// reqRules judge transport and validation (REQ), beside those of reqNegatives.
var reqRules = append(negativeRules(reqNegatives), []rule{
	{clause: "REQ-001", reads: []string{"methods"}, judge: methodsRefused},
	{clause: "REQ-002", reads: []string{"methods"}, judge: allowListsPost},
	{clause: "REQ-003", reads: []string{"path"}, endpoint: true, judge: unknownPath},
	{clause: "REQ-004", reads: []string{"content-type"}, endpoint: true, judge: func(c *Case) { c.wantOK("content-type", "charset", "this is JSON, by its label too") }},
	{clause: "REQ-005", reads: []string{"content-type"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("content-type", "text"); r != nil {
			c.wantRefusal(r, "the body is labelled text/plain", http.StatusUnsupportedMediaType)
		}
	}},
	{clause: "REQ-008", reads: []string{"comma"}, endpoint: true, judge: trailingComma},
	{clause: "REQ-010", reads: []string{"twice"}, endpoint: true, judge: decidedAlike("twice", "a member stands there twice")},
	{clause: "REQ-011", reads: []string{"scripts"}, endpoint: true, judge: func(c *Case) {
		c.wantOK("scripts", "", "the prompt is valid UTF-8")
	}},
	{clause: "REQ-012", reads: []string{"surrogates"}, endpoint: true, judge: surrogatePairs},
	{clause: "REQ-013", reads: []string{"bytes"}, endpoint: true, judge: survives("ff fe", "lone surrogate")},
	{clause: "REQ-014", reads: []string{"bytes"}, endpoint: true, judge: survives("NUL", "U+0001")},
	{clause: "REQ-077", reads: []string{"bytes"}, endpoint: true, judge: survives("deep")},
	{clause: "REQ-015", reads: []string{"oversize"}, endpoint: true, judge: oversize},
	{clause: "REQ-016", reads: []string{"chunked"}, endpoint: true, judge: func(c *Case) { c.wantOK("chunked", "", "the same body with a length is answered") }},
	{clause: "REQ-017", reads: []string{"accept"}, endpoint: true, judge: acceptIgnored},
	{clause: "REQ-018", reads: []string{"gzip"}, endpoint: true, judge: compressed},
	{clause: "REQ-019", reads: []string{"model.names"}, judge: func(c *Case) {
		if r := c.wantOK("model.names", "azureai", "every client library sends model (C11)"); r != nil {
			c.wantControl(r)
		}
	}},
	{clause: "REQ-020", reads: []string{"model.names"}, judge: func(c *Case) {
		if r := c.labelled("model.names", "unknown"); r != nil {
			c.wantNoServerError(r, "the model is unknown")
			c.note("an unknown model gets %d", r.status())
		}
	}},
	{clause: "REQ-021", reads: []string{"model.bad"}, judge: func(c *Case) {
		for _, label := range []string{"absent", "model 5"} {
			if r := c.labelled("model.bad", label); r != nil {
				c.wantRefusal(r, "model is required and is a string", http.StatusNotFound)
			}
		}
	}},
	{clause: "REQ-025", reads: []string{"prompt.empty"}, judge: func(c *Case) {
		for _, r := range c.sent("prompt.empty") {
			c.wantNoServerError(r, "the prompt is empty")
		}
	}},
	{clause: "REQ-026", reads: []string{"prompt.array"}, judge: arrayOfOne},
	{clause: "REQ-027", reads: []string{"prompt.batch"}, judge: func(c *Case) {
		if r := c.wantOK("prompt.batch", "batch", "an array of prompts is a batch"); r != nil {
			c.countChoices(r, 2)
		}
	}},
	{clause: "REQ-028", reads: []string{"prompt.batch"}, judge: batchOrder},
	{clause: "REQ-029", reads: []string{"prompt.ids"}, judge: func(c *Case) {
		for _, r := range c.sent("prompt.ids") {
			if n := r.doc.Get("usage.prompt_tokens").Int(); r.ok() && n != 3 && n != 4 { // or with a token that begins the text
				c.fail(r, "usage.prompt_tokens", "3: three ids were sent", strconv.FormatInt(n, 10))
			}
			c.wantNoServerError(r, "the prompt is token ids")
		}
	}},
	{clause: "REQ-031", reads: []string{"stream.values"}, judge: func(c *Case) {
		for _, e := range share(c.Facts, streamKinds) {
			c.wantStream(e.label, e.members[1] == "true")
		}
	}},
	{clause: "REQ-032", reads: []string{"stream.values"}, judge: func(c *Case) {
		for _, e := range share(c.Facts, streamTexts) {
			c.wantMeaning(e.label, e.members[1] == `"True"`)
		}
	}},
	{clause: "REQ-033", reads: []string{"stream.values"}, judge: func(c *Case) {
		for _, e := range share(c.Facts, streamNumbers) {
			if e.members[1] != "2" {
				c.wantMeaning(e.label, e.members[1] == "1")
			} else if r := c.labelled("stream.values", e.label); r != nil {
				c.wantRefusal(r, "2 is neither true nor false")
			}
		}
	}},
	{clause: "REQ-034", reads: []string{"default.length"}, judge: func(c *Case) { c.defaultLength(16, true) }},
	{clause: "REQ-035", reads: []string{"default.length", "greedy.stream"}, judge: sameDefault},
	{clause: "REQ-036", reads: []string{"default.length"}, judge: func(c *Case) { c.defaultLength(256, false) }},
	{clause: "REQ-037", reads: []string{"default.length", "default.null"}, judge: nullLength},
	{clause: "REQ-038", reads: []string{"length"}, judge: bounded},
	{clause: "REQ-040", reads: []string{"length.zero"}, endpoint: true, judge: zeroLength},
	{clause: "REQ-042", reads: []string{"length.forms"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("length.forms", "16.0"); r != nil {
			c.wantNoServerError(r, "16.0 is a number")
			if r.ok() {
				c.wantControl(r)
			}
		}
	}},
	{clause: "REQ-043", reads: []string{"length.forms"}, endpoint: true, judge: quotedLength},
	{clause: "REQ-045", reads: []string{"bad.values"}, judge: func(c *Case) {
		for _, e := range hugeHere(c.Facts) {
			if r := c.labelled("bad.values", e.label); r != nil && !r.refused() {
				c.fail(r, "status", "a refusal: no machine word holds "+e.members[1], r.statusLine())
			}
		}
	}},
	{clause: "REQ-048", reads: []string{"top_p.zero"}, endpoint: true, judge: topPZero},
	{clause: "REQ-049", reads: []string{"top_p.one"}, endpoint: true, judge: func(c *Case) { c.wantAllOK("top_p.one", topPOne, "1 is the default") }},
	{clause: "REQ-050", reads: []string{"temperatures"}, endpoint: true, judge: func(c *Case) {
		c.wantAllOK("temperatures", temperatures, "temperature lies in 0 to 2")
	}},
	{clause: "REQ-053", reads: []string{"temperature.azure"}, judge: func(c *Case) {
		for _, r := range c.sent("temperature.azure") {
			c.wantNoServerError(r, "temperature 1.5")
			c.note("temperature 1.5 gets %d", r.status())
		}
	}},
	{clause: "REQ-054", reads: []string{"bad.values"}, judge: samplingTypes},
	{clause: "REQ-055", reads: []string{"n3"}, judge: plainN},
	{clause: "REQ-058", reads: []string{"n.huge"}, judge: hugeN},
	{clause: "REQ-059", reads: []string{"n.greedy"}, endpoint: true, judge: greedyN},
	{clause: "REQ-060", reads: []string{"stops", "det"}, judge: stopForms},
	{clause: "REQ-063", reads: []string{"penalties"}, endpoint: true, judge: func(c *Case) { c.penalty("presence_penalty") }},
	{clause: "REQ-064", reads: []string{"penalties"}, endpoint: true, judge: func(c *Case) { c.penalty("presence_penalty"); c.penalty("frequency_penalty") }},
	{clause: "REQ-065", reads: []string{"penalty.effect"}, judge: penaltyEffect},
	{clause: "REQ-066", reads: []string{"flags", "beam.off"}, endpoint: true, judge: flagValues},
	{clause: "REQ-067", reads: []string{"flags.quoted"}, judge: quotedFlags},
	{clause: "REQ-070", reads: []string{"bad.values"}, judge: badBestOf},
	{clause: "REQ-071", reads: []string{"unknown"}, endpoint: true, judge: unknownParameter},
	{clause: "REQ-074", reads: []string{"length.other"}, judge: otherName},
	{clause: "REQ-075", reads: []string{"two.bad"}, endpoint: true, judge: refusedEarly},
	{clause: "REQ-076", reads: []string{"two.bad"}, endpoint: true, judge: func(c *Case) {
		r := c.labelled("two.bad", "two")
		switch {
		case r == nil:
		case !r.refused():
			c.inconclusive("the request with two bad parameters was not refused (HTTP %d)", r.status())
		case !r.names("top_p", "temperature"):
			c.fail(r, "error", "the name of top_p or of temperature, which are both bad", strconv.Quote(shorten(r.message(), 120)))
		}
	}},
	{clause: "REQ-078", reads: []string{"echo"}, judge: func(c *Case) {
		for _, r := range c.sent("echo") {
			c.wantNoServerError(r, "echo true")
			if text := r.firstText(); r.ok() && (!strings.HasPrefix(text, shortPrompt) || strings.HasPrefix(text, shortPrompt+shortPrompt)) {
				c.fail(r, "choices[0].text", "the prompt once, then the answer", strconv.Quote(shorten(text, 60)))
			}
		}
	}},
}...)

// wantOK expects 200 to a labelled request and returns the answer, nil if it
// was none.
func (c *Case) wantOK(probe, label, why string) *reply {
	r := c.labelled(probe, label)
	switch {
	case r == nil:
		return nil
	case r.ok():
		return r
	}
	c.fail(r, "status", "200: "+why, r.statusLine())
	return nil
}

// wantAllOK expects 200 to each edit, unless all are refused by name: then the
// target does not have the parameter.
func (c *Case) wantAllOK(probe string, edits []edit, why string) {
	var refused []*reply
	n := 0
	for _, e := range edits {
		if r := c.labelled(probe, e.label); r != nil {
			if n++; !r.ok() {
				refused = append(refused, r)
			}
		}
	}
	if len(refused) == n && n > 0 && refused[0].refused() && refused[0].names(edits[0].members[0]) {
		c.settle(reports.Unsupported, fmt.Sprintf("the target refuses %s (HTTP %d): %s", edits[0].members[0], refused[0].status(), shorten(refused[0].message(), 120)))
		return
	}
	for _, r := range refused {
		c.fail(r, "status", "200: "+why, r.statusLine())
	}
}

// wantControl expects the text of the control request.
func (c *Case) wantControl(r *reply) {
	if c.Facts.Repeatable && r.firstText() != c.Facts.Capped {
		c.fail(r, textPath[c.Route], "as without it: "+strconv.Quote(shorten(c.Facts.Capped, 60)), strconv.Quote(shorten(r.firstText(), 60)))
	}
}

// isStream is whether an answer came as events.
func (r *reply) isStream() bool { return r.Response != nil && r.looksSSE() }

func methodsRefused(c *Case) {
	for _, r := range c.sent("methods") {
		if s := r.status(); s != http.StatusMethodNotAllowed && s != http.StatusNotFound {
			c.fail(r, "status", "405 or 404: the route answers POST only", r.statusLine())
		}
	}
}

func allowListsPost(c *Case) {
	n := 0
	for _, r := range c.sent("methods") {
		if r.status() != http.StatusMethodNotAllowed {
			continue
		}
		n++
		if allow := strings.Join(r.Response.Header.Values("Allow"), ","); !slices.Contains(strings.FieldsFunc(allow, func(c rune) bool { return c == ',' || c == ' ' }), http.MethodPost) {
			c.fail(r, "header Allow", "a list that holds POST", strconv.Quote(allow))
		}
	}
	if n == 0 {
		c.settle(reports.Skip, "no 405 came")
	}
}

func unknownPath(c *Case) {
	for _, r := range c.sent("path") {
		if r.status() != http.StatusNotFound || !r.doc.IsObject() {
			c.fail(r, "status", "404 with a JSON body: the path is not served", r.statusLine())
		}
	}
}

func trailingComma(c *Case) {
	for _, r := range c.sent("comma") {
		if r.ok() && c.Profile != schemas.Strict {
			c.wantControl(r)
		} else {
			c.wantRefusal(r, "a trailing comma is no JSON")
		}
	}
}

// decidedAlike expects the same class of answer to equal requests, and none of
// them a server error.
func decidedAlike(probe, what string) func(*Case) {
	return func(c *Case) {
		rs := c.sent(probe)
		for _, r := range rs {
			c.wantNoServerError(r, what)
			if r.status()/100 != rs[0].status()/100 {
				c.fail(r, "status", fmt.Sprintf("as before, %d: the request is the same", rs[0].status()), r.statusLine())
			}
		}
	}
}

func surrogatePairs(c *Case) {
	raw, escaped := c.labelled("surrogates", "raw"), c.labelled("surrogates", "escaped")
	if raw == nil || escaped == nil {
		return
	}
	if !raw.ok() {
		c.inconclusive("the prompt with an emoji was refused (HTTP %d)", raw.status())
		return
	}
	if !escaped.ok() {
		c.fail(escaped, "status", "200, as for the character itself", escaped.statusLine())
		return
	}
	if a, b := raw.doc.Get("usage.prompt_tokens").Int(), escaped.doc.Get("usage.prompt_tokens").Int(); a != b {
		c.fail(escaped, "usage.prompt_tokens", fmt.Sprintf("%d, as for the character itself", a), strconv.FormatInt(b, 10))
	} else if c.Facts.Repeatable && raw.firstText() != escaped.firstText() {
		c.fail(escaped, textPath[c.Route], strconv.Quote(raw.firstText()), strconv.Quote(escaped.firstText()))
	}
}

// survives expects an answer of some kind to hostile bytes, in time.
func survives(labels ...string) func(*Case) {
	return func(c *Case) {
		for _, label := range labels {
			for _, r := range c.replies {
				if r.probe == "bytes" && r.label == label && r.timedOut() {
					c.look(r)
					c.fail(r, "time", "an answer to "+label, r.Error)
				}
			}
			if r := c.labelled("bytes", label); r != nil {
				c.wantNoServerError(r, label)
			}
		}
	}
}

func oversize(c *Case) {
	for _, r := range c.replies {
		if r.probe != "oversize" {
			continue
		}
		c.look(r)
		if r.Response == nil {
			c.fail(r, "answer", "an HTTP status: the body is too large", r.Error)
		} else if r.status() >= 500 {
			c.fail(r, "status", "413, 400 or 422: the body is too large", r.statusLine())
		}
	}
}

func acceptIgnored(c *Case) {
	var before *reply
	for _, a := range acceptHeaders {
		r := c.wantOK("accept", a, "the Accept header decides nothing")
		switch {
		case r == nil:
		case !r.isStream():
			c.fail(r, "body", "server-sent events: stream is true", shorten(string(r.Response.Body), 60))
		case before == nil:
			before = r
		case c.Facts.Repeatable && r.streamText(0) != before.streamText(0):
			c.fail(r, "the text of all chunks", strconv.Quote(before.streamText(0))+", as with Accept: "+before.label, strconv.Quote(r.streamText(0)))
		}
	}
	if r := c.wantOK("accept", "plain", "the Accept header decides nothing"); r != nil && !r.doc.IsObject() {
		c.fail(r, "body", "a JSON document: stream is absent", shorten(string(r.Response.Body), 60))
	}
}

func compressed(c *Case) {
	r, s := c.labelled("gzip", "plain"), c.labelled("gzip", "stream")
	if r == nil || s == nil {
		return
	}
	if r.Response.Header.Get("Content-Encoding") == "" && s.Response.Header.Get("Content-Encoding") == "" {
		c.note("the target does not compress")
	}
	if r.ok() && !r.doc.IsObject() {
		c.fail(r, "body", "a document once decoded", "something else")
	} else if r.ok() {
		c.wantControl(r)
	}
	if !s.ok() || !s.packed {
		return
	}
	if len(s.chunks) == 0 {
		c.fail(s, "body", "events once decoded", "something else")
	} else if len(s.Response.Reads) < min(4, len(s.chunks)) {
		c.fail(s, "body", fmt.Sprintf("%d events, each flushed by the compressor", len(s.chunks)), fmt.Sprintf("%d reads", len(s.Response.Reads)))
	}
}

func arrayOfOne(c *Case) {
	for _, r := range c.sent("prompt.array") {
		if r.ok() && c.Profile != schemas.Strict {
			c.wantControl(r)
		} else {
			c.wantRefusal(r, "prompt is a string (C46)")
		}
	}
}

func batchOrder(c *Case) {
	r := c.labelled("prompt.batch", "batch")
	one, two := c.labelled("prompt.batch", "first"), c.labelled("prompt.batch", "second")
	if r == nil || one == nil || two == nil || !c.repeatable() {
		return
	}
	if !r.ok() || !one.ok() || !two.ok() || len(r.choices()) != 2 {
		c.inconclusive("the batch was not answered with two choices (REQ-027)")
		return
	}
	want := []string{one.firstText(), two.firstText()}
	for _, ch := range r.choices() {
		i := ch.Get("index").Int()
		if i < 0 || i > 1 || r.text(ch) != want[i] {
			c.fail(r, "choices", fmt.Sprintf("at index 0 %q, at 1 %q", shorten(want[0], 30), shorten(want[1], 30)), fmt.Sprintf("at %d %q", i, shorten(r.text(ch), 30)))
		}
	}
}

// wantStream expects a stream, or a document, for a value of stream.
func (c *Case) wantStream(label string, stream bool) {
	if r := c.wantOK("stream.values", label, "stream is a boolean or null"); r != nil {
		c.wantKind(r, stream)
	}
}

// wantMeaning expects a refusal or the kind of answer that a loose value means.
func (c *Case) wantMeaning(label string, stream bool) {
	r := c.labelled("stream.values", label)
	switch {
	case r == nil:
	case r.ok() && c.Profile != schemas.Strict:
		c.wantKind(r, stream)
	default:
		c.wantRefusal(r, "stream is a boolean (C05)")
	}
}

func (c *Case) wantKind(r *reply, stream bool) {
	if r.isStream() != stream {
		want := map[bool]string{true: "server-sent events", false: "one JSON document"}
		c.fail(r, "body", want[stream], want[!stream])
	}
}

// defaultLength expects answers to end at most after n tokens where max_tokens
// was not sent, or exactly then.
func (c *Case) defaultLength(n int, exactly bool) {
	r := c.labelled("default.length", "plain")
	if r == nil || !r.ok() {
		if r != nil {
			c.inconclusive("the request without max_tokens was refused (HTTP %d)", r.status())
		}
		return
	}
	got, ok := r.completionTokens()
	ended := len(r.choices()) > 0 && r.choices()[0].Get("finish_reason").String() == "stop"
	switch {
	case !ok:
		c.inconclusive("the answer has no usage (USE-001)")
	case got > n || exactly && got < n && !ended:
		c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d, the default of max_tokens", n), strconv.Itoa(got))
	case exactly && got < n:
		c.inconclusive("the answer ended by itself after %d tokens", got)
	}
}

func sameDefault(c *Case) {
	if c.Profile == schemas.Paper {
		c.defaultLength(16, true)
		return
	}
	r, s := c.labelled("default.length", "plain"), c.labelled("default.length", "stream")
	if r == nil || s == nil || !c.repeatable() {
		return
	}
	if !r.ok() || !s.ok() || s.stream == nil {
		c.inconclusive("the request without max_tokens was not answered both ways")
		return
	}
	if g := first(c.streams("greedy.stream")); g == nil || g.streamText(0) != c.Facts.Capped {
		c.inconclusive("streams differ from plain answers anyhow (STR-018)")
		return
	}
	if n, ok := r.completionTokens(); ok {
		c.note("without max_tokens %d tokens came", n)
	}
	switch a, b := r.firstText(), s.streamText(0); {
	case a == b:
	case strings.HasPrefix(a, b) || strings.HasPrefix(b, a):
		c.fail(s, "text", fmt.Sprintf("%d characters, as without stream", len(a)), fmt.Sprintf("%d characters", len(b)))
	default: // batching, which changes the last digits of a sum, tipped the scales in a long text
		c.inconclusive("the two texts part before either ends: their lengths say nothing")
	}
}

func nullLength(c *Case) {
	r := c.labelled("default.length", "plain")
	for _, n := range c.sent("default.null") {
		switch {
		case r == nil || !r.ok() || !c.repeatable():
		case !n.ok():
			c.fail(n, "status", "200: null means absent", n.statusLine())
		case n.firstText() != r.firstText():
			c.fail(n, textPath[c.Route], fmt.Sprintf("%d characters, as without max_tokens", len(r.firstText())), fmt.Sprintf("%d characters", len(n.firstText())))
		}
	}
}

func bounded(c *Case) {
	for _, r := range c.answers("length") {
		k := r.number("max_tokens", 0)
		got, ok := r.completionTokens()
		if !ok {
			c.inconclusive("the answer has no usage (USE-001)")
			continue
		}
		if got > k {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("at most %d", k), strconv.Itoa(got))
		} else if got < k && c.Facts.IgnoreEOS == Honoured {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d: ignore_eos is true", k), strconv.Itoa(got))
		} else if !strings.HasPrefix(c.Facts.Long.Answer, r.firstText()) && c.Facts.Repeatable {
			c.note("a shorter answer is no beginning of the longer")
		}
	}
}

func zeroLength(c *Case) {
	one, two := c.labelled("length.zero", "1"), c.labelled("length.zero", "2")
	if one == nil || two == nil {
		return
	}
	if one.status() != two.status() {
		c.fail(two, "status", fmt.Sprintf("as before, %d", one.status()), two.statusLine())
	}
	c.note("max_tokens 0 gets %d", one.status())
	c.wantNoServerError(one, "max_tokens is 0")
	if n, _ := one.completionTokens(); one.ok() && (n != 0 || one.firstText() != "") {
		c.fail(one, "choices[0]", "an empty text and no tokens", fmt.Sprintf("%d tokens, %q", n, shorten(one.firstText(), 40)))
	}
}

func quotedLength(c *Case) {
	r := c.labelled("length.forms", "quoted")
	if r == nil {
		return
	}
	if !r.ok() || c.Profile == schemas.Strict {
		c.wantRefusal(r, `max_tokens "4" is no number (C05)`)
		return
	}
	if n, ok := r.completionTokens(); ok && n > 4 {
		c.fail(r, "usage.completion_tokens", `at most 4, as max_tokens "4" says, or a refusal`, strconv.Itoa(n))
	}
}

func topPZero(c *Case) {
	one, two := c.labelled("top_p.zero", "1"), c.labelled("top_p.zero", "2")
	if one == nil || two == nil {
		return
	}
	c.wantNoServerError(one, "top_p is 0")
	c.note("top_p 0 gets %d", one.status())
	if one.ok() && two.ok() && c.Facts.Repeatable && one.firstText() != two.firstText() {
		c.fail(two, textPath[c.Route], "the likeliest text again: "+strconv.Quote(one.firstText()), strconv.Quote(two.firstText()))
	}
}

func samplingTypes(c *Case) {
	for _, e := range share(c.Facts, samplingTypesBad) {
		switch r := c.labelled("bad.values", e.label); {
		case r == nil:
		case e.members[1] == `"0.5"`:
			if c.Profile == schemas.Strict || !r.ok() {
				c.wantRefusal(r, "a string is no number (C05)")
			}
		default:
			c.wantRefusal(r, "this is no number")
		}
	}
}

func plainN(c *Case) {
	for _, r := range c.answers("n3") {
		c.countChoices(r, 3)
	}
	for _, r := range c.replies {
		if r.probe == "control" && r.ok() && r.doc.IsObject() {
			c.look(r)
			c.countChoices(r, 1)
		}
	}
}

func hugeN(c *Case) {
	const soon = 5 * time.Second
	for _, r := range c.replies {
		if r.probe != "n.huge" {
			continue
		}
		c.look(r)
		if r.Response == nil {
			c.fail(r, "answer", "a refusal: n is 100000", r.Error)
		} else if c.wantRefusal(r, "n is 100000", http.StatusTooManyRequests); r.refused() && r.End-r.Sent > soon {
			c.fail(r, "time", "refused within 5 s", (r.End - r.Sent).Round(time.Millisecond).String())
		}
	}
}

func greedyN(c *Case) {
	for _, r := range c.sent("n.greedy") {
		c.wantNoServerError(r, "n 2 at temperature 0 (C10)")
		if cs := r.choices(); r.ok() && len(cs) == 2 && c.Facts.Repeatable && r.text(cs[0]) != r.text(cs[1]) {
			c.fail(r, "choices[1]", "the likeliest text again: "+strconv.Quote(r.text(cs[0])), strconv.Quote(r.text(cs[1])))
		}
	}
}

// stopForms reads what other clauses ask, too: an array in the request whose
// stop string ends the text, null in the one whose every parameter is null.
func stopForms(c *Case) {
	for _, label := range []string{"letters", "no list"} {
		if r := c.wantOK("stops", label, "stop is a string, an array, or null (C47)"); r != nil {
			c.wantControl(r)
		}
	}
	c.wantOK("stops", "twice", "stop may be an array (C47)")
	if r := c.labelled("det", "null"); r != nil && !r.ok() && r.names("stop") {
		c.fail(r, "status", "200: stop may be null (C47)", r.statusLine())
	}
}

func (c *Case) penalty(name string) {
	c.wantAllOK("penalties", each(name, "-2", "2"), name+" lies in -2 to 2")
	if c.status != "" {
		return
	}
	for _, e := range penaltiesBad(name) {
		if r := c.labelled("penalties", e.label); r != nil {
			c.wantRefusal(r, name+" lies in -2 to 2")
		}
	}
}

func penaltyEffect(c *Case) {
	up, down := c.labelled("penalty.effect", "2"), c.labelled("penalty.effect", "-2")
	if up == nil || down == nil || up.refused() && down.refused() || !c.repeatable() {
		return
	}
	if !up.ok() || !down.ok() {
		c.fail(up, "status", "the same for 2 and -2", fmt.Sprintf("%d and %d", up.status(), down.status()))
	} else if up.firstText() == down.firstText() {
		c.fail(up, textPath[c.Route], "texts that differ for frequency_penalty 2 and -2", "the same text for both")
	}
}

func flagValues(c *Case) {
	if c.Facts.IgnoreEOS != Refused {
		c.wantAllOK("flags", flags[:1], "null means absent")
	}
	c.wantAllOK("flags", flags[2:], "a flag is true, false or null")
	if r := first(c.sent("beam.off")); r == nil || r.ok() {
		c.wantAllOK("flags", flags[1:2], "null means absent")
	}
}

func quotedFlags(c *Case) {
	for _, v := range []string{"false", "true"} {
		r := c.labelled("flags.quoted", v)
		if r == nil {
			continue
		}
		if !r.ok() || c.Profile == schemas.Strict {
			c.wantRefusal(r, `a string is no boolean (C05)`)
			continue
		}
		n, _ := r.completionTokens()
		if v == "false" && n >= shortTokens {
			c.fail(r, "usage.completion_tokens", `an answer that ends by itself: ignore_eos is "false"`, strconv.Itoa(n))
		} else if v == "true" && n < shortTokens && c.Facts.IgnoreEOS == Honoured {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf(`%d tokens: ignore_eos is "true", or a refusal`, shortTokens), strconv.Itoa(n))
		}
	}
}

func badBestOf(c *Case) {
	for _, e := range share(c.Facts, bestOfBad) {
		switch r := c.labelled("bad.values", e.label); {
		case r == nil:
		case e.members[1] == "0":
			c.wantNoServerError(r, "best_of is 0")
			c.note("best_of 0 gets %d", r.status())
		default:
			c.wantRefusal(r, "best_of is an integer of at least 1")
		}
	}
}

func unknownParameter(c *Case) {
	decidedAlike("unknown", "a parameter is unknown")(c)
	for _, r := range c.replies {
		if r.probe == "unknown" && r.ok() {
			c.note("an unknown parameter is ignored")
			c.wantControl(r)
		}
	}
}

func otherName(c *Case) {
	for _, r := range c.sent("length.other") {
		if r.refused() {
			continue
		}
		if n, ok := r.completionTokens(); !ok {
			c.inconclusive("the answer has no usage (USE-001)")
		} else if n > otherLength || n < otherLength && c.Facts.IgnoreEOS == Honoured {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d, as max_completion_tokens says, or a refusal", otherLength), strconv.Itoa(n))
		}
	}
}

func refusedEarly(c *Case) {
	const soon = 2 * time.Second
	r := c.labelled("two.bad", "early")
	if r == nil {
		return
	}
	if !r.refused() {
		c.inconclusive("the bad request was not refused (HTTP %d)", r.status())
	} else if took := r.End - r.Sent; took > soon {
		c.fail(r, "time", "refused within 2 s, before anything is generated", took.Round(time.Millisecond).String())
	}
}
