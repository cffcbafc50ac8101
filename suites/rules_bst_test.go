package suites

import (
	"time"

	"github.com/touchstone-llm/touchstone/schemas"
)

// bstFaults are what breaks each clause of BST.
var bstFaults = []fault{
	{clause: "BST-001", probe: "best_of.less", edit: accepted},
	{clause: "BST-002", probe: "best_of.equal", edit: accepted},
	{clause: "BST-003", probe: "n3", edit: refused("best_of")},
	{clause: "BST-004", probe: "best_of.one", edit: refused("best_of")},
	{clause: "BST-005", probe: "best_of.1of3", edit: func(t *transcript) { t.sent["n"] = 3 }},
	{clause: "BST-006", probe: "best_of.best", edit: func(t *transcript) {
		*t = plainly(schemas.Completions, t.probe, t.sent, made{words(8), "length", flat(8, -2)})
	}},
	{clause: "BST-007", probe: "best_of.ordered", from: "-1.5", to: "-0.1"},
	{clause: "BST-008", probe: "best_of.stream", edit: tokenWise},
	{clause: "BST-009", probe: "best_of.equal.stream", edit: func(t *transcript) { t.status = 500 }},
	{clause: "BST-010", probe: "best_of.greedy", edit: accepted},
	{clause: "BST-011", probe: "best_of.null", edit: func(t *transcript) { t.status = 500 }},
	{clause: "BST-013", probe: "best_of.absurd", edit: func(t *transcript) { t.took = 5 * time.Second }},
	{clause: "BST-014", probe: "best_of.2of4", from: `"index":1`, to: `"index":0`},
	{clause: "BST-015", route: schemas.Chat, probe: "best_of.1of3", edit: refused("best_of")},
	{clause: "BST-016", probe: "best_of.2of4", from: `"completion_tokens":16`, to: `"completion_tokens":8`},
}
