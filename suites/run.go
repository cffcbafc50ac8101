package suites

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/extensions/globals"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// rules are all rules, by area in the order of the register.
var rules = slices.Concat(
	schRules,
	reqRules,
	matrixRules,
	extRules,
	verRules,
	chtRules,
	rspRules,
	finRules,
	strRules,
	bstRules,
	beamRules,
	logRules,
	stpRules,
	eosRules,
	useRules,
	ctxRules,
	safRules,
	limRules,
	tooRules,
	fmtRules,
	visRules,
	detRules,
	autRules,
	errRules,
	infRules,
	depRules,
	cliRules,
)

// Enforced lists the ids of the clauses that have a rule.
func Enforced() []string {
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.clause)
	}
	return ids
}

// Probes names the probes that a clause is judged by, nil if it has no rule.
func Probes(clause string) []string {
	if r := ruleOf(clause); r != nil {
		return slices.Clone(r.reads)
	}
	return nil
}

// JudgesAll is whether a clause is judged on every exchange of a run: what a
// part of a run shows of it may be too little.
func JudgesAll(clause string) bool {
	r := ruleOf(clause)
	return r != nil && r.all
}

// ErrNothing is returned when no clause matches a selection.
var ErrNothing = errors.New("no clause matches")

// A check is a run under way.
type check struct {
	*session
	futures *futures
	clauses []schemas.Clause
	started time.Time
	prepare sync.Once

	mu       sync.Mutex
	verdicts map[string]reports.Verdict
}

func newCheck(t Target, o Options) (*check, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	clauses, err := choose(t, o)
	if err != nil {
		return nil, err
	}
	s, err := newSession(t, o)
	if err != nil {
		return nil, err
	}
	return &check{
		session: s, clauses: clauses, verdicts: map[string]reports.Verdict{},
		futures: &futures{session: s, started: map[string]*future{}},
	}, nil
}

// labels are the Ginkgo labels of a clause.
func labels(c schemas.Clause, t Target, o Options) []string {
	return []string{c.ID, c.Area(), string(c.Level(o.Profile)), t.Dialect}
}

// choose selects the clauses to judge, in the order of the register.
func choose(t Target, o Options) ([]schemas.Clause, error) {
	register, err := schemas.Published(o.Register)
	if err != nil {
		return nil, configError("register: %v", err)
	}
	areas := map[string]bool{}
	for _, c := range register {
		areas[c.Area()] = true
	}
	for _, a := range o.Areas {
		if !areas[a] {
			return nil, configError("area: %q is not in the register; `touchstone rules` lists all", a)
		}
	}
	for _, id := range o.Clauses {
		switch c, ok := schemas.Lookup(id); {
		case !ok:
			return nil, configError("clause: %q is not in the register; `touchstone rules` lists all", id)
		case c.Excluded != "":
			return nil, configError("clause: %s is not enforced: %s", id, c.Excluded)
		}
	}
	matches := func([]string) bool { return true }
	if o.LabelFilter != "" {
		f, err := types.ParseLabelFilter(o.LabelFilter)
		if err != nil {
			return nil, configError("label filter: %v", err)
		}
		matches = f
	}
	var out []schemas.Clause
	for _, c := range register {
		selected := len(o.Clauses)+len(o.Areas) == 0 || slices.Contains(o.Clauses, c.ID) || slices.Contains(o.Areas, c.Area())
		held := slices.ContainsFunc(t.Routes, func(r schemas.Route) bool { return c.Holds(t.Dialect, r) })
		if selected && held && c.Excluded == "" && ruleOf(c.ID) != nil && matches(labels(c, t, o)) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, ErrNothing
	}
	return out, nil
}

func ruleOf(id string) *rule {
	for i := range rules {
		if rules[i].clause == id {
			return &rules[i]
		}
	}
	return nil
}

