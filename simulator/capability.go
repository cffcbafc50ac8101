package simulator

import "github.com/touchstone-llm/touchstone/engine"

// A partial Generator cannot honour everything that a request may ask. What it
// cannot is refused before it costs anything, never ignored.
type partial interface {
	Generator
	// lacks names what of r cannot be honoured, "" for nothing: Constraint,
	// UseBeamSearch or PromptLogprobs, by their parameters.
	lacks(r engine.Request) string
}

// checkCapability refuses what the generator cannot do (ERR-007).
func checkCapability(c *call) *refusal {
	g, ok := c.generator.(partial)
	if !ok {
		return nil
	}
	asked := engine.Request{Constraint: c.constraint, UseBeamSearch: c.values.flag("use_beam_search")}
	if c.values.flag("echo") {
		asked.PromptLogprobs = new(0)
	}
	if name := g.lacks(asked); name != "" {
		return unsupported(name, "%s is not supported by the model that answers here; remove it.", name)
	}
	return nil
}

// lacks says what neither another server's model nor random text can be held to.
func lacks(r engine.Request) string {
	switch {
	case r.Constraint != nil:
		return "response_format"
	case r.PromptLogprobs != nil:
		return "echo"
	}
	return ""
}

func (random) lacks(r engine.Request) string { return lacks(r) }

func (u *upstream) lacks(r engine.Request) string {
	if r.UseBeamSearch { // OpenAI-compatible routes have no common name for it
		return "use_beam_search"
	}
	return lacks(r)
}

func (s short) lacks(r engine.Request) string {
	if g, ok := s.Generator.(partial); ok {
		return g.lacks(r)
	}
	return ""
}
