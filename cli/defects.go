package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/touchstone-llm/touchstone/simulator"
)

type defectsCmd struct {
	Format string `default:"text" enum:"text,json" help:"text or json."`
}

func (c *defectsCmd) Run(s *streams) error {
	defects := simulator.Defects()
	if c.Format == "json" {
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(defects)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, d := range defects {
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, d.Sentence, strings.Join(d.Clauses, " "))
	}
	return w.Flush()
}
