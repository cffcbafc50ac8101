package simulator

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// determinismDefects break the area DET: repeatability, defaults, isolation.
var determinismDefects = []Defect{
	{
		Name:     "greedy-drifts",
		Sentence: "Every second answer at temperature 0 to a prompt of 1 to 2 KB leaves its last token out.",
		Stage:    "generate",
		Clauses:  []string{"DET-001"},
		Seen:     "vllm#40896, sglang#34683",
		arm: func() arming {
			var mu sync.Mutex
			n := map[string]int{}
			return func(c *call) {
				c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
					if len(c.body) < 1000 || len(c.body) > 2000 || !greedy(r) || r.MaxTokens != 1 {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					key := string(c.body)
					if n[key]++; n[key]%2 == 0 {
						r.Prompt = r.Prompt[:len(r.Prompt)-1]
					}
				})
			}
		},
	},
	{
		Name:     "greedy-top-p",
		Sentence: "At temperature 0 top_p below 1 turns sampling on.",
		Stage:    "generate",
		Clauses:  []string{"DET-002"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.Temperature < 1e-5 && r.TopP < 0.2 {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
	{
		Name:     "penalty-default",
		Sentence: "A presence_penalty that is sent as 0 counts for the server's own default.",
		Stage:    "generate",
		Clauses:  []string{"DET-003"},
		arm: asked(func(c *call, r *engine.Request) {
			if c.values.given("presence_penalty") && c.values.number("presence_penalty") == 0 {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
	{
		Name:     "null-top-p-refused",
		Sentence: "top_p null is refused.",
		Stage:    "range",
		Clauses:  []string{"DET-004"},
		Seen:     "LostRuins/koboldcpp#1503, which fails on null",
		arm: always(func(c *call) {
			c.hooks.on("range", func(c *call) *refusal {
				if v, sent := c.document.get("top_p"); sent && v.Type == gjson.Null {
					return invalid(codeType, "top_p", "top_p must be a number, got null.")
				}
				return nil
			})
		}),
	},
	{
		Name:     "members-in-order",
		Sentence: "A body whose first member is temperature is read without its prompt's last token.",
		Stage:    "generate",
		Clauses:  []string{"DET-005"},
		arm: asked(func(c *call, r *engine.Request) {
			if len(c.document) > 2 && c.document[0].name == "temperature" {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
	{
		Name:     "short-answers-differ",
		Sentence: "With max_tokens of 9 greedy answers take another path.",
		Stage:    "generate",
		Clauses:  []string{"DET-006"},
		arm: asked(func(c *call, r *engine.Request) {
			if r.MaxTokens == 9 && greedy(r) && !c.values.given("logprobs") && !c.values.flag("use_beam_search") {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
	{
		Name:     "n-copies",
		Sentence: "The choices of n are copies of the first.",
		Stage:    "generate",
		Clauses:  []string{"DET-010"},
		arm: always(func(c *call) {
			n := 0
			c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
				if r.N > 1 && !c.values.flag("stream") && r.BestOf <= r.N && !r.UseBeamSearch {
					n, r.N, r.BestOf = r.N, 1, 1
				}
			})
			c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
				if n == 0 {
					return steps
				}
				return c.chosen(steps, func(one []engine.Choice) []engine.Choice { return slices.Repeat(one[:1], n) })
			})
		}),
	},
	{
		Name:     "default-temperature-cold",
		Sentence: "The default temperature is 0.7.",
		Stage:    "generate",
		Clauses:  []string{"DET-011"},
		Seen:     "vLLM 0.6.0 chat, Azure TypeSpec",
		arm: asked(func(c *call, r *engine.Request) {
			if !c.values.given("temperature") {
				r.Temperature = 0.7
			}
		}),
	},
	{
		Name:     "top-p-ignored",
		Sentence: "top_p is accepted and has no effect.",
		Stage:    "generate",
		Clauses:  []string{"DET-012"},
		arm:      asked(func(_ *call, r *engine.Request) { r.TopP = 1 }),
	},
	{
		Name:     "answers-swapped",
		Sentence: "Of equal requests for 64 tokens that come within 0.1 s all but the first lose the last token of their prompt.",
		Stage:    "generate",
		Clauses:  []string{"DET-013", "DET-001"},
		arm: func() arming {
			var mu sync.Mutex
			last := map[string]time.Time{} // by body
			return func(c *call) {
				c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
					if c.values.flag("stream") || r.MaxTokens != 64 || !greedy(r) {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if time.Since(last[string(c.body)]) < 100*time.Millisecond {
						r.Prompt = r.Prompt[:len(r.Prompt)-1]
					}
					last[string(c.body)] = time.Now()
				})
			}
		},
	},
	{
		Name:     "prefix-cache-stale",
		Sentence: "A prompt that shares its first half and its length with the one before is answered as that one.",
		Stage:    "generate",
		Clauses:  []string{"DET-014", "DET-001"},
		arm: func() arming {
			var mu sync.Mutex
			before := map[string][]int{} // by route
			return func(c *call) {
				c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
					mu.Lock()
					defer mu.Unlock()
					old, whole := before[c.route.name], r.Prompt
					half := len(r.Prompt) / 2
					if r.MaxTokens == 8 && len(old) == len(r.Prompt) && slices.Equal(old[:half], r.Prompt[:half]) && !slices.Equal(old, r.Prompt) {
						r.Prompt = r.Prompt[:len(r.Prompt)-1]
					}
					if strings.Contains(string(c.body), "nothing at all") {
						before[c.route.name] = whole
					}
				})
			}
		},
	},
	{
		Name:     "presence-penalty-ignored",
		Sentence: "presence_penalty is accepted and has no effect.",
		Stage:    "generate",
		Clauses:  []string{"DET-015"},
		Seen:     "ik_llama.cpp#2398",
		arm:      asked(func(_ *call, r *engine.Request) { r.PresencePenalty = 0 }),
	},
	{
		Name:     "connection-leaks",
		Sentence: "A request of 1 to 2 KB leaves something on its connection: the next one on it loses the last token of its prompt.",
		Stage:    "generate",
		Clauses:  []string{"DET-016", "DET-001"},
		arm: func() arming {
			var mu sync.Mutex
			dirty := map[string]bool{} // by the client's address
			return func(c *call) {
				c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
					mu.Lock()
					defer mu.Unlock()
					if dirty[c.remote] {
						r.Prompt = r.Prompt[:len(r.Prompt)-1]
					}
					dirty[c.remote] = len(c.body) > 1000 && len(c.body) < 2000 && r.MaxTokens == 1
				})
			}
		},
	},
	{
		Name:     "bare-path-differs",
		Sentence: "The path without /v1 leaves the last token of the prompt out.",
		Stage:    "generate",
		Clauses:  []string{"DET-017"},
		arm: asked(func(c *call, r *engine.Request) {
			if c.dialect.name == azureInference.name && greedy(r) {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
}

func greedy(r *engine.Request) bool { return r.Temperature < 1e-5 && !r.UseBeamSearch }
