package simulator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// A breach is a defect as a deployment has it: how often, and where. Flags,
// configuration files, the admin's API and a request's header all write it
//
//	WHAT[:PROBABILITY][@route=NAME][@choice=N][@chunk=N]
//
// where WHAT is the name of a defect, a wild card over names (stream-*), a clause
// or wild card over clauses (STR-009, LOG-*): every defect that the clause must
// catch, or a vendor (vllm-0.4): its quirks.
type breach struct {
	Defect
	probability float64 // of each request, in (0, 1]
	route       string  // of a dialect; "" is all
	choice      int     // by its index; -1 is all
	chunk       int     // of a stream, from 0, [DONE] is the last; -1 is all
}

// String is the entry that makes this breach and no other.
func (b breach) String() string {
	s := b.Name
	if b.probability < 1 {
		s += ":" + strconv.FormatFloat(b.probability, 'g', -1, 64)
	}
	return s + b.where()
}

// where is the scope of a breach, as an entry writes it.
func (b breach) where() string {
	s := ""
	if b.route != "" {
		s += "@route=" + b.route
	}
	if b.choice >= 0 {
		s += "@choice=" + strconv.Itoa(b.choice)
	}
	if b.chunk >= 0 {
		s += "@chunk=" + strconv.Itoa(b.chunk)
	}
	return s
}

// CheckDefects says what is wrong with entries of [Options].Defects, or nil. The
// error names the entry, and the defects that are near.
func CheckDefects(entries []string) error {
	_, err := parseBreaches(entries)
	return err
}

// parseBreaches reads a list of entries. Of two breaches that differ only in
// their probability the later stays, so that `stream-*:0.1,stream-cut` has
// stream-cut always.
func parseBreaches(entries []string) ([]breach, error) {
	var out []breach
	for i, entry := range entries {
		some, err := parseBreach(strings.TrimSpace(entry))
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
		for _, b := range some {
			same := func(o breach) bool { return o.Name == b.Name && o.where() == b.where() }
			if at := slices.IndexFunc(out, same); at >= 0 {
				out[at] = b
			} else {
				out = append(out, b)
			}
		}
	}
	return out, nil
}

func parseBreach(entry string) ([]breach, error) {
	parts := strings.Split(entry, "@")
	what, often, chance := strings.Cut(parts[0], ":")
	b := breach{probability: 1, choice: -1, chunk: -1}
	if chance {
		var err error
		if b.probability, err = strconv.ParseFloat(often, 64); err != nil || !(b.probability > 0 && b.probability <= 1) {
			return nil, fmt.Errorf("%q: the probability must be above 0 and at most 1, got %q", entry, often)
		}
	}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		var err error
		switch name {
		case "route":
			if b.route = value; !slices.Contains(routeNames(), value) {
				err = fmt.Errorf("must be one of %s, got %q", strings.Join(routeNames(), ", "), value)
			}
		case "choice":
			b.choice, err = ordinal(value)
		case "chunk":
			b.chunk, err = ordinal(value)
		default:
			err = errors.New("is no scope; there are @route=, @choice= and @chunk=")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: @%s %w", entry, name, err)
		}
	}
	if v, ok := vendor(what); ok {
		return parseBundle(v, b)
	}
	named, err := matching(what)
	if err != nil {
		return nil, err
	}
	var out []breach
	for _, d := range named {
		b.Defect = d
		if err = b.fits(); err == nil {
			out = append(out, b)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(named) == 1:
		return nil, fmt.Errorf("%q: %w", entry, err)
	}
	return nil, fmt.Errorf("%q: none of the %d defects that match can be kept to %s", entry, len(named), b.where())
}

// parseBundle reads the quirks of a vendor, as often and where b says.
func parseBundle(v Vendor, b breach) ([]breach, error) {
	if b.where() != "" {
		return nil, fmt.Errorf("%q: a server has its quirks everywhere; leave out %s", v.Name, b.where())
	}
	out, err := parseBreaches(v.entries())
	for i := range out {
		out[i].probability *= b.probability
	}
	return out, err
}

// ordinal reads an index, from 0.
func ordinal(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("must be 0 or more, got %q", s)
	}
	return n, nil
}

// matching are the defects that a WHAT means, at least one.
func matching(what string) ([]Defect, error) {
	clauses := strings.ToUpper(what) == what && strings.ContainsAny(what, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	var out []Defect
	for _, d := range register {
		names := []string{d.Name}
		if clauses {
			names = d.Clauses
		}
		if slices.ContainsFunc(names, func(n string) bool { ok, _ := path.Match(what, n); return ok }) {
			out = append(out, d)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case clauses:
		return nil, fmt.Errorf("no defect names the clause %q", what)
	}
	return nil, fmt.Errorf("there is no defect %q%s", what, suggestion(what))
}

// suggestion names what is nearest, for an error.
func suggestion(name string) string {
	type candidate struct {
		name  string
		moves int
	}
	var near []candidate
	for _, d := range register {
		n := distance(d.Name, name)
		if name != "" && (strings.Contains(d.Name, name) || strings.Contains(name, d.Name)) || n <= 1+len(d.Name)/3 {
			near = append(near, candidate{d.Name, n})
		}
	}
	if len(near) == 0 {
		return "; `touchstone defects` lists them"
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.moves, b.moves) })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		if c.moves == near[0].moves {
			names = append(names, c.name)
		}
	}
	return "; did you mean " + strings.Join(names, ", ") + "?"
}

