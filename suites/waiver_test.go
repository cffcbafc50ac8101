package suites

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestWaive(t *testing.T) {
	waivers := []Waiver{{Clause: "STR-009", Reason: "ticket 4711", Until: day("2027-01-31")}}
	for _, c := range []struct {
		name         string
		clause, now  string
		was, becomes reports.Status
		says         string
	}{
		{"broken, in time", "STR-009", "2027-01-01", reports.Fail, reports.Waived, "waived until 2027-01-31: ticket 4711; seen"},
		{"broken, on the last day", "STR-009", "2027-01-31", reports.Fail, reports.Waived, "ticket 4711"},
		{"broken, a day late", "STR-009", "2027-02-01", reports.Fail, reports.Fail, "its waiver ended on 2027-01-31; seen"},
		{"a SHOULD", "STR-009", "2027-01-01", reports.Warn, reports.Waived, "ticket 4711"},
		{"kept", "STR-009", "2027-01-01", reports.Pass, reports.Pass, "stale"},
		{"not shown", "STR-009", "2027-01-01", reports.Inconclusive, reports.Inconclusive, "seen"},
		{"our own fault is not waived", "STR-009", "2027-01-01", reports.Error, reports.Error, "seen"},
		{"another clause", "STR-008", "2027-01-01", reports.Fail, reports.Fail, "seen"},
	} {
		got := waive(reports.Verdict{Clause: c.clause, Verdict: c.was, Reason: "seen"}, waivers, day(c.now))
		if got.Verdict != c.becomes || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: %s (%s), want %s saying %q", c.name, got.Verdict, got.Reason, c.becomes, c.says)
		}
	}
}

func TestWaiverStates(t *testing.T) {
	given := []Waiver{
		{Clause: "STR-009", Reason: "a", Until: day("2027-01-31")}, {Clause: "STR-010", Reason: "b", Until: day("2027-01-31")},
		{Clause: "STR-011", Reason: "c", Until: day("2026-01-31")}, {Clause: "STR-012", Reason: "d", Until: day("2027-01-31")},
		{Clause: "STR-013", Reason: "not judged", Until: day("2027-01-31")},
	}
	got := waivers(given, []reports.Verdict{
		{Clause: "STR-009", Verdict: reports.Waived}, {Clause: "STR-010", Verdict: reports.Pass},
		{Clause: "STR-011", Verdict: reports.Fail}, {Clause: "STR-012", Verdict: reports.Inconclusive},
	})
	want := []string{reports.WaiverUsed, reports.WaiverStale, reports.WaiverEnded, reports.WaiverIdle, reports.WaiverIdle}
	if !slices.EqualFunc(got, want, func(w reports.Waiver, state string) bool { return w.State == state }) || got[0].Until != "2027-01-31" || got[0].Reason != "a" {
		t.Errorf("%+v, want the states %v", got, want)
	}
}
