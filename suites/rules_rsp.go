package suites

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// plain are the probes whose answers show the shape of responses.
var plain = []string{"n3", "nonce", "model.names"}

// rspRules judge the shape of answers that are not streamed (RSP).
var rspRules = []rule{
	{clause: "RSP-001", reads: plain, all: true, judge: oneJSONDocument},
	{clause: "RSP-002", reads: plain, all: true, judge: members("id", "object", "created", "model", "choices", "usage")},
	{clause: "RSP-003", reads: plain, all: true, judge: members("id", "object", "created", "model", "choices")},
	{clause: "RSP-004", reads: plain, all: true, judge: uniqueIDs},
	{clause: "RSP-005", reads: plain, all: true, judge: idFormat},
	{clause: "RSP-006", reads: plain, all: true, judge: objectIs(schemas.Completions, "text_completion")},
	{clause: "RSP-007", reads: plain, all: true, judge: objectIs(schemas.Chat, "chat.completion")},
	{clause: "RSP-008", reads: plain, all: true, judge: createdInteger},
	{clause: "RSP-009", reads: plain, all: true, judge: createdPlausible},
	{clause: "RSP-010", reads: plain, all: true, judge: createdDuring},
	{clause: "RSP-011", reads: plain, all: true, judge: modelString},
	{clause: "RSP-012", reads: plain, all: true, judge: modelConstant},
	{clause: "RSP-013", reads: plain, all: true, judge: choiceCount},
	{clause: "RSP-014", reads: plain, all: true, judge: indexDistinct},
	{clause: "RSP-015", reads: plain, all: true, judge: indexRange},
	{clause: "RSP-016", reads: plain, all: true, judge: choiceHasText},
	{clause: "RSP-017", reads: plain, all: true, judge: choiceHasMessage},
	{clause: "RSP-018", reads: plain, all: true, judge: finishPresent},
	{clause: "RSP-019", reads: plain, all: true, judge: logprobsNull},
	{clause: "RSP-020", reads: plain, all: true, judge: chatLogprobs},
	{clause: "RSP-021", reads: []string{"nonce"}, judge: noEcho},
	{clause: "RSP-022", reads: append([]string{"best_of.less"}, plain...), all: true, judge: errorOrChoices},
	{clause: "RSP-023", reads: plain, all: true, judge: validUnicode},
	{clause: "RSP-024", reads: plain, all: true, judge: requestID},
	{clause: "RSP-025", reads: []string{"extra"}, judge: clientIDComesBack},
	{clause: "RSP-026", reads: plain, all: true, judge: integersAreIntegers},
	{clause: "RSP-027", reads: plain, all: true, judge: oneFraming},
}

// show writes a JSON value as it stood, "absent" where there was none.
func show(v gjson.Result) string {
	if !v.Exists() {
		return "absent"
	}
	return shorten(v.Raw, 80)
}

func oneJSONDocument(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.ok() && !r.streams() && c.Facts.target.serves(r) }, "no plain answer came") {
		header := r.Response.Header.Get("Content-Type")
		if t, _, err := mime.ParseMediaType(header); err != nil || t != "application/json" {
			c.fail(r, "header Content-Type", "application/json", strconv.Quote(header))
		}
		switch {
		case !r.doc.Exists():
			c.fail(r, "body", "exactly one JSON document", shorten(string(r.Response.Body), 120))
		case !r.doc.IsObject():
			c.fail(r, "body", "a JSON object", show(r.doc))
		}
	}
}

// members expects members of every answer.
func members(names ...string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.allAnswers() {
			for _, k := range names {
				if k == "model" && c.Profile == schemas.Paper && c.Route == schemas.Completions && c.dialect() == DialectLlamaV1 {
					continue // C17: the document's own example has none
				}
				if !r.doc.Get(k).Exists() {
					c.fail(r, k, "present", "absent")
				}
			}
		}
	}
}

func requestID(c *Case) {
	for _, r := range c.allAnswers() {
		h := r.Response.Header
		if h.Get("x-ms-request-id") == "" && h.Get("x-request-id") == "" && h.Get("apim-request-id") == "" {
			c.fail(r, "header x-ms-request-id", "an id of the request, here or in x-request-id or apim-request-id", "absent")
		}
	}
}

