package simulator

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// logprobDefects break the area LOG, log probabilities.
var logprobDefects = []Defect{
	{
		Name:     "logprobs-null-is-0",
		Sentence: "logprobs null is read as 0, so that log probabilities come.",
		Stage:    "range",
		Clauses:  []string{"LOG-001"},
		arm: before("range", func(c *call) {
			if v, sent := c.document.get("logprobs"); sent && v.Type == gjson.Null {
				c.values.set("logprobs", int64(0), "0")
			}
		}),
	},
	{
		Name:     "top-logprobs-missing",
		Sentence: "The object of log probabilities has no top_logprobs.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "SCH-002", "LOG-002"},
		arm:      logprobObjects(func(_ *call, o *object) { o.remove("top_logprobs") }),
	},
	{
		Name:     "offsets-twice",
		Sentence: "The offsets are sent as text_offset and as text_offsets.",
		Stage:    "shape",
		Clauses:  []string{"LOG-003"},
		arm:      logprobObjects(func(_ *call, o *object) { o.set("text_offsets", o.get("text_offset")) }),
	},
	{
		Name:     "offsets-plural",
		Sentence: "The array of offsets is named text_offsets.",
		Stage:    "shape",
		Clauses:  []string{"LOG-003"},
		Seen:     "the source document (S:221,409)",
		arm: logprobObjects(func(_ *call, o *object) {
			o.set("text_offsets", o.get("text_offset"))
			o.remove("text_offset")
		}),
	},
	{
		Name:     "top-logprobs-short",
		Sentence: "top_logprobs holds one entry fewer than tokens.",
		Stage:    "shape",
		Clauses:  []string{"LOG-004", "STR-035"},
		arm: logprobObjects(func(_ *call, o *object) {
			if all := gjson.Parse(o.get("top_logprobs")).Array(); len(all) > 1 {
				o.set("top_logprobs", rawArray(all[:len(all)-1]))
			}
		}),
	},
	{
		Name:     "logprobs-per-character",
		Sentence: "Two or more log probabilities a token come as entries for each character.",
		Stage:    "generate",
		Clauses:  []string{"LOG-005", "STP-012"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.request.Logprobs < 2 {
				return
			}
			var split []engine.Token
			for _, t := range s.Tokens {
				for i, r := range []rune(t.Text) {
					one := t
					one.Text, one.Offset, one.Top = string(r), t.Offset+i, nil
					split = append(split, one)
				}
			}
			s.Tokens = split
		}),
	},
	{
		Name:     "first-logprob-null",
		Sentence: "At temperature 0 the first log probability is null, as if it were that of a prompt's first token.",
		Stage:    "shape",
		Clauses:  []string{"LOG-006"},
		arm: logprobObjects(func(c *call, o *object) {
			if gjson.Get(o.get("text_offset"), "0").Int() == 0 && c.request.Temperature < 1e-5 && c.request.Logprobs != 1 {
				o.setFirst("token_logprobs", "null")
			}
		}),
	},
	{
		Name:     "tokens-trimmed",
		Sentence: "The tokens of log probabilities come without their leading space.",
		Stage:    "generate",
		Clauses:  []string{"LOG-007", "LOG-022"},
		arm:      eachToken(func(t *engine.Token) { t.Text = strings.TrimLeft(t.Text, " ") }),
	},
	{
		Name:     "top-logprobs-always-five",
		Sentence: "top_logprobs holds five tokens, however many are asked for.",
		Stage:    "generate",
		Clauses:  []string{"LOG-008"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.Logprobs > 0 {
				r.Logprobs = 5
			}
		}),
	},
	{
		Name:     "top-logprobs-without-sampled",
		Sentence: "top_logprobs holds the rivals of the sampled token, but not that token.",
		Stage:    "shape",
		Clauses:  []string{"LOG-009"},
		Seen:     "vllm#53722",
		arm: logprobObjects(func(_ *call, o *object) {
			tokens := gjson.Parse(o.get("tokens")).Array()
			o.eachTop(func(i int, top *object) {
				if len(top.members) > 1 && i < len(tokens) {
					top.remove(tokens[i].Str)
				}
			})
		}),
	},
	{
		Name:     "top-logprobs-are-probabilities",
		Sentence: "top_logprobs holds probabilities.",
		Stage:    "shape",
		Clauses:  []string{"LOG-009", "LOG-010", "LOG-011"},
		Seen:     "the source document's word for them (S:232)",
		arm: logprobObjects(func(_ *call, o *object) {
			o.eachTop(func(_ int, top *object) {
				for i, m := range top.members {
					top.members[i].raw = strconv.FormatFloat(math.Exp(gjson.Parse(m.raw).Num), 'f', -1, 64)
				}
			})
		}),
	},
	{
		Name:     "greedy-logprobs-swapped",
		Sentence: "At temperature 0 the sampled token and its nearest rival have each other's values.",
		Stage:    "generate",
		Clauses:  []string{"LOG-011"},
		arm: eachTokenOf(func(r *engine.Request) bool { return r.Temperature < 1e-5 && !r.UseBeamSearch }, func(t *engine.Token) {
			if len(t.Top) > 1 && t.Top[0].ID == t.ID {
				t.Top = slices.Clone(t.Top)
				t.Top[0].Logprob, t.Top[1].Logprob = t.Top[1].Logprob, t.Top[0].Logprob
				t.Logprob = t.Top[0].Logprob
			}
		}),
	},
	{
		Name:     "logprobs-0-is-none",
		Sentence: "logprobs 0 counts as absent.",
		Stage:    "generate",
		Clauses:  []string{"LOG-012"},
		Seen:     "vLLM 0.4.0",
		arm: asked(func(_ *call, r *engine.Request) {
			if r.Logprobs == 0 {
				r.Logprobs = -1
			}
		}),
	},
	{
		Name:     "offsets-from-prompt",
		Sentence: "Offsets count from the beginning of the prompt.",
		Stage:    "generate",
		Clauses:  []string{"LOG-013"},
		Seen:     "OpenAI's gpt-3.5-turbo-instruct, lm-evaluation-harness#2287",
		arm: everyStep(func(c *call, s *engine.Step) {
			s.Tokens = slices.Clone(s.Tokens)
			for i := range s.Tokens {
				s.Tokens[i].Offset += utf8.RuneCountInString(c.values.text("prompt"))
			}
		}),
	},
	{
		Name:     "offsets-in-bytes",
		Sentence: "Offsets count bytes.",
		Stage:    "generate",
		Clauses:  []string{"LOG-014"},
		arm: allSteps(func(_ *call, steps engine.Steps) engine.Steps {
			at := map[int]int{} // by choice
			return mapSteps(steps, func(s *engine.Step) {
				s.Tokens = slices.Clone(s.Tokens)
				for i := range s.Tokens {
					s.Tokens[i].Offset = at[s.Choice]
					at[s.Choice] += len(s.Tokens[i].Text)
				}
			})
		}),
	},
	{
		Name:     "chat-logprobs-ignored",
		Sentence: "The chat route accepts logprobs and answers with none.",
		Stage:    "generate",
		Clauses:  []string{"LOG-015"},
		Seen:     "llama.cpp#11346",
		arm: asked(func(c *call, r *engine.Request) {
			if c.route.name == "chat" {
				r.Logprobs = -1
			}
		}),
	},
	{
		Name:     "logprobs-clamped",
		Sentence: "More log probabilities than the server gives are lowered in silence.",
		Stage:    "range",
		Clauses:  []string{"LOG-020"},
		arm: before("range", func(c *call) {
			if c.values.logprobs() > mostLogprobs {
				c.values.set("logprobs", int64(mostLogprobs), strconv.Itoa(mostLogprobs))
			}
		}),
	},
	{
		Name:     "logprobs-change-text",
		Sentence: "A greedy answer with log probabilities leaves the last token of the prompt out.",
		Stage:    "generate",
		Clauses:  []string{"LOG-021"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.Logprobs > 1 && r.Temperature < 1e-5 && !r.UseBeamSearch {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
	{
		Name:     "logprobs-copied",
		Sentence: "Every choice has the log probabilities of the first.",
		Stage:    "shape",
		Clauses:  []string{"LOG-007", "LOG-022"},
		Perhaps:  []string{"FIN-011"},
		arm: func() arming {
			return func(c *call) {
				c.hooks.answer = append(c.hooks.answer, func(_ *call, b []byte) []byte {
					first := gjson.GetBytes(b, "choices.0.logprobs")
					return editChoices(b, func(_ int, o *object) {
						if first.IsObject() && !c.request.UseBeamSearch && c.request.BestOf <= c.request.N {
							o.set("logprobs", first.Raw)
						}
					})
				})
			}
		},
	},
}

// logprobObjects changes the object of log probabilities of each choice,
// streamed or not.
func logprobObjects(f func(*call, *object)) func() arming {
	change := func(c *call, choice *object) {
		if raw := choice.get("logprobs"); strings.HasPrefix(raw, "{") {
			o := parseObject(raw)
			f(c, o)
			choice.set("logprobs", o.String())
		}
	}
	plain := answerChoices(func(c *call, _ int, o *object) { change(c, o) })
	streamed := chunkChoices(change)
	return func() arming {
		a, b := plain(), streamed()
		return func(c *call) { a(c); b(c) }
	}
}

// eachTop changes each entry of top_logprobs.
func (o *object) eachTop(f func(i int, top *object)) {
	b := []byte{'['}
	for i, v := range gjson.Parse(o.get("top_logprobs")).Array() {
		top := parseObject(v.Raw)
		f(i, top)
		b = append(comma(b, i), top.String()...)
	}
	o.set("top_logprobs", string(append(b, ']')))
}

// setFirst replaces the first element of an array.
func (o *object) setFirst(name, raw string) {
	all := gjson.Parse(o.get(name)).Array()
	if len(all) > 0 {
		all[0].Raw = raw
		o.set(name, rawArray(all))
	}
}

func rawArray(values []gjson.Result) string {
	b := []byte{'['}
	for i, v := range values {
		b = append(comma(b, i), v.Raw...)
	}
	return string(append(b, ']'))
}

// eachToken changes each token that is told of, and counts offsets anew.
func eachToken(f func(*engine.Token)) func() arming {
	return eachTokenOf(func(*engine.Request) bool { return true }, f)
}

func eachTokenOf(applies func(*engine.Request) bool, f func(*engine.Token)) func() arming {
	return allSteps(func(c *call, steps engine.Steps) engine.Steps {
		if !applies(&c.request) {
			return steps
		}
		at := map[int]int{} // by choice
		return mapSteps(steps, func(s *engine.Step) {
			s.Tokens = slices.Clone(s.Tokens)
			for i := range s.Tokens {
				f(&s.Tokens[i])
				s.Tokens[i].Offset = at[s.Choice]
				at[s.Choice] += utf8.RuneCountInString(s.Tokens[i].Text)
			}
		})
	})
}

// mapSteps is steps with each of them changed.
func mapSteps(steps engine.Steps, f func(*engine.Step)) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		for s, err := range steps {
			if err == nil {
				f(&s)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}
