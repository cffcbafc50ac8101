package suites

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A reply is an exchange read as an answer of one route. Bodies are read with
// gjson, which tells null from absent and keeps numbers as they were written.
type reply struct {
	*exchange.Exchange
	route  schemas.Route
	probe  string
	label  string       // of the request within its probe
	req    gjson.Result // the request body; not Exists() when it was no JSON
	doc    gjson.Result // the response body, likewise
	stream *exchange.Stream
	events []exchange.Event   // of the stream, one without its blank line at the end too
	chunks []chunk            // the JSON events of a stream, in order
	wired  *exchange.Exchange // as it came over the wire, where it had to be decoded
	packed bool               // the body came compressed; Response.Body is decoded
}

// A chunk is one event of a stream whose payload is a JSON document.
type chunk struct {
	event int // index in events
	at    time.Duration
	doc   gjson.Result
}

func parse(b []byte) gjson.Result {
	if !gjson.ValidBytes(b) {
		return gjson.Result{}
	}
	return gjson.ParseBytes(b)
}

func newReply(route schemas.Route, probe string, x *exchange.Exchange) *reply {
	r := &reply{Exchange: x, route: route, probe: probe, label: parseID(x.ID).label, req: parse(x.Request.Body)}
	if x.Response == nil {
		return r
	}
	r.unpack()
	x = r.Exchange
	if r.streams() && r.looksSSE() {
		r.stream = x.Response.Stream()
		r.events = r.stream.Events
		if p := r.stream.Partial; p != nil {
			r.events = append(slices.Clone(r.events), *p) // STR-002 tells
		}
		for i, e := range r.events {
			if doc := parse([]byte(e.Payload())); doc.IsObject() {
				r.chunks = append(r.chunks, chunk{i, e.At, doc})
			}
		}
		return r
	}
	r.doc = parse(x.Response.Body)
	return r
}

// unpack decodes a body that came as gzip, in a copy of the exchange. The times
// of reads are kept, their ends in the decoded body are not known.
func (r *reply) unpack() {
	if !strings.EqualFold(r.Response.Header.Get("Content-Encoding"), "gzip") {
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(r.Response.Body))
	if err != nil {
		return
	}
	decoded, _ := io.ReadAll(z)
	x, response := *r.Exchange, *r.Response
	response.Body = decoded
	response.Reads = slices.Clone(response.Reads)
	for i := range response.Reads {
		response.Reads[i].End = len(decoded)
	}
	x.Response = &response
	r.wired, r.Exchange, r.packed = r.Exchange, &x, true
}

func (r *reply) status() int {
	if r.Response == nil {
		return 0
	}
	return r.Response.Status
}

func (r *reply) ok() bool { return r.status() == http.StatusOK }

// refused is whether the target answered with a client error.
func (r *reply) refused() bool { return r.status() >= 400 && r.status() < 500 }

// streams is whether the request asked for a stream.
func (r *reply) streams() bool { return r.req.Get("stream").Bool() }

// looksSSE is whether the body can be read as server-sent events, whatever
// its Content-Type says (that is the matter of STR-001 alone).
func (r *reply) looksSSE() bool {
	h := r.Response.Header.Get("Content-Type")
	if strings.HasPrefix(strings.ToLower(h), "text/event-stream") {
		return true
	}
	b := bytes.TrimPrefix(r.Response.Body, []byte("\xef\xbb\xbf"))
	for _, p := range []string{"data:", "event:", "id:", ":"} {
		if bytes.HasPrefix(b, []byte(p)) {
			return true
		}
	}
	return false
}

// message is the text of a refusal, for reasons and for finding out which
// parameter it names.
func (r *reply) message() string {
	for _, p := range []string{"error.message", "message", "detail.0.msg", "detail.msg", "detail", "error"} {
		if m := r.doc.Get(p); m.Type == gjson.String && m.Str != "" {
			return m.Str
		}
	}
	if r.Response == nil {
		return r.Error
	}
	return shorten(string(r.Response.Body), 120)
}

