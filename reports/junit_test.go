package reports

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
)

func readJUnit(t *testing.T, r *Result) junitSuites {
	t.Helper()
	var b bytes.Buffer
	if err := WriteJUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	var doc junitSuites
	if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, b.Bytes())
	}
	return doc
}

func TestJUnitCounts(t *testing.T) {
	r := sample()
	doc := readJUnit(t, r)
	if doc.Tests != len(r.Verdicts) || doc.Failures != 1 || doc.Errors != 1 || doc.Skipped != 5 {
		t.Errorf("tests %d, failures %d, errors %d, skipped %d; want %d, 1, 1, 5", doc.Tests, doc.Failures, doc.Errors, doc.Skipped, len(r.Verdicts))
	}
	var tests, failures, errors, skipped int
	for _, s := range doc.Suites {
		var own junitSuite
		for _, c := range s.Cases {
			own.Tests++
			if c.Failure != nil {
				own.Failures++
			}
			if c.Error != nil {
				own.Errors++
			}
			if c.Skipped != nil {
				own.Skipped++
			}
		}
		if own.Tests != s.Tests || own.Failures != s.Failures || own.Errors != s.Errors || own.Skipped != s.Skipped {
			t.Errorf("suite %s says %d/%d/%d/%d and holds %d/%d/%d/%d", s.Name, s.Tests, s.Failures, s.Errors, s.Skipped, own.Tests, own.Failures, own.Errors, own.Skipped)
		}
		tests, failures, errors, skipped = tests+s.Tests, failures+s.Failures, errors+s.Errors, skipped+s.Skipped
	}
	if tests != doc.Tests || failures != doc.Failures || errors != doc.Errors || skipped != doc.Skipped {
		t.Errorf("suites sum to %d/%d/%d/%d", tests, failures, errors, skipped)
	}
}

func TestJUnitOfPaperNeverGates(t *testing.T) {
	r := sample()
	r.Profile = "paper"
	doc := readJUnit(t, r)
	if doc.Failures != 0 {
		t.Errorf("%d failures, want none", doc.Failures)
	}
	for _, s := range doc.Suites {
		for _, c := range s.Cases {
			if strings.HasPrefix(c.Name, "STR-009") && (c.SystemOut == nil || !strings.HasPrefix(c.SystemOut.Text, "fail, reported only")) {
				t.Errorf("system-out of STR-009 is %+v", c.SystemOut)
			}
		}
	}
}

func TestJUnitOfHostileText(t *testing.T) {
	doc := readJUnit(t, hostile())
	failure := doc.Suites[0].Cases[0].Failure
	if failure == nil {
		t.Fatal("no failure")
	}
	for _, want := range []string{"</script>", "]]>", "␀", "␛[2J", "⟨U+202E⟩", "⟨U+FFFE⟩"} {
		if !strings.Contains(failure.Text, want) {
			t.Errorf("no %q in %q", want, failure.Text)
		}
	}
}

func TestJUnitOfAnEmptyRun(t *testing.T) {
	if doc := readJUnit(t, &Result{}); doc.Tests != 0 || len(doc.Suites) != 0 {
		t.Errorf("got %+v", doc)
	}
}
