package simulator

import (
	"iter"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// aloneDefects break clauses that hold for azure-inference or openai alone, of
// the areas RSP, FIN, STR, BST, LOG, EOS and USE.
var aloneDefects = []Defect{
	{
		Name: "openai-created-missing", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"RSP-003"},
		Sentence: "Answers of openai have no created.",
		arm:      answers(func(_ *call, o *object) { o.remove("created") }),
	},
	{
		Name: "azure-request-id-missing", Dialects: []string{"azure-inference"}, Stage: "wire", Clauses: []string{"RSP-024"},
		Sentence: "Answers have no x-ms-request-id.",
		arm: headers(func(_ *call, h http.Header) {
			for _, name := range []string{"X-Ms-Request-Id", "X-Request-Id", "Apim-Request-Id"} {
				h.Del(name)
			}
		}),
	},
	{
		Name: "openai-model-length", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"FIN-002", "FIN-014", "FMT-005"},
		Sentence: "An answer that ends at max_tokens has the finish_reason model_length.",
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if o.get("finish_reason") == `"length"` {
				o.set("finish_reason", `"model_length"`)
			}
		}),
	},
	{
		Name: "tool-call-says-stop", Dialects: []string{"azure-inference", "openai"}, Stage: "shape", Clauses: []string{"FIN-013"},
		Sentence: "An answer that calls a tool has the finish_reason stop.",
		Seen:     "llama.cpp and Ollama, in some versions",
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if o.get("finish_reason") == `"tool_calls"` {
				o.set("finish_reason", `"stop"`)
			}
		}),
	},
	{
		Name: "stream-options-alone", Dialects: []string{"openai"}, Stage: "combination", Clauses: []string{"STR-030"},
		Sentence: "stream_options without stream is ignored.",
		arm: rewrite(func(_ *call, o *object) {
			if o.get("stream") != "true" {
				o.remove("stream_options")
			}
		}),
	},
	{
		Name: "usage-chunk-missing", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"STR-031"},
		Sentence: "include_usage brings no chunk with usage.",
		arm: allChunks(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				for b := range in {
					if len(gjson.GetBytes(b, "choices").Array()) > 0 && !yield(b) {
						return
					}
				}
			}
		}),
	},
	{
		Name: "usage-running", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"STR-032"},
		Sentence: "With include_usage every chunk has a usage.",
		Seen:     "vLLM 0.6.0 tells running totals",
		arm: chunks(func(c *call, o *object) {
			if c.values.flag("stream_options") && strings.Contains(o.get("choices"), "index") {
				o.set("usage", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`)
			}
		}),
	},
	{
		Name: "best-of-without-bound", Dialects: []string{"openai"}, Stage: "range", Clauses: []string{"BST-012"},
		Sentence: "best_of above 20 is answered.",
		arm:      rewrite(instead("best_of", "21", "1")),
	},
	{
		Name: "content-logprobs-flat", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"LOG-016"},
		Sentence: "Log probabilities of chat lack bytes.",
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if o.get("logprobs") != "" {
				o.set("logprobs", strings.ReplaceAll(o.get("logprobs"), `"bytes":`, `"byte":`))
			}
		}),
	},
	{
		Name: "top-logprobs-alone", Dialects: []string{"openai"}, Stage: "combination", Clauses: []string{"LOG-017"},
		Sentence: "top_logprobs without logprobs is ignored.",
		arm: rewrite(func(_ *call, o *object) {
			if o.get("logprobs") != "true" {
				o.remove("top_logprobs")
			}
		}),
	},
	{
		Name: "top-logprobs-unbounded", Dialects: []string{"openai"}, Stage: "range", Clauses: []string{"LOG-018"},
		Sentence: "top_logprobs above 20 is taken for 20.",
		arm:      rewrite(instead("top_logprobs", "21", "20")),
	},
	{
		Name: "bytes-are-code-points", Dialects: []string{"openai"}, Stage: "shape", Clauses: []string{"LOG-019"},
		Sentence: "bytes of a token misses its first byte.",
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if o.get("logprobs") != "" {
				o.set("logprobs", strings.ReplaceAll(o.get("logprobs"), `"bytes":[32,`, `"bytes":[`))
			}
		}),
	},
	{
		Name: "azure-logprobs-known", Dialects: []string{"azure-inference"}, Stage: "decode", Clauses: []string{"LOG-023"},
		Sentence: "logprobs is no extra parameter of the chat route.",
		arm:      rewrite(instead("logprobs", "true", "")),
	},
	{
		Name: "azure-ignore-eos-known", Dialects: []string{"azure-inference"}, Stage: "decode", Clauses: []string{"EOS-007"},
		Sentence: "ignore_eos is ignored where it is not passed through.",
		arm: rewrite(func(c *call, o *object) {
			if c.header.Get("Extra-Parameters") == "" {
				o.remove("ignore_eos")
			}
		}),
	},
	{
		Name: "batch-counts-first", Dialects: []string{"azure-inference", "openai"}, Stage: "shape", Clauses: []string{"USE-011"},
		Sentence: "usage of a batch counts its first prompt alone.",
		arm: usageOf(func(c *call, u *object) {
			if len(c.prompts) > 1 {
				u.set("prompt_tokens", itoa(int64(len(c.prompts[0]))))
				u.set("total_tokens", itoa(gjson.Get(u.String(), "prompt_tokens").Int()+gjson.Get(u.String(), "completion_tokens").Int()))
			}
		}),
	},
	{
		Name: "cached-above-prompt", Dialects: []string{"azure-inference", "openai"}, Stage: "shape", Clauses: []string{"USE-013"},
		Sentence: "usage tells of more cached tokens than the prompt has.",
		arm:      usageOf(func(_ *call, u *object) { u.set("prompt_tokens_details", `{"cached_tokens":4096}`) }),
	},
}
