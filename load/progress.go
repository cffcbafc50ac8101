package load

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A Progress shows a run as it goes: a bar that moves on a terminal, a line
// each few seconds elsewhere. The zero value shows nothing.
type Progress struct {
	live *Live
	w    io.Writer
	bar  *mpb.Progress
	quit chan struct{}
	idle sync.WaitGroup

	mu      sync.Mutex
	plan    *Plan
	stage   int
	began   time.Time
	before  int64     // requests sent before this stage
	recent  [2]recent // this and the last stretch
	turned  time.Time
	kinds   map[string]int
	current *mpb.Bar
}

// recent is what was measured lately.
type recent struct{ ttft, tpot *hdrhistogram.Histogram }

func newRecent() recent {
	return recent{hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3), hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)}
}

const recentFor = 3 * time.Second // one stretch

// NewProgress shows a job on w until Stop.
func NewProgress(w io.Writer, job *Job) *Progress {
	p := &Progress{live: &Live{}, w: w, quit: make(chan struct{}), kinds: map[string]int{}, recent: [2]recent{newRecent(), newRecent()}, turned: time.Now()}
	job.Live = p.live
	onRecord, onStage, onPlan := job.OnRecord, job.OnStage, job.OnPlan
	job.OnRecord = func(r *Record) {
		p.record(r)
		if onRecord != nil {
			onRecord(r)
		}
	}
	job.OnStage = func(i int) {
		p.begin(i)
		if onStage != nil {
			onStage(i)
		}
	}
	job.OnPlan = func(plan *Plan) {
		p.mu.Lock()
		p.plan = plan
		p.mu.Unlock()
		if onPlan != nil {
			onPlan(plan)
		}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.bar = mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(200*time.Millisecond))
	}
	p.idle.Add(1)
	go p.run()
	return p
}

func (p *Progress) record(r *Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	if !r.OK() {
		p.kinds[r.Error]++
		return
	}
	v, ok := r.TTFTFromSchedule()
	if !ok {
		v, ok = r.TTFT()
	}
	if ok {
		p.recent[0].ttft.RecordValue(max(1, v/1000))
	}
	if v, ok := r.TPOT(); ok {
		p.recent[0].tpot.RecordValue(max(1, v/1000))
	}
}

// turn forgets what is no longer recent.
func (p *Progress) turn() {
	if time.Since(p.turned) > recentFor {
		p.turned = time.Now()
		p.recent[1].ttft.Reset()
		p.recent[1].tpot.Reset()
		p.recent[0], p.recent[1] = p.recent[1], p.recent[0]
	}
}

func (p *Progress) begin(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endBar()
	p.stage, p.began, p.before = i, time.Now().Add(leadIn), p.live.Sent.Load()
	if p.bar != nil {
		p.current = p.bar.AddBar(1000, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.label() + " " })),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + p.line() })))
	}
}

func (p *Progress) endBar() {
	if p.current != nil {
		p.current.Abort(true)
		p.current = nil
	}
}

// label names the stage; the caller need not hold the lock.
func (p *Progress) label() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil || p.stage >= len(p.plan.Stages) {
		return ""
	}
	c := p.plan.Stages[p.stage].config()
	if n := len(p.plan.Stages); n > 1 {
		return fmt.Sprintf("%d/%d %s", p.stage+1, n, c.Label())
	}
	return c.Label()
}

// line says how the run stands.
func (p *Progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	since := time.Since(p.began).Seconds()
	sent := p.live.Sent.Load()
	add("sent %d", sent)
	if p.plan != nil && p.stage < len(p.plan.Stages) {
		if st := &p.plan.Stages[p.stage]; st.Rate > 0 && st.EndRate == 0 && since > 1 {
			share := 1.0
			if st.Offered > 0 {
				share = float64(len(st.Slots)) / float64(st.Offered)
			}
			since := min(since, st.Duration.Seconds())
			add("%.3g/s of %.3g/s", float64(sent-p.before)/since, st.Rate*share)
		}
	}
	add("done %d", p.live.Done.Load())
	add("in flight %d", p.live.InFlight.Load())
	for _, f := range []struct {
		name string
		of   func(recent) *hdrhistogram.Histogram
	}{{"TTFT", func(r recent) *hdrhistogram.Histogram { return r.ttft }}, {"TPOT", func(r recent) *hdrhistogram.Histogram { return r.tpot }}} {
		h := hdrhistogram.Import(f.of(p.recent[0]).Export())
		h.Merge(f.of(p.recent[1]))
		if h.TotalCount() > 0 {
			add("%s now %s", f.name, brief(h.ValueAtQuantile(50)*1000))
		}
	}
	failed := 0
	var kinds []string
	for k, n := range p.kinds {
		if k != ErrCancelled {
			failed += n
			kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
		}
	}
	if failed > 0 {
		add("failed %d (%s)", failed, strings.Join(kinds, ", "))
	}
	if left := p.left(); left > 0 {
		add("%s left", left.Round(time.Second))
	}
	return strings.Join(parts, " · ")
}

// left is the time until the stage sends no more; 0: not known.
func (p *Progress) left() time.Duration {
	if p.plan == nil || p.stage >= len(p.plan.Stages) {
		return 0
	}
	st := &p.plan.Stages[p.stage]
	d := st.Duration
	if n := len(st.Slots); d == 0 && n > 0 {
		d = st.Slots[n-1].At
	}
	return max(0, d-time.Since(p.began))
}

func (p *Progress) run() {
	defer p.idle.Done()
	every := 5 * time.Second
	if p.bar != nil {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
		}
		if p.bar == nil {
			if l := p.label(); l != "" {
				fmt.Fprintf(p.w, "%s: %s\n", l, p.line())
			}
			continue
		}
		p.mu.Lock()
		if p.current != nil {
			d := time.Duration(1)
			if p.plan != nil && p.stage < len(p.plan.Stages) {
				if d = p.plan.Stages[p.stage].Duration; d == 0 {
					d = p.left() + time.Since(p.began)
				}
			}
			p.current.SetCurrent(min(999, int64(1000*time.Since(p.began)/max(d, 1))))
		}
		p.mu.Unlock()
	}
}

// Stop ends the showing; the last line stays free for what follows.
func (p *Progress) Stop() {
	if p.quit == nil {
		return
	}
	close(p.quit)
	p.idle.Wait()
	p.quit = nil
	p.mu.Lock()
	p.endBar()
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.Wait()
	}
}
