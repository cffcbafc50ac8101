package simulator

import (
	commandline "flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = commandline.Bool("update", false, "write the golden files anew")

// TestReadme holds the tables in README.md to the tables of the dialects and of
// the vendors.
func TestReadme(t *testing.T) {
	for _, table := range []struct{ name, text string }{{"parameters", parameterTable()}, {"vendors", vendorTable()}} {
		begin, end := "<!-- "+table.name+": written by make golden -->\n", "<!-- end -->\n"
		b, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		head, rest, ok := strings.Cut(string(b), begin)
		old, tail, ended := strings.Cut(rest, end)
		switch {
		case !ok || !ended:
			t.Errorf("README.md has no place for the %s", table.name)
		case old == table.text:
		case !*update:
			t.Errorf("README.md is not what the tables say; run make golden. It should hold\n%s", table.text)
		default:
			if err := os.WriteFile("README.md", []byte(head+begin+table.text+end+tail), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func vendorTable() string {
	var b strings.Builder
	b.WriteString("| `--as` | server | what it does wrong |\n|---|---|---|\n")
	for _, v := range vendors {
		var says []string
		for _, q := range v.Quirks {
			i := slices.IndexFunc(register, func(d Defect) bool { return d.Name == q.Defect })
			says = append(says, fmt.Sprintf("`%s`: %s", q.Defect, strings.TrimSuffix(register[i].Sentence, ".")))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, v.What, strings.Join(says, "<br>"))
	}
	return b.String()
}

func parameterTable() string {
	var names []string
	for _, e := range generating() {
		for _, p := range e.route.parameters {
			if !slices.Contains(names, p.name) {
				names = append(names, p.name)
			}
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("| parameter |")
	for _, e := range generating() {
		fmt.Fprintf(&b, " %s %s |", e.dialect.name, e.route.name)
	}
	b.WriteString("\n|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` |", name)
		for _, e := range generating() {
			fmt.Fprintf(&b, " %s |", cell(e.route, name))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cell says what a parameter is on a route, and its default.
func cell(r *route, name string) string {
	p, known := r.parameter(name)
	if !known {
		return "–"
	}
	var what string
	switch fallback := p.fallback.(type) {
	case nil:
		what = "absent"
	case []string, []int64:
		what = "none"
	default:
		what = fmt.Sprint(fallback)
	}
	switch {
	case p.required:
		what = "required"
	case name == "max_tokens" && p.fallback == nil:
		what = "what fits"
	case name == "best_of":
		what = "`n`"
	}
	if p.extra {
		what += ", extra"
	}
	return what
}
