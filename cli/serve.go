package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel/trace"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/simulator"
)

type serveCmd struct {
	Config string `type:"path" placeholder:"FILE.yaml" help:"Endpoints and their deployments; SIGHUP reads it again. It takes the place of the flags that describe one."`

	endpointFlags `embed:"" group:"The one endpoint, where there is no file"`
	serverFlags   `embed:"" group:"The server"`
}

// endpointFlags describe the endpoint of a server without a file.
type endpointFlags struct {
	Model           string   `type:"path" placeholder:"PATH" help:"Model to run, a GGUF file or a folder in Hugging Face's layout; the embedded one by default."`
	ModelName       string   `placeholder:"NAME" help:"Name of the model in responses; the file's name by default."`
	ModelAlias      []string `placeholder:"NAME,…" help:"Further names that requests to the dialect openai may give the model; '*' is any."`
	Text            string   `enum:"model,random" default:"model" help:"Where text comes from: the model, or words at random for throughput beyond any model's."`
	Engine          string   `enum:"local,upstream" default:"local" help:"What answers: the engine in this binary, or the server that --upstream names."`
	Upstream        string   `placeholder:"URL" help:"An OpenAI-compatible server to stand in front of: vLLM, llama.cpp, SGLang, Ray Serve, another touchstone."`
	UpstreamModel   string   `placeholder:"NAME" help:"Model to ask it for; the first that it lists by default."`
	UpstreamKeyEnv  string   `placeholder:"NAME" help:"Environment variable that holds its key."`
	Dialect         []string `placeholder:"NAME,…" help:"APIs to speak: llama-v1, azure-inference, openai. All by default."`
	APIKeyEnv       string   `name:"api-key-env" default:"TOUCHSTONE_API_KEY" placeholder:"NAME" help:"Environment variable that holds the key; unset, no key is asked for."`
	SecondaryKeyEnv string   `placeholder:"NAME" help:"Environment variable that holds a second key, which opens the same doors."`
	ContextLength   int      `placeholder:"N" help:"Shorten the model's context."`

	engineFlags `embed:""`

	TokensPerMinute   int           `default:"400000" placeholder:"N" help:"Quota of tokens: those of the prompt, and max_tokens for each candidate, are reserved before generation; 0 is no limit."`
	RequestsPerMinute int           `default:"1000" placeholder:"N" help:"Quota of requests; 0 is no limit."`
	Smoothing         time.Duration `default:"10s" placeholder:"DURATION" help:"Admit in each window of this length its share of the requests only; 0s admits a whole minute's at once."`
	Settle            bool          `help:"Give back the reserved tokens that a request did not use."`

	ContentSafety string   `enum:"on,off,fail" default:"on" help:"Screen prompts and completions; fail makes the screening itself fail. touchstone-safety-test-violence-high triggers it."`
	Block         []string `placeholder:"TERM,…" help:"Words and phrases to filter in prompts and completions."`

	TTFT       time.Duration `placeholder:"DURATION" help:"Simulate this time to the first token."`
	ITL        time.Duration `placeholder:"DURATION" help:"Simulate this time between tokens."`
	Prefill    time.Duration `name:"prefill-per-token" placeholder:"DURATION" help:"Add this to the first token's time for each token of the prompt."`
	MaxRunning int           `placeholder:"N" help:"Answer this many requests at a time; others queue."`
	MaxQueue   int           `placeholder:"N" help:"Refuse with 429 what finds this many in the queue."`

	Fault            []string `placeholder:"KIND,…" help:"What goes wrong: error, unavailable, busy, reset, reset-mid, stall, slow-first-byte, truncated, wrong-content-type."`
	FaultProbability float64  `default:"1" placeholder:"P" help:"How often each of them does."`
	Defect           []string `placeholder:"WHAT,…" help:"Break the contract: names (see 'touchstone defects'), stream-*, or the defects of a clause, STR-009; each with :PROBABILITY and @route=NAME, @choice=N, @chunk=N if wanted."`
	As               []string `placeholder:"SERVER" help:"Have the quirks of a real server; the list is above."`
	DefectSeed       uint64   `placeholder:"N" help:"Which requests a defect with a probability hits."`
}

