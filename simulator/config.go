package simulator

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// A Config is what a configuration file says.
type Config struct {
	Endpoints []Endpoint `yaml:"endpoints"`
	// Traces of all endpoints; they are set up when the server starts.
	Traces Traces `yaml:"traces"`
}

// An Endpoint is a URL with its keys. A serverless one is one deployment; a
// managed one has several behind it.
type Endpoint struct {
	// Name is part of the URL: the endpoint answers below /NAME, and to the
	// host NAME.anything. The only endpoint of a server is at its root too.
	Name string `yaml:"name"`
	// Kind is "serverless" (also "") or "managed".
	Kind string `yaml:"kind"`
	// Keys open it; without any, authentication is off.
	Keys Keys `yaml:"keys"`
	// Traffic is the share of each deployment in percent: they sum to 100, or
	// to 0. A single deployment needs none.
	Traffic map[string]int `yaml:"traffic"`
	// MirrorTraffic is the share of requests that a deployment answers too,
	// without a client, in percent, at most 50 in all.
	MirrorTraffic map[string]int `yaml:"mirror_traffic"`
	// Deployments of a managed endpoint.
	Deployments []Deployment `yaml:"deployments"`
	// Settings of a serverless endpoint.
	Settings `yaml:",inline"`
}

// A Deployment is one of a managed endpoint.
type Deployment struct {
	Name     string `yaml:"name"`
	Settings `yaml:",inline"`
}

// Settings are a model and how it is served.
type Settings struct {
	// Model is a GGUF file, "" for the embedded model, "random" for text at
	// random from no model. Whoever calls [New] opens it.
	Model string `yaml:"model"`
	// ModelName is the model of every response.
	ModelName string `yaml:"model_name"`
	// ModelAliases are further names by which requests of the dialect openai may
	// choose it, and "*" is any; another is refused with 404.
	ModelAliases []string `yaml:"model_aliases"`
	// Upstream answers in place of a model, if it has a URL.
	Upstream UpstreamConfig `yaml:"upstream"`
	// Engine tunes the engine of the model. Whoever calls [New] applies it.
	Engine EngineConfig `yaml:"engine"`
	// Dialects that it speaks; none is all.
	Dialects []string `yaml:"dialects"`
	// ContextLength shortens the model's context; 0 leaves it.
	ContextLength int `yaml:"context_length"`
	// Quota is [DefaultQuota] in a file that is silent.
	Quota Quota `yaml:"quota"`
	// ContentSafety screens prompts and completions.
	ContentSafety Safety `yaml:"content_safety"`
	// Latency is the engine's own in its zero value.
	Latency Latency `yaml:"latency"`
	// Faults happen as in real life.
	Faults []Fault `yaml:"faults"`
	// Defects break the contract; [CheckDefects] says how they are written.
	Defects []string `yaml:"defects"`
	// DefectSeed decides which requests a defect with a probability hits.
	DefectSeed uint64 `yaml:"defect_seed"`

	// Generator answers.
	Generator Generator `yaml:"-"`
	// Close, if any, is called when the deployment answers no more.
	Close func() `yaml:"-"`
}

// Keys are the two keys of an endpoint, each of which opens it, so that one can
// be replaced while the other works.
type Keys struct {
	Primary   Key `yaml:"primary"`
	Secondary Key `yaml:"secondary"`
}

// A Key says where a key is; a configuration never holds one.
type Key struct {
	Env  string `yaml:"env"`  // an environment variable
	File string `yaml:"file"` // a file; white space around the key is ignored

	value string
}

// read returns the key, "" where none is wanted.
func (k Key) read() (string, error) {
	switch {
	case k.value != "":
		return k.value, nil
	case k.Env != "" && k.File != "":
		return "", errors.New("has both env and file; give one")
	case k.Env != "":
		v := os.Getenv(k.Env)
		if v == "" {
			return "", fmt.Errorf("env: the variable %s is not set", k.Env)
		}
		return v, nil
	case k.File != "":
		b, err := os.ReadFile(k.File)
		if err != nil {
			return "", fmt.Errorf("file: %w", err)
		}
		v := strings.TrimSpace(string(b))
		if v == "" {
			return "", fmt.Errorf("file: %s is empty", k.File)
		}
		return v, nil
	}
	return "", nil
}

// read returns the keys that there are.
func (k Keys) read() ([]string, error) {
	var keys []string
	for _, x := range []struct {
		name string
		key  Key
	}{{"primary", k.Primary}, {"secondary", k.Secondary}} {
		key, err := x.key.read()
		switch {
		case err != nil:
			return nil, at("keys."+x.name, err)
		case key == "":
		case !usable(key):
			return nil, at("keys."+x.name, errors.New("holds spaces or control characters; such a key cannot be sent as a Bearer token"))
		case slices.Contains(keys, key):
			return nil, at("keys.secondary", errors.New("is the same as the primary"))
		default:
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// usable says whether a key can be sent as a Bearer token.
func usable(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] == 0x7f {
			return false
		}
	}
	return key != ""
}

// UnmarshalYAML begins with [DefaultQuota], so that a file names only what
// differs.
func (q *Quota) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Quota
	p := plain(DefaultQuota)
	err := unmarshal(&p)
	*q = Quota(p)
	return err
}

