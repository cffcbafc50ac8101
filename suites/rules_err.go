package suites

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// refusing are probes whose requests are refused, for rules on every error.
var refusing = []string{"bad.numbers", "bad.lists", "bad.body", "path", "methods", "auth"}

// errRules judge errors (ERR).
var errRules = []rule{
	{clause: "ERR-001", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			media, _, _ := mime.ParseMediaType(r.Response.Header.Get("Content-Type"))
			if media != "application/json" && !strings.HasSuffix(media, "+json") {
				c.fail(r, "header Content-Type", "application/json", strconv.Quote(r.Response.Header.Get("Content-Type")))
			} else if !r.doc.Exists() && r.Request.Method != http.MethodHead {
				c.fail(r, "body", "a JSON document", shorten(string(r.Response.Body), 60))
			}
		}
	}},
	{clause: "ERR-002", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			if m := r.doc.Get("error.message"); r.doc.Exists() && m.Type != gjson.String {
				c.fail(r, "error.message", "an envelope that every client library reads: {\"error\":{\"message\":…}}", shorten(r.doc.Raw, 80))
			}
		}
	}},
	{clause: "ERR-003", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			d := r.doc
			known := d.Get("error.message").Exists() || d.Get("message").Exists() || d.Get("detail").Exists() || d.Get("error").Type == gjson.String
			if d.Exists() && !known {
				c.fail(r, "body", "error{code,message}, a flat status, code and message, or detail", shorten(d.Raw, 80))
			}
		}
	}},
	{clause: "ERR-004", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			e := r.doc.Get("error")
			for _, name := range []string{"message", "type", "param", "code"} {
				if v := e.Get(name); e.IsObject() && !v.Exists() {
					c.fail(r, "error."+name, "there, null if there is nothing to say", shorten(e.Raw, 80))
				}
			}
		}
	}},
	{clause: "ERR-005", reads: refusing, all: true, judge: statusesAgree},
	{clause: "ERR-006", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			for _, path := range []string{"error.message", "message"} {
				if v := r.doc.Get(path); v.Exists() && (v.Type != gjson.String || v.Str == "") {
					c.fail(r, path, "a text", shorten(v.Raw, 40))
				}
			}
		}
	}},
	{clause: "ERR-007", reads: []string{"json.mode"}, judge: func(c *Case) {
		if r := c.labelled("json.mode", "json"); r != nil && r.status() != http.StatusUnprocessableEntity && !honoursJSON(r) {
			c.fail(r, "status", "422, or an answer in JSON", r.statusLine())
		}
	}},
	{clause: "ERR-008", reads: []string{"json.mode"}, judge: func(c *Case) {
		r := c.labelled("json.mode", "json")
		if r == nil || r.ok() {
			return
		}
		if body := r.doc.Raw; !strings.Contains(body, "parameter_not_supported") || !r.names("response_format") {
			c.fail(r, "body", "parameter_not_supported, and the name response_format in detail.loc or param", shorten(body, 120))
		}
	}},
	{clause: "ERR-009", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.every(func(r *reply) bool { return r.Response != nil }, "nothing was answered") {
			if s := r.status(); s >= 500 && s != http.StatusServiceUnavailable {
				c.fail(r, "status", "below 500: a client made this request", r.statusLine())
			}
			for _, ck := range r.chunks {
				if code := ck.doc.Get("error.code"); isError(ck.doc) && code.Int() >= 500 && code.Int() != http.StatusServiceUnavailable {
					c.fail(r, event(ck.event)+", error.code", "below 500: a client made this request", show(code))
				}
			}
		}
	}},
	{clause: "ERR-010", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			if m := innards.FindString(string(r.Response.Body)); m != "" {
				c.fail(r, "body", "no stack trace, file or internal host", shorten(m, 60))
			}
		}
	}},
	{clause: "ERR-011", reads: []string{"bad.numbers", "bad.lists", "bad.body", "bad.prompt", "bytes"}, all: true, judge: answeredAfter},
	{clause: "ERR-012", reads: []string{"bad.numbers", "bad.lists"}, judge: namesParameter},
	{clause: "ERR-013", reads: []string{"again"}, endpoint: true, judge: func(c *Case) {
		rs := c.sent("again")
		for _, r := range rs {
			if r.status() != rs[0].status() {
				c.fail(r, "status", fmt.Sprintf("%d, as before", rs[0].status()), r.statusLine())
			}
		}
	}},
	{clause: "ERR-014", reads: []string{"embeddings"}, endpoint: true, judge: func(c *Case) {
		for _, r := range c.sent("embeddings") {
			switch made := r.doc.Get("data.0.embedding.0").Exists(); {
			case r.ok() && made:
				c.note("the model makes embeddings")
			case r.status() != http.StatusNotFound:
				c.fail(r, "status", "404, or embeddings: the model makes none", r.statusLine())
			}
		}
	}},
	{clause: "ERR-015", reads: []string{"bad.numbers", "bad.lists"}, judge: func(c *Case) {
		for _, p := range []string{"bad.numbers", "bad.lists"} {
			for _, r := range c.sent(p) {
				if r.status() >= 400 && !r.isRefusal() && r.req.Exists() { // what is no JSON has no parameter (REQ-046)
					c.fail(r, "status", "400 or 422: a parameter is wrong", r.statusLine())
				}
			}
		}
	}},
	{clause: "ERR-016", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			h := r.Response.Header.Get("x-ms-error-code")
			code := r.doc.Get("error.code").String()
			if code == "" {
				code = r.doc.Get("code").String()
			}
			if h != "" && code != "" && h != code {
				c.fail(r, "header x-ms-error-code", strconv.Quote(code), strconv.Quote(h))
			}
		}
	}},
	{clause: "ERR-017", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			if r.status() == http.StatusFailedDependency && r.Response.Header.Get("ms-azureml-model-error-statuscode") == "" {
				c.fail(r, "header ms-azureml-model-error-statuscode", "the status of the container", "absent")
			}
		}
	}},
	{clause: "ERR-019", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.every(func(r *reply) bool { return r.ok() }, "nothing was answered") {
			if e := r.doc.Get("error"); (e.IsObject() || e.Type == gjson.String) && !r.doc.Get("choices.0").Exists() {
				c.fail(r, "status", "400 or more: the body is an error", r.statusLine())
			}
		}
	}},
	{clause: "ERR-020", reads: refusing, all: true, judge: func(c *Case) {
		for _, r := range c.errors() {
			d := r.doc.Get("detail")
			if !d.IsArray() {
				continue
			}
			for i, e := range d.Array() {
				if !e.Get("loc").IsArray() || e.Get("msg").Type != gjson.String || e.Get("type").Type != gjson.String {
					c.fail(r, fmt.Sprintf("detail[%d]", i), "loc, msg and type", shorten(e.Raw, 80))
				}
			}
		}
	}},
	{clause: "ERR-021", reads: refusing, all: true, endpoint: true, across: true, judge: uniform},
}

