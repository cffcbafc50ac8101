package load

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"sort"
	"strings"
	"time"
	"unicode"
)

//go:embed page/load.html
var pageHTML string

//go:embed page/load.css
var pageCSS string

var pageTemplate = template.Must(template.New("load").Parse(pageHTML))

// The page as its template sees it.
type page struct {
	Digest, Verdict, URL, Version, Started string
	CSS                                    template.CSS
	Why                                    []string
	Facts, Tiles, Asked                    []pair
	SLO                                    []pageSLO
	Search                                 *pageSearch
	Findings, Ps                           []string
	Metrics                                []pageMetric
	Survivors, Floors, Head, TimelineNote  string
	Load, Series, Distributions            []figureCard
	Target, CPU                            []figureCard
	Stages                                 []pageStage
	Timeline                               template.HTML
	Errors                                 []ErrorCount
	Client                                 []string
}

type pair struct{ Name, Value string }

type pageSLO struct {
	Term, Seen, Sure string
	Met              bool
}

type pageSearch struct {
	Head  string
	Steps []pageStep
}

type pageStep struct {
	Level, Sure, Why string
	Met              bool
	Requests         int
}

type pageMetric struct {
	Title, Mean, Max string
	Cells            []pageCell
	Count            int64
}

type pageCell struct {
	Text, Title string
	Few         bool
}

type pageStage struct {
	Label string
	Cells []string
}

type figureCard struct {
	Title    string
	Key, SVG template.HTML
}

func (c *chart) card(title string) figureCard { return figureCard{title, c.key(), c.svg()} }

// WriteHTML draws a result as one page that fetches nothing and runs no
// script.
func WriteHTML(w io.Writer, r *Result) error {
	sum := sha256.Sum256([]byte(pageCSS))
	p := page{Digest: base64.StdEncoding.EncodeToString(sum[:]), CSS: template.CSS(pageCSS), Version: plainText(r.Tool.Version),
		Started: r.Started.UTC().Format("2006-01-02 15:04:05 MST"), Why: r.Verdict.Reasons}
	p.Verdict, _, _ = strings.Cut(r.Verdict.Text, " (")
	s := &r.Total
	p.facts(r)
	for _, o := range r.SLO {
		x := pageSLO{Term: o.Term, Seen: or(o.Seen, o.Reason), Met: o.Met, Sure: "–"}
		if o.Confidence > 0 {
			x.Sure = fmt.Sprintf("%.1f %%", 100*o.Confidence)
		}
		p.SLO = append(p.SLO, x)
	}
	if f := r.Search; f != nil {
		var b strings.Builder
		(&Search{By: f.By, SLO: f.SLO, Best: f.Best, Fails: f.Fails, Confidence: f.Confidence, Reason: f.Reason}).text(&b)
		p.Search = &pageSearch{Head: b.String()}
		for _, st := range f.Steps {
			p.Search.Steps = append(p.Search.Steps, pageStep{fmt.Sprintf("%g", st.Level), fmt.Sprintf("%.1f %%", 100*st.Confidence), st.Why, st.Met, st.Requests})
		}
	}
	for _, f := range r.Findings {
		p.Findings = append(p.Findings, plainText(f))
	}
	for _, q := range Percentiles {
		p.Ps = append(p.Ps, fmt.Sprintf("p%g", q))
	}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		x := pageMetric{Title: titles[m.Name], Mean: brief(int64(m.Mean)), Max: brief(m.Max), Count: m.Count}
		for _, at := range Percentiles {
			q, _ := m.P(at)
			c := pageCell{Text: brief(q.Value), Few: !q.Enough}
			if q.High > 0 {
				c.Title = fmt.Sprintf("95 %%: %s to %s", brief(q.Low), brief(q.High))
			}
			x.Cells = append(x.Cells, c)
		}
		p.Metrics = append(p.Metrics, x)
		switch m.Name {
		case TTFT, TTFTFromSchedule, ICL, TPOT, E2E, ScheduleLag:
			p.Distributions = append(p.Distributions, figureCard{Title: titles[m.Name], SVG: histogram(m)})
		}
	}
	if s.Failed > 0 {
		p.Survivors = fmt.Sprintf("Over the %d requests that succeeded; %d failed.", s.OK, s.Failed)
	}
	p.Floors = fmt.Sprintf("p90 %d, p95 %d, p99 %d, p99.9 %d", floor(.9), floor(.95), floor(.99), floor(.999))
	p.load(r)
	p.series(r)
	for _, e := range s.Errors {
		e.Message = plainText(e.Message)
		p.Errors = append(p.Errors, e)
	}
	p.Timeline = bars(r.Timeline)
	if n := s.Requests + s.Warmup; n > len(r.Timeline) {
		p.TimelineNote = fmt.Sprintf("An even sample of %d of %d requests, the failed ones first.", len(r.Timeline), n)
	}
	for _, t := range r.Target {
		c := chart{x: axisSeconds, y: axisCount, lines: []line{{name: t.Name, pts: t.Points}}}
		title := t.Name
		if t.Kind == "rate" {
			title += " a second"
		}
		p.Target = append(p.Target, c.card(title))
	}
	for i := range r.Client {
		c := &r.Client[i]
		p.Client = append(p.Client, c.text())
		var pts [][2]float64
		for k, v := range c.CPU {
			pts = append(pts, [2]float64{float64(k + 1), 100 * v})
		}
		if len(pts) > 1 {
			ch := chart{x: axisSeconds, y: func(v float64) string { return fmt.Sprintf("%g%%", v) }, lines: []line{{name: "CPU", pts: pts}}}
			p.CPU = append(p.CPU, ch.card("CPU of the client, of all its cores"))
		}
	}
	return pageTemplate.Execute(w, p)
}