// A fieldError is about a field, by its path from the root of the file.
type fieldError struct {
	path string // such as endpoints[0].quota.smoothing
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// at puts an error at a field below another's.
func at(path string, err error) error {
	if err == nil {
		return nil
	}
	var f *fieldError
	if errors.As(err, &f) {
		if !strings.HasPrefix(f.path, "[") {
			path += "."
		}
		return &fieldError{path + f.path, f.err}
	}
	return &fieldError{path, err}
}

// ParseConfig reads a configuration file strictly. An unknown field, a value of
// the wrong type or out of range is an error with its line and column.
func ParseConfig(text []byte) (Config, error) {
	var c Config
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return c, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		silent := func(path string) bool { _, ok := position(text, path); return !ok }
		if silent(fmt.Sprintf("endpoints[%d].quota", i)) {
			e.Quota = DefaultQuota
		}
		for j := range e.Deployments {
			if silent(fmt.Sprintf("endpoints[%d].deployments[%d].quota", i, j)) {
				e.Deployments[j].Quota = DefaultQuota
			}
		}
	}
	err := c.validate()
	var f *fieldError
	if errors.As(err, &f) {
		if where, ok := position(text, f.path); ok {
			return c, fmt.Errorf("[%s] %w", where, err)
		}
	}
	return c, err
}

// position finds a field of a file: "line:column". Where the field is absent,
// it is that of what should hold it.
func position(text []byte, path string) (string, bool) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return "", false
	}
	found := true
	for path != "" {
		if p, err := yaml.PathString("$." + path); err == nil {
			if node, err := p.FilterFile(file); err == nil {
				at := node.GetToken().Position
				return fmt.Sprintf("%d:%d", at.Line, at.Column), found
			}
		}
		found = false
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return "", false
}

func (c Config) validate() error {
	if len(c.Endpoints) == 0 {
		return at("endpoints", errors.New("is empty; declare at least one"))
	}
	if err := c.Traces.validate(); err != nil {
		return at("traces", err)
	}
	for i, e := range c.Endpoints {
		path := fmt.Sprintf("endpoints[%d]", i)
		if err := e.validate(); err != nil {
			return at(path, err)
		}
		for _, other := range c.Endpoints[:i] {
			if other.Name == e.Name {
				return at(path+".name", fmt.Errorf("%q is there already", e.Name))
			}
		}
	}
	return nil
}

// named is what Azure allows (clause DEP-030).
var nameForm = regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9])*$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) || len(name) < 3 || len(name) > 32 {
		return at("name", fmt.Errorf("must begin with a letter and have 3 to 32 letters, digits and single dashes, got %q", name))
	}
	return nil
}

const mostDeployments = 20 // Azure's, for one endpoint

func (e Endpoint) validate() error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	switch e.Kind {
	case "", "serverless":
		switch {
		case len(e.Deployments) > 0:
			return at("deployments", errors.New("are for kind managed; a serverless endpoint is one deployment"))
		case len(e.Traffic) > 0:
			return at("traffic", errors.New("is for kind managed"))
		case len(e.MirrorTraffic) > 0:
			return at("mirror_traffic", errors.New("is for kind managed"))
		case e.ContentSafety.Disabled:
			return at("content_safety.disabled", errors.New("is for kind managed: a serverless endpoint cannot opt out"))
		}
		return e.Settings.validate()
	case "managed":
	default:
		return at("kind", fmt.Errorf("must be serverless or managed, got %q", e.Kind))
	}
	if len(e.Deployments) == 0 || len(e.Deployments) > mostDeployments {
		return at("deployments", fmt.Errorf("must be 1 to %d, got %d", mostDeployments, len(e.Deployments)))
	}
	names := map[string]bool{}
	for i, d := range e.Deployments {
		path := fmt.Sprintf("deployments[%d]", i)
		if err := checkName(d.Name); err != nil {
			return at(path, err)
		}
		if names[d.Name] {
			return at(path+".name", fmt.Errorf("%q is there already", d.Name))
		}
		names[d.Name] = true
		if err := d.Settings.validate(); err != nil {
			return at(path, err)
		}
	}
	if sum, err := shares(e.Traffic, names); err != nil {
		return at("traffic", err)
	} else if sum != 0 && sum != 100 {
		return at("traffic", fmt.Errorf("must sum to 100, or to 0, got %d", sum)) // DEP-031
	}
	if sum, err := shares(e.MirrorTraffic, names); err != nil {
		return at("mirror_traffic", err)
	} else if sum > 50 {
		return at("mirror_traffic", fmt.Errorf("must sum to at most 50, got %d", sum)) // DEP-032
	}
	return nil
}

func shares(of map[string]int, names map[string]bool) (sum int, err error) {
	for name, percent := range of {
		if !names[name] {
			return 0, fmt.Errorf("there is no deployment %q", name)
		}
		if percent < 0 || percent > 100 {
			return 0, fmt.Errorf("%s must be 0 to 100, got %d", name, percent)
		}
		sum += percent
	}
	return sum, nil
}

func (s Settings) validate() error {
	if _, err := named(s.Dialects); err != nil {
		return at("dialects", err)
	}
	if s.ContextLength < 0 {
		return at("context_length", fmt.Errorf("must be 0 (the model's) or more, got %d", s.ContextLength))
	}
	if s.Upstream.URL != "" && s.Model != "" {
		return at("upstream", errors.New("stands in place of a model; leave model out"))
	}
	if (s.Upstream.URL != "" || s.Model == "random") && s.Engine != (EngineConfig{}) {
		return at("engine", errors.New("tunes the engine of a model in this process; leave it out"))
	}
	if err := CheckDefects(s.Defects); err != nil {
		return at("defects", err)
	}
	for _, x := range []struct {
		name string
		err  error
	}{
		{"upstream", s.Upstream.validate()}, {"engine", s.Engine.validate()}, {"quota", s.Quota.validate()}, {"content_safety", s.ContentSafety.validate()}, {"latency", s.Latency.validate()},
	} {
		if x.err != nil {
			return at(x.name, x.err)
		}
	}
	for i, f := range s.Faults {
		if err := f.validate(); err != nil {
			return at(fmt.Sprintf("faults[%d]", i), err)
		}
	}
	return nil
}
