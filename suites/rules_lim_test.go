package suites

import "net/http"

// limFaults are what breaks each clause of LIM.
var limFaults = []fault{
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Requests": {"-3"}}
	}},
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Tokens": {"9"}, "X-Ratelimit-Limit-Tokens": {"8"}}
	}},
}
