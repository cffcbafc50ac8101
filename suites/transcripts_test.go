package suites

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

var update = flag.Bool("update", false, "write the golden verdicts anew")

// transcripts are the recorded exchanges of servers that are not ours; see the
// README there.
const transcripts = "../fixtures/transcripts"

// TestTranscripts judges what real servers answered again, with nothing sent,
// and compares each verdict with the one that was confirmed by hand.
func TestTranscripts(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(transcripts, "*", exchangesFile+".gz"))
	if err != nil || len(dirs) < 4 {
		t.Fatalf("%d recorded servers: %v", len(dirs), err)
	}
	for _, packed := range dirs {
		dir := filepath.Dir(packed)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			got := map[string]reports.Status{}
			for _, v := range judgeRecorded(t, dir).Verdicts {
				got[v.Clause] = v.Verdict
			}
			golden := filepath.Join(dir, "verdicts.json")
			if *update {
				raw, _ := json.MarshalIndent(got, "", "  ")
				if err := os.WriteFile(golden, append(raw, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]reports.Status{}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatalf("%s: %v", golden, err)
			}
			for clause, v := range want {
				if got[clause] != v {
					t.Errorf("%s: %q, recorded as %q", clause, got[clause], v)
				}
			}
			for clause, v := range got {
				if want[clause] == "" {
					t.Errorf("%s: %q, and no verdict recorded", clause, v)
				}
			}
		})
	}
}

// judgeRecorded judges an evidence directory whose exchanges are compressed.
func judgeRecorded(t *testing.T, dir string) *reports.Result {
	t.Helper()
	unpacked := t.TempDir()
	for _, name := range []string{targetFile, exchangesFile} {
		raw, err := unpack(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(unpacked, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	target, evidence, err := OpenEvidence(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	// Whatever is sent comes here.
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a replay sent %s %s", r.Method, r.URL)
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(target.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	target.BaseURL = server.URL + base.Path
	result, err := Judge(t.Context(), target, Options{Profile: schemas.Interop, Replay: evidence})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// unpack reads a file, or what stands beside it with .gz behind its name.
func unpack(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		return raw, err
	}
	f, err := os.Open(path + ".gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
