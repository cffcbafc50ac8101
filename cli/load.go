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
	Run loadRunCmd `cmd:"" default:"withargs" help:"Measure a target (the default)."`
}

func (loadCmd) Help() string { return loadHelp }

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

	MetricsURL string `name:"metrics-url" group:"Output" placeholder:"URL" help:"Read the target's own metrics (vLLM's names) beside the run."`
	Out        string `group:"Output" default:"load-out" type:"path" placeholder:"DIR" help:"Where to write load.json, records.jsonl and the reports."`
	Quiet      bool   `short:"q" group:"Output" help:"Print only the verdict."`
}

const loadHelp = `Latency and throughput of an endpoint, with a verdict on the client itself: a run is
VALID, or INVALID: client-bound when this machine could not keep up.

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
	job, err := c.job()
	if err != nil {
		return usage("%w", err)
	}
	return finishLoad(s, c.Out, c.Quiet, func() (*load.Result, error) { return load.Measure(ctx, *job) })
}

// finishLoad carries a measurement out, prints it and turns it into an exit
// code.
func finishLoad(s *streams, out string, quiet bool, measure func() (*load.Result, error)) error {
	r, err := measure()
	var nothing load.ErrNothing
	switch {
	case errors.As(err, &nothing):
		return exitError{exitNothing, err}
	case err != nil:
		return err
	}
	paths, err := load.WriteReports(out, r)
	if err != nil {
		return fmt.Errorf("writing the reports: %w", err)
	}
	if quiet {
		fmt.Fprintln(s.out, r.Verdict.Text)
	} else if err := load.WriteText(s.out, r); err != nil {
		return err
	}
	if !quiet {
		for _, p := range shortPaths(paths) {
			fmt.Fprintf(s.out, "  %s\n", p)
		}
	}
	return loadExit(r)
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
