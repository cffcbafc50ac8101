package simulator

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func operated(t *testing.T, o Options) (*Server, *httptest.Server) {
	t.Helper()
	if o.Generator == nil {
		o.Generator = newFake()
	}
	o.Keys = []string{testKey}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h
}

func TestHealth(t *testing.T) {
	s, h := operated(t, Options{})
	for _, path := range []string{healthPath, healthzPath, readyPath} {
		if r := do(t, h, "GET", path, "", nil); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
		refused(t, do(t, h, "POST", path, "", nil), 405, "GET")
	}
	s.Drain()
	refused(t, do(t, h, "GET", readyPath, "", nil), 503, "")
	if r := do(t, h, "GET", healthPath, "", nil); r.status != 200 {
		t.Errorf("health while draining: %d", r.status)
	}
	if r := post(t, h, completionsPath, ask(completionsPath, "")); r.status != 200 {
		t.Errorf("a request while draining: %d", r.status)
	}
}

func TestJournal(t *testing.T) {
	_, h := operated(t, Options{Journal: 2})
	for _, path := range []string{completionsPath, completionsPath + "?api-key=hidden", chatPath} {
		post(t, h, path, ask(strings.TrimSuffix(path, "?api-key=hidden"), `"stream":true`))
	}
	body := do(t, h, "GET", "/_touchstone/journal", "", nil).body
	var list []Exchange
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	if x := list[1]; x.Number != 3 || x.Path != chatPath || x.Status != 200 || x.Body != ask(chatPath, `"stream":true`) || !strings.HasSuffix(x.Text, "[DONE]\n\n") ||
		x.Deployment != theOne || x.Header.Get("Authorization") != "[redacted]" || x.Answer.Get("Content-Type") != eventStream {
		t.Errorf("%+v", x)
	}
	if strings.Contains(body, testKey) || strings.Contains(body, "hidden") {
		t.Error("the journal has a key")
	}
	if r := do(t, h, "DELETE", "/_touchstone/journal", "", nil); r.status != 204 {
		t.Errorf("%d", r.status)
	}
	if got := do(t, h, "GET", "/_touchstone/journal", "", nil).body; got != "[]" {
		t.Errorf("cleared: %s", got)
	}
	_, h = operated(t, Options{})
	refused(t, do(t, h, "GET", "/_touchstone/journal", "", nil), 404, "")
}

func TestAdmin(t *testing.T) {
	_, h := operated(t, Options{})
	const base = "/_touchstone/endpoints/default/deployments/default/"
	put := func(what, body string) reply { return do(t, h, "PUT", base+what, body, nil) }
	if r := put("faults", `[{"kind":"unavailable","count":1,"delay":"4s"}]`); r.get("endpoints.0.deployments.0.faults.0.delay").Str != "4s" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := post(t, h, completionsPath, ask(completionsPath, "")); r.status != 503 || r.header.Get("Retry-After") != "4" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := put("defects", `["done-missing"]`); r.get("endpoints.0.deployments.0.defects.0").Str != "done-missing" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := post(t, h, completionsPath, ask(completionsPath, `"stream":true`)); r.status != 200 || strings.Contains(r.body, "[DONE]") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := put("defects", `["done-missing","don-missing"]`); r.status != 400 || r.get("error.message").Str != `defects[1]: there is no defect "don-missing"; did you mean done-missing?` {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, c := range [][2]string{
		{"faults", `[{"kind":"reset"},{"kind":"explode"}]`}, {"faults", `{}`}, {"faults", `[{"kind":"reset","often":1}]`}, {"defects", `["no-such"]`}, {"defects", `[1]`},
	} {
		refused(t, put(c[0], c[1]), 400, "")
	}
	state := do(t, h, "GET", "/_touchstone/state", "", nil)
	if d := state.get("endpoints.0.deployments.0"); d.Get("defects.#").Int() != 1 || d.Get("faults.#").Int() != 1 || d.Get("dialects.#").Int() != 3 || strings.Contains(state.body, testKey) {
		t.Errorf("%s", state.body)
	}
	put("faults", `[]`)
	put("defects", `[]`)
	if r := post(t, h, completionsPath, ask(completionsPath, `"stream":true`)); !strings.Contains(r.body, "[DONE]") {
		t.Errorf("%s", r.body)
	}
	refused(t, do(t, h, "PUT", "/_touchstone/endpoints/default/deployments/x/faults", `[]`, nil), 404, "")
	refused(t, do(t, h, "GET", "/_touchstone/nothing", "", nil), 404, "")
}

// TestAdminIsClosed to other machines, other names and other sites, and without
// the key where there is one.
func TestAdminIsClosed(t *testing.T) {
	s, _ := operated(t, Options{})
	locked, _ := operated(t, Options{AdminKey: "master"})
	for _, c := range []struct {
		server                            *Server
		method, peer, host, origin, autho string
		status                            int
	}{
		{s, "GET", "127.0.0.1:9", "127.0.0.1:80", "", "", 200},
		{s, "GET", "[::1]:9", "localhost:80", "", "", 200},
		{s, "GET", "10.0.0.1:9", "127.0.0.1:80", "", "", 403},
		{s, "GET", "127.0.0.1:9", "evil.example:80", "", "", 403},
		{s, "DELETE", "127.0.0.1:9", "localhost:80", "http://evil.example", "", 403},
		{s, "DELETE", "127.0.0.1:9", "localhost:80", "http://localhost:80", "", 204},
		{locked, "GET", "127.0.0.1:9", "127.0.0.1:80", "", "", 401},
		{locked, "GET", "127.0.0.1:9", "127.0.0.1:80", "", "Bearer " + testKey, 401},
		{locked, "GET", "10.0.0.1:9", "any.example", "", "Bearer master", 200},
		{locked, "GET", "10.0.0.1:9", "any.example", "", "Basic YWRtaW46bWFzdGVy", 200},
	} {
		path := map[string]string{"GET": "state", "DELETE": "journal"}[c.method]
		r := httptest.NewRequest(c.method, "/_touchstone/"+path, nil)
		r.RemoteAddr, r.Host = c.peer, c.host
		for name, value := range map[string]string{"Origin": c.origin, "Authorization": c.autho} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

// TestEvents: the live feed tells of requests and of the state.
func TestEvents(t *testing.T) {
	_, h := operated(t, Options{})
	response, err := http.Get(h.URL + "/_touchstone/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for sent := false; lines.Scan(); {
		switch {
		case lines.Text() == "event: state" && !sent:
			sent = true
			post(t, h, completionsPath, ask(completionsPath, "")) // in flight or over: told in either case
		case lines.Text() == "event: request":
			lines.Scan()
			e := reply{body: strings.TrimPrefix(lines.Text(), "data: ")}
			if e.get("status").Int() != 200 || e.get("deployment").Str != theOne || e.get("completion_tokens").Int() != 7 {
				t.Errorf("%s", e.body)
			}
			return
		}
	}
	t.Error("the feed ended")
}