// routeNames are those of all dialects.
func routeNames() []string {
	var names []string
	for _, d := range dialects {
		for _, r := range d.routes {
			names = append(names, r.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fits says why a breach cannot be kept to its choice or chunk: the defect does
// something that belongs to none.
func (b breach) fits() error {
	if b.choice < 0 && b.chunk < 0 {
		return nil
	}
	h, whole := hooks{}, b.around != nil || b.Defect.arm == nil
	if !whole {
		h, whole = b.trial()
	}
	whole = whole || len(h.before)+len(h.request)+len(h.header)+len(h.after)+len(h.left)+len(h.send)+len(h.refuse) > 0
	switch {
	case b.choice >= 0 && (whole || len(h.answer)+len(h.steps)+len(h.chunks)+len(h.frames) == 0):
		return errors.New("the defect is not about single choices; leave out @choice")
	case b.chunk >= 0 && (whole || len(h.steps) > 0 || len(h.chunks)+len(h.frames) == 0):
		return errors.New("the defect is not about single chunks of a stream; leave out @chunk")
	}
	return nil
}

// trial arms the defect for a call that no client made. It says which hooks the
// defect uses, and whether it changes the call itself, or of an answer only what
// belongs to no choice.
func (b breach) trial() (h hooks, whole bool) {
	s := &Server{clock: time.Now, newID: newUUID, wait: wait, started: time.Now()}
	c := &call{server: s, deployment: &deployment{server: s, filter: newFilter(Safety{})}, dialect: &llamaV1, route: &llamaV1.routes[0], header: http.Header{}, context: context.Background()}
	b.Defect.arm()(c)
	if c.id != "" || c.created != 0 || c.model != "" || c.generator != nil {
		return c.hooks, true
	}
	const answer = `{"id":"x","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	for _, change := range c.hooks.answer {
		changed := change(c, []byte(answer))
		if len(c.hooks.chunks)+len(c.hooks.frames)+len(c.hooks.steps) == 0 && string(changed) != answer &&
			gjson.GetBytes(changed, "choices").Raw == gjson.Get(answer, "choices").Raw {
			return c.hooks, true
		}
	}
	return c.hooks, false
}

// within keeps hooks to the choice and the chunk of a breach.
func (b breach) within(h hooks) hooks {
	if b.choice < 0 && b.chunk < 0 {
		return h
	}
	kept := hooks{}
	if b.chunk < 0 {
		for _, change := range h.steps {
			kept.steps = append(kept.steps, func(c *call, in engine.Steps) engine.Steps { return someSteps(c, in, b.choice, change) })
		}
		for _, change := range h.answer {
			kept.answer = append(kept.answer, func(c *call, document []byte) []byte {
				return oneChoice(document, change(c, bytes.Clone(document)), b.choice)
			})
		}
	}
	for _, change := range h.chunks {
		kept.chunks = append(kept.chunks, b.some(change, chunkOfChoice))
	}
	for _, change := range h.frames {
		kept.frames = append(kept.frames, b.some(change, frameOfChoice))
	}
	return kept
}

func chunkOfChoice(chunk []byte, choice int) bool {
	return gjson.GetBytes(chunk, "choices.0").Exists() && chunkIndex(chunk) == choice
}

func frameOfChoice(frame []byte, choice int) bool {
	_, chunk, _ := bytes.Cut(frame, []byte("data: "))
	return chunkOfChoice(chunk, choice)
}

// some shows a change only what the breach is kept to; the rest of the stream
// passes by in its place.
func (b breach) some(change func(*call, iter.Seq[[]byte]) iter.Seq[[]byte], of func([]byte, int) bool) func(*call, iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			gone := false
			selected := func(show func([]byte) bool) {
				i := -1
				for x := range in {
					i++
					if (b.chunk < 0 || i == b.chunk) && (b.choice < 0 || of(x, b.choice)) {
						if !show(x) {
							return
						}
					} else if !yield(x) {
						gone = true
						return
					}
				}
			}
			for x := range change(c, selected) {
				if gone || !yield(x) {
					return
				}
			}
		}
	}
}

// someSteps is some for the steps of a choice.
func someSteps(c *call, in engine.Steps, choice int, change func(*call, engine.Steps) engine.Steps) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		gone := false
		selected := func(show func(engine.Step, error) bool) {
			for s, err := range in {
				if err != nil || s.Choice == choice {
					if !show(s, err) {
						return
					}
				} else if !yield(s, err) {
					gone = true
					return
				}
			}
		}
		for s, err := range change(c, selected) {
			if gone || !yield(s, err) {
				return
			}
		}
	}
}

// oneChoice is a document with one choice as another document has it.
func oneChoice(document, changed []byte, choice int) []byte {
	other := gjson.GetBytes(changed, "choices."+strconv.Itoa(choice))
	if !other.Exists() {
		return document
	}
	return editChoices(document, func(i int, o *object) {
		if i == choice {
			*o = *parseObject(other.Raw)
		}
	})
}

// A lot says whether a breach hits the next request, from a seed: the same
// sequence of requests is hit at the same places.
type lot struct {
	mu     sync.Mutex
	source *rand.Rand
}

func newLot(seed uint64, b breach) *lot {
	h := fnv.New64a()
	h.Write([]byte(b.String())) // so that each draws by itself
	return &lot{source: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

func (l *lot) hits(probability float64) bool {
	if probability >= 1 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Float64() < probability
}