// engineFlags tune the engine, under vLLM's names.
type engineFlags struct {
	MaxNumSeqs          int   `placeholder:"N" help:"Compute at most this many sequences in one step; 256 by default."`
	MaxNumBatchedTokens int   `placeholder:"N" help:"Compute at most this many tokens in one step; 128 by default."`
	KVCacheMemoryBytes  int64 `name:"kv-cache-memory-bytes" placeholder:"BYTES" help:"Memory for keys and values; by default room for 64 full contexts, but at most a quarter of the machine's."`
	EnablePrefixCaching bool  `default:"true" negatable:"" help:"Let prompts that begin alike share what was computed."`
	Threads             int   `placeholder:"N" help:"Processors that one step uses; all by default."`
}

func (f engineFlags) config() simulator.EngineConfig {
	c := simulator.EngineConfig{
		MaxNumSeqs: f.MaxNumSeqs, MaxNumBatchedTokens: f.MaxNumBatchedTokens, KVCacheMemoryBytes: f.KVCacheMemoryBytes, Threads: f.Threads,
	}
	if !f.EnablePrefixCaching {
		c.EnablePrefixCaching = new(false)
	}
	return c
}

// serverFlags are about the server, whatever it serves.
type serverFlags struct {
	Listen        string        `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address to listen on; port 0 picks one. Loopback unless you say otherwise."`
	TLSCert       string        `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"Certificate; with --tls-key the server speaks HTTPS."`
	TLSKey        string        `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"Its private key."`
	TLSSelfSigned bool          `name:"tls-self-signed" help:"HTTPS by a certificate made for this run."`
	Drain         time.Duration `default:"30s" placeholder:"DURATION" help:"How long requests in flight may take to end after SIGTERM."`
	MaxConcurrent int           `placeholder:"N" help:"Refuse with 503 what comes while this many requests are handled."`
	MaxHeader     int           `default:"65536" placeholder:"BYTES" help:"The largest header of a request."`
	BodyTime      time.Duration `default:"60s" placeholder:"DURATION" help:"How long a client may take to send its body."`
	FaultHeader   bool          `help:"Let a request ask for a fault by its header X-Touchstone-Fault: KIND; after=N; delay=DURATION, and for defects by X-Touchstone-Defect: WHAT, …"`
	Journal       int           `placeholder:"N" help:"Keep the last N exchanges for GET /_touchstone/journal."`
	AdminKeyEnv   string        `placeholder:"NAME" help:"Environment variable that holds the key of /_touchstone/; without it these pages are for this machine alone."`
	RedisEnv      string        `default:"TOUCHSTONE_REDIS_URL" placeholder:"NAME" help:"Environment variable that holds the URL of a Redis, through which replicas share quotas."`
	OTLPTraces    string        `name:"otlp-traces-endpoint" placeholder:"URL" help:"Send a span for each request to this OTLP/HTTP endpoint, as in http://collector:4318; by default where OTEL_EXPORTER_OTLP_ENDPOINT says, if it is set."`
	TracePrompts  bool          `help:"Put the text of prompts and answers into the spans."`
	LogFormat     string        `enum:"text,json" default:"text" help:"Form of the log: text or json."`
	LogPrompts    bool          `help:"Log the bodies of requests too."`
	Quiet         bool          `short:"q" help:"Do not log requests."`
}

