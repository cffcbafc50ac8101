package load

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The routes.
const (
	Chat        = "chat"
	Completions = "completions"
)

// A Target is the endpoint that is measured.
type Target struct {
	// URL is the base URL; the path of the route is appended to it.
	URL string
	// Dialect is llama-v1, openai or azure-inference and decides the paths.
	Dialect string
	Model   string
	// Key is sent as a bearer token, or bare in the header KeyHeader.
	Key, KeyHeader string
	// Header is added to every request.
	Header http.Header
}

// Dialects are those that a Target may speak.
var Dialects = []string{"llama-v1", "openai", "azure-inference"}

// path is that of a route.
func (t *Target) path(route string) string {
	p := "/completions"
	if route == Chat {
		p = "/chat/completions"
	}
	if t.Dialect != "azure-inference" {
		p = "/v1" + p
	}
	return p
}

// url is the whole URL of a route. A base that ends in /v1 is not given a
// second one.
func (t *Target) url(route string) (string, error) {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return "", fmt.Errorf("URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("URL %q: want http:// or https://", t.URL)
	case u.Host == "":
		return "", fmt.Errorf("URL %q: no host", t.URL)
	case u.User != nil:
		return "", errors.New("URL: a user name or password in it is not supported, give the key apart")
	case u.Fragment != "":
		return "", fmt.Errorf("URL %q: no fragment may follow the path", t.URL)
	}
	p := t.path(route)
	base := strings.TrimRight(u.Path, "/")
	if strings.HasSuffix(base, "/v1") {
		p = strings.TrimPrefix(p, "/v1")
	}
	u.Path = base + p
	return u.String(), nil
}

// Validate says what is wrong with the URL.
func (t *Target) Validate() error {
	_, err := t.url(Chat)
	return err
}

// A Config is what a run was asked to do, as it stands in the result. It
// holds no key.
type Config struct {
	URL      string        `json:"url"`
	Dialect  string        `json:"dialect"`
	Model    string        `json:"model,omitempty"`
	Seed     uint64        `json:"seed"`
	Stages   []StageConfig `json:"stages"`
	Work     []Work        `json:"work"`
	HTTP     string        `json:"http"`
	Reuse    bool          `json:"reuse_connections"`
	Timeout  float64       `json:"timeout_s"`
	Drain    float64       `json:"drain_s"`
	SLO      string        `json:"slo,omitempty"`
	Loop     string        `json:"loop"` // open, closed or mixed
	Pacing   string        `json:"pacing"`
	Features Features      `json:"features"`
}

// A StageConfig is a Stage as it stands in the result.
type StageConfig struct {
	Name        string  `json:"name"`
	Rate        float64 `json:"rate,omitempty"`
	EndRate     float64 `json:"end_rate,omitempty"`
	Arrival     string  `json:"arrival,omitempty"`
	Trace       int     `json:"trace_rows,omitempty"`
	Concurrency int     `json:"concurrency,omitempty"`
	Think       *Dist   `json:"think_s,omitempty"`
	RampUp      float64 `json:"ramp_up_s,omitempty"`
	Duration    float64 `json:"duration_s,omitempty"`
	MaxRequests int     `json:"max_requests,omitempty"`
	WarmupTime  float64 `json:"warmup_s,omitempty"`
}

func (s *Stage) config() StageConfig {
	c := StageConfig{Name: s.Name, Rate: s.Rate, EndRate: s.EndRate, Trace: len(s.Trace), Concurrency: s.Concurrency,
		RampUp: s.RampUp.Seconds(), Duration: s.Duration.Seconds(), MaxRequests: s.Requests, WarmupTime: s.Warmup.Seconds()}
	if s.Open() && s.Trace == nil {
		c.Arrival = s.Arrival.String()
	}
	if !s.Think.IsZero() {
		c.Think = &s.Think
	}
	return c
}

// Label says what the stage is, in a word or two.
func (c *StageConfig) Label() string {
	switch {
	case c.Concurrency > 0:
		return fmt.Sprintf("%d users", c.Concurrency)
	case c.Trace > 0:
		return "trace"
	case c.EndRate > 0 && c.EndRate != c.Rate:
		return fmt.Sprintf("%g–%g/s %s", c.Rate, c.EndRate, c.Arrival)
	}
	return fmt.Sprintf("%g/s %s", c.Rate, c.Arrival)
}

// Features are optional parameters and whether the target takes them.
type Features struct {
	// Usage is stream_options.include_usage.
	Usage     bool `json:"stream_options"`
	IgnoreEOS bool `json:"ignore_eos"`
	MinTokens bool `json:"min_tokens"`
	// Dropped says what was left out, and why.
	Dropped []string `json:"dropped,omitempty"`
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
