package load

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClosedLoop(t *testing.T) {
	f := &fakeTarget{first: 2 * time.Millisecond, gap: time.Millisecond}
	j := newJob(f.serve(t), Stage{Concurrency: 3, Requests: 31})
	j.Out = t.TempDir()
	r := measure(t, j)
	s := r.Total
	if s.Requests != 31 || s.OK != 31 || s.OutputTokens != 31*8 || s.TokenSource != SourceUsage || s.InFlightMax > 3 || f.most.Load() > 3 {
		t.Errorf("%+v", s)
	}
	if s.Metric(TTFTFromSchedule) != nil || s.Metric(ScheduleLag) != nil {
		t.Error("a closed loop has no schedule")
	}
	for name, want := range map[string]int64{TTFT: 31, TPOT: 31, E2E: 31, ICL: 31 * 7} {
		if m := s.Metric(name); m == nil || m.Count != want {
			t.Errorf("%s: %+v, want %d samples", name, m, want)
		}
	}
	// The files hold the run, and the records alone give its figures again.
	read, err := ReadResult(filepath.Join(j.Out, ResultFile))
	if err != nil || asJSON(t, read) != asJSON(t, r) {
		t.Errorf("load.json is not the result: %v", err)
	}
	h, records, err := ReadRecordsFile(filepath.Join(j.Out, RecordsFile))
	if err != nil || len(records) != 31 || h.Config.URL != j.Target.URL {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func asJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenLoopCountsFromTheSchedule(t *testing.T) {
	f := &fakeTarget{first: 2 * time.Millisecond}
	j := newJob(f.serve(t), Stage{Rate: 200, Arrival: Poisson, Duration: time.Second})
	r := measure(t, j)
	s := r.Total
	want := len(plan(t, 1, Shard{}, j.Stages...).Stages[0].Slots)
	if s.Requests != want || s.OK != want || s.Offered != want || s.NotSent != 0 {
		t.Errorf("%d sent and %d ok of %d", s.Requests, s.OK, want)
	}
	for _, name := range []string{TTFTFromSchedule, TTFT, E2EFromSchedule, ScheduleLag, OwnLag} {
		if m := s.Metric(name); m == nil || m.Count != int64(want) || m.Min < 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if a, b := s.Metric(TTFTFromSchedule).Min, s.Metric(TTFT).Min; a < b {
		t.Errorf("from schedule %d is below %d from the send", a, b)
	}
}

// A target that stalls is seen by an open loop and hidden by a closed one.
func TestStallShowsInAnOpenLoop(t *testing.T) {
	stall := func(now time.Duration) time.Duration { // 200 ms of each 600
		if phase := now % (600 * time.Millisecond); phase < 200*time.Millisecond {
			return 200*time.Millisecond - phase
		}
		return 0
	}
	p90 := func(st Stage, metric string) time.Duration {
		f := &fakeTarget{stall: stall}
		r := measure(t, newJob(f.serve(t), st))
		q, _ := r.Total.Metric(metric).P(90)
		return time.Duration(q.Value)
	}
	open := p90(Stage{Rate: 100, Duration: 1200 * time.Millisecond}, TTFTFromSchedule)
	closed := p90(Stage{Concurrency: 1, Duration: 1200 * time.Millisecond}, TTFT)
	if open < 80*time.Millisecond || closed > open/2 {
		t.Errorf("p90 of the open loop %s, of the closed one %s", open, closed)
	}
}

func TestShardsMakeTheWholeAndMergeExactly(t *testing.T) {
	f := &fakeTarget{}
	url := f.serve(t)
	var parts []Part
	var header *Header
	dir := t.TempDir()
	for i := range 2 {
		j := newJob(url, Stage{Rate: 100, Arrival: Poisson, Duration: 500 * time.Millisecond})
		j.Shard, j.Out, j.Drain = Shard{i, 2}, filepath.Join(dir, string(rune('0'+i))), time.Second
		measure(t, j)
		h, p, err := ReadPart(j.Out)
		if err != nil {
			t.Fatal(err)
		}
		parts, header = append(parts, *p), h
	}
	merged := Assemble(header, parts, nil)
	one := Part{Records: slices.Concat(parts[0].Records, parts[1].Records), Windows: slices.Clone(parts[0].Windows)}
	for i, w := range parts[1].Windows {
		o := &one.Windows[i]
		o.Begin, o.WarmupEnd, o.LastSend, o.End = min(o.Begin, w.Begin), min(o.WarmupEnd, w.WarmupEnd), min(o.LastSend, w.LastSend), max(o.End, w.End)
		o.Offered += w.Offered
	}
	whole := Assemble(header, []Part{one}, nil)
	if !reflect.DeepEqual(merged.Total, whole.Total) {
		t.Errorf("merged %+v\nwhole %+v", merged.Total, whole.Total)
	}
	want := len(plan(t, 1, Shard{}, Stage{Rate: 100, Arrival: Poisson, Duration: 500 * time.Millisecond}).Stages[0].Slots)
	if merged.Total.Requests != want {
		t.Errorf("two shards sent %d requests of %d", merged.Total.Requests, want)
	}
}

func TestStagesDrainBeforeTheNext(t *testing.T) {
	f := &fakeTarget{first: 30 * time.Millisecond}
	r := measure(t, newJob(f.serve(t), Stage{Concurrency: 1, Requests: 2}, Stage{Concurrency: 4, Requests: 8}, Stage{Rate: 50, Requests: 5}))
	if len(r.Stages) != 3 {
		t.Fatalf("%d stages", len(r.Stages))
	}
	for i, s := range r.Stages {
		if s.Requests != []int{2, 8, 5}[i] || s.OK != s.Requests {
			t.Errorf("stage %d: %d requests, %d ok", i, s.Requests, s.OK)
		}
		if i > 0 && s.Windows[0].Begin < r.Stages[i-1].Windows[0].End {
			t.Errorf("stage %d begins before the one before has ended", i)
		}
	}
	if r.Config.Loop != "mixed" {
		t.Error(r.Config.Loop)
	}
}

func TestConversationCarriesWhatWasSaid(t *testing.T) {
	f := &fakeTarget{}
	j := newJob(f.serve(t), Stage{Concurrency: 1, Requests: 1})
	j.Works[0].Turns, j.Works[0].System = Fixed(3), "Be brief."
	j.NoLearn = true
	r := measure(t, j)
	asked := f.asked()
	if r.Total.Requests != 3 || len(asked) != 3 {
		t.Fatalf("%d requests", r.Total.Requests)
	}
	last := asked[2]["messages"].([]any)
	var roles []string
	for _, m := range last {
		roles = append(roles, m.(map[string]any)["role"].(string))
	}
	if !slices.Equal(roles, []string{"system", "user", "assistant", "user", "assistant", "user"}) {
		t.Error(roles)
	}
	if said := last[2].(map[string]any)["content"]; said != strings.Repeat("x ", 8) {
		t.Errorf("the answer was carried as %q", said)
	}
}

func TestInterruptKeepsWhatWasMeasured(t *testing.T) {
	f := &fakeTarget{}
	ctx, cancel := context.WithCancel(t.Context())
	j := newJob(f.serve(t), Stage{Rate: 100, Duration: time.Hour})
	j.Out = t.TempDir()
	n := 0
	j.OnRecord = func(*Record) {
		if n++; n == 20 {
			cancel()
		}
	}
	r, err := Measure(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Total.OK < 20 || r.Total.NotSent+r.Total.Requests != r.Total.Offered {
		t.Errorf("interrupted %v, %d ok, %d sent, %d not sent of %d", r.Interrupted, r.Total.OK, r.Total.Requests, r.Total.NotSent, r.Total.Offered)
	}
	if _, records, err := ReadRecordsFile(filepath.Join(j.Out, RecordsFile)); err != nil || len(records) != r.Total.Requests {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestLearnCalibratesPromptLengths(t *testing.T) {
	f := &fakeTarget{}
	j := newJob(f.serve(t), Stage{Concurrency: 2, Requests: 40})
	j.Works[0].PromptTokens = Fixed(100)
	r := measure(t, j)
	// The target counts words and three for its template.
	if got := float64(r.Total.PromptTokens) / float64(r.Total.Requests); math.Abs(got-100) > 1 {
		t.Errorf("prompts have %.1f tokens on average, want 100", got)
	}
	j.Works[0].PromptTokens = Fixed(37)
	j.Tokenizer = &Tokenizer{Prompt: func(_ string, m []Message) (int, error) {
		n := 3
		for _, x := range m {
			n += len(strings.Fields(x.Content))
		}
		return n, nil
	}, Text: func(s string) int { return len(strings.Fields(s)) }}
	r = measure(t, j)
	if r.Total.PromptTokens != 37*r.Total.Requests {
		t.Errorf("%d tokens in %d prompts of 37", r.Total.PromptTokens, r.Total.Requests)
	}
	for _, f := range r.Findings {
		if strings.Contains(f, "disagree") {
			t.Error(f)
		}
	}
}

func TestChunksOfSeveralTokensAreFlagged(t *testing.T) {
	f := &fakeTarget{perChunk: 4}
	r := measure(t, newJob(f.serve(t), Stage{Concurrency: 1, Requests: 3}))
	if r.Total.TokensPerChunk != 4 || !slices.ContainsFunc(r.Findings, func(s string) bool { return strings.Contains(s, "no token latency") }) {
		t.Errorf("%g tokens a chunk, %q", r.Total.TokensPerChunk, r.Findings)
	}
}

func TestNoStreamHasNoTTFT(t *testing.T) {
	f := &fakeTarget{}
	j := newJob(f.serve(t), Stage{Concurrency: 1, Requests: 3})
	j.Works[0].NoStream = true
	s := measure(t, j).Total
	if s.OK != 3 || s.Metric(TTFT) != nil || s.Metric(TPOT) != nil || s.Metric(E2E) == nil || s.OutputTokens != 24 {
		t.Errorf("%+v", s)
	}
}

func TestHTTP2AndNoReuse(t *testing.T) {
	f := &fakeTarget{}
	j := newJob(f.serve(t), Stage{Concurrency: 2, Requests: 10})
	j.HTTP.NoReuse = true
	if s := measure(t, j).Total; s.OK != 10 || s.Connections != 10 {
		t.Errorf("%d ok, %d connections without reuse", s.OK, s.Connections)
	}
	j = newJob(serveH2C(t, f), Stage{Concurrency: 4, Requests: 40})
	j.HTTP.Version, j.Out = "2", t.TempDir()
	if s := measure(t, j).Total; s.OK != 40 || s.Connections > 4 {
		t.Errorf("%d ok, %d connections over HTTP/2: %v", s.OK, s.Connections, s.Errors)
	}
	if _, records, err := ReadRecordsFile(filepath.Join(j.Out, RecordsFile)); err != nil || records[0].Proto != "HTTP/2.0" {
		t.Error(err, records[0].Proto)
	}
}

func TestNothingToMeasure(t *testing.T) {
	_, err := Measure(t.Context(), newJob("http://127.0.0.1:1", Stage{Concurrency: 1, Requests: 1}))
	var nothing ErrNothing
	if !errors.As(err, &nothing) || nothing.Kind != ErrRefused {
		t.Error(err)
	}
}
