package simulator

import (
	"slices"
	"strings"
)

// extraParameters is the stage 'extra' of the dialects that have the header
// extra-parameters: what becomes of parameters that the dialect does not name
// (clauses EXT-001 to EXT-014). It looks at the members of the body, not into
// messages and tools (EXT-012).
func extraParameters(c *call) *refusal {
	if !c.route.extras {
		return nil
	}
	policy, bad := extraPolicy(c)
	if bad != nil || policy == "pass-through" { // the type stage refuses what the model does not know either
		return bad
	}
	isExtra := func(m member) bool {
		p, known := c.route.parameter(m.name)
		return !known || p.extra
	}
	if policy == "drop" {
		c.document = slices.DeleteFunc(c.document, isExtra)
		return nil
	}
	var names []string
	for _, m := range c.document {
		if isExtra(m) {
			names = append(names, "'"+clip(m.name)+"'")
		}
	}
	if len(names) == 0 {
		return nil
	}
	// As the service words it, with every name (EXT-009).
	return invalid(codeExtra, strings.Trim(names[0], "'"), "Extra parameters [%s] are not allowed when extra-parameters is not set or set to be 'error'. "+
		"Remove them, or set extra-parameters to 'drop' to leave them out or to 'pass-through' to pass them to the model.",
		strings.Join(names, ", "))
}

// extraPolicy reads the header; without it, it is error (conflicts C12, C13).
func extraPolicy(c *call) (string, *refusal) {
	given := c.header.Values("Extra-Parameters")
	switch {
	case len(given) == 0:
		return "error", nil
	case len(given) == 1 && slices.Contains([]string{"error", "drop", "pass-through"}, given[0]):
		return given[0], nil
	}
	return "", invalid(codeHeader, "extra-parameters", "The header extra-parameters must be one of 'error', 'drop' and 'pass-through', once; got '%s'.",
		clip(strings.Join(given, "', '")))
}
