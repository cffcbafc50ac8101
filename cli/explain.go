package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

type explainCmd struct {
	ID []string `arg:"" help:"Ids of clauses, such as STR-009."`
}

func (explainCmd) Help() string {
	return `Prints what a clause says, why, where it comes from, how binding it is under each
profile, how it is judged, what is sent for it, and how to see it kept and broken.`
}

func (c *explainCmd) Run(s *streams) error {
	for i, id := range c.ID {
		cl, ok := schemas.Lookup(strings.ToUpper(id))
		if !ok {
			return usage("there is no clause %q; `touchstone rules` lists all", id)
		}
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		explain(s.out, cl)
	}
	return nil
}

func explain(w io.Writer, cl schemas.Clause) {
	fmt.Fprintf(w, "%s  %s\n\n", cl.ID, cl.Statement)
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, strings.ReplaceAll(wrapped(text, 96), "\n", "\n             "))
		}
	}
	row("why", cl.Why)
	row("source", cl.Source)
	row("levels", fmt.Sprintf("interop %s, strict %s, paper %s", cl.Level(schemas.Interop), cl.Level(schemas.Strict), cl.Level(schemas.Paper)))
	var where []string
	for _, d := range []string{suites.DialectLlamaV1, suites.DialectAzureInference, suites.DialectOpenAI} {
		if rs := cl.Dialects[d]; len(rs) > 0 {
			where = append(where, fmt.Sprintf("%s (%s)", d, strings.Trim(fmt.Sprint(rs), "[]")))
		}
	}
	row("dialects", strings.Join(where, ", "))
	row("kinds", strings.Join(cl.Kinds, ", "))
	row("requires", strings.Join(cl.Requires, ", "))
	row("judged", cl.Judged)
	row("conflict", cl.Conflict)
	if cl.Excluded != "" {
		row("excluded", cl.Excluded)
		return
	}
	row("probes", strings.Join(suites.Probes(cl.ID), ", "))
	row("passes", "touchstone check"+on(cl, simulator.Dialects())+" --clause "+cl.ID)
	for _, d := range simulator.Defects() {
		if slices.Contains(d.Clauses, cl.ID) {
			row("fails", fmt.Sprintf("touchstone check%s --clause %s --defect %s", on(cl, d.JudgedOn()), cl.ID, d.Name))
			fmt.Fprintf(w, "             %s\n", strings.ReplaceAll(wrapped(d.Sentence+seenIn(d.Seen), 96), "\n", "\n             "))
		}
	}
}

// on is the flag for the first of the dialects on which a clause holds, "" for
// the default one.
func on(cl schemas.Clause, dialects []string) string {
	for _, d := range dialects {
		if len(cl.Dialects[d]) > 0 && d != suites.DialectLlamaV1 {
			return " --dialect " + d
		} else if len(cl.Dialects[d]) > 0 {
			break
		}
	}
	return ""
}

func seenIn(seen string) string {
	if seen == "" {
		return ""
	}
	return " Seen in " + seen + "."
}

// wrapped breaks text into lines of at most n characters, between words.
func wrapped(text string, n int) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case line+1+len(word) > n:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}
