package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/fixtures/model"
)

// engineCmd holds what looks at the engine itself.
type engineCmd struct {
	Info       engineInfoCmd       `cmd:"" help:"Show what a model file holds and whether the engine runs it."`
	Perplexity enginePerplexityCmd `cmd:"" help:"Measure how well a model foretells a text, as llama-perplexity does."`
	Bench      engineBenchCmd      `cmd:"" help:"Measure how fast the engine computes a model, as llama-bench does."`
}

type engineInfoCmd struct {
	File     string `arg:"" optional:"" type:"path" placeholder:"FILE" help:"A GGUF file, or a folder in Hugging Face's layout; the embedded model by default."`
	Tensors  bool   `help:"List every tensor."`
	Metadata bool   `help:"List every key of the metadata."`
	Template bool   `help:"Print the chat template."`
	Format   string `default:"text" enum:"text,json" help:"text is for people; json has all there is."`
}

func (engineInfoCmd) Help() string {
	return `  touchstone engine info                                   the embedded model
  touchstone engine info Llama-3.2-1B-Instruct-Q4_K_M.gguf
  touchstone engine info model-00001-of-00003.gguf         a split model, by its first part
  touchstone engine info ./Qwen3-0.6B                      a folder with config.json, tokenizer.json, *.safetensors
  touchstone engine info --format json m.gguf | jq .types

A file that the engine cannot run is shown as far as it can be read, with the reason; the exit code is then 1.`
}

func (c *engineInfoCmd) Run(s *streams) error {
	info, err := inspect(c.File)
	if err != nil {
		return usage("%w", err)
	}
	if c.Format == "json" {
		if err := json.NewEncoder(s.out).Encode(info); err != nil {
			return err
		}
	} else {
		c.print(s, info)
	}
	if info.Problem != "" {
		return exitError{exitFailed, nil}
	}
	return nil
}

// inspect describes the file at path, or the embedded model where it is empty.
func inspect(path string) (*engine.Info, error) {
	if path == "" {
		return engine.InspectData(model.GGUF)
	}
	return engine.Inspect(path)
}

func (c *engineInfoCmd) print(s *streams, info *engine.Info) {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	m := info.Config
	if info.Problem != "" {
		row("cannot be run", "%s", info.Problem)
	}
	row("format", "%s, %s in %d %s", info.Format, byteSize(info.Bytes), max(1, len(info.Files)), plural(max(1, len(info.Files)), "file"))
	if m.Architecture != "" {
		row("architecture", "%s", m.Architecture)
		row("name", "%s", m.Name)
		row("parameters", "%s", count(m.Parameters))
		row("context", "%d tokens", m.ContextLength)
		row("layers", "%d, %d wide, feed-forward %d", m.Layers, m.Dim, m.FFN)
		row("attention", "%d heads of %d, %d of keys and values", m.Heads, m.HeadDim, m.KVHeads)
		rope := fmt.Sprintf("base %g, %d dimensions", m.RopeTheta, m.RopeDim)
		if m.RopeNeoX {
			rope += ", NeoX pairs"
		}
		if r := m.RopeScaling; r.Type != "" {
			rope += fmt.Sprintf(", %s scaling by %g", r.Type, r.Factor)
		}
		row("rotation", "%s", rope)
		output := "a matrix of its own"
		if m.TiedOutput {
			output = "the embedding"
		}
		row("output", "%s", output)
		row("KV cache", "%s a token, %s for the whole context", byteSize(info.KVBytes), byteSize(info.KVBytes*int64(m.ContextLength)))
	}
	if t := info.Tokenizer; t != nil {
		kind := map[string]string{"gpt2": "byte-level BPE", "llama": "SentencePiece"}[t.Model]
		if t.Pre != "" {
			kind += ", pre-tokenizer " + t.Pre
		}
		row("vocabulary", "%d tokens, %d special; %s", t.Tokens, t.Special, kind)
		bos := "none"
		if t.BOS != "" {
			bos = t.BOS
			if !t.AddBOS {
				bos += " (not put in front)"
			}
		}
		row("begins", "%s", bos)
		row("ends", "%s", strings.Join(t.EOS, " "))
	}
	switch {
	case info.ChatFormat != "":
		row("chat", "%s (the file has no template)", info.ChatFormat)
		if info.ChatTemplate != "" {
			row("chat", "%s", info.ChatFormat)
		}
	case info.ChatTemplate != "":
		row("chat", "the file's template, %d bytes", len(info.ChatTemplate))
	}
	w.Flush()

	fmt.Fprintln(s.out)
	w = tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "type\ttensors\telements\tbytes\tbits each\t")
	for _, t := range info.Types {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%.2f\t\n", t.Type, t.Tensors, count(t.Elements), byteSize(t.Bytes), 8*float64(t.Bytes)/float64(t.Elements))
	}
	w.Flush()
	if c.Metadata {
		fmt.Fprintln(s.out)
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, m := range info.Metadata {
			value := fmt.Sprint(m.Value)
			if text, ok := m.Value.(string); ok {
				value = fmt.Sprintf("%.100q", text)
			}
			fmt.Fprintf(w, "%s\t%s\n", m.Key, value)
		}
		w.Flush()
	}
	if c.Tensors {
		fmt.Fprintln(s.out)
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, t := range info.Tensors {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, t.Type, strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Shape), " ", " × "), "[]"), byteSize(t.Bytes))
		}
		w.Flush()
	}
	if c.Template && info.ChatTemplate != "" {
		fmt.Fprintf(s.out, "\n%s\n", info.ChatTemplate)
	}
}