// begin calibrates the target and starts the probes of the chosen rules.
func (k *check) begin(ctx context.Context) {
	k.prepare.Do(func() {
		k.started = time.Now()
		if k.opts.OnStart != nil {
			k.opts.OnStart(len(k.clauses))
		}
		var wg sync.WaitGroup
		facts := make([]*Facts, len(k.target.Routes))
		for i, route := range k.target.Routes {
			wg.Go(func() { facts[i] = k.calibrate(ctx, route) })
		}
		wg.Wait()
		served := 0
		for _, f := range facts {
			if f.Served {
				served++
			}
		}
		for _, f := range facts {
			f.Alone = served < 2
			k.facts[f.Route] = f
			for _, fact := range f.list {
				if k.opts.OnFact != nil {
					k.opts.OnFact(fact)
				}
			}
		}
		for _, last := range []bool{false, true} {
			k.start(ctx, facts, last)
		}
	})
}

// start starts the probes that the chosen clauses read, those that come last or
// those that do not.
func (k *check) start(ctx context.Context, facts []*Facts, last bool) {
	for _, f := range facts {
		if !f.Served {
			continue
		}
		for _, c := range k.clauses {
			if !slices.Contains(k.routes(c), f.Route) && !ruleOf(c.ID).across || k.unclaimed(c) != "" {
				continue
			}
			for _, name := range ruleOf(c.ID).reads {
				if p := probeByName[name]; p.last == last {
					k.futures.start(ctx, p, f)
				}
			}
		}
	}
}

// routes are those of the target on which a clause is judged.
func (k *check) routes(c schemas.Clause) []schemas.Route {
	var out []schemas.Route
	for _, r := range k.target.Routes {
		if c.Holds(k.target.Dialect, r) {
			out = append(out, r)
		}
	}
	if !ruleOf(c.ID).endpoint || len(out) < 2 {
		return out
	}
	if i := slices.IndexFunc(out, func(r schemas.Route) bool { return k.facts[r].Served }); i >= 0 {
		return out[i : i+1]
	}
	return out[:1]
}

// unclaimed says why a clause does not apply to what the target is said to be,
// "" if it does.
func (k *check) unclaimed(c schemas.Clause) string {
	if len(c.Kinds) > 0 && !slices.Contains(c.Kinds, k.target.Kind) {
		return "holds for a target of the kind " + strings.Join(c.Kinds, " or ") + " only"
	}
	for _, name := range c.Requires {
		if !k.target.claims(name) {
			return "the target does not claim " + name + ": " + schemas.Claims()[name]
		}
	}
	return ""
}

// judge waits for the evidence that a clause needs and judges it.
func (k *check) judge(ctx context.Context, c schemas.Clause) (v reports.Verdict) {
	defer func() {
		if p := recover(); p != nil { // a fault of a rule is ours, never the target's
			v = merge(c, k.opts.Profile, []ruling{{status: reports.Error, reason: fmt.Sprintf("the rule failed: %v", p)}})
		}
		v = waive(v, k.opts.Waivers, time.Now())
		k.mu.Lock()
		k.verdicts[c.ID] = v
		k.mu.Unlock()
	}()
	if why := k.unclaimed(c); why != "" {
		return merge(c, k.opts.Profile, []ruling{{status: reports.Skip, reason: why}})
	}
	rule := ruleOf(c.ID)
	var rulings []ruling
	for _, route := range k.routes(c) {
		f := k.facts[route]
		if !f.Served {
			rulings = append(rulings, ruling{status: reports.Skip, reason: string(route) + ": " + f.Why})
			continue
		}
		if rule.all {
			k.futures.wait(ctx, route)
		} else {
			k.futures.wait(ctx, route, rule.reads...)
		}
		if ctx.Err() != nil {
			rulings = append(rulings, ruling{status: reports.Inconclusive, reason: "the run was interrupted"})
			continue
		}
		var elsewhere map[schemas.Route][]*reply
		if rule.across {
			elsewhere = map[schemas.Route][]*reply{}
			for _, other := range k.target.Routes {
				k.futures.wait(ctx, other, rule.reads...)
				elsewhere[other] = k.inOrder(other)
			}
		}
		rulings = append(rulings, (&Case{
			Route: route, Profile: k.opts.Profile, Facts: f, replies: rule.sees(k.inOrder(route)), elsewhere: elsewhere,
			why: func(probe string) string { return k.futures.why(route, probe) },
		}).rule(rule, c.Level(k.opts.Profile)))
	}
	return merge(c, k.opts.Profile, rulings)
}

