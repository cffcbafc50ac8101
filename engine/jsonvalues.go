package engine

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// one returns the values of a schema without combinations.
func (j *jsonGrammar) one(s jsonSchema) (expr, error) {
	if s.fixed {
		return j.fixed(s)
	}
	types := s.types
	if types == nil {
		types = s.implied()
	}
	var all choice
	for _, t := range types {
		e, err := j.ofType(s, t)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// implied returns the types that a schema that names none is about. Values of
// others are valid too, but not what is meant.
func (s jsonSchema) implied() []string {
	switch {
	case s.properties != nil || s.required != nil || s.additional != nil:
		return []string{"object"}
	case s.items != nil || s.prefix != nil || s.minItems > 0 || s.maxItems >= 0:
		return []string{"array"}
	case s.pattern != nil || s.minLength > 0 || s.maxLength >= 0 || s.format != "":
		return []string{"string"}
	case s.least != nil || s.most != nil:
		return []string{"number"}
	}
	return []string{"object", "array", "string", "number", "boolean", "null"}
}

// fixed returns the values of an enum that the types allow.
func (j *jsonGrammar) fixed(s jsonSchema) (expr, error) {
	if s.properties != nil || s.required != nil || s.additional != nil || s.items != nil || s.prefix != nil || s.pattern != nil ||
		s.minItems > 0 || s.maxItems >= 0 || s.minLength > 0 || s.maxLength >= 0 || s.least != nil || s.most != nil {
		return nil, fmt.Errorf("%s: enum or const beside keywords other than type is not supported", s.path)
	}
	var all choice
	for _, raw := range s.enum {
		v := gjson.Parse(raw)
		t := map[gjson.Type]string{gjson.Null: "null", gjson.True: "boolean", gjson.False: "boolean", gjson.Number: "number", gjson.String: "string"}[v.Type]
		if v.IsObject() {
			t = "object"
		} else if v.IsArray() {
			t = "array"
		}
		if s.types == nil || slices.Contains(s.types, t) ||
			t == "number" && v.Num == math.Trunc(v.Num) && slices.Contains(s.types, "integer") {
			all = append(all, literal(raw))
		}
	}
	return all, nil
}

func (j *jsonGrammar) ofType(s jsonSchema, t string) (expr, error) {
	switch t {
	case "object":
		return j.object(s)
	case "array":
		return j.array(s)
	case "string":
		return j.text(s)
	case "number", "integer":
		return number(s, t == "integer")
	case "boolean":
		return choice{literal("true"), literal("false")}, nil
	}
	return literal("null"), nil
}

// What stands after a comma or a colon.
var jsonSpace = repeat{literal(" "), 0, 1}

// object chains the properties in their order: from each place that has a
// property before it, and from each that has none, which needs no comma.
func (j *jsonGrammar) object(s jsonSchema) (expr, error) {
	properties := slices.Clone(s.properties)
	further := gjson.Result{Type: gjson.True, Raw: "true"}
	if s.additional != nil {
		further = *s.additional
	}
	for _, name := range s.required {
		if !slices.ContainsFunc(properties, func(p jsonProperty) bool { return p.name == name }) {
			properties = append(properties, jsonProperty{name, further, s.path + "/additionalProperties"})
		}
	}
	if len(properties) == 0 && s.additional == nil {
		return j.anyObject(), nil
	}
	var names []string
	out := j.declare()
	first, later := j.grammar.rules[out].start, int32(-1)
	first = j.add(first, literal("{"))
	for _, p := range properties {
		names = append(names, p.name)
		e, err := j.value(p.schema, p.path)
		if err != nil {
			return nil, err
		}
		member := j.declare()
		j.define(member, sequence{literal(quote(p.name) + ":"), jsonSpace, e})
		after := j.node()
		if first >= 0 {
			j.edge(j.add(first, member), grammarEdge{kind: byNothing, to: after})
		}
		if later >= 0 {
			j.edge(j.add(later, sequence{literal(","), jsonSpace, member}), grammarEdge{kind: byNothing, to: after})
		}
		if slices.Contains(s.required, p.name) {
			first = -1
		} else if later >= 0 {
			j.edge(later, grammarEdge{kind: byNothing, to: after})
		}
		later = after
	}
	if s.additional != nil && further.Type != gjson.False {
		e, err := j.value(further, s.path+"/additionalProperties")
		if err != nil {
			return nil, err
		}
		member := j.declare()
		j.define(member, sequence{otherName(names), literal(":"), jsonSpace, e})
		after := j.node()
		if first >= 0 {
			j.edge(j.add(first, member), grammarEdge{kind: byNothing, to: after})
		}
		if later >= 0 {
			j.edge(later, grammarEdge{kind: byNothing, to: after})
		}
		j.edge(j.add(after, sequence{literal(","), jsonSpace, member}), grammarEdge{kind: byNothing, to: after})
		later = after
	}
	for _, from := range []int32{first, later} {
		if from >= 0 {
			j.edge(j.add(from, literal("}")), grammarEdge{kind: byNothing, to: j.grammar.rules[out].end})
		}
	}
	return out, nil
}

// otherName returns a name that is none of names. It has no escapes, so that
// what it spells is what it is.
func otherName(names []string) expr {
	plain := func(except []byte) expr { // a character that begins with none of these bytes
		var all choice
		lo := byte(' ')
		for b := lo; b < utf8.RuneSelf; b++ {
			if b == '"' || b == '\\' || b == 0x7f || slices.Contains(except, b) {
				if lo < b {
					all = append(all, byteRange{lo, b - 1})
				}
				lo = b + 1
			}
		}
		return all
	}
	rest := repeat{plain(nil), 0, 32}
	var spell func(names []string) expr // the rest of a name, of which all that begins alike is given
	spell = func(names []string) expr {
		var heads []byte
		whole := false
		for _, n := range names {
			if n == "" {
				whole = true
			} else if !slices.Contains(heads, n[0]) {
				heads = append(heads, n[0])
			}
		}
		all := choice{sequence{plain(heads), rest}}
		if !whole {
			all = append(all, sequence{})
		}
		for _, h := range heads {
			if h < ' ' || h == '"' || h == '\\' || h >= 0x7f {
				continue // such a name is never spelled here
			}
			var tails []string
			for _, n := range names {
				if n != "" && n[0] == h {
					tails = append(tails, n[1:])
				}
			}
			all = append(all, sequence{byteRange{h, h}, spell(tails)})
		}
		return all
	}
	return sequence{literal(`"`), spell(names), literal(`"`)}
}

func (j *jsonGrammar) array(s jsonSchema) (expr, error) {
	var item expr = j.anyValue()
	if s.items != nil {
		e, err := j.value(*s.items, s.path+"/items")
		if err != nil {
			return nil, err
		}
		r := j.declare()
		j.define(r, e)
		item = r
	}
	comma := sequence{literal(","), jsonSpace}
	var all choice // by how many items of the prefix there are
	var front sequence
	for i, p := range s.prefix {
		if s.maxItems >= 0 && i >= s.maxItems {
			break
		}
		if i >= s.minItems {
			all = append(all, slices.Clone(front))
		}
		e, err := j.value(p, fmt.Sprintf("%s/prefixItems/%d", s.path, i))
		if err != nil {
			return nil, err
		}
		if i > 0 {
			front = append(front, comma)
		}
		front = append(front, e)
	}
	least, most := max(0, s.minItems-len(s.prefix)), s.maxItems
	if most >= 0 {
		most -= len(s.prefix)
	}
	if s.items != nil && s.items.Type == gjson.False {
		if most = 0; least > 0 {
			return choice{}, nil
		}
	}
	switch {
	case s.maxItems >= 0 && (s.maxItems < s.minItems || most < 0):
		if s.maxItems < s.minItems {
			return choice{}, nil
		}
		all = append(all, front)
	case len(front) > 0:
		all = append(all, append(front, repeat{sequence{comma, item}, least, most}))
	case most == 0:
		all = append(all, sequence{})
	default:
		if least == 0 {
			all = append(all, sequence{})
		}
		more := repeat{sequence{comma, item}, max(0, least-1), -1}
		if most > 0 {
			more.max = most - 1
		}
		all = append(all, sequence{item, more})
	}
	return sequence{literal("["), all, literal("]")}, nil
}

// textFormats are the patterns of the formats that validators check. What they
// match is less than what is valid, such as no leap seconds.
var textFormats = map[string]string{
	"date":      `^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$`,
	"time":      `^([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$`,
	"date-time": `^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$`,
	"uuid":      `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
	"email":     `^[a-z0-9]{1,20}(\.[a-z0-9]{1,10}){0,2}@[a-z0-9]{1,20}\.[a-z]{2,6}$`,
	"ipv4":      `^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$`,
	"hostname":  `^[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){0,3}$`,
	"uri":       `^https://[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){1,3}(/[a-z0-9]{1,20}){0,5}$`,
}

func (j *jsonGrammar) text(s jsonSchema) (expr, error) {
	pattern := s.pattern
	if p, ok := textFormats[s.format]; ok {
		if pattern != nil {
			return nil, fmt.Errorf("%s: pattern beside format is not supported", s.path)
		}
		pattern = &p
	}
	if pattern == nil {
		if s.maxLength >= 0 && s.maxLength < s.minLength {
			return choice{}, nil
		}
		return sequence{literal(`"`), repeat{j.char(), s.minLength, s.maxLength}, literal(`"`)}, nil
	}
	if s.minLength > 0 || s.maxLength >= 0 {
		return nil, fmt.Errorf("%s: minLength or maxLength beside pattern or format is not supported; say it in the pattern", s.path)
	}
	e, err := regex{encode: jsonChar, search: true}.parse(*pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: pattern: %w", s.path, err)
	}
	return sequence{literal(`"`), e, literal(`"`)}, nil
}

// char returns the rule of one character in a string, escapes among them.
func (j *jsonGrammar) char() rule {
	return j.named("char", func(rule) expr {
		hex := choice{byteRange{'0', '9'}, byteRange{'a', 'f'}}
		return choice{
			runeRange(' ', '"'-1), runeRange('"'+1, '\\'-1), runeRange('\\'+1, utf8.MaxRune),
			sequence{literal(`\`), choice{literal(`"`), literal(`\`), literal("/"), literal("b"), literal("f"), literal("n"), literal("r"), literal("t")}},
			sequence{literal(`\u00`), byteRange{'0', '1'}, hex},
		}
	})
}

// jsonChar returns a character from lo to hi as it stands in a JSON string.
func jsonChar(lo, hi rune) expr {
	var all choice
	for r := lo; r <= min(hi, '\\'); r++ {
		if r < ' ' || r == '"' || r == '\\' {
			all = append(all, literal(strings.Trim(quote(string(r)), `"`)))
			if r == '"' {
				all[len(all)-1] = literal(`\"`)
			}
		}
	}
	for _, part := range [][2]rune{{' ', '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, utf8.MaxRune}} {
		if a, b := max(lo, part[0]), min(hi, part[1]); a <= b {
			all = append(all, runeRange(a, b))
		}
	}
	return all
}

// named returns a rule that all schemas share.
func (j *jsonGrammar) named(name string, e func(self rule) expr) rule {
	if r, ok := j.shared[name]; ok {
		return r
	}
	r := j.declare()
	j.shared[name] = r
	j.define(r, e(r))
	return r
}

func (j *jsonGrammar) anyValue() rule {
	return j.named("value", func(value rule) expr {
		comma := sequence{literal(","), jsonSpace}
		str := sequence{literal(`"`), repeat{j.char(), 0, -1}, literal(`"`)}
		member := j.named("member", func(rule) expr { return sequence{str, literal(":"), jsonSpace, value} })
		list := func(open string, e expr, end string) expr {
			return sequence{literal(open), repeat{sequence{e, repeat{sequence{comma, e}, 0, -1}}, 0, 1}, literal(end)}
		}
		return choice{
			j.named("object", func(rule) expr { return list("{", member, "}") }), list("[", value, "]"), str,
			anyNumber(false), literal("true"), literal("false"), literal("null"),
		}
	})
}

func (j *jsonGrammar) anyObject() rule {
	j.anyValue()
	return j.shared["object"]
}

var jsonDigit = byteRange{'0', '9'}

// maxDigits is how many digits a whole number has at most, so that float64
// holds it exactly.
const maxDigits = 15

func anyNumber(integer bool) expr {
	whole := sequence{repeat{literal("-"), 0, 1}, choice{literal("0"), sequence{byteRange{'1', '9'}, repeat{jsonDigit, 0, maxDigits - 1}}}}
	if integer {
		return whole
	}
	exponent := sequence{choice{literal("e"), literal("E")}, repeat{choice{literal("+"), literal("-")}, 0, 1}, jsonDigit, repeat{jsonDigit, 0, 1}}
	return append(whole, repeat{fraction(), 0, 1}, repeat{exponent, 0, 1})
}

func fraction() expr { return sequence{literal("."), repeat{jsonDigit, 1, maxDigits}} }

// number returns the numbers within bounds. With bounds they have no exponent,
// and a fraction only above 0.
func number(s jsonSchema, integer bool) (expr, error) {
	if s.least == nil && s.most == nil {
		return anyNumber(integer), nil
	}
	const end = 999_999_999_999_999
	lo, hi := int64(-end), int64(end)
	if b := s.least; b != nil {
		f := math.Ceil(b.value)
		if b.exclusive && f == b.value {
			f++
		}
		lo = int64(max(min(f, end+1), -end))
	}
	top := hi // the last whole number after which a fraction may stand
	if b := s.most; b != nil {
		f := math.Floor(b.value)
		if b.exclusive && f == b.value {
			f--
		}
		hi = int64(min(max(f, -end-1), end))
		top = int64(min(max(math.Floor(b.value)-1, -end-1), end))
	}
	if lo > hi {
		if !integer && s.least != nil && s.most != nil && s.least.value < s.most.value {
			return nil, fmt.Errorf("%s: bounds with no whole number between them are not supported", s.path)
		}
		return choice{}, nil
	}
	all := choice{wholeNumbers(lo, hi)}
	// n.f is within the bounds if n is, and n+1 is not beyond: from 0 on, where a
	// fraction goes up. Where the lower bound is exclusive, n is above it already.
	if from, to := max(lo, 0), min(hi, top); !integer && from <= to {
		all = append(all, sequence{wholeNumbers(from, to), fraction()})
	}
	return all, nil
}

// wholeNumbers returns the whole numbers from lo to hi, without leading zeros.
func wholeNumbers(lo, hi int64) expr {
	if lo > hi {
		return choice{}
	}
	if lo < 0 {
		return choice{sequence{literal("-"), wholeNumbers(max(1, -hi), -lo)}, wholeNumbers(0, hi)}
	}
	var all choice
	for length, first := 1, int64(1); length <= maxDigits; length, first = length+1, first*10 {
		a, b := max(lo, first), min(hi, first*10-1)
		if length == 1 {
			a = lo
		}
		if a <= b {
			all = append(all, digitsBetween(strconv.FormatInt(a, 10), strconv.FormatInt(b, 10)))
		}
	}
	return all
}

// digitsBetween returns the strings of digits from lo to hi, of the same length.
func digitsBetween(lo, hi string) expr {
	if strings.Trim(lo, "0") == "" && strings.Trim(hi, "9") == "" {
		return repeat{jsonDigit, len(lo), len(lo)}
	}
	rest := len(lo) - 1
	if lo[0] == hi[0] {
		return sequence{byteRange{lo[0], lo[0]}, digitsBetween(lo[1:], hi[1:])}
	}
	all := choice{
		sequence{byteRange{lo[0], lo[0]}, digitsBetween(lo[1:], strings.Repeat("9", rest))},
		sequence{byteRange{hi[0], hi[0]}, digitsBetween(strings.Repeat("0", rest), hi[1:])},
	}
	if lo[0]+1 < hi[0] {
		all = append(all, sequence{byteRange{lo[0] + 1, hi[0] - 1}, repeat{jsonDigit, rest, rest}})
	}
	return all
}
