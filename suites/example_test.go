package suites_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/extensions/globals"
	"github.com/onsi/ginkgo/v2/formatter"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/suites"
)

// Run judges a target and presents the clauses as Ginkgo specs; verdicts arrive
// as they fall.
func ExampleRun() {
	server := httptest.NewServer(http.HandlerFunc(one)) // the endpoint under test
	defer server.Close()
	result, err := suites.Run(context.Background(), suites.Target{BaseURL: server.URL}, suites.Options{
		Areas:       []string{"RSP"},
		LabelFilter: "RSP-004 || RSP-006",
		OnVerdict:   func(v reports.Verdict) { fmt.Println(v.Clause, v.Level, v.Verdict) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit code", result.Summary.ExitCode)
	// Output:
	// RSP-004 MUST fail
	// RSP-006 MUST pass
	// exit code 1
}

// noT stands for the testing.T that a suite is given.
type noT struct{}

func (noT) Fail() {}

// Describe adds the clauses to a suite of one's own: an It for each, with its
// id, area, level and dialect as labels.
func ExampleDescribe() {
	defer ownSuite()()
	server := httptest.NewServer(http.HandlerFunc(one)) // the endpoint under test
	defer server.Close()

	suites.Describe(suites.Target{BaseURL: server.URL}, suites.Options{Clauses: []string{"RSP-004", "RSP-006"}})
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		fmt.Println(r.LeafNodeLabels[0], r.State)
	})
	kept := ginkgo.RunSpecs(noT{}, "my endpoint") // in a test: RunSpecs(t, "my endpoint")
	fmt.Println("kept:", kept)
	// Output:
	// RSP-004 failed
	// RSP-006 passed
	// kept: false
}

// ownSuite makes room for one more suite in this process, which a program with
// one suite need not do, and keeps Ginkgo's own report quiet.
func ownSuite() (restore func()) {
	out := formatter.ColorableStdOut
	formatter.ColorableStdOut = io.Discard
	globals.Reset()
	return func() { globals.Reset(); formatter.ColorableStdOut = out }
}
