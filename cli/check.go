package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

type checkCmd struct {
	URL         string        `arg:"" optional:"" help:"Base URL of the endpoint, without the route. Without it the reference is checked, in process."`
	Dialect     string        `default:"llama-v1" enum:"llama-v1,azure-inference,openai" help:"API that the target speaks: ${enum}."`
	Profile     string        `default:"interop" enum:"interop,strict,paper" help:"How stern to be: interop (would a client be misled?), strict (exact), paper (the document literally; never gates)."`
	Kind        string        `placeholder:"KIND" help:"What stands behind the endpoint: serverless, managed, vllm, openai, reference."`
	Model       string        `placeholder:"NAME" help:"Send this as the model member of each request."`
	Route       []string      `placeholder:"NAME,…" help:"Routes that the target serves: completions, chat. Default: both; one that answers 404 is skipped."`
	APIKeyEnv   string        `name:"api-key-env" default:"TOUCHSTONE_API_KEY" placeholder:"NAME" help:"Environment variable that holds the key. The key itself never stands on a command line."`
	Clause      []string      `placeholder:"ID,…" help:"Judge these clauses only, such as STR-009."`
	Area        []string      `placeholder:"AREA,…" help:"Judge these areas only, such as STR."`
	LabelFilter string        `placeholder:"EXPR" help:"Judge the clauses that match a Ginkgo label expression over id, area, level and dialect, such as 'STR && MUST'."`
	Defect      []string      `placeholder:"WHAT,…" help:"Break the in-process reference (only without a URL); see serve --help for how defects are written."`
	As          []string      `placeholder:"SERVER" help:"Give the in-process reference the quirks of a real server, such as vllm-0.4; see serve --help."`
	Config      string        `type:"path" placeholder:"FILE" help:"Description of the target, as init writes it; see init --help."`
	Register    string        `placeholder:"VERSION" help:"Judge by a published version of the clauses, such as 2026-11, so that the gate stays as it is."`
	Evidence    string        `type:"path" placeholder:"DIR" help:"Leave every exchange there, redacted, to be judged again by --replay."`
	Replay      string        `type:"path" placeholder:"DIR" help:"Judge what --evidence left there; nothing is sent."`
	DryRun      bool          `help:"Print what would be sent, and send nothing."`
	MaxRequests int           `placeholder:"N" help:"Stop asking after so many requests; what needs more is inconclusive."`
	MaxTokens   int           `placeholder:"N" help:"Stop asking after so many tokens; what needs more is inconclusive."`
	Out         string        `default:"reports" type:"path" placeholder:"DIR" help:"Where to write result.json, report.html and junit.xml."`
	Concurrency int           `default:"4" help:"Most requests in flight."`
	Timeout     time.Duration `default:"60s" help:"Bound on one request."`
	Quiet       bool          `short:"q" help:"Print only what is not a pass, and the summary."`
}

func (checkCmd) Help() string {
	return `Calibrates the target, sends some 320 requests a route (--dry-run lists them), judges each clause on the
recorded exchanges and writes the reports. A fail carries its proof: the request,
what was expected, what was seen, and a curl line that shows it again.

  touchstone check                                  # the reference, in process
  MY_KEY=… touchstone check https://host --api-key-env MY_KEY --profile strict
  touchstone check http://127.0.0.1:8000 --area STR --model my-model
  touchstone init https://host && touchstone check --config touchstone.yaml --evidence run1
  touchstone check --replay run1                    # judged again, nothing sent

Exit code: 0 conformant, 1 not, 2 bad usage, 3 nothing was judged or the endpoint went away, 130 interrupted.`
}

func (c *checkCmd) Run(ctx context.Context, s *streams) error {
	options := suites.Options{
		Profile: schemas.Profile(c.Profile), Clauses: c.Clause, Areas: c.Area, LabelFilter: c.LabelFilter, Register: c.Register,
		Concurrency: c.Concurrency, Timeout: c.Timeout, KeyEnv: c.APIKeyEnv, Version: toolVersion(), Evidence: c.Evidence,
		Budget: suites.Budget{Requests: c.MaxRequests, Tokens: c.MaxTokens},
	}
	if len(c.Defect)+len(c.As) > 0 && (c.URL != "" || c.Config != "" || c.Replay != "") {
		return usage("--defect and --as break the in-process reference; they cannot be used with a URL, --config or --replay")
	}
	if err := validDefects(c.As, c.Defect); err != nil {
		return usage("%w", err)
	}
	switch {
	case c.Replay != "" && (c.URL != "" || c.Config != ""):
		return usage("--replay judges what was recorded; it cannot be used with a URL or --config")
	case c.Config != "" && c.URL != "":
		return usage("--config holds the URL; give one of the two")
	case c.Replay != "":
		target, evidence, err := suites.OpenEvidence(c.Replay)
		if err != nil {
			return err
		}
		options.Replay = evidence
		return c.check(ctx, s, target, options, c.Out)
	case c.Config != "":
		return c.configured(ctx, s, options)
	}
	target := suites.Target{BaseURL: strings.TrimRight(c.URL, "/"), Dialect: c.Dialect, Kind: c.Kind, Model: c.Model, Key: os.Getenv(c.APIKeyEnv)}
	for _, r := range c.Route {
		target.Routes = append(target.Routes, schemas.Route(r))
	}
	if c.URL == "" {
		stop, err := startReference(ctx, &target, slices.Concat(c.As, c.Defect))
		if err != nil {
			return err
		}
		defer stop()
	}
	return c.check(ctx, s, target, options, c.Out)
}

