package schemas

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

// The clause files, one an area, named for it. In their sources S:n is line n
// of the Llama endpoint document, and C01 to C63 are the conflicts between
// the sources.
//
//go:embed clauses/*.yaml
var clauseFiles embed.FS

// areaTitles say what each area is about, in the order of the register.
var areaTitles = []struct{ id, title string }{
	{"SCH", "Schema"},
	{"REQ", "Transport and request validation"},
	{"EXT", "Extra parameters"},
	{"VER", "API version"},
	{"CHT", "Chat messages"},
	{"RSP", "Response shape"},
	{"FIN", "Finish reason"},
	{"STR", "Streaming"},
	{"BST", "best_of and n"},
	{"BEAM", "Beam search"},
	{"LOG", "Log probabilities"},
	{"STP", "Stop strings and tokens"},
	{"EOS", "End of sequence"},
	{"USE", "Usage"},
	{"AUT", "Authentication"},
	{"ERR", "Errors"},
	{"LIM", "Rate limits"},
	{"CTX", "Context length"},
	{"SAF", "Content safety"},
	{"INF", "Model information and self-description"},
	{"DEP", "Deployments"},
	{"TOO", "Tools"},
	{"FMT", "Response format"},
	{"VIS", "Images"},
	{"DET", "Determinism and defaults"},
	{"CLI", "Real clients"},
}

// Register returns every clause in the order of the register: by area, then
// by number. The error names file, line and clause of what is wrong. The
// clauses are shared and not to be changed.
func Register() ([]Clause, error) {
	r, err := load()
	return r.clauses, err
}

// MustRegister is [Register] for callers that rely on the embedded data, which
// the tests of this package have read; it panics where Register fails.
func MustRegister() []Clause {
	cs, err := Register()
	if err != nil {
		panic(err)
	}
	return cs
}

// Lookup returns the clause with that id, such as "STR-009".
func Lookup(id string) (Clause, bool) {
	r, err := load()
	if err != nil {
		return Clause{}, false
	}
	i, ok := r.byID[id]
	if !ok {
		return Clause{}, false
	}
	return r.clauses[i], true
}

// Areas returns the areas of the register, such as "STR", in its order.
func Areas() []string {
	ids := make([]string, len(areaTitles))
	for i, a := range areaTitles {
		ids[i] = a.id
	}
	return ids
}

// AreaTitles says what each area is about.
func AreaTitles() map[string]string {
	titles := map[string]string{}
	for _, a := range areaTitles {
		titles[a.id] = a.title
	}
	return titles
}

// Area is the first part of the id, such as "STR".
func (c Clause) Area() string {
	area, _, _ := strings.Cut(c.ID, "-")
	return area
}

// Level is how binding the clause is under p, "" if p is no profile.
func (c Clause) Level(p Profile) Level { return c.Levels[p] }

// Holds is whether the clause binds that route of that dialect, enforced or
// not.
func (c Clause) Holds(dialect string, r Route) bool {
	return slices.Contains(c.Dialects[dialect], r)
}

type register struct {
	clauses []Clause
	byID    map[string]int
}

var load = sync.OnceValues(func() (register, error) {
	r, areas := register{byID: map[string]int{}}, Areas()
	files, err := clauseFiles.ReadDir("clauses")
	if err != nil {
		return register{}, err
	}
	for _, f := range files {
		if area, _ := strings.CutSuffix(f.Name(), ".yaml"); !slices.Contains(areas, area) {
			return register{}, fmt.Errorf("clauses/%s: no area %q in the order of the register", f.Name(), area)
		}
	}
	for _, area := range areas {
		name := "clauses/" + area + ".yaml"
		b, err := clauseFiles.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return register{}, err
		}
		cs, err := parse(area, b)
		if err != nil {
			return register{}, fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range cs {
			r.byID[c.ID] = len(r.clauses)
			r.clauses = append(r.clauses, c)
		}
	}
	return r, nil
})

// parse reads the clause file of one area. An unknown member, a missing or a
// wrong one is an error.
func parse(area string, b []byte) ([]Clause, error) {
	var cs []Clause
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&cs); err != nil {
		return nil, err // goccy/go-yaml names the line
	}
	last := 0
	for _, c := range cs {
		number, ok := strings.CutPrefix(c.ID, area+"-")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || len(number) != 3 || n <= last {
			return nil, fmt.Errorf("clause %q: want %s-%03d or a later number of three digits", c.ID, area, last+1)
		}
		last = n
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("clause %s: %w", c.ID, err)
		}
	}
	return cs, nil
}

// check says what a clause lacks, all at once.
func (c Clause) check() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for name, text := range map[string]string{"statement": c.Statement, "source": c.Source, "why": c.Why, "judged": c.Judged} {
		need(text != "", "no %s", name)
		need(text == strings.TrimSpace(text), "%s begins or ends with space", name)
	}
	need(len(c.Levels) == 3, "%d levels, want one for each of interop, strict and paper", len(c.Levels))
	for _, p := range []Profile{Interop, Strict, Paper} {
		l := c.Levels[p]
		need(l == Must || l == Should || l == May, "level %q for %s, want MUST, SHOULD or MAY", l, p)
	}
	need(len(c.Dialects) > 0, "no dialects")
	for d, rs := range c.Dialects {
		need(slices.Contains([]string{"llama-v1", "azure-inference", "openai"}, d), "unknown dialect %q", d)
		need(len(rs) > 0, "no routes for %s", d)
		for _, r := range rs {
			need(r == Completions || r == Chat, "unknown route %q of %s", r, d)
		}
	}
	for _, k := range c.Kinds {
		need(slices.Contains(Kinds(), k), "unknown kind %q", k)
	}
	for _, name := range c.Requires {
		_, known := Claims()[name]
		need(known, "unknown claim %q in requires", name)
	}
	need(slices.Contains([]string{"any", "det", "coop", "cfg", "admin"}, c.Needs), "unknown needs %q", c.Needs)
	return errors.Join(errs...)
}
