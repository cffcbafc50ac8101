package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
)

// ResultFormat names the layout of load.json; it changes when a reader of the
// old one could be misled.
const ResultFormat = "touchstone/load/v1"

// A Result is the document that a run leaves, `load.json`. It is computed from
// the records, and every report is drawn from it alone. Durations are in
// nanoseconds where the name ends in _ns, in seconds where it ends in _s.
type Result struct {
	Format  string       `json:"format"`
	Tool    reports.Tool `json:"tool"`
	Started time.Time    `json:"started"`
	Seconds float64      `json:"seconds"`
	// Interrupted is set when the run was cut short; the figures are those of
	// what was measured by then.
	Interrupted bool `json:"interrupted,omitempty"`
	// Imported names the tool whose results these are, if not ours.
	Imported string  `json:"imported,omitempty"`
	Shards   int     `json:"shards,omitempty"` // merged from so many
	Config   *Config `json:"config"`
	Verdict  Verdict `json:"verdict"`
	// Client is what is known of the client, one a shard.
	Client []ClientFacts `json:"client,omitempty"`
	// Total is over all stages, Stages is stage by stage.
	Total  Summary       `json:"total"`
	Stages []StageResult `json:"stages"`
	// SLO says which objectives were met.
	SLO []SLOResult `json:"slo,omitempty"`
	// Findings are remarks that a reader of the figures should know.
	Findings []string `json:"findings,omitempty"`
	// Series is the run in time, one point each StepSeconds.
	StepSeconds float64 `json:"step_s"`
	Series      []Tick  `json:"series,omitempty"`
	// Timeline is a sample of the requests.
	Timeline []Bar `json:"timeline,omitempty"`
	// Target is what the target said of itself meanwhile.
	Target []Scraped `json:"target_metrics,omitempty"`
	// Search is how a limit was found, if one was looked for.
	Search *Search `json:"search,omitempty"`
}

// A Verdict says whether the figures can be believed.
type Verdict struct {
	Valid bool `json:"valid"`
	// Text is VALID, or INVALID: client-bound (why).
	Text    string   `json:"text"`
	Reasons []string `json:"reasons,omitempty"`
}

// A StageResult is what was measured in one stage.
type StageResult struct {
	StageConfig
	Label   string   `json:"label"`
	Windows []Window `json:"windows"` // one a shard
	Summary
}

