package reports_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/touchstone-llm/touchstone/reports"
)

func Example() {
	verdicts := []reports.Verdict{
		{Clause: "STR-001", Area: "STR", Level: "MUST", Verdict: reports.Pass, Statement: "stream:true → 200 with Content-Type text/event-stream."},
		{
			Clause: "STR-006", Area: "STR", Level: "MUST", Verdict: reports.Fail, Statement: "The stream ends with exactly one data: [DONE].",
			Reason:   "the stream ends without [DONE]",
			Findings: []reports.Finding{{Route: "/v1/completions", Where: "last event", Expected: "[DONE]", Seen: "a chunk"}},
		},
	}
	result := &reports.Result{
		Target:   reports.Target{URL: "http://localhost:8000", Dialect: "llama-v1"},
		Profile:  "interop",
		Verdicts: verdicts,
		Summary:  reports.Summarise(verdicts, "interop", 2, 64, false),
	}

	dir, err := os.MkdirTemp("", "reports")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	paths, err := reports.WriteAll(dir, result)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range paths {
		fmt.Println(filepath.Base(p))
	}
	again, err := reports.ReadFile(paths[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Summary.Conformant, again.Summary.ExitCode)
	// Output:
	// result.json
	// junit.xml
	// report.html
	// false 1
}

func ExampleTerminal() {
	verdicts := []reports.Verdict{
		{Clause: "FIN-001", Area: "FIN", Level: "MUST", Verdict: reports.Pass, Statement: "Value in {stop, length}."},
		{Clause: "FIN-008", Area: "FIN", Level: "MUST", Verdict: reports.Inconclusive, Statement: "Natural EOS → stop.", Reason: "no prompt ends by itself"},
	}
	result := &reports.Result{
		Target:   reports.Target{URL: "http://localhost:8000", Dialect: "llama-v1"},
		Profile:  "interop",
		Seconds:  1.5,
		Verdicts: verdicts,
		Summary:  reports.Summarise(verdicts, "interop", 2, 64, false),
	}

	colour := false
	terminal := reports.NewTerminal(os.Stdout, reports.TerminalOptions{Colour: &colour, Width: 80})
	terminal.Start(result.Target, result.Profile, len(verdicts))
	for _, v := range verdicts {
		terminal.Verdict(v)
	}
	terminal.Finish(result, []string{"reports/report.html"})
	// Output:
	// touchstone  http://localhost:8000
	//             llama-v1 · profile interop · 2 clauses
	//
	//   FIN   ✓?
	//
	//   area  clauses  pass  inconclusive
	//   FIN         2     1             1
	//
	//   Could not be shown either way
	//   ? no prompt ends by itself
	//     FIN-008
	//
	//   2 requests · 64 tokens · 1.5 s
	//   reports/report.html
	//
	//   ✓ Conformant  The one judged clause is kept. 1 clause could not be shown either way.
}
