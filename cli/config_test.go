package cli

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"net/http"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// described writes a description of a target and returns its path.
func described(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "touchstone.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigSaysAll(t *testing.T) {
	t.Setenv("CONFIG_TEST_KEY", "k-1")
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("k-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig([]byte(`
url: https://host/
dialects: [llama-v1, openai]
kind: vllm
model: m
routes: [chat]
key: {env: CONFIG_TEST_KEY}
second_key: {file: ` + file + `}
foreign_key: {command: [echo, k-3]}
headers: {X-Team: mine}
tls: {insecure: true}
claims: [content-safety]
features: [best_of]
profile: strict
register: 2026-11
limits: {concurrency: 8, timeout: 5s, requests_per_minute: 60, tokens_per_minute: 1000}
budget: {requests: 700, tokens: 60000, money: 0.5, price_per_token: 0.000001}
waivers:
  - {clause: STR-009, reason: soon, until: 2027-01-31}
`))
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.target("openai")
	if err != nil {
		t.Fatal(err)
	}
	if target.BaseURL != "https://host" || target.Dialect != "openai" || target.Kind != "vllm" || target.Model != "m" || !slices.Equal(target.Routes, []schemas.Route{schemas.Chat}) ||
		target.Header.Get("X-Team") != "mine" || !target.TLS.InsecureSkipVerify || !slices.Equal(target.Claims, []string{"content-safety"}) || !slices.Equal(target.Features, []string{"best_of"}) {
		t.Errorf("%+v", target)
	}
	if target.Key != "k-1" || target.SecondKey != "k-2" || target.ForeignKey != "k-3" {
		t.Errorf("keys %q, %q, %q", target.Key, target.SecondKey, target.ForeignKey)
	}
	o := suites.Options{Profile: schemas.Interop, Concurrency: 4}
	if err := c.options(&o); err != nil {
		t.Fatal(err)
	}
	want := suites.Budget{Requests: 700, Tokens: 60000, Cost: 0.5, Price: 0.000001, RequestsPerMinute: 60, TokensPerMinute: 1000}
	if o.Profile != schemas.Strict || o.Register != "2026-11" || o.Concurrency != 8 || o.Timeout != 5*time.Second || o.Budget != want {
		t.Errorf("%+v", o)
	}
	if len(o.Waivers) != 1 || o.Waivers[0].Clause != "STR-009" || o.Waivers[0].Reason != "soon" || o.Waivers[0].Until.Format(time.DateOnly) != "2027-01-31" {
		t.Errorf("%+v", o.Waivers)
	}
}

// A mistake in the file ends the program with 2, before anything is sent, and
// is named with its line and column, or its field.
func TestConfigErrors(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	url := "url: " + server.URL + "\n"
	for _, c := range []struct{ name, text, says string }{
		{"unknown member", url + "modle: m\n", "[2:1] unknown field \"modle\""},
		{"unknown inside", url + "limits:\n  concurrency: 4\n  timeuot: 5s\n", "[4:3] unknown field \"timeuot\""},
		{"unknown in a list", url + "waivers:\n  - {clause: STR-009, reason: x, untl: 2027-01-31}\n", "[3:34] unknown field \"untl\""},
		{"wrong type", url + "limits: {concurrency: many}\n", "[2:23]"},
		{"twice", url + "kind: vllm\nkind: openai\n", "[3:1]"},
		{"no YAML", url + "headers: {X: [\n", "[2:"},
		{"no URL", "kind: vllm\n", "url is missing"},
		{"no URL scheme", "url: host\n", "http://host"},
		{"dialect", url + "dialects: [grpc]\n", "grpc"},
		{"kind", url + "kind: toaster\n", "toaster"},
		{"route", url + "routes: [edits]\n", "edits"},
		{"claim", url + "claims: [sparkles]\n", "sparkles"},
		{"profile", url + "profile: lax\n", "lax"},
		{"register", url + "register: 1999-01\n", "1999-01"},
		{"timeout", url + "limits: {timeout: soon}\n", "limits.timeout"},
		{"money without a price", url + "budget: {money: 1}\n", "price_per_token"},
		{"waiver of nothing", url + "waivers: [{clause: STR-999, reason: x, until: 2027-01-31}]\n", "STR-999"},
		{"waiver without a reason", url + "waivers: [{clause: STR-009, until: 2027-01-31}]\n", "no reason"},
		{"waiver without an end", url + "waivers: [{clause: STR-009, reason: x}]\n", "until"},
		{"two sources of a key", url + "key: {env: A, file: b}\n", "key: give one of env, file and command"},
		{"key not set", url + "key: {env: CONFIG_TEST_UNSET}\n", "CONFIG_TEST_UNSET is not set"},
		{"key file", url + "second_key: {file: /no/such/file}\n", "second_key"},
		{"key command", url + "key: {command: [sh, -c, 'echo hush-4711; echo hush-4711 >&2; exit 1']}\n", "command sh"},
		{"certificate", url + "tls: {ca: /no/such/ca.pem}\n", "tls.ca"},
	} {
		if runtime.GOOS == "windows" && c.name == "key command" {
			continue
		}
		code, out, errs := run(t, "", "check", "--config", described(t, c.text), "--out", t.TempDir())
		if code != exitUsage || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: exit %d, want 2 saying %q:\n%s%s", c.name, code, c.says, out, errs)
		}
		if strings.Contains(out+errs, "hush-4711") {
			t.Errorf("%s: what a command says of a key is shown", c.name)
		}
	}
	if code, _, errs := run(t, "", "check", "--config", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage || !strings.Contains(errs, "none.yaml") {
		t.Errorf("no file: exit %d, %s", code, errs)
	}
	if asked.Load() != 0 {
		t.Errorf("%d requests were sent", asked.Load())
	}
}

// init describes an endpoint so that check --config takes it; the file holds no
// key, and is not replaced without being told.
func TestInit(t *testing.T) {
	target := serveReference(t, suites.DialectLlamaV1, simulator.Options{Generator: newRemembered(t)}, nil)
	t.Setenv("INIT_TEST_KEY", target.Key)
	path := filepath.Join(t.TempDir(), "touchstone.yaml")
	args := []string{"init", target.BaseURL, "--api-key-env", "INIT_TEST_KEY", "--out", path}
	if code, out, errs := run(t, "", args...); code != 0 || !strings.Contains(out, "llama-v1, azure-inference") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), target.Key) {
		t.Error("the description holds the key")
	}
	c, err := parseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Dialects, []string{"llama-v1", "azure-inference"}) || c.Key.Env != "INIT_TEST_KEY" || c.URL != target.BaseURL {
		t.Errorf("%+v", c)
	}
	for _, name := range []string{"best_of", "n", "stream"} {
		if !slices.Contains(c.Features, name) {
			t.Errorf("the reference honours %s, the description claims %v", name, c.Features)
		}
	}
	if code, _, errs := run(t, "", args...); code != exitUsage || !strings.Contains(errs, "--force") {
		t.Errorf("a second time: exit %d, %s", code, errs)
	}
	if code, _, errs := run(t, "", append(args, "--force")...); code != 0 {
		t.Errorf("with --force: exit %d, %s", code, errs)
	}
	// What init writes is what check reads.
	out := t.TempDir()
	if code, stdout, errs := run(t, "", "check", "--config", path, "--area", "RSP", "--out", out); code != 0 {
		t.Errorf("check --config: exit %d\n%s%s", code, stdout, errs)
	}
	for _, dialect := range c.Dialects {
		if _, err := reports.ReadFile(filepath.Join(out, dialect, "result.json")); err != nil {
			t.Error(err)
		}
	}
	if code, _, errs := run(t, "", "init", free(t), "--out", filepath.Join(t.TempDir(), "x.yaml")); code != exitNothing || !strings.Contains(errs, "answers on no route") {
		t.Errorf("nothing there: exit %d, %s", code, errs)
	}
}

// A dry run prints the plan and sends nothing.
func TestDryRun(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	code, out, errs := run(t, "", "check", server.URL, "--dry-run", "--area", "STR")
	if code != 0 || asked.Load() != 0 {
		t.Fatalf("exit %d, %d requests sent\n%s%s", code, asked.Load(), out, errs)
	}
	for _, says := range []string{"route", "completions  calibration", "chat         long.stream", "clauses, at most", "nothing was sent"} {
		if !strings.Contains(out, says) {
			t.Errorf("the plan does not say %q:\n%s", says, out)
		}
	}
}

// What --evidence leaves is judged again by --replay, with the same verdicts
// and nothing there to ask.
func TestReplay(t *testing.T) {
	dir, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	code, out, errs := run(t, "", "check", "--area", "STR", "--defect", "done-missing", "--evidence", dir, "--out", first)
	if code != exitFailed {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = run(t, "", "check", "--replay", dir, "--area", "STR", "--out", second); code != exitFailed {
		t.Fatalf("replay: exit %d\n%s%s", code, out, errs)
	}
	a, err := reports.ReadFile(filepath.Join(first, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := reports.ReadFile(filepath.Join(second, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Verdicts) != len(b.Verdicts) || len(a.Verdicts) < 30 {
		t.Fatalf("%d verdicts, then %d", len(a.Verdicts), len(b.Verdicts))
	}
	for i, v := range a.Verdicts {
		if w := b.Verdicts[i]; w.Clause != v.Clause || w.Verdict != v.Verdict {
			t.Errorf("%s %s, judged again %s %s: %s", v.Clause, v.Verdict, w.Clause, w.Verdict, w.Reason)
		}
	}
	for _, args := range [][]string{
		{"check", "http://h", "--replay", dir}, {"check", "--replay", dir, "--config", "x"}, {"check", "--replay", dir, "--defect", "done-missing"},
		{"check", "--replay", t.TempDir()},
	} {
		if code, _, errs := run(t, "", args...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

// A file describes the deployments beside the target; what is wrong in it is
// named.
func TestConfigDescribesOthers(t *testing.T) {
	t.Setenv("SMALL_KEY", "k-small")
	c, err := parseConfig([]byte(`
url: http://main.example
limited: {url: "http://small.example/", key: {env: SMALL_KEY}, requests: 6, tokens: 120, window: 10s}
unscreened: {headers: {azureml-model-deployment: open}}
`))
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.target(suites.DialectLlamaV1)
	if err != nil {
		t.Fatal(err)
	}
	l := target.Limited
	if l == nil || l.BaseURL != "http://small.example" || l.Key != "k-small" || l.Requests != 6 || l.Tokens != 120 || l.Window != 10*time.Second {
		t.Errorf("limited: %+v", l)
	}
	if u := target.Unscreened; u == nil || u.Header.Get("Azureml-Model-Deployment") != "open" {
		t.Errorf("unscreened: %+v", u)
	}
	for name, x := range map[string]struct{ text, says string }{
		"no address":     {"limited: {requests: 6}", "limited: it needs url or headers"},
		"window":         {`limited: {url: "http://x", requests: 6, window: soon}`, "limited.window"},
		"key":            {`limited: {url: "http://x", requests: 6, key: {env: NOT_SET_HERE}}`, "limited.key"},
		"itself":         {`limited: {url: "http://main.example", requests: 6}`, "never exhausted"},
		"no requests":    {`limited: {url: "http://x"}`, "limited.requests"},
		"many tokens":    {`limited: {url: "http://x", requests: 6, tokens: 400000}`, "limited.tokens"},
		"unknown member": {`limited: {url: "http://x", request: 6}`, "unknown field"},
	} {
		c, err := parseConfig([]byte("url: http://main.example\n" + x.text))
		if err == nil {
			var target suites.Target
			if target, err = c.target(suites.DialectLlamaV1); err == nil {
				_, err = suites.MakePlan(target, suites.Options{})
			}
		}
		if err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %q", name, err, x.says)
		}
	}
}
