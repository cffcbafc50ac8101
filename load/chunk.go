package load

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A chunk is what one event of a stream says, or the whole of a response that
// is not streamed. It is read by a walker of our own because nothing is
// allocated by it; what it does not know it passes over.
type chunk struct {
	text, reasoning, tool bool // a delta of that kind is not empty
	finish                bool // a finish_reason is set
	usage                 bool // there is a usage object
	failed                bool // there is an error member
	choices               int
	// finishReason, errorText and words alias the event.
	finishReason, errorText []byte
	prompt, output          int // of usage
	cached, thought         int // of its details
	// words are the values of text deltas, still escaped for JSON, if keep.
	keep  bool
	words [][]byte
}

// generated is whether the event brings something generated.
func (c *chunk) generated() bool { return c.text || c.reasoning || c.tool }

// readChunk reads one JSON document; false: it is none.
func readChunk(b []byte, c *chunk) bool {
	*c = chunk{keep: c.keep, words: c.words[:0]}
	w := walker{b: b}
	if !w.open('{') {
		return false
	}
	for w.key() {
		switch string(w.name) {
		case "choices":
			if !w.open('[') {
				w.skip()
				continue
			}
			for w.item(']') {
				c.choices++
				w.choice(c)
			}
		case "usage":
			if !w.open('{') {
				w.skip()
				continue
			}
			c.usage = true
			for w.key() {
				switch string(w.name) {
				case "prompt_tokens":
					c.prompt = w.integer()
				case "completion_tokens":
					c.output = w.integer()
				case "prompt_tokens_details":
					w.detail("cached_tokens", &c.cached)
				case "completion_tokens_details":
					w.detail("reasoning_tokens", &c.thought)
				default:
					w.skip()
				}
			}
		case "error":
			w.fault(c)
		default:
			w.skip()
		}
	}
	w.space()
	return !w.bad && w.i == len(w.b)
}

// choice reads one element of choices.
func (w *walker) choice(c *chunk) {
	if !w.open('{') {
		w.skip()
		return
	}
	for w.key() {
		switch string(w.name) {
		case "text":
			w.delta(c, &c.text)
		case "finish_reason":
			if s, ok := w.text(); ok {
				c.finish, c.finishReason = true, s
			}
		case "delta", "message":
			if !w.open('{') {
				w.skip()
				continue
			}
			for w.key() {
				switch string(w.name) {
				case "content", "refusal":
					w.delta(c, &c.text)
				case "reasoning_content", "reasoning":
					w.delta(nil, &c.reasoning)
				case "function_call":
					w.arguments(c)
				case "tool_calls":
					if !w.open('[') {
						w.skip()
						continue
					}
					for w.item(']') {
						if !w.open('{') {
							w.skip()
							continue
						}
						for w.key() {
							if string(w.name) == "function" {
								w.arguments(c)
							} else {
								w.skip()
							}
						}
					}
				default:
					w.skip()
				}
			}
		default:
			w.skip()
		}
	}
}

// delta reads a value that generates something if it is a string with content.
func (w *walker) delta(c *chunk, is *bool) {
	if s, ok := w.text(); ok && len(s) > 0 {
		*is = true
		if c != nil && c.keep {
			c.words = append(c.words, s)
		}
	}
}

func (w *walker) arguments(c *chunk) {
	if !w.open('{') {
		w.skip()
		return
	}
	for w.key() {
		if string(w.name) == "arguments" {
			w.delta(nil, &c.tool)
		} else {
			w.skip()
		}
	}
}

func (w *walker) detail(name string, to *int) {
	if !w.open('{') {
		w.skip()
		return
	}
	for w.key() {
		if string(w.name) == name {
			*to = w.integer()
		} else {
			w.skip()
		}
	}
}

// fault reads the error member: an object with a message, or a string; null
// and false say that there is none.
func (w *walker) fault(c *chunk) {
	w.space()
	start := w.i
	if w.i < len(w.b) && w.b[w.i] == '{' {
		c.failed = true
		w.i++
		for w.key() {
			if s, ok := w.text(); ok && string(w.name) == "message" {
				c.errorText = s
			}
		}
		if c.errorText == nil {
			c.errorText = w.b[start:w.i]
		}
		return
	}
	if s, ok := w.text(); ok {
		c.failed, c.errorText = true, s
		return
	}
	if v := w.b[start:w.i]; string(v) != "null" && string(v) != "false" {
		c.failed, c.errorText = true, v
	}
}

