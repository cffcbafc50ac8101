package suites

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/exchange"
)

// This file corrupts recorded answers at random; unseen_test.go has them judged.

// A corruption is one way to spoil the body of an answer. It returns the body
// and where it was spoiled, or false if there is nothing to spoil in this way.
type corruption struct {
	part, way string
	spoil     func(*rand.Rand, *reply) (body []byte, where string, ok bool)
}

// corruptions are five ways to spoil a field, which is a member or an element at
// any depth of a document, and five to spoil a chunk, which is an event of a
// stream or else the whole document.
var corruptions = []corruption{
	{"field", "drop", field(func(_ *rand.Rand, in *node, i int) bool { in.remove(i); return true })},
	{"field", "repeat", field(func(_ *rand.Rand, in *node, i int) bool { in.insert(i, in.kids[i]); return true })},
	{"field", "reorder", field(func(_ *rand.Rand, in *node, i int) bool {
		if i+1 == len(in.kids) {
			return false
		}
		in.kids[i], in.kids[i+1] = in.kids[i+1], in.kids[i]
		return true
	})},
	{"field", "retype", field(func(r *rand.Rand, in *node, i int) bool { in.kids[i] = in.kids[i].retyped(r); return true })},
	{"field", "truncate", field(func(r *rand.Rand, in *node, i int) bool { return in.kids[i].truncate(r) })},
	{"chunk", "drop", oneEvent(func(_ *rand.Rand, list [][]byte, i int) [][]byte { return slices.Delete(list, i, i+1) })},
	{"chunk", "repeat", oneEvent(func(_ *rand.Rand, list [][]byte, i int) [][]byte { return slices.Insert(list, i, list[i]) })},
	{"chunk", "reorder", oneEvent(func(_ *rand.Rand, list [][]byte, i int) [][]byte {
		if i+1 == len(list) {
			return nil
		}
		list[i], list[i+1] = list[i+1], list[i]
		return list
	})},
	{"chunk", "retype", oneEvent(func(r *rand.Rand, list [][]byte, i int) [][]byte {
		head, payload, tail := framed(list[i])
		other := []byte("null")
		switch r.IntN(3) {
		case 0:
			other, _ = json.Marshal(string(payload))
		case 1:
			other = slices.Concat([]byte("["), payload, []byte("]"))
		}
		list[i] = slices.Concat(head, other, tail)
		return list
	})},
	{"chunk", "truncate", oneEvent(func(r *rand.Rand, list [][]byte, i int) [][]byte {
		head, payload, tail := framed(list[i])
		whole := slices.Concat(head, payload)
		if len(whole) == 0 {
			return nil
		}
		whole = whole[:r.IntN(len(whole))]
		if r.IntN(2) == 0 { // with all that follows
			return append(list[:i], whole)
		}
		list[i] = slices.Concat(whole, tail)
		return list
	})},
}

// framed is an event in three pieces: `data: `, the payload, the blank line.
func framed(event []byte) (head, payload, tail []byte) {
	payload = bytes.TrimRight(event, "\r\n")
	tail = event[len(payload):]
	if bytes.HasPrefix(payload, []byte("data: ")) {
		return payload[:6], payload[6:], tail
	}
	return nil, payload, tail
}

// oneEvent spoils one event of a stream, or the document.
func oneEvent(spoil func(*rand.Rand, [][]byte, int) [][]byte) func(*rand.Rand, *reply) ([]byte, string, bool) {
	return func(r *rand.Rand, x *reply) ([]byte, string, bool) {
		list, where := [][]byte{x.Response.Body}, "the document"
		if x.stream != nil {
			list, where = nil, ""
			for _, e := range x.events {
				list = append(list, x.Response.Body[e.Start:e.End])
			}
		}
		if len(list) == 0 {
			return nil, "", false
		}
		i := r.IntN(len(list))
		if where == "" {
			where = kindOf(x, i)
		}
		list = spoil(r, list, i)
		return bytes.Join(list, nil), where, list != nil
	}
}

// kindOf says what the i-th event of a stream is for.
func kindOf(x *reply, i int) string {
	e := x.events[i]
	doc := parse([]byte(e.Payload()))
	choice := doc.Get("choices.0")
	switch {
	case e.Done():
		return "[DONE]"
	case doc.Get("error").Exists():
		return "an error event"
	case !choice.Exists():
		return "the usage chunk"
	case choice.Get("finish_reason").Type == gjson.String:
		return "a closing chunk"
	case choice.Get("delta.role").Exists():
		return "an opening chunk"
	}
	return "a chunk of text"
}