func (serveCmd) Help() string {
	return `The reference endpoint needs no GPU and no download. It speaks three dialects, at
once on one port:

  llama-v1          POST /v1/completions, /v1/chat/completions
  azure-inference   POST /completions, /chat/completions, with ?api-version=2024-05-01-preview; GET /info
  openai            POST /openai/v1/completions, /openai/v1/chat/completions

llama-v1 and openai have the same paths, so openai is below /openai while both
are served; --dialect openai alone has it at /v1 too. GET /openapi.json and
/swagger.json describe what is served.

  TOUCHSTONE_API_KEY=k touchstone serve --listen 127.0.0.1:8080
  curl -H 'Authorization: Bearer k' -H 'Content-Type: application/json' \
       http://127.0.0.1:8080/v1/completions \
       -d '{"prompt":"What is the distance to the moon?","max_tokens":32}'

A browser finds what goes on at /_touchstone/; /metrics is for Prometheus,
/health, /healthz and /readyz are for whoever restarts servers. A file declares
several endpoints, each with its keys, quota, filters, latency and faults:

  endpoints:
    - name: small                       # answers below /small, and to the host small.*
      keys: {primary: {env: SMALL_KEY}, secondary: {file: small.key}}
      quota: {tokens_per_minute: 400000, requests_per_minute: 1000}
      latency: {ttft: 120ms, itl: {distribution: log-normal, mean: 9ms, stddev: 2ms}}
    - name: fleet
      kind: managed
      traffic: {blue: 90, green: 10}    # or by the header azureml-model-deployment
      deployments:
        - name: blue
        - name: green
          faults: [{kind: stall, probability: 0.01, after: 5}]
          defects: [done-missing:0.1, id-per-chunk@route=chat]

Defects are written alike in a file, behind --defect, in the admin's API and in
the header of a request: done-missing, stream-*, STR-009 (all that this clause
must catch), done-missing:0.1 (one request in ten, by --defect-seed),
finish-never@route=chat@choice=1 (in the second choice of chat alone),
id-per-chunk@chunk=3 (in the fourth event of a stream alone).

--as, which may stand among them too, is a real server as it was, by quirks that
were seen there ('touchstone defects --as NAME' cites where):

` + vendorList()
}

// vendorList says which servers --as takes.
func vendorList() string {
	var b strings.Builder
	for _, v := range simulator.Vendors() {
		fmt.Fprintf(&b, "  %-22s %s: %s\n", v.Name, v.What, strings.Join(quirks(v), ", "))
	}
	return b.String()
}

func quirks(v simulator.Vendor) []string {
	var names []string
	for _, q := range v.Quirks {
		names = append(names, q.Defect)
	}
	return names
}

// validDefects says what is wrong with --as and --defect.
func validDefects(as, defects []string) error {
	for _, name := range as {
		if !slices.ContainsFunc(simulator.Vendors(), func(v simulator.Vendor) bool { return v.Name == name }) {
			var names []string
			for _, v := range simulator.Vendors() {
				names = append(names, v.Name)
			}
			return fmt.Errorf("--as: there is no server %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if err := simulator.CheckDefects(defects); err != nil {
		return fmt.Errorf("--defect%w", err)
	}
	return nil
}

func (c *serveCmd) Run(ctx context.Context, s *streams) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the heap is small: a few MB more are worth the time of half the requests
	}
	log, err := c.logger(s)
	if err != nil {
		return err
	}
	models := &models{}
	list, traces, err := c.endpoints(ctx, models)
	if err != nil {
		return usage("%w", err)
	}
	provider, err := simulator.NewTracerProvider(ctx, traces, toolVersion())
	if err != nil {
		closeAll(list)
		return usage("%w", err)
	}
	var tracer trace.TracerProvider // nil, not a nil provider
	if provider != nil {
		tracer = provider
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := provider.Shutdown(last); err != nil {
				log.Error("the last spans are lost", "error", err)
			}
		}()
	}
	server, err := simulator.New(simulator.Options{
		Endpoints: list, Tracer: tracer, TracePrompts: traces.Prompts, Logger: log, LogBodies: c.LogPrompts, FaultHeader: c.FaultHeader, Journal: c.Journal, MaxConcurrent: c.MaxConcurrent,
		BodyTime: c.BodyTime, AdminKey: os.Getenv(c.AdminKeyEnv), Redis: os.Getenv(c.RedisEnv),
	})
	if err != nil {
		closeAll(list)
		return usage("%w", err)
	}
	defer server.Close()
	tls, err := c.tls()
	if err != nil {
		return usage("%w", err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	c.greet(s, l.Addr(), tls != nil, server.State())
	if c.Config != "" {
		defer c.reloadOn(ctx, syscall.SIGHUP, server, models, traces, log)()
	}
	collectSeldom()
	forgetStart()
	return serveUntil(ctx, server.Listener(l), server, httpOptions{tls: tls, log: log, maxHeader: c.MaxHeader, grace: c.Drain, draining: server.Drain, connContext: server.ConnContext})
}

func (c *serveCmd) logger(s *streams) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if c.Quiet {
		o.Level = slog.LevelWarn
	}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(s.err, o)), nil
	}
	return slog.New(slog.NewTextHandler(s.err, o)), nil
}

