package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/load"
)

// exitInvalid is the exit code of a run whose figures cannot be believed.
const exitInvalid = 4

type loadCmd struct {
	Run     loadRunCmd     `cmd:"" default:"withargs" help:"Measure a target (the default)."`
	Compare loadCompareCmd `cmd:"" help:"Hold a new run against an old one, with a rank test and intervals."`
	Merge   loadMergeCmd   `cmd:"" help:"Put the shards of a run together, exactly; of one folder, draw its reports anew."`
	Import  loadImportCmd  `cmd:"" help:"Read the results of vllm bench serve, guidellm or aiperf."`
}

func (loadCmd) Help() string { return loadHelp }

type loadCompareCmd struct {
	Old          string   `arg:"" type:"existingdir" help:"Folder of the old run."`
	New          string   `arg:"" type:"existingdir" help:"Folder of the new run."`
	FailIf       []string `sep:"none" placeholder:"EXPR" help:"Regression that makes the exit code 1, as in 'ttft p95 > +5%' or 'output_tokens_per_s < -5%'; may be repeated. It must be shown, not only seen."`
	AllowInvalid bool     `help:"Compare runs that are INVALID too."`
	Format       string   `default:"text" enum:"text,json" help:"text, or json."`
}

func (loadCompareCmd) Help() string {
	return `Latencies are compared sample by sample with the Mann-Whitney U-test; each change has
a bootstrapped 95 % interval. A gate (--fail-if) trips when the change is beyond its
limit and was shown: its interval leaves out no change, and p is below 0.05.

  touchstone load compare runs/main runs/branch --fail-if 'ttft p95 > +5%' --fail-if 'error_rate > +1%'
  benchstat runs/main/benchmark.txt runs/branch/benchmark.txt

Exit code: 0 no gate tripped, 1 a regression, 2 bad usage, 4 one of the runs is INVALID.`
}

func (c *loadCompareCmd) Run(s *streams) error {
	var gates []load.Gate
	for _, text := range c.FailIf {
		g, err := load.ParseGate(text)
		if err != nil {
			return usage("--fail-if: %w", err)
		}
		gates = append(gates, g)
	}
	var results [2]*load.Result
	var records [2][]*load.Record
	for i, dir := range []string{c.Old, c.New} {
		var err error
		if results[i], err = load.ReadResult(filepath.Join(dir, load.ResultFile)); err != nil {
			return usage("%w", err)
		}
		if _, records[i], err = load.ReadRecordsFile(filepath.Join(dir, load.RecordsFile)); err != nil {
			return usage("%w", err)
		}
	}
	cmp, err := load.Compare(results[0], results[1], records[0], records[1], gates)
	if err != nil {
		return usage("%w", err)
	}
	if c.Format == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", " ")
		err = e.Encode(cmp)
	} else {
		err = cmp.WriteText(s.out)
	}
	switch {
	case err != nil:
		return err
	case cmp.Failed():
		return exitError{code: exitFailed}
	case !c.AllowInvalid && (!results[0].Verdict.Valid || !results[1].Verdict.Valid):
		return exitError{code: exitInvalid}
	}
	return nil
}

type loadMergeCmd struct {
	Dirs  []string `arg:"" type:"existingdir" help:"Folders of the shards."`
	Out   string   `default:"load-out" type:"path" placeholder:"DIR" help:"Where to write the result of the whole."`
	SLO   string   `name:"slo" placeholder:"EXPR" help:"Objectives, as of load."`
	Quiet bool     `short:"q" help:"Print only the verdict."`
}

func (loadMergeCmd) Help() string {
	return `Every figure is computed anew from all records, so percentiles are exactly those of one
machine that had sent everything. A folder whose run was killed is read as far as it goes.

  touchstone load merge shard-0 shard-1 shard-2 --out whole`
}

