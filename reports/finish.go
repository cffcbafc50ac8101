package reports

import (
	"fmt"
	"slices"
	"strings"
)

// Finish prints the summary of a run from its document alone: counts by area,
// what is not plainly kept, what it took, where the reports are and what it
// all means. Paths are shown as given.
func (t *Terminal) Finish(r *Result, paths []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLine()

	if len(r.Verdicts) > 0 {
		t.printf("\n")
		t.table(r)
	}
	t.capabilities(r)
	t.waivers(r)
	t.list(r, Fail, "Broken")
	t.list(r, Error, "Harness errors")
	t.list(r, Warn, "Warnings")
	t.list(r, Waived, "Broken, and waived")
	t.grouped(r, Inconclusive, "Could not be shown either way")
	t.grouped(r, Unsupported, "Refused by the target, and said so")

	t.printf("\n  %s · %s · %s\n", plural(r.Summary.Requests, "request"), plural(r.Summary.Tokens, "token"), duration(r.Seconds))
	for _, p := range paths {
		t.printf("  %s\n", oneLine(p))
	}

	word, sentence := headline(r)
	sign, c := symbols[Fail], alarm
	switch {
	case r.Summary.Conformant && r.Profile != "paper":
		sign, c = symbols[Pass], gold
	case r.Summary.ExitCode == ExitNotJudged, r.Interrupted, r.Profile == "paper":
		sign, c = symbols[Inconclusive], cyan
	}
	t.printf("\n  %s  %s\n", t.paint(c, sign+" "+word), sentence)
}

// capabilities prints what the target makes of optional parameters.
func (t *Terminal) capabilities(r *Result) {
	rows := capabilityRows(r)
	if len(rows) == 0 {
		return
	}
	t.printf("\n  Optional parameters\n")
	for _, c := range rows {
		t.printf("  %s %s %s\n", pad(oneLine(c.Parameter), 22), pad(oneLine(c.Support), 26), oneLine(c.Routes))
	}
}

// A capabilityRow is a parameter on the routes that agree about it.
type capabilityRow struct{ Parameter, Support, Routes, How string }

// capabilityRows are the capabilities of a result, a row a parameter where all
// routes agree.
func capabilityRows(r *Result) []capabilityRow {
	var rows []capabilityRow
	for _, c := range r.Capabilities {
		support := c.Support
		if c.Claimed {
			support += ", claimed"
		}
		i := slices.IndexFunc(rows, func(o capabilityRow) bool { return o.Parameter == c.Parameter && o.Support == support })
		if i >= 0 {
			rows[i].Routes += ", " + c.Route
			continue
		}
		rows = append(rows, capabilityRow{c.Parameter, support, c.Route, c.How})
	}
	return rows
}

// waivers prints those that need the owner's hand: what they are for is kept,
// or their time is over.
func (t *Terminal) waivers(r *Result) {
	first := true
	for _, w := range r.Waivers {
		said := waiverSays(w)
		if said == "" {
			continue
		}
		if first {
			t.printf("\n  %s\n", t.paint(bold, "Waivers"))
			first = false
		}
		t.printf("  %s %s  %s\n", t.paint(purple, symbol(Waived)), t.paint(bold, pad(oneLine(w.Clause), 8)), cut(oneLine(said), t.width-14))
	}
}

// waiverSays is what the owner should do about a waiver, "" for nothing.
func waiverSays(w Waiver) string {
	switch w.State {
	case WaiverStale:
		return "stale: the clause is kept, so the waiver can go (" + w.Reason + ")"
	case WaiverEnded:
		return "ended on " + w.Until + ": the clause gates again (" + w.Reason + ")"
	}
	return ""
}

// table prints counts by area; verdicts that nobody got have no column.
func (t *Terminal) table(r *Result) {
	total := &area{ID: "total", Counts: make(map[Status]int), Verdicts: r.Verdicts}
	for _, v := range r.Verdicts {
		total.Counts[v.Verdict]++
	}
	rows := byArea(r)
	if len(rows) > 1 {
		rows = append(rows, total)
	}
	first := len("area")
	for _, a := range rows {
		first = max(first, columns(oneLine(a.ID)))
	}

	head := "  " + pad("area", first) + "  clauses"
	for _, s := range Statuses {
		if total.Counts[s] > 0 {
			head += "  " + string(s)
		}
	}
	t.printf("%s\n", t.paint(faint, head))
	for _, a := range rows {
		line := "  " + pad(oneLine(a.ID), first) + fmt.Sprintf("  %7d", len(a.Verdicts))
		for _, s := range Statuses {
			if total.Counts[s] == 0 {
				continue
			}
			width := len(s)
			if n := a.Counts[s]; n == 0 {
				line += "  " + t.paint(faint, fmt.Sprintf("%*s", width, "·"))
			} else {
				line += "  " + t.paint(statusColours[s], fmt.Sprintf("%*d", width, n))
			}
		}
		t.printf("%s\n", line)
	}
}

// list prints the clauses of one verdict, each with its reason on a line.
func (t *Terminal) list(r *Result, status Status, title string) {
	first := true
	for _, v := range r.Verdicts {
		if v.Verdict != status {
			continue
		}
		if first {
			t.printf("\n  %s\n", t.paint(bold, title))
			first = false
		}
		start := fmt.Sprintf("  %s %s  ", t.paint(statusColours[status], symbol(status)), t.paint(bold, pad(oneLine(v.Clause), 8)))
		t.printf("%s%s\n", start, cut(message(v), t.width-14))
	}
}

// grouped prints the clauses of one verdict by reason, since one thing that
// could not be learned often decides many clauses.
func (t *Terminal) grouped(r *Result, status Status, title string) {
	var reasons []string
	clauses := make(map[string][]string)
	for _, v := range r.Verdicts {
		if v.Verdict != status {
			continue
		}
		reason := message(v)
		if !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
		clauses[reason] = append(clauses[reason], oneLine(v.Clause))
	}
	for i, reason := range reasons {
		if i == 0 {
			t.printf("\n  %s\n", t.paint(bold, title))
		}
		t.printf("  %s %s\n", t.paint(statusColours[status], symbol(status)), cut(reason, t.width-4))
		line := "   "
		for _, id := range clauses[reason] {
			if columns(line)+1+columns(id) > t.width {
				t.printf("%s\n", t.paint(faint, line))
				line = "   "
			}
			line += " " + id
		}
		t.printf("%s\n", t.paint(faint, strings.TrimRight(line, " ")))
	}
}