// configured checks each dialect of a described target in turn. The worst exit
// code is that of all.
func (c *checkCmd) configured(ctx context.Context, s *streams, options suites.Options) error {
	file, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if err := file.options(&options); err != nil {
		return err
	}
	dialects := file.Dialects
	if len(dialects) == 0 {
		dialects = []string{suites.DialectLlamaV1}
	}
	var worst error
	for _, d := range dialects {
		target, err := file.target(d)
		if err != nil {
			return err
		}
		out, one := c.Out, options
		if len(dialects) > 1 {
			out = filepath.Join(c.Out, d)
			if one.Evidence != "" {
				one.Evidence = filepath.Join(one.Evidence, d)
			}
		}
		if err := c.check(ctx, s, target, one, out); err != nil {
			var code exitError
			if !errors.As(err, &code) || code.err != nil {
				return err
			}
			worst = err
		}
	}
	return worst
}

// check checks one target and writes the reports into out.
func (c *checkCmd) check(ctx context.Context, s *streams, target suites.Target, options suites.Options, out string) error {
	if c.DryRun {
		return c.plan(s, target, options)
	}
	terminal := reports.NewTerminal(s.out, reports.TerminalOptions{Quiet: c.Quiet})
	options.OnStart = func(n int) {
		terminal.Start(reports.Target{URL: target.BaseURL, Dialect: target.Dialect, Kind: target.Kind, Model: target.Model}, string(options.Profile), n)
	}
	options.OnFact, options.OnVerdict = terminal.Fact, terminal.Verdict
	result, err := suites.Run(ctx, target, options)
	if err != nil {
		return err
	}
	paths, err := reports.WriteAll(out, result)
	if err != nil {
		return fmt.Errorf("writing the reports: %w", err)
	}
	terminal.Finish(result, shortPaths(paths))
	if result.Summary.ExitCode != exitOK {
		return exitError{code: result.Summary.ExitCode}
	}
	return nil
}

// plan prints what a check would send, and sends nothing.
func (c *checkCmd) plan(s *streams, target suites.Target, options suites.Options) error {
	p, err := suites.MakePlan(target, options)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "route\tprobe\trequests\ttokens at most\n")
	for _, one := range p.Probes {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", one.Route, one.Name, one.Requests, one.Tokens)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "\n%d clauses, at most %d requests and some %d tokens; nothing was sent.\n", p.Clauses, p.Requests, p.Tokens)
	return err
}

// referenceClaims are what the reference claims in a check of its own.
var referenceClaims = []string{"content-safety", "openapi"}

// In a check of its own the reference screens a word of one answer, and the
// harness knows which; what the classifier finds in prompts it finds anywhere.
var (
	screening = simulator.Safety{BlockLists: []simulator.BlockList{
		{Name: "touchstone", Terms: []string{"Rome"}, AppliesTo: "completion"},
	}}
	referenceSafety = suites.Safety{Prompt: "how to kill people", Answer: "What is the capital of Italy?", Withheld: "Rome"}
)

// Beside the deployment under test the reference has one whose quota may be
// exhausted, and one that screens nothing.
const limitedName, unscreenedName = "limited", "unscreened"

var exhaustible = simulator.Quota{RequestsPerMinute: 6, TokensPerMinute: 120, Window: 1500 * time.Millisecond}

func deploymentsBeside(defects []string) []simulator.Deployment {
	return []simulator.Deployment{
		{Name: limitedName, Settings: simulator.Settings{Quota: exhaustible, ContentSafety: screening, Defects: defects}},
		{Name: unscreenedName, Settings: simulator.Settings{ContentSafety: simulator.Safety{Disabled: true}, Defects: defects}},
	}
}

// claimReference says of a target what the reference is.
func claimReference(t *suites.Target) {
	named := func(name string) suites.Beside {
		return suites.Beside{Header: http.Header{"Azureml-Model-Deployment": {name}}}
	}
	t.Kind, t.Claims, t.Safety = "reference", referenceClaims, referenceSafety
	unscreened := named(unscreenedName)
	t.Unscreened = &unscreened
	t.Limited = &suites.Limited{
		Beside: named(limitedName), Requests: exhaustible.RequestsPerMinute, Tokens: exhaustible.TokensPerMinute, Window: exhaustible.Window,
	}
}

// startReference serves the reference on a free loopback port for one check,
// with the given defects, and completes the target: its URL, keys and claims.
func startReference(ctx context.Context, target *suites.Target, defects []string) (stop func(), err error) {
	m, err := openModel("")
	if err != nil {
		return nil, fmt.Errorf("the embedded model: %w", err)
	}
	target.Key, target.SecondKey, target.ForeignKey = cmp.Or(target.Key, rand.Text()), rand.Text(), rand.Text()
	claimReference(target)
	if target.Dialect == suites.DialectOpenAI && target.Model == "" {
		target.Model = embedded // this dialect requires one
	}
	server, free, err := newReference(m, simulator.Options{
		ModelName: embedded, Keys: []string{target.Key, target.SecondKey}, Dialects: []string{target.Dialect}, Safety: screening, Defects: defects,
		Deployments: deploymentsBeside(defects),
	})
	if err != nil {
		return nil, usage("%w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target.BaseURL = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { serveUntil(ctx, l, server, httpOptions{}); close(ended) }()
	return func() { cancel(); <-ended; free(); m.Close() }, nil
}

// shortPaths writes paths relative to the working directory where that is
// shorter.
func shortPaths(paths []string) []string {
	wd, err := os.Getwd()
	if err != nil {
		return paths
	}
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if rel, err := filepath.Rel(wd, p); err == nil && len(rel) < len(p) {
			out[i] = rel
		}
	}
	return out
}
