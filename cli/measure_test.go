//go:build linux

package cli

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What this file measures takes minutes, and a quiet machine; `make bench-serve`
// and `make soak-serve` run it.

// measured skips a test unless its variable is set.
func measured(t *testing.T, variable string) {
	t.Helper()
	if os.Getenv(variable) == "" {
		t.Skip(variable + " is not set")
	}
}

// A served is a server in a process of its own.
type served struct {
	name, address string
	process       *os.Process
}

// TestMain is also the bare handler, when it is told so: fixed bytes by net/http.
func TestMain(m *testing.M) {
	if address := os.Getenv("TOUCHSTONE_BARE"); address != "" {
		bare(address)
		return
	}
	os.Exit(m.Run())
}

func bare(address string) {
	body := []byte(`{"id":"cmpl-a0a5a4b4-9153-406b-91d3-5036198ad55f","object":"text_completion","created":1795550008,"model":"random","choices":[{"index":0,"text":" two only all morning from more that his two only all morning from more that his","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":6,"completion_tokens":16,"total_tokens":22}}`)
	chunk := []byte(`data: {"id":"cmpl-a0a5a4b4-9153-406b-91d3-5036198ad55f","object":"text_completion","created":1795550008,"model":"random","choices":[{"index":0,"text":" morning","logprobs":null,"finish_reason":null}]}` + "\n\n")
	fmt.Println(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(in), `"stream":true`) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		f := w.(http.Flusher)
		for range 128 {
			_, _ = w.Write(chunk)
			f.Flush()
		}
		_, _ = w.Write([]byte("data: [DONE]\n\n"))
	})))
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts a server and waits for its first 200.
func launch(t *testing.T, name string, env []string, binary string, args ...string) (s served, ready time.Duration) {
	t.Helper()
	s = served{name: name}
	for i, a := range args {
		if strings.Contains(a, "ADDRESS") || strings.Contains(a, "PORT") {
			if s.address == "" {
				s.address = freeAddress(t)
			}
			_, port, _ := net.SplitHostPort(s.address)
			args[i] = strings.ReplaceAll(strings.ReplaceAll(a, "ADDRESS", s.address), "PORT", port)
		}
	}
	if s.address == "" {
		s.address = freeAddress(t)
		env = append(env, "TOUCHSTONE_BARE="+s.address)
	}
	c := exec.Command(binary, args...)
	c.Env = append(os.Environ(), env...)
	begun := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = c.Process
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for time.Since(begun) < 20*time.Second {
		if r, err := http.Get("http://" + s.address + "/health"); err == nil {
			r.Body.Close()
			return s, time.Since(begun)
		}
		time.Sleep(500 * time.Microsecond)
	}
	t.Fatalf("%s does not answer", name)
	return s, 0
}

// cpu is the time that the process has computed, user and system.
func (s served) cpu(t *testing.T) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// status reads a field of /proc/PID/status, in KiB.
func (s served) status(t *testing.T, field string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// drive sends the same request over n connections for a while. It returns what
// was done in a second: requests, and events.
func drive(t *testing.T, address, model string, connections, tokens int, stream bool, during time.Duration) (requests, events float64) {
	body := fmt.Sprintf(`{"model":"%s","prompt":"How far is the moon?","max_tokens":%d,"ignore_eos":true}`, model, tokens)
	if stream {
		body = strings.Replace(body, "}", `,"stream":true}`, 1)
	}
	r, _ := http.NewRequest("POST", "http://"+address+"/v1/completions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	var raw strings.Builder
	_ = r.Write(&raw)
	var all, chunks atomic.Int64
	var clients sync.WaitGroup
	begun := time.Now()
	for range connections {
		clients.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for time.Since(begun) < during {
				_, _ = io.WriteString(c, raw.String())
				response, err := http.ReadResponse(in, r)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(response.Body)
				if response.StatusCode != 200 {
					t.Errorf("%d %s", response.StatusCode, b)
					return
				}
				all.Add(1)
				chunks.Add(int64(strings.Count(string(b), "data: {")))
			}
		})
	}
	clients.Wait()
	took := time.Since(begun).Seconds()
	return float64(all.Load()) / took, float64(chunks.Load()) / took
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../bin/touchstone")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal("make build first: ", err)
	}
	return path
}

var unlimited = []string{"serve", "--listen", "ADDRESS", "-q", "--text", "random", "--tokens-per-minute", "0", "--requests-per-minute", "0", "--api-key-env", "NONE"}

