package reports

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// someMutants has each mark, and text that must not become markup.
var someMutants = []Mutant{
	{Defect: "done-missing", Dialect: "llama-v1", Sentence: "Streams end without [DONE].", Seen: "waybarrios/vllm-mlx#101", Killed: []string{"SAF-010", "STR-006"}},
	{Defect: "finish-never", Dialect: "llama-v1", Sentence: "finish_reason is null in <every> chunk.", Killed: []string{"STR-009"}, Survived: []string{"CLI-006"}},
	{Defect: "usage-missing", Dialect: "openai", Sentence: "Answers have no usage.", Killed: []string{"USE-001"}, Collateral: []string{"RSP-002"}},
}

func TestMutantsPage(t *testing.T) {
	var b bytes.Buffer
	if err := WriteMutants(&b, someMutants); err != nil {
		t.Fatal(err)
	}
	golden(t, "mutants.html", b.Bytes())
	for _, want := range []string{"done-missing × STR-006: killed", "finish-never × CLI-006: survived", "usage-missing × RSP-002: collateral", "&lt;every&gt;", "Seen in waybarrios/vllm-mlx#101."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(b.String(), "<script") || strings.Contains(b.String(), "://") {
		t.Error("the page runs a script or fetches something")
	}
	const want = "3 defects, 1 of them seen in real servers; 5 pairs of defect and clause that must fail: 4 killed, 1 survived, 1 collateral. 4 clauses have a defect that they caught."
	if got := MutantsSummary(someMutants); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// The published page and the summary in the project's README are drawn from
// mutants.json, which `make mutants` measures.
func TestMutantsPublished(t *testing.T) {
	list, err := ReadMutants("mutants.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no mutants.json; make mutants measures it")
	}
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteMutants(&b, list); err != nil {
		t.Fatal(err)
	}
	goldenAt(t, "mutants.html", b.Bytes())
	const begin, end = "<!-- mutants: written by make mutants -->\n", "\n<!-- end -->"
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(readme, []byte(begin))
	_, tail, ended := bytes.Cut(rest, []byte(end))
	if !ok || !ended {
		t.Fatal("README.md has no place for the summary of the mutants")
	}
	goldenAt(t, "../README.md", bytes.Join([][]byte{head, []byte(begin), []byte(MutantsSummary(list)), []byte(end), tail}, nil))
}
