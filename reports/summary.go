package reports

// Exit codes of a check, as [Summary.ExitCode] holds them. Bad usage, 2,
// leaves no result.
const (
	ExitConformant    = 0
	ExitNotConformant = 1
	ExitNotJudged     = 3
	ExitInterrupted   = 130
)

// Summarise counts the verdicts of a run and says what they mean.
//
// A run is conformant if at least one clause was judged (pass, fail, warn or
// info) and none failed. Under the profile paper a fail does not count
// against the target: that profile reports and never gates. A run that was
// interrupted is never conformant, because what it did not get to judge might
// have failed.
func Summarise(verdicts []Verdict, profile string, requests, tokens int, interrupted bool) Summary {
	s := Summary{Counts: make(map[Status]int, len(Statuses)), Requests: requests, Tokens: tokens}
	for _, status := range Statuses {
		s.Counts[status] = 0
	}
	for _, v := range verdicts {
		s.Counts[v.Verdict]++
	}

	broken := s.Counts[Fail] > 0 && profile != "paper"
	s.Conformant = s.judged() > 0 && !broken && !interrupted
	switch {
	case interrupted:
		s.ExitCode = ExitInterrupted
	case s.judged() == 0:
		s.ExitCode = ExitNotJudged
	case broken:
		s.ExitCode = ExitNotConformant
	default:
		s.ExitCode = ExitConformant
	}
	return s
}

// judged is the number of clauses on which the evidence spoke.
func (s Summary) judged() int {
	return s.Counts[Pass] + s.Counts[Fail] + s.Counts[Warn] + s.Counts[Info]
}

// Lose notes that the target could no longer be reached when the run ended, and
// why. Like one that was interrupted such a run is never conformant.
func (r *Result) Lose(why string) {
	r.Lost = why
	if r.Summary.Conformant {
		r.Summary.Conformant, r.Summary.ExitCode = false, ExitNotJudged
	}
}
