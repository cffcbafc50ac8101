package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/suites"
)

type initCmd struct {
	URL       string `arg:"" help:"Base URL of the endpoint, without the route."`
	Model     string `placeholder:"NAME" help:"Send this as the model member of each request."`
	APIKeyEnv string `name:"api-key-env" default:"TOUCHSTONE_API_KEY" placeholder:"NAME" help:"Environment variable that holds the key."`
	Out       string `default:"touchstone.yaml" type:"path" placeholder:"FILE" help:"Where to write the description."`
	Force     bool   `help:"Replace a file that is there."`
}

func (initCmd) Help() string {
	return `Asks an endpoint which dialects and routes it serves and which optional parameters
it takes, and writes a description of it, with comments, for check --config.`
}

// found is what init learned of an endpoint, for the template.
type found struct {
	URL, Model, KeyEnv string
	Keyed              bool
	Dialects, Facts    []string
	Features, Refused  []string
	Claims             []claim
}

type claim struct{ Name, Meaning string }

func (c *initCmd) Run(ctx context.Context, s *streams) error {
	if _, err := os.Stat(c.Out); err == nil && !c.Force {
		return usage("%s is there already; --force replaces it", c.Out)
	}
	f := found{URL: strings.TrimRight(c.URL, "/"), Model: c.Model, KeyEnv: c.APIKeyEnv, Keyed: os.Getenv(c.APIKeyEnv) != ""}
	seen := map[string]bool{}
	for _, dialect := range []string{suites.DialectLlamaV1, suites.DialectAzureInference} {
		// One clause a parameter is enough to see what the endpoint makes of it.
		r, err := suites.Judge(ctx, suites.Target{BaseURL: f.URL, Dialect: dialect, Model: c.Model, Key: os.Getenv(c.APIKeyEnv)},
			suites.Options{Version: toolVersion(), Clauses: probing[dialect]})
		if err != nil {
			return err
		}
		if !answers(r) {
			continue
		}
		f.Dialects = append(f.Dialects, dialect)
		for _, fact := range r.Calibration {
			f.Facts = append(f.Facts, fmt.Sprintf("%s, %s: %s: %s", dialect, fact.Route, fact.Name, strings.ReplaceAll(fact.Value, "\n", " ")))
		}
		for _, p := range r.Capabilities {
			if seen[p.Parameter+p.Support] {
				continue
			}
			seen[p.Parameter+p.Support] = true
			switch p.Support {
			case "honoured":
				f.Features = append(f.Features, p.Parameter)
			case "refused", "silently ignored":
				f.Refused = append(f.Refused, p.Parameter+" is "+p.Support+" on "+p.Route)
			}
		}
	}
	// What one dialect refuses is not a feature of the endpoint as a whole.
	f.Features = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(f.Features))), func(name string) bool {
		return slices.ContainsFunc(f.Refused, func(r string) bool { return strings.HasPrefix(r, name+" is ") })
	})
	if len(f.Dialects) == 0 {
		return exitError{exitNothing, fmt.Errorf("%s answers on no route of a known dialect; is the URL without the route, and is the key in %s?", f.URL, c.APIKeyEnv)}
	}
	for _, name := range schemas.ClaimNames() {
		f.Claims = append(f.Claims, claim{name, schemas.Claims()[name]})
	}
	var b bytes.Buffer
	if err := description.Execute(&b, f); err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, b.Bytes(), 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s describes %s: %s\nNext: touchstone check --config %s\n", c.Out, f.URL, strings.Join(f.Dialects, ", "), c.Out)
	return err
}

// probing are clauses whose evidence shows what a target makes of optional
// parameters.
var probing = map[string][]string{
	suites.DialectLlamaV1:        {"BST-003", "BST-005", "BEAM-004", "BEAM-007", "FIN-006", "REQ-063", "REQ-065", "REQ-074", "REQ-071", "STR-001"},
	suites.DialectAzureInference: {"REQ-064", "REQ-038", "ERR-007"},
}

// answers is whether a route was served at all.
func answers(r *reports.Result) bool {
	for _, f := range r.Calibration {
		if f.Name == "control request" && f.OK {
			return true
		}
	}
	return false
}

var description = template.Must(template.New("touchstone.yaml").Parse(`# What touchstone knows of this endpoint. touchstone check --config FILE reads it.
url: {{.URL}}

# The APIs that it speaks; each is checked in turn.
dialects: [{{range $i, $d := .Dialects}}{{if $i}}, {{end}}{{$d}}{{end}}]

# What stands behind it, where that changes what is right: serverless, managed,
# vllm, openai, reference.
# kind: vllm
{{if .Model}}model: {{.Model}}{{else}}# model: NAME            # sent with each request, where the endpoint wants one{{end}}

# Where the key is, never the key itself: env, file or command.
{{if .Keyed}}key: {env: {{.KeyEnv}}}{{else}}# key: {env: {{.KeyEnv}}}{{end}}
# key: {file: /run/secrets/key}
# key: {command: [pass, show, endpoint]}
# second_key: {env: …}     # AUT-013: the endpoint's other key
# foreign_key: {env: …}    # AUT-015: a key of another endpoint
# headers: {X-Team: mine}
# tls: {ca: ca.pem}

# What calibration saw:{{range .Facts}}
#   {{.}}{{end}}

# Optional parameters that must work: to refuse one is then a fail, and not just
# unsupported. These were honoured:
features: [{{range $i, $d := .Features}}{{if $i}}, {{end}}{{$d}}{{end}}]{{range .Refused}}
#   {{.}}{{end}}

# What else the endpoint has. Clauses that need one are skipped without it.
claims: []{{range .Claims}}
#   {{.Name}}: {{.Meaning}}{{end}}

# profile: interop         # or strict, or paper
# register: 2026-11        # a published version of the clauses, so that the gate stays as it is

limits:
  concurrency: 4
  timeout: 60s
  # requests_per_minute: 1000
  # tokens_per_minute: 200000

# Another deployment whose quota the harness may exhaust, again and again (LIM):
# what a window of it admits. It waits for windows, and never exhausts the
# endpoint above. What is left out is as above.
# limited: {url: "https://small.example", key: {env: SMALL_KEY}, requests: 6, tokens: 120, window: 60s}
# limited: {headers: {azureml-model-deployment: small}, requests: 6, tokens: 120}

# Another deployment with content safety switched off (SAF-017).
# unscreened: {url: "https://open.example", key: {env: OPEN_KEY}}

# What a run may cost; probes that no longer fit are not sent.
# budget: {requests: 700, tokens: 60000, money: 0.50, price_per_token: 0.000001}

# Clauses whose breach is accepted for a time. After the day the clause gates
# again; a waiver that is no longer needed is reported.
waivers: []
#  - {clause: STR-009, reason: fixed in the next release, until: 2027-01-31}
`))