// field spoils one member or element of a document, or of a chunk's.
func field(spoil func(r *rand.Rand, in *node, i int) bool) func(*rand.Rand, *reply) ([]byte, string, bool) {
	return func(r *rand.Rand, x *reply) ([]byte, string, bool) {
		start, end := 0, len(x.Response.Body)
		if x.stream != nil {
			if len(x.chunks) == 0 {
				return nil, "", false
			}
			e := x.events[x.chunks[r.IntN(len(x.chunks))].event]
			head, payload, _ := framed(x.Response.Body[e.Start:e.End])
			start = e.Start + len(head)
			end = start + len(payload)
		}
		doc := parse(x.Response.Body[start:end])
		if !doc.IsObject() {
			return nil, "", false
		}
		root := newNode("", doc)
		places := root.places("")
		if len(places) == 0 {
			return nil, "", false
		}
		p := places[r.IntN(len(places))]
		if !spoil(r, p.in, p.i) {
			return nil, "", false
		}
		return slices.Concat(x.Response.Body[:start], root.append(nil), x.Response.Body[end:]), p.path, true
	}
}

// A node is a JSON value that keeps the order of its members, and leaves as they
// were written.
type node struct {
	name string // of a member
	kind byte   // '{', '[' or 0
	raw  string // of a leaf
	kids []*node
}

func newNode(name string, v gjson.Result) *node {
	n := &node{name: name}
	switch {
	case v.IsObject():
		n.kind = '{'
		v.ForEach(func(k, v gjson.Result) bool { n.kids = append(n.kids, newNode(k.Str, v)); return true })
	case v.IsArray():
		n.kind = '['
		for _, v := range v.Array() {
			n.kids = append(n.kids, newNode("", v))
		}
	default:
		n.raw = v.Raw
	}
	return n
}

func (n *node) append(b []byte) []byte {
	if n.kind == 0 {
		return append(b, n.raw...)
	}
	b = append(b, n.kind)
	for i, k := range n.kids {
		if i > 0 {
			b = append(b, ',')
		}
		if n.kind == '{' {
			name, _ := json.Marshal(k.name)
			b = append(append(b, name...), ':')
		}
		b = k.append(b)
	}
	return append(b, n.kind+2) // } and ]
}

// A place is a member or an element.
type place struct {
	in   *node
	i    int
	path string // with # for every index
}

func (n *node) places(path string) []place {
	var out []place
	for i, k := range n.kids {
		at := strings.TrimPrefix(path+"."+k.name, ".")
		if n.kind == '[' {
			at = path + ".#"
		}
		if strings.HasSuffix(path, "top_logprobs.#") {
			at = path + ".*" // its members are tokens
		}
		out = append(append(out, place{n, i, at}), k.places(at)...)
	}
	return out
}

func (n *node) remove(i int) { n.kids = slices.Delete(n.kids, i, i+1) }

func (n *node) insert(i int, k *node) { n.kids = slices.Insert(n.kids, i, k) }

// retyped is a value of another type in place of n.
func (n *node) retyped(r *rand.Rand) *node {
	plain := string(n.append(nil))
	var others []string
	switch {
	case n.kind != 0:
		quoted, _ := json.Marshal(plain)
		others = []string{string(quoted), "null", "[" + plain + "]"}
		if n.kind == '[' {
			others[2] = `{"0":` + plain + "}"
		}
	case strings.HasPrefix(plain, `"`):
		others = []string{"null", "[" + plain + "]", "0", `{"value":` + plain + "}"}
	case plain == "null":
		others = []string{`""`, "0", "false", "[]", "{}"}
	case plain == "true" || plain == "false":
		others = []string{`"` + plain + `"`, "1", "null"}
	default:
		others = []string{`"` + plain + `"`, "null", "[" + plain + "]", "true"}
	}
	return &node{name: n.name, raw: others[r.IntN(len(others))]}
}

// truncate ends a text, a number, an array or an object before its end.
func (n *node) truncate(r *rand.Rand) bool {
	switch {
	case n.kind != 0:
		if len(n.kids) == 0 {
			return false
		}
		n.kids = n.kids[:r.IntN(len(n.kids))]
	case strings.HasPrefix(n.raw, `"`):
		text := []rune(gjson.Parse(n.raw).Str)
		if len(text) == 0 {
			return false
		}
		b, _ := json.Marshal(string(text[:r.IntN(len(text))]))
		n.raw = string(b)
	default:
		digits := strings.TrimLeft(n.raw, "-")
		if !gjson.Valid(n.raw) || len(digits) < 2 || digits[0] > '9' {
			return false
		}
		cut := strings.TrimRight(n.raw[:len(n.raw)-len(digits)+1+r.IntN(len(digits)-1)], ".eE+-")
		if !gjson.Valid(cut) {
			return false
		}
		n.raw = cut
	}
	return true
}