// A Summary is what a set of records comes to.
type Summary struct {
	// Requests were sent after the warm-up; each is one of OK, Failed and
	// Cancelled (by us, at the end of the run).
	Requests  int `json:"requests"`
	OK        int `json:"ok"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Warmup    int `json:"warmup"`
	Offered   int `json:"offered,omitempty"`  // planned by an open loop
	NotSent   int `json:"not_sent,omitempty"` // planned and never begun
	// Errors are by kind, the most frequent first.
	Errors []ErrorCount `json:"errors,omitempty"`
	// FinishReasons and Flags count the answers.
	FinishReasons map[string]int `json:"finish_reasons,omitempty"`
	Flags         map[string]int `json:"flags,omitempty"`
	// SendRate is how many requests a second were sent; PlannedRate how many
	// the schedule wanted.
	SendRate    float64 `json:"send_rate"`
	PlannedRate float64 `json:"planned_rate,omitempty"`
	// Steady is the throughput from the end of the warm-up to the last send,
	// Whole that of the whole run.
	Steady Throughput `json:"steady"`
	Whole  Throughput `json:"whole"`
	// InFlight is the number of requests under way, on average and at most.
	InFlightMean float64 `json:"in_flight_mean"`
	InFlightMax  int     `json:"in_flight_max"`
	// TokenSource is where the number of output tokens is known from: usage,
	// tokenizer, chunks, or mixed.
	TokenSource     string  `json:"token_source,omitempty"`
	PromptTokens    int     `json:"prompt_tokens"`
	CachedTokens    int     `json:"cached_tokens,omitempty"`
	OutputTokens    int     `json:"output_tokens"`
	ReasoningTokens int     `json:"reasoning_tokens,omitempty"`
	TokensPerChunk  float64 `json:"tokens_per_chunk,omitempty"`
	Connections     int     `json:"connections"` // that were made
	// Metrics are the figures, over the requests that are OK.
	Metrics []Metric `json:"metrics"`
	Goodput *Goodput `json:"goodput,omitempty"`
}

// Metric is a figure by its name, nil if it is not defined for these records.
func (s *Summary) Metric(name string) *Metric {
	for i := range s.Metrics {
		if s.Metrics[i].Name == name && s.Metrics[i].Count > 0 {
			return &s.Metrics[i]
		}
	}
	return nil
}

// An ErrorCount is how often something went wrong.
type ErrorCount struct {
	Kind    string `json:"kind"`
	Count   int    `json:"count"`
	Message string `json:"message,omitempty"` // of the first
}

// A Throughput is what was done in a time.
type Throughput struct {
	Seconds      float64 `json:"seconds"`
	Requests     float64 `json:"requests_per_s"` // completed well
	OutputTokens float64 `json:"output_tokens_per_s"`
	PromptTokens float64 `json:"prompt_tokens_per_s"`
}

// The names of the figures.
const (
	TTFT             = "ttft"
	TTFTFromSchedule = "ttft_from_schedule"
	ICL              = "icl"
	TPOT             = "tpot"
	E2E              = "e2e"
	E2EFromSchedule  = "e2e_from_schedule"
	ScheduleLag      = "schedule_lag"
	OwnLag           = "own_lag"
	ConnectTime      = "connect"
)

// A Metric is the distribution of one figure, in nanoseconds.
type Metric struct {
	Name        string       `json:"name"`
	Count       int64        `json:"count"`
	Mean        float64      `json:"mean_ns"`
	Min         int64        `json:"min_ns"`
	Max         int64        `json:"max_ns"`
	Percentiles []Percentile `json:"percentiles"`
	Bins        []Bin        `json:"bins,omitempty"`
}

// P is the value of a percentile, such as 99.
func (m *Metric) P(p float64) (Percentile, bool) {
	for _, q := range m.Percentiles {
		if q.P == p {
			return q, true
		}
	}
	return Percentile{}, false
}

// A Percentile is one, with the interval that holds the true one at 95 %.
type Percentile struct {
	P     float64 `json:"p"`
	Value int64   `json:"value_ns"`
	Low   int64   `json:"low_ns,omitempty"`
	High  int64   `json:"high_ns,omitempty"`
	// Floor is how many samples are needed to state it at 99 % confidence;
	// Enough is whether there are.
	Floor  int  `json:"floor"`
	Enough bool `json:"enough"`
}

// A Bin counts values from From up to the next bin's From, on a logarithmic
// scale.
type Bin struct {
	From  int64 `json:"from_ns"`
	Count int64 `json:"count"`
}

// A Goodput is the share and the rate of requests that meet every objective.
type Goodput struct {
	Good    int     `json:"good"`
	Counted int     `json:"counted"`
	Share   float64 `json:"share"`
	Rate    float64 `json:"requests_per_s"`
	// LeftOut were cancelled at the end, or have no value to judge.
	LeftOut int `json:"left_out"`
}

// A Tick is the run during one step.
type Tick struct {
	At       float64 `json:"at_s"` // the step's begin, since the run's
	Planned  int     `json:"planned"`
	Sent     int     `json:"sent"`
	OK       int     `json:"ok"`
	Failed   int     `json:"failed"`
	InFlight float64 `json:"in_flight"` // on average
	Tokens   float64 `json:"tokens"`
	// The figures of requests that were to be sent in this step; 0: none.
	TTFTP50 int64 `json:"ttft_p50_ns,omitempty"`
	TTFTP95 int64 `json:"ttft_p95_ns,omitempty"`
	TPOTP50 int64 `json:"tpot_p50_ns,omitempty"`
	TPOTP95 int64 `json:"tpot_p95_ns,omitempty"`
	LagMax  int64 `json:"lag_max_ns,omitempty"`
}

// A Bar is one request of the timeline, in nanoseconds since the run's begin.
type Bar struct {
	Index      int    `json:"i"`
	Intended   int64  `json:"intended_ns,omitempty"`
	Sent       int64  `json:"sent_ns"`
	FirstToken int64  `json:"first_token_ns,omitempty"`
	End        int64  `json:"end_ns"`
	Error      string `json:"error,omitempty"`
	Tokens     int    `json:"tokens,omitempty"`
}

// The files that a run leaves.
const (
	ResultFile  = "load.json"
	RecordsFile = "records.jsonl"
	HTMLFile    = "load.html"
	CSVFile     = "requests.csv"
	BenchFile   = "benchmark.txt"
)

// WriteResult writes load.json into dir, whole or not at all.
func WriteResult(dir string, r *Result) (string, error) {
	path := filepath.Join(dir, ResultFile)
	return path, reports.WriteAtomic(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		return e.Encode(r)
	})
}

// ReadResult reads a load.json.
func ReadResult(path string) (*Result, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != ResultFormat {
		return nil, fmt.Errorf("%s: format %q, want %q", path, r.Format, ResultFormat)
	}
	return r, nil
}
