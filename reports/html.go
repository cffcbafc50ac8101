package reports

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the parts of the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The parts of the page. They are put into one file, which fetches nothing.
var (
	//go:embed page/report.html
	pageHTML string
	//go:embed page/report.css
	pageCSS string
	//go:embed page/report.js
	pageJS string
)

var pageTemplate = template.Must(template.New("report").Parse(pageHTML))

// How many bytes of the start and of the end of a body the page shows, and of
// one text of a finding. result.json has all.
const (
	pageBodyHead = 8 << 10
	pageBodyTail = 4 << 10
	pageText     = 4 << 10
)

// WriteHTML writes the result as one HTML page that fetches nothing. Without
// JavaScript it shows every clause with its findings; with it, also the
// recorded exchanges, and filters.
//
// What an endpoint sent is hostile until shown otherwise: html/template
// escapes it, and a content security policy allows the one script and the one
// style sheet that the page brings, by their digests, and nothing else.
func WriteHTML(w io.Writer, r *Result) error {
	return pageTemplate.Execute(w, newPage(r))
}

// A page is what the template sees.
type page struct {
	Result    Result // what of it the template shows is made visible
	Word      string
	Sentence  string
	Mood      string // good, bad or open: how the page is tinted
	When      string
	Machine   string // the same time for machines
	Took      string
	Requests  string
	Tokens    string
	Counts    []pageCount
	Urgent    []pageUrgent
	Areas     []pageArea
	Levels    []string
	Exchanges []pageExchange
	Abilities []capabilityRow
	Waivers   []pageWaiver
	Legend    []pageLegend
	CSS       template.CSS
	JS        template.JS
	Policy    string
}

type pageCount struct {
	Status Status
	Sign   string
	N      int
	X      int // where its part of a bar starts
}

type pageLegend struct {
	Status Status
	Sign   string
	Means  string
}

// A pageWaiver is a waiver and what its owner should do about it.
type pageWaiver struct {
	Waiver
	Says string
}

// A pageUrgent is a list of clauses that a reader should see first.
type pageUrgent struct {
	Title   string
	Status  Status
	Sign    string
	Clauses []pageClause
}

type pageArea struct {
	ID      string
	Title   string
	N       int
	Counts  []pageCount
	Words   string // the counts, as words
	Clauses []pageClause
}

type pageClause struct {
	Verdict
	Sign     string
	Why      string // in a line
	Findings []pageFinding
	// Shown are the exchanges that the page holds, as indices in Exchanges;
	// those of findings stand first.
	Shown string
	// Missing are the ids of exchanges that the document does not hold.
	Missing string
	// Named are the ids of all exchanges that were judged.
	Named string
}

type pageFinding struct {
	Finding
	Index int // in Exchanges; -1: not there
}

type pageExchange struct {
	Index           int      `json:"-"`
	ID              string   `json:"id"`
	Method          string   `json:"method"`
	URL             string   `json:"url"`
	RequestHeaders  []string `json:"request_headers,omitempty"`
	Request         pageBody `json:"request"`
	Status          int      `json:"status"`
	ResponseHeaders []string `json:"response_headers,omitempty"`
	Response        pageBody `json:"response"`
	Error           string   `json:"error,omitempty"`
	Took            string   `json:"took"`
}

// A pageBody is a body whose middle may be left out.
type pageBody struct {
	Head string `json:"head"`
	Left int    `json:"left,omitempty"`
	Tail string `json:"tail,omitempty"`
}

var legend = map[Status]string{
	Pass:         "evidence shows that the clause is kept",
	Fail:         "evidence shows that a MUST is broken",
	Warn:         "evidence shows that a SHOULD is not kept",
	Info:         "a MAY: what was seen is recorded",
	Skip:         "does not apply to this target",
	Unsupported:  "the target refuses the parameter and says so",
	Inconclusive: "could not be shown either way",
	Waived:       "broken, and accepted by the target's owner",
	Error:        "the harness itself went wrong",
}

