//go:build unix

package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/tidwall/gjson"
)

// A lineLog waits for lines.
type lineLog struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newLineLog() *lineLog { return &lineLog{more: make(chan struct{}, 1)} }

func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until the log says something.
func (l *lineLog) wait(t *testing.T, something string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(l.String(), something) {
		select {
		case <-l.more:
		case <-deadline:
			t.Fatalf("the log never says %q:\n%s", something, l.String())
		}
	}
}

// started runs serve with these flags until the test ends, or stop is called.
func started(t *testing.T, args ...string) (url string, log *lineLog, stop func() error) {
	t.Helper()
	var c serveCmd
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"--listen", "127.0.0.1:0"}, args...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, said := io.Pipe()
	log = newLineLog()
	ended := make(chan error, 1)
	go func() {
		err := c.Run(ctx, &streams{nil, said, log})
		said.CloseWithError(fmt.Errorf("serve ended: %v", err))
		ended <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	_, rest, _ := strings.Cut(line, " on ")
	url, _, _ = strings.Cut(rest, ",")
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return url, log, stop
}

func complete(t *testing.T, client *http.Client, url, key string) (status int, body string, header http.Header) {
	t.Helper()
	r, _ := http.NewRequest("POST", url+"/v1/completions", strings.NewReader(`{"prompt":"Once upon a time","max_tokens":4,"temperature":0}`))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b), response.Header
}

func TestServeFlags(t *testing.T) {
	t.Setenv("FIRST", "k-first")
	t.Setenv("SECOND", "k-second")
	url, log, stop := started(t, "--api-key-env", "FIRST", "--secondary-key-env", "SECOND", "--requests-per-minute", "3", "--smoothing", "0s", "--log-format", "json")
	for i, key := range []string{"k-first", "k-second", "k-third", "k-first", "k-second"} {
		status, body, _ := complete(t, http.DefaultClient, url, key)
		if want := []int{200, 200, 401, 200, 429}[i]; status != want {
			t.Errorf("request %d: %d, want %d: %s", i, status, want, body)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(log.String()) {
		if !gjson.Valid(line) || strings.Contains(line, "k-first") || strings.Contains(line, "Once upon") {
			t.Errorf("logged %s", line)
		}
	}
	if n := strings.Count(log.String(), `"msg":"request"`); n != 5 {
		t.Errorf("%d requests are logged", n)
	}
}

// TestServeEngine: the flags reach the engine, whose metrics tell.
func TestServeEngine(t *testing.T) {
	body := `{"prompt":"` + strings.Repeat("Once upon a time. ", 40) + `","max_tokens":1}`
	for _, c := range []struct{ args, metric string }{
		{"--no-enable-prefix-caching", "vllm:prefix_cache_queries_total{… 0"},
		{"--max-num-batched-tokens 8 --max-num-seqs 1 --threads 1", "touchstone:engine_steps_total{… N/8"},
		{"--kv-cache-memory-bytes 1", "vllm:num_preemptions_total{… 0"}, // one context
	} {
		url, _, stop := started(t, append(strings.Fields(c.args), "-q", "--api-key-env", "NONE")...)
		r, err := http.Post(url+"/v1/completions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.args, r.StatusCode, b)
		}
		prompt := int(gjson.GetBytes(b, "usage.prompt_tokens").Int())
		if r, err = http.Get(url + "/metrics"); err != nil {
			t.Fatal(err)
		}
		b, _ = io.ReadAll(r.Body)
		r.Body.Close()
		name, value, _ := strings.Cut(c.metric, "… ")
		if value == "N/8" {
			value = strconv.Itoa((prompt + 7) / 8)
		}
		_, rest, _ := strings.Cut(string(b), "\n"+name)
		if line, _, _ := strings.Cut(rest, "\n"); !strings.HasSuffix(line, "} "+value) {
			t.Errorf("%s: %s%s, want %s", c.args, name, line, value)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestServeTraces: by flag, by file and by the environment, spans are sent, the
// last when the server ends.
func TestServeTraces(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
	}))
	defer collector.Close()
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte("traces: {otlp_endpoint: '"+collector.URL+"'}\nendpoints:\n  - name: one\n    model: random\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		env  string
		want int
	}{
		{[]string{"--text", "random", "--api-key-env", "NONE", "--otlp-traces-endpoint", collector.URL}, "", 1},
		{[]string{"--config", file}, "", 1},
		{[]string{"--text", "random", "--api-key-env", "NONE"}, collector.URL, 1},
		{[]string{"--text", "random", "--api-key-env", "NONE"}, "", 0},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.env)
		paths = nil
		url, _, stop := started(t, append(c.args, "-q")...)
		if status, body, _ := complete(t, http.DefaultClient, url, ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(paths) != c.want || c.want > 0 && paths[0] != "/v1/traces" {
			t.Errorf("%v %q: the collector was asked for %q", c.args, c.env, paths)
		}
	}
}

func TestServeTLS(t *testing.T) {
	url, log, _ := started(t, "--tls-self-signed", "--text", "random", "-q", "--api-key-env", "NO_SUCH")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("%s", url)
	}
	response, err := client.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("HTTP/%d", response.ProtoMajor)
	}
	if status, body, _ := complete(t, client, url, ""); status != 200 || gjson.Get(body, "model").Str != "random" {
		t.Errorf("%d %s", status, body)
	}
	if _, err := (&http.Client{Transport: &http.Transport{}}).Get(url + "/health"); err == nil {
		t.Error("an unknown certificate is trusted")
	}
	log.wait(t, "TLS handshake error")
	plain := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	plain.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	url, _, _ = started(t, "--text", "random", "-q", "--api-key-env", "NO_SUCH")
	if response, err = plain.Get(url + "/health"); err != nil || response.ProtoMajor != 2 {
		t.Errorf("without TLS: %v", err)
	} else {
		response.Body.Close()
	}
}