// answeredAfter judges the control requests after bad ones (ERR-011). Of a
// target that lets good requests wait too long elsewhere, one that waits here
// tells nothing.
func answeredAfter(c *Case) {
	slow := slices.IndexFunc(c.replies, func(r *reply) bool { return r.timedOut() && r.probe != after.name && c.answerable(r) })
	for _, r := range c.every(func(r *reply) bool { return r.probe == after.name }, "no bad request was sent") {
		switch {
		case r.ok():
		case r.timedOut() && slow >= 0:
			c.inconclusive("requests that follow no bad one get no answer either, as in %s: %s", c.replies[slow].ID, r.Error)
		case r.unreached() && slices.ContainsFunc(c.replies, func(bad *reply) bool { return bad.probe == r.label && !bad.unreached() }):
			c.prove(r, "status", "200: the control request after the bad ones of "+r.label+", which the target still took", r.Error)
		case r.Response == nil:
			c.fail(r, "status", "200: the control request after the bad ones of "+r.label, r.Error)
		case r.unanswered() != "":
			c.inconclusive("%s", r.unanswered())
		default:
			c.fail(r, "status", "200: the control request after the bad ones of "+r.label, r.statusLine())
		}
	}
}

// enoughRefusals are how many it takes to say what is usual of them.
const enoughRefusals = 20