func (c *loadMergeCmd) Run(s *streams) error {
	var slo *load.SLO
	var err error
	if c.SLO != "" {
		if slo, err = load.ParseSLO(c.SLO); err != nil {
			return usage("--slo: %w", err)
		}
	}
	m, err := load.Merge(c.Dirs, slo)
	if err != nil {
		return usage("%w", err)
	}
	if err := load.WriteRecords(c.Out, *m.Header, m.Records); err != nil {
		return err
	}
	if _, err := load.WriteResult(c.Out, m.Result); err != nil {
		return err
	}
	if err := drawLoad(s, c.Out, m.Result, m.Records, c.Quiet); err != nil {
		return err
	}
	return loadExit(m.Result)
}

type loadImportCmd struct {
	File string `arg:"" type:"existingfile" help:"Result file: of vllm bench serve (--save-detailed), guidellm (benchmarks.json) or aiperf (profile_export.jsonl)."`
	Out  string `default:"load-out" type:"path" placeholder:"DIR" help:"Where to write load.json, records.jsonl and the reports."`
}

func (c *loadImportCmd) Run(s *streams) error {
	r, records, err := load.Import(c.File)
	if err != nil {
		return usage("%w", err)
	}
	r.Tool.Version = toolVersion()
	if err := load.WriteRecords(c.Out, load.Header{Version: toolVersion(), Began: r.Started, Config: r.Config}, records); err != nil {
		return err
	}
	if _, err := load.WriteResult(c.Out, r); err != nil {
		return err
	}
	return drawLoad(s, c.Out, r, records, false)
}

