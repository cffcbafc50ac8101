package simulator

import (
	"fmt"
	"strings"
)

// ranges is the stage 'range': every value keeps the bounds of the table, and
// none is moved into them (clause REQ-047). The values are in the table's order.
func ranges(c *call) *refusal {
	for i := range c.values.list {
		x := &c.values.list[i]
		p := c.rowOf(x)
		if !x.given || p == nil {
			continue
		}
		for _, b := range p.bounds {
			if !holdsAll(b, x.typed) {
				message := b.message
				if strings.Contains(message, "%s") {
					message = fmt.Sprintf(message, clip(x.raw))
				}
				return invalid(codeRange, p.name, "%s", message)
			}
		}
	}
	return nil
}

// rowOf is the row of x in the route's table, nil for none.
func (c *call) rowOf(x *value) *parameter {
	if x.row == nil {
		x.row, _ = c.route.parameter(x.name)
	}
	return x.row
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