// TestBenchServe holds the server against a bare net/http handler, and
// llm-d-inference-sim where TOUCHSTONE_LLMD_SIM names its binary: in one run,
// alternating, medians.
func TestBenchServe(t *testing.T) {
	measured(t, "TOUCHSTONE_BENCH")
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := launch(t, "touchstone", nil, binary(t), slices.Clone(unlimited)...)
	servers := []served{ours}
	b, _ := launch(t, "bare", nil, own)
	servers = append(servers, b)
	if path := os.Getenv("TOUCHSTONE_LLMD_SIM"); path != "" {
		sim, _ := launch(t, "llm-d-inference-sim", nil, path, "--port", "PORT", "--model", "random", "--mode", "random", "--max-num-seqs", "512")
		servers = append(servers, sim)
	}
	for _, kind := range []struct {
		name   string
		stream bool
		tokens int
	}{{"requests/s, 16 tokens, 64 connections", false, 16}, {"chunks/s, 128 tokens, 64 connections", true, 128}} {
		rates, costs := map[string][]float64{}, map[string][]float64{}
		for range 5 {
			for _, s := range servers {
				before := s.cpu(t)
				requests, events := drive(t, s.address, "random", 64, kind.tokens, kind.stream, 2*time.Second)
				rate := requests
				if kind.stream {
					rate = events
				}
				rates[s.name] = append(rates[s.name], rate)
				costs[s.name] = append(costs[s.name], (s.cpu(t)-before).Seconds()/(2*rate)*1e6)
			}
		}
		for _, s := range servers {
			fmt.Printf("%-40s %-20s %9.0f /s  (%.2f of bare)   %6.1f µs CPU of the server each\n", kind.name, s.name,
				middle(rates[s.name]), middle(rates[s.name])/middle(rates["bare"]), middle(costs[s.name]))
		}
	}
}

func middle(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// TestBenchLatency holds simulated latency against what was asked: of streams
// that come at once, and of streams that come one after the other in a second.
// The first are late by what client and server take to begin them all.
func TestBenchLatency(t *testing.T) {
	measured(t, "TOUCHSTONE_BENCH")
	const tokens = 128
	for _, c := range []struct {
		ttft, itl time.Duration
		streams   int
		within    time.Duration
	}{
		{100 * time.Millisecond, 10 * time.Millisecond, 1, 0},
		{100 * time.Millisecond, 10 * time.Millisecond, 64, 0},
		{100 * time.Millisecond, 10 * time.Millisecond, 512, 0},
		{100 * time.Millisecond, 10 * time.Millisecond, 1024, 0},
		{100 * time.Millisecond, 10 * time.Millisecond, 512, time.Second},
		{100 * time.Millisecond, 10 * time.Millisecond, 1024, time.Second},
		{700 * time.Microsecond, 300 * time.Microsecond, 1, 0},
		{700 * time.Microsecond, 300 * time.Microsecond, 8, 0},
	} {
		ours, _ := launch(t, "touchstone", nil, binary(t), append(slices.Clone(unlimited), "--ttft", c.ttft.String(), "--itl", c.itl.String())...)
		var mu sync.Mutex
		var firsts, ends, gaps []float64
		var all sync.WaitGroup
		for i := range c.streams {
			all.Go(func() {
				time.Sleep(c.within * time.Duration(i) / time.Duration(c.streams))
				begun, first, last, err := stream(ours.address, tokens)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				firsts = append(firsts, float64(first.Sub(begun)-c.ttft)/1e6)
				ends = append(ends, float64(last.Sub(begun)))
				gaps = append(gaps, float64(last.Sub(first))/float64(tokens-1))
			})
		}
		all.Wait()
		_ = ours.process.Kill()
		asked := float64(c.ttft + (tokens-1)*c.itl)
		fmt.Printf("TTFT %-5s ITL %-5s %5d streams within %-3s first token %+6.2f ms (median), end to end %+.2f %% (median), inter-token mean %+.2f %%\n", c.ttft, c.itl, c.streams, c.within,
			middle(firsts), 100*(middle(ends)/asked-1), 100*(mean(gaps)/float64(c.itl)-1))
	}
}

// stream asks for so many tokens, and says when it asked, and when the first and
// the last came.
func stream(address string, tokens int) (begun, first, last time.Time, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	body := fmt.Sprintf(`{"prompt":"x","max_tokens":%d,"stream":true}`, tokens)
	begun = time.Now()
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	in := bufio.NewReaderSize(c, 1024)
	for n := 0; n < tokens; {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return begun, first, last, err
		}
		if strings.HasPrefix(string(line), "data: {") {
			last = time.Now()
			if n++; n == 1 {
				first = last
			}
		}
	}
	return begun, first, last, nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// TestBenchIdle measures start-up to the first 200, and idle memory.
func TestBenchIdle(t *testing.T) {
	measured(t, "TOUCHSTONE_BENCH")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"without a model", unlimited}, {"with the model", []string{"serve", "--listen", "ADDRESS", "-q", "--api-key-env", "NONE"}},
	} {
		var starts, sizes []float64
		for range 5 {
			s, ready := launch(t, c.name, nil, binary(t), slices.Clone(c.args)...)
			starts = append(starts, ready.Seconds()*1000)
			time.Sleep(300 * time.Millisecond)
			sizes = append(sizes, float64(s.status(t, "VmRSS"))/1024)
			_ = s.process.Kill()
		}
		fmt.Printf("%s: first 200 after %.0f ms, idle %.1f MB (medians of 5)\n", c.name, middle(starts), middle(sizes))
	}
}