func (p *page) facts(r *Result) {
	s := &r.Total
	add := func(to *[]pair, name, format string, a ...any) {
		*to = append(*to, pair{name, plainText(fmt.Sprintf(format, a...))})
	}
	if c := r.Config; c != nil {
		p.URL = plainText(c.URL)
		if c.URL != "" {
			add(&p.Facts, "target", "%s", c.URL)
		}
		if c.Model != "" {
			add(&p.Facts, "model", "%s", c.Model)
		}
		if c.Loop != "" {
			add(&p.Facts, "loop", "%s", c.Loop)
		}
		var labels []string
		for i := range c.Stages {
			labels = append(labels, c.Stages[i].Label())
		}
		if len(labels) > 6 {
			labels = append(labels[:3:3], "…", labels[len(labels)-1])
		}
		if r.Imported == "" {
			add(&p.Facts, "load", "%s", strings.Join(labels, ", "))
			add(&p.Asked, "HTTP", "%s, %s", c.HTTP, map[bool]string{true: "connections reused", false: "a connection a request"}[c.Reuse])
			add(&p.Asked, "seed", "%d", c.Seed)
			add(&p.Asked, "pacing", "%s", c.Pacing)
			add(&p.Asked, "limits", "%gs a request, %gs to drain", c.Timeout, c.Drain)
			for _, w := range c.Work {
				b, _ := json.Marshal(w)
				add(&p.Asked, "work "+w.Name, "%s", b)
			}
			for _, st := range c.Stages {
				b, _ := json.Marshal(st)
				add(&p.Asked, "stage "+st.Name, "%s", b)
			}
		}
	}
	if r.Imported != "" {
		add(&p.Facts, "imported from", "%s", r.Imported)
	}
	add(&p.Facts, "lasted", "%s", (time.Duration(r.Seconds * float64(time.Second))).Round(100*time.Millisecond))
	if r.Shards > 0 {
		add(&p.Facts, "shards", "%d", r.Shards)
	}
	if r.Interrupted {
		add(&p.Facts, "interrupted", "what was measured by then")
	}
	add(&p.Tiles, "requests that succeeded, of "+fmt.Sprint(s.Requests), "%d", s.OK)
	add(&p.Tiles, "requests a second, steady", "%.4g", s.Steady.Requests)
	add(&p.Tiles, "output tokens a second, steady", "%.4g", s.Steady.OutputTokens)
	head := s.Metric(TTFTFromSchedule)
	name := TTFTFromSchedule
	if head == nil {
		head, name = s.Metric(TTFT), TTFT
	}
	for _, x := range []struct {
		m    *Metric
		name string
		p    float64
	}{{head, name, 50}, {head, name, 99}, {s.Metric(TPOT), TPOT, 50}, {s.Metric(E2E), E2E, 99}} {
		if x.m != nil {
			add(&p.Tiles, fmt.Sprintf("%s, p%g", titles[x.name], x.p), "%s", cell(x.m, x.p))
		}
	}
	if g := s.Goodput; g != nil {
		add(&p.Tiles, "goodput", "%.1f %%", 100*g.Share)
	}
}