// A walker goes once through a JSON document. It is lenient about commas and
// literals, since it counts and does not judge.
type walker struct {
	b    []byte
	i    int
	name []byte // the member that key has found
	bad  bool
}

func (w *walker) space() {
	for w.i < len(w.b) && (w.b[w.i] == ' ' || w.b[w.i] == '\n' || w.b[w.i] == '\r' || w.b[w.i] == '\t') {
		w.i++
	}
}

// open goes into an object or array, if one is next.
func (w *walker) open(c byte) bool {
	w.space()
	if w.i < len(w.b) && w.b[w.i] == c {
		w.i++
		return true
	}
	return false
}

// item goes to the next element or member; false: end has been passed.
func (w *walker) item(end byte) bool {
	if w.bad {
		return false
	}
	w.space()
	if w.i < len(w.b) && w.b[w.i] == ',' {
		w.i++
		w.space()
	}
	if w.i >= len(w.b) {
		w.bad = true
		return false
	}
	if w.b[w.i] == end {
		w.i++
		return false
	}
	return true
}

// key goes to the value of the next member and sets name.
func (w *walker) key() bool {
	if !w.item('}') {
		return false
	}
	s, ok := w.str()
	w.space()
	if !ok || w.i >= len(w.b) || w.b[w.i] != ':' {
		w.bad = true
		return false
	}
	w.i++
	w.name = s
	return true
}

// str reads a string, without undoing escapes.
func (w *walker) str() ([]byte, bool) {
	if w.i >= len(w.b) || w.b[w.i] != '"' {
		return nil, false
	}
	start := w.i + 1
	for i := start; ; {
		n := bytes.IndexByte(w.b[i:], '"')
		if n < 0 {
			w.bad, w.i = true, len(w.b)
			return nil, false
		}
		i += n
		k := i
		for k > start && w.b[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			w.i = i + 1
			return w.b[start:i], true
		}
		i++
	}
}

// text reads a string, or passes over any other value.
func (w *walker) text() ([]byte, bool) {
	w.space()
	if s, ok := w.str(); ok {
		return s, true
	}
	w.skip()
	return nil, false
}

// integer reads a number, or passes over any other value and gives 0.
func (w *walker) integer() int {
	w.space()
	start := w.i
	w.skip()
	n := 0
	for _, c := range w.b[start:w.i] {
		if c < '0' || c > '9' || n > 1<<40 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// skip passes over a value.
func (w *walker) skip() {
	w.space()
	depth := 0
	for w.i < len(w.b) {
		switch c := w.b[w.i]; c {
		case '"':
			if _, ok := w.str(); !ok {
				return
			}
		case '{', '[':
			depth++
			w.i++
			continue
		case '}', ']':
			if depth == 0 {
				w.bad = true
				return
			}
			depth--
			w.i++
		case ' ', '\n', '\r', '\t', ',', ':':
			w.i++
			continue
		default:
			start := w.i
			for w.i < len(w.b) && literal(w.b[w.i]) {
				w.i++
			}
			if w.i == start {
				w.bad = true
				return
			}
		}
		if depth == 0 {
			return
		}
	}
	w.bad = true
}

// literal is whether c can be part of a number, true, false or null.
func literal(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// unescape appends the text that a JSON string stands for.
func unescape(to, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			to = append(to, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r := hex4(s[i+1:])
			i += 4
			if utf16.IsSurrogate(r) && i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
				if both := utf16.DecodeRune(r, hex4(s[i+3:])); both != utf8.RuneError {
					r, i = both, i+6
				}
			}
			to = utf8.AppendRune(to, r)
		default:
			to = append(to, s[i])
		}
	}
	return to
}

func hex4(s []byte) rune {
	if len(s) < 4 {
		return utf8.RuneError
	}
	v, err := strconv.ParseUint(string(s[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(v)
}
