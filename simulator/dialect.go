package simulator

import "math"

// A dialect is an API as a table: routes, their parameters with type, default
// and range, and the shape of their answers.
type dialect struct {
	name   string
	routes []route
}

// A route is an inference route.
type route struct {
	name       string // "completions" or "chat"
	path       string
	parameters []parameter
	shape      shape
}

// parameter returns the row of name.
func (r *route) parameter(name string) (parameter, bool) {
	for _, p := range r.parameters {
		if p.name == name {
			return p, true
		}
	}
	return parameter{}, false
}

// A parameter is a row of the source document's request table.
type parameter struct {
	name string
	kind kind
	// required parameters must be there and not be null; to the others null
	// means absent (clauses REQ-023, DET-004).
	required bool
	// fallback is the value of an absent parameter; nil leaves it absent.
	fallback any
	// bounds hold for the value, or for each element of a list.
	bounds []bound
}

// A kind is the JSON type of a parameter.
type kind string

const (
	text     kind = "a string"
	flag     kind = "true or false"
	integer  kind = "an integer"
	number   kind = "a number"
	texts    kind = "a string or an array of strings"
	integers kind = "an array of integers"
	messages kind = "an array of messages"
	options  kind = `an object with the member "include_usage"`
)

// A bound is a condition on a value; message says it, with %s for the value as
// it was sent. The messages of vLLM are kept, because clients match on them.
type bound struct {
	holds   func(v any) bool
	message string
}

func between(low, high float64, message string) bound {
	return bound{func(v any) bool {
		switch x := v.(type) {
		case int64:
			return float64(x) >= low && float64(x) <= high
		case float64:
			return x >= low && x <= high
		}
		return false
	}, message}
}

var (
	none = math.Inf(-1)
	any_ = math.Inf(1)
)

// Most that one request may ask for. The source document names no limits, but
// an absurd number is refused, not attempted (REQ-058, BST-013, LOG-020).
const (
	mostChoices    = 32
	mostLogprobs   = 20 // vLLM 0.6
	mostStops      = 64
	mostStopTokens = 1024
)

// sampling holds the parameters that both routes of llama-v1 share, with the
// defaults of the source document but two: ignore_eos (conflict C32) is false,
// as in vLLM and in the document's own example, whose answer ends by itself; and
// best_of (C25) is n, since 1 would forbid n above 1.
var sampling = []parameter{
	{name: "stream", kind: flag, fallback: false},
	{name: "max_tokens", kind: integer, fallback: int64(16), bounds: atLeastOneToken("max_tokens")},
	{name: "max_completion_tokens", kind: integer, bounds: atLeastOneToken("max_completion_tokens")}, // REQ-074
	{name: "temperature", kind: number, fallback: 1.0, bounds: []bound{
		between(0, any_, "temperature must be non-negative, got %s."),
		between(none, 2, "temperature must be at most 2, got %s."),
	}},
	{name: "top_p", kind: number, fallback: 1.0, bounds: []bound{
		between(math.SmallestNonzeroFloat64, 1, "top_p must be in (0, 1], got %s."),
	}},
	{name: "n", kind: integer, fallback: int64(1), bounds: []bound{
		between(1, any_, "n must be at least 1, got %s."),
		between(none, mostChoices, "n must be at most 32, got %s."),
	}},
	{name: "best_of", kind: integer, bounds: []bound{
		between(1, any_, "best_of must be at least 1, got %s."),
		between(none, mostChoices, "best_of must be at most 32, got %s."),
	}},
	{name: "stop", kind: texts, fallback: []string(nil), bounds: []bound{
		{func(v any) bool { return v != "" }, "stop cannot contain an empty string."},
	}},
	{name: "stop_token_ids", kind: integers, fallback: []int64(nil), bounds: []bound{
		between(0, math.MaxInt32, "stop_token_ids must be token ids, 0 or above, got %s."),
	}},
	{name: "logprobs", kind: integer, bounds: []bound{
		between(0, any_, "logprobs must be non-negative, got %s."),
		between(none, mostLogprobs, "Cannot request more than 20 logprobs, got %s."),
	}},
	{name: "presence_penalty", kind: number, fallback: 0.0, bounds: []bound{
		between(-2, 2, "presence_penalty must be in [-2, 2], got %s."),
	}},
	{name: "ignore_eos", kind: flag, fallback: false},
	{name: "use_beam_search", kind: flag, fallback: false},
	{name: "skip_special_tokens", kind: flag, fallback: true}, // C31
	{name: "seed", kind: integer},
	{name: "stream_options", kind: options}, // CLI-002
	{name: "model", kind: text},             // tolerated: the URL names the deployment (REQ-019, REQ-020)
	{name: "user", kind: text},              // tolerated: who asks changes nothing (C11)
}

func atLeastOneToken(name string) []bound {
	return []bound{between(1, any_, name+" must be at least 1, got %s.")}
}

// llamaV1 is the API of the source document.
var llamaV1 = dialect{name: "llama-v1", routes: []route{
	{
		name:       "completions",
		path:       "/v1/completions",
		parameters: append([]parameter{{name: "prompt", kind: text, required: true}}, sampling...),
		shape:      completions,
	},
	{
		name:       "chat",
		path:       "/v1/chat/completions",
		parameters: append([]parameter{{name: "messages", kind: messages, required: true}}, sampling...),
		shape:      chat,
	},
}}
