package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

// A remembered generator answers a request that it has seen with the same
// steps again, so that a defect costs wire time and not the engine's. Samples
// without a seed have several such answers, which take turns.
type remembered struct {
	simulator.Generator
	mu    sync.Mutex
	seen  map[string][][]engine.Step
	turns map[string]int
}

func (g *remembered) Generate(ctx context.Context, r engine.Request) engine.Steps {
	if r.Constraint != nil { // which the key would not tell
		return g.Generator.Generate(ctx, r)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	key, want := string(raw), 1
	if r.Temperature > 0 && r.Seed == nil {
		want = 3
	}
	g.mu.Lock()
	var steps []engine.Step
	known := len(g.seen[key]) >= want
	if known {
		steps = g.seen[key][g.turns[key]%want]
		g.turns[key]++
	}
	g.mu.Unlock()
	if known {
		return replay(ctx, steps)
	}
	return func(yield func(engine.Step, error) bool) {
		var all []engine.Step
		gone := false
		// A client that goes away does not keep the answer from being remembered.
		for s, err := range g.Generator.Generate(context.WithoutCancel(ctx), r) {
			if err != nil {
				yield(s, err)
				return
			}
			all = append(all, s)
			gone = gone || ctx.Err() != nil || !yield(s, nil)
		}
		g.mu.Lock()
		g.seen[key] = append(g.seen[key], all)
		g.mu.Unlock()
	}
}

// replay yields steps as a model would, a little time between them: what is
// judged of a stream's flow (STR-022) and of clients that leave it (STR-028)
// needs some.
func replay(ctx context.Context, steps []engine.Step) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		for i, s := range steps {
			if i%8 == 7 {
				time.Sleep(2 * time.Millisecond)
			}
			if ctx.Err() != nil || !yield(s, nil) {
				return
			}
		}
	}
}

