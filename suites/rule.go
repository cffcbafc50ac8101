package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A rule judges evidence against one clause. It does no I/O: it reads what the
// probes recorded, so it can be judged again without a target.
type rule struct {
	clause string
	// reads names the probes whose evidence is judged.
	reads []string
	// all makes the rule judge every exchange of the run; reads are then only
	// those that must have been sent.
	all bool
	// endpoint makes the rule judge once for the whole endpoint, on the first
	// of its routes that is served.
	endpoint bool
	// across gives the case the replies of the other routes too.
	across bool
	judge  func(*Case)
}

// sees leaves out what other deployments answered, unless the rule is about them.
func (r *rule) sees(replies []*reply) []*reply {
	beside := func(name string) bool { p := probeByName[name]; return p != nil && p.beside }
	if slices.ContainsFunc(r.reads, beside) {
		return replies
	}
	return slices.DeleteFunc(slices.Clone(replies), func(x *reply) bool { return beside(x.probe) })
}

// A Case is one clause before the judge on one route.
type Case struct {
	Route   schemas.Route
	Profile schemas.Profile
	Facts   *Facts

	replies []*reply // of the route, in the order of arrival
	// elsewhere are the replies of every route, where the rule asks for them.
	elsewhere map[schemas.Route][]*reply
	why       func(probe string) string // why a probe was not sent

	findings []reports.Finding
	noted    []string       // what was seen where more than one way is right
	status   reports.Status // set when there is no evidence to judge
	reason   string
	looked   []string // ids of the exchanges judged
	// forbidden are the labels of the matrix that are to be refused.
	forbidden map[string]bool
}

// look marks replies as judged and returns them.
func (c *Case) look(rs ...*reply) []*reply {
	for _, r := range rs {
		c.looked = append(c.looked, r.ID)
	}
	return rs
}

// fail records a proof against the clause. An exchange that is void, or did not
// reach the target, proves nothing.
func (c *Case) fail(r *reply, where, expected, seen string) {
	if r != nil && (r.Void || r.unreached()) {
		c.inconclusive("%s", r.Error)
		return
	}
	c.prove(r, where, expected, seen)
}

func (c *Case) prove(r *reply, where, expected, seen string) {
	f := reports.Finding{Route: string(c.Route), Where: where, Expected: expected, Seen: seen}
	if r != nil {
		f.Exchange = r.ID
	}
	c.findings = append(c.findings, f)
}

// note records what was seen where more than one way is right.
func (c *Case) note(format string, a ...any) {
	if s := fmt.Sprintf(format, a...); !slices.Contains(c.noted, s) {
		c.noted = append(c.noted, s)
	}
}

// inconclusive says why the clause cannot be shown either way. A proof found
// elsewhere still counts.
func (c *Case) inconclusive(format string, a ...any) {
	c.settle(reports.Inconclusive, fmt.Sprintf(format, a...))
}

func (c *Case) settle(s reports.Status, reason string) {
	if c.status == "" {
		c.status, c.reason = s, reason
	}
}

