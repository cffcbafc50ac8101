package simulator

import (
	"strings"

	"github.com/touchstone-llm/touchstone/engine"
)

// A callReader finds calls of tools in what the model says. Calls are written in
// the format of Llama 3.1, which the chat templates ask for:
//
//	{"name": "add", "parameters": {"a": 1, "b": 2}}
//
// What is no call of a tool that was offered is text. Nothing is said before it
// is decided which of the two it is; arguments are passed on as they come.
type callReader struct {
	tools []engine.Tool
	one   bool // at most one call; what follows it is left out
	newID func(prefix string) string

	state   callState
	pending string         // not decided yet, or not yet to be said
	tokens  []engine.Token // of pending
	depth   int            // of the arguments
	quoted  bool           // in a string of the arguments
	escaped bool
	calls   int
}

type callState int

const (
	undecided callState = iota
	inText
	inArguments
	behindArguments
)

// A said is a piece of an answer: some text, or a piece of a call.
type said struct {
	text   string
	tokens []engine.Token // of text

	call      int    // the index of the call, if id or arguments are set
	id, name  string // with the first piece of a call
	arguments string
}

func (s said) isCall() bool { return s.id != "" || s.arguments != "" }

// read takes what the model says next; last is its end.
func (r *callReader) read(text string, tokens []engine.Token, last bool) (list []said) {
	r.pending += text
	r.tokens = append(r.tokens, tokens...)
	for {
		switch r.state {
		case inText:
			list = r.sayPending(list)
			return list
		case undecided:
			if r.calls > 0 { // between calls
				r.pending = strings.TrimLeft(r.pending, " \t\r\n;,")
				if r.one || last && r.pending == "" {
					r.pending = ""
					return list
				}
			}
			name, end, possible := callStart(r.pending, r.tools)
			switch {
			case name != "":
				list = append(list, said{call: r.calls, id: r.newID("call_"), name: name})
				r.calls++
				r.pending, r.tokens = r.pending[end:], nil
				r.state, r.depth = inArguments, 0
				continue
			case !possible || last:
				r.state = inText
				continue
			}
			return list
		case inArguments:
			end, over := r.scan(r.pending)
			if end > 0 {
				list = append(list, said{call: r.calls - 1, arguments: r.pending[:end]})
			}
			r.pending, r.tokens = r.pending[end:], nil
			if !over {
				return list
			}
			r.state = behindArguments
		case behindArguments: // the brace that closes the call
			at := strings.IndexByte(r.pending, '}')
			if at < 0 {
				return list
			}
			r.pending = r.pending[at+1:]
			r.state = undecided
		}
	}
}

func (r *callReader) sayPending(list []said) []said {
	if r.pending != "" || len(r.tokens) > 0 {
		list = append(list, said{text: r.pending, tokens: r.tokens})
		r.pending, r.tokens = "", nil
	}
	return list
}

// scan finds the end of the arguments, an object.
func (r *callReader) scan(s string) (end int, over bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case r.escaped:
			r.escaped = false
		case r.quoted:
			r.escaped = c == '\\'
			r.quoted = c != '"'
		case c == '"':
			r.quoted = true
		case c == '{' || c == '[':
			r.depth++
		case c == '}' || c == ']':
			if r.depth--; r.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(s), false
}

// callStart says whether text begins with a call up to its arguments, which
// begin at end, or else whether it may yet become one. White space is free.
func callStart(text string, tools []engine.Tool) (name string, end int, possible bool) {
	compact, places := make([]byte, 0, 64), make([]int, 0, 64)
	quoted := false
	for i := 0; i < len(text) && len(compact) < 128; i++ {
		if c := text[i]; quoted || !strings.ContainsRune(" \t\r\n", rune(c)) {
			quoted = quoted != (c == '"')
			compact, places = append(compact, c), append(places, i)
		}
	}
	for _, t := range tools {
		for _, key := range []string{"parameters", "arguments"} {
			start := `{"name":"` + t.Name + `","` + key + `":{`
			if strings.HasPrefix(string(compact), start) {
				return t.Name, places[len(start)-1], true
			}
			possible = possible || strings.HasPrefix(start, string(compact))
		}
	}
	return "", 0, possible
}

// readers are one for each choice where the model may call tools, else nil.
func (c *call) readers() []*callReader {
	tools := c.values.offered()
	if len(tools) == 0 {
		return nil
	}
	parallel, given := c.values.of("parallel_tool_calls").(bool)
	readers := make([]*callReader, c.choices())
	for i := range readers {
		readers[i] = &callReader{tools: tools, one: given && !parallel, newID: c.server.newID}
	}
	return readers
}

// finished is the finish_reason of a choice that r has read (FIN-013).
func (r *callReader) finished(reason engine.FinishReason) engine.FinishReason {
	if r != nil && r.calls > 0 && reason == engine.FinishStop {
		return "tool_calls"
	}
	return reason
}

// appendMessage appends the content of a choice, and its calls (TOO-009). The
// content is null where there is nothing but calls.
func appendMessage(b []byte, pieces []said) []byte {
	var text strings.Builder
	type gathered struct{ id, name, arguments string }
	var calls []gathered
	for _, p := range pieces {
		switch {
		case p.id != "":
			calls = append(calls, gathered{p.id, p.name, ""})
		case p.isCall():
			calls[p.call].arguments += p.arguments
		default:
			text.WriteString(p.text)
		}
	}
	if calls == nil {
		return appendString(b, text.String())
	}
	b = appendStringOrNull(b, text.String())
	b = append(b, `,"tool_calls":[`...)
	for i, call := range calls {
		b = append(comma(b, i), `{"id":`...)
		b = appendString(b, call.id)
		b = append(b, `,"type":"function","function":{"name":`...)
		b = appendString(b, call.name)
		b = append(b, `,"arguments":`...)
		b = appendString(b, call.arguments)
		b = append(b, `}}`...)
	}
	return append(b, ']')
}

// appendCallDelta appends a piece of a call as a delta (TOO-013).
func appendCallDelta(b []byte, p said) []byte {
	b = append(b, `"delta":{"tool_calls":[{"index":`...)
	b = appendInt(b, p.call)
	if p.id != "" {
		b = append(b, `,"id":`...)
		b = appendString(b, p.id)
		b = append(b, `,"type":"function","function":{"name":`...)
		b = appendString(b, p.name)
		b = append(b, `,"arguments":""}}]}`...)
		return b
	}
	b = append(b, `,"function":{"arguments":`...)
	b = appendString(b, p.arguments)
	return append(b, `}}]}`...)
}
