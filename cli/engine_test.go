package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEngineInfo(t *testing.T) {
	code, out, stderr := run(t, "", "engine", "info", "--tensors", "--metadata", "--template")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{"architecture", "llama", "Q8_0", "token_embd.weight", "tokenizer.ggml.tokens", "bits each", "add_generation_prompt"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%.2000s", want, out)
		}
	}
	code, out, _ = run(t, "", "engine", "info", "--format", "json")
	var info struct {
		Config struct{ Architecture string }
		Types  []struct{ Type string }
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil || code != 0 || info.Config.Architecture != "llama" || len(info.Types) == 0 {
		t.Errorf("exit %d, %v: %.300s", code, err, out)
	}
	broken := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(broken, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "", "engine", "info", broken); code != 2 || !strings.Contains(stderr, "m.gguf") {
		t.Errorf("a broken file: exit %d, %s", code, stderr)
	}
}

func TestEnginePerplexity(t *testing.T) {
	text := strings.Repeat("Once upon a time there was a little girl who lived in a house by the sea. ", 12)
	args := []string{"engine", "perplexity", "-c", "32", "--chunks", "3", "touchstone", "-"}
	code, out, stderr := run(t, text, args...)
	if code != 0 || !strings.Contains(out, "[3]") || strings.Contains(out, "[4]") || !strings.Contains(out, "Final estimate: PPL = ") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	code, out, _ = run(t, text, append(args, "--format", "json")...)
	var r perplexityReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Chunks) != 3 || r.Value != r.Chunks[2] || r.Perplexity.Tokens != 3*15 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	for _, args := range [][]string{
		{"engine", "perplexity", "touchstone", filepath.Join(t.TempDir(), "none")},
		{"engine", "perplexity", "-c", "2", "touchstone", "-"},
		{"engine", "perplexity", "-c", "512", "touchstone", "-"},
	} {
		if code, _, stderr := run(t, "short", args...); code != 2 || stderr == "" {
			t.Errorf("%q: exit %d, %s", args, code, stderr)
		}
	}
}

func TestChatTemplateFlag(t *testing.T) {
	if code, _, stderr := run(t, "", "generate", "--chat", "--chat-template", "nonsense", "x"); code != 2 || !strings.Contains(stderr, "chatml") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := run(t, "", "generate", "--chat-template", "chatml", "x"); code != 2 || !strings.Contains(stderr, "--chat") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, out, stderr := run(t, "", "generate", "--chat", "--chat-template", "plain", "--max-tokens", "2", "--format", "json", "x")
	var g generation
	if err := json.Unmarshal([]byte(out), &g); err != nil || code != 0 {
		t.Fatalf("exit %d: %v %s", code, err, stderr)
	}
	if got := loadEmbedded(t).Tokenizer().Decode(g.PromptTokens, true); got != "user: x\nassistant:" {
		t.Errorf("prompt %q", got)
	}
}

func TestTokenizePieces(t *testing.T) {
	code, out, stderr := run(t, "", "tokenize", "--pieces", "Hello, 세계!")
	if code != 0 || strings.Count(out, "\n") < 3 || !strings.Contains(out, `"!"`) {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
}
