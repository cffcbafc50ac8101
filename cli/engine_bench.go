package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

type engineBenchCmd struct {
	File        string `arg:"" type:"path" placeholder:"FILE" help:"Model to measure; with --random-shape, the file to write."`
	Prompt      int    `short:"p" default:"512" help:"Tokens of the prompt (pp); 0 leaves the test out."`
	Generate    int    `short:"n" default:"128" help:"Tokens to generate (tg); 0 leaves the test out."`
	Batch       []int  `short:"b" placeholder:"N,…" help:"Measure generation of so many sequences at a time as well, 32 tokens each after 16."`
	Threads     []int  `short:"t" placeholder:"N,…" help:"Processors to use; all by default."`
	Rounds      int    `short:"r" default:"5" help:"Measure so often and take the median."`
	Against     string `type:"path" placeholder:"PATH" help:"A llama-bench program (llama-batched-bench beside it): measured in turn with this engine; ratios are printed."`
	Bandwidth   bool   `negatable:"" default:"true" help:"Measure how fast memory is read, too."`
	JSON        bool   `name:"json" help:"Print one JSON document."`
	RandomShape string `placeholder:"110M|1B" help:"Write a file of random weights in this shape and stop."`
	RandomType  string `default:"Q8_0" placeholder:"TYPE" help:"Type of the random weights: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q4_K_M, Q5_K or Q6_K."`
}

func (engineBenchCmd) Help() string {
	return `  touchstone engine bench model.gguf
  touchstone engine bench --threads 1,2 --batch 8,32 model.gguf
  touchstone engine bench --random-shape 1B --random-type Q4_K_M /tmp/random.gguf
  touchstone engine bench --against ~/llama.cpp/build/bin/llama-bench model.gguf

The tests are llama-bench's: forward passes alone, without sampling, one untimed run before. TOUCHSTONE_KERNELS=plain,
avx2 or avx512 chooses the kernels. GB/s is how much of the weights was read a second; 'of DRAM' compares it, round by round,
with a loop that does nothing but read; 'at most' is the ratio if the weights came as fast as that. Figures of a busy
machine are worth nothing: look at the spread.`
}

// benchReport is the JSON form of a measurement.
type benchReport struct {
	File      string      `json:"file"`
	Size      int64       `json:"size_bytes"`
	Weights   int64       `json:"weight_bytes_read_per_token"`
	Kernels   string      `json:"kernels"`
	Processor int         `json:"processors"`
	Tests     []benchTest `json:"tests"`
}

// benchTest is one test on one number of threads. Rates are tokens a second.
type benchTest struct {
	Name      string    `json:"name"`
	Threads   int       `json:"threads"`
	Sequences int       `json:"sequences"`
	Rates     []float64 `json:"rates"`
	Median    float64   `json:"median"`
	Bandwidth []float64 `json:"dram_bytes_per_second,omitempty"`
	OfDRAM    float64   `json:"of_dram,omitempty"` // median over the rounds
	Peer      []float64 `json:"peer_rates,omitempty"`
	PeerRate  float64   `json:"peer_median,omitempty"`
	Ratio     float64   `json:"ratio,omitempty"`
	Limit     float64   `json:"ratio_at_dram_speed,omitempty"` // median over the rounds

	work engine.Workload
}

func (c *engineBenchCmd) Run(ctx context.Context, s *streams) error {
	if c.RandomShape != "" {
		if err := engine.WriteRandom(c.File, c.RandomShape, c.RandomType); err != nil {
			return usage("--random-shape: %w", err)
		}
		return nil
	}
	if len(c.Threads) == 0 {
		c.Threads = []int{runtime.GOMAXPROCS(0)}
	}
	if c.Rounds < 1 {
		return usage("--rounds must be at least 1, got %d", c.Rounds)
	}
	for _, n := range c.Threads {
		if n < 1 || n > runtime.NumCPU() {
			return usage("--threads must be in [1, %d], got %d", runtime.NumCPU(), n)
		}
	}
	m, err := engine.Open(c.File)
	if err != nil {
		return usage("%w", err)
	}
	defer m.Close()
	r := benchReport{File: filepath.Base(c.File), Weights: m.WeightBytes(), Kernels: engine.Kernels(), Processor: runtime.NumCPU()}
	if info, err := os.Stat(c.File); err == nil {
		r.Size = info.Size()
	}
	for _, threads := range c.Threads {
		for _, t := range c.tests(threads) {
			if err := c.measure(ctx, m, &t); err != nil {
				return err
			}
			r.Tests = append(r.Tests, t)
		}
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(r)
	}
	return r.print(s, c.Against != "")
}

// tests are what to measure.
func (c *engineBenchCmd) tests(threads int) []benchTest {
	var tests []benchTest
	if c.Prompt > 0 {
		tests = append(tests, benchTest{Name: fmt.Sprintf("pp%d", c.Prompt), work: engine.Workload{Prompt: c.Prompt, Sequences: 1}})
	}
	if c.Generate > 0 {
		tests = append(tests, benchTest{Name: fmt.Sprintf("tg%d", c.Generate), work: engine.Workload{Generate: c.Generate, Sequences: 1}})
	}
	for _, n := range c.Batch {
		tests = append(tests, benchTest{Name: fmt.Sprintf("tg32 × %d", n), work: engine.Workload{Prompt: 16, Generate: 32, Sequences: n}})
	}
	for i := range tests {
		tests[i].Threads, tests[i].Sequences = threads, tests[i].work.Sequences
	}
	return tests
}

