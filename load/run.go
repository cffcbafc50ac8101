package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Options say how a plan is carried out.
type Options struct {
	Target Target
	HTTP   HTTPOptions
	// Timeout bounds a request; the default is ten minutes.
	Timeout time.Duration
	// Drain is how long requests in flight are waited for at the end of a
	// stage before they are cancelled. The default is 30 s.
	Drain time.Duration
	// Spin is how long before each send the pacer waits without sleeping. It
	// makes the client more punctual and costs up to a core.
	Spin time.Duration
	// StartAt is when the first stage begins, for machines that work together;
	// the zero time is now.
	StartAt time.Time
	// Tokenizer counts the output, if given.
	Tokenizer *Tokenizer
	// OnRecord is called with each finished record, one at a time.
	OnRecord func(*Record)
	// OnStage is called when a stage begins.
	OnStage func(i int)
	// Live is kept up to date, if given.
	Live *Live
	// NoCanary leaves out the canary stream.
	NoCanary bool

	// onBegin is told from when times count, before anything is sent.
	onBegin func(time.Time) error
}

// A Window is when a stage was. Times are since the run's begin.
type Window struct {
	Begin int64 `json:"begin_ns"`
	// WarmupEnd and LastSend bound the steady window: after LastSend no more
	// requests were begun.
	WarmupEnd int64 `json:"warmup_end_ns"`
	LastSend  int64 `json:"last_send_ns"`
	End       int64 `json:"end_ns"`
	// Offered is how many requests this shard was to send (of an open loop),
	// NotSent how many of them it never began, since the run was interrupted.
	Offered int `json:"offered,omitempty"`
	NotSent int `json:"not_sent,omitempty"`
}

// An Outcome is what a run has measured.
type Outcome struct {
	Began       time.Time // that all times count from
	Records     []*Record
	Windows     []Window
	Client      ClientFacts
	Interrupted bool
}

// leadIn is the time between the run's begin, from which times count, and its
// first stage.
const leadIn = 100 * time.Millisecond

// Run carries out a plan. When ctx ends, no more is sent, requests in flight
// are cancelled, and what was measured is returned, with Interrupted set. An
// error means that nothing was measured.
func Run(ctx context.Context, p *Plan, m *Mix, o Options) (*Outcome, error) {
	s, err := newSender(o.Target, o.HTTP, o.Timeout)
	if err != nil {
		return nil, err
	}
	defer s.client.CloseIdleConnections()
	if o.Drain <= 0 {
		o.Drain = 30 * time.Second
	}
	out := &Outcome{Client: ClientFacts{FileLimit: raiseFiles()}}
	s.analyst, s.live = newAnalyst(), o.Live
	if o.Tokenizer != nil && o.Tokenizer.Text != nil {
		s.count = func(b []byte) int { return o.Tokenizer.Text(string(b)) }
	}
	s.finish = func(r *reading) {
		r.rec.Message = s.redact.clean(r.rec.Message)
		out.Records = append(out.Records, r.rec)
		if r.rec.Error == ErrCancelled && r.rec.Sent == 0 {
			r.rec.Message = "never written"
		}
		if n, _ := r.rec.Tokens(); o.Live != nil {
			o.Live.Tokens.Add(int64(n))
			if !r.rec.OK() && r.rec.Error != ErrCancelled {
				o.Live.Failed.Add(1)
			}
		}
		if o.OnRecord != nil {
			o.OnRecord(r.rec)
		}
	}
	s.began = time.Now()
	begin := s.began.Add(leadIn)
	if !o.StartAt.IsZero() {
		if o.StartAt.Before(begin) {
			return nil, fmt.Errorf("start at %s: that is past; the clock says %s", o.StartAt.Format(time.RFC3339), s.began.Format(time.RFC3339))
		}
		begin = o.StartAt
	}
	out.Began = s.began
	if o.onBegin != nil {
		if err := o.onBegin(s.began); err != nil {
			return nil, err
		}
	}
	w, err := watchClient(s.now, !o.NoCanary)
	if err != nil {
		return nil, fmt.Errorf("canary: %w", err)
	}
	at := int64(begin.Sub(s.began))
	for i := range p.Stages {
		st := &p.Stages[i]
		if o.OnStage != nil {
			o.OnStage(i)
		}
		d := &driver{sender: s, mix: m, o: &o, stage: i, plan: st, window: Window{Begin: at, WarmupEnd: at + int64(st.Warmup), Offered: len(st.Slots)}}
		d.run(ctx)
		out.Windows = append(out.Windows, d.window)
		if ctx.Err() != nil {
			out.Interrupted = true
			break
		}
		// Shards keep in step though each drains at its own pace.
		at = s.now() + int64(leadIn)
		if p.Shard.Count > 1 && st.Duration > 0 {
			at = d.window.Begin + int64(st.Duration+o.Drain+leadIn)
		}
	}
	s.analyst.close()
	w.stop(&out.Client)
	out.Client.Backlog, out.Client.HeldBack = s.analyst.longest, s.analyst.waited
	out.Interrupted = out.Interrupted || ctx.Err() != nil
	return out, nil
}

