package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// The suites find of each server that --as takes exactly what its quirks break.
func TestVendors(t *testing.T) {
	g := newRemembered(t)
	register := simulator.Defects()
	for _, v := range simulator.Vendors() {
		t.Run(v.Name, func(t *testing.T) {
			var want, perhaps []string
			for _, q := range v.Quirks {
				i := slices.IndexFunc(register, func(d simulator.Defect) bool { return d.Name == q.Defect })
				if i < 0 || !strings.Contains(q.Seen, "/") && len(strings.Fields(q.Seen)) < 4 {
					t.Fatalf("quirk %q: no such defect, or no citation in %q", q.Defect, q.Seen)
				}
				want, perhaps = append(want, register[i].Clauses...), append(perhaps, register[i].Perhaps...)
			}
			r := checkDefects(t, g, suites.DialectLlamaV1, schemas.Strict, nil, v.Name)
			got := broken(r)
			for _, x := range r.Verdicts {
				failed, named := slices.Contains(got, x.Clause), slices.Contains(want, x.Clause)
				if failed && !named && !slices.Contains(perhaps, x.Clause) || !failed && named && !slices.Contains(v.Hides, x.Clause) || failed && slices.Contains(v.Hides, x.Clause) {
					t.Errorf("%s: %s %s %+v", x.Clause, x.Verdict, x.Reason, x.Findings[:min(1, len(x.Findings))])
				}
			}
		})
	}
}

func TestVendorCommands(t *testing.T) {
	for _, v := range simulator.Vendors() {
		code, out, stderr := run(t, "", "defects", "--as", v.Name)
		if code != 0 || !strings.Contains(out, v.What) || !strings.Contains(out, v.Quirks[0].Seen) {
			t.Errorf("%d %s%s", code, out, stderr)
		}
		if _, out, _ := run(t, "", "serve", "--help"); !strings.Contains(out, v.Name) {
			t.Errorf("serve --help does not list %s", v.Name)
		}
	}
	if code, _, stderr := run(t, "", "serve", "--as", "vllm-9"); code != 2 || !strings.Contains(stderr, "tgi-1.4") {
		t.Errorf("%d %s", code, stderr)
	}
}
