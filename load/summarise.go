package load

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles are those that are stated.
var Percentiles = []float64{50, 75, 90, 95, 99, 99.9}

// A figure is one that each request has at most one value of.
var figures = []struct {
	name string
	of   func(*Record) (int64, bool)
	all  bool // of failed requests too
}{
	{TTFTFromSchedule, (*Record).TTFTFromSchedule, false},
	{TTFT, (*Record).TTFT, false},
	{TPOT, (*Record).TPOT, false},
	{E2EFromSchedule, (*Record).E2EFromSchedule, false},
	{E2E, (*Record).E2E, false},
	{ScheduleLag, (*Record).Lag, true},
	{OwnLag, (*Record).OwnLag, true},
	{ConnectTime, func(r *Record) (int64, bool) {
		return r.DNS + r.Connect + r.TLS, !r.Reused && r.Connect > 0
	}, true},
}

// summarise works out the figures of records; windows has one window of each
// shard, and slo may be nil.
func summarise(records []*Record, windows []Window, slo *SLO) Summary {
	s := Summary{FinishReasons: map[string]int{}, Flags: map[string]int{}}
	var span Window
	for i, w := range windows {
		if i == 0 {
			span = w
			continue
		}
		span.Begin, span.WarmupEnd = min(span.Begin, w.Begin), min(span.WarmupEnd, w.WarmupEnd)
		// Of several shards the first to drain ends the steady window.
		span.LastSend, span.End = min(span.LastSend, w.LastSend), max(span.End, w.End)
		span.Offered, span.NotSent = span.Offered+w.Offered, span.NotSent+w.NotSent
	}
	s.Offered, s.NotSent = span.Offered, span.NotSent
	values := make([][]int64, len(figures))
	gaps := newGaps()
	kinds := map[string]*ErrorCount{}
	sources := map[string]int{}
	chunked, chunks := 0, 0
	sentSteady, sent := 0, 0
	for _, r := range records {
		sent++
		if r.Begun >= span.WarmupEnd && r.Begun <= span.LastSend {
			sentSteady++
		}
		if !r.Reused && r.Connect > 0 {
			s.Connections++
		}
		if r.Warmup {
			s.Warmup++
			continue
		}
		s.Requests++
		switch {
		case r.OK():
			s.OK++
		case r.Error == ErrCancelled:
			s.Cancelled++
		default:
			s.Failed++
		}
		if !r.OK() {
			k := kinds[r.Error]
			if k == nil {
				k = &ErrorCount{Kind: r.Error, Message: r.Message}
				kinds[r.Error] = k
			}
			k.Count++
		}
		if r.FinishReason != "" {
			s.FinishReasons[r.FinishReason]++
		}
		for _, f := range r.Flags {
			s.Flags[f]++
		}
		s.PromptTokens += r.PromptTokens
		s.CachedTokens += r.CachedTokens
		s.ReasoningTokens += r.ReasoningTokens
		n, source := r.Tokens()
		s.OutputTokens += n
		for i, f := range figures {
			if v, ok := f.of(r); ok && (r.OK() || f.all) {
				values[i] = append(values[i], v)
			}
		}
		if r.OK() {
			if n > 0 {
				sources[source]++
			}
			for _, g := range r.Gaps {
				gaps.RecordValue(max(1, int64(g)))
			}
			if r.OutputTokens > 0 && r.Chunks > 0 {
				chunked, chunks = chunked+r.OutputTokens, chunks+r.Chunks
			}
		}
	}
	for _, k := range kinds {
		s.Errors = append(s.Errors, *k)
	}
	slices.SortFunc(s.Errors, func(a, b ErrorCount) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Kind, b.Kind)) })
	for name := range sources {
		if s.TokenSource != "" {
			s.TokenSource = "mixed"
			break
		}
		s.TokenSource = name
	}
	if chunks > 0 {
		s.TokensPerChunk = math.Round(1000*float64(chunked)/float64(chunks)) / 1000
	}
	for i, f := range figures {
		if len(values[i]) > 0 {
			s.Metrics = append(s.Metrics, newMetric(f.name, values[i]))
		}
		if f.name == TTFT && gaps.TotalCount() > 0 {
			s.Metrics = append(s.Metrics, gapMetric(gaps))
		}
	}
	if d := float64(span.LastSend-span.WarmupEnd) / 1e9; d > 0 {
		s.SendRate = float64(sentSteady) / d
		if span.Offered > 0 {
			s.PlannedRate = float64(span.Offered) / (float64(span.LastSend-span.Begin) / 1e9)
		}
	}
	s.Steady = throughput(records, span.WarmupEnd, span.LastSend)
	s.Whole = throughput(records, span.Begin, span.End)
	s.InFlightMean, s.InFlightMax = inFlight(records, span.WarmupEnd, span.LastSend)
	if slo != nil {
		s.Goodput = slo.goodput(records, s.Steady.Seconds, span)
	}
	return s
}