// TestServeReload changes the file under a running server.
func TestServeReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ONE_KEY", "k1")
	write("endpoints:\n  - name: one\n    model: random\n    keys: {primary: {env: ONE_KEY}}\n")
	url, log, _ := started(t, "--config", file)
	if !strings.HasSuffix(url, "/one") {
		t.Fatalf("%s", url)
	}
	if status, body, _ := complete(t, http.DefaultClient, url, "k1"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	write("endpoints:\n  - name: one\n    modle: random\n")
	hup()
	log.wait(t, `[3:5] unknown field`)
	if status, _, _ := complete(t, http.DefaultClient, url, "k1"); status != 200 {
		t.Errorf("after a bad file: %d", status)
	}
	t.Setenv("ONE_KEY", "k2")
	write("endpoints:\n  - name: one\n    model_name: new\n    keys: {primary: {env: ONE_KEY}}\n")
	hup()
	log.wait(t, "the file is served")
	if status, body, _ := complete(t, http.DefaultClient, url, "k2"); status != 200 || gjson.Get(body, "model").Str != "new" {
		t.Errorf("after a good file: %d %s", status, body)
	}
	if status, _, _ := complete(t, http.DefaultClient, url, "k1"); status != 401 {
		t.Errorf("the old key: %d", status)
	}
}

func TestServeUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte("endpoints:\n  - name: one\n    model: random\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		says string
	}{
		{"--config " + file + " --ttft 3ms", "leave out the flags"},
		{"--config " + file + ".none", "--config"},
		{"--engine upstream", "--upstream"},
		{"--upstream http://127.0.0.1:1", "upstream http://127.0.0.1:1"},
		{"--upstream http://127.0.0.1:1 --text random", "--text"},
		{"--text random --model x", "--model"},
		{"--tls-self-signed --tls-cert " + file + " --tls-key " + file, "leave out --tls-cert"},
		{"--tls-cert " + file, "go together"},
		{"--tls-cert " + file + " --tls-key " + file, "--tls-cert"},
		{"--tokens-per-minute=-1", "tokens_per_minute"},
		{"--fault explode", "wrong-content-type"},
		{"--fault reset --fault-probability 2", "probability"},
		{"--dialect grpc", "grpc"},
		{"--block !", "block_lists"},
		{"--max-queue 3", "max_running"},
		{"--otlp-traces-endpoint collector:4318", "otlp_endpoint"},
		{"--kv-cache-memory-bytes=-1", "kv_cache_memory_bytes"},
		{"--text random --max-num-seqs 2", "engine"},
	} {
		code, stdout, stderr := run(t, "", append([]string{"serve", "--listen", "127.0.0.1:0"}, strings.Fields(c.args)...)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("serve %s: exit %d, want 2 saying %q\n%s%s", c.args, code, c.says, stdout, stderr)
		}
	}
}
