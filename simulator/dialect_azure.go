package simulator

import "slices"

// azureInference is the Azure AI model inference API. What the service gives to
// every model is in its tables; what only this model knows is extra.
var azureInference = dialect{
	name:       "azure-inference",
	refusals:   azureError,
	apiKey:     true,
	requestIDs: true,
	annotates:  true,
	// Of the documents, of the client libraries, and the later ones.
	versions: []string{"2024-04-01-preview", "2024-05-01-preview", "2025-04-01", "2025-05-01", "2025-05-15-preview"},
	guards:   llamaGuards, // an extra parameter reaches the same model
	routes: []route{
		{
			name: "completions",
			path: "/completions",
			parameters: slices.Concat(
				[]parameter{{name: "prompt", kind: prompts, required: true, most: mostPrompts}},
				[]parameter{{name: "max_tokens", kind: integer, fallback: int64(256), capped: true, bounds: atLeastOneToken("max_tokens")}}, // REQ-036
				azureSampling, azureExtras),
			shape:  completions,
			extras: true,
		},
		{
			name: "chat",
			path: "/chat/completions",
			parameters: slices.Concat(
				[]parameter{{name: "messages", kind: conversation, required: true}},
				[]parameter{restOfContext}, // REQ-037
				azureSampling,
				[]parameter{
					{name: "response_format", kind: responseFormat},
					{name: "tools", kind: tools, most: mostTools},
					{name: "tool_choice", kind: toolChoice},
				},
				azureExtras),
			shape:  chat,
			extras: true,
		},
		{
			name: "embeddings",
			path: "/embeddings",
			parameters: []parameter{
				{name: "input", kind: inputs, required: true, most: mostPrompts},
				{name: "model", kind: text},
				{name: "dimensions", kind: integer, bounds: []bound{between(1, any_, "dimensions must be at least 1, got %s.")}},
				encodingFormat("float", "base64"),
				{name: "input_type", kind: text, fallback: "text", bounds: []bound{oneOf("input_type", "text", "query", "document")}},
				{name: "user", kind: text, extra: true},
			},
			shape:   embeddings,
			context: inputLength,
			respond: embed,
			extras:  true,
		},
	},
	pages: []page{{path: "/info", versioned: true, write: (*deployment).info}},
}

// restOfContext is max_tokens where its default is all that fits (CTX-006).
var restOfContext = parameter{name: "max_tokens", kind: integer, bounds: atLeastOneToken("max_tokens")}

// topPFromZero allows 0, which takes the likeliest token (conflict C08).
var topPFromZero = parameter{name: "top_p", kind: number, fallback: 1.0, bounds: []bound{between(0, 1, "top_p must be in [0, 1], got %s.")}}

var azureSampling = append(rows(sampling, "stream", "temperature", "stop", "presence_penalty", "frequency_penalty", "seed", "model"), topPFromZero)

// azureExtras are known to the model (conflict C48).
var azureExtras = extra(append(rows(sampling, "n", "best_of", "logprobs", "ignore_eos", "use_beam_search", "stop_token_ids",
	"skip_special_tokens", "stream_options", "max_completion_tokens", "user"), vllm...))
