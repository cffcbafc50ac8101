package suites_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/suites"
)

// counted is a target that counts its requests, of two tokens each.
func counted(t *testing.T) (url string, n *atomic.Int32) {
	t.Helper()
	n = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		one(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, n
}

// A run stops at its budget; what is left is inconclusive and says so.
func TestBudgets(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget suites.Budget
		most   int32 // requests, with those under way
		says   string
	}{
		{"requests", suites.Budget{Requests: 40}, 40, "the budget of 40 requests is spent"},
		{"tokens", suites.Budget{Tokens: 80}, 40 + 4, "the budget of 80 tokens is spent"},
		{"money", suites.Budget{Cost: 0.8, Price: 0.01}, 40 + 4, "the budget of 0.8 is spent, at 0.01 a token"},
		{"money without a price does not bound", suites.Budget{Cost: 0.8, Requests: 40}, 40, "40 requests"},
	} {
		url, n := counted(t)
		r, err := suites.Judge(t.Context(), suites.Target{BaseURL: url, Routes: []schemas.Route{schemas.Completions}}, suites.Options{Areas: []string{"REQ", "STR"}, Budget: c.budget})
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Load(); got > c.most || got < 20 {
			t.Errorf("%s: %d requests, want at most %d", c.name, got, c.most)
		}
		said := 0
		for _, v := range r.Verdicts {
			if v.Verdict == reports.Inconclusive && strings.Contains(v.Reason, c.says) {
				said++
			}
		}
		if said == 0 {
			t.Errorf("%s: no clause is inconclusive because %q", c.name, c.says)
		}
	}
}

// A plan sends nothing, and is what a run keeps to.
func TestPlan(t *testing.T) {
	url, n := counted(t)
	target := suites.Target{BaseURL: url, Key: "k", Claims: []string{"content-safety"}, Safety: suites.Safety{Prompt: "p", Answer: "a", Withheld: "w"}}
	for _, dialect := range []string{suites.DialectLlamaV1, suites.DialectAzureInference, suites.DialectOpenAI} {
		target.Dialect = dialect
		p, err := suites.MakePlan(target, suites.Options{})
		if err != nil {
			t.Fatal(err)
		}
		requests, tokens := 0, 0
		for _, one := range p.Probes {
			requests, tokens = requests+one.Requests, tokens+one.Tokens
		}
		if p.Clauses < 200 || p.Requests != requests || p.Tokens != tokens {
			t.Errorf("%s: %d clauses, %d requests and %d tokens, the probes have %d and %d", dialect, p.Clauses, p.Requests, p.Tokens, requests, tokens)
		}
		if p.Requests > 700 || p.Tokens > 60_000 {
			t.Errorf("%s: a full run may cost %d requests and %d tokens, want at most 700 and 60 000", dialect, p.Requests, p.Tokens)
		}
	}
	part, err := suites.MakePlan(target, suites.Options{Clauses: []string{"RSP-006"}})
	if err != nil || part.Clauses != 1 || part.Requests > 80 {
		t.Errorf("a plan of one clause: %+v, %v", part, err)
	}
	if _, err := suites.MakePlan(target, suites.Options{Areas: []string{"XYZ"}}); !errors.Is(err, suites.ErrConfig) {
		t.Errorf("a plan of nothing known: %v", err)
	}
	if n.Load() != 0 {
		t.Errorf("planning sent %d requests", n.Load())
	}
}

// Evidence is judged again with nothing sent and the same verdicts, and holds
// no key, even where the target shows it.
func TestEvidenceIsJudgedAgain(t *testing.T) {
	const key, second = "sesame-4711", "sesame-4712"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Debug", r.Header.Get("Authorization"))
		if strings.Contains(r.URL.RawQuery, key) {
			http.Error(w, "no such key: "+key, http.StatusUnauthorized)
			return
		}
		one(w, r)
	}))
	dir := t.TempDir()
	target := suites.Target{BaseURL: server.URL, Key: key, SecondKey: second, Header: http.Header{"X-Team": {"mine"}}}
	options := suites.Options{Areas: []string{"RSP", "STR", "AUT", "USE"}, Evidence: dir}
	first, err := suites.Judge(t.Context(), target, options)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files in the evidence: %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), key) || strings.Contains(string(b), second) {
			t.Errorf("%s holds a key", f.Name())
		}
	}
	again, exchanges, err := suites.OpenEvidence(dir)
	if err != nil {
		t.Fatal(err)
	}
	options.Evidence, options.Replay = "", exchanges
	replayed, err := suites.Judge(t.Context(), again, options)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Verdicts) != len(replayed.Verdicts) || len(first.Verdicts) < 50 {
		t.Fatalf("%d verdicts, then %d", len(first.Verdicts), len(replayed.Verdicts))
	}
	for i, v := range first.Verdicts {
		if w := replayed.Verdicts[i]; v.Clause != w.Clause || v.Verdict != w.Verdict {
			t.Errorf("%s %s (%s), judged again %s %s (%s)", v.Clause, v.Verdict, v.Reason, w.Clause, w.Verdict, w.Reason)
		}
	}
}

func TestOpenEvidenceErrors(t *testing.T) {
	empty, broken, bare := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(broken, "target.json", `{"url":`)
	write(bare, "target.json", `{"url":"http://h"}`)
	write(bare, "exchanges.jsonl", "")
	for dir, says := range map[string]string{empty: "target.json", broken: "target.json", bare: "exchanges.jsonl"} {
		if _, _, err := suites.OpenEvidence(dir); !errors.Is(err, suites.ErrConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want a configuration error saying %q", err, says)
		}
	}
}

// A breach that is waived does not gate, one whose waiver ended does, and a
// waiver of what is kept is reported as stale.
func TestWaiversOfARun(t *testing.T) {
	url, _ := counted(t)
	tomorrow, longAgo := time.Now().AddDate(0, 0, 1), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		until  time.Time
		exit   int
		broken reports.Status
		state  string
	}{
		{"in time", tomorrow, 0, reports.Waived, reports.WaiverUsed},
		{"ended", longAgo, 1, reports.Fail, reports.WaiverEnded},
	} {
		r, err := suites.Judge(t.Context(), suites.Target{BaseURL: url}, suites.Options{
			Clauses: []string{"RSP-004", "RSP-006"},
			Waivers: []suites.Waiver{{Clause: "RSP-004", Reason: "ticket 1", Until: c.until}, {Clause: "RSP-006", Reason: "ticket 2", Until: c.until}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Summary.ExitCode != c.exit || r.Verdicts[0].Verdict != c.broken || r.Verdicts[1].Verdict != reports.Pass {
			t.Errorf("%s: exit %d, %s and %s", c.name, r.Summary.ExitCode, r.Verdicts[0].Verdict, r.Verdicts[1].Verdict)
		}
		if len(r.Waivers) != 2 || r.Waivers[0].State != c.state || r.Waivers[1].State != reports.WaiverStale {
			t.Errorf("%s: %+v", c.name, r.Waivers)
		}
	}
	for says, w := range map[string]suites.Waiver{
		"not in the register": {Clause: "STR-999", Reason: "x", Until: tomorrow},
		"no reason":           {Clause: "STR-009", Until: tomorrow},
		"no day":              {Clause: "STR-009", Reason: "x"},
	} {
		if _, err := suites.Judge(t.Context(), suites.Target{BaseURL: url}, suites.Options{Waivers: []suites.Waiver{w}}); !errors.Is(err, suites.ErrConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want a configuration error saying %q", err, says)
		}
	}
}
