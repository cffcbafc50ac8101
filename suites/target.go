package suites

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A Target is the endpoint under test and what its owner says of it.
type Target struct {
	// BaseURL is the endpoint without the route: http://host:port.
	BaseURL string
	// Key is sent as a bearer token; empty sends none. It never reaches a result.
	Key string
	// SecondKey is the endpoint's other key and ForeignKey that of another
	// endpoint, where they are known: AUT-013 and AUT-015 send them.
	SecondKey, ForeignKey string
	// Dialect is the API that the target speaks: llama-v1 (the default),
	// azure-inference or openai.
	Dialect string
	// Kind is what stands behind it: serverless, managed, vllm, openai, reference.
	Kind string
	// Model is sent as the `model` member of each request, if not empty.
	Model string
	// TLS is the configuration for https; nil trusts the system's roots.
	TLS *tls.Config
	// Header holds further headers for each request.
	Header http.Header
	// Routes are the routes that the target serves; empty means both, and a
	// route that answers 404 is skipped.
	Routes []schemas.Route
	// Claims are features and configurations that the owner says the target
	// has, of [schemas.Claims]: a clause that requires one is judged only then,
	// and an optional parameter that is claimed must not be refused.
	Claims []string
	// Safety says what is filtered, where content-safety is claimed.
	Safety Safety
	// Features are optional parameters that the owner says the target honours,
	// such as best_of: to refuse one is then a fail, and not unsupported.
	Features []string
	// Limited is a deployment whose quota may be exhausted, and Unscreened one with
	// content safety switched off; nil where there is none.
	Limited    *Limited
	Unscreened *Beside
	// Deployments are names that the header azureml-model-deployment chooses
	// between (DEP-033).
	Deployments []string
}

// A Beside is another deployment of the same service, for what must not be done
// to the one under test. What is empty is the target's own.
type Beside struct {
	BaseURL, Key, SecondKey string
	// Header is set over that of the target, such as azureml-model-deployment.
	Header http.Header
}

// Limited is a deployment that the harness may exhaust, again and again.
type Limited struct {
	Beside
	// Requests, 1 to 40, and Tokens, 60 to 4000 or 0 for unknown, are what its
	// quota admits in one Window, a minute where that is 0.
	Requests, Tokens int
	Window           time.Duration
}

// Bounds of what is sent to exhaust a quota.
const (
	mostExhausted  = 40
	fewestTokens   = 60
	mostExhaustion = 4_000
)

func (l *Limited) check(t *Target) error {
	if l.Window == 0 {
		l.Window = time.Minute
	}
	switch {
	case cmp.Or(l.BaseURL, t.BaseURL) == t.BaseURL && len(l.Header) == 0:
		return configError("limited: it is the target itself, whose quota is never exhausted; give another url, or headers")
	case l.Requests < 1 || l.Requests > mostExhausted:
		return configError("limited.requests: %d is not 1 to %d in a window", l.Requests, mostExhausted)
	case l.Tokens != 0 && (l.Tokens < fewestTokens || l.Tokens > mostExhaustion):
		return configError("limited.tokens: %d is not %d to %d in a window, or 0 for unknown", l.Tokens, fewestTokens, mostExhaustion)
	case l.Window < 0 || l.Window > 2*time.Minute:
		return configError("limited.window: %s is not 0 to 2m", l.Window)
	}
	return nil
}

// Safety is what content safety filters: harmless to send, and known to the
// owner of the target.
type Safety struct {
	// Prompt is a prompt that is filtered.
	Prompt string
	// Answer is a prompt whose answer is filtered, and Withheld a word of that
	// answer that must not be seen.
	Answer, Withheld string
}

// The dialects. llama-v1 is the API of the source document, /v1/completions and
// /v1/chat/completions; azure-inference has both without /v1, and /info; openai
// has the paths of llama-v1 with OpenAI's own parameters.
const (
	DialectLlamaV1        = "llama-v1"
	DialectAzureInference = "azure-inference"
	DialectOpenAI         = "openai"
)

// Kinds lists what may stand behind a target.
var Kinds = schemas.Kinds()

// Options say how to check a target. The zero value checks everything under
// the interop profile.
type Options struct {
	// Profile is interop (the default), strict or paper.
	Profile schemas.Profile
	// Clauses and Areas select what is judged; both empty selects all.
	Clauses []string
	Areas   []string
	// LabelFilter is a Ginkgo label expression over a clause's labels: its id,
	// area, level and dialect, such as "STR && MUST".
	LabelFilter string
	// Concurrency is the most requests in flight, 4 by default.
	Concurrency int
	// Budget bounds what the run may cost and how fast it asks.
	Budget Budget
	// Waivers are clauses whose breach the owner accepts, for a time.
	Waivers []Waiver
	// Register names a published version of the register, such as 2026-11: its
	// clauses and levels are judged, and no later ones. Empty is the newest.
	Register string
	// Evidence is a directory in which the run leaves its exchanges, redacted,
	// for [OpenEvidence]. Empty leaves none.
	Evidence string
	// Replay is evidence to judge again: nothing is sent.
	Replay []*exchange.Exchange
	// Timeout bounds one exchange, 60 s by default.
	Timeout time.Duration
	// KeyEnv names the environment variable that stands for the key in the
	// curl lines of findings, TOUCHSTONE_API_KEY by default.
	KeyEnv string
	// Version of the tool, for the result.
	Version string
	// OnStart, OnFact and OnVerdict are told of the run as it goes, one call at
	// a time; any may be nil.
	OnStart   func(clauses int)
	OnFact    func(reports.Fact)
	OnVerdict func(reports.Verdict)
}