// load draws latency against load, if there are several levels.
func (p *page) load(r *Result) {
	p.Head = titles[TTFT]
	name := TTFT
	if r.Total.Metric(TTFTFromSchedule) != nil {
		name = TTFTFromSchedule
		p.Head = titles[name]
	}
	if len(r.Stages) < 2 {
		return
	}
	stages := append([]StageResult{}, r.Stages...)
	load := func(s *StageResult) float64 {
		if s.Concurrency > 0 {
			return float64(s.Concurrency)
		}
		return max(s.Rate, s.SendRate)
	}
	for i := range stages {
		s := &stages[i]
		p.Stages = append(p.Stages, pageStage{s.Label, []string{fmt.Sprintf("%.4g", s.SendRate), fmt.Sprintf("%.4g", s.Steady.Requests), fmt.Sprintf("%.4g", s.Steady.OutputTokens),
			fmt.Sprintf("%.1f", s.InFlightMean), cell(s.Metric(name), 50), cell(s.Metric(name), 95), cell(s.Metric(name), 99), cell(s.Metric(TPOT), 50), cell(s.Metric(TPOT), 99), fmt.Sprint(s.Failed)}})
	}
	sort.SliceStable(stages, func(i, j int) bool { return load(&stages[i]) < load(&stages[j]) })
	unit := "requests/s"
	if stages[0].Concurrency > 0 {
		unit = "users"
	}
	x := func(v float64) string { return axisCount(v) }
	for _, m := range []string{name, TPOT, E2E} {
		c := chart{x: x, y: axisLatency, logY: true, points: true}
		for _, q := range []float64{50, 95, 99} {
			l := line{name: fmt.Sprintf("p%g", q)}
			for i := range stages {
				if mm := stages[i].Metric(m); mm != nil {
					v, _ := mm.P(q)
					l.pts = append(l.pts, [2]float64{load(&stages[i]), float64(v.Value) / 1e9})
				}
			}
			c.lines = append(c.lines, l)
		}
		p.Load = append(p.Load, c.card(titles[m]+" against "+unit))
	}
	c := chart{x: x, y: axisCount, points: true, lines: []line{{name: "output tokens a second"}}}
	for i := range stages {
		c.lines[0].pts = append(c.lines[0].pts, [2]float64{load(&stages[i]), stages[i].Steady.OutputTokens})
	}
	p.Load = append(p.Load, c.card("Output tokens a second against "+unit))
}

// series draws the run in time.
func (p *page) series(r *Result) {
	step := max(r.StepSeconds, 1e-9)
	lineOf := func(name string, of func(*Tick) float64) line {
		l := line{name: name}
		for i := range r.Series {
			l.pts = append(l.pts, [2]float64{r.Series[i].At, of(&r.Series[i])})
		}
		return l
	}
	latency := func(ns int64) float64 {
		if ns == 0 {
			return math.NaN()
		}
		return float64(ns) / 1e9
	}
	rates := chart{x: axisSeconds, y: axisCount}
	planned := false
	for _, t := range r.Series {
		planned = planned || t.Planned > 0
	}
	if planned {
		rates.lines = append(rates.lines, lineOf("planned", func(t *Tick) float64 { return float64(t.Planned) / step }))
	}
	rates.lines = append(rates.lines, lineOf("sent", func(t *Tick) float64 { return float64(t.Sent) / step }),
		lineOf("completed", func(t *Tick) float64 { return float64(t.OK) / step }))
	p.Series = append(p.Series, rates.card("Requests a second"))
	c := chart{x: axisSeconds, y: axisLatency, lines: []line{lineOf("p50", func(t *Tick) float64 { return latency(t.TTFTP50) }), lineOf("p95", func(t *Tick) float64 { return latency(t.TTFTP95) })}}
	p.Series = append(p.Series, c.card(p.Head+", by when it was due"))
	c = chart{x: axisSeconds, y: axisLatency, lines: []line{lineOf("p50", func(t *Tick) float64 { return latency(t.TPOTP50) }), lineOf("p95", func(t *Tick) float64 { return latency(t.TPOTP95) })}}
	p.Series = append(p.Series, c.card("TPOT"))
	c = chart{x: axisSeconds, y: axisCount, lines: []line{lineOf("output tokens a second", func(t *Tick) float64 { return t.Tokens / step })}}
	p.Series = append(p.Series, c.card("Output tokens a second"))
	c = chart{x: axisSeconds, y: axisCount, lines: []line{lineOf("in flight", func(t *Tick) float64 { return t.InFlight })}}
	p.Series = append(p.Series, c.card("Requests in flight"))
	if r.Total.Failed > 0 {
		c = chart{x: axisSeconds, y: axisCount, lines: []line{lineOf("failed", func(t *Tick) float64 { return float64(t.Failed) / step })}}
		p.Series = append(p.Series, c.card("Failures a second"))
	}
	if planned {
		c = chart{x: axisSeconds, y: axisLatency, lines: []line{lineOf("at most", func(t *Tick) float64 { return float64(t.LagMax) / 1e9 })}}
		p.Series = append(p.Series, c.card("Lateness of the client, at most"))
	}
}

// plainText makes text that a target wrote safe to show: control characters
// and those that turn the direction of writing become visible.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20:
			return 0x2400 + r
		case unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r):
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
