package reports

import (
	"io"
	"os"

	"golang.org/x/term"
)

// A colour is an SGR sequence.
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	faint  colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	blue   colour = "34"
	purple colour = "35"
	cyan   colour = "36"
	gold   colour = "1;33"
	alarm  colour = "1;31"
)

var statusColours = map[Status]colour{
	Pass:         green,
	Fail:         alarm,
	Warn:         yellow,
	Info:         blue,
	Skip:         faint,
	Unsupported:  faint,
	Inconclusive: cyan,
	Waived:       purple,
	Error:        alarm,
}

// wantsColour decides as https://no-color.org and https://bixense.com/clicolors
// ask: NO_COLOR forbids, CLICOLOR_FORCE forces, else a terminal that is not
// dumb gets colour.
func wantsColour(w io.Writer, getenv func(string) string) bool {
	if getenv("NO_COLOR") != "" {
		return false
	}
	if force := getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return IsTerminal(w) && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
}

// IsTerminal is whether w writes to a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// widthOf is the width of a terminal, or what suits a log.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return max(n, 40)
		}
	}
	return 120
}
