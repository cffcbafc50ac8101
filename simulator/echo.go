package simulator

import (
	"math"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/engine"
)

// echoed puts the prompt before the text of every choice, with its tokens if log
// probabilities are asked for (clause REQ-078). The first token of a prompt has
// no log probability, which is NaN here; a token that begins every sequence is
// left out, as it has no text. Offsets count from the start of the prompt (C28).
func echoed(steps engine.Steps, text string, r engine.Request) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		length := 0
		for step, err := range steps {
			switch {
			case err != nil || step.Prompt == nil:
				for i := range step.Tokens {
					step.Tokens[i].Offset += length
				}
				if !yield(step, err) {
					return
				}
				continue
			}
			tokens := step.Prompt
			tokens[0].Logprob = math.NaN()
			if len(tokens) > 1 && len(tokens[0].Bytes) == 0 {
				tokens = tokens[1:]
			}
			if text == "" {
				for _, t := range tokens {
					text += t.Text
				}
			}
			length = utf8.RuneCountInString(text)
			if r.Logprobs < 0 {
				tokens = nil
			}
			for i := range r.N {
				if !yield(engine.Step{Choice: i, Text: text, Tokens: tokens}, nil) {
					return
				}
			}
		}
	}
}
