package load

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is a result with something of everything.
func goldenResult(t *testing.T) (*Result, []*Record) {
	records := made(steady(80, 100, 1), 5)
	for i := range 6 {
		r := records[i*9]
		r.Error, r.Status, r.Message, r.FirstToken, r.LastToken, r.Gaps, r.Chunks = "http_429", 429, "=slow </table><script>alert(1)</script> \u202edown", 0, 0, nil, 0
		r.OutputTokens, r.End = 0, r.Sent+1e6
	}
	records[3].Flags = []string{flagNoDone}
	slo, err := ParseSLO("p99 ttft < 500ms, error_rate < 1%")
	if err != nil {
		t.Fatal(err)
	}
	r := assembled(records, slo)
	r.Client = []ClientFacts{{Cores: 2, CPU: []float64{0.2, 0.3}, GCPauses: 3, GCPauseMax: 1e-4, Canary: &Delay{Count: 100, P50: 5e4, P99: 2e5}}}
	r.Target = []Scraped{{"vllm:num_requests_running", "gauge", [][2]float64{{0, 1}, {1, 3}}}}
	return r, records
}

func TestGoldenReports(t *testing.T) {
	r, records := goldenResult(t)
	for name, draw := range map[string]func(io.Writer) error{
		"result.txt":    func(w io.Writer) error { return WriteText(w, r) },
		"requests.csv":  func(w io.Writer) error { return WriteCSV(w, records[:12]) },
		"benchmark.txt": func(w io.Writer) error { return WriteBench(w, r, records) },
		"load.html":     func(w io.Writer) error { return WriteHTML(w, r) },
	} {
		var b bytes.Buffer
		if err := draw(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s differs from %s; see with -update and git diff", name, path)
		}
	}
}

// The page is whole, fetches and runs nothing, and shows what a target wrote
// as text.
func TestPageIsSafe(t *testing.T) {
	r, _ := goldenResult(t)
	var b strings.Builder
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	for _, no := range []string{"<script", "src=", "@import", "url(", "\u202e", "style=\""} {
		if strings.Contains(s, no) {
			t.Errorf("the page holds %q", no)
		}
	}
	for _, yes := range []string{"Content-Security-Policy", "http_429", "Latency", "vllm:num_requests_running", "Objectives", "http://target"} {
		if !strings.Contains(s, yes) {
			t.Errorf("the page does not hold %q", yes)
		}
	}
	for i, svg := range strings.SplitAfter(s, "</svg>") {
		_, svg, ok := strings.Cut(svg, "<svg")
		if !ok {
			continue
		}
		d := xml.NewDecoder(strings.NewReader("<svg" + svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("drawing %d: %v", i, err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("drawing %d has a coordinate that is no number", i)
		}
	}
}

// An empty result draws too.
func TestEmptyResultDraws(t *testing.T) {
	r := assembled(nil, nil)
	for _, draw := range []func(io.Writer, *Result) error{WriteText, WriteHTML} {
		if err := draw(io.Discard, r); err != nil {
			t.Error(err)
		}
	}
}
