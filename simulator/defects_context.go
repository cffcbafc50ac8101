package simulator

import (
	"fmt"
	"io"
	"net/http"

	"github.com/touchstone-llm/touchstone/engine"
)

// contextDefects break the area CTX, the context length.
var contextDefects = []Defect{
	{
		Name:     "context-clamped",
		Sentence: "max_tokens that do not fit in the context any more are lowered in silence.",
		Stage:    "context",
		Clauses:  []string{"CTX-001", "CTX-009", "CTX-010"},
		arm: atBorder(func(c *call, left, asked int) *refusal {
			if asked > left && left > 0 && c.values.given("max_tokens") {
				c.values.set("max_tokens", int64(left), fmt.Sprint(left))
			}
			return nil
		}),
	},
	{
		Name:     "context-one-less",
		Sentence: "A prompt and max_tokens that fill the context exactly are refused.",
		Stage:    "context",
		Clauses:  []string{"FIN-010", "CTX-002", "CTX-008", "CTX-010"},
		arm: atBorder(func(c *call, left, asked int) *refusal {
			if asked == left {
				return tooLong(c, left+len(c.prompt), asked)
			}
			return nil
		}),
	},
	{
		Name:     "long-prompt-500",
		Sentence: "A prompt longer than the context is answered with 500.",
		Stage:    "context",
		Clauses:  []string{"CTX-003", "CHT-025", "ERR-009"},
		Seen:     "ardanlabs/kronk#861, ik_llama.cpp#2420",
		arm: atBorder(func(_ *call, left, _ int) *refusal {
			if left < 0 {
				return internal()
			}
			return nil
		}),
	},
	{
		Name:     "prompt-truncated",
		Sentence: "Of a prompt of more than a quarter of the context the beginning is dropped.",
		Stage:    "generate",
		Clauses:  []string{"CTX-004", "FIN-010"},
		Seen:     "ollama#5902: n_ctx 2048 whatever the model has, answered with 200",
		arm: asked(func(c *call, r *engine.Request) {
			if most := c.generator.Config().ContextLength / 4; len(r.Prompt) > most {
				c.prompt = r.Prompt[len(r.Prompt)-most:]
				r.Prompt, c.prompts = c.prompt, [][]int{c.prompt}
			}
		}),
	},
	{
		Name:     "default-length-500",
		Sentence: "Where the default of max_tokens does not fit in the context the answer is 500.",
		Stage:    "context",
		Clauses:  []string{"CTX-005", "ERR-009"},
		arm: atBorder(func(c *call, left, asked int) *refusal {
			if asked > left && left > 0 && !c.values.given("max_tokens") {
				return internal()
			}
			return nil
		}),
	},
	{
		Name:     "context-error-opaque",
		Sentence: "The refusal of what does not fit says only that the request is bad.",
		Stage:    "context",
		Clauses:  []string{"CTX-007"},
		Seen:     "jaylfc/taOS#1738",
		arm: atBorder(func(_ *call, left, asked int) *refusal {
			if asked > left {
				return invalid("invalid_request", "", "The request is bad.")
			}
			return nil
		}),
	},
	{
		Name:     "context-times-n",
		Sentence: "The context must hold max_tokens for each of n choices.",
		Stage:    "context",
		Clauses:  []string{"CTX-008"},
		arm: atBorder(func(c *call, left, asked int) *refusal {
			if asked <= left && asked*c.values.int("n") > left {
				return tooLong(c, left+len(c.prompt), asked*c.values.int("n"))
			}
			return nil
		}),
	},
	{
		Name:     "context-error-in-stream",
		Sentence: "With stream what does not fit in the context is refused inside a stream.",
		Stage:    "wire",
		Clauses:  []string{"CTX-009", "STR-024"},
		arm: always(func(c *call) {
			c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
				if r.code != codeContext || !c.values.flag("stream") {
					return false
				}
				w.Header().Set("Content-Type", eventStream)
				_, _ = io.WriteString(w, "data: "+string(c.dialect.refusals.append(nil, r))+"\n\n"+done)
				return true
			})
		}),
	},
	{
		Name:     "context-without-template",
		Sentence: "The check of the context leaves the chat template out, and what it lets through fails.",
		Stage:    "context",
		Clauses:  []string{"CTX-001", "CTX-009", "CTX-010", "ERR-009"},
		arm: atBorder(func(c *call, left, asked int) *refusal {
			if c.messages() != nil && asked > left && asked < left+8 {
				return internal()
			}
			return nil
		}),
	},
}

// atBorder runs f ahead of the check of the context, with what the prompt
// leaves and what is asked for, unless that is more than any context.
func atBorder(f func(c *call, left, asked int) *refusal) func() arming {
	return always(func(c *call) {
		c.hooks.on("context", func(c *call) *refusal {
			most := c.generator.Config().ContextLength
			if c.encode() != nil || len(c.prompts) != 1 || c.values.maxTokens() > most {
				c.prompts = nil
				return nil
			}
			c.prompt = c.prompts[0]
			c.prompts = nil
			bad := f(c, most-len(c.prompt), c.values.maxTokens())
			c.prompt = nil
			return bad
		})
	})
}
