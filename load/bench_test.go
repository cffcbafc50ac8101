package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	"testing"
	"time"
)

// The proof of the client itself, by measurement: `make bench-load` runs it,
// `make test` does not. The targets are processes of their own, so that what
// they use is not counted as the client's.

// TestMain lets the test binary be a target: LOAD_TARGET names its kind.
func TestMain(m *testing.M) {
	if kind := os.Getenv("LOAD_TARGET"); kind != "" {
		target(kind)
		return
	}
	os.Exit(m.Run())
}

// benched is whether measurements are wanted.
func benched(t *testing.T) {
	t.Helper()
	if os.Getenv("BENCH_LOAD") == "" {
		t.Skip("a measurement; make bench-load runs it")
	}
}

const benchEvent = `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"model","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

// target serves on a free port, which it prints, until its input ends.
func target(kind string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", l.Addr())
	var h http.HandlerFunc
	stamps := &fakeTarget{begun: time.Now(), stamps: map[string]stamp{}}
	switch name, arg, _ := strings.Cut(kind, ":"); name {
	case "flood": // events as fast as they go, arg of them in one write
		n, _ := strconv.Atoi(arg)
		h = flood(n)
	case "spread": // an event each two milliseconds, in a write of its own
		h = flood(0)
	case "hold": // streams that say something each second until told to end
		h = func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			rc := http.NewResponseController(w)
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for range 12 {
				io.WriteString(w, benchEvent)
				if rc.Flush() != nil {
					return
				}
				<-tick.C
			}
			io.WriteString(w, finishEvent+doneEvent)
		}
	case "quick": // the least there is to answer
		h = func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
		}
	case "stream": // a short stream at once
		h = func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, tokenEvent+tokenEvent+finishEvent+doneEvent)
		}
	case "known": // known delays, each event written at its time and stamped
		stamps.first, stamps.gap = 20*time.Millisecond, 5*time.Millisecond
		h, l = precise(stamps), stampedListener{l}
	case "tail": // log-normal latency, median 10 ms, the same sequence each time
		var mu sync.Mutex
		latency := rand.New(rand.NewPCG(1, 2))
		h = func(w http.ResponseWriter, r *http.Request) {
			at := time.Now()
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			z := latency.NormFloat64()
			mu.Unlock()
			time.Sleep(time.Until(at.Add(time.Duration(float64(10*time.Millisecond) * math.Exp(0.6*z)))))
			io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
		}
	case "echo": // the bytes that came, at once and without HTTP
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				go io.Copy(conn, conn)
			}
		}()
		io.Copy(io.Discard, os.Stdin)
		return
	case "stall": // silent for 2 s of each 10
		begun := time.Now()
		h = func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if phase := time.Since(begun) % (10 * time.Second); phase > 4*time.Second && phase < 6*time.Second {
				time.Sleep(6*time.Second - phase)
			}
			time.Sleep(5 * time.Millisecond)
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, tokenEvent+tokenEvent+finishEvent+doneEvent)
		}
	}
	s := http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}}
	go s.Serve(l)
	io.Copy(io.Discard, os.Stdin)
}

// connKey finds the connection of a request.
type connKey struct{}

// flood writes events without end, n in one write; 0 is one at a time, with a
// pause between.
func flood(n int) http.HandlerFunc {
	batch := []byte(strings.Repeat(benchEvent, max(1, n)))
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		buf.Flush()
		chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(batch), batch))
		conn.(*net.TCPConn).SetNoDelay(true)
		for {
			if n == 0 {
				time.Sleep(2 * time.Millisecond)
			}
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
	}
}

// precise is a fakeTarget whose events are paced by the kernel.
func precise(f *fakeTarget) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stamps" {
			f.mu.Lock()
			defer f.mu.Unlock()
			out := map[string][2]int64{}
			for k, s := range f.stamps {
				out[k] = [2]int64{int64(s.first.Sub(s.came)), int64(s.last.Sub(s.first))}
			}
			json.NewEncoder(w).Encode(out)
			return
		}
		f.ServeHTTP(w, r)
	}
}

// start runs a target in a process of its own.
func start(t testing.TB, kind string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOAD_TARGET="+kind)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// The events a second that one core of the client reads, beside what a client
// of bufio.Scanner and encoding/json makes of the same streams. The rate is by
// CPU time of this process, so that other work on the machine does not count.
func TestBenchEventsPerSecond(t *testing.T) {
	benched(t)
	const wall = 2 * time.Second
	// together reads so many streams at once and gives events a second of CPU.
	together := func(streams int, one func(ctx context.Context) (events, reads int)) (rate, perRead float64) {
		ctx, cancel := context.WithTimeout(t.Context(), wall)
		defer cancel()
		var mu sync.Mutex
		var wg sync.WaitGroup
		events, reads := 0, 0
		used := cpuTime()
		for range streams {
			wg.Go(func() {
				e, r := one(ctx)
				mu.Lock()
				defer mu.Unlock()
				events, reads = events+e, reads+r
			})
		}
		wg.Wait()
		return float64(events) / (cpuTime() - used).Seconds(), float64(events) / float64(max(1, reads))
	}
	for _, c := range []struct {
		name, target string
		streams      int
	}{{"one event a read", "spread", 64}, {"coalesced", "flood:64", 1}} {
		url := start(t, c.target)
		s, err := newSender(Target{URL: url, Dialect: "openai"}, HTTPOptions{}, wall)
		if err != nil {
			t.Fatal(err)
		}
		s.began, s.finish = time.Now(), func(*reading) {}
		ours := func(analysed bool) func(ctx context.Context) (int, int) {
			return func(ctx context.Context) (int, int) {
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[Chat], strings.NewReader("{}"))
				resp, err := s.client.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return 0, 0
				}
				defer resp.Body.Close()
				rd := &reading{rec: &Record{}, streamed: true}
				full := func(b *block) { b.free() }
				if analysed {
					full = func(b *block) { s.analyst.put(rd, b) }
				}
				sc := scanner{full: full}
				reads := 0
				sc.readAll(resp.Body, s.now, func(int64) error {
					reads++
					return nil
				})
				return sc.events, reads
			}
		}
		std := func(ctx context.Context) (events, reads int) {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[Chat], strings.NewReader("{}"))
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return 0, 0
			}
			defer resp.Body.Close()
			var times []time.Time
			for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
				line, ok := bytes.CutPrefix(sc.Bytes(), []byte("data: "))
				if !ok {
					continue
				}
				var c struct {
					Choices []struct {
						Delta struct {
							Content string `json:"content"`
						} `json:"delta"`
						FinishReason *string `json:"finish_reason"`
					} `json:"choices"`
				}
				if json.Unmarshal(line, &c) == nil && len(c.Choices) > 0 && c.Choices[0].Delta.Content != "" {
					times = append(times, time.Now())
				}
			}
			return len(times), 0
		}
		var path, whole, theirs, per, raw []float64
		for range 3 { // in turns
			r, p := together(c.streams, ours(false))
			path, per = append(path, r), append(per, p)
			s.analyst = newAnalyst()
			r, _ = together(c.streams, ours(true))
			s.analyst.close()
			whole = append(whole, r)
			r, _ = together(c.streams, std)
			theirs = append(theirs, r)
			if c.target == "spread" {
				raw = append(raw, rawReads(t, url, c.streams, wall))
			}
		}
		s.client.CloseIdleConnections()
		t.Logf("%-16s (%.1f events a read)  read path %9.0f events/s a core · read and analysed %9.0f · bufio.Scanner and encoding/json %9.0f",
			c.name, median(per), median(path), median(whole), median(theirs))
		if len(raw) > 0 {
			t.Logf("%-16s epoll_wait, read and the clock alone: %.0f events/s a core", "", median(raw))
		}
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// What 5 000 streams at once take.
func TestBenchFiveThousandStreams(t *testing.T) {
	benched(t)
	raiseFiles()
	url := start(t, "hold")
	const n = 5000
	j := newJob(url, Stage{Concurrency: n, Requests: n, RampUp: 4 * time.Second})
	j.NoLearn = true
	j.Timeout = time.Minute
	live := &Live{}
	j.Live = live
	done := make(chan *Result)
	go func() { r, _ := Measure(t.Context(), j); done <- r }()
	before := resident()
	most, atOnce := 0.0, int64(0)
	for {
		select {
		case r := <-done:
			t.Logf("%d streams at once, %d ok: %.0f MB resident at most, %.0f MB before; %s", atOnce, r.Total.OK, most, before, r.Verdict.Text)
			if r.Total.OK != n {
				t.Errorf("%+v", r.Total.Errors)
			}
			return
		case <-time.After(200 * time.Millisecond):
			most, atOnce = max(most, resident()), max(atOnce, live.InFlight.Load())
		}
	}
}

// resident is the memory of this process in MB.
func resident() float64 {
	b, _ := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / 1e6
}

// A thousand requests a second for a minute: how late the client is.
func TestBenchArrivals(t *testing.T) {
	benched(t)
	url := start(t, "stream")
	for _, a := range []Arrival{Constant, Poisson} {
		for _, spin := range []time.Duration{0, 100 * time.Microsecond} {
			j := newJob(url, Stage{Rate: 1000, Arrival: a, Duration: seconds(benchSeconds())})
			j.Spin, j.Out, j.NoLearn = spin, t.TempDir(), true
			r := measure(t, j)
			m := r.Total.Metric(OwnLag)
			p50, _ := m.P(50)
			p99, _ := m.P(99)
			_, records, err := ReadRecordsFile(filepath.Join(j.Out, RecordsFile))
			if err != nil {
				t.Fatal(err)
			}
			var begun []int64
			for _, x := range records {
				begun = append(begun, x.Begun)
			}
			slices.Sort(begun)
			rate := float64(len(begun)) / j.Stages[0].Duration.Seconds()
			planned := float64(r.Total.Offered) / j.Stages[0].Duration.Seconds()
			line := fmt.Sprintf("%-8s spin %-6s lag p50 %s, p99 %s, max %s · %.2f/s sent of %.2f/s planned (%+.3f %%) · %d failed · %s", a, spin, brief(p50.Value), brief(p99.Value), brief(m.Max),
				rate, planned, 100*(rate/planned-1), r.Total.Failed, r.Verdict.Text)
			if a == Poisson {
				var g []float64
				for i := 1; i < len(begun); i++ {
					g = append(g, float64(begun[i]-begun[i-1])/1e9)
				}
				d, limit := ks(g, func(x float64) float64 { return -math.Expm1(-1000 * x) })
				line += fmt.Sprintf(" · KS of the gaps as sent: D %.4f, limit at 1 %% %.4f", d, limit)
			}
			t.Log(line)
		}
	}
}

// benchSeconds is how long the arrivals last.
func benchSeconds() float64 {
	if v, err := strconv.ParseFloat(os.Getenv("BENCH_LOAD_SECONDS"), 64); err == nil {
		return v
	}
	return 60
}

// Against a target that knows when it wrote each event.
func TestBenchKnownDelays(t *testing.T) {
	benched(t)
	url := start(t, "known")
	var lines strings.Builder
	const n = 400
	for i := range n {
		fmt.Fprintf(&lines, "\"request %d\"\n", i)
	}
	prompts := filepath.Join(t.TempDir(), "prompts.jsonl")
	os.WriteFile(prompts, []byte(lines.String()), 0o666)
	j := newJob(url, Stage{Rate: 40, Arrival: Poisson, Requests: n})
	j.Works[0].Prompts, j.NoLearn, j.Out = prompts, true, t.TempDir()
	j.Works[0].OutputTokens = Fixed(16)
	r := measure(t, j)
	resp, err := http.Get(url + "/stamps")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var stamps map[string][2]int64
	if err := json.NewDecoder(resp.Body).Decode(&stamps); err != nil {
		t.Fatal(err)
	}
	_, records, _ := ReadRecordsFile(filepath.Join(j.Out, RecordsFile))
	var ttft, tpot []int64
	for _, x := range records {
		s, ok := stamps[fmt.Sprintf("request %d", x.Index)]
		if !ok {
			continue
		}
		a, _ := x.TTFT()
		ttft = append(ttft, abs(a-s[0]))
		b, _ := x.TPOT()
		tpot = append(tpot, abs(b-s[1]/15))
	}
	slices.Sort(ttft)
	slices.Sort(tpot)
	t.Logf("%d requests: error of TTFT p50 %s, p99 %s; of TPOT p50 %s, p99 %s; %s", len(ttft),
		brief(quantile(ttft, .5)), brief(quantile(ttft, .99)), brief(quantile(tpot, .5)), brief(quantile(tpot, .99)), r.Verdict.Text)
	noise, trip := timerNoise(), roundTrips(t)
	t.Logf("the machine: a sleep of 1 ms overshoots by p50 %s, p99 %s; a byte there and back between two idle processes takes p50 %s, p99 %s, which every TTFT over a socket contains",
		brief(quantile(noise, .5)), brief(quantile(noise, .99)), brief(quantile(trip, .5)), brief(quantile(trip, .99)))
	if len(ttft) != n {
		t.Errorf("%d of %d requests matched: %+v", len(ttft), n, r.Total.Errors)
	}
}

func abs(v int64) int64 { return max(v, -v) }

// roundTrips is how long a byte takes to another process and back, at the pace
// of the requests of TestBenchKnownDelays: two wake-ups of an idle machine.
func roundTrips(t *testing.T) []int64 {
	conn, err := net.Dial("tcp", strings.TrimPrefix(start(t, "echo"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var v []int64
	b := make([]byte, 1)
	for range 200 {
		time.Sleep(25 * time.Millisecond)
		from := time.Now()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		v = append(v, int64(time.Since(from)))
	}
	slices.Sort(v)
	return v
}

// timerNoise is how much a sleep of the kernel of 1 ms overshoots, sorted.
func timerNoise() []int64 {
	var v []int64
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		var p pacer
		p.start()
		for range 500 {
			from := time.Now()
			p.pause(time.Millisecond)
			v = append(v, int64(time.Since(from)-time.Millisecond))
		}
	}()
	wg.Wait()
	slices.Sort(v)
	return v
}

// A target that stalls for 2 s of each 10, open loop and closed loop.
func TestBenchStall(t *testing.T) {
	benched(t)
	url := start(t, "stall")
	run := func(s Stage, metric string) *Metric {
		j := newJob(url, s)
		j.NoLearn = true
		m := measure(t, j).Total.Metric(metric)
		if m == nil {
			t.Fatal("nothing measured")
		}
		return m
	}
	open := run(Stage{Rate: 40, Arrival: Poisson, Duration: 20 * time.Second}, TTFTFromSchedule)
	closed := run(Stage{Concurrency: 1, Duration: 20 * time.Second}, TTFT)
	for _, m := range []struct {
		name string
		m    *Metric
	}{{"open loop, 40/s, from schedule", open}, {"closed loop, 1 user", closed}} {
		p50, _ := m.m.P(50)
		p90, _ := m.m.P(90)
		p99, _ := m.m.P(99)
		t.Logf("%-32s %5d requests: p50 %s, p90 %s, p99 %s", m.name, m.m.Count, brief(p50.Value), brief(p90.Value), brief(p99.Value))
	}
}

// How many requests a second one core of the client sends and reads.
func TestBenchHighestLoad(t *testing.T) {
	benched(t)
	for _, kind := range []string{"quick", "stream"} {
		url := start(t, kind)
		for _, users := range []int{1, 16, 64} {
			j := newJob(url, Stage{Concurrency: users, Duration: 4 * time.Second})
			j.NoLearn, j.Works[0].NoStream = true, kind == "quick"
			used := cpuTime()
			r := measure(t, j)
			cpu := (cpuTime() - used).Seconds()
			t.Logf("%-6s %2d users: %7.0f requests/s by the clock, %7.0f a second of the client's CPU (%d cores) · %d failed · %s", kind, users, r.Total.Whole.Requests,
				float64(r.Total.OK)/cpu, runtime.GOMAXPROCS(0), r.Total.Failed, r.Verdict.Text)
		}
	}
}

// Beside vegeta, when it is installed, on the same target in turn: the same
// percentiles where both are valid, and the highest rate of 16 users.
func TestBenchPeer(t *testing.T) {
	benched(t)
	vegeta, err := exec.LookPath("vegeta")
	if err != nil {
		t.Skip("no vegeta on the path (go install github.com/tsenart/vegeta/v12@v12.13.0)")
	}
	targets := func(url string) string {
		path := filepath.Join(t.TempDir(), "targets")
		body := filepath.Join(t.TempDir(), "body.json")
		os.WriteFile(body, []byte(`{"model":"m","messages":[{"role":"user","content":"Once upon a time"}],"max_tokens":8,"stream":false}`), 0o666)
		os.WriteFile(path, []byte("POST "+url+"/v1/chat/completions\nContent-Type: application/json\n@"+body+"\n"), 0o666)
		return path
	}
	attack := func(url string, flags ...string) (latency map[string]float64, requests, cpu float64) {
		cmd := exec.Command(vegeta, append([]string{"attack", "-targets", targets(url)}, flags...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		report := exec.Command(vegeta, "report", "-type", "json")
		report.Stdin = bytes.NewReader(out)
		if out, err = report.Output(); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Latencies  map[string]float64
			Requests   float64
			Throughput float64
		}
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatal(err)
		}
		return v.Latencies, v.Throughput, v.Requests / cpu
	}

	const rate, long = 200, 20 * time.Second
	for range 2 {
		j := newJob(start(t, "tail"), Stage{Rate: rate, Arrival: Constant, Duration: long})
		j.NoLearn, j.Works[0].NoStream = true, true
		r := measure(t, j)
		theirs, _, _ := attack(start(t, "tail"), "-rate", strconv.Itoa(rate), "-duration", long.String())
		line := ""
		for _, p := range []float64{50, 90, 95, 99} {
			ours, _ := r.Total.Metric(E2E).P(p)
			their := theirs[fmt.Sprintf("%gth", p)]
			line += fmt.Sprintf(" · p%g %s, vegeta %s (%+.1f %%)", p, brief(ours.Value), brief(int64(their)), 100*(float64(ours.Value)/their-1))
		}
		t.Logf("%d requests/s for %s: %s%s", rate, long, r.Verdict.Text, line)
	}

	url := start(t, "quick")
	for range 3 {
		j := newJob(url, Stage{Concurrency: 16, Duration: 4 * time.Second})
		j.NoLearn, j.Works[0].NoStream = true, true
		used := cpuTime()
		r := measure(t, j)
		cpu := (cpuTime() - used).Seconds()
		_, theirs, perCPU := attack(url, "-rate", "0", "-workers", "16", "-max-workers", "16", "-duration", "4s")
		t.Logf("16 users: %.0f requests/s, %.0f a second of CPU; vegeta %.0f and %.0f (its report not counted)", r.Total.Whole.Requests, float64(r.Total.OK)/cpu, theirs, perCPU)
	}
}
