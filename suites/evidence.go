package suites

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// What a run leaves in its evidence directory.
const (
	exchangesFile = "exchanges.jsonl"
	targetFile    = "target.json"
)

// evidenceTarget is what evidence says of the target: no key and no secret.
type evidenceTarget struct {
	URL         string          `json:"url"`
	Dialect     string          `json:"dialect"`
	Kind        string          `json:"kind,omitempty"`
	Model       string          `json:"model,omitempty"`
	Routes      []schemas.Route `json:"routes"`
	Claims      []string        `json:"claims,omitempty"`
	Features    []string        `json:"features,omitempty"`
	Deployments []string        `json:"deployments,omitempty"`
	Safety      *Safety         `json:"safety,omitempty"`
	Limited     *quotaOf        `json:"limited,omitempty"`
	Keyed       bool            `json:"keyed"`
	Tool        string          `json:"tool"`
}

// quotaOf is a quota that was exhausted.
type quotaOf struct {
	Requests      int     `json:"requests"`
	Tokens        int     `json:"tokens"`
	WindowSeconds float64 `json:"window_seconds"`
}

// saveEvidence writes what was exchanged, redacted.
func (k *check) saveEvidence(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	t := k.target
	var quota *quotaOf
	if l := t.Limited; l != nil {
		quota = &quotaOf{l.Requests, l.Tokens, l.Window.Seconds()}
	}
	raw, err := json.MarshalIndent(evidenceTarget{
		URL: t.BaseURL, Dialect: t.Dialect, Kind: t.Kind, Model: t.Model, Routes: t.Routes, Claims: t.Claims,
		Features: t.Features, Deployments: t.Deployments, Safety: &t.Safety, Limited: quota, Keyed: t.Key != "", Tool: k.opts.Version,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, targetFile), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	k.session.mu.Lock()
	var xs []*exchange.Exchange
	for _, r := range k.record {
		xs = append(xs, exchange.Redact(cmp.Or(r.wired, r.Exchange), t.secrets()...))
	}
	k.session.mu.Unlock()
	slices.SortFunc(xs, func(a, b *exchange.Exchange) int { return cmp.Compare(a.ID, b.ID) })
	return exchange.WriteFile(filepath.Join(dir, exchangesFile), xs)
}

// OpenEvidence reads what a run with [Options.Evidence] left: the target that
// was judged, without its keys, and the exchanges for [Options.Replay]. The
// error names the file.
func OpenEvidence(dir string) (Target, []*exchange.Exchange, error) {
	raw, err := os.ReadFile(filepath.Join(dir, targetFile))
	if err != nil {
		return Target{}, nil, fmt.Errorf("%w: evidence: %w", ErrConfig, err)
	}
	var e evidenceTarget
	if err := json.Unmarshal(raw, &e); err != nil {
		return Target{}, nil, fmt.Errorf("%w: evidence: %s: %w", ErrConfig, targetFile, err)
	}
	xs, err := exchange.ReadFile(filepath.Join(dir, exchangesFile))
	if err != nil {
		return Target{}, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(xs) == 0 {
		return Target{}, nil, errors.Join(ErrConfig, errors.New("evidence: it holds no exchange"))
	}
	t := Target{
		BaseURL: e.URL, Dialect: e.Dialect, Kind: e.Kind, Model: e.Model, Routes: e.Routes, Claims: e.Claims,
		Features: e.Features, Deployments: e.Deployments,
	}
	if e.Safety != nil {
		t.Safety = *e.Safety
	}
	if l := e.Limited; l != nil { // only asked what it was, since nothing is sent
		t.Limited = &Limited{
			Beside:   Beside{Header: http.Header{"X-Replayed": {limited}}},
			Requests: l.Requests, Tokens: l.Tokens, Window: time.Duration(l.WindowSeconds * float64(time.Second)),
		}
	}
	if slices.Contains(t.Claims, unscreened) {
		t.Unscreened = &Beside{}
	}
	if e.Keyed { // stands for the key, so that probes that need one are found again
		t.Key = exchange.Redacted
	}
	for claim, key := range map[string]*string{"second-key": &t.SecondKey, "foreign-key": &t.ForeignKey} {
		if slices.Contains(t.Claims, claim) {
			*key = exchange.Redacted
		}
	}
	return t, xs, nil
}
