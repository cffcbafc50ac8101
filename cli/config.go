package cli

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/suites"
)

// A config is a target described in a file. Every member is optional but url.
type config struct {
	URL         string            `yaml:"url"`
	Dialects    []string          `yaml:"dialects"`
	Kind        string            `yaml:"kind"`
	Model       string            `yaml:"model"`
	Routes      []string          `yaml:"routes"`
	Key         keySource         `yaml:"key"`
	SecondKey   keySource         `yaml:"second_key"`
	ForeignKey  keySource         `yaml:"foreign_key"`
	Headers     map[string]string `yaml:"headers"`
	TLS         tlsConfig         `yaml:"tls"`
	Claims      []string          `yaml:"claims"`
	Features    []string          `yaml:"features"`
	Limited     limited           `yaml:"limited"`
	Unscreened  beside            `yaml:"unscreened"`
	Deployments []string          `yaml:"deployments"`
	Profile     string            `yaml:"profile"`
	Register    string            `yaml:"register"`
	Limits      limits            `yaml:"limits"`
	Budget      budget            `yaml:"budget"`
	Waivers     []waiver          `yaml:"waivers"`
}

// A keySource says where a key is, never what it is.
type keySource struct {
	Env     string   `yaml:"env"`
	File    string   `yaml:"file"`
	Command []string `yaml:"command"`
}

// A beside is another deployment of the service; what it leaves out is as in the
// target.
type beside struct {
	URL       string            `yaml:"url"`
	Key       keySource         `yaml:"key"`
	SecondKey keySource         `yaml:"second_key"`
	Headers   map[string]string `yaml:"headers"`
}

// A limited is one whose quota may be exhausted: what a window admits.
type limited struct {
	Other    beside `yaml:",inline"`
	Requests int    `yaml:"requests"`
	Tokens   int    `yaml:"tokens"`
	Window   string `yaml:"window"`
}

type tlsConfig struct {
	CA       string `yaml:"ca"`
	Insecure bool   `yaml:"insecure"`
}

type limits struct {
	Concurrency       int    `yaml:"concurrency"`
	Timeout           string `yaml:"timeout"`
	RequestsPerMinute int    `yaml:"requests_per_minute"`
	TokensPerMinute   int    `yaml:"tokens_per_minute"`
}

type budget struct {
	Requests      int     `yaml:"requests"`
	Tokens        int     `yaml:"tokens"`
	Money         float64 `yaml:"money"`
	PricePerToken float64 `yaml:"price_per_token"`
}

type waiver struct {
	Clause string `yaml:"clause"`
	Reason string `yaml:"reason"`
	Until  string `yaml:"until"`
}

// readConfig reads a target's file. An error names the line and the column.
func readConfig(path string) (config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return config{}, usage("--config: %w", err)
	}
	c, err := parseConfig(b)
	if err != nil {
		return config{}, usage("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(b []byte) (config, error) {
	var c config
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&c); err != nil {
		return config{}, err // goccy/go-yaml names line and column
	}
	if c.URL == "" {
		return config{}, fmt.Errorf("url is missing; write url: https://host")
	}
	return c, nil
}