type loadRunCmd struct {
	URL          string            `arg:"" help:"Base URL of the target, as in http://host:8000."`
	Dialect      string            `default:"openai" enum:"llama-v1,openai,azure-inference" help:"API of the target: ${enum}. It decides the paths."`
	Route        string            `default:"chat" enum:"chat,completions" help:"Route to load: ${enum}."`
	Model        string            `placeholder:"NAME" help:"Model to ask for."`
	APIKeyEnv    string            `name:"api-key-env" default:"TOUCHSTONE_API_KEY" placeholder:"NAME" help:"Environment variable that holds the key."`
	APIKeyHeader string            `name:"api-key-header" placeholder:"NAME" help:"Header that carries the key bare, as in api-key; by default it is sent as a bearer token."`
	Header       map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"Header of every request; may be repeated."`

	Concurrency string        `group:"Load" placeholder:"N" help:"Closed loop of N users, each with one request in flight. A list (1,2,4 or 1-64*2) is swept."`
	Think       string        `group:"Load" default:"0" placeholder:"DIST" help:"Seconds that a user waits before its next request."`
	RampUp      time.Duration `group:"Load" placeholder:"D" help:"Time over which the users arrive."`
	Rate        string        `group:"Load" placeholder:"R" help:"Open loop of R requests a second, whatever the target does. A list (1,2,4 or 10-100+10) is swept."`
	RampTo      float64       `group:"Load" placeholder:"R" help:"Let the rate go from --rate to this one in a straight line."`
	Arrival     string        `group:"Load" default:"poisson" placeholder:"KIND" help:"Gaps of an open loop: constant, poisson or gamma:CV (bursty above 1)."`
	Trace       string        `group:"Load" type:"existingfile" placeholder:"FILE" help:"Replay a trace: CSV or JSON lines; Azure's, Mooncake's and BurstGPT's columns are understood."`
	TraceSpeed  float64       `group:"Load" default:"1" placeholder:"X" help:"Play the trace so many times as fast."`
	Duration    time.Duration `group:"Load" placeholder:"D" help:"For how long requests are sent (of a sweep: each step). The default is 30s, a trace's own length, or until --requests are sent."`
	Requests    int           `group:"Load" placeholder:"N" help:"Send at most so many."`
	Warmup      time.Duration `group:"Load" default:"0s" placeholder:"D" help:"Leave the first D of each step out of the figures."`
	Drain       time.Duration `group:"Load" default:"30s" placeholder:"D" help:"Wait so long for answers after the last request."`
	Seed        uint64        `group:"Load" default:"1" placeholder:"N" help:"Seed of schedule and prompts."`

	PromptTokens   string            `group:"Work" placeholder:"DIST" help:"Length of prompts in tokens: N, MIN-MAX, normal:MEAN,SD, lognormal:MEDIAN,SIGMA or exp:MEAN. Without it, prompts of the built-in set."`
	OutputTokens   string            `group:"Work" default:"64" placeholder:"DIST" help:"Length of answers in tokens (max_tokens, held by ignore_eos and min_tokens where they are honoured)."`
	StopAtEOS      bool              `group:"Work" name:"stop-at-eos" help:"Let answers end where the model ends them."`
	Prompts        string            `group:"Work" placeholder:"FILE" help:"Prompts from JSON lines (a string, prompt, messages, turns or body) or ShareGPT's JSON."`
	System         string            `group:"Work" placeholder:"TEXT" help:"System message."`
	PrefixTokens   int               `group:"Work" placeholder:"N" help:"Let prompts share their first N tokens."`
	Prefixes       int               `group:"Work" default:"1" placeholder:"N" help:"How many such beginnings there are."`
	Turns          string            `group:"Work" default:"1" placeholder:"DIST" help:"Requests of a conversation, each with all that was said before."`
	TurnThink      string            `group:"Work" default:"0" placeholder:"DIST" help:"Seconds between the turns of a conversation."`
	NoStream       bool              `group:"Work" help:"Ask for whole answers. There is no TTFT then."`
	Param          map[string]string `group:"Work" short:"p" placeholder:"NAME=JSON" mapsep:"none" help:"Further member of the request body, as in -p temperature=0.7 -p top_p=0.9; may be repeated."`
	MaxTokensField string            `group:"Work" default:"max_tokens" placeholder:"NAME" help:"Name of the output limit, as in max_completion_tokens."`
	Work           string            `group:"Work" type:"existingfile" placeholder:"FILE.yaml" help:"A mix of several kinds of work by weight, in place of the flags above."`
	Tokenizer      string            `group:"Work" placeholder:"FILE.gguf" help:"The target's tokenizer: prompt lengths are exact then and outputs are counted; 'embedded' is that of 'touchstone serve'."`

	HTTP     string        `name:"http" group:"Connection" default:"1.1" enum:"1.1,2,auto" help:"HTTP version: ${enum}. 2 also works without TLS."`
	NoReuse  bool          `group:"Connection" help:"Make a connection for each request."`
	Insecure bool          `group:"Connection" help:"Take any certificate."`
	Timeout  time.Duration `group:"Connection" default:"10m" placeholder:"D" help:"Bound on one request."`
	Spin     time.Duration `group:"Connection" default:"0s" placeholder:"D" help:"Wait the last D before each send without sleeping: more punctual, takes up to a core. 100us is plenty."`

	Shard   string `group:"Scale" placeholder:"i/n" help:"Play part i of n (from 0) of the schedule; the parts are put together with 'load merge'."`
	StartAt string `group:"Scale" placeholder:"TIME" help:"Begin at this time (RFC 3339, or seconds since 1970), together with the other shards."`

	SLO string `name:"slo" group:"Judgement" placeholder:"EXPR" help:"Objectives, as in 'p99 ttft < 500ms, p95 tpot < 50ms, error_rate < 1%'. One that is missed makes the exit code 1."`

	FindMax  string  `group:"Judgement" placeholder:"EXPR" help:"Look for the highest rate or concurrency at which these objectives hold. --rate or --concurrency is where it begins, --duration how long a step lasts (default 20s)."`
	FindTo   float64 `group:"Judgement" default:"10000" placeholder:"X" help:"The most that --find-max tries."`
	FindStep float64 `group:"Judgement" default:"0.1" placeholder:"X" help:"How near the bounds of --find-max must come, as a share."`

	RateLimitCheck  bool          `group:"Judgement" help:"Find out what the target admits a minute, and whether Retry-After and x-ratelimit-* tell the truth. --concurrency is how many ask at once, --duration for how long (default 70s)."`
	RateLimitWindow time.Duration `group:"Judgement" default:"1m" placeholder:"D" help:"What x-ratelimit-limit-* of the target speaks of."`

	MetricsURL string `name:"metrics-url" group:"Output" placeholder:"URL" help:"Read the target's own metrics (vLLM's names) beside the run."`
	OTLP       string `name:"otlp" group:"Output" placeholder:"URL" help:"Send the figures to this OTLP/HTTP endpoint as the run goes, as in http://collector:4318 (Prometheus takes OTLP too); by default OTEL_EXPORTER_OTLP_ENDPOINT, if set."`
	Out        string `group:"Output" default:"load-out" type:"path" placeholder:"DIR" help:"Where to write load.json, records.jsonl and the reports."`
	Quiet      bool   `short:"q" group:"Output" help:"Print only the verdict."`
}

const loadHelp = `Latency and throughput of an endpoint, with a verdict on the client itself: a run is
VALID, or INVALID: client-bound when this machine could not keep up.
All flags of a measurement: touchstone load run --help.

  touchstone load http://host:8000 --concurrency 16 --duration 60s --prompt-tokens 512 --output-tokens 128
  touchstone load http://host:8000 --rate 5 --arrival poisson --slo 'p99 ttft < 500ms, p95 tpot < 50ms'
  touchstone load http://host:8000 --rate 1-64*2 --duration 30s          # a sweep
  touchstone load http://host:8000 --trace AzureLLMInferenceTrace_conv.csv --trace-speed 10

In an open loop (--rate, --trace) latency counts from when the schedule wanted the
request sent, so a target that stalls shows it. A closed loop (--concurrency) waits
for the target and cannot show that.

Exit code: 0 valid and every objective met; 1 an objective missed or a regression;
2 bad usage; 3 nothing was measured; 4 INVALID: client-bound; 130 interrupted.`

func (c *loadRunCmd) Run(ctx context.Context, s *streams) error {
	if c.RateLimitCheck {
		return c.rateLimit(ctx, s)
	}
	if c.FindMax != "" {
		return c.findMax(ctx, s)
	}
	job, err := c.job()
	if err != nil {
		return usage("%w", err)
	}
	stop := c.progress(s, job)
	defer stop()
	told, err := c.telemetry(ctx, job)
	if err != nil {
		return usage("%w", err)
	}
	r, err := load.Measure(ctx, *job)
	stop()
	if terr := told(); terr != nil {
		fmt.Fprintf(s.err, "touchstone: %v\n", terr)
	}
	return c.finish(s, r, err)
}

// progress shows the run on standard error.
func (c *loadRunCmd) progress(s *streams, job *load.Job) (stop func()) {
	if c.Quiet {
		return func() {}
	}
	return load.NewProgress(s.err, job).Stop
}

// telemetry sends the run's figures over OTLP, if that is configured.
func (c *loadRunCmd) telemetry(ctx context.Context, job *load.Job) (stop func() error, err error) {
	if c.OTLP == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") == "" {
		return func() error { return nil }, nil
	}
	t, err := load.SendTelemetry(ctx, c.OTLP, 5*time.Second, job)
	if err != nil {
		return nil, err
	}
	return func() error { return t.Stop(ctx) }, nil
}

// finish prints a result, writes its reports and makes the exit code.
func (c *loadRunCmd) finish(s *streams, r *load.Result, err error) error {
	var nothing load.ErrNothing
	switch {
	case errors.As(err, &nothing):
		return exitError{exitNothing, err}
	case err != nil:
		return err
	}
	if err := drawLoad(s, c.Out, r, nil, c.Quiet); err != nil {
		return err
	}
	return loadExit(r)
}

// drawLoad prints a result and writes its reports.
func drawLoad(s *streams, out string, r *load.Result, records []*load.Record, quiet bool) error {
	paths, err := load.WriteReports(out, r, records)
	if err != nil {
		return fmt.Errorf("writing the reports: %w", err)
	}
	if quiet {
		_, err := fmt.Fprintln(s.out, r.Verdict.Text)
		return err
	}
	if err := load.WriteText(s.out, r); err != nil {
		return err
	}
	for _, p := range shortPaths(paths) {
		fmt.Fprintf(s.out, "  %s\n", p)
	}
	return nil
}

func (c *loadRunCmd) findMax(ctx context.Context, s *streams) error {
	if c.SLO != "" {
		return usage("--find-max has objectives of its own; leave out --slo")
	}
	if c.Trace != "" || c.Requests > 0 || c.RampTo > 0 {
		return usage("--find-max goes with --rate or --concurrency, and a --duration for each step")
	}
	c.SLO = c.FindMax
	if c.Rate == "" && c.Concurrency == "" {
		c.Rate = "1"
	}
	if c.Duration == 0 {
		c.Duration = 20 * time.Second
	}
	if c.Warmup == 0 {
		c.Warmup = c.Duration / 10
	}
	job, err := c.job()
	if err != nil {
		return usage("%w", err)
	}
	if len(job.Stages) > 1 {
		return usage("--find-max begins at one level: give a single --rate or --concurrency")
	}
	first := job.Stages[0]
	job.Stages = nil
	o := load.SearchOptions{By: "rate", From: first.Rate, To: c.FindTo, Arrival: first.Arrival, Step: c.Duration, Warmup: c.Warmup, Resolution: c.FindStep}
	if !first.Open() {
		o.By, o.From = "concurrency", float64(first.Concurrency)
	}
	if o.To < o.From {
		return usage("--find-to %g: is below %g, where the search begins", o.To, o.From)
	}
	if !c.Quiet {
		o.OnStep = func(st load.SearchStep) {
			fmt.Fprintf(s.err, "%s %g: %s (%.1f %% sure)\n", map[bool]string{true: "✓", false: "✗"}[st.Met], st.Level, st.Why, 100*st.Confidence)
		}
	}
	r, err := load.FindMax(ctx, *job, o)
	if err := c.finish(s, r, err); err != nil {
		return err
	}
	if r.Search.Best == 0 {
		return exitError{code: exitFailed}
	}
	return nil
}

func (c *loadRunCmd) rateLimit(ctx context.Context, s *streams) error {
	if c.Rate != "" || c.Trace != "" {
		return usage("--rate-limit-check asks as fast as the target admits; give --concurrency, or nothing")
	}
	if c.Concurrency == "" {
		c.Concurrency = "4"
	}
	if c.Duration == 0 {
		c.Duration = 70 * time.Second
	}
	job, err := c.job()
	if err != nil {
		return usage("%w", err)
	}
	o := load.RateLimitOptions{Concurrency: job.Stages[0].Concurrency, Duration: c.Duration, Cycles: 3, Window: c.RateLimitWindow}
	if !c.Quiet {
		o.OnNote = func(text string) { fmt.Fprintln(s.err, text) }
	}
	n, err := load.CheckRateLimit(ctx, *job, o)
	var nothing load.ErrNothing
	switch {
	case errors.As(err, &nothing):
		return exitError{exitNothing, err}
	case err != nil:
		return err
	}
	path, err := load.WriteRateLimit(c.Out, n)
	if err != nil {
		return err
	}
	if err := n.WriteText(s.out); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "  %s\n", shortPaths([]string{path})[0])
	for _, t := range n.Truths {
		if !t.Holds {
			return exitError{code: exitFailed}
		}
	}
	return nil
}

// loadExit is the exit code of a result.
func loadExit(r *load.Result) error {
	switch {
	case r.Interrupted:
		return exitError{code: exitInterrupted}
	case r.Total.OK == 0:
		return exitError{code: exitNothing}
	case !r.Verdict.Valid:
		return exitError{code: exitInvalid}
	}
	for _, o := range r.SLO {
		if !o.Met {
			return exitError{code: exitFailed}
		}
	}
	return nil
}

// job is what the flags ask for.
func (c *loadRunCmd) job() (*load.Job, error) {
	j := &load.Job{Seed: c.Seed, Out: c.Out, Version: toolVersion(), Scrape: c.MetricsURL}
	j.Target = load.Target{URL: strings.TrimRight(c.URL, "/"), Dialect: c.Dialect, Model: c.Model, Key: os.Getenv(c.APIKeyEnv), KeyHeader: c.APIKeyHeader, Header: http.Header{}}
	for k, v := range c.Header {
		j.Target.Header.Set(k, v)
	}
	if err := j.Target.Validate(); err != nil {
		return nil, err
	}
	j.HTTP = load.HTTPOptions{Version: c.HTTP, NoReuse: c.NoReuse, Insecure: c.Insecure}
	j.Timeout, j.Drain, j.Spin = c.Timeout, c.Drain, c.Spin
	var err error
	if c.Shard != "" {
		if j.Shard, err = load.ParseShard(c.Shard); err != nil {
			return nil, fmt.Errorf("--shard: %w", err)
		}
	}
	if c.StartAt != "" {
		if j.StartAt, err = parseStart(c.StartAt); err != nil {
			return nil, fmt.Errorf("--start-at: %w", err)
		}
	}
	if c.SLO != "" {
		if j.SLO, err = load.ParseSLO(c.SLO); err != nil {
			return nil, fmt.Errorf("--slo: %w", err)
		}
	}
	if j.Works, err = c.works(); err != nil {
		return nil, err
	}
	if j.Stages, err = c.stages(j); err != nil {
		return nil, err
	}
	if c.Tokenizer != "" {
		if j.Tokenizer, err = openTokenizer(c.Tokenizer); err != nil {
			return nil, fmt.Errorf("--tokenizer: %w", err)
		}
	}
	return j, nil
}

func parseStart(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	var sec float64
	if _, err := fmt.Sscanf(s, "%g", &sec); err != nil || sec < 1e9 {
		return time.Time{}, fmt.Errorf("%q: want a time as in 2026-01-31T12:00:00Z, or seconds since 1970", s)
	}
	return time.UnixMicro(int64(sec * 1e6)), nil
}

// works are the kinds of work that the flags ask for.
func (c *loadRunCmd) works() ([]load.Work, error) {
	if c.Work != "" {
		b, err := os.ReadFile(c.Work)
		if err != nil {
			return nil, fmt.Errorf("--work: %w", err)
		}
		works, err := load.ReadWork(b)
		if err != nil {
			return nil, fmt.Errorf("--work %s: %w", c.Work, err)
		}
		for i := range works {
			if p := works[i].Prompts; p != "" && p != "builtin" && !filepath.IsAbs(p) {
				works[i].Prompts = filepath.Join(filepath.Dir(c.Work), p)
			}
		}
		return works, nil
	}
	w := load.Work{Name: c.Route, Route: c.Route, NoStream: c.NoStream, Prompts: c.Prompts, System: c.System, PrefixTokens: c.PrefixTokens, Prefixes: c.Prefixes,
		StopAtEOS: c.StopAtEOS, MaxTokensField: c.MaxTokensField}
	if c.PromptTokens == "" {
		c.PromptTokens = "0"
	}
	for _, d := range []struct {
		flag, text string
		to         *load.Dist
	}{
		{"--prompt-tokens", c.PromptTokens, &w.PromptTokens}, {"--output-tokens", c.OutputTokens, &w.OutputTokens},
		{"--turns", c.Turns, &w.Turns}, {"--turn-think", c.TurnThink, &w.TurnThink},
	} {
		var err error
		if *d.to, err = load.ParseDist(d.text); err != nil {
			return nil, fmt.Errorf("%s: %w", d.flag, err)
		}
	}
	for k, v := range c.Param {
		if w.Params == nil {
			w.Params = map[string]any{}
		}
		var value any
		if err := json.Unmarshal([]byte(v), &value); err != nil {
			value = v // a bare word is a string
		}
		w.Params[k] = value
	}
	return []load.Work{w}, nil
}

// stages are the stretches of load that the flags ask for.
func (c *loadRunCmd) stages(j *load.Job) ([]load.Stage, error) {
	think, err := load.ParseDist(c.Think)
	if err != nil {
		return nil, fmt.Errorf("--think: %w", err)
	}
	arrival, err := load.ParseArrival(c.Arrival)
	if err != nil {
		return nil, fmt.Errorf("--arrival: %w", err)
	}
	given := 0
	for _, s := range []string{c.Concurrency, c.Rate, c.Trace} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("give one of --concurrency, --rate and --trace")
	}
	stage := load.Stage{Duration: c.Duration, Requests: c.Requests, Warmup: c.Warmup}
	if c.Duration < 0 || c.Requests < 0 {
		return nil, errors.New("--duration and --requests cannot be negative")
	}
	if c.Duration == 0 && c.Requests == 0 && c.Trace == "" {
		stage.Duration = 30 * time.Second
	}
	if c.Trace != "" {
		f, err := os.Open(c.Trace)
		if err != nil {
			return nil, fmt.Errorf("--trace: %w", err)
		}
		defer f.Close()
		rows, err := load.ReadTrace(f)
		if err != nil {
			return nil, fmt.Errorf("--trace %s: %w", c.Trace, err)
		}
		if !(c.TraceSpeed > 0) {
			return nil, errors.New("--trace-speed: want a number above 0")
		}
		stage.Trace = load.Speed(rows, c.TraceSpeed)
		j.Trace = stage.Trace
		return []load.Stage{stage}, nil
	}
	var stages []load.Stage
	if c.Concurrency != "" {
		levels, err := load.ParseSweep(c.Concurrency)
		if err != nil {
			return nil, fmt.Errorf("--concurrency: %w", err)
		}
		for _, n := range levels {
			s := stage
			s.Concurrency, s.Think, s.RampUp = int(n+0.5), think, c.RampUp
			if s.Concurrency < 1 {
				return nil, errors.New("--concurrency: want at least 1")
			}
			stages = append(stages, s)
		}
		return stages, nil
	}
	levels, err := load.ParseSweep(c.Rate)
	if err != nil {
		return nil, fmt.Errorf("--rate: %w", err)
	}
	if c.RampTo > 0 && len(levels) > 1 {
		return nil, errors.New("--ramp-to goes with a single --rate")
	}
	for _, r := range levels {
		s := stage
		s.Rate, s.EndRate, s.Arrival = r, c.RampTo, arrival
		stages = append(stages, s)
	}
	return stages, nil
}

// openTokenizer counts tokens as the model of a GGUF file does. A file that
// holds a tokenizer alone counts chat prompts without their template, which
// load then learns from usage.
func openTokenizer(path string) (*load.Tokenizer, error) {
	if path == "embedded" {
		path = ""
	}
	m, err := openModel(path)
	if err == nil {
		t := m.Tokenizer()
		return &load.Tokenizer{
			Text: func(s string) int { return len(t.Encode(s, false)) },
			Prompt: func(route string, messages []load.Message) (int, error) {
				if route == load.Completions {
					return len(t.Prompt(messages[len(messages)-1].Content)), nil
				}
				var chat []engine.Message
				for _, x := range messages {
					chat = append(chat, engine.Message{Role: x.Role, Content: x.Content})
				}
				ids, err := m.ChatPrompt(chat)
				return len(ids), err
			},
		}, nil
	}
	t, terr := engine.OpenTokenizer(path)
	if terr != nil {
		return nil, err
	}
	return &load.Tokenizer{
		Text: func(s string) int { return len(t.Encode(s, false)) },
		Prompt: func(_ string, messages []load.Message) (int, error) {
			n := 0
			for _, x := range messages {
				n += len(t.Prompt(x.Content))
			}
			return n, nil
		},
	}, nil
}
