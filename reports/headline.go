package reports

import (
	"fmt"
	"strings"
)

// headline says what a run means: in a word or two, and in a sentence.
func headline(r *Result) (word, sentence string) {
	s := r.Summary
	judged, broken := s.judged(), s.Counts[Fail]
	switch {
	case r.Interrupted:
		word = "Interrupted"
		sentence = fmt.Sprintf("The run was cut short after %d of %s; %s.",
			judged, plural(len(r.Verdicts), "clause"), brokenOf(broken, judged))
	case judged == 0:
		word = "Nothing judged"
		sentence = "No clause could be judged, so nothing is said about the endpoint" + unlearned(r.Calibration) + "."
	case r.Lost != "":
		word = "Target lost"
		sentence = fmt.Sprintf("It could no longer be reached after %d of %s: %s; %s.",
			judged, plural(len(r.Verdicts), "clause"), strings.TrimRight(oneLine(r.Lost), "."), brokenOf(broken, judged))
	case r.Profile == "paper":
		word = "Audited"
		sentence = fmt.Sprintf("Taken literally, %s. The paper profile reports and never gates.", brokenOf(broken, judged))
	case !s.Conformant:
		word = "Not conformant"
		sentence = capital(brokenOf(broken, judged)) + "."
	case s.Counts[Warn] > 0:
		word = "Conformant"
		sentence = fmt.Sprintf("No MUST among %s is broken; %s.", plural(judged, "judged clause"), isAre(s.Counts[Warn], "SHOULD")+" not kept")
	case judged == 1:
		word, sentence = "Conformant", "The one judged clause is kept."
	default:
		word, sentence = "Conformant", fmt.Sprintf("All %d judged clauses are kept.", judged)
	}
	if n := s.Counts[Inconclusive]; n > 0 && s.Conformant && r.Profile != "paper" {
		sentence += fmt.Sprintf(" %s could not be shown either way.", capital(plural(n, "clause")))
	}
	if n := s.Counts[Waived]; n > 0 {
		sentence += fmt.Sprintf(" %s waived by the target's owner.", capital(plural(n, "broken clause")+was(n)))
	}
	if n := s.Counts[Error]; n > 0 {
		sentence += fmt.Sprintf(" The harness itself went wrong on %s.", plural(n, "clause"))
	}
	return word, sentence
}

func brokenOf(broken, judged int) string {
	switch broken {
	case 0:
		return fmt.Sprintf("none of the %s is broken", plural(judged, "judged clause"))
	case 1:
		return fmt.Sprintf("1 of %s is broken", plural(judged, "judged clause"))
	}
	return fmt.Sprintf("%d of %s are broken", broken, plural(judged, "judged clause"))
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func was(n int) string {
	if n == 1 {
		return " was"
	}
	return " were"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", thousands(n), what)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// thousands writes 18440 as "18 440", with spaces that do not break.
func thousands(n int) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u00a0" + s[i:]
	}
	return sign + s
}

// duration writes seconds as people do.
func duration(seconds float64) string {
	switch {
	case seconds < 0.9995:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 99.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%d min %02d s", int(seconds)/60, int(seconds)%60)
	}
	return fmt.Sprintf("%d h %02d min", int(seconds)/3600, int(seconds)%3600/60)
}

// unlearned is the first thing that calibration could not learn, and why.
func unlearned(facts []Fact) string {
	for _, f := range facts {
		if !f.OK {
			return ": " + strings.TrimRight(oneLine(f.Value), ".")
		}
	}
	return ""
}
