package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Job is a whole measurement, from the first control request to the files.
type Job struct {
	Options
	Stages []Stage
	Works  []Work
	Seed   uint64
	Shard  Shard
	SLO    *SLO
	// Out is the folder for records.jsonl and load.json; "" writes nothing.
	Out     string
	Version string
	// Trace holds the rows that Stages play, if any.
	Trace []TraceRow
	// NoLearn sends no control requests before the run.
	NoLearn bool
	// Scrape is the URL of the target's own metrics, if they are wanted.
	Scrape string
	// OnPlan is called when the schedule stands, before the first request.
	OnPlan func(*Plan)
}

// A session plays stages one after another on one target and keeps what they
// measured together.
type session struct {
	job      *Job
	mix      *Mix
	recorder *Recorder
	header   Header
	part     Part
	played   int // stages
	scraper  *scraper
	// lastClient is what is known of the client in the last play.
	lastClient ClientFacts
}

// Measure carries a job out. The result of a run that was interrupted is a
// result too. An error means that there is none; [ErrNothing] that the target
// did not answer.
func Measure(ctx context.Context, job Job) (*Result, error) {
	s, err := newSession(ctx, &job)
	if err != nil {
		return nil, err
	}
	if err := s.play(ctx, job.Stages); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s.result()
}

func newSession(ctx context.Context, job *Job) (*session, error) {
	if job.Out != "" {
		if err := os.MkdirAll(job.Out, 0o777); err != nil {
			return nil, err
		}
	}
	if _, err := NewPlan(job.Stages, job.Seed, job.Shard); len(job.Stages) > 0 && err != nil {
		return nil, err
	}
	mix, err := NewMix(job.Works, job.Target.Model, job.Seed, job.Tokenizer, job.Trace)
	if err != nil {
		return nil, err
	}
	if !job.NoLearn {
		if _, err := Learn(ctx, job.Target, job.HTTP, job.Timeout, mix); err != nil {
			return nil, err
		}
	}
	mix.Prepare(maxReady)
	s := &session{job: job, mix: mix}
	s.header = Header{Version: job.Version, Config: job.config(mix)}
	if job.Shard.Count > 1 {
		s.header.Shard = fmt.Sprintf("%d/%d", job.Shard.Index, job.Shard.Count)
	}
	if job.Scrape != "" {
		s.scraper = newScraper(job.Scrape)
	}
	return s, nil
}

func (j *Job) config(m *Mix) *Config {
	c := &Config{URL: j.Target.URL, Dialect: j.Target.Dialect, Model: j.Target.Model, Seed: j.Seed, Work: m.Works(), HTTP: j.HTTP.Version,
		Reuse: !j.HTTP.NoReuse, Timeout: j.Timeout.Seconds(), Drain: j.Drain.Seconds(), Features: m.Features(), Pacing: "sleep, and wake early by what sleeps are late"}
	if c.HTTP == "" {
		c.HTTP = "1.1"
	}
	if j.Timeout <= 0 {
		c.Timeout = defaultTimeout.Seconds()
	}
	if j.Spin > 0 {
		c.Pacing = fmt.Sprintf("sleep, and wake early by what sleeps are late and by %s", j.Spin)
	}
	if j.SLO != nil {
		c.SLO = j.SLO.Text
	}
	return c
}

// play adds stages to what was measured.
func (s *session) play(ctx context.Context, stages []Stage) error {
	plan, err := NewPlan(stages, s.job.Seed, s.job.Shard)
	if err != nil {
		return err
	}
	if s.job.OnPlan != nil {
		s.job.OnPlan(plan)
	}
	c := s.header.Config
	for i := range stages {
		c.Stages = append(c.Stages, plan.Stages[i].config())
		switch loop := map[bool]string{true: "open", false: "closed"}[stages[i].Open()]; {
		case c.Loop == "":
			c.Loop = loop
		case c.Loop != loop:
			c.Loop = "mixed"
		}
	}
	o := s.job.Options
	first := s.header.Began.IsZero()
	if !first {
		o.StartAt = time.Time{}
	}
	base := s.played
	var shift int64
	var werr error
	begin := func(began time.Time) error {
		if first {
			s.header.Began = began
			if s.job.Out != "" {
				s.recorder, err = NewRecorder(filepath.Join(s.job.Out, RecordsFile), s.header)
			}
			if s.scraper != nil {
				s.scraper.start(began)
			}
		}
		shift = int64(began.Sub(s.header.Began))
		return err
	}
	o.onBegin = begin
	o.OnRecord = func(r *Record) {
		r.shift(shift)
		r.Stage += base
		if s.recorder != nil && werr == nil {
			werr = s.recorder.Write(r)
		}
		if s.job.OnRecord != nil {
			s.job.OnRecord(r)
		}
	}
	out, err := Run(ctx, plan, s.mix, o)
	if err != nil {
		return err
	}
	if werr != nil {
		return fmt.Errorf("records: %w", werr)
	}
	s.played += len(stages)
	s.part.Records = append(s.part.Records, out.Records...)
	for _, w := range out.Windows {
		s.part.Windows = append(s.part.Windows, w.shift(shift))
	}
	s.lastClient = out.Client
	s.part.Client.add(out.Client)
	s.part.Interrupted = s.part.Interrupted || out.Interrupted
	return nil
}

// shift moves the times of a record to another begin.
func (r *Record) shift(by int64) {
	if by == 0 {
		return
	}
	for _, t := range []*int64{&r.Intended, &r.Begun, &r.Sent, &r.Headers, &r.FirstEvent, &r.FirstToken, &r.FirstAnswerToken, &r.LastToken, &r.End} {
		if *t != 0 {
			*t += by
		}
	}
}

func (w Window) shift(by int64) Window {
	w.Begin, w.WarmupEnd, w.LastSend, w.End = w.Begin+by, w.WarmupEnd+by, w.LastSend+by, w.End+by
	return w
}

// add joins what is known of the client over two stretches of a run.
func (f *ClientFacts) add(g ClientFacts) {
	f.Cores, f.FileLimit = g.Cores, g.FileLimit
	f.CPU = append(f.CPU, g.CPU...)
	f.GCPauses += g.GCPauses
	f.GCPauseMax = max(f.GCPauseMax, g.GCPauseMax)
	f.GCPauseSum += g.GCPauseSum
	f.Backlog, f.HeldBack = max(f.Backlog, g.Backlog), f.HeldBack+g.HeldBack
	if g.Canary != nil && (f.Canary == nil || g.Canary.P99 > f.Canary.P99) {
		f.Canary = g.Canary // the worse one
	}
}

func (s *session) close() error {
	if s.recorder == nil {
		return nil
	}
	r := s.recorder
	s.recorder = nil
	return r.Close()
}

// result computes the result and writes load.json.
func (s *session) result() (*Result, error) {
	r, err := s.assemble()
	if err != nil {
		return nil, err
	}
	return r, s.write(r)
}

func (s *session) assemble() (*Result, error) {
	if err := s.close(); err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	r := Assemble(&s.header, []Part{s.part}, s.job.SLO)
	if s.scraper != nil {
		var remarks []string
		r.Target, remarks = s.scraper.stop()
		r.Findings = append(r.Findings, remarks...)
	}
	return r, nil
}

func (s *session) write(r *Result) error {
	if s.job.Out == "" {
		return nil
	}
	_, err := WriteResult(s.job.Out, r)
	return err
}
