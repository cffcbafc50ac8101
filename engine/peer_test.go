package engine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Comparisons with llama.cpp, for those who have built it: TOUCHSTONE_LLAMA_CPP
// names the folder of its programs. Without it these tests are skipped.

// peer returns the path of a program of llama.cpp.
func peer(t *testing.T, program string) string {
	t.Helper()
	dir := os.Getenv("TOUCHSTONE_LLAMA_CPP")
	if dir == "" {
		t.Skip("TOUCHSTONE_LLAMA_CPP names no folder with llama.cpp's programs")
	}
	path := filepath.Join(dir, program)
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	return path
}

// A megabyte of text in many scripts is the same tokens.
func TestPeerTokens(t *testing.T) {
	program := peer(t, "llama-tokenize")
	text := mixedText(1 << 20)
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range vocabularies(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			tok, err := OpenTokenizer(path)
			if err != nil {
				t.Fatal(err)
			}
			text, file := text, file
			switch {
			case strings.Contains(path, "phi-3"):
				t.Skip("llama.cpp drops spaces after Phi-3's special tokens, by the name of the model")
			case strings.Contains(path, "deepseek-llm"):
				// Its pattern goes through C++'s regex, which knows fewer spaces.
				text, file = strings.ReplaceAll(text, "\u00a0", "."), file+"-without-nbsp"
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(program, "--model", path, "--file", file, "--ids", "--no-bos", "--no-parse-special", "--log-disable").Output()
			if err != nil {
				t.Fatal(err)
			}
			var want []int
			if err := json.Unmarshal(out, &want); err != nil {
				t.Fatal(err)
			}
			got := tok.Encode(text, false)
			if slices.Equal(got, want) {
				t.Logf("%d tokens", len(got))
				return
			}
			i := 0
			for i < len(got) && i < len(want) && got[i] == want[i] {
				i++
			}
			t.Errorf("%d tokens, want %d; after %q comes %q, want %q", len(got), len(want), tok.Decode(got[max(0, i-5):i], false),
				tok.Decode(got[i:min(len(got), i+5)], false), tok.Decode(want[i:min(len(want), i+5)], false))
		})
	}
}
