package simulator

import "slices"

// openAI is the API of OpenAI, with the legacy completions. Its paths are those
// of llama-v1; where both are served it is below /openai, as in Azure OpenAI.
var openAI = dialect{
	name:     "openai",
	root:     "/v1",
	base:     "/openai",
	refusals: envelope,
	guards:   openAIGuards,

	choosesModel: true,
	routes: []route{
		{
			name: "completions",
			path: "/completions",
			parameters: slices.Concat(
				[]parameter{{name: "prompt", kind: prompts, required: true, most: mostPrompts}, modelName},
				openAISampling,
				[]parameter{
					{name: "max_tokens", kind: integer, fallback: int64(16), bounds: []bound{
						between(0, any_, "max_tokens must be at least 1, or 0 with echo, got %s."),
					}},
					{name: "echo", kind: flag, fallback: false},
					{name: "suffix", kind: text},
					{name: "best_of", kind: integer, bounds: []bound{
						between(1, any_, "best_of must be at least 1, got %s."),
						between(none, 20, "best_of must be at most 20, got %s."), // BST-012
					}},
					{name: "logprobs", kind: integer, bounds: []bound{
						between(0, any_, "logprobs must be non-negative, got %s."),
						between(none, 5, "logprobs must be at most 5, got %s."),
					}},
				}),
			shape: completions,
		},
		{
			name: "chat",
			path: "/chat/completions",
			parameters: slices.Concat(
				[]parameter{{name: "messages", kind: conversation, required: true}, modelName, restOfContext},
				openAISampling,
				rows(sampling, "max_completion_tokens"),
				[]parameter{
					{name: "response_format", kind: responseFormat},
					{name: "tools", kind: tools, most: mostTools},
					{name: "tool_choice", kind: toolChoice},
					{name: "parallel_tool_calls", kind: flag},
					{name: "logprobs", kind: flag, fallback: false},
					{name: "top_logprobs", kind: integer, bounds: []bound{
						between(0, mostLogprobs, "top_logprobs must be in [0, 20], got %s."),
					}},
				}),
			shape: openAIChat,
		},
		{
			name: "embeddings",
			path: "/embeddings",
			parameters: []parameter{
				{name: "input", kind: prompts, required: true, most: mostPrompts},
				modelName,
				{name: "dimensions", kind: integer, bounds: []bound{between(1, any_, "dimensions must be at least 1, got %s.")}},
				encodingFormat("float", "base64"),
				{name: "user", kind: text},
			},
			shape:   embeddings,
			context: inputLength,
			respond: embed,
		},
	},
	pages: []page{{path: "/models", below: true, write: (*deployment).models}},
}

// modelName is needed (REQ-021), and names the model or an alias of it.
var modelName = parameter{name: "model", kind: text, required: true}

var openAISampling = append(rows(sampling, "stream", "stream_options", "temperature", "presence_penalty", "frequency_penalty", "seed", "user"),
	logitBias,
	topPFromZero,
	parameter{name: "n", kind: integer, fallback: int64(1), bounds: []bound{
		between(1, any_, "n must be at least 1, got %s."),
		between(none, 128, "n must be at most 128, got %s."), // REQ-057
	}},
	parameter{name: "stop", kind: texts, fallback: []string(nil), most: 4, bounds: []bound{ // REQ-062
		{func(v any) bool { return v != "" }, "stop cannot contain an empty string."},
	}},
)