// inOrder are the replies of a route in the order of their ids.
func (k *check) inOrder(route schemas.Route) []*reply {
	replies := k.replies(route)
	slices.SortFunc(replies, func(a, b *reply) int { return cmp.Compare(a.ID, b.ID) })
	return replies
}

// finish is the document of the run; the evidence is saved, if that was asked.
func (k *check) finish(ctx context.Context) (*reports.Result, error) {
	r := k.result(ctx.Err() != nil)
	if dir := k.opts.Evidence; dir != "" {
		if err := k.saveEvidence(dir); err != nil {
			return r, err
		}
	}
	return r, nil
}

// result is the document of the run; clauses without a verdict were not
// reached.
func (k *check) result(interrupted bool) *reports.Result {
	res := &reports.Result{
		Format:  reports.Format,
		Tool:    reports.Tool{Name: "touchstone", Version: k.opts.Version},
		Target:  reports.Target{URL: k.target.BaseURL, Dialect: k.target.Dialect, Kind: k.target.Kind, Model: k.target.Model},
		Profile: string(k.opts.Profile), Started: k.started, Seconds: time.Since(k.started).Seconds(),
		Interrupted: interrupted, Exchanges: map[string]reports.Exchange{}, Areas: schemas.AreaTitles(), Capabilities: k.capabilities(),
	}
	for _, route := range k.target.Routes {
		if f := k.facts[route]; f != nil {
			res.Calibration = append(res.Calibration, f.list...)
		}
	}
	recorded := map[string]*exchange.Exchange{}
	requests, tokens := 0, 0
	k.session.mu.Lock()
	for _, r := range k.record {
		if !r.Void {
			requests++
		}
		tokens += r.tokens()
		recorded[r.ID] = exchange.Redact(r.Exchange, k.target.secrets()...)
	}
	k.session.mu.Unlock()
	for _, c := range k.clauses {
		v, ok := k.verdicts[c.ID]
		if !ok {
			v = merge(c, k.opts.Profile, []ruling{{status: reports.Inconclusive, reason: "the run was interrupted"}})
		}
		for i, f := range v.Findings {
			if x := recorded[f.Exchange]; x != nil {
				v.Findings[i].Curl = x.Curl(k.opts.KeyEnv)
			}
			v.Findings[i].Seen = strings.ToValidUTF8(f.Seen, "\uFFFD")
		}
		for _, id := range v.Evidence {
			if x := recorded[id]; x != nil {
				res.Exchanges[id] = shown(x)
			}
		}
		res.Verdicts = append(res.Verdicts, v)
	}
	res.Waivers = waivers(k.opts.Waivers, res.Verdicts)
	res.Summary = reports.Summarise(res.Verdicts, res.Profile, requests, tokens, interrupted)
	if why := k.lost(); why != "" && !interrupted {
		res.Lose(why)
	}
	return res
}

// shown is an exchange as reports show it.
func shown(x *exchange.Exchange) reports.Exchange {
	out := reports.Exchange{
		Method: x.Request.Method, URL: x.Request.URL, RequestBody: string(x.Request.Body),
		RequestHeaders: lines(x.Request.Header), Error: x.Error, Milliseconds: float64(x.End.Microseconds()) / 1000,
	}
	if r := x.Response; r != nil {
		out.Status, out.ResponseHeaders, out.ResponseBody = r.Status, lines(r.Header), strings.ToValidUTF8(string(r.Body), "\uFFFD")
	}
	return out
}

func lines(h map[string][]string) []string {
	var out []string
	for name, values := range h {
		for _, v := range values {
			out = append(out, name+": "+v)
		}
	}
	slices.Sort(out)
	return out
}

// specs builds the Ginkgo tree: a container an area, a spec a clause. ctx ends
// what still runs when the run is interrupted.
func (k *check) specs(ctx func() context.Context) {
	areas := map[string][]schemas.Clause{}
	var order []string
	for _, c := range k.clauses {
		if areas[c.Area()] == nil {
			order = append(order, c.Area())
		}
		areas[c.Area()] = append(areas[c.Area()], c)
	}
	// Ordered, so that clauses come in the order of the register.
	ginkgo.Describe("touchstone "+k.target.BaseURL, ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		for _, area := range order {
			ginkgo.Describe(area, func() {
				for _, c := range areas[area] {
					ginkgo.It(c.ID+" "+c.Statement, ginkgo.Label(labels(c, k.target, k.opts)...), func() {
						k.begin(ctx())
						present(k.judge(ctx(), c))
					})
				}
			})
		}
	})
}