// newMetric sorts values.
func newMetric(name string, values []int64) Metric {
	slices.Sort(values)
	m := Metric{Name: name, Count: int64(len(values)), Min: values[0], Max: values[len(values)-1]}
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	m.Mean = math.Round(sum / float64(len(values)))
	for _, p := range Percentiles {
		q := Percentile{P: p, Value: quantile(values, p/100), Floor: floor(p / 100)}
		q.Enough = len(values) >= q.Floor
		q.Low, q.High, _ = interval(values, p/100, 0.95)
		m.Percentiles = append(m.Percentiles, q)
	}
	m.Bins = bins(func(visit func(int64, int64)) {
		for _, v := range values {
			visit(v, 1)
		}
	})
	return m
}

// newGaps counts gaps between chunks in microseconds, with three digits.
func newGaps() *hdrhistogram.Histogram { return hdrhistogram.New(1, 1<<31, 3) }

func gapMetric(h *hdrhistogram.Histogram) Metric {
	m := Metric{Name: ICL, Count: h.TotalCount(), Mean: math.Round(h.Mean() * 1000), Min: h.Min() * 1000, Max: h.Max() * 1000}
	for _, p := range Percentiles {
		f := floor(p / 100)
		m.Percentiles = append(m.Percentiles, Percentile{P: p, Value: h.ValueAtQuantile(p) * 1000, Floor: f, Enough: m.Count >= int64(f)})
	}
	m.Bins = bins(func(visit func(int64, int64)) {
		for _, b := range h.Distribution() {
			if b.Count > 0 {
				visit(b.From*1000, b.Count)
			}
		}
	})
	return m
}

// bins lays values on a logarithmic scale, twenty bins a decade.
func bins(each func(visit func(value, count int64))) []Bin {
	const perDecade = 20
	counts := map[int]int64{}
	each(func(v, n int64) {
		counts[int(math.Floor(math.Log10(float64(max(v, 1000)))*perDecade))] += n
	})
	var out []Bin
	keys := make([]int, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, Bin{int64(math.Round(math.Pow(10, float64(k)/perDecade))), counts[k]})
	}
	return out
}

// throughput is what was done from one time to another. Tokens count when
// they came: those of a request are spread over its chunks evenly.
func throughput(records []*Record, from, to int64) Throughput {
	t := Throughput{Seconds: float64(to-from) / 1e9}
	if t.Seconds <= 0 {
		return Throughput{}
	}
	requests, output, prompt := 0, 0.0, 0
	for _, r := range records {
		if r.OK() && r.End >= from && r.End <= to {
			requests++
		}
		if r.FirstToken >= from && r.FirstToken <= to || r.FirstToken == 0 && r.OK() && r.End >= from && r.End <= to {
			prompt += r.PromptTokens
		}
		n, _ := r.Tokens()
		each(r, float64(n), func(at int64, tokens float64) {
			if at >= from && at <= to {
				output += tokens
			}
		})
	}
	t.Requests, t.OutputTokens, t.PromptTokens = float64(requests)/t.Seconds, output/t.Seconds, float64(prompt)/t.Seconds
	return t
}

// each visits the chunks of a request, its n tokens spread over them.
func each(r *Record, n float64, visit func(at int64, tokens float64)) {
	if r.FirstToken == 0 {
		if r.LastToken > 0 {
			visit(r.LastToken, n)
		}
		return
	}
	per := n / float64(len(r.Gaps)+1)
	at := r.FirstToken
	visit(at, per)
	for _, g := range r.Gaps {
		at += int64(g) * 1000
		visit(at, per)
	}
}

// inFlight is how many requests were under way between two times.
func inFlight(records []*Record, from, to int64) (mean float64, most int) {
	if to <= from {
		return 0, 0
	}
	type edge struct {
		at int64
		by int
	}
	var edges []edge
	sum := 0.0
	for _, r := range records {
		a, b := max(r.Begun, from), min(r.End, to)
		if b > a {
			sum += float64(b - a)
			edges = append(edges, edge{a, 1}, edge{b, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), a.by-b.by) })
	n := 0
	for _, e := range edges {
		n += e.by
		most = max(most, n)
	}
	return sum / float64(to-from), most
}

