package load

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// A chart is a plot of lines over a common axis, drawn as SVG. Its classes are
// those of page/load.css.
type chart struct {
	lines  []line
	x, y   func(float64) string // labels of the axes
	logY   bool
	points bool // marks each point
}

// A line is one series: points of x and y; NaN breaks it.
type line struct {
	name string
	pts  [][2]float64
}

const (
	chartW, chartH         = 560.0, 210.0
	left, right, top, base = 58.0, 14.0, 10.0, 26.0
)

var lineClass = []string{"la", "lb", "lc", "ld"}

// svg draws the chart; it is empty where there is nothing to draw.
func (c *chart) svg() template.HTML {
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, p := range l.pts {
			if math.IsNaN(p[1]) || c.logY && p[1] <= 0 {
				continue
			}
			x0, x1, y0, y1 = min(x0, p[0]), max(x1, p[0]), min(y0, p[1]), max(y1, p[1])
		}
	}
	if math.IsInf(x0, 1) {
		return `<p class="note">nothing to draw</p>`
	}
	if x1 == x0 {
		x1 = x0 + 1
	}
	var ticks []float64
	if c.logY {
		y0, y1 = math.Pow(10, math.Floor(math.Log10(y0))), math.Pow(10, math.Ceil(math.Log10(y1)))
		if y1 <= y0 {
			y1 = 10 * y0
		}
		for v := y0; v <= y1*1.001; v *= 10 {
			ticks = append(ticks, v)
		}
	} else {
		y0 = 0
		if y1 <= 0 {
			y1 = 1
		}
		ticks = niceTicks(y0, y1, 4)
		y1 = max(y1, ticks[len(ticks)-1])
	}
	X := func(v float64) float64 { return left + (v-x0)/(x1-x0)*(chartW-left-right) }
	Y := func(v float64) float64 {
		s := (v - y0) / (y1 - y0)
		if c.logY {
			s = math.Log(v/y0) / math.Log(y1/y0)
		}
		return chartH - base - s*(chartH-top-base)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img">`, chartW, chartH)
	for _, v := range ticks {
		fmt.Fprintf(&b, `<line class="gridline" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`,
			left, chartW-right, Y(v), Y(v), left-6, Y(v)+4, template.HTMLEscapeString(c.y(v)))
	}
	for _, v := range niceTicks(x0, x1, 6) {
		if v < x0 || v > x1 {
			continue
		}
		anchor := "middle"
		if X(v) > chartW-right-20 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="%s">%s</text>`, X(v), chartH-8, anchor, template.HTMLEscapeString(c.x(v)))
	}
	fmt.Fprintf(&b, `<line class="axis" x1="%g" x2="%g" y1="%g" y2="%g"/>`, left, chartW-right, chartH-base, chartH-base)
	for i, l := range c.lines {
		class := lineClass[i%len(lineClass)]
		var path strings.Builder
		pen := "M"
		for _, p := range l.pts {
			if math.IsNaN(p[1]) || c.logY && p[1] <= 0 {
				pen = "M"
				continue
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", pen, X(p[0]), Y(p[1]))
			pen = "L"
		}
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, class, path.String())
		few := len(l.pts) <= 120
		for _, p := range l.pts {
			if math.IsNaN(p[1]) || c.logY && p[1] <= 0 || !few && !c.points {
				continue
			}
			r := 1.6
			if c.points {
				r = 3
			}
			fmt.Fprintf(&b, `<circle class="dot d%s" cx="%.1f" cy="%.1f" r="%g"><title>%s: %s, %s</title></circle>`, class[1:], X(p[0]), Y(p[1]), r,
				template.HTMLEscapeString(l.name), template.HTMLEscapeString(c.x(p[0])), template.HTMLEscapeString(c.y(p[1])))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// key names the lines, if there are several.
func (c *chart) key() template.HTML {
	if len(c.lines) < 2 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<div class="key">`)
	for i, l := range c.lines {
		fmt.Fprintf(&b, `<span><i class="k%s"></i>%s</span>`, lineClass[i%len(lineClass)][1:], template.HTMLEscapeString(l.name))
	}
	b.WriteString(`</div>`)
	return template.HTML(b.String())
}

// niceTicks are round values from lo to at least hi.
func niceTicks(lo, hi float64, n int) []float64 {
	raw := (hi - lo) / float64(n)
	if !(raw > 0) {
		return []float64{lo}
	}
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * mag
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*mag >= raw*0.999 {
			step = m * mag
			break
		}
	}
	var out []float64
	for v := math.Floor(lo/step) * step; ; v += step {
		out = append(out, v)
		if v >= hi {
			return out
		}
	}
}

