package reports

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestReadFileReadsWhatWriteFileWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), ResultFile)
	want := sample()
	if err := WriteFile(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestWriteFileLeavesTheOldOneOnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), ResultFile)
	if err := WriteFile(path, sample()); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, &Result{Seconds: math.NaN()}); err == nil {
		t.Fatal("no error, though JSON has no NaN")
	}
	if _, err := ReadFile(path); err != nil {
		t.Errorf("the old document is gone: %v", err)
	}
}

func TestWriteFileNamesTheFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), ResultFile)
	if err := WriteFile(path, &Result{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"format": "` + Format + `"`, `"verdicts": []`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
}

func TestReadFileErrors(t *testing.T) {
	for _, test := range []struct{ name, document, want string }{
		{"empty", " \n", "not a result document: the file is empty"},
		{"not JSON", "{\n\"format\":\n!", "not a result document: line 3: invalid character '!'"},
		{"cut short", `{"format": "touch`, "line 1: unexpected end of JSON input"},
		{"two documents", `{"format": "touchstone/result/v1"} {}`, "invalid character '{' after top-level value"},
		{"no object", `[]`, "a JSON array cannot be read as"},
		{"no format", `{"verdicts": []}`, `no field "format" (known: "touchstone/result/v1")`},
		{"other format", `{"format": "touchstone/result/v9", "verdicts": 7}`, `unknown format "touchstone/result/v9" (known: "touchstone/result/v1")`},
		{"wrong type", `{"format": "touchstone/result/v1", "summary": {"tokens": "many"}}`, `field "summary.tokens": a JSON string cannot be read as int`},
		{"unknown verdict", `{"format": "touchstone/result/v1", "verdicts": [{"clause": "STR-009", "verdict": "great"}]}`, `verdicts[0] (STR-009): unknown verdict "great"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ResultFile)
			if err := os.WriteFile(path, []byte(test.document), 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := ReadFile(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v\nwant %s, with the path", err, test.want)
			}
		})
	}
}

func TestReadFilePassesOverNewFields(t *testing.T) {
	if _, err := decode([]byte(`{"format": "touchstone/result/v1", "later": {"a": 1}}`)); err != nil {
		t.Error(err)
	}
}

// FuzzReadFile: what can be read can be written and read again unchanged, and
// every report can be drawn from it. Run it with -fuzzminimizetime 5x: the seeds
// are large, and making them small would take all the time.
func FuzzReadFile(f *testing.F) {
	for _, r := range []*Result{sample(), hostile()} {
		var b bytes.Buffer
		if err := encode(&b, r); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte(`{"format": "touchstone/result/v1", "verdicts": [{"verdict": "pass"}], "exchanges": {"": {}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		first, err := decode(document)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := encode(&b, first); err != nil {
			t.Fatal(err)
		}
		second, err := decode(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := encode(&again, second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Fatalf("written twice, the document differs:\n%s\n%s", b.Bytes(), again.Bytes())
		}

		b.Reset()
		if err := WriteJUnit(&b, first); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.Bytes())
		if err := WriteHTML(io.Discard, first); err != nil {
			t.Fatal(err)
		}
		terminal := NewTerminal(io.Discard, TerminalOptions{})
		terminal.Start(first.Target, first.Profile, len(first.Verdicts))
		for _, v := range first.Verdicts {
			terminal.Verdict(v)
		}
		terminal.Finish(first, nil)
	})
}

func wellFormed(t *testing.T, document []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("not XML: %v\n%s", err, document)
		}
	}
}
