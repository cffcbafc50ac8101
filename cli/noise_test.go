//go:build linux

package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// What this file measures takes minutes; `make noise` and `make latency` run it.

// runs is how many runs a variable asks for.
func runs(t *testing.T, variable string) int {
	t.Helper()
	measured(t, variable)
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		t.Fatalf("%s: %q is no number of runs", variable, os.Getenv(variable))
	}
	return n
}

// embeddedEngine is the model that a check of the reference has.
func embeddedEngine(t *testing.T) simulator.Generator {
	t.Helper()
	e := engine.New(loadEmbedded(t), engine.Options{})
	return simulator.Local(e)
}

// verdictsOf checks a target and lists the verdict of each clause.
func verdictsOf(t *testing.T, target suites.Target) map[string]reports.Verdict {
	t.Helper()
	r, err := suites.Judge(t.Context(), target, suites.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]reports.Verdict{}
	for _, v := range r.Verdicts {
		out[v.Clause] = v
	}
	return out
}

// A run on the reference says the same each time.
func TestNoiseSameVerdicts(t *testing.T) {
	n := runs(t, "TOUCHSTONE_QUIET_RUNS")
	target := serveReference(t, suites.DialectLlamaV1, simulator.Options{Generator: embeddedEngine(t)}, nil)
	first := verdictsOf(t, target)
	differ := 0
	for i := 1; i < n; i++ {
		for id, v := range verdictsOf(t, target) {
			if v.Verdict != first[id].Verdict {
				differ++
				t.Errorf("run %d: %s %s, in the first %s: %s", i+1, id, v.Verdict, first[id].Verdict, v.Reason)
			}
		}
	}
	fmt.Printf("    %d runs of %d clauses: %d verdicts differ from the first run's\n", n, len(first), differ)
}

// warm draws at temperature 0 too.
type warm struct{ simulator.Generator }

// drawn is the temperature at which warm answers what should be greedy.
const drawn = 0.5

func (w warm) Generate(ctx context.Context, r engine.Request) engine.Steps {
	if r.Temperature == 0 && !r.UseBeamSearch {
		r.Temperature = drawn
	}
	return w.Generator.Generate(ctx, r)
}

// Where nothing repeats, one connection in a hundred is reset and one answer in
// fifty is 429, no clause fails that the reference keeps: verdicts are the same
// or inconclusive. DET-001 alone warns: that is the noise itself.
func TestNoiseNeverFails(t *testing.T) {
	n := runs(t, "TOUCHSTONE_NOISY_RUNS")
	quiet := verdictsOf(t, serveReference(t, suites.DialectLlamaV1, simulator.Options{Generator: embeddedEngine(t)}, nil))
	target := serveReference(t, suites.DialectLlamaV1, simulator.Options{
		Generator: warm{embeddedEngine(t)},
		Faults:    []simulator.Fault{{Kind: "reset", Probability: 0.01}, {Kind: "busy", Probability: 0.02, Delay: time.Second}},
	}, nil)
	same, unsure, wrong := 0, map[string]int{}, 0
	for i := range n {
		for id, v := range verdictsOf(t, target) {
			switch {
			case v.Verdict == quiet[id].Verdict, id == "DET-001" && v.Verdict == reports.Warn:
				same++
			case v.Verdict == reports.Inconclusive:
				unsure[id]++
			default:
				wrong++
				t.Errorf("run %d: %s %s, quietly %s: %s %+v", i+1, id, v.Verdict, quiet[id].Verdict, v.Reason, v.Findings)
			}
		}
	}
	total := 0
	for _, k := range unsure {
		total += k
	}
	fmt.Printf("    %d runs of %d clauses: %d verdicts as without noise, %d inconclusive (of %d clauses), %d wrong\n", n, len(quiet), same, total, len(unsure), wrong)
}

// Against a target that is slow, and does little else, a run takes little more
// than its requests take side by side.
func TestLatencyOfARun(t *testing.T) {
	measured(t, "TOUCHSTONE_LATENCY")
	const latency, concurrency, bound = 300 * time.Millisecond, 4, 1.3
	for _, dialect := range []string{suites.DialectLlamaV1, suites.DialectAzureInference, suites.DialectOpenAI} {
		target := serveReference(t, dialect, simulator.Options{Generator: newRemembered(t)}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(latency) // each request, also one that is refused at once
				next.ServeHTTP(w, r)
			})
		})
		r, err := suites.Judge(t.Context(), target, suites.Options{Concurrency: concurrency})
		if err != nil {
			t.Fatal(err)
		}
		least := float64(r.Summary.Requests) * latency.Seconds() / concurrency
		ratio := r.Seconds / least
		fmt.Printf("    %s: %d requests of 300 ms, %d side by side: %.1f s, %.2f times the least\n", dialect, r.Summary.Requests, concurrency, r.Seconds, ratio)
		if math.IsNaN(ratio) || ratio > bound {
			t.Errorf("%s: %.2f times the least, want at most %g", dialect, ratio, bound)
		}
	}
}
