package reports

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "reports")
	paths, err := WriteAll(dir, sample())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ResultFile, JUnitFile, HTMLFile}
	if len(paths) != len(want) {
		t.Fatalf("wrote %q, want %q", paths, want)
	}
	for i, name := range want {
		if paths[i] != filepath.Join(dir, name) {
			t.Errorf("path %d is %s, want %s in %s", i, paths[i], name, dir)
		}
		got, err := os.ReadFile(paths[i])
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Errorf("%d files in the folder, want %d: temporary ones were left", len(entries), len(want))
	}
}

func TestWriteAllReplacesReports(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if _, err := WriteAll(dir, sample()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteAllKeepsOnAfterAnError(t *testing.T) {
	dir := t.TempDir()
	// A folder stands where junit.xml should go.
	if err := os.MkdirAll(filepath.Join(dir, JUnitFile, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	paths, err := WriteAll(dir, sample())
	if err == nil {
		t.Error("no error, though a file could not be written")
	}
	if len(paths) != 2 {
		t.Errorf("wrote %q, want the two others", paths)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}