func clientIDComesBack(c *Case) {
	r := c.labelled("extra", "known")
	if r == nil {
		return
	}
	switch got := r.Response.Header.Get("x-ms-client-request-id"); got {
	case clientRequestID:
		c.note("it comes back")
	default:
		c.fail(r, "header x-ms-client-request-id", clientRequestID+", as it was sent", strconv.Quote(got))
	}
}

func uniqueIDs(c *Case) {
	seen := map[string]string{}
	for _, r := range c.everyAnswer() {
		doc := r.doc
		if len(r.chunks) > 0 {
			doc = r.chunks[0].doc
		}
		id := doc.Get("id")
		switch {
		case !id.Exists(): // RSP-002
		case id.Type != gjson.String || id.Str == "":
			c.fail(r, "id", "a non-empty string", show(id))
		case seen[id.Str] != "":
			c.fail(r, "id", "unlike that of "+seen[id.Str], show(id))
		default:
			seen[id.Str] = r.ID
		}
	}
	if len(seen) > 0 {
		c.note("%d ids, all different", len(seen))
	}
}

func idFormat(c *Case) {
	for _, r := range c.allAnswers() {
		id := r.doc.Get("id").String()
		kind := "other"
		for _, p := range []string{"cmpl-", "chatcmpl-", "chat-"} {
			if strings.HasPrefix(id, p) {
				kind = p + "…"
			}
		}
		if kind == "other" && len(id) == 36 && strings.Count(id, "-") == 4 {
			kind = "uuid"
		}
		c.note("id format %s", kind)
		if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
			c.fail(r, "id", "printable ASCII without spaces: ids stand in headers and logs", strconv.Quote(shorten(id, 60)))
		}
	}
}

func objectIs(route schemas.Route, want string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.allAnswers() {
			if o := r.doc.Get("object"); o.Exists() && (o.Type != gjson.String || o.Str != want) {
				c.fail(r, "object", strconv.Quote(want), show(o))
			}
		}
	}
}

func createdInteger(c *Case) {
	for _, r := range c.allAnswers() {
		if v := r.doc.Get("created"); v.Exists() && !isInteger(v) {
			c.fail(r, "created", "a JSON integer", show(v))
		}
	}
}

// isInteger is whether v was written as a JSON integer: no quotes, no
// fraction, no exponent.
func isInteger(v gjson.Result) bool {
	return v.Type == gjson.Number && !strings.ContainsAny(v.Raw, ".eE")
}

// serverTime is the time of the target by its Date header, or ours.
func serverTime(r *reply) time.Time {
	if t, err := http.ParseTime(r.Response.Header.Get("Date")); err == nil {
		return t
	}
	return r.Started
}

func createdPlausible(c *Case) {
	for _, r := range c.allAnswers() {
		v := r.doc.Get("created")
		if v.Type != gjson.Number {
			continue // RSP-002, RSP-008
		}
		if d := serverTime(r).Sub(time.Unix(v.Int(), 0)); d.Abs() > 24*time.Hour {
			c.fail(r, "created", "Unix seconds within a day of "+strconv.FormatInt(serverTime(r).Unix(), 10), show(v))
		}
	}
}

func createdDuring(c *Case) {
	const skew = 2
	for _, r := range c.allAnswers() {
		v := r.doc.Get("created")
		if v.Type != gjson.Number {
			continue // RSP-002, RSP-008
		}
		// Date is stamped when the header is written: between start and end.
		at, took := serverTime(r).Unix(), int64(r.End.Seconds())+1
		if v.Int() < at-took-skew || v.Int() > at+took+skew {
			c.fail(r, "created", fmt.Sprintf("between %d and %d, when the request ran", at-took-skew, at+took+skew), show(v))
		}
	}
}

func modelString(c *Case) {
	for _, r := range c.allAnswers() {
		if v := r.doc.Get("model"); v.Type != gjson.String {
			c.fail(r, "model", "a string", show(v))
		}
	}
}

func modelConstant(c *Case) {
	var was *reply
	for _, r := range c.allAnswers() {
		v := r.doc.Get("model")
		switch {
		case v.Type != gjson.String: // RSP-011
		case v.Str == "":
			c.fail(r, "model", "the name of the model", `""`)
		case was != nil && was.doc.Get("model").Str != v.Str:
			c.fail(r, "model", show(was.doc.Get("model"))+", as in "+was.ID, show(v))
		case was == nil:
			was = r
		}
	}
}

