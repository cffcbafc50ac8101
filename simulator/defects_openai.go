package simulator

import (
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// onOpenAI are the dialects of what openai alone has; onBoth of what it shares
// with azure-inference and llama-v1 lacks.
var (
	onOpenAI = []string{openAI.name}
	onBoth   = []string{azureInference.name, openAI.name}
)

// openAIDefects show on openai, some on azure-inference too, and not on llama-v1.
var openAIDefects = []Defect{
	{
		Name: "model-optional", Stage: "decode", Clauses: []string{"REQ-021"}, Dialects: onOpenAI,
		Sentence: "A request without model is answered by the one that is there.",
		arm: rewrite(func(c *call, o *object) {
			if o.get("model") == "" {
				o.set("model", quote(c.model))
			}
		}),
	},
	{
		Name: "batch-first-only", Stage: "decode", Clauses: []string{"REQ-027", "RSP-013", "USE-011"}, Dialects: onBoth,
		Sentence: "Of an array of prompts the first is answered alone.",
		arm: rewrite(func(_ *call, o *object) {
			if p := gjson.Parse(o.get("prompt")); p.IsArray() && p.Get("1").Type == gjson.String {
				o.set("prompt", p.Get("0").Raw)
			}
		}),
	},
	{
		Name: "batch-reversed", Stage: "shape", Clauses: []string{"REQ-028"}, Dialects: onBoth,
		Sentence: "The choices of a batch are numbered from its last prompt to its first.",
		arm: answerChoices(func(c *call, i int, choice *object) {
			if len(c.prompts) > 1 {
				choice.set("index", itoa(int64(len(c.prompts)-1-i)))
			}
		}),
	},
	{
		Name: "prompt-ids-as-text", Stage: "decode", Clauses: []string{"REQ-029"}, Dialects: onOpenAI,
		Sentence: "A prompt of token ids is read as the text of their array.",
		arm: rewrite(func(_ *call, o *object) {
			if p := gjson.Parse(o.get("prompt")); p.IsArray() && p.Get("0").Type == gjson.Number {
				o.set("prompt", quote(p.Raw))
			}
		}),
	},
	{
		Name: "n-above-128-lowered", Stage: "decode", Clauses: []string{"REQ-057"}, Dialects: onOpenAI,
		Sentence: "n above 128 is accepted and lowered.",
		arm:      rewrite(instead("n", "129", "2")),
	},
	{
		Name: "stops-beyond-4-dropped", Stage: "decode", Clauses: []string{"REQ-062"}, Dialects: onOpenAI,
		Sentence: "Of more than 4 stop strings the first 4 count.",
		arm: rewrite(func(_ *call, o *object) {
			if s := gjson.Parse(o.get("stop")).Array(); len(s) > 4 {
				o.set("stop", "["+s[0].Raw+","+s[1].Raw+","+s[2].Raw+","+s[3].Raw+"]")
			}
		}),
	},
	{
		Name: "penalty-clamped", Stage: "decode", Clauses: []string{"REQ-064"}, Dialects: onBoth,
		Sentence: "A frequency_penalty out of range is moved into it.",
		arm:      rewrite(instead("frequency_penalty", "2.01", "2", "-2.01", "-2")),
	},
	{
		Name: "echo-twice", Stage: "shape", Clauses: []string{"REQ-078"}, Dialects: onOpenAI,
		Sentence: "echo repeats the prompt twice.",
		arm: answerChoices(func(c *call, _ int, choice *object) {
			if c.values.flag("echo") {
				editText(choice, func(text string) string { return gjson.GetBytes(c.body, "prompt").Str + text })
			}
		}),
	},
	{
		Name: "logit-bias-any-key", Stage: "decode", Clauses: []string{"REQ-079"}, Dialects: onOpenAI,
		Sentence: "A logit_bias whose key is no token id is ignored.",
		arm: rewrite(func(_ *call, o *object) {
			for key := range gjson.Parse(o.get("logit_bias")).Map() {
				if _, err := strconv.Atoi(key); err != nil {
					o.remove("logit_bias")
				}
			}
		}),
	},
	{
		Name: "role-any", Stage: "decode", Clauses: []string{"CHT-008"}, Dialects: onBoth,
		Sentence: "A role that does not exist is read as user.",
		arm: rewrite(func(_ *call, o *object) {
			if m := o.get("messages"); strings.Contains(m, `"role":"foo"`) {
				o.set("messages", strings.Replace(m, `"role":"foo"`, `"role":"user"`, 1))
			}
		}),
	},
	{
		Name: "tool-calls-need-content", Stage: "type", Clauses: []string{"CHT-011", "TOO-011"}, Dialects: onBoth,
		Sentence: "A message with tool_calls and without content is refused.",
		arm: refusing("type", func(_ *call, o *object) *refusal {
			for _, m := range gjson.Parse(o.get("messages")).Array() {
				if m.Get("tool_calls").Exists() && m.Get("content").Type == gjson.Null {
					return invalid(codeType, "messages", "messages: content must be a string.")
				}
			}
			return nil
		}),
	},
	{
		Name: "content-parts-as-object", Stage: "decode", Clauses: []string{"CHT-015"}, Dialects: onBoth,
		Sentence: "A message of one text part reaches the model as [object Object].",
		arm: rewrite(func(_ *call, o *object) {
			for _, m := range gjson.Parse(o.get("messages")).Array() {
				if parts := m.Get("content"); parts.IsArray() && parts.Get("#").Int() == 1 && parts.Get("0.text").Type == gjson.String {
					o.set("messages", strings.Replace(o.get("messages"), parts.Raw, quote("[object Object]"), 1))
				}
			}
		}),
	},
	{
		Name: "message-name-refused", Stage: "type", Clauses: []string{"CHT-023"}, Dialects: onOpenAI,
		Sentence: "A name in a message is refused.",
		arm: refusing("type", func(_ *call, o *object) *refusal {
			if len(gjson.Get(o.get("messages"), "#.name").Array()) > 0 {
				return invalid(codeUnknown, "messages[0].name", "messages[0].name is not a member of a message; remove it.")
			}
			return nil
		}),
	},
	{
		Name: "error-without-param", Stage: "wire", Clauses: []string{"ERR-004"}, Dialects: onOpenAI,
		Sentence: "The refusal of a top_p out of range has no param.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return edit(b, func(o *object) {
				o.set("error", string(edit([]byte(o.get("error")), func(e *object) { e.remove("param") })))
			})
		}),
	},
	{
		Name: "chat-default-16", Stage: "context", Clauses: []string{"CTX-006"}, Dialects: onBoth,
		Sentence: "Without max_tokens a chat has 16 tokens.",
		arm: before("context", func(c *call) {
			if c.route.name == "chat" && !c.values.given("max_tokens") && !c.values.given("max_completion_tokens") {
				c.values.set("max_tokens", int64(16), "16")
			}
		}),
	},
	{
		Name: "models-without-id", Stage: "http", Clauses: []string{"INF-012"}, Dialects: onOpenAI,
		Sentence: "/v1/models lists a model without its id.",
		around: bodies(
			func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/v1/models") },
			func(_ *http.Request, status int, _ http.Header, b []byte) (int, []byte) {
				return status, []byte(strings.Replace(string(b), `"id":`, `"name":`, 1))
			}),
	},
	{
		Name: "seed-ignored", Stage: "generate", Clauses: []string{"DET-007"}, Dialects: onBoth,
		Sentence: "seed is accepted and has no effect.",
		Seen:     "LM Studio, GD4AI/obsidian-llm-wiki#423",
		arm:      asked(func(_ *call, r *engine.Request) { r.Seed = nil }),
	},
	{
		Name: "seed-constant", Stage: "generate", Clauses: []string{"DET-008"}, Dialects: onOpenAI,
		Sentence: "Every seed is the same one.",
		arm: asked(func(_ *call, r *engine.Request) {
			if r.Seed != nil {
				one := *r.Seed
				one = 7
				r.Seed = &one
			}
		}),
	},
	{
		Name: "fingerprint-per-answer", Stage: "shape", Clauses: []string{"DET-009"}, Dialects: onBoth,
		Sentence: "system_fingerprint is another in each answer.",
		arm:      answers(func(c *call, o *object) { o.set("system_fingerprint", quote("fp_"+c.id)) }),
	},
	{
		Name: "openai-created-missing", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"RSP-003"},
		Sentence: "Answers of openai have no created.",
		arm:      answers(func(_ *call, o *object) { o.remove("created") }),
	},
	{
		Name: "openai-model-length", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"FIN-002", "FIN-010", "FIN-014", "FMT-005"},
		Sentence: "An answer that ends at max_tokens has the finish_reason model_length.",
		arm:      answersEnd("length", "model_length"),
	},
	{
		Name: "tool-call-says-stop", Dialects: onBoth, Stage: "shape", Clauses: []string{"FIN-013"},
		Sentence: "An answer that calls a tool has the finish_reason stop.",
		Seen:     "llama.cpp and Ollama, in some versions",
		arm:      answersEnd("tool_calls", "stop"),
	},
	{
		Name: "stream-options-alone", Dialects: onOpenAI, Stage: "combination", Clauses: []string{"STR-030"},
		Sentence: "stream_options without stream is ignored.",
		arm:      ignoredAlone("stream_options", "stream"),
	},
	{
		Name: "usage-chunk-missing", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"STR-031"},
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
		Name: "usage-running", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"STR-032"},
		Sentence: "With include_usage every chunk has a usage.",
		Seen:     "vLLM 0.6.0 tells running totals",
		arm: chunks(func(c *call, o *object) {
			if c.values.flag("stream_options") && strings.Contains(o.get("choices"), "index") {
				o.set("usage", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`)
			}
		}),
	},
	{
		Name: "best-of-without-bound", Dialects: onOpenAI, Stage: "range", Clauses: []string{"BST-012"},
		Sentence: "best_of above 20 is answered.",
		arm:      rewrite(instead("best_of", "21", "1")),
	},
	{
		Name: "content-logprobs-flat", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"LOG-016"},
		Sentence: "Log probabilities of chat lack bytes.",
		arm:      inLogprobs(`"bytes":`, `"byte":`),
	},
	{
		Name: "top-logprobs-alone", Dialects: onOpenAI, Stage: "combination", Clauses: []string{"LOG-017"},
		Sentence: "top_logprobs without logprobs is ignored.",
		arm:      ignoredAlone("top_logprobs", "logprobs"),
	},
	{
		Name: "top-logprobs-unbounded", Dialects: onOpenAI, Stage: "range", Clauses: []string{"LOG-018"},
		Sentence: "top_logprobs above 20 is taken for 20.",
		arm:      rewrite(instead("top_logprobs", "21", "20")),
	},
	{
		Name: "bytes-are-code-points", Dialects: onOpenAI, Stage: "shape", Clauses: []string{"LOG-019"},
		Sentence: "bytes of a token misses its first byte.",
		arm:      inLogprobs(`"bytes":[32,`, `"bytes":[`),
	},
	{
		Name: "batch-counts-first", Dialects: onBoth, Stage: "shape", Clauses: []string{"USE-011"},
		Sentence: "usage of a batch counts its first prompt alone.",
		arm: usageOf(func(c *call, u *object) {
			if len(c.prompts) > 1 {
				u.set("prompt_tokens", itoa(int64(len(c.prompts[0]))))
				u.set("total_tokens", itoa(gjson.Get(u.String(), "prompt_tokens").Int()+gjson.Get(u.String(), "completion_tokens").Int()))
			}
		}),
	},
	{
		Name: "cached-above-prompt", Dialects: onBoth, Stage: "shape", Clauses: []string{"USE-013"},
		Sentence: "usage tells of more cached tokens than the prompt has.",
		arm:      usageOf(func(_ *call, u *object) { u.set("prompt_tokens_details", `{"cached_tokens":4096}`) }),
	},
}

// ignoredAlone drops a parameter whose condition, another one, is not true.
func ignoredAlone(member, condition string) func() arming {
	return rewrite(func(_ *call, o *object) {
		if o.get(condition) != "true" {
			o.remove(member)
		}
	})
}

// inLogprobs replaces text in the log probabilities of answers.
func inLogprobs(from, to string) func() arming {
	return answerChoices(func(_ *call, _ int, o *object) {
		if lp := o.get("logprobs"); lp != "" {
			o.set("logprobs", strings.ReplaceAll(lp, from, to))
		}
	})
}