// series is the run in steps.
func series(records []*Record, end int64) (step float64, ticks []Tick) {
	const most = 600
	step = 1
	for _, s := range []float64{1, 2, 5, 10, 30, 60, 300, 600, 3600} {
		if step = s; float64(end)/1e9/s <= most {
			break
		}
	}
	n := min(int(float64(end)/1e9/step)+1, 10*most)
	ticks = make([]Tick, n)
	ttft, tpot := make([][]int64, n), make([][]int64, n)
	slot := func(at int64) int { return min(max(0, int(float64(at)/1e9/step)), n-1) }
	for i := range ticks {
		ticks[i].At = float64(i) * step
	}
	for _, r := range records {
		due := r.Begun
		if r.Intended > 0 {
			due = r.Intended
			ticks[slot(due)].Planned++
		}
		t := &ticks[slot(r.Begun)]
		t.Sent++
		if lag, ok := r.OwnLag(); ok {
			t.LagMax = max(t.LagMax, lag)
		}
		for k := slot(r.Begun); k <= slot(r.End); k++ {
			from, to := max(float64(r.Begun)/1e9, ticks[k].At), min(float64(r.End)/1e9, ticks[k].At+step)
			ticks[k].InFlight += max(0, to-from) / step
		}
		switch e := &ticks[slot(r.End)]; {
		case r.OK():
			e.OK++
		case r.Error != ErrCancelled:
			e.Failed++
		}
		tokens, _ := r.Tokens()
		each(r, float64(tokens), func(at int64, n float64) { ticks[slot(at)].Tokens += n })
		if !r.OK() {
			continue
		}
		v, ok := r.TTFTFromSchedule()
		if !ok {
			v, ok = r.TTFT()
		}
		if ok {
			ttft[slot(due)] = append(ttft[slot(due)], v)
		}
		if v, ok := r.TPOT(); ok {
			tpot[slot(due)] = append(tpot[slot(due)], v)
		}
	}
	for i := range ticks {
		t := &ticks[i]
		t.InFlight = math.Round(t.InFlight*100) / 100
		t.Tokens = math.Round(t.Tokens*10) / 10
		slices.Sort(ttft[i])
		slices.Sort(tpot[i])
		t.TTFTP50, t.TTFTP95 = quantile(ttft[i], 0.5), quantile(ttft[i], 0.95)
		t.TPOTP50, t.TPOTP95 = quantile(tpot[i], 0.5), quantile(tpot[i], 0.95)
	}
	return step, ticks
}

// sample is an even sample of the requests, with every failed one as far as
// there is room.
func sample(records []*Record) []Bar {
	const most = 400
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b *Record) int { return cmp.Compare(a.Begun, b.Begun) })
	var bars []Bar
	for i, r := range sorted {
		if len(sorted) > most && i*most/len(sorted) == (i-1)*most/len(sorted) && i > 0 && (r.OK() || len(bars) > most+most/4) {
			continue
		}
		n, _ := r.Tokens()
		sent := r.Sent
		if sent == 0 {
			sent = r.Begun
		}
		bars = append(bars, Bar{r.Index, r.Intended, sent, r.FirstToken, r.End, r.Error, n})
	}
	return bars
}

// Part is what one shard has measured, as [Assemble] takes it.
type Part struct {
	Records     []*Record
	Windows     []Window
	Client      ClientFacts
	Interrupted bool
}