// asked is how many choices a request asks for.
func asked(r *reply) int { return r.number("n", 1) }

func choiceCount(c *Case) {
	for _, r := range c.allAnswers() {
		v := r.doc.Get("choices")
		if n := len(v.Array()); v.Exists() && (!v.IsArray() || n == 0) {
			c.fail(r, "choices", "a non-empty array", show(v))
		} else if want := asked(r) * prompts(r); !r.req.Get("best_of").Exists() && v.Exists() && n != want {
			c.fail(r, "choices", fmt.Sprintf("%d choices, as n asks", want), fmt.Sprintf("%d choices", n))
		}
	}
}

// prompts is how many prompts a request has: those of a batch, else one.
func prompts(r *reply) int {
	if batch := r.req.Get("prompt").Array(); len(batch) > 1 && batch[0].Type != gjson.Number {
		return len(batch)
	}
	return 1
}

func indexDistinct(c *Case) {
	for _, r := range c.allAnswers() {
		c.distinct(r, "choices", r.choices())
	}
	for _, r := range c.replies {
		for _, ck := range r.chunks {
			if choices := ck.doc.Get("choices").Array(); len(choices) > 1 {
				c.look(r)
				c.distinct(r, event(ck.event)+", choices", choices)
			}
		}
	}
}

// distinct expects of each choice an index of its own.
func (c *Case) distinct(r *reply, where string, choices []gjson.Result) {
	seen := map[int64]bool{}
	for i, ch := range choices {
		v := ch.Get("index")
		if v.Type != gjson.Number || v.Num < 0 {
			c.fail(r, fmt.Sprintf("%s.%d.index", where, i), "a number of 0 or more", show(v))
		} else if seen[v.Int()] {
			c.fail(r, fmt.Sprintf("%s.%d.index", where, i), "an index that no other choice has", show(v))
		}
		seen[v.Int()] = true
	}
}

func indexRange(c *Case) {
	for _, r := range c.allAnswers() {
		n := int64(len(r.choices()))
		if r.number("best_of", 1) > asked(r) {
			continue // C18: the order and the range are free
		}
		for i, ch := range r.choices() {
			if v := ch.Get("index"); v.Type == gjson.Number && v.Int() >= n {
				c.fail(r, fmt.Sprintf("choices.%d.index", i), fmt.Sprintf("0 to %d", n-1), show(v))
			}
		}
	}
}

func choiceHasText(c *Case) {
	for _, r := range c.allAnswers() {
		for i, ch := range r.choices() {
			if v := ch.Get("text"); v.Type != gjson.String {
				c.fail(r, fmt.Sprintf("choices.%d.text", i), "a string", show(v))
			}
			if v := ch.Get("message"); v.Exists() && v.Type != gjson.Null {
				c.fail(r, fmt.Sprintf("choices.%d.message", i), "absent", show(v))
			}
		}
	}
}

func choiceHasMessage(c *Case) {
	for _, r := range c.allAnswers() {
		for i, ch := range r.choices() {
			m := ch.Get("message")
			if c.Profile == schemas.Paper && !m.Exists() {
				m = ch.Get("messages") // C15
			}
			if !m.IsObject() {
				c.fail(r, fmt.Sprintf("choices.%d.message", i), "an object", show(m))
			}
			if v := ch.Get("text"); v.Exists() && v.Type != gjson.Null {
				c.fail(r, fmt.Sprintf("choices.%d.text", i), "absent", show(v))
			}
		}
	}
}

func finishPresent(c *Case) {
	for _, r := range c.allAnswers() {
		for i, ch := range r.choices() {
			if v := ch.Get("finish_reason"); !v.Exists() || v.Type == gjson.Null {
				c.fail(r, fmt.Sprintf("choices.%d.finish_reason", i), "a reason: the answer is complete", show(v))
			}
		}
	}
}

func logprobsNull(c *Case) {
	for _, r := range c.allAnswers() {
		if r.req.Get("logprobs").Exists() {
			continue
		}
		for i, ch := range r.choices() {
			if v := ch.Get("logprobs"); !v.Exists() || v.Type != gjson.Null {
				c.fail(r, fmt.Sprintf("choices.%d.logprobs", i), "null: none were asked for", show(v))
			}
		}
	}
}