// uniform judges whether refusals are of one make (ERR-021). One that differs
// from all others in what its error holds was made by other code, or spoiled on
// its way; two whose messages differ only in what they quote are about the same
// fault.
func uniform(c *Case) {
	rs := slices.Concat(c.elsewhere[schemas.Completions], c.elsewhere[schemas.Chat])
	if i := slices.IndexFunc(rs, func(r *reply) bool { return r.Void }); i >= 0 {
		c.inconclusive("what is usual is not known: %s", rs[i].Error)
		return
	}
	rs = slices.DeleteFunc(rs, func(r *reply) bool {
		return !c.Facts.target.serves(r) || r.status() < 400 || !r.doc.Get("error").IsObject()
	})
	if len(c.look(rs...)) < enoughRefusals {
		c.inconclusive("only %d refusals came, too few to say what is usual", len(rs))
		return
	}
	sameMembers(c, rs)
	sameFault(c, rs)
	wholeWords(c, rs)
}

// sameMembers expects of each error what all others have.
func sameMembers(c *Case, rs []*reply) {
	has, kinds := map[string]int{}, map[string]int{}
	members := func(r *reply, f func(name string, v gjson.Result)) {
		r.doc.Get("error").ForEach(func(k, v gjson.Result) bool { f(k.Str, v); return true })
	}
	for _, r := range rs {
		members(r, func(name string, v gjson.Result) {
			has[name]++
			kinds[name+" "+kind(v)]++
		})
	}
	for _, r := range rs {
		e := r.doc.Get("error")
		for _, name := range slices.Sorted(maps.Keys(has)) {
			if n := has[name]; n >= len(rs)*19/20 && !e.Get(name).Exists() {
				c.fail(r, "error."+name, fmt.Sprintf("there, as in %d of %d refusals", n, len(rs)), shorten(e.Raw, 80))
			}
		}
		members(r, func(name string, v gjson.Result) {
			if has[name] >= enoughRefusals && kinds[name+" "+kind(v)] == 1 {
				c.fail(r, "error."+name, "of a type that it has in another of "+strconv.Itoa(has[name])+" refusals", shorten(v.Raw, 60))
			}
		})
	}
}

// values are what a message repeats of a request: a text in quotes, a number, the
// name of another value.
var values = regexp.MustCompile(`"(\\.|[^"\\])*"|'[^']*'|-?\d+(\.\d+)?([eE][+-]?\d+)?|\b(null|true|false|nothing|an array|an object)\b`)

// sameFault expects the same type, param and code wherever the message is the
// same but for what it quotes. A message that does not name its parameter may be
// said of several.
func sameFault(c *Case, rs []*reply) {
	told := map[string]*reply{}
	for _, r := range rs {
		e := r.doc.Get("error")
		message := values.ReplaceAllString(e.Get("message").String(), "…")
		same := told[message]
		if same == nil {
			told[message] = r
			continue
		}
		for _, name := range []string{"type", "param", "code"} {
			was, is := same.doc.Get("error."+name), e.Get(name)
			if was.Raw == is.Raw || !was.Exists() || !is.Exists() || input(was) || input(is) || was.Type == is.Type && values.ReplaceAllString(was.String(), "…") == values.ReplaceAllString(is.String(), "…") {
				continue
			}
			if name == "param" && !strings.Contains(message, was.String()) && !strings.Contains(message, is.String()) {
				continue
			}
			c.fail(r, "error."+name, fmt.Sprintf("%s, as with the same message in %s", shorten(was.Raw, 40), same.ID), shorten(is.Raw, 40))
		}
	}
}

