package reports

import (
	"cmp"
	_ "embed" // the parts of the page
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strings"
)

// A Mutant is what the suites made of one defect of the reference, on one
// dialect: an entry of mutants.json.
type Mutant struct {
	Defect   string `json:"defect"`
	Dialect  string `json:"dialect,omitempty"`
	Sentence string `json:"sentence"`
	Seen     string `json:"seen,omitempty"`
	// Killed are the clauses that the defect names and that failed, Survived
	// those that did not, Collateral those that failed and are not named.
	Killed     []string `json:"killed"`
	Survived   []string `json:"survived,omitempty"`
	Collateral []string `json:"collateral,omitempty"`
}

// ReadMutants reads a mutants.json.
func ReadMutants(path string) ([]Mutant, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Mutant
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// MutantsSummary is what a list of mutants comes to, in a sentence.
func MutantsSummary(list []Mutant) string {
	m := newMutantsPage(list)
	return fmt.Sprintf("%d defects, %d of them seen in real servers; %d pairs of defect and clause that must fail: %d killed, %d survived, %d collateral. %d clauses have a defect that they caught.",
		m.Defects, m.Cited, m.Killed+m.Survived, m.Killed, m.Survived, m.Collateral, len(m.Clauses))
}

var (
	//go:embed page/mutants.html
	mutantsHTML string
	//go:embed page/mutants.css
	mutantsCSS string
)

var mutantsTemplate = template.Must(template.New("mutants").Parse(mutantsHTML))

// WriteMutants writes the matrix of defects and clauses as one HTML page that
// fetches nothing and runs no script.
func WriteMutants(w io.Writer, list []Mutant) error {
	return mutantsTemplate.Execute(w, newMutantsPage(list))
}

// The marks of a cell of the matrix.
const (
	markKilled     = "killed"
	markSurvived   = "survived"
	markCollateral = "collateral"
)

type mutantsPage struct {
	Summary                      string
	Defects, Cited               int
	Killed, Survived, Collateral int
	Rows                         []mutantRow
	Clauses                      []mutantClause // with a defect that they caught
	Columns                      []mutantColumn // of the picture, one a clause
	Areas                        []mutantArea
	Cells                        []mutantCell
	Width, Height                int
	CSS                          template.CSS
	Policy                       string
}

type mutantRow struct {
	Mutant
	On string // the dialect, where there are several
}

type mutantClause struct {
	ID      string
	Defects []string
}

type mutantColumn struct {
	ID string
	X  int
}

type mutantArea struct {
	ID          string
	X, Width, N int
	Even        bool
}

type mutantCell struct {
	X, Y        int
	Mark, Title string
}

// The picture: pixels of a cell.
const cellWidth, cellHeight = 3, 3

func newMutantsPage(list []Mutant) *mutantsPage {
	p := &mutantsPage{CSS: template.CSS(mutantsCSS), Policy: fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'", digest(mutantsCSS))}
	caught, names, dialects := map[string][]string{}, map[string]bool{}, map[string]bool{}
	var ids []string
	for _, m := range list {
		dialects[m.Dialect] = true
		ids = slices.Concat(ids, m.Killed, m.Survived, m.Collateral)
		p.Killed, p.Survived, p.Collateral = p.Killed+len(m.Killed), p.Survived+len(m.Survived), p.Collateral+len(m.Collateral)
		if !names[m.Defect] && m.Seen != "" {
			p.Cited++
		}
		names[m.Defect] = true
		for _, id := range m.Killed {
			if !slices.Contains(caught[id], m.Defect) {
				caught[id] = append(caught[id], m.Defect)
			}
		}
	}
	p.Defects = len(names)
	slices.Sort(ids)
	column := map[string]int{}
	for _, id := range slices.Compact(ids) {
		column[id] = len(p.Columns)
		p.Columns = append(p.Columns, mutantColumn{id, len(p.Columns) * cellWidth})
		if len(caught[id]) > 0 {
			p.Clauses = append(p.Clauses, mutantClause{id, caught[id]})
		}
		area, _, _ := strings.Cut(id, "-")
		if n := len(p.Areas); n == 0 || p.Areas[n-1].ID != area {
			p.Areas = append(p.Areas, mutantArea{ID: area, X: column[id] * cellWidth, Even: n%2 == 0})
		}
		last := &p.Areas[len(p.Areas)-1]
		last.N++
		last.Width += cellWidth
	}
	// Rows stand in the order of the first clause that they break, so that the
	// picture is near a diagonal, and what lies off it shows.
	rows := slices.Clone(list)
	slices.SortStableFunc(rows, func(a, b Mutant) int {
		return cmp.Or(strings.Compare(first(a), first(b)), strings.Compare(a.Defect, b.Defect), strings.Compare(a.Dialect, b.Dialect))
	})
	for y, m := range rows {
		row := mutantRow{Mutant: m}
		if len(dialects) > 1 {
			row.On = m.Dialect
		}
		p.Rows = append(p.Rows, row)
		for _, c := range []struct {
			mark string
			ids  []string
		}{{markKilled, m.Killed}, {markSurvived, m.Survived}, {markCollateral, m.Collateral}} {
			for _, id := range c.ids {
				p.Cells = append(p.Cells, mutantCell{column[id] * cellWidth, y * cellHeight, c.mark, fmt.Sprintf("%s × %s: %s", m.Defect, id, c.mark)})
			}
		}
	}
	p.Width, p.Height = len(p.Columns)*cellWidth, len(rows)*cellHeight
	return p
}

// first is the clause by which a mutant is sorted.
func first(m Mutant) string {
	all := slices.Concat(m.Killed, m.Survived, m.Collateral)
	if len(all) == 0 {
		return ""
	}
	return slices.Min(all)
}