// histogram draws bins on a logarithmic scale with some percentiles.
func histogram(m *Metric) template.HTML {
	if len(m.Bins) == 0 {
		return ""
	}
	const perDecade = 20
	lo := math.Floor(math.Log10(float64(m.Bins[0].From))*perDecade - 0.5)
	hi := math.Ceil(math.Log10(float64(m.Bins[len(m.Bins)-1].From))*perDecade + 1.5)
	if hi-lo < perDecade/2 {
		lo, hi = lo-5, hi+5
	}
	most := int64(0)
	for _, b := range m.Bins {
		most = max(most, b.Count)
	}
	X := func(ns float64) float64 {
		return left + (math.Log10(ns)*perDecade-lo)/(hi-lo)*(chartW-left-right)
	}
	h := chartH - top - base - 14
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img">`, chartW, chartH)
	for _, v := range niceTicks(0, float64(most), 3) {
		if v > float64(most) {
			break
		}
		y := chartH - base - v/float64(most)*h
		fmt.Fprintf(&b, `<line class="gridline" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%g</text>`, left, chartW-right, y, y, left-6, y+4, v)
	}
	wide := (chartW - left - right) / (hi - lo)
	for _, bin := range m.Bins {
		bar := float64(bin.Count) / float64(most) * h
		fmt.Fprintf(&b, `<rect class="hist" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>from %s: %d</title></rect>`, X(float64(bin.From)), chartH-base-bar, max(wide-1, 0.8), bar, brief(bin.From), bin.Count)
	}
	for d := math.Floor(lo / perDecade); d <= hi/perDecade; d++ {
		for _, k := range []float64{1, 2, 5} {
			ns := k * math.Pow(10, d)
			if x := X(ns); x >= left && x <= chartW-right && (k == 1 || hi-lo < 2.2*perDecade) {
				fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x, chartH-8, brief(int64(ns)))
			}
		}
	}
	end := 0.0
	for _, p := range []float64{50, 95, 99} {
		q, ok := m.P(p)
		if !ok || q.Value <= 0 {
			continue
		}
		x := X(float64(q.Value))
		fmt.Fprintf(&b, `<line class="rule" x1="%.1f" x2="%.1f" y1="%g" y2="%g"><title>p%g %s</title></line>`, x, x, top+12, chartH-base, p, brief(q.Value))
		if x > end {
			fmt.Fprintf(&b, `<text class="rulet" x="%.1f" y="%g" text-anchor="middle">p%g</text>`, x, top+8, p)
			end = x + 26
		}
	}
	fmt.Fprintf(&b, `<line class="axis" x1="%g" x2="%g" y1="%g" y2="%g"/></svg>`, left, chartW-right, chartH-base, chartH-base)
	return template.HTML(b.String())
}

// bars draws the timeline. Requests share a lane where they do not overlap.
func bars(all []Bar) template.HTML {
	if len(all) == 0 {
		return ""
	}
	const w, most = 1160.0, 80
	end := int64(1)
	for _, r := range all {
		end = max(end, r.End)
	}
	X := func(ns int64) float64 { return 14 + float64(ns)/float64(end)*(w-28) }
	lanes := []int64{}
	lane := make([]int, len(all))
	for i, r := range all {
		from := r.Sent
		if r.Intended > 0 {
			from = min(from, r.Intended)
		}
		k := 0
		for k < len(lanes) && lanes[k] > from {
			k++
		}
		if k == len(lanes) {
			lanes = append(lanes, 0)
		}
		lanes[k] = r.End + end/1000
		lane[i] = k
	}
	row := 12.0
	switch n := len(lanes); {
	case n > most:
		row = 4
	case n > most/4:
		row = 7
	}
	height := top + row*float64(len(lanes)) + base
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img">`, w, height)
	for _, v := range niceTicks(0, float64(end)/1e9, 10) {
		x := X(int64(v * 1e9))
		if x > w-14 {
			continue
		}
		fmt.Fprintf(&b, `<line class="gridline" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text x="%.1f" y="%g" text-anchor="middle">%gs</text>`, x, x, top, height-base, x, height-8, v)
	}
	rect := func(class string, from, to int64, y float64, tip string) {
		if to > from {
			fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`, class, X(from), y, max(0.6, X(to)-X(from)), row-1.5, tip)
		}
	}
	for i, r := range all {
		y := top + row*float64(lane[i])
		tip := fmt.Sprintf("request %d", r.Index)
		if r.FirstToken > 0 {
			tip += ", TTFT " + brief(r.FirstToken-r.Sent)
		}
		tip += ", in all " + brief(r.End-r.Sent)
		if r.Error != "" {
			tip += ", " + r.Error
		}
		tip = template.HTMLEscapeString(tip)
		if r.Intended > 0 {
			rect("lag", r.Intended, r.Sent, y, tip)
		}
		switch {
		case r.Error != "":
			rect("bad", r.Sent, max(r.End, r.Sent+1), y, tip)
		case r.FirstToken > 0:
			rect("wait", r.Sent, r.FirstToken, y, tip)
			rect("gen", r.FirstToken, r.End, y, tip)
		default:
			rect("wait", r.Sent, r.End, y, tip)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func axisSeconds(v float64) string { return fmt.Sprintf("%gs", math.Round(v*100)/100) }

func axisCount(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}

func axisLatency(v float64) string { return brief(int64(v * float64(time.Second))) }
