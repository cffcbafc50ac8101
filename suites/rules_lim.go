package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exhausted are the probes of the deployment whose quota may be exhausted: the
// second is sent when the first is over.
var exhausted = []string{"limits.burst"}

// limRules judge rate limits (LIM). But for LIM-014 they are judged once for the
// endpoint: a quota is a deployment's, not a route's.
var limRules = []rule{
	{clause: "LIM-001", reads: exhausted, endpoint: true, judge: requestsLimited},
	{clause: "LIM-002", reads: exhausted, endpoint: true, judge: withinAdmitted},
	{clause: "LIM-003", reads: exhausted, endpoint: true, judge: tokensLimited},
	{clause: "LIM-004", reads: exhausted, endpoint: true, judge: promptsCount},
	{clause: "LIM-005", reads: exhausted, endpoint: true, judge: choicesCount},
	{clause: "LIM-006", reads: exhausted, endpoint: true, judge: saysWhen},
	{clause: "LIM-007", reads: exhausted, endpoint: true, judge: comesBackAsTold},
	{clause: "LIM-008", reads: exhausted, endpoint: true, judge: ownLimits},
	{clause: "LIM-009", reads: exhausted, endpoint: true, judge: keysShare},
	{clause: "LIM-010", reads: exhausted, endpoint: true, judge: noneAbove},
	{clause: "LIM-011", reads: exhausted, endpoint: true, judge: refusalsAreFree},
	{clause: "LIM-012", reads: exhausted, endpoint: true, judge: func(c *Case) {
		for _, r := range c.tooMany(false) {
			if v := r.doc; !r.doc.IsObject() || v.Get("error.message").Str == "" && v.Get("message").Str == "" && v.Get("error").Str == "" && v.Get("detail").Str == "" {
				c.fail(r, "body", "JSON with a message", shorten(string(r.Response.Body), 80))
			}
		}
	}},
	{clause: "LIM-013", reads: exhausted, endpoint: true, judge: func(c *Case) {
		for _, r := range c.tooMany(true) {
			if r.looksSSE() || !r.doc.IsObject() {
				c.fail(r, "body", "a JSON error, as without stream", shorten(string(r.Response.Body), 80))
			}
		}
	}},
	{clause: "LIM-014", reads: plain, all: true, judge: rateHeaders},
	{clause: "LIM-015", reads: exhausted, endpoint: true, judge: silenceRestores},
	{clause: "LIM-016", reads: exhausted, endpoint: true, judge: neverFits},
	{clause: "LIM-018", reads: exhausted, endpoint: true, judge: filteredCounts},
}

// comesBack is when a refusal says to come back, by retry-after-ms or
// Retry-After in seconds or as a date.
func (r *reply) comesBack() (time.Duration, bool) {
	h := r.Response.Header
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return time.Duration(ms * float64(time.Millisecond)), true
	}
	after := h.Get("Retry-After")
	if s, err := strconv.Atoi(after); err == nil {
		return time.Duration(s) * time.Second, true
	}
	if at, err := http.ParseTime(after); err == nil {
		now := r.Started.Add(r.End)
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		return at.Sub(now), true
	}
	return 0, false
}

func (r *reply) tooMany() bool { return r.status() == http.StatusTooManyRequests }

// limit is the quota that is exhausted.
func (c *Case) limit() *Limited { return c.Facts.target.Limited }

// those are the replies to the requests of the probe limits with a label, in
// order; where there is none the case is settled.
func (c *Case) those(label string) []*reply {
	var out []*reply
	for _, r := range c.replies {
		if r.probe == "limits" && r.label == label && r.Response != nil {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *reply) int { return a.Started.Compare(b.Started) })
	if len(out) == 0 {
		c.labelled("limits", label) // says why
	}
	return c.look(out...)
}

// span is the time that replies took together.
func span(rs ...*reply) time.Duration {
	first, last := rs[0].Started, rs[0].Started
	for _, r := range rs {
		if r.Started.Before(first) {
			first = r.Started
		}
		if end := r.Started.Add(r.End); end.After(last) {
			last = end
		}
	}
	return last.Sub(first)
}

