package reports

// symbols stand for verdicts where colour alone must not, or a word is too
// long: rows of the page, lines of the terminal.
var symbols = map[Status]string{
	Pass:         "✓",
	Fail:         "✗",
	Warn:         "!",
	Info:         "i",
	Skip:         "–",
	Unsupported:  "∅",
	Inconclusive: "?",
	Waived:       "~",
	Error:        "E",
}

// symbol is the sign of a verdict, also of one that this release cannot name.
func symbol(s Status) string {
	if sign, ok := symbols[s]; ok {
		return sign
	}
	return "·"
}
