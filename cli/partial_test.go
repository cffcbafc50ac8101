package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// What was never sent, or was left, is nobody's fault: of the reference no
// clause is broken, whenever a budget or the user ends the run, nor when what
// came by then is judged again.
func TestPartOfARun(t *testing.T) {
	g := newRemembered(t)
	part := func(t *testing.T, most int, interrupt bool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var asked atomic.Int32
		target := serveReference(t, suites.DialectLlamaV1, simulator.Options{Generator: g}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if interrupt && int(asked.Add(1)) >= most {
					cancel()
				}
				next.ServeHTTP(w, r)
			})
		})
		o := suites.Options{Profile: schemas.Strict, Evidence: t.TempDir()}
		if !interrupt {
			o.Budget.Requests = most
		}
		r, err := suites.Judge(ctx, target, o)
		if err != nil {
			t.Fatal(err)
		}
		none(t, r, "")
		if !interrupt && r.Summary.Requests > most {
			t.Errorf("%d requests are counted", r.Summary.Requests)
		}
		if target, o.Replay, err = suites.OpenEvidence(o.Evidence); err != nil {
			t.Fatal(err)
		}
		o.Evidence = ""
		again, err := suites.Judge(t.Context(), target, o)
		if err != nil {
			t.Fatal(err)
		}
		none(t, again, "judged again: ")
	}
	for _, most := range []int{1, 5, 100, 200, 350} {
		for _, interrupt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/%t", most, interrupt), func(t *testing.T) {
				t.Parallel()
				part(t, most, interrupt)
			})
		}
	}
}

// A part of the clauses is judged as all of them are.
func TestPartOfTheClauses(t *testing.T) {
	g := newRemembered(t)
	for area := range schemas.AreaTitles() {
		for _, dialect := range simulator.Dialects() {
			t.Run(area+"/"+dialect, func(t *testing.T) {
				t.Parallel()
				target := serveReference(t, dialect, simulator.Options{Generator: g}, nil)
				r, err := suites.Judge(t.Context(), target, suites.Options{Profile: schemas.Strict, Areas: []string{area}})
				if err == nil {
					none(t, r, "")
				} else if !errors.Is(err, suites.ErrNothing) {
					t.Error(err)
				}
			})
		}
	}
}

// none expects that nothing is broken, but for the flow of a stream (STR-022),
// which shows in time and is not judged where others run beside it.
func none(t *testing.T, r *reports.Result, when string) {
	t.Helper()
	all := broken(r)
	for _, v := range r.Verdicts {
		if slices.Contains(all, v.Clause) && v.Clause != "STR-022" {
			t.Errorf("%s%s %s: %s", when, v.Clause, v.Verdict, v.Reason)
		}
	}
}
