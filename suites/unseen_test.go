package suites

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

var (
	evidenceDir = flag.String("evidence", "", "what check --evidence left of a good target: its answers are corrupted")
	mutations   = flag.Int("mutations", 1000, "how many corruptions that change the meaning of an answer")
	mutateSeed  = flag.Uint64("seed", 1, "which corruptions")
	mutateOut   = flag.String("out", "", "write what was seen into this file")
)

// A replayer judges evidence again with one exchange changed.
type replayer struct {
	*check
	target   Target
	evidence []*exchange.Exchange
	baseline map[string]reports.Status
	probes   map[string]bool
}

func newReplayer(t *testing.T, dir string) *replayer {
	t.Helper()
	target, xs, err := OpenEvidence(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &replayer{target: target, evidence: xs, baseline: map[string]reports.Status{}, probes: map[string]bool{after.name: true}}
	p.check = p.replay(t, xs)
	for _, c := range p.clauses {
		v := p.judge(t.Context(), c)
		switch p.baseline[c.ID] = v.Verdict; v.Verdict {
		case reports.Pass, reports.Skip:
		case reports.Inconclusive: // what depends on more than the exchanges, such as a quota that was used up
			t.Logf("not shown by the evidence alone: %s %s", c.ID, v.Reason)
		default:
			t.Errorf("the evidence is not that of a good target: %s %s %s", c.ID, v.Verdict, v.Reason)
		}
	}
	slices.SortFunc(p.record, func(a, b *reply) int { return cmp.Compare(a.ID, b.ID) }) // as judge wants them
	for _, rule := range rules {
		for _, name := range rule.reads {
			for pr := probeByName[name]; pr != nil; pr = probeByName[pr.then] {
				p.probes[pr.name] = true
			}
		}
	}
	return p
}

// replay is a check over evidence, with every probe answered.
func (p *replayer) replay(t *testing.T, xs []*exchange.Exchange) *check {
	t.Helper()
	k, err := newCheck(p.target, Options{Profile: schemas.Strict, Replay: xs})
	if err != nil {
		t.Fatal(err)
	}
	k.begin(t.Context())
	for _, route := range k.target.Routes {
		k.futures.wait(t.Context(), route)
	}
	return k
}

// An outcome is what the judge made of a corruption.
type outcome int

const (
	unseen  outcome = iota // every clause stays as it was
	unshown                // a clause cannot be shown any more, but none fails
	seen                   // a clause fails
)

// judged has the rules look at the evidence with one reply changed until one
// fails: those that read its probe, then each on that reply alone, which is
// quick and shows most, and at last all on everything.
func (p *replayer) judged(t *testing.T, r *reply, x *exchange.Exchange) outcome {
	k := p.check
	if !p.probes[r.probe] { // calibration: what it finds decides what is asked
		xs := slices.Clone(p.evidence)
		xs[slices.IndexFunc(xs, func(o *exchange.Exchange) bool { return o.ID == x.ID })] = x
		k = p.replay(t, xs)
	}
	i := slices.IndexFunc(k.record, func(o *reply) bool { return o.ID == r.ID })
	before, whole := k.record[i], k.record
	changed := newReply(r.route, r.probe, x)
	whole[i] = changed
	defer func() { whole[i], k.record = before, whole }()

	out := unseen
	fails := func(c schemas.Clause) bool {
		v := k.judge(t.Context(), c).Verdict
		if v == p.baseline[c.ID] {
			return false
		}
		if v == reports.Fail || v == reports.Warn || v == reports.Error {
			return true
		}
		if len(k.record) > 1 {
			out = unshown
		}
		return false
	}
	for _, c := range k.clauses {
		if slices.Contains(ruleOf(c.ID).reads, r.probe) && !eachAlone(c) && fails(c) {
			return seen
		}
	}
	for _, c := range k.clauses {
		if !ruleOf(c.ID).all {
			continue
		}
		k.record = []*reply{changed}
		alone := fails(c)
		k.record = whole
		if alone && (eachAlone(c) || fails(c)) {
			return seen
		}
	}
	for _, c := range k.clauses {
		if !eachAlone(c) && fails(c) {
			return seen
		}
	}
	return out
}

// eachAlone is whether a clause is judged on each reply for itself, and slowly:
// those that hold replies against a schema.
func eachAlone(c schemas.Clause) bool { return c.Area() == "SCH" }

// A class is what came of the corruptions of one kind.
type class struct {
	Part    string `json:"part"`
	Way     string `json:"way"`
	Where   string `json:"where"`
	Answers string `json:"answers"` // plain, streamed, refused, or a page
	Tried   int    `json:"tried"`
	Unseen  int    `json:"unseen"`
	Unshown int    `json:"inconclusive,omitempty"`
	// Example is an exchange in which one went unseen.
	Example string `json:"example,omitempty"`
	// Reason says why those that went unseen cannot be seen, "" if they could.
	Reason string `json:"reason,omitempty"`
}

// A census is the document that TestUnseen leaves.
type census struct {
	Seed        uint64  `json:"seed"`
	Corruptions int     `json:"corruptions"` // that change the meaning of an answer
	SameMeaning int     `json:"same_meaning"`
	Seen        int     `json:"seen"`         // a clause fails
	Unshown     int     `json:"inconclusive"` // none fails, one cannot be shown any more
	Unseen      int     `json:"unseen"`
	Share       float64 `json:"unseen_percent"`
	Explained   int     `json:"unseen_with_reason"`
	Classes     []class `json:"classes"`
}

// reasons say why corruptions cannot be noticed by anyone who does not know what
// the answer should have been.
var reasons = []struct {
	ways  string // of corruption, by the beginning of "part way"; "" is all
	where *regexp.Regexp
	holds func(p *replayer, r *reply) bool // of the reply; nil is always
	why   string
}{
	{"", regexp.MustCompile(``), func(p *replayer, r *reply) bool { return answersOf(p.target, r) == "a page" },
		"what a server tells of itself beyond its routes and required members is its own (INF-005)"},
	{"field", regexp.MustCompile(`^error\.innererror`), nil, "the annotations of Azure are judged on azure-inference (SAF-003, SAF-004)"},
	{"", regexp.MustCompile(`^(a chunk of text|choices\.#\.(delta|text|message).*)$`), func(_ *replayer, r *reply) bool { return strings.HasPrefix(r.probe, "safety") },
		"how much of an answer a filter lets through differs (SAF-007)"},
	{"field truncate", regexp.MustCompile(`^(error\.)?message$`), nil, "the message of a refusal is prose: a shorter one says less, and is no less a message (ERR-006)"},
	{"field", regexp.MustCompile(`top_logprobs\.#\.\*$`), nil, "so many alternatives are the most that may come (LOG-008), and their values are the model's own"},
	{"field", regexp.MustCompile(`(^|\.)(text|content)$`), (*replayer).alone, "nothing else in the run is asked the same at temperature 0, so its text is known to nobody"},
	{"chunk", regexp.MustCompile(`^a chunk of text$|^an opening chunk$`), (*replayer).alone, "nothing else in the run is asked the same at temperature 0, so its text is known to nobody"},
}

// reasonOf is why a corruption of a reply cannot be noticed, or "".
func (p *replayer) reasonOf(c corruption, where string, r *reply) string {
	for _, e := range reasons {
		if strings.HasPrefix(c.part+" "+c.way, e.ways) && e.where.MatchString(where) && (e.holds == nil || e.holds(p, r)) {
			return e.why
		}
	}
	return ""
}

// alone is whether the text of an answer has nothing to be compared with: it is
// sampled, or no other request asks for the same.
func (p *replayer) alone(r *reply) bool {
	if !r.greedy() {
		return true
	}
	same := 0
	for _, o := range p.record {
		if o.route == r.route && o.ok() && sameRequest(o, r) {
			same++
		}
	}
	return same < 2
}

// answersOf says what kind of answer a reply is.
func answersOf(t Target, r *reply) string {
	switch {
	case r.status() >= 400:
		return "refused"
	case !t.serves(r):
		return "a page"
	case r.stream != nil:
		return "streamed"
	}
	return "plain"
}

// TestUnseen corrupts answers of recorded evidence at random and counts what no
// clause notices. It needs evidence: see `make mutate`.
func TestUnseen(t *testing.T) {
	if *evidenceDir == "" {
		t.Skip("needs -evidence DIR; make mutate gives it")
	}
	const workers = 2
	var mu sync.Mutex
	classes := map[string]*class{}
	sum := census{Seed: *mutateSeed}
	var all sync.WaitGroup
	for w := range uint64(workers) {
		p := newReplayer(t, *evidenceDir)
		all.Go(func() {
			random := rand.New(rand.NewPCG(*mutateSeed, w))
			answers := p.spoilable()
			for done := 0; done < *mutations/workers; {
				r, c := answers[random.IntN(len(answers))], corruptions[random.IntN(len(corruptions))]
				body, where, ok := c.spoil(random, r)
				if !ok {
					continue
				}
				x := corrupted(r.Exchange, body)
				if meaning(newReply(r.route, r.probe, x)) == meaning(r) {
					mu.Lock()
					sum.SameMeaning++
					mu.Unlock()
					continue
				}
				done++
				came := p.judged(t, r, x)
				why := p.reasonOf(c, where, r)
				mu.Lock()
				key := fmt.Sprint(c.part, c.way, where, answersOf(p.target, r), why)
				one := classes[key]
				if one == nil {
					one = &class{Part: c.part, Way: c.way, Where: where, Answers: answersOf(p.target, r)}
					classes[key] = one
				}
				sum.Corruptions++
				one.Tried++
				switch came {
				case seen:
					sum.Seen++
				case unshown:
					sum.Unshown++
					one.Unshown++
				case unseen:
					sum.Unseen++
					one.Unseen++
					if one.Example, one.Reason = r.ID, why; why != "" {
						sum.Explained++
					}
					if testing.Verbose() { // which ones, to look at
						t.Logf("unseen: %s %s, %s, %s", c.part, c.way, where, r.ID)
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	sum.Share = math.Round(10000*float64(sum.Unseen)/float64(sum.Corruptions)) / 100
	for _, c := range classes {
		sum.Classes = append(sum.Classes, *c)
	}
	slices.SortFunc(sum.Classes, func(a, b class) int {
		return cmp.Or(cmp.Compare(b.Unseen, a.Unseen), cmp.Compare(b.Tried, a.Tried), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	t.Logf("%d corruptions that change the meaning of an answer: %d seen, %d leave a clause inconclusive, %d unseen (%.2f %%), %d of these with a reason; %d others mean the same",
		sum.Corruptions, sum.Seen, sum.Unshown, sum.Unseen, sum.Share, sum.Explained, sum.SameMeaning)
	for _, c := range sum.Classes {
		if c.Unseen > 0 {
			t.Logf("%4d of %4d unseen: %s %s, %s, %s (%s) %s", c.Unseen, c.Tried, c.Part, c.Way, c.Where, c.Answers, c.Example, c.Reason)
		}
	}
	if *mutateOut != "" {
		b, err := json.MarshalIndent(sum, "", " ")
		if err == nil {
			err = os.WriteFile(*mutateOut, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if most := sum.Corruptions * 3 / 100; sum.Unseen > most {
		t.Errorf("%d go unseen, more than 3 %%", sum.Unseen)
	}
}

// spoilable are the replies that can be corrupted, in the order of their ids.
// Deployments beside the target are judged for their limits alone; a refusal of
// a path or method that the contract has not may come from whatever stands
// before the endpoint, and little more than its status is judged.
func (p *replayer) spoilable() []*reply {
	var out []*reply
	for _, route := range p.target.Routes {
		for _, r := range p.inOrder(route) {
			pr := probeByName[r.probe]
			if spoilable(r) && (pr == nil || !pr.beside) && (r.status() < 400 || p.target.serves(r)) {
				out = append(out, r)
			}
		}
	}
	return out
}
