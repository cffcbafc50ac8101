package suites

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/touchstone-llm/touchstone/reports"
)

// This file holds what rules expect of a single answer.

// answeredAs returns the plain answer to a labelled request of a probe, nil
// (and the case settled) if it was refused or did not come.
func (c *Case) answeredAs(probe, label string) *reply {
	r := c.labelled(probe, label)
	switch {
	case r == nil:
	case r.ok() && r.doc.IsObject():
		return r
	case r.ok():
		c.inconclusive("the answer to request %s of probe %s is no JSON object (RSP-001)", label, probe)
	default:
		c.declined(r)
	}
	return nil
}

// declined settles the case by a refusal: one that names a parameter under
// test makes the clause unsupported, any other makes it inconclusive.
func (c *Case) declined(r *reply) {
	if p := probeByName[r.probe]; p != nil && r.refused() && r.names(p.tests...) {
		if claimed := c.Facts.target.featured(p.tests); claimed != "" {
			c.fail(r, "status", "200: the owner says that the target honours "+claimed, r.statusLine())
			return
		}
		c.settle(reports.Unsupported, fmt.Sprintf("the target refuses %s (HTTP %d): %s", strings.Join(p.tests, ", "), r.status(), shorten(r.message(), 120)))
	} else {
		c.inconclusive("probe %s was refused (HTTP %d): %s", r.probe, r.status(), shorten(r.message(), 120))
	}
}

// wantText expects the text of the first choice.
func (c *Case) wantText(r *reply, want, why string) {
	if got := r.firstText(); got != want {
		c.fail(r, textPath[r.route], strconv.Quote(around(want, got))+": "+why, strconv.Quote(around(got, want)))
	}
}
