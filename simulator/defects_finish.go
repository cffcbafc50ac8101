package simulator

import (
	"errors"

	"github.com/touchstone-llm/touchstone/engine"
)

// finishDefects break the area FIN, the reasons why choices end.
var finishDefects = []Defect{
	{
		Name:     "finish-eos",
		Sentence: "finish_reason is eos where it should be stop.",
		Stage:    "generate",
		Clauses:  []string{"SCH-001", "SCH-002", "FIN-001", "FIN-006", "FIN-007", "FIN-008", "LOG-005", "STP-009", "STP-013", "STP-014", "STP-023", "EOS-001"},
		Seen:     "text-generation-inference#2344 (eos_token); Together, openai-dotnet#267",
		arm:      finishAs(engine.FinishStop, "eos"),
	},
	{
		Name:     "finish-length-for-eos",
		Sentence: "finish_reason is length when the model ends by itself.",
		Stage:    "generate",
		Clauses:  []string{"FIN-003", "LOG-005"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if s.Finish == engine.FinishStop && len(c.request.Stop)+len(c.request.StopTokenIDs) == 0 {
				s.Finish = engine.FinishLength
			}
		}),
	},
	{
		Name:     "finish-length-for-stop",
		Sentence: "finish_reason is length when a stop string matched.",
		Stage:    "generate",
		Clauses:  []string{"FIN-003", "FIN-006", "STP-009", "STP-013", "STP-023"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if s.Finish == engine.FinishStop && len(c.request.Stop) > 0 {
				s.Finish = engine.FinishLength
			}
		}),
	},
	{
		Name:     "finish-stop-for-length",
		Sentence: "finish_reason is stop although max_tokens was reached.",
		Stage:    "generate",
		Clauses:  []string{"FIN-005", "FIN-009", "FIN-010", "FIN-011", "EOS-002"},
		Seen:     "LocalAI#3533; ik_llama.cpp#2321",
		arm:      finishAs(engine.FinishLength, engine.FinishStop),
	},
	{
		Name:     "stop-overcounted",
		Sentence: "A choice that stops is counted with one token more than max_tokens allows.",
		Stage:    "generate",
		Clauses:  []string{"FIN-004", "LOG-005", "USE-003"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if s.Finish == engine.FinishStop {
				s.Generated = c.request.MaxTokens + 1
			}
		}),
	},
	{
		Name:     "one-token-stops",
		Sentence: "max_tokens 1 ends with stop.",
		Stage:    "generate",
		Clauses:  []string{"FIN-005", "FIN-009", "EOS-002"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.request.MaxTokens == 1 && s.Finish == engine.FinishLength {
				s.Finish = engine.FinishStop
			}
		}),
	},
	{
		Name:     "ignore-eos-ignored",
		Sentence: "ignore_eos true is accepted and has no effect.",
		Stage:    "generate",
		Clauses:  []string{"FIN-009", "EOS-002"},
		arm:      asked(func(_ *call, r *engine.Request) { r.IgnoreEOS = false }),
	},
	{
		Name:     "context-end-fails",
		Sentence: "Generation that reaches the end of the context is an error.",
		Stage:    "generate",
		Clauses:  []string{"FIN-010", "ERR-009"},
		arm: allSteps(func(c *call, steps engine.Steps) engine.Steps {
			return func(yield func(engine.Step, error) bool) {
				for s, err := range steps {
					if err == nil && s.Finish == engine.FinishLength && len(c.prompt)+s.Generated >= c.generator.Config().ContextLength {
						yield(s, errors.New("defect context-end-fails"))
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
		Name:     "finish-copied",
		Sentence: "Every choice of an answer has the finish_reason of the first.",
		Stage:    "shape",
		Clauses:  []string{"FIN-011", "STP-013"},
		arm: func() arming {
			return func(c *call) {
				first := ""
				answerChoices(func(_ *call, i int, o *object) {
					if i == 0 {
						first = o.get("finish_reason")
					}
					o.set("finish_reason", first)
				})()(c)
			}
		},
	},
	{
		Name:     "finish-empty",
		Sentence: "finish_reason is the empty string in chunks where it should be null.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "FIN-012", "STR-008"},
		Seen:     "ollama#4357, sglang#3912",
		arm: chunkChoices(func(_ *call, o *object) {
			if o.get("finish_reason") == "null" {
				o.set("finish_reason", `""`)
			}
		}),
	},
	{
		Name:     "stream-finish-stop",
		Sentence: "Streams always end with stop, unless ignore_eos is set.",
		Stage:    "generate",
		Clauses:  []string{"FIN-014"},
		Seen:     "litellm#35663",
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.values.flag("stream") && !c.request.IgnoreEOS && s.Finish == engine.FinishLength {
				s.Finish = engine.FinishStop
			}
		}),
	},
}

// finishAs replaces one finish_reason by another.
func finishAs(from, to engine.FinishReason) func() arming {
	return everyStep(func(_ *call, s *engine.Step) {
		if s.Finish == from {
			s.Finish = to
		}
	})
}

// answersEnd replaces one finish_reason by another where an answer is written,
// behind what it does to the rest of it.
func answersEnd(from, to string) func() arming {
	return answerChoices(func(_ *call, _ int, o *object) {
		if o.get("finish_reason") == quote(from) {
			o.set("finish_reason", quote(to))
		}
	})
}