// ErrConfig marks an error of the target's description or of the options:
// nothing was sent.
var ErrConfig = errors.New("configuration")

func configError(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, a...))
}

func (t *Target) check() error {
	u, err := url.Parse(t.BaseURL)
	switch {
	case err != nil:
		return configError("URL: %v", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return configError("URL: %q is not http://host[:port] or https://host[:port]", t.BaseURL)
	case u.User != nil:
		return configError("URL: a password in the URL would reach reports; give the key by --api-key-env")
	}
	if t.Dialect == "" {
		t.Dialect = DialectLlamaV1
	}
	if paths[t.Dialect] == nil {
		return configError("dialect: %q is none of %s, %s, %s", t.Dialect, DialectLlamaV1, DialectAzureInference, DialectOpenAI)
	}
	if t.Kind != "" && !slices.Contains(Kinds, t.Kind) {
		return configError("kind: %q is none of %v", t.Kind, Kinds)
	}
	if t.Limited != nil {
		l := *t.Limited
		if err := l.check(t); err != nil {
			return err
		}
		t.Limited = &l
	}
	for claim, made := range map[string]bool{"quota": t.Limited != nil, "unscreened": t.Unscreened != nil, "second-key": t.SecondKey != "", "foreign-key": t.ForeignKey != "", "deployments": len(t.Deployments) > 0} {
		if made && !t.claims(claim) {
			t.Claims = append(slices.Clone(t.Claims), claim)
		} else if !made && t.claims(claim) {
			return configError("claims: %q is claimed, but what it needs is not given", claim)
		}
	}
	for _, name := range t.Claims {
		if _, ok := schemas.Claims()[name]; !ok {
			return configError("claims: %q is not known; the claims are %s", name, strings.Join(slices.Sorted(maps.Keys(schemas.Claims())), ", "))
		}
	}
	if len(t.Routes) == 0 {
		t.Routes = []schemas.Route{schemas.Completions, schemas.Chat}
	}
	for _, r := range t.Routes {
		if t.path(r) == "" {
			return configError("route: %q is none of %s, %s", r, schemas.Completions, schemas.Chat)
		}
	}
	return nil
}

func (o *Options) check() error {
	if o.Profile == "" {
		o.Profile = schemas.Interop
	}
	if !slices.Contains([]schemas.Profile{schemas.Interop, schemas.Strict, schemas.Paper}, o.Profile) {
		return configError("profile: %q is none of interop, strict, paper", o.Profile)
	}
	if o.Concurrency < 0 {
		return configError("concurrency: %d is negative", o.Concurrency)
	}
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	if o.Timeout < 0 {
		return configError("timeout: %s is negative", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	for _, w := range o.Waivers {
		if err := w.check(); err != nil {
			return err
		}
	}
	if o.KeyEnv == "" {
		o.KeyEnv = "TOUCHSTONE_API_KEY"
	}
	return nil
}

// paths maps each route of a dialect to its path and query.
var paths = map[string]map[schemas.Route]string{
	DialectLlamaV1: {schemas.Completions: "/v1/completions", schemas.Chat: "/v1/chat/completions"},
	DialectAzureInference: {
		schemas.Completions: "/completions?api-version=" + apiVersion,
		schemas.Chat:        "/chat/completions?api-version=" + apiVersion,
	},
	DialectOpenAI: {schemas.Completions: "/v1/completions", schemas.Chat: "/v1/chat/completions"},
}

// apiVersion is the version that every Azure SDK sends.
const apiVersion = "2024-05-01-preview"

// dialect is that of the target, llama-v1 unless it says otherwise.
func (t Target) dialect() string { return cmp.Or(t.Dialect, DialectLlamaV1) }

// path is that of a route, with its query.
func (t Target) path(r schemas.Route) string { return paths[t.dialect()][r] }

// serves is whether a request went to the route in the target's dialect, and not
// to a page, a model list or the path of another dialect, whose answers have
// another form.
func (t Target) serves(r *reply) bool {
	base, err := url.Parse(t.BaseURL)
	u, bad := url.Parse(r.Request.URL)
	if err != nil || bad != nil {
		return false
	}
	path, _, _ := strings.Cut(t.path(r.route), "?")
	return r.Request.Method == http.MethodPost && u.Path == strings.TrimRight(base.Path, "/")+path
}

// claims is whether the owner says that the target has a feature or a
// configuration, one of [schemas.Claims].
func (t Target) claims(name string) bool { return slices.Contains(t.Claims, name) }

// secrets are what must not reach a result.
func (t Target) secrets() []string {
	all := []string{t.Key, t.SecondKey, t.ForeignKey}
	if t.Limited != nil {
		all = append(all, t.Limited.Key, t.Limited.SecondKey)
	}
	if t.Unscreened != nil {
		all = append(all, t.Unscreened.Key)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// beside is the target with what is different of another deployment.
func (t Target) beside(b Beside) Target {
	t.BaseURL, t.Key, t.SecondKey = cmp.Or(b.BaseURL, t.BaseURL), cmp.Or(b.Key, t.Key), cmp.Or(b.SecondKey, t.SecondKey)
	t.Header = maps.Clone(t.Header)
	if t.Header == nil {
		t.Header = http.Header{}
	}
	for name, v := range b.Header {
		t.Header[name] = v
	}
	return t
}

// featured is the first of the parameters that the owner claims, "" if none.
func (t Target) featured(params []string) string {
	for _, p := range params {
		if slices.Contains(t.Features, p) {
			return p
		}
	}
	return ""
}
