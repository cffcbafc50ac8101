package reports

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// TerminalOptions shape what a Terminal prints. The zero value suits both a
// terminal and a log.
type TerminalOptions struct {
	// Quiet leaves only what failed, and the summary.
	Quiet bool
	// Verbose gives every clause a line of its own.
	Verbose bool
	// Colour overrides what the environment and the writer say, if not nil.
	Colour *bool
	// Width in columns; 0 is that of the terminal, or 120.
	Width int
}

// A Terminal prints a run as it goes, line by line: it never moves the cursor,
// so a log of it reads like the screen did. An area is one line that grows by
// a sign a clause; what breaks a clause is printed beneath with its proof.
// Its methods may be called from several goroutines. Errors of the writer are
// dropped: a closed terminal is no reason to lose a run.
type Terminal struct {
	mu      sync.Mutex
	w       io.Writer
	options TerminalOptions
	colour  bool
	width   int
	area    string // the area whose line is open
	column  int    // where that line stands; 0: no line is open
	facts   bool   // a fact was printed, and no verdict yet
}

// NewTerminal makes a Terminal that prints to w.
func NewTerminal(w io.Writer, options TerminalOptions) *Terminal {
	t := &Terminal{w: w, options: options, width: options.Width}
	if t.width <= 0 {
		t.width = widthOf(w)
	}
	if options.Colour != nil {
		t.colour = *options.Colour
	} else {
		t.colour = wantsColour(w, os.Getenv)
	}
	return t
}

// Start says what is about to be judged.
func (t *Terminal) Start(target Target, profile string, clauses int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.options.Quiet {
		return
	}
	facts := nonEmpty(target.Dialect, target.Model, target.Kind, "profile "+profile, plural(clauses, "clause"))
	t.printf("%s  %s\n", t.paint(gold, "touchstone"), t.paint(bold, oneLine(target.URL)))
	t.printf("            %s\n\n", t.paint(faint, cut(oneLine(strings.Join(facts, " · ")), t.width-12)))
}

// Fact says what calibration learned, or could not learn.
func (t *Terminal) Fact(f Fact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.options.Quiet {
		return
	}
	if !t.facts {
		t.facts = true
		t.printf("  %s\n", t.paint(bold, "Calibration"))
	}
	sign := t.paint(green, symbols[Pass])
	if !f.OK {
		sign = t.paint(cyan, symbols[Inconclusive])
	}
	start := pad(oneLine(f.Name), 30) + "  " + pad(oneLine(f.Route), 20)
	t.printf("  %s %s  %s\n", sign, start, t.paint(faint, cut(oneLine(f.Value), max(20, t.width-6-columns(start)))))
}

// Verdict prints one verdict. Verdicts of one area are best handed over
// together.
func (t *Terminal) Verdict(v Verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.facts {
		t.facts = false
		t.printf("\n")
	}
	loud := v.Verdict == Fail || v.Verdict == Error
	if loud || t.options.Verbose {
		t.endLine()
		t.clauseLine("  ", v)
		if loud {
			t.proof("      ", v)
		}
		return
	}
	if t.options.Quiet {
		return
	}
	if t.column > 0 && (t.area != v.Area || t.column+1 > t.width) {
		t.endLine()
	}
	if t.column == 0 {
		t.area = v.Area
		name := pad(oneLine(v.Area), 5)
		t.printf("  %s ", t.paint(bold, name))
		t.column = 2 + columns(name) + 1
	}
	t.printf("%s", t.paint(statusColours[v.Verdict], symbol(v.Verdict)))
	t.column++
}

// clauseLine is the line of one clause: sign, id, level, verdict, statement.
// Of a broken one the statement stands whole.
func (t *Terminal) clauseLine(indent string, v Verdict) {
	c := statusColours[v.Verdict]
	statement := oneLine(v.Statement)
	if v.Verdict != Fail && v.Verdict != Error {
		statement = cut(statement, t.width-len(indent)-32)
	}
	t.printf("%s%s %s  %s %s %s\n", indent, t.paint(c, symbol(v.Verdict)), t.paint(bold, pad(oneLine(v.Clause), 8)),
		pad(oneLine(v.Level), 6), t.paint(c, pad(string(v.Verdict), 12)), statement)
}

// terminalLimit is how many bytes of what was expected or seen are shown,
// terminalFindings of how many findings, and terminalCurl how long a command
// may be; the files have all.
const (
	terminalLimit    = 600
	terminalFindings = 3
	terminalCurl     = 2000
)

// proof prints beneath a clause why its verdict is what it is.
func (t *Terminal) proof(indent string, v Verdict) {
	field := func(name, text string, c colour) {
		if text == "" {
			return
		}
		gap := strings.Repeat(" ", len(indent)+10)
		lines := strings.Split(short(visible(text), terminalLimit), "\n")
		for i, line := range lines {
			start := gap
			if i == 0 {
				start = indent + t.paint(faint, pad(name, 10))
			}
			t.printf("%s%s\n", start, t.paint(c, line))
		}
	}
	field("why", v.Reason, plain)
	for i, f := range v.Findings {
		if i == terminalFindings {
			field("", fmt.Sprintf("and %s more", plural(len(v.Findings)-i, "finding")), faint)
			break
		}
		field("at", strings.Join(nonEmpty(f.Route, f.Where, f.Exchange), " · "), plain)
		field("expected", f.Expected, green)
		field("seen", f.Seen, red)
		switch command := oneCommand(f.Curl); {
		case len(command) > terminalCurl: // half a command is none
			field("again", "a long curl command: see the reports", faint)
		case command != "":
			t.printf("%s%s%s\n", indent, t.paint(faint, pad("again", 10)), command)
		}
	}
	field("source", v.Source, faint)
}

// oneCommand is a command as it may be pasted: its line breaks stay.
func oneCommand(s string) string { return visible(strings.TrimSpace(s)) }

// endLine closes the line of the area, if one is open.
func (t *Terminal) endLine() {
	if t.column > 0 {
		t.printf("\n")
		t.column = 0
	}
}

func (t *Terminal) printf(format string, args ...any) {
	fmt.Fprintf(t.w, format, args...)
}

func (t *Terminal) paint(c colour, s string) string {
	if !t.colour || c == plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// pad fills a text up to so many columns.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-columns(s)))
}
