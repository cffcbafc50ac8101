package simulator

import (
	"fmt"
	"strings"
)

// ranges is the stage 'range': every value keeps the bounds of the table, and
// none is moved into them (clause REQ-047).
func ranges(c *call) *refusal {
	for i := range c.route.parameters {
		p := &c.route.parameters[i]
		if !c.values.given(p.name) {
			continue
		}
		for _, b := range p.bounds {
			if !holdsAll(b, c.values.of(p.name)) {
				message := b.message
				if strings.Contains(message, "%s") {
					message = fmt.Sprintf(message, clip(c.values.raw(p.name)))
				}
				return invalid(codeRange, p.name, "%s", message)
			}
		}
	}
	return nil
}

// holdsAll says whether b holds for v, or for every element of a list v.
func holdsAll(b bound, v any) bool {
	switch list := v.(type) {
	case []string:
		for _, x := range list {
			if !b.holds(x) {
				return false
			}
		}
		return true
	case []int64:
		for _, x := range list {
			if !b.holds(x) {
				return false
			}
		}
		return true
	}
	return b.holds(v)
}