// read returns the key that a source names, "" for none.
func (k keySource) read() (string, error) {
	n := 0
	for _, set := range []bool{k.Env != "", k.File != "", len(k.Command) > 0} {
		if set {
			n++
		}
	}
	switch {
	case n > 1:
		return "", fmt.Errorf("give one of env, file and command")
	case k.File != "":
		b, err := os.ReadFile(k.File)
		return strings.TrimSpace(string(b)), err
	case len(k.Command) > 0:
		out, err := exec.Command(k.Command[0], k.Command[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("command %s: %w", k.Command[0], err) // its output may hold the key
		}
		return strings.TrimSpace(string(out)), nil
	case k.Env != "" && os.Getenv(k.Env) == "":
		return "", fmt.Errorf("the environment variable %s is not set", k.Env)
	}
	return os.Getenv(k.Env), nil
}

// deployment is another deployment as suites want it; name is its member, for
// errors.
func (b beside) deployment(name string) (suites.Beside, error) {
	out := suites.Beside{BaseURL: strings.TrimRight(b.URL, "/"), Header: http.Header{}}
	for n, v := range b.Headers {
		out.Header.Set(n, v)
	}
	var err error
	if out.Key, err = b.Key.read(); err != nil {
		return out, usage("%s.key: %w", name, err)
	}
	if out.SecondKey, err = b.SecondKey.read(); err != nil {
		return out, usage("%s.second_key: %w", name, err)
	}
	return out, nil
}

// described is whether a file says anything of the deployment.
func (b beside) described() bool { return b.URL != "" || len(b.Headers) > 0 }

// others adds the other deployments to a target.
func (c config) others(t *suites.Target) error {
	if c.Limited.Other.described() {
		d, err := c.Limited.Other.deployment("limited")
		if err != nil {
			return err
		}
		t.Limited = &suites.Limited{Beside: d, Requests: c.Limited.Requests, Tokens: c.Limited.Tokens}
		if w := c.Limited.Window; w != "" {
			if t.Limited.Window, err = time.ParseDuration(w); err != nil || t.Limited.Window <= 0 {
				return usage("limited.window: %q is no duration such as 60s", w)
			}
		}
	} else if c.Limited.Requests+c.Limited.Tokens > 0 {
		return usage("limited: it needs url or headers, which tell the deployment from the one under test")
	}
	if c.Unscreened.described() {
		d, err := c.Unscreened.deployment("unscreened")
		if err != nil {
			return err
		}
		t.Unscreened = &d
	}
	return nil
}

// target is the target of one dialect that the file describes.
func (c config) target(dialect string) (suites.Target, error) {
	t := suites.Target{
		BaseURL: strings.TrimRight(c.URL, "/"), Dialect: dialect, Kind: c.Kind, Model: c.Model,
		Claims: c.Claims, Features: c.Features, Deployments: c.Deployments, Header: http.Header{},
	}
	for name, v := range c.Headers {
		t.Header.Set(name, v)
	}
	for _, r := range c.Routes {
		t.Routes = append(t.Routes, schemas.Route(r))
	}
	for _, k := range []struct {
		name   string
		source keySource
		to     *string
	}{{"key", c.Key, &t.Key}, {"second_key", c.SecondKey, &t.SecondKey}, {"foreign_key", c.ForeignKey, &t.ForeignKey}} {
		key, err := k.source.read()
		if err != nil {
			return suites.Target{}, usage("%s: %w", k.name, err)
		}
		*k.to = key
	}
	if c.TLS.CA != "" || c.TLS.Insecure {
		t.TLS = &tls.Config{InsecureSkipVerify: c.TLS.Insecure} //nolint:gosec // the owner's choice
		if c.TLS.CA != "" {
			pem, err := os.ReadFile(c.TLS.CA)
			if err != nil {
				return suites.Target{}, usage("tls.ca: %w", err)
			}
			t.TLS.RootCAs = x509.NewCertPool()
			if !t.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return suites.Target{}, usage("tls.ca: %s holds no certificate", c.TLS.CA)
			}
		}
	}
	return t, c.others(&t)
}

// options takes from the file what it says of how to check.
func (c config) options(o *suites.Options) error {
	o.Profile = schemas.Profile(cmp.Or(c.Profile, string(o.Profile)))
	o.Register = cmp.Or(c.Register, o.Register)
	o.Concurrency = cmp.Or(c.Limits.Concurrency, o.Concurrency)
	o.Budget = suites.Budget{
		Requests: c.Budget.Requests, Tokens: c.Budget.Tokens, Cost: c.Budget.Money, Price: c.Budget.PricePerToken,
		RequestsPerMinute: c.Limits.RequestsPerMinute, TokensPerMinute: c.Limits.TokensPerMinute,
	}
	if c.Budget.Money > 0 && c.Budget.PricePerToken <= 0 {
		return usage("budget.money: it needs price_per_token, above 0")
	}
	if c.Limits.Timeout != "" {
		d, err := time.ParseDuration(c.Limits.Timeout)
		if err != nil || d <= 0 {
			return usage("limits.timeout: %q is no duration such as 60s", c.Limits.Timeout)
		}
		o.Timeout = d
	}
	for _, w := range c.Waivers {
		day, err := time.Parse(time.DateOnly, w.Until)
		if err != nil {
			return usage("waivers: until of %s is %q; write a day such as 2027-01-31", w.Clause, w.Until)
		}
		o.Waivers = append(o.Waivers, suites.Waiver{Clause: w.Clause, Reason: w.Reason, Until: day})
	}
	return nil
}
