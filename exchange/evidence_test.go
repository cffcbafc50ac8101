package exchange

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func samples() []*Exchange {
	return []*Exchange{
		{
			ID: "text", Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			Request: Request{Method: "POST", Path: "/v1/x", URL: "http://h/v1/x", Header: http.Header{"A": {"b", "<c>"}}, Body: []byte(`{"prompt":"a\nb"}`)},
			Response: &Response{Status: 200, Proto: "HTTP/1.1", Header: http.Header{"Content-Type": {"text/event-stream"}},
				Head: []byte("HTTP/1.1 200 OK\r\n\r\n"), Body: []byte("data: \u2028 & é\x00\ufffd\n\n"),
				Reads: []Read{{At: 1, End: 3}, {At: 2, End: 17}}, Complete: true},
			Sent: 5, Headers: 6, End: 7, Reused: true,
		},
		{
			ID: "binary", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stopped: StoppedAsked,
			Request:  Request{Method: "POST", Body: []byte{0xff, 0}},
			Response: &Response{Status: 200, Body: []byte{0xc3}, Head: []byte("HTTP/1.1 200 \xe9\r\n\r\n")},
		},
		{ID: "empty", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Request: Request{Body: []byte{}}, Response: &Response{}},
		{ID: "none", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Error: "request not sent: connection refused"},
	}
}

func TestEvidenceComesBack(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "evidence.jsonl")
	g.Expect(os.WriteFile(path, []byte("old"), 0o600)).To(Succeed())
	g.Expect(WriteFile(path, samples())).To(Succeed())
	xs, err := ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(xs).To(Equal(samples()))

	text, _ := os.ReadFile(path)
	lines := strings.Split(string(text), "\n")
	g.Expect(lines[0]).To(Equal(`{"format":"touchstone/evidence/v1","exchanges":4}`))
	g.Expect(lines[1]).To(ContainSubstring(`"body":"{\"prompt\":\"a\\nb\"}"`), "readable by eye")
	g.Expect(lines[1]).To(ContainSubstring(`<c>`))
	g.Expect(lines[2]).To(And(ContainSubstring(`"body_base64":"/wA="`), ContainSubstring(`"head_base64"`)))

	entries, _ := os.ReadDir(dir)
	g.Expect(entries).To(HaveLen(1), "no temporary file is left")
	g.Expect(WriteFile(path, []*Exchange{nil})).To(MatchError(ContainSubstring("nil exchange")))
	g.Expect(os.ReadFile(path)).To(Equal(text), "a failed write changes nothing")
	entries, _ = os.ReadDir(dir)
	g.Expect(entries).To(HaveLen(1))
	g.Expect(WriteFile(filepath.Join(dir, "no", "x"), nil)).NotTo(Succeed())
}

func TestBrokenEvidence(t *testing.T) {
	const head = `{"format":"touchstone/evidence/v1","exchanges":1}` + "\n"
	for name, tt := range map[string]struct{ text, want string }{
		"empty":          {"", "line 1: not an evidence file"},
		"something else": {"{}\n", `line 1: format "", this version reads "touchstone/evidence/v1"`},
		"later version":  {`{"format":"touchstone/evidence/v9"}`, `line 1: format "touchstone/evidence/v9"`},
		"cut":            {head + `{"id":"a","requ`, "line 2: unexpected end of JSON input"},
		"missing":        {head, "the file holds 0 exchanges, its first line promises 1"},
		"no id":          {head + "\n\n{}\n", "line 4: exchange without id"},
		"wrong type":     {head + `{"id":"a","request":{"body":7}}`, "line 2: request: json: cannot unmarshal number"},
		"bad base64":     {head + `{"id":"a","response":{"body_base64":"*"}}`, "line 2: response: "},
		"offsets":        {head + `{"id":"a","response":{"body":"abc","reads":[{"at_ns":1,"end":4}]}}`, "line 2: exchange a: read 0"},
		"time runs back": {head + `{"id":"a","response":{"body":"abc","reads":[{"at_ns":2,"end":1},{"at_ns":1,"end":2}]}}`, "read 1"},
		"negative":       {head + `{"id":"a","response":{"body":"abc","reads":[{"end":-1}]}}`, "read 0"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "e.jsonl")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadFile(path)
			NewWithT(t).Expect(err).To(MatchError(And(ContainSubstring(tt.want), ContainSubstring(path))))
		})
	}
	_, err := ReadFile(filepath.Join(t.TempDir(), "none"))
	NewWithT(t).Expect(err).To(MatchError(os.ErrNotExist))
}

// FuzzReadAll holds that what can be read can be written and read again.
func FuzzReadAll(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, samples()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":"touchstone/evidence/v1","exchanges":1}` + "\n" + `{"id":"a","response":null,"request":{"header":{"a":null}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		xs, err := ReadAll(bytes.NewReader(in))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, xs); err != nil {
			t.Fatal(err)
		}
		again, err := ReadAll(&out)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range xs {
			a, _ := json.Marshal(x)
			b, _ := json.Marshal(again[i])
			if !bytes.Equal(a, b) {
				t.Fatalf("\n%s\n%s", a, b)
			}
			_ = Redact(x, "secret-1").Curl("KEY")
			if x.Response != nil {
				x.Response.Stream()
			}
		}
	})
}
