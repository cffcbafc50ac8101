package cli

import (
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// The defects of other dialects than llama-v1 are caught there by the clauses
// that they name, and by no other of the areas of tools, formats and images.
func TestDialectDefects(t *testing.T) {
	g := newRemembered(t)
	for _, d := range simulator.Defects() {
		for _, dialect := range d.Dialects {
			t.Run(d.Name+"/"+dialect, func(t *testing.T) {
				holds := func(id string) bool { cl, _ := schemas.Lookup(id); return len(cl.Dialects[dialect]) > 0 }
				var judged, want []string
				for _, id := range suites.Enforced() {
					cl, _ := schemas.Lookup(id)
					named := slices.Contains(d.Clauses, id)
					if holds(id) && (named || slices.Contains([]string{"TOO", "FMT", "VIS"}, cl.Area())) {
						judged = append(judged, id)
					}
					if holds(id) && named {
						want = append(want, id)
					}
				}
				h, err := simulator.New(simulator.Options{Generator: g, ModelName: embedded, Dialects: []string{dialect}, Keys: []string{"k-123"}, Defects: []string{d.Name}})
				if err != nil {
					t.Fatal(err)
				}
				server := httptest.NewServer(h)
				defer server.Close()
				r, err := suites.Judge(t.Context(), suites.Target{BaseURL: server.URL, Dialect: dialect, Model: embedded, Kind: "reference", Key: "k-123"},
					suites.Options{Profile: schemas.Strict, Clauses: judged})
				if err != nil {
					t.Fatal(err)
				}
				got := broken(r)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s on %s: %v fail, want %v", d.Name, dialect, got, want)
				}
			})
		}
	}
}
