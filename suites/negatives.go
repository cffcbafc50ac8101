package suites

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// A negative is a clause that says that certain requests are refused. The
// tables of the areas hold one for each; probes and rules are made from them.
type negative struct {
	clause string
	// probe gathers the requests of several clauses, so that one control request
	// can follow them all (ERR-011).
	probe string
	// why says what is wrong, for findings.
	why   string
	cases []edit
	// apart is whether the clause says more, and has a rule of its own.
	apart bool
}

// An edit makes a bad request of a good one: names and JSON values in turn. A
// value of "" removes the member. The label is made of them.
type edit struct {
	label   string
	members []string
	// raw is the whole body, for what is no object with members.
	raw func(*Facts) []byte
}

// set is the edit that sets members to JSON values, given in turn.
func set(members ...string) edit {
	return edit{label: shorten(strings.Join(members, " "), 48), members: members}
}

// each is an edit for each value of one member.
func each(member string, values ...string) []edit {
	var out []edit
	for _, v := range values {
		out = append(out, set(member, v))
	}
	return out
}

// called gives an edit a label of its own.
func (e edit) called(label string) edit { e.label = label; return e }

// ask is the request that e makes.
func (e edit) ask(f *Facts) ask {
	if e.raw != nil {
		return ask{label: e.label, wire: wire{raw: e.raw(f)}}
	}
	return ask{label: e.label, wire: wire{raw: rawBody(f, shortPrompt, e.members...)}}
}

// shortPrompt keeps negatives small.
const shortPrompt = "hi"

// rawBody is a small valid request, with members set or removed, written
// member by member: what json.Marshal cannot write can be sent too.
func rawBody(f *Facts, prompt string, members ...string) []byte {
	list := [][2]string{{"prompt", quoted(prompt)}, {"max_tokens", "4"}}
	if f.Route == schemas.Chat {
		list[0] = [2]string{"messages", `[{"role":"user","content":` + quoted(prompt) + `}]`}
	}
	if f.target.Model != "" {
		list = append(list, [2]string{"model", quoted(f.target.Model)})
	}
	for i := 0; i+1 < len(members); i += 2 {
		at := slices.IndexFunc(list, func(m [2]string) bool { return m[0] == members[i] })
		switch {
		case at >= 0 && members[i+1] == "":
			list = slices.Delete(list, at, at+1)
		case at >= 0:
			list[at][1] = members[i+1]
		case members[i+1] != "":
			list = append(list, [2]string{members[i], members[i+1]})
		}
	}
	b := []byte{'{'}
	for i, m := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quoted(m[0])...), ':'), m[1]...)
	}
	return append(b, '}')
}

// quoted is s as a JSON string.
func quoted(s string) string { return string(gjson.AppendJSONString(nil, s)) }

// share are the edits that are sent on one route of a target that serves both:
// the first on each, the others on one of the two, in turn. Together they cost
// little more than once, and no route goes without.
func share(f *Facts, edits []edit) []edit {
	if f.Alone {
		return edits
	}
	var out []edit
	for i, e := range edits {
		if i == 0 || (i%2 == 1) == (f.Route == schemas.Chat) {
			out = append(out, e)
		}
	}
	return out
}

// here are the cases of a negative that are sent on a route.
func (n negative) here(f *Facts) []edit {
	cl, ok := schemas.Lookup(n.clause)
	switch {
	case !ok || !cl.Holds(f.target.dialect(), f.Route):
		return nil
	case len(cl.Dialects[f.target.dialect()]) < 2:
		return n.cases
	}
	return share(f, n.cases)
}

// negativeProbes gathers the requests of negatives in probes. In each dialect
// and on each route those are sent whose clause holds there.
func negativeProbes(all []negative) []probe {
	var out []probe
	for _, n := range all {
		if slices.ContainsFunc(out, func(p probe) bool { return p.name == n.probe }) {
			continue
		}
		out = append(out, probe{name: n.probe, hostile: true, free: true, asks: func(f *Facts) []ask {
			var asks []ask
			for _, m := range all {
				if m.probe != n.probe {
					continue
				}
				for _, e := range m.here(f) {
					asks = append(asks, e.ask(f))
				}
			}
			return asks
		}})
	}
	return out
}

// negativeRules judge negatives: each case must be refused.
func negativeRules(all []negative) []rule {
	var out []rule
	for _, n := range all {
		if n.apart {
			continue
		}
		out = append(out, rule{clause: n.clause, reads: []string{n.probe}, judge: func(c *Case) {
			c.refusesAll(n)
		}})
	}
	return out
}

// refusesAll expects each case of a negative to be refused.
func (c *Case) refusesAll(n negative) {
	for _, e := range n.here(c.Facts) {
		if r := c.labelled(n.probe, e.label); r != nil {
			c.wantRefusal(r, n.why)
		}
	}
}

// wantRefusal expects a request to be refused: 400 or 422, and exactly 400
// under strict where the dialect leaves no choice (C35). More statuses may be
// right for some requests.
func (c *Case) wantRefusal(r *reply, why string, more ...int) {
	want := "400 or 422"
	statuses := []int{http.StatusBadRequest, http.StatusUnprocessableEntity}
	if c.Profile == schemas.Strict && c.dialect() != DialectAzureInference {
		want, statuses = "400", statuses[:1]
	}
	if r.ok() && r.doc.Get("error").Exists() && !r.doc.Get("choices").Exists() {
		c.note("a refusal came as 200 (ERR-019)")
		return
	}
	if !slices.Contains(append(statuses, more...), r.status()) {
		c.fail(r, "status", want+": "+why, r.statusLine())
	}
}

// wantNoServerError expects an answer or a refusal, in time.
func (c *Case) wantNoServerError(r *reply, what string) {
	if s := r.status(); s != http.StatusOK && !r.refused() {
		c.fail(r, "status", "200 or a refusal: "+what, r.statusLine())
	}
}