// sent returns the replies to a probe that came at all: refusals and answers.
func (c *Case) sent(name string) []*reply {
	var out []*reply
	var lost string
	for _, r := range c.replies {
		if r.probe != name {
			continue
		}
		if r.unanswered() != "" {
			lost = r.missed("probe " + name)
			continue
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		switch why := c.why(name); {
		case why != "":
			c.inconclusive("%s", why)
		case lost != "":
			c.inconclusive("%s", lost)
		default:
			c.inconclusive("probe %s was not sent", name)
		}
	}
	return c.look(out...)
}

// labelled returns the reply to the request of a probe with that label, nil if
// none came (and then the case is settled).
func (c *Case) labelled(probe, label string) *reply {
	for _, r := range c.replies {
		if r.probe == probe && r.label == label && r.unanswered() == "" {
			c.look(r)
			return r
		}
	}
	for _, r := range c.replies {
		if r.probe == probe && r.label == label {
			c.inconclusive("%s", r.missed("request "+label+" of probe "+probe))
			return nil
		}
	}
	if why := c.why(probe); why != "" {
		c.inconclusive("%s", why)
	} else {
		c.inconclusive("request %s of probe %s was not sent", label, probe)
	}
	return nil
}

// unanswered says why a request got no answer to be judged, "" if it got one.
// What is refused for load, however often it was asked, says nothing of the
// request; where load is the matter (once), a 429 is an answer.
func (r *reply) unanswered() string {
	switch p := probeByName[r.probe]; {
	case r.Response == nil || r.Void:
		return r.Error
	case r.status() == http.StatusTooManyRequests && (p == nil || !p.once):
		return "the target was busy (HTTP 429)"
	}
	return ""
}

// missed says that what was asked got no answer, and why.
func (r *reply) missed(what string) string {
	if r.Void {
		return r.Error
	}
	return what + " got no answer: " + r.unanswered()
}

// unreached is whether no connection was made.
func (r *reply) unreached() bool {
	return r.Response == nil && strings.HasPrefix(r.Error, "request not sent: dial ")
}

// timedOut is whether no answer came in time.
func (r *reply) timedOut() bool {
	return r.Response == nil && strings.HasPrefix(r.Error, "timeout")
}

// dialect is that of the target.
func (c *Case) dialect() string { return c.Facts.target.dialect() }

// answered returns the replies to a probe with status 200. A refusal that
// names a parameter under test makes the clause unsupported, any other makes
// it inconclusive.
func (c *Case) answered(name string) []*reply {
	var out []*reply
	for _, r := range c.sent(name) {
		if r.ok() {
			out = append(out, r)
			continue
		}
		c.declined(r)
	}
	return out
}

// answers returns the plain answers to a probe: status 200, a JSON document.
func (c *Case) answers(name string) []*reply {
	var out []*reply
	for _, r := range c.answered(name) {
		if r.doc.IsObject() {
			out = append(out, r)
		} else {
			c.inconclusive("the answer to probe %s is no JSON object (RSP-001)", name)
		}
	}
	return out
}

// streams returns the streamed answers to a probe.
func (c *Case) streams(name string) []*reply {
	var out []*reply
	for _, r := range c.answered(name) {
		if r.stream != nil && len(r.chunks) > 0 {
			out = append(out, r)
		} else {
			c.inconclusive("the answer to probe %s is no stream with JSON events (STR-001, STR-002)", name)
		}
	}
	return out
}

// first returns the first of rs, nil if there is none (and then the case is
// settled already).
func first(rs []*reply) *reply {
	if len(rs) == 0 {
		return nil
	}
	return rs[0]
}

// allAnswers returns every plain answer of the run to a request that may be
// answered.
func (c *Case) allAnswers() []*reply {
	return c.every(func(r *reply) bool {
		return r.ok() && !r.streams() && r.doc.IsObject() && c.Facts.target.serves(r) && c.answerable(r)
	}, "no plain answer came")
}

// allStreams returns every streamed answer of the run, likewise.
func (c *Case) allStreams() []*reply {
	return c.every(func(r *reply) bool { return r.ok() && r.stream != nil && len(r.chunks) > 0 && c.answerable(r) }, "no stream came")
}

// everyAnswer returns both.
func (c *Case) everyAnswer() []*reply {
	return c.every(func(r *reply) bool {
		return r.ok() && (r.doc.IsObject() || len(r.chunks) > 0) && c.Facts.target.serves(r) && c.answerable(r)
	}, "no answer came")
}

// wholeStreams are those that came to their end: not the ones that the harness
// itself dropped, nor those that an error broke off (STR-026).
func (c *Case) wholeStreams() []*reply {
	return c.every(func(r *reply) bool {
		return r.ok() && r.stream != nil && len(r.chunks) > 0 && r.probe != "disconnect" && !r.broken() && c.answerable(r)
	}, "no stream came to its end")
}

// broken is whether an error ended a stream, or our own patience before its end
// mark came.
func (r *reply) broken() bool {
	if strings.HasPrefix(r.Error, "timeout") && !slices.ContainsFunc(r.events, func(e exchange.Event) bool { return e.Done() }) {
		return true
	}
	return slices.ContainsFunc(r.chunks, func(ck chunk) bool { return isError(ck.doc) })
}

// answerable is whether a request may be answered. That one was answered which
// had to be refused is the matter of the clause that says so, and what the
// answer says is nobody's.
func (c *Case) answerable(r *reply) bool {
	if p := probeByName[r.probe]; p != nil && (p.hostile || p.bad) {
		return slices.Contains(p.lawful, r.label)
	}
	if r.probe != "matrix" {
		return true
	}
	if c.forbidden == nil {
		c.forbidden = map[string]bool{}
		for _, row := range rowsOf(c.Facts) {
			c.forbidden[row.label()] = row.outlook == refusedTogether
		}
	}
	return !c.forbidden[r.label]
}

func (c *Case) every(keep func(*reply) bool, none string) []*reply {
	var out []*reply
	for _, r := range c.replies {
		if keep(r) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		c.inconclusive("%s", none)
	}
	return c.look(out...)
}

// repeatable settles the case as inconclusive where temperature 0 is not.
func (c *Case) repeatable() bool {
	if !c.Facts.Repeatable {
		c.inconclusive("answers at temperature 0 are not repeatable (K2)")
	}
	return c.Facts.Repeatable
}

// A ruling is what a rule made of one route.
type ruling struct {
	status   reports.Status
	reason   string
	findings []reports.Finding
	looked   []string
}

// rule runs the rule over the case.
func (c *Case) rule(r *rule, level schemas.Level) ruling {
	r.judge(c)
	out := ruling{looked: c.looked, findings: c.findings}
	switch {
	case len(c.findings) > 0:
		out.status = map[schemas.Level]reports.Status{schemas.Must: reports.Fail, schemas.Should: reports.Warn, schemas.May: reports.Info}[level]
		f := c.findings[0]
		out.reason = fmt.Sprintf("%s: expected %s, saw %s", f.Where, f.Expected, f.Seen)
	case c.status != "":
		out.status, out.reason = c.status, c.reason
	case len(c.looked) == 0:
		out.status, out.reason = reports.Inconclusive, "no evidence"
	default:
		out.status = reports.Pass
		if len(c.noted) > 0 {
			out.reason = "seen: " + strings.Join(c.noted, "; ")
		}
	}
	return out
}

// severity orders what routes said of a clause: the worst speaks for it.
var severity = map[reports.Status]int{
	reports.Error: 7, reports.Fail: 6, reports.Warn: 5, reports.Inconclusive: 4,
	reports.Unsupported: 3, reports.Info: 2, reports.Pass: 1, reports.Skip: 0,
}

// merge makes one verdict of what the routes said.
func merge(cl schemas.Clause, p schemas.Profile, rulings []ruling) reports.Verdict {
	v := reports.Verdict{
		Clause: cl.ID, Area: cl.Area(), Level: string(cl.Level(p)),
		Statement: cl.Statement, Source: cl.Source, Verdict: reports.Skip,
	}
	for _, r := range rulings {
		if v.Reason == "" && r.reason != "" || severity[r.status] > severity[v.Verdict] {
			v.Reason = r.reason
		}
		if severity[r.status] > severity[v.Verdict] {
			v.Verdict = r.status
		}
		v.Findings = append(v.Findings, r.findings...)
		v.Evidence = append(v.Evidence, r.looked...)
	}
	return v
}