// measure runs a test, and the peer's, in turn.
func (c *engineBenchCmd) measure(ctx context.Context, m *engine.Model, t *benchTest) error {
	if _, err := m.Measure(ctx, t.work, t.Threads); err != nil { // untimed
		return usage("%w", err)
	}
	for range c.Rounds {
		timing, err := m.Measure(ctx, t.work, t.Threads)
		if err != nil {
			return err
		}
		tokens, took := t.work.Generate*t.Sequences, timing.Generate
		if tokens == 0 {
			tokens, took = t.work.Prompt*t.Sequences, timing.Prompt
		}
		t.Rates = append(t.Rates, float64(tokens)/took.Seconds())
		if c.Against != "" {
			rate, err := c.peer(ctx, t)
			if err != nil {
				return err
			}
			t.Peer = append(t.Peer, rate)
		}
		if c.Bandwidth && t.work.Generate > 0 && t.Sequences == 1 {
			b, err := engine.ReadBandwidth(1<<30, t.Threads, 2)
			if err != nil {
				return err
			}
			t.Bandwidth = append(t.Bandwidth, b)
		}
	}
	t.Median = median(t.Rates)
	// Memory is not equally fast from minute to minute: what was measured in the
	// same round is compared.
	ofDRAM := func(rates []float64) (parts []float64) {
		for i, b := range t.Bandwidth {
			parts = append(parts, rates[i]*float64(m.WeightBytes())/b)
		}
		return parts
	}
	if len(t.Bandwidth) > 0 {
		t.OfDRAM = median(ofDRAM(t.Rates))
	}
	if len(t.Peer) > 0 && len(t.Bandwidth) > 0 {
		t.Limit = 1 / median(ofDRAM(t.Peer))
	}
	if len(t.Peer) > 0 {
		t.PeerRate = median(t.Peer)
		t.Ratio = t.Median / t.PeerRate
	}
	return nil
}

// peer runs a test with llama-bench or llama-batched-bench.
func (c *engineBenchCmd) peer(ctx context.Context, t *benchTest) (float64, error) {
	program, threads := c.Against, fmt.Sprint(t.Threads)
	args := []string{"-m", c.File, "-t", threads, "-r", "1", "-o", "json", "-p", fmt.Sprint(t.work.Prompt), "-n", fmt.Sprint(t.work.Generate)}
	if t.Sequences > 1 {
		program = filepath.Join(filepath.Dir(program), "llama-batched-bench")
		args = []string{"-m", c.File, "-t", threads, "-tb", threads, "-c", fmt.Sprint(64 * t.Sequences), "--output-format", "jsonl",
			"-npp", fmt.Sprint(t.work.Prompt), "-ntg", fmt.Sprint(t.work.Generate), "-npl", fmt.Sprint(t.Sequences)}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return 0, usage("--against: %s: %w: %s", program, err, lastLine(errors.String()))
	}
	if t.Sequences == 1 {
		var results []struct {
			Rate float64 `json:"avg_ts"`
		}
		if err := json.Unmarshal(out, &results); err != nil || len(results) != 1 {
			return 0, usage("--against: %s printed no result (%v): %.200s", program, err, out)
		}
		return results[0].Rate, nil
	}
	for line := range strings.Lines(string(out)) {
		var result struct {
			Rate float64 `json:"speed_tg"`
		}
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &result) == nil && result.Rate > 0 {
			return result.Rate, nil
		}
	}
	return 0, usage("--against: %s printed no result: %.200s", program, out)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}

// print writes the table.
func (r *benchReport) print(s *streams, against bool) error {
	fmt.Fprintf(s.out, "%s · %.1f MB · kernels %s · %d processors\n\n", r.File, float64(r.Size)/1e6, r.Kernels, r.Processor)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "test\tthreads\ttokens/s\tspread\tGB/s\tof DRAM\t")
	if against {
		fmt.Fprint(w, "llama.cpp\tspread\tratio\tat most\t")
	}
	fmt.Fprintln(w)
	for _, t := range r.Tests {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%s\t", t.Name, t.Threads, t.Median, spread(t.Rates))
		if t.OfDRAM > 0 {
			fmt.Fprintf(w, "%.1f\t%.0f %%\t", t.Median*float64(r.Weights)/1e9, 100*t.OfDRAM)
		} else {
			fmt.Fprint(w, "\t\t")
		}
		if against {
			fmt.Fprintf(w, "%.1f\t%s\t%.2f ×\t", t.PeerRate, spread(t.Peer), t.Ratio)
			if t.Limit > 0 {
				fmt.Fprintf(w, "%.2f ×\t", t.Limit)
			} else {
				fmt.Fprint(w, "\t")
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// spread is how far the extremes are from each other, in parts of the median.
func spread(x []float64) string {
	return fmt.Sprintf("%.0f %%", 100*(slices.Max(x)-slices.Min(x))/median(x))
}
