package suites

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// autRules judge keys (AUT).
var autRules = []rule{
	{clause: "AUT-001", reads: []string{"auth"}, judge: unauthorised("auth", "none")},
	{clause: "AUT-002", reads: []string{"auth"}, judge: unauthorised("auth", "wrong")},
	{clause: "AUT-003", reads: []string{"auth"}, judge: func(c *Case) { c.wantOK("auth", "right", "this is the documented way") }},
	{clause: "AUT-004", reads: []string{"auth.forms"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("auth.forms", "bare"); r != nil {
			c.note("a bare key gets %d", r.status())
			if !r.ok() || c.Profile == schemas.Strict {
				c.wantUnauthorised(r)
			}
		}
	}},
	{clause: "AUT-005", reads: []string{"auth.forms"}, endpoint: true, judge: func(c *Case) { c.wantOK("auth.forms", "lower", "HTTP says that the scheme has no case") }},
	{clause: "AUT-006", reads: []string{"auth.azure"}, judge: func(c *Case) {
		c.wantOK("auth.azure", "api-key", "Azure's clients send api-key")
		c.wantOK("auth.azure", "both", "Azure's clients send both headers")
	}},
	{clause: "AUT-007", reads: []string{"auth.forms"}, endpoint: true, judge: unauthorised("auth.forms", "basic", "empty", "more", "longer")},
	{clause: "AUT-008", reads: []string{"auth.forms"}, endpoint: true, judge: unauthorised("auth.forms", "broken")},
	{clause: "AUT-009", reads: refusing, all: true, judge: noKeyShown},
	{clause: "AUT-010", reads: []string{"auth"}, judge: func(c *Case) {
		for _, r := range c.sent("auth") {
			if r.status() == http.StatusUnauthorized && r.Response.Header.Get("Www-Authenticate") == "" {
				c.fail(r, "header WWW-Authenticate", "the scheme that is wanted, such as Bearer", "absent")
			}
		}
	}},
	{clause: "AUT-011", reads: []string{"auth.families"}, endpoint: true, judge: func(c *Case) {
		for _, r := range c.sent("auth.families") {
			if r.status() < 400 {
				c.fail(r, "status", "401, or 404 where nothing is served: no key was sent", r.statusLine())
			}
		}
	}},
	{clause: "AUT-012", reads: []string{"auth.azure"}, endpoint: true, judge: func(c *Case) {
		for _, label := range []string{"info", "openapi"} {
			if r := c.labelled("auth.azure", label); r != nil && r.status() != http.StatusNotFound {
				c.wantUnauthorised(r)
			}
		}
	}},
	{clause: "AUT-013", reads: []string{"auth.keys"}, endpoint: true, judge: func(c *Case) { c.wantOK("auth.keys", "second", "both keys are good") }},
	{clause: "AUT-015", reads: []string{"auth.keys"}, endpoint: true, judge: func(c *Case) {
		if r := c.labelled("auth.keys", "foreign"); r != nil && !slices.Contains([]int{401, 403, 404}, r.status()) {
			c.fail(r, "status", "401, 403 or 404: the key is another endpoint's", r.statusLine())
		}
	}},
	{clause: "AUT-016", reads: []string{"auth.forms"}, endpoint: true, judge: unauthorised("auth.forms", "query")},
	{clause: "AUT-017", reads: []string{"auth"}, judge: func(c *Case) {
		if r := c.labelled("auth", "stream"); r != nil && (r.looksSSE() || !r.doc.IsObject()) {
			c.fail(r, "body", "a JSON error", shorten(string(r.Response.Body), 60))
		}
	}},
	{clause: "AUT-018", reads: []string{"auth", "path"}, judge: func(c *Case) {
		for _, p := range []string{"auth", "path"} {
			for _, r := range c.sent(p) {
				if s := r.status(); (s == 401 || s == 404 || s == 422) && r.Response.Header.Get("x-ms-error-code") == "" {
					c.fail(r, "header x-ms-error-code", "the code of the error", "absent")
				}
			}
		}
	}},
	{clause: "AUT-020", reads: []string{"auth.time"}, endpoint: true, judge: constantTime},
}

func unauthorised(probe string, labels ...string) func(*Case) {
	return func(c *Case) {
		for _, label := range labels {
			if r := c.labelled(probe, label); r != nil {
				c.wantUnauthorised(r)
			}
		}
	}
}

// wantUnauthorised expects 401, or 403 but under strict (C34).
func (c *Case) wantUnauthorised(r *reply) {
	if s := r.status(); s != http.StatusUnauthorized && (s != http.StatusForbidden || c.Profile == schemas.Strict) {
		c.fail(r, "status", "401: the credential is not good", r.statusLine())
	}
}

// noKeyShown searches errors for keys. In evidence that was saved the key
// stands redacted, which tells as much.
func noKeyShown(c *Case) {
	key := c.Facts.target.Key
	if n := len(key); 0 < n && n < exchange.ShortestSecret {
		c.inconclusive("a key of %d bytes is too short to be told from other text", n)
	}
	for _, r := range c.errors() {
		for what, key := range map[string]string{"the key": key, "the wrong key that was sent": wrongKey, "a key, redacted": exchange.Redacted} {
			if key != "" && exchange.Shows(r.Exchange, key) {
				c.fail(r, "body or header", "no key", what)
			}
		}
	}
}

// constantTime compares how long refusals take for keys that begin like the
// right one and for keys that do not.
func constantTime(c *Case) {
	times := map[string][]time.Duration{}
	var one *reply
	for _, r := range c.sent("auth.time") {
		kind, _, _ := strings.Cut(r.label, " ")
		times[kind] = append(times[kind], r.Headers-r.Sent)
		one = r
	}
	near, far := times["near"], times["far"]
	if len(near) < timed || len(far) < timed {
		c.inconclusive("%d and %d of %d keys of each kind were answered", len(near), len(far), timed)
		return
	}
	if quick, slow := slices.Max(far), slices.Min(near); slow > quick+time.Millisecond {
		c.fail(one, "time", "no difference between keys that begin like the right one and others", fmt.Sprintf("all %d above %s, all others below %s", timed, slow, quick))
	}
}