// windows are how many windows replies may have met: where they begin by the
// clock, one more than fit.
func (c *Case) windows(rs ...*reply) int { return 2 + int(span(rs...)/c.limit().Window) }

// burst counts what became of the requests at the same time; where some were
// neither admitted nor refused for the quota, nothing can be said.
func (c *Case) burst() (all []*reply, admitted int, known bool) {
	all = c.sent("limits.burst")
	refused := 0
	for _, r := range all {
		switch {
		case r.ok():
			admitted++
		case r.tooMany():
			refused++
		default:
			c.inconclusive("a request within the burst was answered with %s", r.statusLine())
		}
	}
	return all, admitted, admitted+refused == 3*c.limit().Requests
}

func requestsLimited(c *Case) {
	all, admitted, known := c.burst()
	switch {
	case len(all) == 0 || admitted < len(all):
	case !known || c.windows(all...)*c.limit().Requests >= admitted:
		c.inconclusive("%d requests took %s, and may have met several windows", len(all), span(all...).Round(time.Millisecond))
	default:
		c.fail(all[0], "status", fmt.Sprintf("429 to some of %d requests at the same time: a window admits %d", len(all), c.limit().Requests), "200 to all")
	}
}

func withinAdmitted(c *Case) {
	if all, admitted, known := c.burst(); known && admitted < c.limit().Requests {
		c.fail(all[0], "status", fmt.Sprintf("200 to %d of %d requests at the same time: a window admits as many", c.limit().Requests, len(all)), fmt.Sprintf("200 to %d", admitted))
	}
}

// noneAbove allows the burst two windows, unless one request after another shows
// that more is admitted than the limit, too.
func noneAbove(c *Case) {
	all, admitted, known := c.burst()
	if !known {
		c.inconclusive("not every request of the burst was answered")
		return
	}
	most := c.limit().Requests
	if admitted > most {
		after := append(c.those("whole"), c.those("one more")...)
		twice := len(after) == most+1 && !slices.ContainsFunc(after, func(r *reply) bool { return !r.ok() }) && span(after...) < c.limit().Window && span(all...) < c.limit().Window
		if !twice {
			most *= c.windows(all...)
		}
	}
	if admitted > most {
		c.fail(all[0], "status", fmt.Sprintf("200 to at most %d of %d requests at the same time", most, len(all)), fmt.Sprintf("200 to %d", admitted))
	}
}

// countsTokens settles the case where the limit of tokens is not known.
func (c *Case) countsTokens() bool {
	if c.limit().Tokens == 0 {
		c.inconclusive("the limit of tokens is not told")
	}
	return c.limit().Tokens > 0
}

// usedUp expects tokens to be used up by requests, of which the quota of
// requests admits as many.
func (c *Case) usedUp(rs []*reply, before int, count string) {
	if len(rs) == 0 {
		return
	}
	admitted, used := before, 0
	for _, r := range rs {
		switch {
		case r.ok():
			admitted++
			n, _ := r.count(count)
			used += n
		case r.tooMany() && admitted >= c.limit().Requests:
			c.inconclusive("the limit of requests was met first")
			return
		case r.tooMany() && admitted == before:
			c.inconclusive("the first was refused")
			return
		case r.tooMany():
			return // used up
		default:
			c.inconclusive("request %s was answered with %s", r.label, r.statusLine())
			return
		}
	}
	if most := c.windows(rs...) * c.limit().Tokens; used > most {
		c.fail(rs[len(rs)-1], "status", fmt.Sprintf("429: %d tokens were used, and a window admits %d", used, c.limit().Tokens), "200")
	} else {
		c.inconclusive("%d tokens were used, which several windows of %d may have admitted", used, c.limit().Tokens)
	}
}

