package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/suites"
)

// A file describes the deployments beside the target; what is wrong in it is
// named.
func TestConfigDescribesOthers(t *testing.T) {
	t.Setenv("SMALL_KEY", "k-small")
	c, err := parseConfig([]byte(`
url: http://main.example
limited: {url: "http://small.example/", key: {env: SMALL_KEY}, requests: 6, tokens: 120, window: 10s}
unscreened: {headers: {azureml-model-deployment: open}}
`))
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.target(suites.DialectLlamaV1)
	if err != nil {
		t.Fatal(err)
	}
	l := target.Limited
	if l == nil || l.BaseURL != "http://small.example" || l.Key != "k-small" || l.Requests != 6 || l.Tokens != 120 || l.Window != 10*time.Second {
		t.Errorf("limited: %+v", l)
	}
	if u := target.Unscreened; u == nil || u.Header.Get("Azureml-Model-Deployment") != "open" {
		t.Errorf("unscreened: %+v", u)
	}
	for name, x := range map[string]struct{ text, says string }{
		"no address":     {"limited: {requests: 6}", "limited: it needs url or headers"},
		"window":         {`limited: {url: "http://x", requests: 6, window: soon}`, "limited.window"},
		"key":            {`limited: {url: "http://x", requests: 6, key: {env: NOT_SET_HERE}}`, "limited.key"},
		"itself":         {`limited: {url: "http://main.example", requests: 6}`, "never exhausted"},
		"no requests":    {`limited: {url: "http://x"}`, "limited.requests"},
		"many tokens":    {`limited: {url: "http://x", requests: 6, tokens: 400000}`, "limited.tokens"},
		"unknown member": {`limited: {url: "http://x", request: 6}`, "unknown field"},
	} {
		c, err := parseConfig([]byte("url: http://main.example\n" + x.text))
		if err == nil {
			var target suites.Target
			if target, err = c.target(suites.DialectLlamaV1); err == nil {
				_, err = suites.MakePlan(target, suites.Options{})
			}
		}
		if err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %q", name, err, x.says)
		}
	}
}
