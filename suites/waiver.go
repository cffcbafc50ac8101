package suites

import (
	"fmt"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A Waiver is a clause whose breach the owner of a target accepts, for a reason
// and until a day. After that day the clause gates again.
type Waiver struct {
	Clause string
	Reason string
	// Until is the last day on which the waiver holds.
	Until time.Time
}

func (w Waiver) check() error {
	switch _, known := schemas.Lookup(w.Clause); {
	case !known:
		return configError("waivers: %q is not in the register; `touchstone rules` lists all", w.Clause)
	case w.Reason == "":
		return configError("waivers: %s has no reason", w.Clause)
	case w.Until.IsZero():
		return configError("waivers: %s has no day until which it holds; write until: 2027-01-31", w.Clause)
	}
	return nil
}

// waive applies the waiver of a clause to its verdict.
func waive(v reports.Verdict, waivers []Waiver, now time.Time) reports.Verdict {
	for _, w := range waivers {
		if w.Clause != v.Clause {
			continue
		}
		day := w.Until.Format(time.DateOnly)
		switch broken := v.Verdict == reports.Fail || v.Verdict == reports.Warn; {
		case broken && now.Before(w.Until.AddDate(0, 0, 1)):
			v.Verdict = reports.Waived
			v.Reason = fmt.Sprintf("waived until %s: %s; %s", day, w.Reason, v.Reason)
		case broken:
			v.Reason = fmt.Sprintf("its waiver ended on %s; %s", day, v.Reason)
		case v.Verdict == reports.Pass:
			v.Reason = "the waiver is stale: the clause is kept, so it can go"
		}
	}
	return v
}

// waivers say what became of the waivers of a run.
func waivers(given []Waiver, verdicts []reports.Verdict) []reports.Waiver {
	var out []reports.Waiver
	for _, w := range given {
		one := reports.Waiver{Clause: w.Clause, Reason: w.Reason, Until: w.Until.Format(time.DateOnly), State: reports.WaiverIdle}
		for _, v := range verdicts {
			switch {
			case v.Clause != w.Clause:
			case v.Verdict == reports.Waived:
				one.State = reports.WaiverUsed
			case v.Verdict == reports.Pass:
				one.State = reports.WaiverStale
			case v.Verdict == reports.Fail || v.Verdict == reports.Warn:
				one.State = reports.WaiverEnded
			}
		}
		out = append(out, one)
	}
	return out
}