// greet says what is served, and where.
func (c *serveCmd) greet(s *streams, address net.Addr, secure bool, state simulator.State) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	base := fmt.Sprintf("%s://%s", scheme, address)
	for _, e := range state.Endpoints {
		url := base
		if c.Config != "" {
			url += "/" + e.Name
		}
		for _, d := range e.Deployments {
			fmt.Fprintf(s.out, "touchstone %s: %s on %s, %s, %s\n", toolVersion(), d.Model, url, strings.Join(d.Dialects, " "), c.keyNote(e.Keys))
			if len(d.Defects) > 0 {
				fmt.Fprintf(s.out, "defects: %s\n", strings.Join(d.Defects, ", "))
			}
		}
	}
}

func (c *serveCmd) keyNote(keys int) string {
	switch {
	case keys == 0 && c.Config == "":
		return "no key (" + c.APIKeyEnv + " is not set)"
	case keys == 0:
		return "no key"
	case c.Config == "":
		return "key from " + c.APIKeyEnv
	}
	return fmt.Sprintf("%d keys", keys)
}

// endpoints are those of the file, or the one of the flags, with their models
// opened; and where their spans go.
func (c *serveCmd) endpoints(ctx context.Context, models *models) ([]simulator.Endpoint, simulator.Traces, error) {
	var list []simulator.Endpoint
	traces := simulator.Traces{Endpoint: c.OTLPTraces, Prompts: c.TracePrompts}
	if c.Config == "" {
		one, err := c.endpointFlags.endpoint()
		if err != nil {
			return nil, traces, err
		}
		list = []simulator.Endpoint{one}
	} else {
		if !reflect.DeepEqual(c.endpointFlags, defaultEndpoint()) {
			return nil, traces, errors.New("--config: the file describes the endpoints; leave out the flags that do")
		}
		text, err := os.ReadFile(c.Config)
		if err != nil {
			return nil, traces, fmt.Errorf("--config: %w", err)
		}
		parsed, err := simulator.ParseConfig(text)
		if err != nil {
			return nil, traces, fmt.Errorf("%s: %w", c.Config, err)
		}
		list = parsed.Endpoints
		traces.Endpoint = cmp.Or(traces.Endpoint, parsed.Traces.Endpoint)
		traces.Prompts = traces.Prompts || parsed.Traces.Prompts
	}
	if err := models.fill(ctx, list, filepath.Dir(c.Config)); err != nil {
		closeAll(list)
		return nil, traces, err
	}
	return list, traces, nil
}

// defaultEndpoint are the flags as they are when none is given.
func defaultEndpoint() endpointFlags {
	var c struct {
		endpointFlags `embed:""`
	}
	parser, err := kong.New(&c)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		panic(err) // the grammar is ours
	}
	return c.endpointFlags
}

