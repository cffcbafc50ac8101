package reports

import "testing"

func TestSummarise(t *testing.T) {
	for _, test := range []struct {
		name        string
		statuses    []Status
		profile     string
		interrupted bool
		conformant  bool
		exit        int
	}{
		{"no clause", nil, "interop", false, false, ExitNotJudged},
		{"nothing judged", []Status{Skip, Unsupported, Inconclusive, Error, Waived}, "interop", false, false, ExitNotJudged},
		{"pass", []Status{Pass, Skip, Inconclusive}, "interop", false, true, ExitConformant},
		{"info alone judges", []Status{Info}, "interop", false, true, ExitConformant},
		{"warn does not gate", []Status{Warn}, "strict", false, true, ExitConformant},
		{"fail", []Status{Pass, Fail}, "strict", false, false, ExitNotConformant},
		{"paper never gates", []Status{Pass, Fail}, "paper", false, true, ExitConformant},
		{"paper with nothing judged", []Status{Skip}, "paper", false, false, ExitNotJudged},
		{"interrupted", []Status{Pass}, "interop", true, false, ExitInterrupted},
		{"interrupted before the first verdict", nil, "interop", true, false, ExitInterrupted},
	} {
		t.Run(test.name, func(t *testing.T) {
			var verdicts []Verdict
			for _, s := range test.statuses {
				verdicts = append(verdicts, Verdict{Verdict: s})
			}
			s := Summarise(verdicts, test.profile, 7, 8, test.interrupted)
			if s.Conformant != test.conformant || s.ExitCode != test.exit {
				t.Errorf("conformant %v, exit %d; want %v, %d", s.Conformant, s.ExitCode, test.conformant, test.exit)
			}
			if s.Requests != 7 || s.Tokens != 8 {
				t.Errorf("requests %d, tokens %d; want 7, 8", s.Requests, s.Tokens)
			}
			if len(s.Counts) != len(Statuses) {
				t.Errorf("counts %v lack a verdict", s.Counts)
			}
			sum := 0
			for _, n := range s.Counts {
				sum += n
			}
			if sum != len(verdicts) {
				t.Errorf("counts sum to %d, want %d", sum, len(verdicts))
			}
		})
	}
}

func TestHeadline(t *testing.T) {
	run := func(profile string, interrupted bool, statuses ...Status) *Result {
		r := &Result{Profile: profile, Interrupted: interrupted}
		for _, s := range statuses {
			r.Verdicts = append(r.Verdicts, Verdict{Verdict: s})
		}
		r.Summary = Summarise(r.Verdicts, profile, 0, 0, interrupted)
		return r
	}
	lost := func(statuses ...Status) *Result {
		r := run("interop", false, statuses...)
		r.Lose("request not sent: dial tcp: refused")
		if r.Summary.Conformant || r.Summary.ExitCode != ExitNotJudged-2*r.Summary.Counts[Fail] {
			t.Errorf("%v: conformant %t, exit code %d", statuses, r.Summary.Conformant, r.Summary.ExitCode)
		}
		return r
	}
	silent := run("interop", false)
	silent.Calibration = []Fact{{Name: "a", Value: "learned", OK: true}, {Name: "b", Value: "the control request got no answer: refused\n."}, {Name: "c", Value: "not this"}}
	for _, test := range []struct {
		result         *Result
		word, sentence string
	}{
		{run("interop", false), "Nothing judged", "No clause could be judged, so nothing is said about the endpoint."},
		{silent, "Nothing judged", "No clause could be judged, so nothing is said about the endpoint: the control request got no answer: refused⏎."},
		{run("interop", false, Pass), "Conformant", "The one judged clause is kept."},
		{run("interop", false, Pass, Pass, Skip), "Conformant", "All 2 judged clauses are kept."},
		{run("interop", false, Pass, Inconclusive, Inconclusive), "Conformant", "The one judged clause is kept. 2 clauses could not be shown either way."},
		{run("interop", false, Pass, Warn), "Conformant", "No MUST among 2 judged clauses is broken; 1 SHOULD is not kept."},
		{run("interop", false, Warn, Warn), "Conformant", "No MUST among 2 judged clauses is broken; 2 SHOULDs are not kept."},
		{run("interop", false, Fail, Pass), "Not conformant", "1 of 2 judged clauses is broken."},
		{run("interop", false, Fail, Fail, Waived), "Not conformant", "2 of 2 judged clauses are broken. 1 broken clause was waived by the target's owner."},
		{run("interop", false, Pass, Error), "Conformant", "The one judged clause is kept. The harness itself went wrong on 1 clause."},
		{run("paper", false, Fail, Pass), "Audited", "Taken literally, 1 of 2 judged clauses is broken. The paper profile reports and never gates."},
		{lost(Pass, Inconclusive), "Target lost", "It could no longer be reached after 1 of 2 clauses: request not sent: dial tcp: refused; none of the 1 judged clause is broken."},
		{lost(Fail, Inconclusive), "Target lost", "It could no longer be reached after 1 of 2 clauses: request not sent: dial tcp: refused; 1 of 1 judged clause is broken."},
		{run("interop", true, Pass, Inconclusive), "Interrupted", "The run was cut short after 1 of 2 clauses; none of the 1 judged clause is broken."},
	} {
		word, sentence := headline(test.result)
		if word != test.word || sentence != test.sentence {
			t.Errorf("got %q, %q\nwant %q, %q", word, sentence, test.word, test.sentence)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1\u00a0000", 1234567: "1\u00a0234\u00a0567", -1000: "-1\u00a0000"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
	for seconds, want := range map[float64]string{0: "0 ms", 0.0412: "41 ms", 0.9999: "1.0 s", 12.34: "12.3 s", 99.96: "1 min 39 s", 125: "2 min 05 s", 3725: "1 h 02 min"} {
		if got := duration(seconds); got != want {
			t.Errorf("duration(%v) = %q, want %q", seconds, got, want)
		}
	}
}
