package simulator

import (
	"iter"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// usageDefects break the area USE.
var usageDefects = []Defect{
	{
		Name:     "usage-null",
		Sentence: "completion_tokens is null.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "USE-001", "INF-009"},
		Seen:     "sglang#954",
		arm: answers(func(_ *call, o *object) {
			u := parseObject(o.get("usage"))
			u.set("completion_tokens", "null")
			o.set("usage", u.String())
		}),
	},
	{
		Name:     "usage-total-wrong",
		Sentence: "total_tokens is not the sum: its parts stand side by side.",
		Stage:    "shape",
		Clauses:  []string{"USE-002", "USE-009"},
		Seen:     "a sample of Azure's content filter page, 11 + 40 = 417",
		arm: answers(func(_ *call, o *object) {
			u := parseObject(o.get("usage"))
			u.set("total_tokens", u.get("prompt_tokens")+u.get("completion_tokens"))
			o.set("usage", u.String())
		}),
	},
	{
		Name:     "usage-n-overcounted",
		Sentence: "With n above 1 completion_tokens counts the end of each choice above max_tokens.",
		Stage:    "shape",
		Clauses:  []string{"USE-003", "USE-007"},
		arm: usageOf(func(c *call, u *object) {
			if c.request.N > 1 && c.request.BestOf <= c.request.N {
				u.add("completion_tokens", c.request.N*c.request.MaxTokens)
			}
		}),
	},
	{
		Name:     "prompt-tokens-vary",
		Sentence: "prompt_tokens counts the stop strings with the prompt.",
		Stage:    "shape",
		Clauses:  []string{"USE-004"},
		arm: usageOf(func(c *call, u *object) {
			u.add("prompt_tokens", len(c.request.Stop))
		}),
	},
	{
		Name:     "prompt-tokens-constant",
		Sentence: "prompt_tokens is 9 for every prompt.",
		Stage:    "shape",
		Clauses:  []string{"FIN-010", "USE-005", "USE-008", "USE-009", "CHT-020", "CHT-022", "CTX-002", "CTX-008", "CTX-010"},
		arm:      usageOf(func(_ *call, u *object) { u.set("prompt_tokens", "9") }),
	},
	{
		Name:     "prompt-tokens-times-n",
		Sentence: "prompt_tokens counts the prompt once for each choice.",
		Stage:    "shape",
		Clauses:  []string{"USE-006"},
		arm: usageOf(func(c *call, u *object) {
			u.add("prompt_tokens", len(c.prompt)*(c.request.N-1))
		}),
	},
	{
		Name:     "prompt-tokens-without-template",
		Sentence: "prompt_tokens of a chat leave the template out.",
		Stage:    "shape",
		Clauses:  []string{"FIN-010", "USE-008", "USE-009", "CTX-002", "CTX-008", "CTX-010"},
		arm: usageOf(func(c *call, u *object) {
			if m := c.messages(); m != nil {
				n := 0
				for _, one := range m {
					n += len(c.generator.Prompt(one.Content)) - 1
				}
				u.set("prompt_tokens", itoa(int64(max(1, n))))
			}
		}),
	},
	{
		Name:     "stream-usage-chunks",
		Sentence: "usage of a stream counts chunks for tokens.",
		Stage:    "shape",
		Clauses:  []string{"USE-009", "USE-010"},
		arm: allChunks(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				n := 0
				for b := range in {
					if len(gjson.GetBytes(b, "choices").Array()) == 0 {
						b = editUsage(b, func(u *object) { u.set("completion_tokens", itoa(int64(n))) })
					}
					n++
					if !yield(b) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "stream-usage-last-choice",
		Sentence: "usage of a stream counts the last choice alone.",
		Stage:    "generate",
		Clauses:  []string{"USE-010"},
		Seen:     "vLLM 0.6.0, chat",
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.values.flag("stream") && s.Choice < c.request.N-1 {
				s.Generated = 0
			}
		}),
	},
	{
		Name:     "usage-zero-after-stop",
		Sentence: "completion_tokens is 0 where a stop string ended the answer.",
		Stage:    "shape",
		Clauses:  []string{"STP-012", "USE-012"},
		arm: always(func(c *call) {
			c.hooks.answer = append(c.hooks.answer, func(c *call, b []byte) []byte {
				if len(c.request.Stop) == 0 || c.request.N > 1 || gjson.GetBytes(b, "choices.0.finish_reason").Str != "stop" {
					return b
				}
				return editUsage(b, func(u *object) { u.set("completion_tokens", "0") })
			})
		}),
	},
	{
		Name:     "usage-in-refusals",
		Sentence: "Refusals carry usage.",
		Stage:    "wire",
		Clauses:  []string{"USE-014"},
		arm: always(func(c *call) {
			c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
				for name, values := range r.header {
					w.Header()[name] = values
				}
				body := strings.TrimSuffix(string(c.dialect.refusals.append(nil, r)), "}") + `,"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(r.status)
				_, _ = w.Write([]byte(body))
				return true
			})
		}),
	},
}

// editUsage changes usage and adds its parts up again.
func editUsage(document []byte, f func(*object)) []byte {
	return edit(document, func(o *object) {
		raw := o.get("usage")
		if !strings.HasPrefix(raw, "{") {
			return
		}
		u := parseObject(raw)
		f(u)
		total := gjson.Parse(u.get("prompt_tokens")).Int() + gjson.Parse(u.get("completion_tokens")).Int()
		u.set("total_tokens", itoa(total))
		o.set("usage", u.String())
	})
}

// usageOf changes usage of plain answers.
func usageOf(f func(*call, *object)) func() arming {
	return always(func(c *call) {
		c.hooks.answer = append(c.hooks.answer, func(c *call, b []byte) []byte {
			return editUsage(b, func(u *object) { f(c, u) })
		})
	})
}

// add adds to a number.
func (o *object) add(name string, n int) {
	o.set(name, itoa(gjson.Parse(o.get(name)).Int()+int64(n)))
}

// messages are those of a chat, nil on other routes.
func (c *call) messages() []engine.Message {
	m, _ := c.values.of("messages").([]engine.Message)
	return m
}
