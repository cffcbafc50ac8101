package simulator

import (
	"math"
	"slices"
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
	{name: "stop", kind: texts, fallback: []string(nil), most: mostStops, bounds: []bound{
		{func(v any) bool { return v != "" }, "stop cannot contain an empty string."},
	}},
	{name: "stop_token_ids", kind: integers, fallback: []int64(nil), most: mostStopTokens, bounds: []bound{
		between(0, mostTokenID, "stop_token_ids must be token ids, 0 or above, got %s."),
	}},
	{name: "logprobs", kind: integer, bounds: []bound{
		between(0, any_, "logprobs must be non-negative, got %s."),
		between(none, mostLogprobs, "Cannot request more than 20 logprobs, got %s."),
	}},
	{name: "presence_penalty", kind: number, fallback: 0.0, bounds: []bound{
		between(-2, 2, "presence_penalty must be in [-2, 2], got %s."),
	}},
	{name: "frequency_penalty", kind: number, fallback: 0.0, bounds: []bound{
		between(-2, 2, "frequency_penalty must be in [-2, 2], got %s."),
	}},
	{name: "ignore_eos", kind: flag, fallback: false},
	{name: "use_beam_search", kind: flag, fallback: false},
	{name: "skip_special_tokens", kind: flag, fallback: true}, // C31
	{name: "seed", kind: integer},
	{name: "stream_options", kind: options}, // CLI-002
	{name: "model", kind: text},             // tolerated: the URL names the deployment (REQ-019, REQ-020)
	{name: "user", kind: text},              // tolerated: who asks changes nothing (C11)
}

// vllm holds what the source document has not but a server of its kind honours
// (REQ-065, conflict C11). None is ever accepted and ignored.
var vllm = []parameter{
	{name: "repetition_penalty", kind: number, fallback: 1.0, bounds: []bound{
		between(math.SmallestNonzeroFloat64, 2, "repetition_penalty must be in (0, 2], got %s."),
	}},
	{name: "top_k", kind: integer, fallback: int64(-1), bounds: []bound{
		{func(v any) bool { k := v.(int64); return k == -1 || k >= 1 && k <= mostTokenID }, "top_k must be -1 (disable), or at least 1, got %s."},
	}},
	{name: "min_p", kind: number, fallback: 0.0, bounds: []bound{
		between(0, 1, "min_p must be in [0, 1], got %s."),
	}},
	{name: "min_tokens", kind: integer, fallback: int64(0), bounds: []bound{
		between(0, any_, "min_tokens must be greater than or equal to 0, got %s."),
	}},
	{name: "length_penalty", kind: number, fallback: 1.0, bounds: []bound{
		between(-100, 100, "length_penalty must be in [-100, 100], got %s."),
	}},
	{name: "early_stopping", kind: stopping, fallback: false},
	logitBias,
}

var logitBias = parameter{name: "logit_bias", kind: bias, most: mostBiases}

func atLeastOneToken(name string) []bound {
	return []bound{between(1, any_, name+" must be at least 1, got %s.")}
}

var llamaSampling = slices.Concat(sampling, vllm)

// llamaV1 is the API of the source document.
var llamaV1 = dialect{
	name:         "llama-v1",
	root:         "/v1",
	refusals:     envelope,
	marksFailure: true,
	guards:       llamaGuards,
	routes: []route{
		{
			name:       "completions",
			path:       "/completions",
			parameters: append([]parameter{{name: "prompt", kind: text, required: true}}, llamaSampling...),
			shape:      completions,
		},
		{
			name:       "chat",
			path:       "/chat/completions",
			parameters: append([]parameter{{name: "messages", kind: messages, required: true}}, llamaSampling...),
			shape:      chat,
		},
	},
	pages: []page{{path: "/models", below: true, write: (*deployment).models}},
}
