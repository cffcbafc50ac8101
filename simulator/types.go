package simulator

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// types is the stage 'type': every member is a parameter of the route and has
// the type that the table gives it; nothing is converted (conflict C05). What
// is unknown is refused, never ignored (clauses REQ-065, REQ-071).
func types(c *call) *refusal {
	c.values = values{route: c.route, list: c.room.values[:0]}
	var at [mostRows]int // of each parameter in the document, from 1
	for i := range c.document {
		row := c.route.row(c.document[i].name)
		if row < 0 {
			return unknown(c.route, c.document[i].name)
		}
		at[row] = i + 1
	}
	for i := range c.route.parameters {
		p := &c.route.parameters[i]
		var v gjson.Result
		if at[i] > 0 {
			v = c.document[at[i]-1].value
		}
		if v.Type == gjson.Null {
			if p.required {
				return missing(*p, at[i] > 0)
			}
			continue
		}
		x, bad := typed(p, v)
		if bad != nil {
			return bad
		}
		c.values.list = append(c.values.list, value{p.name, x, v.Raw, true, p})
	}
	return nil
}

func missing(p parameter, sent bool) *refusal {
	if sent {
		return invalid(codeType, p.name, "%s must be %s, got null.", p.name, p.kind)
	}
	return invalid(codeMissing, p.name, "%s is required; send %s.", p.name, p.kind)
}

func unknown(r *route, name string) *refusal {
	names := make([]string, len(r.parameters))
	for i, p := range r.parameters {
		names[i] = p.name
	}
	sort.Strings(names)
	return invalid(codeUnknown, clip(name), "%s is not a parameter of %s; remove it. The parameters are %s.",
		clip(name), r.name, strings.Join(names, ", "))
}

// typed returns the value of p, of the Go type that values documents.
func typed(p *parameter, v gjson.Result) (any, *refusal) {
	wrong := func() *refusal {
		return invalid(codeType, p.name, "%s must be %s, got %s.", p.name, p.kind, shown(v))
	}
	switch p.kind {
	case text:
		if v.Type != gjson.String {
			return nil, wrong()
		}
		return v.Str, nil
	case flag:
		if v.Type != gjson.True && v.Type != gjson.False {
			return nil, wrong()
		}
		return v.Type == gjson.True, nil
	case integer:
		n, err := exactInt(v)
		if err != nil {
			return nil, wrong()
		}
		return n, nil
	case number:
		if v.Type != gjson.Number {
			return nil, wrong()
		}
		x, err := strconv.ParseFloat(v.Raw, 64)
		if err != nil || math.IsInf(x, 0) {
			return nil, wrong()
		}
		return x, nil
	case texts:
		return typedTexts(p, v, wrong)
	case prompts:
		return typedPrompts(p, v, wrong)
	case integers:
		return typedIntegers(p, v, wrong)
	case messages:
		return typedMessages(p, v, wrong)
	case conversation:
		return typedConversation(p, v, wrong)
	case inputs:
		return typedInputs(p, v, wrong)
	case bias:
		return typedBias(p, v, wrong)
	case stopping:
		switch {
		case v.Type == gjson.True || v.Type == gjson.False:
			return v.Type == gjson.True, nil
		case v.Type == gjson.String && v.Str == "never":
			return v.Str, nil
		}
		return nil, wrong()
	case tools:
		return typedTools(p, v, wrong)
	case toolChoice:
		return typedToolChoice(p, v, wrong)
	case responseFormat:
		return typedFormat(p, v, wrong)
	case options:
		return typedOptions(p, v, wrong)
	}
	panic("simulator: parameter " + p.name + " has no kind")
}

func typedTexts(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if v.Type == gjson.String {
		return []string{v.Str}, nil
	}
	if !v.IsArray() {
		return nil, wrong()
	}
	items := v.Array()
	if len(items) > p.most {
		return nil, invalid(codeRange, p.name, "%s can hold at most %d strings, got %d.", p.name, p.most, len(items))
	}
	list := make([]string, len(items))
	for i, item := range items {
		if item.Type != gjson.String {
			return nil, wrong()
		}
		list[i] = item.Str
	}
	return list, nil
}

func typedIntegers(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if !v.IsArray() {
		return nil, wrong()
	}
	items := v.Array()
	if len(items) > p.most {
		return nil, invalid(codeRange, p.name, "%s can hold at most %d ids, got %d.", p.name, p.most, len(items))
	}
	list := make([]int64, len(items))
	for i, item := range items {
		n, err := exactInt(item)
		if err != nil {
			return nil, wrong()
		}
		list[i] = n
	}
	return list, nil
}

