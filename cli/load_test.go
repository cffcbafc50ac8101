package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answering is a target that answers at once.
func answering(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n", `data: {"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":"length"}]}`+"\n\n",
			`data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}`+"\n\n", "data: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestLoadUsage(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	os.WriteFile(bad, []byte("- route: chat\n  prompt_token: 5\n"), 0o666)
	const url = "http://127.0.0.1:1"
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{url}, "--concurrency, --rate and --trace"},
		{[]string{"localhost:8000", "--rate", "1"}, "http://"},
		{[]string{"http://u:p@host", "--rate", "1"}, "password"},
		{[]string{url, "--rate", "x"}, "--rate"},
		{[]string{url, "--rate", "1", "--concurrency", "2"}, "one of"},
		{[]string{url, "--rate", "1", "--arrival", "weibull"}, "--arrival"},
		{[]string{url, "--rate", "1", "--prompt-tokens", "many"}, "--prompt-tokens"},
		{[]string{url, "--rate", "1", "--slo", "fast"}, "--slo"},
		{[]string{url, "--rate", "1", "--shard", "4/4"}, "--shard"},
		{[]string{url, "--rate", "1", "--start-at", "soon"}, "--start-at"},
		{[]string{url, "--rate", "1", "--work", bad}, "prompt_token"},
		{[]string{url, "--rate", "1", "--tokenizer", filepath.Join(dir, "no.gguf")}, "--tokenizer"},
		{[]string{url, "--rate", "1,2", "--ramp-to", "3"}, "--ramp-to"},
		{[]string{url, "--rate-limit-check", "--rate", "3"}, "--rate-limit-check"},
		{[]string{url, "--find-max", "p99 ttft < 1s", "--slo", "p99 ttft < 1s"}, "--find-max"},
		{[]string{"compare", dir, dir}, "load.json"},
		{[]string{"compare", dir, dir, "--fail-if", "slow"}, "--fail-if"},
		{[]string{"merge", dir}, "records.jsonl"},
		{[]string{"import", bad}, "JSON"},
	} {
		code, out, stderr := run(t, "", append([]string{"load"}, c.args...)...)
		if code != 2 || !strings.Contains(out+stderr, c.says) {
			t.Errorf("load %s: exit %d, want 2 saying %q\n%s%s", strings.Join(c.args, " "), code, c.says, out, stderr)
		}
	}
	if code, _, stderr := run(t, "", "load", free(t), "--concurrency", "1", "--requests", "1", "--out", dir); code != 3 || !strings.Contains(stderr, "refused") {
		t.Errorf("nobody listens: exit %d: %s", code, stderr)
	}
}

// A run, its files, a comparison with itself, and a merge of it.
func TestLoad(t *testing.T) {
	url, dir := answering(t), t.TempDir()
	t.Setenv("TOUCHSTONE_API_KEY", "sk-a-key-of-this-test")
	one, two, whole := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "whole")
	flags := []string{"--concurrency", "2", "--requests", "40", "--output-tokens", "2", "-p", "temperature=0.5", "--slo", "p50 ttft < 10s, error_rate < 1%"}
	for _, out := range []string{one, two} {
		code, stdout, stderr := run(t, "", append([]string{"load", url, "--out", out}, flags...)...)
		if code != 0 && !strings.Contains(stdout, "INVALID") { // a busy machine is a reason
			t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
		}
		if !strings.Contains(stdout, "40 requests: 40 ok") || !strings.Contains(stdout, "✓ p50 ttft") {
			t.Error(stdout)
		}
	}
	files, _ := filepath.Glob(filepath.Join(one, "*"))
	if len(files) != 5 {
		t.Errorf("files: %q", files)
	}
	for _, f := range files {
		if b, _ := os.ReadFile(f); len(b) == 0 || strings.Contains(string(b), "sk-a-key") {
			t.Errorf("%s is empty, or holds the key", f)
		}
	}
	if code, stdout, stderr := run(t, "", "load", "compare", one, one, "--allow-invalid", "--fail-if", "ttft p50 > +1%"); code != 0 || !strings.Contains(stdout, "TTFT p50") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, _ := run(t, "", "load", "merge", one, "--out", whole); code != 0 && code != 4 || !strings.Contains(stdout, "40 requests: 40 ok") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if code, stdout, _ := run(t, "", "load", url, "--out", one, "--concurrency", "1", "--requests", "5", "--slo", "p50 ttft < 1us"); code != 1 && code != 4 || !strings.Contains(stdout, "✗ p50 ttft") {
		t.Errorf("a missed objective: exit %d\n%s", code, stdout)
	}
}