func tokensLimited(c *Case) {
	if c.countsTokens() {
		c.usedUp(c.those("large"), 1, "total_tokens")
	}
}

func promptsCount(c *Case) {
	if c.countsTokens() {
		c.usedUp(c.those("long"), 0, "prompt_tokens")
	}
}

// choicesCount lets what was used count too, after the answer (C55).
func choicesCount(c *Case) {
	if !c.countsTokens() {
		return
	}
	n, after, once := c.labelled("limits", "n"), c.labelled("limits", "after n"), c.labelled("limits", "large")
	switch {
	case n == nil || after == nil || once == nil:
	case !once.ok():
		c.inconclusive("one such choice does not fit either")
	case n.refused() && !n.tooMany() && n.names("n") && !n.names("token", "tokens"):
		c.settle("unsupported", "the target refuses n: "+shorten(n.message(), 120))
	case n.refused() || after.tooMany():
	case !n.ok() || !after.ok():
		c.inconclusive("request n was answered with %s, the next with %s", n.statusLine(), after.statusLine())
	case span(n, after) >= c.limit().Window:
		c.inconclusive("the answer took longer than a window")
	default:
		c.fail(n, "status", fmt.Sprintf("429 to it or to the next: three times %s tokens are more than %d", c.limit().large(), c.limit().Tokens), "200 to both")
	}
}

// tooMany are the 429 of the run, of streams or of others.
func (c *Case) tooMany(streams bool) []*reply {
	return c.every(func(r *reply) bool { return r.tooMany() && r.streams() == streams }, "nothing was refused with 429")
}

func saysWhen(c *Case) {
	for _, r := range c.every((*reply).tooMany, "nothing was refused with 429") {
		if d, told := r.comesBack(); !told || d <= 0 {
			c.fail(r, "header Retry-After", "seconds or a date in Retry-After, or retry-after-ms, above 0",
				fmt.Sprintf("Retry-After %q, retry-after-ms %q", r.Response.Header.Get("Retry-After"), r.Response.Header.Get("Retry-After-Ms")))
		}
	}
}

// stillRefused is the refusal of a request after those that ask while the quota
// is exhausted; nil, and the case settled, where it had recovered.
func (c *Case) stillRefused() *reply {
	r := c.labelled("limits", "still")
	if r != nil && !r.tooMany() {
		c.inconclusive("the quota was not exhausted, or no longer (HTTP %d)", r.status())
		return nil
	}
	return r
}

func comesBackAsTold(c *Case) {
	still, again := c.stillRefused(), c.labelled("limits", "again")
	if still == nil || again == nil {
		return
	}
	d, told := still.comesBack()
	switch waited := again.Started.Sub(still.Started.Add(still.End)); {
	case !told:
		c.inconclusive("429 does not say when to come back (LIM-006)")
	case waited < d && again.tooMany():
		c.inconclusive("%s were not waited for", d)
	case again.tooMany():
		c.fail(again, "status", fmt.Sprintf("200: %s were told, and are over", d), again.statusLine())
	}
}

func ownLimits(c *Case) {
	if c.stillRefused() == nil {
		return
	}
	if r := c.labelled("limits", "main"); r != nil && r.tooMany() {
		c.fail(r, "status", "200: the quota of another deployment is exhausted", r.statusLine())
	}
}

func keysShare(c *Case) {
	if c.stillRefused() == nil {
		return
	}
	if r := c.labelled("limits", "other key"); r != nil && !r.tooMany() {
		c.fail(r, "status", "429: the quota is exhausted, by whatever key", r.statusLine())
	}
}

// restored is whether a window of silence gave the whole quota back.
func (c *Case) restored() bool {
	rs := c.those("whole")
	return len(rs) == c.limit().Requests && !slices.ContainsFunc(rs, func(r *reply) bool { return !r.ok() })
}

