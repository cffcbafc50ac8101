package suites

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/touchstone-llm/touchstone/schemas"
)

// This file makes good transcripts from the probes themselves, and faults from
// the tables of negatives.

// asksOf are the requests of a probe, as a target like that of f would get them.
func asksOf(f *Facts, probe string) []ask {
	p := probeByName[probe]
	if p == nil {
		panic("no probe " + probe)
	}
	if p.routes != nil && !slices.Contains(p.routes, f.Route) || p.dialects != nil && !slices.Contains(p.dialects, f.target.dialect()) {
		return nil
	}
	return p.asks(f)
}

// answering is the transcript of an ask with a status and a body.
func answering(f *Facts, probe string, a ask, like transcript) transcript {
	like.probe, like.label, like.wire = probe, a.label, a.wire
	if like.sent = a.body; a.wire.raw == nil {
		like.sent = a.body.prompt(f.Route, a.prompt)
	}
	return like
}

// refusals are the good answers to a probe whose requests are all bad.
func refusals(f *Facts, probe string) []transcript {
	var out []transcript
	for _, a := range asksOf(f, probe) {
		out = append(out, answering(f, probe, a, refusal(probe, nil, "x", "bad")))
	}
	return out
}

// replies are answers to a probe whose requests are all right: each as made, or
// a stream of it where the request asks for one; as many words as max_tokens
// allows where that is why it ends.
func replies(f *Facts, probe string, m made) []transcript {
	var out []transcript
	for _, a := range asksOf(f, probe) {
		m := m
		t := answering(f, probe, a, plainly(f.Route, probe, nil, m))
		r := t.reply(f, 0)
		if m.reason == "length" {
			m.pieces = words(r.number("max_tokens", capped))
			t = answering(f, probe, a, plainly(f.Route, probe, nil, m))
		}
		if r.streams() {
			t = answering(f, probe, a, streamly(f.Route, probe, body{}, m))
			if t.wire.raw == nil {
				t.sent["stream"] = true
			}
		}
		out = append(out, t)
	}
	return out
}

// relabel replaces the transcript with that label.
func relabel(ts []transcript, label string, f func(transcript) transcript) []transcript {
	for i, t := range ts {
		if t.label == label {
			ts[i] = f(t)
		}
	}
	return ts
}

// negativeFaults accept what negatives say is bad, one case of each.
func negativeFaults(all []negative) []fault {
	var out []fault
	for _, n := range all {
		cl, _ := schemas.Lookup(n.clause)
		d := dialects[slices.IndexFunc(dialects, func(d string) bool { return len(cl.Dialects[d]) > 0 })]
		for _, e := range n.cases {
			routes := slices.Clone(cl.Dialects[d])
			at := slices.IndexFunc(routes, func(r schemas.Route) bool {
				here := n.here(&Facts{Route: r, target: Target{Dialect: d}})
				return slices.ContainsFunc(here, func(o edit) bool { return o.label == e.label })
			})
			out = append(out, fault{clause: n.clause, dialect: d, route: routes[at], probe: n.probe, label: e.label, edit: accept200})
		}
	}
	return out
}

// accept200 answers with 200 what was to be refused.
func accept200(t *transcript) {
	like := plainly(schemas.Completions, t.probe, t.sent, made{[]string{" anything"}, "length", nil})
	like.label, like.wire = t.label, t.wire
	*t = like
}

// refuse400 refuses what was to be accepted.
func refuse400(t *transcript) {
	like := refusal(t.probe, t.sent, "zzz", "no")
	like.label, like.wire = t.label, t.wire
	*t = like
}

// status answers with another status.
func status(n int) func(*transcript) {
	return func(t *transcript) { t.status = n; t.body = fmt.Sprintf(`{"error":{"message":"%d"}}`, cmp.Or(n, 500)) }
}