// soakBodies are what a client of the soak asks for; the first four are answered.
var soakBodies = []string{
	`{"prompt":"Once upon a time","max_tokens":16}`,
	`{"prompt":"Once upon a time","max_tokens":24,"stream":true,"stream_options":{"include_usage":true}}`,
	`{"prompt":"How far is the moon?","max_tokens":8,"n":2,"logprobs":1}`,
	`{"prompt":"The","max_tokens":8,"best_of":3}`,
	`{"prompt":"touchstone-safety-test-hate-high"}`,
	`{"prompt":5}`,
	`{"prompt":`,
}

// A soak is 200 clients of all sorts, of which one in twenty cuts its connection.
type soak struct {
	url              string
	done, cut, wrong atomic.Int64
}

// run lets them ask until a time, and returns when all have gone.
func (s *soak) run(t *testing.T, until time.Time) {
	var clients sync.WaitGroup
	for range 200 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for time.Now().Before(until) {
				if rand.IntN(20) == 0 {
					s.leave()
				} else if err := s.ask(client, rand.IntN(len(soakBodies))); err != nil {
					s.wrong.Add(1)
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
}

func (s *soak) ask(client *http.Client, i int) error {
	r, err := client.Post(s.url+"/v1/completions", "application/json", strings.NewReader(soakBodies[i]))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	s.done.Add(1)
	if want := map[bool]int{true: 200, false: 400}[i < 4]; r.StatusCode != want || err != nil {
		return fmt.Errorf("%s: %d %v %.200s", soakBodies[i], r.StatusCode, err, b)
	}
	return nil
}

// leave cuts a connection, before or in the answer.
func (s *soak) leave() {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return
	}
	b := soakBodies[rand.IntN(2)]
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	_, _ = c.Read(make([]byte, rand.IntN(400)+1))
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
	s.cut.Add(1)
}

// settle waits until at most so many goroutines are left, and returns how many
// there are and the bytes of the live heap. Two collections empty the pools. It
// is called while nothing is asked for: what is allocated while a collection
// marks counts as live, and under the race detector pools drop on purpose a
// part of what is given back to them.
func settle(goroutines int) (left int, heap uint64) {
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

// TestSoakServe uses a server for TOUCHSTONE_SOAK (a duration), in ten rounds,
// and looks after each for what is left over. The cache of prefixes is small, so
// that it is full after the first.
func TestSoakServe(t *testing.T) {
	measured(t, "TOUCHSTONE_SOAK")
	during, err := time.ParseDuration(os.Getenv("TOUCHSTONE_SOAK"))
	if err != nil {
		t.Fatal(err)
	}
	url, _, _ := started(t, "-q", "--api-key-env", "NONE", "--tokens-per-minute", "100000000", "--requests-per-minute", "0", "--settle", "--journal", "50",
		"--max-running", "64", "--kv-cache-memory-bytes", strconv.Itoa(2<<20))
	const rounds = 10
	s := &soak{url: url}
	most := runtime.NumGoroutine() + 5 // the engine's, which sleep
	var heaps []uint64
	begun := time.Now()
	for i := range rounds {
		s.run(t, begun.Add(during*time.Duration(i+1)/rounds))
		left, heap := settle(most)
		heaps = append(heaps, heap)
		fmt.Printf("after %s: %d requests, %d cut, %d wrong; %d goroutines, live heap %.2f MB\n",
			time.Since(begun).Round(time.Second), s.done.Load(), s.cut.Load(), s.wrong.Load(), left, float64(heap)/1e6)
		if left > most {
			t.Errorf("%d goroutines are left", left-most)
		}
	}
	early, late := slices.Max(heaps[1:rounds/2]), slices.Max(heaps[rounds/2:])
	if late > early+1<<20 {
		t.Errorf("the heap grows: %.2f MB at most in the first half, %.2f MB in the second", float64(early)/1e6, float64(late)/1e6)
	}
	r, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(r.Body)
	r.Body.Close()
	for _, gauge := range []string{"vllm:num_requests_running{", "vllm:num_requests_waiting{", "vllm:kv_cache_usage_perc{"} {
		n := 0
		for line := range strings.Lines(string(metrics)) {
			if strings.HasPrefix(line, gauge) {
				n++
				if !strings.HasSuffix(strings.TrimSpace(line), " 0") {
					t.Errorf("left over: %s", line)
				}
			}
		}
		if n == 0 {
			t.Errorf("/metrics has no %s", gauge)
		}
	}
}
