package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/touchstone-llm/touchstone/schemas"
)

type rulesCmd struct {
	List    rulesListCmd `cmd:"" default:"withargs" help:"List the clauses of the contract."`
	Explain explainCmd   `cmd:"" help:"Say what a clause means, why, how it is judged, and how to see it fail."`
}

type rulesListCmd struct {
	Format string   `default:"text" enum:"text,json" help:"text or json."`
	Area   []string `placeholder:"AREA,…" help:"Only these areas."`
}

func (c *rulesListCmd) Run(s *streams) error {
	register, err := schemas.Register()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	var chosen []schemas.Clause
	for _, cl := range register {
		known[cl.Area()] = true
		if len(c.Area) == 0 || slices.Contains(c.Area, cl.Area()) {
			chosen = append(chosen, cl)
		}
	}
	for _, a := range c.Area {
		if !known[a] {
			return usage("--area: %q is not in the register", a)
		}
	}
	if c.Format == "json" {
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(chosen)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	enforced := 0
	for _, cl := range chosen {
		level := string(cl.Level(schemas.Interop))
		if cl.Excluded != "" {
			level = "excluded"
		} else {
			enforced++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", cl.ID, level, cl.Statement)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "\n%d clauses: %d enforced, %d excluded. Levels are those of interop; --format json has all.\n", len(chosen), enforced, len(chosen)-enforced)
	return err
}