// checkDefects runs the suites of a dialect against the reference with the
// given defects.
func checkDefects(t *testing.T, g simulator.Generator, dialect string, profile schemas.Profile, clauses []string, defects ...string) *reports.Result {
	t.Helper()
	target := serveReference(t, dialect, simulator.Options{Generator: g, Defects: defects}, nil)
	r, err := suites.Judge(t.Context(), target, suites.Options{Profile: profile, Clauses: clauses})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serveReference serves the reference in one dialect, as a check of its own
// does, until the test ends. wrap, if any, stands before the server.
func serveReference(t *testing.T, dialect string, o simulator.Options, wrap func(http.Handler) http.Handler) suites.Target {
	t.Helper()
	o.ModelName, o.Keys, o.Safety = embedded, []string{"k-123", "k-456"}, screening
	if o.Deployments == nil {
		o.Deployments = deploymentsBeside(o.Defects)
	}
	target := suites.Target{Dialect: dialect, Key: "k-123", SecondKey: "k-456", ForeignKey: "k-789"}
	claimReference(&target)
	if dialect == suites.DialectOpenAI { // whose paths are those of llama-v1, and which requires a model
		o.Dialects, target.Model = []string{dialect}, embedded
	}
	h, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = h
	if wrap != nil {
		handler = wrap(h)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	target.BaseURL = server.URL
	return target
}

// theRemembered is shared by the tests: they all ask the same.
var theRemembered = sync.OnceValues(func() (*remembered, error) {
	m, err := openModel("")
	if err != nil {
		return nil, err
	}
	return &remembered{
		Generator: simulator.Local(engine.New(m, engine.Options{})),
		seen:      map[string][][]engine.Step{}, turns: map[string]int{},
	}, nil
})

func newRemembered(t *testing.T) *remembered {
	t.Helper()
	g, err := theRemembered()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func loadEmbedded(t testing.TB) *engine.Model {
	t.Helper()
	m, err := openModel("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// broken are the clauses of a result that are neither kept nor not applicable.
func broken(r *reports.Result) []string {
	var out []string
	for _, v := range r.Verdicts {
		if v.Verdict == reports.Fail || v.Verdict == reports.Warn || v.Verdict == reports.Info || v.Verdict == reports.Error {
			out = append(out, v.Clause)
		}
	}
	return out
}

// notApplicable are clauses about what a check of the reference does not set up.
var notApplicable = []string{"DEP-033", "DEP-034"}

// Bounds of a full check of one dialect under interop.
const (
	mostRequests = 700
	mostTokens   = 60_000
)

// The reference keeps every clause in every dialect: no warning, nothing
// inconclusive or unsupported. The run says before it starts what it may send,
// keeps to that, and asks for little.
func TestReferencePasses(t *testing.T) {
	g := newRemembered(t)
	for _, dialect := range []string{suites.DialectLlamaV1, suites.DialectAzureInference, suites.DialectOpenAI} {
		for _, profile := range []schemas.Profile{schemas.Interop, schemas.Strict} {
			target := serveReference(t, dialect, simulator.Options{Generator: g}, nil)
			options := suites.Options{Profile: profile}
			plan, err := suites.MakePlan(target, options)
			if err != nil {
				t.Fatal(err)
			}
			r, err := suites.Judge(t.Context(), target, options)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range again(t, target, options, r.Verdicts) {
				if v.Verdict != reports.Pass && !slices.Contains(notApplicable, v.Clause) {
					t.Errorf("%s, %s: %s %s: %s %+v", dialect, profile, v.Clause, v.Verdict, v.Reason, v.Findings)
				}
			}
			if !r.Summary.Conformant || r.Summary.ExitCode != 0 {
				t.Errorf("%s, %s: summary %+v", dialect, profile, r.Summary)
			}
			if n := len(r.Verdicts); n < 240 || n != plan.Clauses {
				t.Errorf("%s, %s: %d clauses judged, %d planned", dialect, profile, n, plan.Clauses)
			}
			if r.Summary.Requests > plan.Requests || r.Summary.Tokens > plan.Tokens || plan.Requests > mostRequests || plan.Tokens > mostTokens {
				t.Errorf("%s, %s: %d requests and %d tokens, planned %d and %d; the bounds are %d and %d", dialect, profile,
					r.Summary.Requests, r.Summary.Tokens, plan.Requests, plan.Tokens, mostRequests, mostTokens)
			}
		}
	}
}

// again judges anew, twice at most, what of the quotas a slow machine could not
// show: their window goes by while it does other things.
func again(t *testing.T, target suites.Target, o suites.Options, verdicts []reports.Verdict) []reports.Verdict {
	t.Helper()
	out := slices.Clone(verdicts)
	for range 2 {
		o.Clauses = nil
		for _, v := range out {
			if v.Area == "LIM" && v.Verdict == reports.Inconclusive {
				o.Clauses = append(o.Clauses, v.Clause)
			}
		}
		if len(o.Clauses) == 0 {
			break
		}
		r, err := suites.Judge(t.Context(), target, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Verdicts {
			out[slices.IndexFunc(out, func(was reports.Verdict) bool { return was.Clause == v.Clause })] = v
		}
	}
	return out
}

// without are the elements of a that b does not have.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

var matrix = flag.String("matrix", "", "write what each defect came to into this file")

var full = flag.Bool("full", false, "run every defect against every clause, not against a sample")

// bystanders are how many clauses beside those that a defect names are judged
// against it: which ones goes round with the defects. `make mutants` judges all.
const bystanders = 8

// inForce are the clauses of ids that a dialect's suites judge.
func inForce(dialect string, ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		cl, _ := schemas.Lookup(id)
		return len(cl.Dialects[dialect]) == 0
	})
}

// sample are the clauses that the i-th defect is run against on a dialect.
func sample(i int, d simulator.Defect, dialect string) []string {
	// What exhausts a quota has to wait for windows: it is left to the defects of
	// quotas.
	slow := func(id string) bool { return strings.HasPrefix(id, "LIM-") && id != "LIM-014" }
	quick := slices.DeleteFunc(inForce(dialect, suites.Enforced()), slow)
	if *full && slices.ContainsFunc(d.Clauses, slow) {
		return nil
	}
	if *full {
		return quick
	}
	out, all := inForce(dialect, d.Clauses), quick
	for k := range bystanders {
		// 61 is prime to the number of clauses, or nearly, so that bystanders of
		// one defect come from many areas.
		if id := all[(i*bystanders+k*61)%len(all)]; !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// shown is whether this matrix can show that a clause can fail: in a sample the
// clauses that judge a whole run see too little, and those that only record
// never fail.
func shown(id string) bool {
	return (*full || !suites.JudgesAll(id)) && !slices.Contains(notApplicable, id) && id != "STR-038"
}

// Every defect is caught by exactly the clauses that it names, on each of its
// dialects.
func TestDefects(t *testing.T) {
	g := newRemembered(t)
	for _, dialect := range simulator.Dialects() {
		checkDefects(t, g, dialect, schemas.Strict, nil) // fills the memory before defects run side by side
	}
	var mu sync.Mutex
	caught, ran, runs := map[string]bool{}, 0, 0
	var mutants []reports.Mutant
	t.Cleanup(func() {
		if *matrix != "" {
			slices.SortFunc(mutants, func(a, b reports.Mutant) int {
				return cmp.Or(strings.Compare(a.Defect, b.Defect), strings.Compare(a.Dialect, b.Dialect))
			})
			b, err := json.MarshalIndent(mutants, "", " ")
			if err == nil {
				err = os.WriteFile(*matrix, append(b, '\n'), 0o644)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if ran < runs {
			return // a part was asked for
		}
		for _, id := range suites.Enforced() {
			if !caught[id] && shown(id) {
				t.Errorf("%s: no defect shows end to end that it can fail", id)
			}
		}
	})
	for i, d := range simulator.Defects() {
		for _, id := range d.Clauses {
			if !slices.Contains(suites.Enforced(), id) || !slices.ContainsFunc(d.JudgedOn(), func(dialect string) bool { return len(inForce(dialect, []string{id})) > 0 }) {
				t.Errorf("%s: %s is named but not enforced on %s", d.Name, id, strings.Join(d.JudgedOn(), ", "))
			}
		}
		for _, dialect := range d.JudgedOn() {
			runs++
			t.Run(d.Name+"/"+dialect, func(t *testing.T) {
				// The flow of a stream (STR-022) shows in time, so it is judged only
				// where nothing runs beside it.
				if !slices.Contains(d.Clauses, "STR-022") {
					t.Parallel()
				}
				want := inForce(dialect, d.Clauses)
				slices.Sort(want)
				judged := func() (r *reports.Result, got []string) {
					r = checkDefects(t, g, dialect, schemas.Strict, sample(i, d, dialect), d.Name)
					got = slices.DeleteFunc(broken(r), func(id string) bool {
						return slices.Contains(d.Perhaps, id) || id == "STR-022" && !slices.Contains(want, id)
					})
					slices.Sort(got)
					return r, got
				}
				due := func(id string) bool { return *full || !suites.JudgesAll(id) }
				r, got := judged()
				for again := 0; again < 2 && (len(without(got, want)) > 0 || slices.ContainsFunc(without(want, got), due)); again++ {
					t.Logf("%v instead of %v: judged again, since what a busy machine did does not happen three times", got, want)
					r, got = judged()
				}
				mu.Lock()
				ran++
				mutants = append(mutants, reports.Mutant{
					Defect: d.Name, Dialect: dialect, Sentence: d.Sentence, Seen: d.Seen,
					Killed: without(want, without(want, got)), Survived: without(want, got), Collateral: without(got, want),
				})
				for _, id := range got {
					caught[id] = true
				}
				mu.Unlock()
				for _, v := range r.Verdicts {
					if slices.Contains(got, v.Clause) && !slices.Contains(want, v.Clause) {
						t.Errorf("%s %s, which the defect does not name: %s %+v", v.Clause, v.Verdict, v.Reason, v.Findings[:min(2, len(v.Findings))])
					}
					if slices.Contains(want, v.Clause) && !slices.Contains(got, v.Clause) && due(v.Clause) {
						t.Errorf("%s survives: %s %s", v.Clause, v.Verdict, v.Reason)
					}
				}
			})
		}
	}
}
