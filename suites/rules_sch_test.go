package suites

import (
	"strings"
)

// schFaults are what breaks each clause of SCH.
var schFaults = []fault{
	{clause: "SCH-001", probe: "control", from: `"index":0`, to: `"index":"zero"`},
	{clause: "SCH-002", probe: "greedy.stream", from: `"index":0`, to: `"index":"zero"`},
	{clause: "SCH-003", probe: "best_of.less", from: `{"error":`, to: `["error",`, edit: func(t *transcript) { t.body = strings.TrimSuffix(t.body, "}") + "]" }},
}
