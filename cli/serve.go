package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/simulator"
)

type serveCmd struct {
	Listen            string        `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address to listen on; port 0 picks one. Loopback unless you say otherwise."`
	Dialect           []string      `placeholder:"NAME,…" help:"APIs to speak: llama-v1, azure-inference, openai. All by default."`
	Model             string        `type:"path" placeholder:"FILE.gguf" help:"Model to run; the embedded one by default."`
	ModelName         string        `placeholder:"NAME" help:"Name of the model in responses; the file's name by default."`
	APIKeyEnv         string        `name:"api-key-env" default:"TOUCHSTONE_API_KEY" placeholder:"NAME" help:"Environment variable that holds the key; unset, no key is asked for."`
	SecondaryKeyEnv   string        `name:"secondary-key-env" placeholder:"NAME" help:"Environment variable that holds a second key, which opens the same doors."`
	TokensPerMinute   int           `default:"400000" placeholder:"N" help:"Quota of tokens: prompt and max_tokens are reserved, for each candidate; 0 is no limit."`
	RequestsPerMinute int           `default:"1000" placeholder:"N" help:"Quota of requests; 0 is no limit."`
	Smoothing         time.Duration `default:"10s" placeholder:"DURATION" help:"Admit in each window of this length its share of the requests only; 0 admits a whole minute's at once."`
	Settle            bool          `help:"Give back the reserved tokens that a request did not use."`
	ContentSafety     string        `enum:"on,off,fail" default:"on" help:"Screen prompts and completions; 'fail' makes the screening itself fail."`
	Block             []string      `placeholder:"TERM,…" help:"Words and phrases to filter in prompts and completions."`
	Defect            []string      `placeholder:"NAME,…" help:"Break the contract in these ways; 'touchstone defects' lists them."`
	Quiet             bool          `short:"q" help:"Do not log requests."`
}

func (serveCmd) Help() string {
	return `The reference endpoint needs no GPU and no download. It speaks three dialects, at
once on one port:

  llama-v1          POST /v1/completions, /v1/chat/completions
  azure-inference   POST /completions, /chat/completions, with ?api-version=2024-05-01-preview; GET /info
  openai            POST /openai/v1/completions, /openai/v1/chat/completions

llama-v1 and openai have the same paths, so openai is below /openai while both
are served; --dialect openai alone has it at /v1 too. GET /openapi.json and
/swagger.json describe what is served.

  TOUCHSTONE_API_KEY=k touchstone serve --listen 127.0.0.1:8080
  curl -H 'Authorization: Bearer k' -H 'Content-Type: application/json' \
       http://127.0.0.1:8080/v1/completions \
       -d '{"prompt":"What is the distance to the moon?","max_tokens":32}'`
}

func (c *serveCmd) Run(ctx context.Context, s *streams) error {
	m, err := openModel(c.Model)
	if err != nil {
		return usage("--model: %w", err)
	}
	defer m.Close()
	level := slog.LevelInfo
	if c.Quiet {
		level = slog.LevelWarn
	}
	key := os.Getenv(c.APIKeyEnv)
	o := c.options()
	o.Logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
	server, stop, err := newReference(m, o)
	if err != nil {
		return usage("%w", err)
	}
	defer stop()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	fmt.Fprintf(s.out, "touchstone %s: %s on http://%s, %s, %s\n", toolVersion(), c.name(), l.Addr(), strings.Join(c.dialects(), " "), keyNote(key, c.APIKeyEnv))
	if len(c.Defect) > 0 {
		fmt.Fprintf(s.out, "defects: %s\n", strings.Join(c.Defect, ", "))
	}
	return serveUntil(ctx, l, server)
}

// options are those that the flags say.
func (c *serveCmd) options() simulator.Options {
	o := simulator.Options{
		ModelName: c.name(),
		Dialects:  c.Dialect,
		Defects:   c.Defect,
		Keys:      keysFrom(c.APIKeyEnv, c.SecondaryKeyEnv),
		Quota: simulator.Quota{
			TokensPerMinute: c.TokensPerMinute, RequestsPerMinute: c.RequestsPerMinute, Smoothing: c.Smoothing, Settle: c.Settle,
		},
		Safety: simulator.Safety{Disabled: c.ContentSafety == "off", Fail: c.ContentSafety == "fail"},
	}
	if len(c.Block) > 0 {
		o.Safety.BlockLists = []simulator.BlockList{{Name: "block", Terms: c.Block}}
	}
	return o
}

// keysFrom reads the keys that are set.
func keysFrom(variables ...string) []string {
	var keys []string
	for _, name := range variables {
		if key := os.Getenv(name); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func keyNote(key, env string) string {
	if key == "" {
		return "no key (" + env + " is not set)"
	}
	return "key from " + env
}

func (c *serveCmd) dialects() []string {
	if len(c.Dialect) == 0 {
		return simulator.Dialects()
	}
	return c.Dialect
}

func (c *serveCmd) name() string {
	switch {
	case c.ModelName != "":
		return c.ModelName
	case c.Model != "":
		return strings.TrimSuffix(filepath.Base(c.Model), ".gguf")
	}
	return embedded
}

// newReference is the reference endpoint over a model; stop frees its engine.
func newReference(m *engine.Model, o simulator.Options) (h http.Handler, stop func(), err error) {
	e := engine.New(m, engine.Options{})
	o.Engine = e
	server, err := simulator.New(o)
	if err != nil {
		e.Close()
		return nil, nil, err
	}
	return server, func() { e.Close() }, nil
}

// serveUntil serves until ctx ends, then lets requests in flight finish.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
