package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tour tells which clause caught which defect, and leaves a report.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	code, out, stderr := run(t, "", "demo", "--out", dir, "--defect", "done-missing,id-per-chunk")
	if code != 0 {
		t.Fatalf("%d %s\n%s", code, out, stderr)
	}
	for _, want := range []string{
		"1. An endpoint that looks right", "finish_reason", "waybarrios/vllm-mlx#101", "✗ STR-006", "done-missing  STR-006", "id-per-chunk  STR-012",
		"touchstone rules explain STR-006", "Without the defects the same endpoint keeps", "The report: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the tour does not say %q:\n%s", want, out)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(page), "STR-006") {
		t.Errorf("report.html: %v", err)
	}
	if code, _, stderr := run(t, "", "demo", "--out", dir, "--defect", "don-missing"); code != 2 || !strings.Contains(stderr, "did you mean done-missing") {
		t.Errorf("%d %s", code, stderr)
	}
}