func chatLogprobs(c *Case) {
	for _, r := range c.allAnswers() {
		if r.req.Get("logprobs").Exists() {
			continue
		}
		for i, ch := range r.choices() {
			switch v := ch.Get("logprobs"); {
			case !v.Exists():
				c.note("logprobs absent")
			case v.Type == gjson.Null:
				c.note("logprobs null")
			default:
				c.fail(r, fmt.Sprintf("choices.%d.logprobs", i), "absent or null: none were asked for", show(v))
			}
		}
	}
}

// noEcho fails only if every nonce came back: a model may repeat one.
func noEcho(c *Case) {
	var echoed []*reply
	answers := c.answers("nonce")
	for _, r := range answers {
		for _, n := range nonces {
			if strings.Contains(string(r.Request.Body), n) && strings.HasPrefix(r.firstText(), n) {
				echoed = append(echoed, r)
			}
		}
	}
	if len(answers) > 0 && len(echoed) == len(answers) {
		for _, r := range echoed {
			c.fail(r, textPath[r.route], "the continuation alone", strconv.Quote(shorten(r.firstText(), 60)))
		}
	}
}

func errorOrChoices(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.doc.IsObject() }, "no JSON answer came") {
		if v := r.doc.Get("error"); r.ok() && v.Exists() && v.Type != gjson.Null {
			c.fail(r, "error", "absent: the status is 200", show(v))
		}
		if v := r.doc.Get("choices"); !r.ok() && v.Exists() {
			c.fail(r, "choices", fmt.Sprintf("absent: the status is %d", r.status()), show(v))
		}
	}
}

func validUnicode(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.ok() }, "no answer came") {
		if b := r.Response.Body; !utf8.Valid(b) {
			c.fail(r, "body", "valid UTF-8", fmt.Sprintf("byte %#x at offset %d", b[invalidAt(b)], invalidAt(b)))
		}
		docs := []gjson.Result{r.doc}
		for _, ch := range r.chunks {
			docs = append(docs, ch.doc)
		}
		for _, d := range docs {
			if s := loneSurrogate(d.Raw); s != "" {
				c.fail(r, "body", "escapes that pair up to characters", "lone surrogate "+s)
			}
		}
	}
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		c, n := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate finds an escape of half a character in JSON source.
func loneSurrogate(raw string) string {
	unit := func(i int) (uint64, bool) {
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(raw[i+2:i+6], 16, 32)
		return u, err == nil
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u, ok := unit(i)
		switch {
		case !ok:
			i++ // another escape: skip what it escapes
		case u >= 0xD800 && u < 0xDC00:
			if low, ok := unit(i + 6); !ok || low < 0xDC00 || low > 0xDFFF {
				return raw[i : i+6]
			}
			i += 11
		case u >= 0xDC00 && u <= 0xDFFF:
			return raw[i : i+6]
		default:
			i += 5
		}
	}
	return ""
}

func integersAreIntegers(c *Case) {
	for _, r := range c.allAnswers() {
		r.doc.Get("usage").ForEach(func(k, v gjson.Result) bool {
			if strings.HasSuffix(k.Str, "_tokens") && v.Type != gjson.Null && !isInteger(v) {
				c.fail(r, "usage."+k.Str, "a JSON integer", show(v))
			}
			return true
		})
		for i, ch := range r.choices() {
			if v := ch.Get("index"); v.Exists() && !isInteger(v) {
				c.fail(r, fmt.Sprintf("choices.%d.index", i), "a JSON integer", show(v))
			}
		}
	}
}

// oneFraming reads the raw head: net/http hides a Content-Length that stands
// beside Transfer-Encoding.
func oneFraming(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.Response != nil && len(r.Response.Head) > 0 }, "the transport hides the raw head") {
		var lengths []string
		chunked := false
		for _, line := range bytes.Split(r.Response.Head, []byte("\n")) {
			name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
			switch strings.ToLower(name) {
			case "content-length":
				lengths = append(lengths, strings.TrimSpace(value))
			case "transfer-encoding":
				chunked = true
			}
		}
		if len(lengths) > 0 && chunked {
			c.fail(r, "header", "Content-Length or Transfer-Encoding", "both")
		}
		if len(slices.Compact(lengths)) > 1 {
			c.fail(r, "header Content-Length", "one value", strings.Join(lengths, " and "))
		}
	}
}
