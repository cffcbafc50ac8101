package simulator

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// stopDefects break the area STP: stop strings, stop tokens, special tokens.
var stopDefects = []Defect{
	{
		Name:     "stop-second-occurrence",
		Sentence: "A stop string ends the text at its second occurrence, where there is one.",
		Stage:    "generate",
		Clauses:  []string{"STP-001", "STP-002"},
		arm: ownStop(func(_ *call, text string, stops []string) int {
			at := earliest(text, stops)
			if at >= 0 && len(stops) == 1 && len(stops[0]) > 1 {
				if next := strings.Index(text[at+1:], stops[0]); next >= 0 {
					return at + 1 + next
				}
			}
			return at
		}),
	},
	{
		Name:     "stop-string-split",
		Sentence: "A string for stop is read as the list of its characters.",
		Stage:    "range",
		Clauses:  []string{"REQ-060", "STP-002", "STP-018"},
		arm: before("range", func(c *call) {
			if v, _ := c.document.get("stop"); v.Type == gjson.String {
				c.values.set("stop", strings.Split(v.Str, ""), v.Raw)
			}
		}),
	},
	{
		Name:     "stop-list-order",
		Sentence: "Of several stop strings the first in the list wins.",
		Stage:    "generate",
		Clauses:  []string{"STP-003"},
		arm: ownStop(func(_ *call, text string, stops []string) int {
			for _, s := range stops {
				if at := strings.Index(text, s); at >= 0 {
					return at
				}
			}
			return -1
		}),
	},
	{
		Name:     "stop-held-text-lost",
		Sentence: "Text that was held back because a stop string may begin with it is lost when the answer ends.",
		Stage:    "shape",
		Clauses:  []string{"STP-004"},
		Seen:     "SharpAI/SwiftLM#132",
		arm: answerChoices(func(c *call, _ int, o *object) {
			editText(o, func(text string) string {
				for n := min(len(text), 16); n > 0; n-- {
					if slices.ContainsFunc(c.request.Stop, func(s string) bool { return strings.HasPrefix(s, text[len(text)-n:]) }) {
						return text[:len(text)-n]
					}
				}
				return text
			})
		}),
	},
	{
		Name:     "stop-whole-tokens",
		Sentence: "A stop string ends the text where it is a token or a word, not across or inside of them.",
		Stage:    "generate",
		Clauses:  []string{"STP-002", "STP-003", "STP-005", "EOS-005", "FIN-006", "FIN-014"},
		Seen:     "replicate/cog-llama-template#31",
		arm: ownStop(func(_ *call, text string, stops []string) int {
			stops = slices.DeleteFunc(slices.Clone(stops), func(s string) bool {
				inside := regexp.MustCompile(`\pL` + regexp.QuoteMeta(s) + `\pL`)
				return len(s) > 3 && inside.MatchString(text)
			})
			return earliest(text, stops)
		}),
	},
	{
		Name:     "stop-in-prompt",
		Sentence: "A stop string that is a word of the prompt ends the answer at once.",
		Stage:    "generate",
		Clauses:  []string{"STP-006"},
		arm: ownStop(func(c *call, text string, stops []string) int {
			prompt := c.values.text("prompt")
			for _, m := range c.messages() {
				prompt += " " + m.Content
			}
			for _, word := range strings.FieldsFunc(prompt, func(r rune) bool { return r == ' ' || r == '.' }) {
				if slices.Contains(stops, word) {
					return 0
				}
			}
			return earliest(text, stops)
		}),
	},
	{
		Name:     "stop-case-folded",
		Sentence: "Stop strings match in capitals and in small letters.",
		Stage:    "generate",
		Clauses:  []string{"STP-007"},
		arm: ownStop(func(_ *call, text string, stops []string) int {
			if at := earliest(text, stops); at >= 0 || !ascii(text) {
				return at
			}
			folded := make([]string, len(stops))
			for i, s := range stops {
				folded[i] = strings.ToLower(s)
			}
			return earliest(strings.ToLower(text), folded)
		}),
	},
	{
		Name:     "stop-as-pattern",
		Sentence: "Stop strings are regular expressions.",
		Stage:    "generate",
		Clauses:  []string{"STP-007"},
		arm: ownStop(func(_ *call, text string, stops []string) int {
			if at := earliest(text, stops); at >= 0 {
				return at
			}
			for _, s := range stops {
				if pattern, err := regexp.Compile(s); err == nil {
					if at := pattern.FindStringIndex(text); at != nil {
						return at[0]
					}
				}
			}
			return -1
		}),
	},
	{
		Name:     "stop-trimmed",
		Sentence: "White space around stop strings is dropped.",
		Stage:    "generate",
		Clauses:  []string{"STP-008"},
		arm: asked(func(_ *call, r *engine.Request) {
			r.Stop = slices.Clone(r.Stop)
			for i, s := range r.Stop {
				if trimmed := strings.TrimSpace(s); trimmed != "" && len(s) == 2 && len(r.Stop) == 1 {
					r.Stop[i] = trimmed
				}
			}
		}),
	},
	{
		Name:     "stop-ascii-only",
		Sentence: "Stop strings beyond ASCII have no effect.",
		Stage:    "generate",
		Clauses:  []string{"STP-008"},
		arm: asked(func(_ *call, r *engine.Request) {
			r.Stop = slices.DeleteFunc(slices.Clone(r.Stop), func(s string) bool { return !ascii(s) })
		}),
	},
	{
		Name:     "stop-at-once-fails",
		Sentence: "An answer that a stop string makes empty is a 500.",
		Stage:    "wire",
		Clauses:  []string{"STP-009", "ERR-009"},
		arm: always(func(c *call) {
			c.hooks.send = append(c.hooks.send, func(c *call, w http.ResponseWriter, body []byte) bool {
				first := gjson.GetBytes(body, "choices.0")
				if len(c.request.Stop) == 0 || c.request.N > 1 || first.Get("text").Str+first.Get("message.content").Str != "" {
					return false
				}
				c.dialect.writeRefusal(w, internal())
				return true
			})
		}),
	},
	{
		Name:     "stop-empty-matches",
		Sentence: "An empty stop string is accepted and ends the answer at once.",
		Stage:    "range",
		Clauses:  []string{"STP-010"},
		arm: always(func(c *call) {
			empty := false
			c.hooks.on("range", func(c *call) *refusal {
				if empty = slices.Contains(c.values.texts("stop"), ""); empty {
					c.values.unset("stop")
				}
				return nil
			})
			c.hooks.answer = append(c.hooks.answer, func(_ *call, b []byte) []byte {
				if !empty {
					return b
				}
				return editChoices(b, func(_ int, o *object) {
					editText(o, func(string) string { return "" })
					o.set("finish_reason", `"stop"`)
				})
			})
		}),
	},
	{
		Name:     "stop-long-500",
		Sentence: "A stop string of more than 1 000 characters is answered with 500.",
		Stage:    "generate",
		Clauses:  []string{"STP-011", "ERR-009"},
		arm: failsIf(func(c *call) bool {
			return slices.ContainsFunc(c.values.texts("stop"), func(s string) bool { return len(s) > 1000 })
		}),
	},
	{
		Name:     "stop-undercounted",
		Sentence: "usage counts half of the tokens of an answer that a stop string ended.",
		Stage:    "generate",
		Clauses:  []string{"STP-012"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if s.Finish == engine.FinishStop && len(c.request.Stop) > 0 {
				s.Generated = (s.Generated + 1) / 2
			}
		}),
	},
	{
		Name:     "stop-ends-all",
		Sentence: "With n above 1 the first choice that meets a stop string ends them all.",
		Stage:    "generate",
		Clauses:  []string{"STP-013"},
		arm: allSteps(func(c *call, steps engine.Steps) engine.Steps {
			if len(c.request.Stop) == 0 || c.request.N < 2 {
				return steps
			}
			return func(yield func(engine.Step, error) bool) {
				last := make([]engine.Step, c.request.N)
				for s, err := range steps {
					if err == nil {
						last[s.Choice] = s
					}
					if err == nil && s.Finish == engine.FinishStop {
						if !yield(s, nil) {
							return
						}
						for i, one := range last {
							if one.Finish == "" && !yield(engine.Step{Choice: i, Finish: engine.FinishStop, Generated: max(1, one.Generated)}, nil) {
								return
							}
						}
						return
					}
					if !yield(s, err) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "stop-ids-ignored",
		Sentence: "stop_token_ids is accepted and has no effect.",
		Stage:    "generate",
		Clauses:  []string{"STP-014"},
		arm:      asked(func(_ *call, r *engine.Request) { r.StopTokenIDs = nil }),
	},
	{
		Name:     "stop-id-differs-in-streams",
		Sentence: "A stop token stays in the text, but not in that of a stream.",
		Stage:    "generate",
		Clauses:  []string{"STP-015"},
		Seen:     "vLLM 0.4 trims the token that its documentation keeps",
		arm: everyStep(func(c *call, s *engine.Step) {
			if len(c.request.StopTokenIDs) > 0 && s.Finish == engine.FinishStop && c.values.flag("stream") {
				s.Text = ""
			}
		}),
	},
	{
		Name:     "stop-ids-empty-refused",
		Sentence: "An empty list of stop_token_ids is refused.",
		Stage:    "range",
		Clauses:  []string{"STP-016"},
		arm: always(func(c *call) {
			c.hooks.on("range", func(c *call) *refusal {
				if v, sent := c.document.get("stop_token_ids"); sent && v.IsArray() && len(v.Array()) == 0 {
					return invalid(codeRange, "stop_token_ids", "stop_token_ids must hold at least one id.")
				}
				return nil
			})
		}),
	},
	{
		Name:     "stop-ids-beyond-500",
		Sentence: "An id beyond the vocabulary in stop_token_ids is answered with 500.",
		Stage:    "generate",
		Clauses:  []string{"STP-017", "ERR-009"},
		arm: failsIf(func(c *call) bool {
			return slices.ContainsFunc(c.values.ints("stop_token_ids"), func(id int64) bool { return id >= 1<<20 })
		}),
	},
	{
		Name:     "stop-ids-hide-strings",
		Sentence: "With stop_token_ids stop strings have no effect.",
		Stage:    "generate",
		Clauses:  []string{"STP-018"},
		arm: asked(func(_ *call, r *engine.Request) {
			if len(r.StopTokenIDs) > 0 {
				r.Stop = nil
			}
		}),
	},
	{
		Name:     "special-tokens-leak",
		Sentence: "Special tokens are written although skip_special_tokens is true.",
		Stage:    "generate",
		Clauses:  []string{"STP-019", "STP-021"},
		arm: asked(func(c *call, r *engine.Request) {
			if c.values.given("skip_special_tokens") {
				r.KeepSpecialTokens = true
			}
		}),
	},
	{
		Name:     "special-tokens-never",
		Sentence: "skip_special_tokens false has no effect.",
		Stage:    "generate",
		Clauses:  []string{"STP-020"},
		arm:      asked(func(_ *call, r *engine.Request) { r.KeepSpecialTokens = false }),
	},
	{
		Name:     "special-tokens-null-false",
		Sentence: "skip_special_tokens null is read as false.",
		Stage:    "generate",
		Clauses:  []string{"STP-021"},
		arm: asked(func(c *call, r *engine.Request) {
			if v, sent := c.document.get("skip_special_tokens"); sent && v.Type == gjson.Null {
				r.KeepSpecialTokens = true
			}
		}),
	},
	{
		Name:     "special-tokens-uncounted",
		Sentence: "usage leaves out a special token that was not written.",
		Stage:    "generate",
		Clauses:  []string{"FIN-003", "STP-022", "EOS-002"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.values.given("skip_special_tokens") && s.Finish != "" {
				s.Generated--
			}
		}),
	},
	{
		Name:     "finish-is-stop-string",
		Sentence: "finish_reason is the stop string that matched.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "FIN-001", "FIN-006", "FIN-007", "FIN-014", "STP-009", "STP-013", "STP-023"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if len(c.request.Stop) > 0 && o.get("finish_reason") == `"stop"` {
				o.set("finish_reason", quote(c.request.Stop[0]))
			}
		}),
	},
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// earliest is where the first of stops begins in text, -1 if none does.
func earliest(text string, stops []string) int {
	first := -1
	for _, s := range stops {
		if at := strings.Index(text, s); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

// ownStop takes stop strings from the engine and cuts plain answers where find
// says; -1 leaves them whole.
func ownStop(find func(c *call, text string, stops []string) int) func() arming {
	return always(func(c *call) {
		var stops []string
		c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
			if !c.values.flag("stream") && r.BestOf <= r.N && !r.UseBeamSearch {
				stops, r.Stop = r.Stop, nil
			}
		})
		c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
			if len(stops) == 0 {
				return steps
			}
			return c.chosen(steps, func(all []engine.Choice) []engine.Choice {
				all = slices.Clone(all)
				for i := range all {
					if at := find(c, all[i].Text, stops); at >= 0 {
						all[i].Text, all[i].Finish = all[i].Text[:at], engine.FinishStop
					}
				}
				return all
			})
		})
	})
}

// editText changes the text of a choice of a plain answer.
func editText(choice *object, f func(string) string) {
	if raw := choice.get("text"); raw != "" {
		choice.set("text", quote(f(gjson.Parse(raw).Str)))
		return
	}
	message := parseObject(choice.get("message"))
	message.set("content", quote(f(gjson.Parse(message.get("content")).Str)))
	choice.set("message", message.String())
}

// failsIf answers with 500 what applies says.
func failsIf(applies func(*call) bool) func() arming {
	return always(func(c *call) {
		c.hooks.on("generate", func(c *call) *refusal {
			if applies(c) {
				return internal()
			}
			return nil
		})
	})
}