type enginePerplexityCmd struct {
	File    string `arg:"" help:"A GGUF file or a folder in Hugging Face's layout; touchstone is the embedded model."`
	Text    string `arg:"" help:"File of the text to score; - reads standard input."`
	CtxSize int    `short:"c" default:"512" placeholder:"N" help:"Tokens of a chunk (${default})."`
	Chunks  int    `default:"-1" placeholder:"N" help:"Chunks to score at most; -1 for all."`
	Threads int    `short:"t" default:"0" placeholder:"N" help:"Goroutines that compute; 0 is one for each processor."`
	Format  string `default:"text" enum:"text,json" help:"text shows the estimate after each chunk; json prints one document."`
}

func (enginePerplexityCmd) Help() string {
	return `The text is cut into chunks of --ctx-size tokens. Of each the second half is scored, given all of the chunk
before it: perplexity is the exponential of the mean of -ln p. Lower is better; 1 is certainty. Values compare
with those of llama-perplexity on the same file and text, and between quantisations of one model; not between
vocabularies, since a token is then another stretch of text.

  touchstone engine perplexity m-Q4_K_M.gguf wiki.test.raw
  touchstone engine perplexity -c 256 --chunks 20 --format json touchstone book.txt`
}

// perplexityReport is the JSON form. Chunks are the estimates after each chunk.
type perplexityReport struct {
	engine.Perplexity
	CtxSize int       `json:"ctx_size"`
	Tokens  int       `json:"text_tokens"`
	Chunks  []float64 `json:"chunks"`
	Seconds float64   `json:"seconds"`
}

func (c *enginePerplexityCmd) Run(ctx context.Context, s *streams) error {
	var text []byte
	var err error
	if c.Text == "-" {
		var t string
		t, err = argument("-", s.in)
		text = []byte(t)
	} else {
		text, err = os.ReadFile(c.Text)
	}
	if err != nil {
		return usage("text: %w", err)
	}
	path := c.File
	if path == embedded {
		path = ""
	}
	m, err := openModel(path)
	if err != nil {
		return usage("%w", err)
	}
	defer m.Close()
	tokens := m.Tokenizer().Prompt(string(text))
	r := perplexityReport{CtxSize: c.CtxSize, Tokens: len(tokens), Chunks: []float64{}}
	if c.Chunks >= 0 && c.CtxSize > 0 {
		tokens = tokens[:min(len(tokens), c.Chunks*c.CtxSize)]
	}
	threads := c.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	start := time.Now()
	r.Perplexity, err = m.Perplexity(ctx, tokens, c.CtxSize, threads, func(chunk, chunks int, p engine.Perplexity) {
		r.Chunks = append(r.Chunks, p.Value)
		if c.Format != "text" {
			return
		}
		if chunk == 1 {
			each := time.Since(start)
			fmt.Fprintf(s.err, "%d tokens, %d %s of %d, %.2f s each: about %v\n", r.Tokens, chunks, plural(chunks, "chunk"), c.CtxSize,
				each.Seconds(), (each * time.Duration(chunks)).Round(time.Second))
		}
		fmt.Fprintf(s.out, "[%d]%.4f,", chunk, p.Value)
	})
	r.Seconds = time.Since(start).Seconds()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return usage("%w", err)
	case c.Format == "json":
		return json.NewEncoder(s.out).Encode(r)
	}
	fmt.Fprintf(s.out, "\nFinal estimate: PPL = %.4f +/- %.5f over %d tokens\n", r.Value, r.Error, r.Perplexity.Tokens)
	return nil
}

// byteSize writes bytes in units of 1024.
func byteSize(n int64) string {
	x, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for x >= 1024 && unit < len(units)-1 {
		x, unit = x/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[unit])
}

// count writes a large number in thousands, millions or billions.
func count(n int64) string {
	switch x := float64(n); {
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", x/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", x/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f K", x/1e3)
	}
	return fmt.Sprint(n)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