// typedMessages reads a conversation (clauses CHT-001 to CHT-014). The document
// types messages as a string, but shows an array of objects (conflict C14).
func typedMessages(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if !v.IsArray() {
		return nil, wrong()
	}
	items := v.Array()
	if len(items) == 0 {
		return nil, invalid(codeRange, p.name, "%s is empty; send at least one message.", p.name)
	}
	list := make([]engine.Message, len(items))
	for i, item := range items {
		where := fmt.Sprintf("%s[%d]", p.name, i)
		if !item.IsObject() {
			return nil, invalid(codeType, where, "%s must be an object with role and content, got %s.", where, shown(item))
		}
		m, bad := typedMessage(where, item)
		if bad != nil {
			return nil, bad
		}
		list[i] = m
	}
	return list, nil
}

func typedMessage(where string, item gjson.Result) (engine.Message, *refusal) {
	d, bad := members(where+".", item)
	if bad != nil {
		return engine.Message{}, bad
	}
	for _, m := range d {
		if m.name != "role" && m.name != "content" && m.value.Type != gjson.Null {
			path := where + "." + clip(m.name)
			return engine.Message{}, invalid(codeUnknown, path, "%s is not a member of a message; remove it. The members are role, content.", path)
		}
	}
	role, _ := d.get("role")
	switch role.Str {
	case "system", "user", "assistant":
	default:
		return engine.Message{}, invalid(codeType, where+".role", "%s.role must be \"system\", \"user\" or \"assistant\", got %s.", where, shown(role))
	}
	content, _ := d.get("content")
	if content.Type != gjson.String {
		return engine.Message{}, invalid(codeType, where+".content", "%s.content must be a string, got %s.", where, shown(content))
	}
	return engine.Message{Role: role.Str, Content: content.Str}, nil
}

// typedBias reads what is added to the logits of tokens (REQ-079).
func typedBias(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if !v.IsObject() {
		return nil, wrong()
	}
	d, bad := members(p.name+".", v)
	if bad != nil {
		return nil, bad
	}
	if len(d) > p.most {
		return nil, invalid(codeRange, p.name, "%s can hold at most %d tokens, got %d.", p.name, p.most, len(d))
	}
	biases := make(map[int]float64, len(d))
	for _, m := range d {
		path := p.name + "." + clip(m.name)
		id, err := strconv.Atoi(m.name)
		if err != nil || id < 0 || id > mostTokenID || strconv.Itoa(id) != m.name {
			return nil, invalid(codeType, path, "%s: the names in %s must be token ids.", path, p.name)
		}
		if m.value.Type != gjson.Number {
			return nil, invalid(codeType, path, "%s must be a number, got %s.", path, shown(m.value))
		}
		x := m.value.Num
		if !(x >= -100 && x <= 100) {
			return nil, invalid(codeRange, path, "%s must be in [-100, 100], got %s.", path, clip(m.value.Raw))
		}
		biases[id] = x
	}
	return biases, nil
}

func typedOptions(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if !v.IsObject() {
		return nil, wrong()
	}
	d, bad := members(p.name+".", v)
	if bad != nil {
		return nil, bad
	}
	usage := false
	for _, m := range d {
		path := p.name + "." + clip(m.name)
		switch {
		case m.name != "include_usage":
			return nil, invalid(codeUnknown, path, "%s is not supported; remove it.", path)
		case m.value.Type != gjson.True && m.value.Type != gjson.False && m.value.Type != gjson.Null:
			return nil, invalid(codeType, path, "%s must be true or false, got %s.", path, shown(m.value))
		}
		usage = m.value.Type == gjson.True
	}
	return usage, nil
}

// shown is v as a message quotes it: scalars as they were written.
func shown(v gjson.Result) string {
	if !v.Exists() {
		return "nothing"
	}
	if v.Type == gjson.JSON {
		return nameOf(v)
	}
	return clip(v.Raw)
}

// exactInt returns a JSON number whose value is an integer of 64 bits: 16, 16.0
// and 1.6e1, but not 16.5 (clauses REQ-041, REQ-042, REQ-045). It works on the
// digits, so that nothing is rounded.
func exactInt(v gjson.Result) (int64, error) {
	if v.Type != gjson.Number {
		return 0, strconv.ErrSyntax
	}
	if n, err := strconv.ParseInt(v.Raw, 10, 64); err == nil {
		return n, nil
	}
	mantissa, power, _ := strings.Cut(strings.ToLower(v.Raw), "e")
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return 0, err
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	exponent += len(whole+fraction) - len(digits) - len(fraction)
	if strings.Trim(digits, "-0") == "" {
		return 0, nil
	}
	if exponent < 0 {
		return 0, strconv.ErrSyntax
	}
	if exponent > 18 {
		return 0, strconv.ErrRange
	}
	return strconv.ParseInt(digits+strings.Repeat("0", exponent), 10, 64)
}