// A driver carries out one stage.
type driver struct {
	*sender
	mix    *Mix
	o      *Options
	stage  int
	plan   *StagePlan
	window Window
	flying sync.WaitGroup
}

func (d *driver) run(ctx context.Context) {
	// Requests outlive the sending, until drained.
	flight, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopped := context.AfterFunc(ctx, func() { cancel(errEndOfRun) })
	defer stopped()
	if d.plan.Open() {
		d.open(ctx, flight)
	} else {
		d.closed(ctx, flight)
	}
	drained := make(chan struct{})
	go func() { d.flying.Wait(); close(drained) }()
	timer := time.NewTimer(d.o.Drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		cancel(errEndOfRun)
		<-drained
	}
	d.window.End = d.now()
}

func (d *driver) record(index int, intended int64) *Record {
	return &Record{Index: index, Stage: d.stage, Intended: intended, Warmup: max(intended, d.now()) < d.window.WarmupEnd}
}

// A call is a request that is due.
type call struct {
	q       *Request
	rec     *Record
	started *started // nil: it has not been written yet
}

// mostBehind is how late the pacer may be and still write requests itself. Beyond
// that others do, so that more cores than its own take part.
const mostBehind = int64(200 * time.Microsecond)

// open sends each request when the schedule says.
func (d *driver) open(ctx, flight context.Context) {
	// Requests are made ready ahead of time, so that none waits for its JSON.
	type prepared struct {
		q    *Request
		head []byte // nil: a worker writes it
	}
	ready := make(chan prepared, 512)
	direct, _ := d.client.(*h1)
	go func() {
		defer close(ready)
		for _, slot := range d.plan.Slots {
			p := prepared{q: d.mix.Request(slot.Index, slot.Row)}
			if direct != nil && direct.tls == nil && !direct.noReuse {
				p.head = d.head(p.q)
			}
			select {
			case ready <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	calls := make(chan call) // to workers that wait
	var sent int
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		pace := pacer{spin: d.o.Spin}
		pace.start()
		for _, slot := range d.plan.Slots {
			p, ok := <-ready
			if !ok {
				return
			}
			at := d.window.Begin + int64(slot.At)
			rec := &Record{Index: slot.Index, Stage: d.stage, Intended: at, Warmup: at < d.window.WarmupEnd}
			if !pace.until(ctx, at, d.now) {
				return
			}
			sent++
			d.flying.Add(1)
			c := call{q: p.q, rec: rec}
			if p.head != nil && d.now() < at+mostBehind {
				c.started = direct.start(p.head, p.q.Body, d.now)
			}
			select {
			case calls <- c:
			default:
				go d.work(flight, calls, c)
			}
		}
		// The stage lasts as long as it was to, even if its last gap is long.
		if end := d.window.Begin + int64(d.plan.Duration); d.plan.Trace == nil && d.plan.Requests == 0 {
			pace.until(ctx, end, d.now)
		}
	}()
	<-paced
	d.window.LastSend = d.now()
	d.window.NotSent = len(d.plan.Slots) - sent
	d.flying.Add(1) // workers that wait end when calls is closed
	close(calls)
	d.flying.Done()
}

// work does one call and then those that come while it is idle, so that a
// goroutine that has grown its stack is used again.
func (d *driver) work(ctx context.Context, calls <-chan call, c call) {
	for {
		d.converse(ctx, c.q, c.rec, c.started)
		d.flying.Done()
		var ok bool
		if c, ok = <-calls; !ok {
			return
		}
	}
}

// converse sends a request, which may be started, and, of a conversation, those
// that follow from it.
func (d *driver) converse(ctx context.Context, q *Request, rec *Record, begun *started) {
	for {
		rd := d.send(ctx, q, rec, q.Turn > 0, begun)
		begun = nil
		if q.Turn == 0 {
			return
		}
		<-rd.ended
		end, open := rec.End, rec.Intended > 0
		if !rec.OK() {
			return
		}
		q = d.mix.Next(q, string(rd.text))
		if q == nil {
			return
		}
		think := q.Work.TurnThink.draw(newRandom(d.mix.seed, forThink, uint64(q.index), uint64(q.Turn)))
		at := end + int64(seconds(think))
		if !sleepUntil(ctx, at, d.now) {
			return
		}
		intended := int64(0)
		if open {
			intended = max(at, end)
		}
		rec = d.record(rec.Index, intended)
	}
}

// sleepUntil waits without a thread of its own.
func sleepUntil(ctx context.Context, at int64, now func() int64) bool {
	left := time.Duration(at - now())
	if left <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// closed plays the users of a closed loop.
func (d *driver) closed(ctx, flight context.Context) {
	end := int64(1<<63 - 1)
	if d.plan.Duration > 0 {
		end = d.window.Begin + int64(d.plan.Duration)
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if d.plan.Duration > 0 {
		t := time.AfterFunc(time.Duration(end-d.now()), stop)
		defer t.Stop()
	}
	var users sync.WaitGroup
	var mu sync.Mutex
	for _, u := range d.plan.Users {
		users.Add(1)
		d.flying.Add(1)
		go func() {
			defer d.flying.Done()
			var once sync.Once
			leave := func() {
				once.Do(func() {
					mu.Lock()
					if d.window.LastSend == 0 {
						d.window.LastSend = d.now() // the first drain
					}
					mu.Unlock()
					users.Done()
				})
			}
			defer leave()
			d.user(sending, flight, u, end, leave)
		}()
	}
	users.Wait()
	if d.plan.Duration > 0 && ctx.Err() == nil {
		d.window.LastSend = min(end, d.now())
	}
}

// user sends one request after another until the stage ends. It calls leave
// when it has begun its last.
func (d *driver) user(sending, flight context.Context, u int, end int64, leave func()) {
	at := d.window.Begin
	if d.plan.RampUp > 0 {
		at += int64(d.plan.RampUp) * int64(u) / int64(d.plan.Concurrency)
	}
	if !sleepUntil(sending, at, d.now) {
		return
	}
	stop := context.AfterFunc(sending, leave)
	defer stop()
	left := d.plan.share(u)
	for turn := 0; left != 0 && d.now() < end && sending.Err() == nil; turn++ {
		index := d.plan.First + turn*d.plan.Concurrency + u
		q := d.mix.Request(index, -1)
		if left > 0 {
			left--
		}
		if left == 0 {
			leave() // with its last request; the others go on
		}
		d.converse(flight, q, d.record(index, 0), nil)
		think := d.plan.Think.draw(newRandom(d.mix.seed, forThink, uint64(index)))
		if think > 0 && !sleepUntil(sending, d.now()+int64(seconds(think)), d.now) {
			return
		}
	}
}
