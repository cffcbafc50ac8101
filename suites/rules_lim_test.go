package suites

import (
	"net/http"
	"strings"
	"time"
)

// limGood is what a good deployment of a small quota answers.
func limGood(f *Facts) []transcript {
	f.target.Limited = &Limited{Beside: Beside{BaseURL: "http://limited"}, Requests: 4, Tokens: 100, Window: time.Second}
	one := made{words(1), "length", nil}
	var ts []transcript
	seen := map[string]int{}
	for _, probe := range []string{"limits.burst", "limits"} {
		for _, a := range asksOf(f, probe) {
			t := answering(f, probe, a, plainly(f.Route, probe, nil, one))
			if probe == "limits.burst" {
				a.label = probe
			}
			seen[a.label]++
			switch n := seen[a.label]; a.label {
			case "limits.burst":
				if n > 4 {
					overQuota(&t)
				} else if t.label == "stream" {
					t = answering(f, probe, a, streamly(f.Route, probe, body{}, one))
				}
			case "large", "long":
				if n > 2 {
					continue
				}
				if n == 2 {
					overQuota(&t)
				}
			case "other key", "still", "one more", "counted", "n":
				overQuota(&t)
			case "over", "bad form":
				refuse400(&t)
			case "wrong key":
				refuse400(&t)
				t.status = 401
			case "filtered":
				refuse400(&t)
				t.body = `{"error":{"message":"filtered","code":"content_filter"}}`
			}
			ts = append(ts, t)
		}
	}
	return ts
}

// overQuota refuses for the quota.
func overQuota(t *transcript) {
	refuse400(t)
	t.status = http.StatusTooManyRequests
	t.body = `{"error":{"message":"Rate limit is exceeded."}}`
	t.header.Set("Retry-After", "1")
}

// admit answers what was refused, with a usage of that many tokens.
func admit(tokens string) func(*transcript) {
	return func(t *transcript) {
		accept200(t)
		t.body = strings.NewReplacer(`"prompt_tokens":5`, `"prompt_tokens":`+tokens, `"total_tokens":6`, `"total_tokens":`+tokens).Replace(t.body)
	}
}

// limFaults are what breaks each clause of LIM.
var limFaults = []fault{
	{clause: "LIM-001", probe: "limits.burst", edit: accept200},
	{clause: "LIM-002", probe: "limits.burst", edit: onlyOnce(overQuota)},
	{clause: "LIM-003", probe: "limits", label: "large", edit: admit("150")},
	{clause: "LIM-004", probe: "limits", label: "long", edit: admit("150")},
	{clause: "LIM-005", probe: "limits", label: "n", edit: accept200},
	{clause: "LIM-006", probe: "limits.burst", edit: func(t *transcript) { t.header.Del("Retry-After") }},
	{clause: "LIM-006", probe: "limits", label: "still", edit: func(t *transcript) { t.header.Set("Retry-After", "0") }},
	{clause: "LIM-007", probe: "limits", label: "again", edit: func(t *transcript) { overQuota(t); t.at = time.Minute }},
	{clause: "LIM-008", probe: "limits", label: "main", edit: overQuota},
	{clause: "LIM-009", probe: "limits", label: "other key", edit: accept200},
	{clause: "LIM-010", probe: "limits.burst", edit: accept200},
	{clause: "LIM-011", probe: "limits", label: "good", edit: overQuota},
	{clause: "LIM-012", probe: "limits", label: "still", edit: func(t *transcript) { t.body = "slow down" }},
	{clause: "LIM-013", probe: "limits.burst", label: "stream", edit: func(t *transcript) {
		if t.status == http.StatusTooManyRequests {
			t.header, t.body = sseHeader(), "data: {}\n\n"
		}
	}},
	{clause: "LIM-015", probe: "limits", label: "whole", edit: onlyOnce(overQuota)},
	{clause: "LIM-015", probe: "limits", label: "still", edit: func(t *transcript) { t.header.Set("Retry-After", "60") }},
	{clause: "LIM-016", probe: "limits", label: "over", edit: accept200},
	{clause: "LIM-016", probe: "limits", label: "over", edit: func(t *transcript) { t.took = 11 * time.Second }},
	{clause: "LIM-018", probe: "limits", label: "counted", edit: accept200},
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Requests": {"-3"}}
	}},
	{clause: "LIM-014", probe: "control", edit: func(t *transcript) {
		t.header = http.Header{"X-Ratelimit-Remaining-Tokens": {"9"}, "X-Ratelimit-Limit-Tokens": {"8"}}
	}},
}