// names is whether the refusal names one of the parameters as a word.
func (r *reply) names(params ...string) bool {
	if r.Response == nil {
		return false
	}
	words := strings.FieldsFunc(string(r.Response.Body), func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
	for _, w := range words {
		for _, p := range params {
			if w == p {
				return true
			}
		}
	}
	return false
}

// choices are the choices of a non-streamed answer.
func (r *reply) choices() []gjson.Result { return r.doc.Get("choices").Array() }

// text is the text of a choice of a non-streamed answer, wherever the route
// keeps it.
func (r *reply) text(choice gjson.Result) string { return choice.Get(textPath[r.route]).String() }

var textPath = map[schemas.Route]string{schemas.Completions: "text", schemas.Chat: "message.content"}
var deltaPath = map[schemas.Route]string{schemas.Completions: "text", schemas.Chat: "delta.content"}

// firstText is the text of the first choice.
func (r *reply) firstText() string {
	if c := r.choices(); len(c) > 0 {
		return r.text(c[0])
	}
	return ""
}

// A part is what one chunk says of one choice.
type part struct {
	chunk
	choice gjson.Result
}

// byIndex groups the choices of all chunks by their index, in order.
func (r *reply) byIndex() (indices []int64, parts map[int64][]part) {
	parts = map[int64][]part{}
	for _, c := range r.chunks {
		for _, choice := range c.doc.Get("choices").Array() {
			i := choice.Get("index").Int()
			if _, seen := parts[i]; !seen {
				indices = append(indices, i)
			}
			parts[i] = append(parts[i], part{c, choice})
		}
	}
	sort.Slice(indices, func(a, b int) bool { return indices[a] < indices[b] })
	return indices, parts
}

// delta is the text that a part adds.
func (r *reply) delta(p part) string { return p.choice.Get(deltaPath[r.route]).String() }

// streamText is the concatenated text of a streamed choice.
func (r *reply) streamText(index int64) string {
	_, parts := r.byIndex()
	var b strings.Builder
	for _, p := range parts[index] {
		b.WriteString(r.delta(p))
	}
	return b.String()
}

// finish is the last finish_reason of a streamed choice, "" if none came.
func (r *reply) finish(index int64) string {
	_, parts := r.byIndex()
	reason := ""
	for _, p := range parts[index] {
		if f := p.choice.Get("finish_reason"); f.Type == gjson.String {
			reason = f.Str
		}
	}
	return reason
}

// greedy is whether a request asks for the most likely answer.
func (r *reply) greedy() bool {
	t := r.req.Get("temperature")
	return t.Type == gjson.Number && t.Num == 0 && !r.req.Get("use_beam_search").Bool()
}

// number reads an integer member of the request, or def.
func (r *reply) number(name string, def int) int {
	if v := r.req.Get(name); v.Type == gjson.Number {
		return int(v.Int())
	}
	return def
}

// completionTokens is usage.completion_tokens, false if it is not there.
func (r *reply) completionTokens() (int, bool) {
	u := r.doc.Get("usage.completion_tokens")
	return int(u.Int()), u.Type == gjson.Number
}

// logprobs are the log probabilities and texts of the tokens of a choice, from
// the four arrays of completions or the content list of chat.
func logprobs(choice gjson.Result) (lps []float64, tokens []string, ok bool) {
	lp := choice.Get("logprobs")
	if v := lp.Get("token_logprobs"); v.IsArray() {
		for _, x := range v.Array() {
			lps = append(lps, x.Float())
		}
		for _, x := range lp.Get("tokens").Array() {
			tokens = append(tokens, x.String())
		}
		return lps, tokens, len(lps) > 0
	}
	if v := lp.Get("content"); v.IsArray() {
		for _, x := range v.Array() {
			lps = append(lps, x.Get("logprob").Float())
			tokens = append(tokens, x.Get("token").String())
		}
		return lps, tokens, len(lps) > 0
	}
	return nil, nil, false
}

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

func mean(xs []float64) float64 { return sum(xs) / float64(max(1, len(xs))) }

// shorten cuts s to n bytes at a character border and marks the cut.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// twin is the plain answer, of a probe where one is named, to the same request
// as the streamed r.
func (c *Case) twin(r *reply, name string) *reply {
	for _, p := range c.replies {
		if (p.probe == name || name == "" && !slices.Contains(comparedElsewhere, p.probe)) && p.ok() && !p.streams() && len(p.choices()) > 0 && sameRequest(p, r) {
			c.look(p)
			return p
		}
	}
	return nil
}

// sameRequest is whether two requests differ at most in how the answer comes.
func sameRequest(a, b *reply) bool {
	members := func(r *reply) map[string]string {
		m := map[string]string{}
		r.req.ForEach(func(k, v gjson.Result) bool {
			if k.Str != "stream" && k.Str != "stream_options" {
				m[k.Str] = v.Raw
			}
			return true
		})
		return m
	}
	return maps.Equal(members(a), members(b))
}