func newPage(r *Result) *page {
	p := &page{
		Result:   visibleResult(r),
		Mood:     "bad",
		When:     r.Started.UTC().Format("2 January 2006, 15:04 UTC"),
		Machine:  r.Started.UTC().Format("2006-01-02T15:04:05Z"),
		Took:     duration(r.Seconds),
		Requests: thousands(r.Summary.Requests),
		Tokens:   thousands(r.Summary.Tokens),
		CSS:      template.CSS(pageCSS),
		JS:       template.JS(pageJS),
		Policy: fmt.Sprintf("default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'",
			digest(pageJS), digest(pageCSS)),
	}
	p.Word, p.Sentence = headline(r)
	switch {
	case r.Interrupted, r.Profile == "paper", r.Summary.ExitCode == ExitNotJudged:
		p.Mood = "open"
	case r.Summary.Conformant:
		p.Mood = "good"
	}

	index := p.addExchanges(r.Exchanges)
	total := make(map[Status]int)
	for _, a := range byArea(r) {
		view := pageArea{ID: visible(a.ID), Title: visible(a.Title), N: len(a.Verdicts), Counts: counts(a.Counts)}
		var words []string
		for _, c := range view.Counts {
			words = append(words, fmt.Sprintf("%d %s", c.N, c.Status))
			total[c.Status] += c.N
		}
		view.Words = strings.Join(words, ", ")
		for _, v := range a.Verdicts {
			c := newPageClause(v, index)
			view.Clauses = append(view.Clauses, c)
			if !slices.Contains(p.Levels, c.Level) {
				p.Levels = append(p.Levels, c.Level)
			}
		}
		p.Areas = append(p.Areas, view)
	}
	p.Counts = counts(total)

	for _, u := range []pageUrgent{
		{Title: "Broken", Status: Fail},
		{Title: "Harness errors", Status: Error},
		{Title: "Warnings", Status: Warn},
	} {
		u.Sign = symbol(u.Status)
		for _, a := range p.Areas {
			for _, c := range a.Clauses {
				if c.Verdict.Verdict == u.Status {
					u.Clauses = append(u.Clauses, c)
				}
			}
		}
		if len(u.Clauses) > 0 {
			p.Urgent = append(p.Urgent, u)
		}
	}
	for _, c := range capabilityRows(r) {
		p.Abilities = append(p.Abilities, capabilityRow{visible(c.Parameter), visible(c.Support), visible(c.Routes), visible(c.How)})
	}
	for _, w := range r.Waivers {
		says := cmp.Or(waiverSays(w), w.Reason)
		p.Waivers = append(p.Waivers, pageWaiver{Waiver{visible(w.Clause), visible(w.Reason), visible(w.Until), visible(w.State)}, short(visible(says), pageText)})
	}
	for _, s := range Statuses {
		p.Legend = append(p.Legend, pageLegend{s, symbol(s), legend[s]})
	}
	return p
}

func visibleResult(r *Result) Result {
	shown := *r
	shown.Format, shown.Profile = visible(r.Format), visible(r.Profile)
	shown.Tool = Tool{visible(r.Tool.Name), visible(r.Tool.Version)}
	shown.Target = Target{visible(r.Target.URL), visible(r.Target.Dialect), visible(r.Target.Kind), visible(r.Target.Model)}
	shown.Calibration = nil
	for _, f := range r.Calibration {
		shown.Calibration = append(shown.Calibration, Fact{visible(f.Name), visible(f.Route), short(visible(f.Value), pageText), f.OK})
	}
	return shown
}

func counts(by map[Status]int) []pageCount {
	var all []pageCount
	x := 0
	for _, s := range Statuses {
		if n := by[s]; n > 0 {
			all = append(all, pageCount{s, symbol(s), n, x})
			x += n
		}
	}
	return all
}

func newPageClause(v Verdict, index map[string]int) pageClause {
	c := pageClause{Verdict: v, Sign: symbol(v.Verdict), Why: cut(message(v), 240)}
	c.Clause, c.Area, c.Level = visible(v.Clause), visible(v.Area), visible(v.Level)
	c.Statement, c.Source = visible(v.Statement), visible(v.Source)
	c.Reason = short(visible(v.Reason), pageText)

	var ids []string
	for _, f := range v.Findings {
		view := pageFinding{Index: -1, Finding: Finding{
			Exchange: visible(f.Exchange),
			Route:    visible(f.Route),
			Where:    visible(f.Where),
			Expected: short(visible(f.Expected), pageText),
			Seen:     short(visible(f.Seen), pageText),
			Curl:     oneCommand(f.Curl),
		}}
		if i, ok := index[f.Exchange]; ok {
			view.Index = i
		}
		c.Findings = append(c.Findings, view)
		ids = append(ids, f.Exchange)
	}
	ids = append(ids, v.Evidence...)

	var shown, missing, named []string
	seen := make(map[string]bool)
	for _, id := range ids {
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		named = append(named, visible(id))
		if i, ok := index[id]; ok {
			shown = append(shown, strconv.Itoa(i))
		} else {
			missing = append(missing, visible(id))
		}
	}
	c.Shown, c.Missing, c.Named = strings.Join(shown, " "), strings.Join(missing, ", "), strings.Join(named, ", ")
	return c
}

// addExchanges puts every exchange on the page once, and returns where.
func (p *page) addExchanges(exchanges map[string]Exchange) map[string]int {
	ids := make([]string, 0, len(exchanges))
	for id := range exchanges {
		ids = append(ids, id)
	}
	// x2 before x10
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})

	index := make(map[string]int, len(ids))
	for i, id := range ids {
		x := exchanges[id]
		index[id] = i
		p.Exchanges = append(p.Exchanges, pageExchange{
			Index:           i,
			ID:              visible(id),
			Method:          visible(x.Method),
			URL:             visible(x.URL),
			RequestHeaders:  visibles(x.RequestHeaders),
			Request:         newPageBody(x.RequestBody),
			Status:          x.Status,
			ResponseHeaders: visibles(x.ResponseHeaders),
			Response:        newPageBody(x.ResponseBody),
			Error:           visible(x.Error),
			Took:            duration(x.Milliseconds / 1000),
		})
	}
	return index
}

func newPageBody(s string) pageBody {
	head, left, tail := excerpt(s, pageBodyHead, pageBodyTail)
	return pageBody{visible(head), left, visible(tail)}
}

func visibles(texts []string) []string {
	var all []string
	for _, t := range texts {
		all = append(all, visible(t))
	}
	return all
}

// digest is how a content security policy names an inline script or style.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}
