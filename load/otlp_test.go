package load

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A run's figures reach an OTLP endpoint under OpenTelemetry's names.
func TestTelemetry(t *testing.T) {
	var mu sync.Mutex
	var got []byte
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, b...)
		paths = append(paths, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	f := &fakeTarget{}
	j := newJob(f.serve(t), Stage{Concurrency: 2, Requests: 10})
	told, err := SendTelemetry(t.Context(), s.URL, time.Hour, &j)
	if err != nil {
		t.Fatal(err)
	}
	measure(t, j)
	if err := told.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 || paths[0] != "/v1/metrics" {
		t.Fatalf("sent to %q", paths)
	}
	for _, name := range []string{"gen_ai.client.operation.duration", "gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token", "touchstone.load.requests", "gen_ai.operation.name"} {
		if !bytes.Contains(got, []byte(name)) {
			t.Errorf("%s was not sent", name)
		}
	}
}

// The target's own metrics are read beside the run.
func TestScrape(t *testing.T) {
	f := &fakeTarget{}
	url := f.serve(t)
	looks := 0
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		looks++
		io.WriteString(w, "# HELP x\nvllm:num_requests_running{model_name=\"a b\",engine=\"0\"} 3.0\nvllm:num_requests_running{engine=\"1\"} 2\nvllm:kv_cache_usage_perc 0.25\nother 7\nvllm:generation_tokens_total{} NaNsense\n")
	}))
	t.Cleanup(m.Close)
	j := newJob(url, Stage{Concurrency: 1, Requests: 3})
	j.Scrape = m.URL
	r := measure(t, j)
	seen := map[string]float64{}
	for _, x := range r.Target {
		seen[x.Name] = x.Points[0][1]
	}
	if seen["vllm:num_requests_running"] != 5 || seen["vllm:kv_cache_usage_perc"] != 0.25 || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}
