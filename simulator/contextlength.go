package simulator

// contextLength is the stage 'context': prompt and answer fit in the model's
// context (clauses CTX-001 to CTX-010). The prompt is never cut; n and best_of
// do not count, as each candidate has the context to itself.
func contextLength(c *call) *refusal {
	if bad := c.encode(); bad != nil {
		return bad
	}
	most, asked := c.generator.Config().ContextLength, c.values.maxTokens()
	if asked > most-len(c.prompt) {
		return tooLong(c, most, asked)
	}
	return nil
}

// tooLong has vLLM's text, whose numbers clients read.
func tooLong(c *call, most, asked int) *refusal {
	input, length := c.route.parameters[0].name, c.values.lengthName()
	param := length
	if len(c.prompt) >= most {
		param = input
	}
	return invalid(codeContext, param, "This model's maximum context length is %d tokens. However, you requested %d tokens "+
		"(%d in the %s, %d in the completion). Please reduce the length of the %s or completion (%s).",
		most, uint64(len(c.prompt))+uint64(asked), len(c.prompt), input, asked, input, length)
}

// encode turns the prompt or the messages into tokens.
func (c *call) encode() *refusal {
	if messages := c.values.messages(); messages != nil {
		prompt, err := c.generator.ChatPrompt(messages)
		if err != nil {
			c.log.Info("chat template", "error", err)
			return invalid(codeCombination, "messages", "The model's chat template cannot render these messages; change their roles or order.")
		}
		c.prompt = prompt
	} else {
		c.prompt = c.generator.Prompt(c.values.text("prompt"))
	}
	if len(c.prompt) == 0 {
		return invalid(codeRange, c.route.parameters[0].name, "%s has no tokens; send some text.", c.route.parameters[0].name)
	}
	return nil
}