// Assemble computes the result of a run from what its shards have measured.
// It is exact: the result of several parts is that of their records in one.
func Assemble(h *Header, parts []Part, slo *SLO) *Result {
	r := &Result{Format: ResultFormat, Tool: reportsTool(h.Version), Started: h.Began, Config: h.Config}
	if len(parts) > 1 {
		r.Shards = len(parts)
	}
	var all []*Record
	end := int64(0)
	for _, p := range parts {
		all = append(all, p.Records...)
		r.Client = append(r.Client, p.Client)
		r.Interrupted = r.Interrupted || p.Interrupted
		for _, w := range p.Windows {
			end = max(end, w.End)
		}
	}
	slices.SortStableFunc(all, func(a, b *Record) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Turn, b.Turn))
	})
	for _, x := range all {
		end = max(end, x.End)
	}
	r.Seconds = math.Round(float64(end)/1e6) / 1e3
	var totals []Window
	for i := range h.Config.Stages {
		var windows []Window
		for _, p := range parts {
			if i < len(p.Windows) {
				windows = append(windows, p.Windows[i])
			}
		}
		if len(windows) == 0 {
			continue
		}
		var mine []*Record
		for _, x := range all {
			if x.Stage == i {
				mine = append(mine, x)
			}
		}
		r.Stages = append(r.Stages, StageResult{StageConfig: h.Config.Stages[i], Label: h.Config.Stages[i].Label(), Windows: windows, Summary: summarise(mine, windows, slo)})
	}
	for _, p := range parts {
		if n := len(p.Windows); n > 0 {
			w := p.Windows[0]
			w.LastSend, w.End = p.Windows[n-1].LastSend, p.Windows[n-1].End
			for _, x := range p.Windows[1:] {
				w.Offered, w.NotSent = w.Offered+x.Offered, w.NotSent+x.NotSent
			}
			totals = append(totals, w)
		}
	}
	r.Total = summarise(all, totals, slo)
	r.StepSeconds, r.Series = series(all, end)
	r.Timeline = sample(all)
	if slo != nil {
		r.SLO = slo.judge(&r.Total, all)
	}
	r.Verdict = certify(r)
	r.Findings = findings(r, all)
	return r
}

// findings are what a reader should know besides the figures.
func findings(r *Result, all []*Record) []string {
	var out []string
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	t := &r.Total
	if t.Requests > 0 && t.OK == 0 {
		say("no request succeeded: there are no latency figures")
	} else if t.Failed > 0 {
		say("%d of %d requests failed; the percentiles are over the %d that succeeded", t.Failed, t.Requests-t.Cancelled, t.OK)
	}
	if t.NotSent > 0 {
		say("%d of %d planned requests were never sent, since the run was interrupted", t.NotSent, t.Offered)
	}
	if t.TokensPerChunk > 1.05 {
		say("chunks carry %.2f tokens on average: inter-chunk latency is no token latency here", t.TokensPerChunk)
	}
	if t.TokenSource == SourceChunks {
		say("the target sends no usage: output tokens are counted as chunks")
	} else if t.TokenSource == "mixed" {
		say("the number of output tokens is known from usage for some requests only")
	}
	both, differ, short, asked, wrongPrompt, prompts := 0, 0, 0, 0, 0, 0
	cached := 0
	for _, x := range all {
		if x.Warmup || !x.OK() {
			continue
		}
		if x.OutputTokens > 0 && x.CountedTokens > 0 {
			if both++; x.OutputTokens != x.CountedTokens {
				differ++
			}
		}
		if n, source := x.Tokens(); x.AskedOutput > 0 && source != SourceChunks {
			if asked++; n < x.AskedOutput {
				short++
			}
		}
		if x.AskedPrompt > 0 && x.PromptTokens > 0 {
			prompts++
			if d := math.Abs(float64(x.PromptTokens - x.AskedPrompt)); d > 1 && d > 0.1*float64(x.AskedPrompt) {
				wrongPrompt++
			}
		}
		cached += x.CachedTokens
	}
	if differ > 0 {
		say("usage and the tokenizer disagree on the output of %d of %d requests", differ, both)
	}
	if short > 0 {
		say("%d of %d answers are shorter than asked for", short, asked)
	}
	if wrongPrompt > 0 {
		say("%d of %d prompts are more than 10 %% longer or shorter than asked for; give the tokenizer (--tokenizer FILE.gguf) for exact lengths", wrongPrompt, prompts)
	}
	if cached > 0 {
		say("%d of %d prompt tokens came from the target's prefix cache", cached, t.PromptTokens)
	}
	for flag, text := range map[string]string{
		flagNoDone: "streams ended without data: [DONE]", flagGzip: "answers were compressed though not asked for; times are those of the compressed bytes",
		flagBadEvent: "streams had events that are no JSON", flagHuge: "streams had events over 4 MiB, which were not kept whole",
		flagOpen: "streams stayed open behind data: [DONE]", flagJSON: "answers came as one JSON document though a stream was asked for",
	} {
		if n := t.Flags[flag]; n > 0 {
			say("%d %s", n, text)
		}
	}
	slices.Sort(out)
	if r.Config != nil {
		for _, d := range r.Config.Features.Dropped {
			say("left out: %s", d)
		}
	}
	return out
}
