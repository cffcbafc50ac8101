package load

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ClientFacts are what the client knows of itself.
type ClientFacts struct {
	Cores int `json:"cores"` // GOMAXPROCS
	// CPU is the share of the cores that the client used, second by second.
	CPU []float64 `json:"cpu,omitempty"`
	// GC pauses of the whole run, in seconds.
	GCPauses   int     `json:"gc_pauses"`
	GCPauseMax float64 `json:"gc_pause_max_s"`
	GCPauseSum float64 `json:"gc_pause_sum_s"`
	// Canary is the delay of events from a server inside the client, in
	// nanoseconds: the error that the client itself adds to any time stamp.
	Canary *Delay `json:"canary,omitempty"`
	// Backlog is how many pieces of work waited behind the read path at most.
	Backlog int `json:"backlog"`
	// HeldBack is how often a reader had to wait for that work.
	HeldBack  int `json:"held_back,omitempty"`
	FileLimit int `json:"file_limit,omitempty"`
}

// A Delay is a distribution of delays in nanoseconds.
type Delay struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50_ns"`
	P99   int64 `json:"p99_ns"`
	Max   int64 `json:"max_ns"`
}

// canaryEvery is the gap between the canary's events.
const canaryEvery = 20 * time.Millisecond

// A watcher looks at the client while it works.
type watcher struct {
	cancel context.CancelFunc
	ended  chan struct{}
	cpu    []float64
	pauses []uint64 // of the histogram at the begin
	canary *canary
}

func watchClient(now func() int64, withCanary bool) (*watcher, error) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel: cancel, ended: make(chan struct{}), pauses: slices.Clone(gcPauses().Counts)}
	if withCanary {
		var err error
		if w.canary, err = newCanary(ctx, now); err != nil {
			cancel()
			return nil, err
		}
	}
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		used, at := cpuTime(), time.Now()
		for {
			select {
			case <-ctx.Done():
				if d := time.Since(at); d > 100*time.Millisecond {
					w.cpu = append(w.cpu, share(cpuTime()-used, d))
				}
				return
			case <-tick.C:
				u, t := cpuTime(), time.Now()
				w.cpu = append(w.cpu, share(u-used, t.Sub(at)))
				used, at = u, t
			}
		}
	}()
	return w, nil
}

func share(used, wall time.Duration) float64 {
	return math.Round(1000*float64(used)/float64(wall)/float64(runtime.GOMAXPROCS(0))) / 1000
}

func (w *watcher) stop(f *ClientFacts) {
	w.cancel()
	<-w.ended
	f.Cores, f.CPU = runtime.GOMAXPROCS(0), w.cpu
	h := gcPauses()
	for i, n := range h.Counts {
		d := n - w.pauses[i]
		if d == 0 {
			continue
		}
		top := h.Buckets[i+1]
		if math.IsInf(top, 1) {
			top = h.Buckets[i]
		}
		f.GCPauses += int(d)
		f.GCPauseMax = max(f.GCPauseMax, top)
		f.GCPauseSum += float64(d) * top
	}
	if w.canary != nil {
		f.Canary = w.canary.delay()
	}
}

func gcPauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// A canary is a stream from a server inside the client, read just as the
// target's. Its events say when they were written, so that what they arrive
// late by is the client's doing.
type canary struct {
	server *http.Server
	ended  chan struct{}
	delays *hdrhistogram.Histogram
}

func newCanary(ctx context.Context, now func() int64) (*canary, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &canary{ended: make(chan struct{}), delays: hdrhistogram.New(1, int64(time.Minute), 3)}
	c.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(canaryEvery)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
			fmt.Fprintf(rw, "data: %d\n\n", now())
			if http.NewResponseController(rw).Flush() != nil {
				return
			}
		}
	})}
	go c.server.Serve(l)
	tr, err := newTransport(HTTPOptions{}, "http://"+l.Addr().String())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		c.server.Close()
		return nil, err
	}
	go func() {
		defer close(c.ended)
		defer resp.Body.Close()
		defer c.server.Close()
		sc := scanner{full: func(b *block) { b.free() }}
		sc.readAll(resp.Body, now, func(at int64) error {
			read := now() // by when the client was awake, not by when it came
			for _, m := range sc.blk.marks {
				if m.at != at {
					continue
				}
				v := bytes.TrimSpace(bytes.TrimPrefix(sc.blk.buf[m.off:m.off+m.n], []byte("data: ")))
				if t, err := strconv.ParseInt(string(v), 10, 64); err == nil {
					c.delays.RecordValue(max(1, read-t))
				}
			}
			return nil
		})
	}()
	return c, nil
}

func (c *canary) delay() *Delay {
	<-c.ended
	h := c.delays
	return &Delay{Count: h.TotalCount(), P50: h.ValueAtQuantile(50), P99: h.ValueAtQuantile(99), Max: h.Max()}
}
