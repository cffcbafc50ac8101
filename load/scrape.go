package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Scraped is one metric of the target, as it said itself, in time.
type Scraped struct {
	Name string `json:"name"`
	// Kind is gauge, or rate: the increase of a counter a second.
	Kind string `json:"kind"`
	// Points are seconds since the run's begin and values.
	Points [][2]float64 `json:"points"`
}

// scrapedNames are the metrics of vLLM (and those that others call alike)
// that are kept, with their kind.
var scrapedNames = map[string]string{
	"vllm:num_requests_running":       "gauge",
	"vllm:num_requests_waiting":       "gauge",
	"vllm:num_requests_swapped":       "gauge",
	"vllm:kv_cache_usage_perc":        "gauge",
	"vllm:gpu_cache_usage_perc":       "gauge",
	"vllm:num_preemptions_total":      "rate",
	"vllm:prompt_tokens_total":        "rate",
	"vllm:generation_tokens_total":    "rate",
	"vllm:request_success_total":      "rate",
	"vllm:prefix_cache_hits_total":    "rate",
	"vllm:prefix_cache_queries_total": "rate",
}

// scrapeEvery is the time between two looks at the target's metrics.
const scrapeEvery = time.Second

// A scraper reads the target's metrics beside the run.
type scraper struct {
	url    string
	cancel context.CancelFunc
	ended  chan struct{}
	points map[string][][2]float64
	last   map[string][2]float64
	looks  int
	failed string
}

func newScraper(url string) *scraper {
	return &scraper{url: url, ended: make(chan struct{}), points: map[string][][2]float64{}, last: map[string][2]float64{}}
}

func (s *scraper) start(began time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	client := &http.Client{Timeout: 5 * time.Second}
	go func() {
		defer close(s.ended)
		tick := time.NewTicker(scrapeEvery)
		defer tick.Stop()
		for {
			s.look(ctx, client, began)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

func (s *scraper) look(ctx context.Context, client *http.Client, began time.Time) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		s.failed = err.Error()
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			s.failed = err.Error()
		}
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.failed = resp.Status
		return
	}
	at := time.Since(began).Seconds()
	s.looks++
	for name, v := range parseMetrics(io.LimitReader(resp.Body, 16<<20)) {
		switch scrapedNames[name] {
		case "gauge":
			s.points[name] = append(s.points[name], [2]float64{at, v})
		case "rate":
			if l, ok := s.last[name]; ok && at > l[0] && v >= l[1] {
				s.points[name] = append(s.points[name], [2]float64{at, (v - l[1]) / (at - l[0])})
			}
			s.last[name] = [2]float64{at, v}
		}
	}
}

// parseMetrics reads the text format of Prometheus and adds up the series of
// each name that is kept.
func parseMetrics(r io.Reader) map[string]float64 {
	sum := map[string]float64{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest := line, ""
		if i := strings.IndexAny(line, "{ \t"); i > 0 {
			name, rest = line[:i], line[i:]
		}
		if _, ok := scrapedNames[name]; !ok {
			continue
		}
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		f := strings.Fields(rest)
		if len(f) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(f[0], 64); err == nil {
			sum[name] += v
		}
	}
	return sum
}

// stop ends the scraping and returns what was seen, and what to remark.
func (s *scraper) stop() ([]Scraped, []string) {
	if s.cancel == nil {
		return nil, nil
	}
	s.cancel()
	<-s.ended
	var out []Scraped
	for name, p := range s.points {
		out = append(out, Scraped{name, scrapedNames[name], p})
	}
	slices.SortFunc(out, func(a, b Scraped) int { return strings.Compare(a.Name, b.Name) })
	switch {
	case s.looks == 0:
		return nil, []string{fmt.Sprintf("the target's metrics could not be read: %s", s.failed)}
	case len(out) == 0:
		return nil, []string{"the target's metrics hold none of vLLM's names"}
	}
	return out, nil
}
