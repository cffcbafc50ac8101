package schemas

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"slices"
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

// areas is the order of the register.
var areas = []string{"SCH", "RSP", "FIN", "STR", "BST", "BEAM"}

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
func Areas() []string { return slices.Clone(areas) }

// AreaTitles says what each area is about.
func AreaTitles() map[string]string {
	return map[string]string{
		"SCH":  "Schema",
		"RSP":  "Response shape",
		"FIN":  "Finish reason",
		"STR":  "Streaming",
		"BST":  "best_of and n",
		"BEAM": "Beam search",
	}
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
	r := register{byID: map[string]int{}}
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
	for i, c := range cs {
		if want := fmt.Sprintf("%s-%03d", area, i+1); c.ID != want {
			return nil, fmt.Errorf("clause %q: want %s, ids are numbered without gaps", c.ID, want)
		}
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
	need(slices.Contains([]string{"any", "det", "coop", "cfg", "admin"}, c.Needs), "unknown needs %q", c.Needs)
	return errors.Join(errs...)
}