// corrupted is an exchange with another body, as if the target had sent it: the
// promised length is that of the body, and what arrived when is kept.
func corrupted(x *exchange.Exchange, body []byte) *exchange.Exchange {
	out, response := *x, *x.Response
	response.Body = body
	response.Reads = slices.Clone(response.Reads)
	grown := len(body) - len(x.Response.Body)
	same := 0
	for same < len(body) && same < len(x.Response.Body) && body[same] == x.Response.Body[same] {
		same++
	}
	for i, r := range response.Reads {
		if r.End > same {
			response.Reads[i].End = min(len(body), max(same, r.End+grown))
		}
	}
	if n := len(response.Reads); n > 0 {
		response.Reads[n-1].End = len(body)
	}
	if old := response.Header.Get("Content-Length"); old != "" {
		response.Header = response.Header.Clone()
		response.Header.Set("Content-Length", strconv.Itoa(len(body)))
		response.Head = bytes.Replace(response.Head, []byte("Content-Length: "+old), []byte("Content-Length: "+strconv.Itoa(len(body))), 1)
	}
	out.Response = &response
	return &out
}

// meaning is what a client makes of an answer: two bodies with the same meaning
// differ in nothing that it could tell. Members have no order; of a stream
// count, for each choice, the text as a whole and what else its chunks say, each
// time that it changes, and what stands outside choices.
func meaning(x *reply) string {
	if x.stream == nil {
		if !x.doc.Exists() {
			return "bytes " + string(x.Response.Body)
		}
		doc := newNode("", gjson.Parse(canonical(x.doc.Raw)))
		for _, k := range doc.kids { // which name an answer has says nothing of it, as long as it has one
			if k.name == "id" && len(k.raw) > len(`""`) && k.raw[0] == '"' {
				k.raw = `"…"`
			}
		}
		return string(doc.append(nil))
	}
	type assembled struct {
		text string
		rest []string
	}
	choices := map[int64]*assembled{}
	var outside []string
	for _, e := range x.events {
		raw := e.Payload()
		doc := parse([]byte(raw))
		choice := doc.Get("choices.0")
		if !choice.IsObject() || len(doc.Get("choices").Array()) != 1 || len(e.Unknown) > 0 || e.HasName {
			if doc.Exists() {
				raw = canonical(raw)
			}
			outside = append(outside, fmt.Sprint(e.Name, e.Unknown, e.HasData(), raw, len(choices)))
			continue
		}
		i := choice.Get("index").Int()
		a := choices[i]
		if a == nil {
			a = &assembled{}
			choices[i] = a
		}
		rest := newNode("", gjson.Parse(canonical(raw))) // of a member that is there twice the last counts
		blank(rest, &a.text)
		if s := canonical(string(rest.append(nil))); len(a.rest) == 0 || a.rest[len(a.rest)-1] != s {
			a.rest = append(a.rest, s)
		}
	}
	if t := x.stream.Trailing; len(t) > 0 {
		outside = append(outside, "unended "+string(t))
	}
	var b strings.Builder
	for i := range int64(64) {
		if a := choices[i]; a != nil {
			fmt.Fprintf(&b, "%d %q %q\n", i, a.text, a.rest)
		}
	}
	fmt.Fprintf(&b, "%d %q", len(choices), outside)
	return b.String()
}

// blank takes the text out of the choice of a chunk, and logprobs where it is
// null, which is as good as absent (LOG-001).
func blank(n *node, text *string) {
	n.kids = slices.DeleteFunc(n.kids, func(k *node) bool { return n.kind == '{' && k.name == "logprobs" && k.raw == "null" })
	for _, k := range n.kids {
		if n.kind == '{' && (k.name == "content" || k.name == "text") && strings.HasPrefix(k.raw, `"`) {
			*text += gjson.Parse(k.raw).Str
			k.raw = `""`
		}
		blank(k, text)
	}
}

// canonical is JSON with its members in order and numbers as they are.
func canonical(raw string) string {
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return raw
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// spoilable is whether an answer has a body that is a document or a stream, and
// was read to its end: where a stream ends that the harness left says nothing.
func spoilable(x *reply) bool {
	return x.probe != "disconnect" && x.Response != nil && len(x.Response.Body) > 0 && (x.stream != nil || x.doc.IsObject()) && !x.packed && x.Response.Status != http.StatusNoContent
}
