package simulator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

const wholeConfig = `
endpoints:
  - name: small
    keys:
      primary: {env: SMALL_KEY}
    model_name: tiny
    model_aliases: [gpt-4o-mini]
    engine: {max_num_seqs: 8, max_num_batched_tokens: 64, kv_cache_memory_bytes: 1048576, enable_prefix_caching: false, threads: 1}
    dialects: [llama-v1]
    context_length: 100
    quota: {requests_per_minute: 60}
    content_safety:
      threshold: high
      block_lists:
        - {name: secret, terms: [basalt], applies_to: completion}
    latency:
      ttft: 20ms
      itl: {distribution: log-normal, mean: 2ms, stddev: 500us}
      prefill_per_token: 10us
      slowdown: 0.01
      max_running: 4
      max_queue: 8
    faults:
      - {kind: stall, probability: 0.5, count: 3, after: 2, delay: 1s}
    defects: [done-missing:0.5, stream-*@chunk=2]
    defect_seed: 9
  - name: fleet
    kind: managed
    traffic: {blue: 90, green: 10}
    mirror_traffic: {green: 50}
    deployments:
      - name: blue
      - name: green
        content_safety: {disabled: true}
        quota: {tokens_per_minute: 0, settle: true}
`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	small, fleet := c.Endpoints[0], c.Endpoints[1]
	if small.Quota != (Quota{TokensPerMinute: 400_000, RequestsPerMinute: 60, Smoothing: 10 * time.Second}) || small.Latency.TTFT.Mean != 20*time.Millisecond ||
		small.Latency.ITL.Shape != "log-normal" || small.Faults[0].Delay != time.Second || small.Keys.Primary.Env != "SMALL_KEY" || small.ModelAliases[0] != "gpt-4o-mini" || small.ContextLength != 100 {
		t.Errorf("%+v", small)
	}
	if got, want := small.Engine.Options(), (engine.Options{MaxSequences: 8, MaxBatchedTokens: 64, KVCacheBytes: 1 << 20, NoPrefixCaching: true, Threads: 1}); got != want {
		t.Errorf("%+v", got)
	}
	if got := fleet.Deployments[0].Engine.Options(); got != (engine.Options{}) {
		t.Errorf("%+v", got)
	}
	if fleet.Deployments[0].Quota != DefaultQuota || fleet.Deployments[1].Quota != (Quota{RequestsPerMinute: 1000, Smoothing: 10 * time.Second, Settle: true}) ||
		!fleet.Deployments[1].ContentSafety.Disabled || fleet.Traffic["blue"] != 90 {
		t.Errorf("%+v", fleet)
	}
}

func TestParseConfigErrors(t *testing.T) {
	const head = "endpoints:\n  - name: abc\n"
	const managed = head + "    kind: managed\n"
	const blue = "    deployments:\n      - name: blue\n"
	for _, c := range []struct{ text, want string }{
		{"endpoints: []", "[1:12] endpoints: is empty"},
		{head + "    quotas: {}", "[3:5] unknown field \"quotas\""},
		{head + "    quota: {smooth: 1s}", "[3:13] unknown field \"smooth\""},
		{head + "    quota: {smoothing: 2m}", "[3:24] endpoints[0].quota.smoothing: must be between"},
		{head + "    quota: {tokens_per_minute: many}", "[3:32]"},
		{head + "    context_length: -1", "[3:21] endpoints[0].context_length"},
		{head + "    latency: {ttft: fast}", "[3:21]"},
		{head + "    latency: {ttft: {distribution: cauchy}}", "[3:36] endpoints[0].latency.ttft.distribution"},
		{head + "    latency: {itl: {distribution: empirical}}", "latency.itl.values"},
		{head + "    latency: {max_queue: 3}", "needs max_running"},
		{head + "    faults: [{kind: reset}, {kind: explode}]", "[3:36] endpoints[0].faults[1].kind"},
		{head + "    faults: [{kind: reset, probability: 2}]", "faults[0].probability"},
		{head + "    defects: [finish-never, done-mising]", "[3:29] endpoints[0].defects[1]: there is no defect \"done-mising\"; did you mean done-missing?"},
		{head + "    defects: [\"done-missing:2\"]", "endpoints[0].defects[0]: \"done-missing:2\": the probability must be"},
		{head + "    dialects: [grpc]", "endpoints[0].dialects"},
		{head + "    content_safety: {threshold: extreme}", "[3:33] endpoints[0].content_safety.threshold"},
		{head + "    content_safety: {disabled: true}", "cannot opt out"},
		{head + "    content_safety: {block_lists: [{name: a, terms: []}]}", "block_lists[0].terms"},
		{head + "    traffic: {a: 100}", "endpoints[0].traffic: is for kind managed"},
		{head + "    kind: batch", "serverless or managed"},
		{head + "    upstream: {url: nowhere}", "upstream.url"},
		{head + "    engine: {threads: -1}", "[3:23] endpoints[0].engine.threads"},
		{head + "    model: random\n    engine: {threads: 1}", "engine: tunes the engine"},
		{head + "  - name: abc", "[3:11] endpoints[1].name"},
		{"endpoints:\n  - name: 1st", "[2:11] endpoints[0].name"},
		{"endpoints:\n  - name: a--b", "single dashes"},
		{managed, "endpoints[0].deployments"},
		{managed + "    traffic: {blue: 90}\n" + blue, "[4:14] endpoints[0].traffic: must sum to 100"},
		{managed + "    traffic: {red: 100}\n" + blue, `no deployment "red"`},
		{managed + "    mirror_traffic: {blue: 60}\n" + blue, "at most 50"},
		{managed + blue + "      - name: blue", "deployments[1].name"},
		{head + "    keys: {primary: sesame}", "[3:21]"},
	} {
		_, err := ParseConfig([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v, want %s", c.text, err, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEY_A", "from-env")
	t.Setenv("KEY_B", "from-file")
	t.Setenv("KEY_C", "a b")
	for _, c := range []struct {
		keys Keys
		want string // the keys, or a part of the error
	}{
		{Keys{}, ""},
		{Keys{Primary: Key{Env: "KEY_A"}, Secondary: Key{File: file}}, "from-env from-file"},
		{Keys{Primary: Key{Env: "KEY_B"}, Secondary: Key{File: file}}, "keys.secondary: is the same"},
		{Keys{Primary: Key{Env: "KEY_NONE"}}, "KEY_NONE is not set"},
		{Keys{Primary: Key{Env: "KEY_A", File: file}}, "both"},
		{Keys{Secondary: Key{File: file + "x"}}, "keys.secondary: file"},
		{Keys{Primary: Key{Env: "KEY_C"}}, "keys.primary: holds spaces"},
	} {
		keys, err := c.keys.read()
		got := strings.Join(keys, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", c.keys, got, c.want)
		}
	}
}

// TestOperatingExample: the example of OPERATING.md is a configuration.
func TestOperatingExample(t *testing.T) {
	text, err := os.ReadFile("OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if c, err := ParseConfig([]byte(example)); err != nil || len(c.Endpoints) != 2 {
		t.Errorf("%v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(wholeConfig))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = ParseConfig(text) // no panic
	})
}
