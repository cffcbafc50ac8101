package cli

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/reports"
)

func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(args, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// free is the URL of a loopback port on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

func TestExitCodes(t *testing.T) {
	out := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string // on either stream
	}{
		{[]string{"--help"}, 0, "Exit codes"},
		{[]string{"check", "--help"}, 0, "--api-key-env"},
		{[]string{"--version"}, 0, ""},
		{nil, 2, "touchstone --help"},
		{[]string{"chekc"}, 2, "chekc"},
		{[]string{"check", "--no-such"}, 2, "--no-such"},
		{[]string{"check", "--profile", "lenient"}, 2, "--profile"},
		{[]string{"check", "localhost:8000"}, 2, "http://host"},
		{[]string{"check", "http://user:pw@localhost"}, 2, "password"},
		{[]string{"check", "http://127.0.0.1:1", "--dialect", "grpc"}, 2, "grpc"},
		{[]string{"check", "http://127.0.0.1:1", "--kind", "toaster"}, 2, "toaster"},
		{[]string{"check", "--clause", "STR-999"}, 2, "STR-999"},
		{[]string{"check", "--area", "XYZ"}, 2, "XYZ"},
		{[]string{"check", "--clause", "STR-026"}, 2, "not enforced"},
		{[]string{"check", "--label-filter", "((("}, 2, "label filter"},
		{[]string{"check", "--label-filter", "STR && RSP"}, 3, "no clause matches"},
		{[]string{"check", "--defect", "no-such"}, 2, "--defect[0]: there is no defect \"no-such\""},
		{[]string{"serve", "--defect", "stream-*,done-missing:7"}, 2, "--defect[1]"},
		{[]string{"check", "http://127.0.0.1:1", "--defect", "done-missing"}, 2, "in-process"},
		{[]string{"check", free(t), "--out", out}, 3, ""},
		{[]string{"serve", "--listen", "nowhere:port:1"}, 2, "--listen"},
		{[]string{"serve", "--model", filepath.Join(out, "no.gguf")}, 2, "no.gguf"},
		{[]string{"generate", "--temperature", "-1", "x"}, 2, "temperature"},
		{[]string{"tokenize", "--model", filepath.Join(out, "no.gguf"), "x"}, 2, "no.gguf"},
		{[]string{"rules", "--area", "XYZ"}, 2, "XYZ"},
	} {
		code, stdout, stderr := run(t, "", c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("touchstone %s: exit %d, want %d saying %q\n%s%s", strings.Join(c.args, " "), code, c.code, c.says, stdout, stderr)
		}
	}
}

func TestRulesJSON(t *testing.T) {
	code, out, _ := run(t, "", "rules", "--format", "json")
	var rules []struct {
		ID, Statement, Excluded string
		Levels                  map[string]string
	}
	if err := json.Unmarshal([]byte(out), &rules); err != nil || code != 0 {
		t.Fatalf("exit %d: %v", code, err)
	}
	for _, r := range rules {
		if r.ID == "" || r.Statement == "" || r.Levels["interop"] == "" {
			t.Errorf("incomplete: %+v", r)
		}
	}
	if len(rules) < 110 {
		t.Errorf("%d clauses", len(rules))
	}
}

func TestGenerateJSON(t *testing.T) {
	code, out, stderr := run(t, "Once upon a time", "generate", "--format", "json", "--max-tokens", "8", "--ignore-eos", "--logprobs", "2", "-")
	var g generation
	if err := json.Unmarshal([]byte(out), &g); err != nil || code != 0 {
		t.Fatalf("exit %d: %v %s", code, err, stderr)
	}
	if len(g.PromptTokens) == 0 || len(g.Tokens) == 0 || len(g.Tokens) > 8 || len(g.Logprobs) != len(g.Tokens) || len(g.TopLogprobs) != len(g.Tokens) || g.FinishReason != "length" {
		t.Errorf("%+v", g)
	}
	_, text, _ := run(t, "", "generate", "--max-tokens", "8", "--ignore-eos", "Once upon a time")
	if strings.TrimSuffix(text, "\n") != g.Text {
		t.Errorf("streamed %q, collected %q", text, g.Text)
	}
}

func TestTokenize(t *testing.T) {
	code, out, _ := run(t, "", "tokenize", "Hello, 세계!")
	var ids []int
	if err := json.Unmarshal([]byte(out), &ids); err != nil || code != 0 || len(ids) == 0 {
		t.Fatalf("exit %d: %v %s", code, err, out)
	}
	m := loadEmbedded(t)
	if got := m.Tokenizer().Decode(ids, true); got != "Hello, 세계!" {
		t.Errorf("round trip gives %q", got)
	}
}

// A check leaves its reports, proof included, and no key in any of them.
func TestCheckWritesReports(t *testing.T) {
	dir := t.TempDir()
	code, out, stderr := run(t, "", "check", "--area", "BST", "--defect", "best-of-reduces-n", "--out", dir)
	if code != 1 {
		t.Fatalf("exit %d\n%s%s", code, out, stderr)
	}
	r, err := reports.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Verdicts {
		if v.Clause == "BST-001" && (v.Verdict != reports.Fail || len(v.Findings) == 0 || !strings.Contains(v.Findings[0].Curl, "$TOUCHSTONE_API_KEY")) {
			t.Errorf("no proof: %+v", v)
		}
	}
	for _, name := range []string{"result.json", "report.html", "junit.xml"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		if !bytes.Contains(b, []byte("BST-001")) {
			t.Errorf("%s does not tell of BST-001", name)
		}
		if i := bytes.Index(b, []byte("Bearer ")); i >= 0 && !bytes.Contains(b[i:i+40], []byte("TOUCHSTONE_API_KEY")) && !bytes.Contains(b[i:i+40], []byte("redacted")) {
			t.Errorf("%s may hold the key: %s", name, b[i:i+40])
		}
	}
}
