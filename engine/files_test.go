package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// writeParts writes the parts of a split model and returns their paths.
func writeParts(t *testing.T, parts []*ggufwrite.File) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i, part := range parts {
		path := filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, len(parts)))
		if err := os.WriteFile(path, part.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestSplitModel(t *testing.T) {
	whole := randomModel(t, ggufwrite.Small)
	want := logitsAfter(whole, []int{1, 2, 3}, 3, 1)
	paths := writeParts(t, ggufwrite.Random(ggufwrite.Small).Split(3))
	for _, path := range paths {
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := logitsAfter(m, []int{1, 2, 3}, 3, 1); !slices.Equal(got, want) {
			t.Errorf("%s: other logits than the whole model", path)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenTokenizer(paths[0]); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(paths[0]); err != nil {
		t.Error(err)
	} else if _, err := Load(data); err == nil || !strings.Contains(err.Error(), "3 parts") {
		t.Errorf("a part in memory: %v", err)
	}
}

func TestBrokenSplitModelsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, parts []*ggufwrite.File) string // returns what to open
		want  string
	}{
		{"missing part", func(t *testing.T, parts []*ggufwrite.File) string {
			paths := writeParts(t, parts)
			if err := os.Remove(paths[1]); err != nil {
				t.Fatal(err)
			}
			return paths[0]
		}, "00002-of-00003.gguf"},
		{"a part twice", func(t *testing.T, parts []*ggufwrite.File) string {
			parts[2] = parts[1]
			return writeParts(t, parts)[0]
		}, "split.no"},
		{"a tensor twice", func(t *testing.T, parts []*ggufwrite.File) string {
			parts[2].Tensors[0] = parts[0].Tensors[0]
			return writeParts(t, parts)[0]
		}, "token_embd.weight"},
		{"a tensor less", func(t *testing.T, parts []*ggufwrite.File) string {
			parts[2].Tensors = parts[2].Tensors[1:]
			return writeParts(t, parts)[0]
		}, "split.tensors.count"},
		{"another count", func(t *testing.T, parts []*ggufwrite.File) string {
			return writeParts(t, parts[:2])[0]
		}, "split.count is 3"},
		{"another name", func(t *testing.T, parts []*ggufwrite.File) string {
			path := writeParts(t, parts)[0]
			name := filepath.Join(filepath.Dir(path), "m.gguf")
			if err := os.Rename(path, name); err != nil {
				t.Fatal(err)
			}
			return name
		}, "-of-00003.gguf"},
	} {
		_, err := Open(test.spoil(t, ggufwrite.Random(ggufwrite.Small).Split(3)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that holds %q", test.name, err, test.want)
		}
	}
}