// present ends the running spec as its verdict says.
func present(v reports.Verdict) {
	ginkgo.AddReportEntry("verdict", ginkgo.ReportEntryVisibilityNever, v)
	switch v.Verdict {
	case reports.Fail, reports.Error:
		msg := fmt.Sprintf("%s %s: %s", v.Clause, v.Verdict, v.Reason)
		for _, f := range v.Findings {
			msg += fmt.Sprintf("\n  %s %s: expected %s, saw %s", f.Exchange, f.Where, f.Expected, f.Seen)
		}
		ginkgo.Fail(msg)
	case reports.Skip, reports.Unsupported, reports.Inconclusive:
		ginkgo.Skip(string(v.Verdict) + ": " + v.Reason)
	}
}

// verdictOf is the verdict that a finished spec left.
func verdictOf(r ginkgo.SpecReport) (reports.Verdict, bool) {
	for _, e := range r.ReportEntries {
		if v, ok := e.GetRawValue().(reports.Verdict); ok {
			return v, true
		}
	}
	return reports.Verdict{}, false
}

// Describe adds the specs of a check to the caller's own Ginkgo suite. Call it
// while the tree is built; the target is calibrated when the first spec runs.
// It panics on a bad description of the target.
func Describe(t Target, o Options) bool {
	k, err := newCheck(t, o)
	if err != nil {
		panic(err)
	}
	k.specs(context.Background)
	return true
}

// Judge is [Run] without Ginkgo: for a caller inside a suite of its own, or
// for several checks at once. Verdicts come in the order of the register.
func Judge(ctx context.Context, t Target, o Options) (*reports.Result, error) {
	k, err := newCheck(t, o)
	if err != nil {
		return nil, err
	}
	k.begin(ctx)
	for _, c := range k.clauses {
		if v := k.judge(ctx, c); k.opts.OnVerdict != nil {
			k.opts.OnVerdict(v)
		}
	}
	return k.finish(ctx)
}

// running serialises runs: Ginkgo's tree is global.
var running sync.Mutex

// failed is the least that Ginkgo wants of a testing.T.
type failed bool

func (f *failed) Fail() { *f = true }

// Run checks a target and returns the result. Clauses are presented as Ginkgo
// specs, one after the other, while the probes run concurrently. When ctx ends
// the result holds what was judged by then and says that it was interrupted.
//
// Errors: [ErrConfig] for a bad target or option, [ErrNothing] when the
// selection is empty; nothing was sent then. A target that does not answer is
// no error: its clauses are skipped and Summary.ExitCode is 3.
func Run(ctx context.Context, t Target, o Options) (*reports.Result, error) {
	k, err := newCheck(t, o)
	if err != nil {
		return nil, err
	}
	running.Lock()
	defer running.Unlock()
	globals.Reset()
	defer globals.Reset()
	out := formatter.ColorableStdOut
	formatter.ColorableStdOut = io.Discard // our own reports say it all
	defer func() { formatter.ColorableStdOut = out }()

	k.begin(ctx)
	k.specs(func() context.Context { return ctx })
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		if v, ok := verdictOf(r); ok && k.opts.OnVerdict != nil {
			k.opts.OnVerdict(v)
		}
	})
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.RandomSeed, suite.RandomizeAllSpecs = 1, false
	suite.FailOnEmpty = true
	suite.LabelFilter, suite.FocusStrings, suite.SkipStrings = "", nil, nil
	reporter.NoColor, reporter.Succinct = true, true
	reporter.JSONReport, reporter.JUnitReport, reporter.TeamcityReport, reporter.GoJSONReport = "", "", "", ""
	var t0 failed
	ginkgo.RunSpecs(&t0, "touchstone check", suite, reporter)
	return k.finish(ctx)
}
