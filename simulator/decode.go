package simulator

import (
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// A document is the JSON object of a body: its members in the order sent, with
// their values as they were written, so that no number is rounded.
type document []member

type member struct {
	name  string
	value gjson.Result
}

// get returns the value of name.
func (d document) get(name string) (gjson.Result, bool) {
	for _, m := range d {
		if m.name == name {
			return m.value, true
		}
	}
	return gjson.Result{}, false
}

// mostDepth is how deep values may nest; the parameters need 3.
const mostDepth = 64

// decode is the stage of that name: the body as one JSON object, read strictly
// (clauses REQ-006 to REQ-010, REQ-013, REQ-046, REQ-077).
func decode(c *call) *refusal {
	d, bad := decodeObject(c.room.document[:0], c.body)
	c.document = d
	return bad
}

// decodeObject appends the members to room, which is empty.
func decodeObject(room document, body []byte) (document, *refusal) {
	switch {
	case len(body) == 0:
		return nil, invalid(codeBody, "", "The body is empty; send a JSON object.")
	case !utf8.Valid(body):
		return nil, invalid(codeBody, "", "The body is not UTF-8.")
	}
	switch sound(body) {
	case tooDeep:
		return nil, invalid(codeBody, "", "The body nests deeper than %d levels.", mostDepth)
	case loneSurrogate:
		return nil, invalid(codeBody, "",
			`The body holds half of a surrogate pair (a \u escape in D800 to DFFF); send the whole character.`)
	}
	text := string(body)
	if !gjson.Valid(text) {
		return nil, invalid(codeBody, "", "The body is not valid JSON.")
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return nil, invalid(codeBody, "", "The body is %s; send a JSON object.", nameOf(root))
	}
	return appendMembers(room, "", root)
}

// members returns the members of the object at path, refusing a name that comes
// twice: readers disagree on which of the two counts (clause REQ-010).
func members(path string, object gjson.Result) (document, *refusal) {
	return appendMembers(make(document, 0, 8), path, object)
}

func appendMembers(d document, path string, object gjson.Result) (document, *refusal) {
	var bad *refusal
	object.ForEach(func(key, value gjson.Result) bool {
		if _, twice := d.get(key.Str); twice {
			name := path + clip(key.Str)
			bad = invalid(codeBody, name, "%s is given twice; send it once.", name)
			return false
		}
		d = append(d, member{key.Str, value})
		return true
	})
	return d, bad
}

type soundness int

const (
	isSound soundness = iota
	tooDeep
	loneSurrogate
)

// sound looks for what is better found before a recursive parser runs, or what
// the parser lets pass. It reads any bytes, JSON or not.
func sound(body []byte) soundness {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			r, isUnit := codeUnit(body[i:])
			i++
			if !isUnit {
				continue
			}
			i += 4
			switch {
			case r >= 0xDC00 && r <= 0xDFFF:
				return loneSurrogate
			case r >= 0xD800 && r <= 0xDBFF:
				low, isUnit := codeUnit(body[i+1:])
				if !isUnit || low < 0xDC00 || low > 0xDFFF {
					return loneSurrogate
				}
				i += 6
			}
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > mostDepth {
				return tooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return isSound
}

// codeUnit reads a \uXXXX escape at the start of b.
func codeUnit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return r, err == nil
}

// nameOf names the JSON type of v, for messages.
func nameOf(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	}
	switch v.Type {
	case gjson.String:
		return "a string"
	case gjson.Number:
		return "a number"
	case gjson.True, gjson.False:
		return "a boolean"
	default:
		return "null"
	}
}