// input is whether a param is what is asked: each route has its own, and it is
// part of all that is too long.
func input(param gjson.Result) bool { return param.Str == "prompt" || param.Str == "messages" }

// wholeWords expects that no message, type, param or code breaks off in the
// middle of a word that another refusal of the same status has whole. A param
// that the request has is whole.
func wholeWords(c *Case, rs []*reply) {
	for _, name := range []string{"message", "type", "param", "code"} {
		texts, order := make([]string, len(rs)), make([]int, len(rs))
		for i, r := range rs {
			texts[i], order[i] = r.doc.Get("error."+name).String(), i
		}
		slices.SortFunc(order, func(a, b int) int { return strings.Compare(texts[a], texts[b]) })
		for k, i := range order {
			if name == "param" && rs[i].req.Get(texts[i]).Exists() {
				continue
			}
			last, _ := utf8.DecodeLastRuneInString(texts[i])
			for _, j := range order[k+1:] { // what begins with this text follows it
				rest, goesOn := strings.CutPrefix(texts[j], texts[i])
				if !goesOn {
					break
				}
				next, _ := utf8.DecodeRuneInString(rest)
				if rs[i].status() == rs[j].status() && unicode.IsLetter(last) && unicode.IsLetter(next) {
					c.fail(rs[i], "error."+name, fmt.Sprintf("%s, as in %s", shorten(texts[j], 80), rs[j].ID), strconv.Quote(texts[i]))
					break
				}
			}
		}
	}
}

// kind is the type of a JSON value; both truth values are one.
func kind(v gjson.Result) string {
	switch {
	case v.IsBool():
		return "boolean"
	case v.IsArray():
		return "array"
	}
	return v.Type.String()
}

// innards are what an error must not show of the server.
var innards = regexp.MustCompile(`Traceback \(most recent|File "[^"]+", line \d+|\bgoroutine \d+ \[|\bat [\w.$]+\([\w]+\.(java|js|ts):\d+|/(usr|home|opt|root|app|var|work)/[\w./-]+|[\w.-]+\.svc\.cluster\.local|[\w/-]+\.(py|go):\d+`)

// errors are all answers of 400 or more.
func (c *Case) errors() []*reply {
	return c.every(func(r *reply) bool { return r.status() >= 400 }, "nothing was refused")
}

func statusesAgree(c *Case) {
	for _, r := range c.errors() {
		for _, path := range []string{"status", "statusCode", "code", "error.status", "error.code"} {
			v := r.doc.Get(path)
			n, err := strconv.Atoi(v.String())
			if !v.Exists() || err != nil || n < 100 || n > 599 {
				continue
			}
			if n != r.status() {
				c.fail(r, path, strconv.Itoa(r.status())+", the status of the answer", v.Raw)
			}
		}
	}
}

// honoursJSON is whether an answer is the JSON that was asked for, or was cut
// off on the way to it.
func honoursJSON(r *reply) bool {
	cs := r.choices()
	if !r.ok() || len(cs) == 0 {
		return false
	}
	return gjson.Valid(r.text(cs[0])) || cs[0].Get("finish_reason").Str == "length" && strings.HasPrefix(strings.TrimSpace(r.text(cs[0])), "{")
}

func namesParameter(c *Case) {
	for _, p := range []string{"bad.numbers", "bad.lists"} {
		for _, r := range c.sent(p) {
			name, _, _ := strings.Cut(r.label, " ")
			if r.isRefusal() && r.req.Exists() && !r.names(name) {
				c.fail(r, "error", "the name of the parameter that is wrong, "+name, strconv.Quote(shorten(r.message(), 100)))
			}
		}
	}
}