func refusalsAreFree(c *Case) {
	good := c.labelled("limits", "good")
	bad := c.those("bad form")
	if c.Facts.target.Key != "" {
		bad = append(bad, c.those("wrong key")...)
	}
	for _, r := range bad {
		if r.ok() {
			c.inconclusive("a bad request was answered (REQ, AUT)")
			return
		}
	}
	switch {
	case good == nil || good.ok():
	case good.tooMany() && c.restored():
		c.fail(good, "status", fmt.Sprintf("200: only refused requests came before it (%d)", len(bad)), good.statusLine())
	default:
		c.inconclusive("a good request was answered with %s", good.statusLine())
	}
}

func silenceRestores(c *Case) {
	_, admitted, known := c.burst()
	if !known {
		c.inconclusive("not every request of the burst was answered")
		return
	}
	longest := c.limit().Window + time.Second // seconds are rounded up
	if still := c.labelled("limits", "still"); still != nil && still.tooMany() {
		if d, told := still.comesBack(); told && d > longest {
			c.fail(still, "header Retry-After", "at most "+longest.String(), d.String())
		}
	}
	want, got := min(admitted, c.limit().Requests), 0
	rs := c.those("whole")
	for _, r := range rs {
		if r.ok() {
			got++
		}
	}
	if len(rs) == c.limit().Requests && got < want {
		c.fail(rs[len(rs)-1], "status", fmt.Sprintf("200 to %d requests after a window of silence, as at first", want), fmt.Sprintf("200 to %d", got))
	}
}

func neverFits(c *Case) {
	const soon = 10 * time.Second
	if !c.countsTokens() {
		return
	}
	for _, r := range c.replies {
		if r.probe == "limits" && r.label == "over" && strings.HasPrefix(r.Error, "timeout") {
			c.fail(r, "time", "refused within 10 s", r.Error)
			return
		}
	}
	switch r := c.labelled("limits", "over"); {
	case r == nil:
	case !r.isRefusal() && !r.tooMany() && r.status() != http.StatusRequestEntityTooLarge:
		c.fail(r, "status", fmt.Sprintf("400, 413 or 429: max_tokens is above %d, the whole limit", c.limit().Tokens), r.statusLine())
	case r.End-r.Sent > soon:
		c.fail(r, "time", "refused within 10 s", (r.End - r.Sent).Round(time.Millisecond).String())
	}
}

func filteredCounts(c *Case) {
	all := append(c.those("filtered"), c.those("counted")...)
	if len(all) != c.limit().Requests+1 {
		c.inconclusive("not every request was answered")
		return
	}
	for _, r := range all[:len(all)-1] {
		if !r.isFiltered() && !r.tooMany() {
			c.inconclusive("the deployment does not filter the trigger (%s)", r.statusLine())
			return
		}
	}
	switch r := all[len(all)-1]; {
	case r.tooMany():
	case span(all...) >= c.limit().Window:
		c.inconclusive("the requests took longer than a window")
	default:
		c.fail(r, "status", fmt.Sprintf("429: %d filtered prompts came before it", c.limit().Requests), r.statusLine())
	}
}

func rateHeaders(c *Case) {
	any := false
	for _, r := range c.every(func(r *reply) bool { return r.Response != nil }, "no answer came") {
		for _, what := range []string{"requests", "tokens"} {
			left, limit := r.Response.Header.Get("X-Ratelimit-Remaining-"+what), r.Response.Header.Get("X-Ratelimit-Limit-"+what)
			for name, v := range map[string]string{"remaining": left, "limit": limit} {
				if v == "" {
					continue
				}
				any = true
				if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < 0 {
					c.fail(r, "header x-ratelimit-"+name+"-"+what, "an integer of 0 or above", strconv.Quote(v))
				}
			}
			l, errL := strconv.ParseInt(left, 10, 64)
			m, errM := strconv.ParseInt(limit, 10, 64)
			if errL == nil && errM == nil && l > m {
				c.fail(r, "header x-ratelimit-remaining-"+what, fmt.Sprintf("at most %d, the limit", m), left)
			}
		}
	}
	if !any {
		c.note("no x-ratelimit headers")
	}
}