// endpoint is the one that the flags describe.
func (c *endpointFlags) endpoint() (simulator.Endpoint, error) {
	settings := simulator.Settings{
		Model: c.Model, Engine: c.engineFlags.config(), ModelName: c.ModelName, ModelAliases: c.ModelAlias, Dialects: c.Dialect, ContextLength: c.ContextLength,
		Defects: slices.Concat(c.As, c.Defect), DefectSeed: c.DefectSeed,
		Quota: simulator.Quota{
			TokensPerMinute: c.TokensPerMinute, RequestsPerMinute: c.RequestsPerMinute, Smoothing: c.Smoothing, Settle: c.Settle,
		},
		ContentSafety: simulator.Safety{Disabled: c.ContentSafety == "off", Fail: c.ContentSafety == "fail"},
		Latency: simulator.Latency{
			TTFT: simulator.Distribution{Mean: c.TTFT}, ITL: simulator.Distribution{Mean: c.ITL}, Prefill: c.Prefill,
			MaxRunning: c.MaxRunning, MaxQueue: c.MaxQueue,
		},
	}
	if len(c.Block) > 0 {
		settings.ContentSafety.BlockLists = []simulator.BlockList{{Name: "block", Terms: c.Block}}
	}
	for _, kind := range c.Fault {
		settings.Faults = append(settings.Faults, simulator.Fault{Kind: kind, Probability: c.FaultProbability})
	}
	if err := validDefects(c.As, c.Defect); err != nil {
		return simulator.Endpoint{}, err
	}
	switch {
	case c.Engine == "upstream" && c.Upstream == "":
		return simulator.Endpoint{}, errors.New("--engine upstream needs --upstream URL")
	case c.Upstream != "" && (c.Model != "" || c.Text == "random"):
		return simulator.Endpoint{}, errors.New("--upstream stands in place of a model; leave out --model and --text")
	case c.Text == "random" && c.Model != "":
		return simulator.Endpoint{}, errors.New("--text random needs no --model")
	case c.Text == "random":
		settings.Model = "random"
	case c.Upstream != "":
		settings.Upstream = simulator.UpstreamConfig{URL: c.Upstream, Model: c.UpstreamModel, Key: simulator.Key{Env: c.UpstreamKeyEnv}}
	}
	e := simulator.Endpoint{Name: "default", Kind: "managed", Deployments: []simulator.Deployment{{Name: "default", Settings: settings}}}
	if os.Getenv(c.APIKeyEnv) != "" {
		e.Keys.Primary.Env = c.APIKeyEnv
	}
	if c.SecondaryKeyEnv != "" {
		e.Keys.Secondary.Env = c.SecondaryKeyEnv
	}
	return e, nil
}

// reloadOn serves the file as it is now at each signal; a bad file changes
// nothing. The function that it returns ends it.
func (c *serveCmd) reloadOn(ctx context.Context, signals os.Signal, server *simulator.Server, models *models, traces simulator.Traces, log *slog.Logger) (stop func()) {
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, signals)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hups:
			}
			list, now, err := c.endpoints(ctx, models)
			if err == nil && now != traces {
				err = errors.New("traces: they are set up when the server starts; start it again")
			} else if err == nil {
				err = server.Reload(list)
			}
			if err != nil {
				closeAll(list)
			}
			if err != nil {
				log.Error("the file is not served; the old one is", "config", c.Config, "error", err)
				continue
			}
			log.Warn("the file is served", "config", c.Config, "endpoints", len(list))
		}
	}()
	return func() { signal.Stop(hups); cancel(); <-ended }
}

// newReference is the reference endpoint over a model; stop frees its engine.
func newReference(m *engine.Model, o simulator.Options) (h http.Handler, stop func(), err error) {
	e := engine.New(m, engine.Options{})
	o.Engine = e
	server, err := simulator.New(o)
	if err != nil {
		e.Close()
		return nil, nil, err
	}
	return server, func() { e.Close() }, nil
}
