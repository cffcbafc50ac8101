package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of JUnit XML, as far as GitHub, GitLab, Azure and Jenkins
// agree on them, in the order that the strictest of their schemas wants.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class     string        `xml:"classname,attr"`
		Name      string        `xml:"name,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitOutcome `xml:"skipped"`
		Error     *junitOutcome `xml:"error"`
		Failure   *junitOutcome `xml:"failure"`
		SystemOut *junitText    `xml:"system-out"`
	}
	junitOutcome struct {
		Type    string `xml:"type,attr,omitempty"`
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"` // people read it raw, too
	}
	junitText struct {
		Text string `xml:",cdata"`
	}
)

// junitLimit is how many bytes of one text go into the XML; CI pages choke on
// long ones, and result.json has all.
const junitLimit = 4 << 10

// WriteJUnit writes the verdicts as JUnit XML: a suite an area, a case a
// clause. Fail becomes failure, error becomes error; skip, unsupported,
// inconclusive and waived become skipped; warn and info pass and say what was
// seen in system-out, as does a fail under the profile paper, which never
// gates. Times of cases are 0, since clauses share their requests.
func WriteJUnit(w io.Writer, r *Result) error {
	doc := junitSuites{Name: "touchstone", Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, a := range byArea(r) {
		suite := junitSuite{
			Name:       a.ID,
			Time:       "0.000",
			Timestamp:  r.Started.UTC().Format("2006-01-02T15:04:05"),
			Properties: junitProperties(r),
		}
		if a.Title != "" {
			suite.Name += " " + visible(a.Title)
		}
		for _, v := range a.Verdicts {
			c := junitCaseOf(v, r.Profile)
			suite.Tests++
			switch {
			case c.Failure != nil:
				suite.Failures++
			case c.Error != nil:
				suite.Errors++
			case c.Skipped != nil:
				suite.Skipped++
			}
			suite.Cases = append(suite.Cases, c)
		}
		doc.Tests += suite.Tests
		doc.Failures += suite.Failures
		doc.Errors += suite.Errors
		doc.Skipped += suite.Skipped
		doc.Suites = append(doc.Suites, suite)
	}

	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitProperties(r *Result) []junitProperty {
	all := []junitProperty{
		{"target", r.Target.URL},
		{"dialect", r.Target.Dialect},
		{"kind", r.Target.Kind},
		{"model", r.Target.Model},
		{"profile", r.Profile},
		{"tool", strings.TrimSpace(r.Tool.Name + " " + r.Tool.Version)},
	}
	var set []junitProperty
	for _, p := range all {
		if p.Value != "" {
			set = append(set, junitProperty{p.Name, visible(p.Value)})
		}
	}
	return set
}

func junitCaseOf(v Verdict, profile string) junitCase {
	c := junitCase{
		Class: "touchstone." + visible(v.Area),
		Name:  visible(strings.TrimSpace(v.Clause + " " + v.Statement)),
		Time:  "0.000",
	}
	outcome := &junitOutcome{Message: message(v)}
	text := proof(v)
	switch v.Verdict {
	case Fail:
		if profile == "paper" {
			c.SystemOut = &junitText{"fail, reported only: " + outcome.Message + "\n" + text}
			break
		}
		outcome.Type, outcome.Text = v.Level, text
		c.Failure = outcome
	case Error:
		outcome.Type, outcome.Text = "harness", text
		c.Error = outcome
	case Skip, Unsupported, Inconclusive, Waived:
		outcome.Message = string(v.Verdict) + ": " + outcome.Message
		c.Skipped = outcome
		if len(v.Findings) > 0 {
			c.SystemOut = &junitText{text}
		}
	case Warn, Info:
		c.SystemOut = &junitText{string(v.Verdict) + ": " + outcome.Message + "\n" + text}
	}
	return c
}

// message says in a line why a verdict is what it is: its reason, else its
// first finding, else the statement of the clause.
func message(v Verdict) string {
	switch {
	case v.Reason != "":
		return short(oneLine(v.Reason), junitLimit)
	case len(v.Findings) > 0:
		f := v.Findings[0]
		return short(oneLine("expected "+f.Expected+", seen "+f.Seen), junitLimit)
	}
	return oneLine(v.Statement)
}

// proof writes a verdict's findings as plain text.
func proof(v Verdict) string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, short(visible(text), junitLimit))
		}
	}
	line("clause", v.Clause+" ("+v.Level+")")
	line("source", v.Source)
	for _, f := range v.Findings {
		b.WriteByte('\n')
		line("at", strings.Join(nonEmpty(f.Route, f.Where, f.Exchange), " · "))
		line("expected", f.Expected)
		line("seen", f.Seen)
		line("again", f.Curl)
	}
	if len(v.Findings) == 0 {
		line("evidence", strings.Join(v.Evidence, " "))
	}
	return b.String()
}

func nonEmpty(texts ...string) []string {
	var set []string
	for _, t := range texts {
		if t != "" {
			set = append(set, t)
		}
	}
	return set
}
