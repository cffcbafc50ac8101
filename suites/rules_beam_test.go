package suites

import (
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// beamFaults are what breaks each clause of BEAM.
var beamFaults = []fault{
	{clause: "BEAM-001", probe: "beam.one", edit: accepted},
	{clause: "BEAM-002", probe: "beam.warm", edit: accepted},
	{clause: "BEAM-003", probe: "beam.default", edit: accepted},
	{clause: "BEAM-004", probe: "beam.two", edit: func(t *transcript) { t.status = 500 }},
	{clause: "BEAM-005", probe: "beam", edit: onlyOnce(func(t *transcript) { t.body = strings.Replace(t.body, " w00", " x00", 1) })},
	{clause: "BEAM-006", probe: "beam.n2", edit: func(t *transcript) {
		m := made{words(4), "length", flat(4, -1)}
		*t = plainly(schemas.Completions, t.probe, t.sent, m, m)
	}},
	{clause: "BEAM-007", probe: "beam.greedy", from: "-1.25", to: "-0.25"},
	{clause: "BEAM-008", probe: "beam.top_p", edit: func(t *transcript) { t.status = 500 }},
	{clause: "BEAM-009", probe: "beam.stream", edit: tokenWise},
	{clause: "BEAM-010", probe: "beam.off", from: " w03", to: " x"},
	{clause: "BEAM-011", probe: "beam.n2.alone", edit: func(t *transcript) { t.status = 500 }},
}
