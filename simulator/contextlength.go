package simulator

import "github.com/touchstone-llm/touchstone/engine"

// contextLength is the stage 'context': prompt and answer fit in the model's
// context (clauses CTX-001 to CTX-010). The prompt is never cut; n and best_of
// do not count, as each candidate has the context to itself.
func contextLength(c *call) *refusal {
	if c.route.context != nil {
		return c.route.context(c)
	}
	if bad := c.encode(); bad != nil {
		return bad
	}
	most := c.generator.Config().ContextLength
	for _, p := range c.prompts {
		if len(p) > len(c.prompt) {
			c.prompt = p
		}
	}
	c.capLength(max(1, most-len(c.prompt)))
	if bad := shortest(c.values); bad != nil {
		return bad
	}
	if asked := c.values.maxTokens(); asked > most-len(c.prompt) {
		return tooLong(c, most, asked)
	}
	return checkCapability(c)
}

// capLength sets max_tokens to the rest of the context where that is its default
// (CTX-006), or where its default is more.
func (c *call) capLength(rest int) {
	if c.values.given(c.values.lengthName()) {
		return
	}
	p, _ := c.route.parameter("max_tokens")
	if p == nil || p.fallback == nil || p.capped && c.values.maxTokens() > rest {
		c.values.fill("max_tokens", int64(rest))
	}
}

// tooLong has vLLM's text, whose numbers clients read.
func tooLong(c *call, most, asked int) *refusal {
	input, length := c.route.input().name, c.values.lengthName()
	param := length
	if len(c.prompt) >= most {
		param = input
	}
	return invalid(codeContext, param, "This model's maximum context length is %d tokens. However, you requested %d tokens "+
		"(%d in the %s, %d in the completion). Please reduce the length of the %s or completion (%s).",
		most, uint64(len(c.prompt))+uint64(asked), len(c.prompt), input, asked, input, length)
}

// encode turns the prompts or the messages into tokens.
func (c *call) encode() *refusal {
	switch input := c.values.of(c.route.input().name).(type) {
	case []engine.Message:
		tokens, err := c.generator.ChatPrompt(input, c.values.offered())
		if err != nil {
			return cannotRender(c, err)
		}
		c.prompts = append(c.room.prompts[:0], tokens)
	case string:
		c.prompts = append(c.room.prompts[:0], c.generator.Prompt(input))
	case []prompt:
		vocabulary := c.generator.Config().VocabSize
		c.prompts = c.room.prompts[:0]
		for i, p := range input {
			tokens := p.tokens
			if tokens == nil {
				tokens = c.generator.Prompt(p.text)
			}
			for _, id := range tokens {
				if id >= vocabulary {
					return invalid(codeRange, c.route.input().name, "%s %d holds the token id %d; the model has %d tokens.", c.route.input().name, i, id, vocabulary)
				}
			}
			c.prompts = append(c.prompts, tokens)
		}
	}
	biases, _ := c.values.of("logit_bias").(map[int]float64)
	for id := range biases {
		if vocabulary := c.generator.Config().VocabSize; id >= vocabulary {
			return invalid(codeRange, "logit_bias", "logit_bias holds the token id %d; the model has %d tokens.", id, vocabulary)
		}
	}
	for _, p := range c.prompts {
		if len(p) == 0 {
			return invalid(codeRange, c.route.input().name, "%s has no tokens; send some text.", c.route.input().name)
		}
	}
	return nil
}
