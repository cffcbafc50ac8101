package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/touchstone-llm/touchstone/simulator"
)

type defectsCmd struct {
	Format string   `default:"text" enum:"text,json" help:"text or json."`
	As     []string `placeholder:"SERVER" help:"Only the quirks of these servers, and where they were seen; serve --help lists the servers."`
}

func (c *defectsCmd) Run(s *streams) error {
	if len(c.As) > 0 {
		return c.servers(s)
	}
	defects := simulator.Defects()
	if c.Format == "json" {
		return asJSON(s.out, defects)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, d := range defects {
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, d.Sentence, strings.Join(d.Clauses, " "))
	}
	return w.Flush()
}

// servers prints where the quirks of servers were seen.
func (c *defectsCmd) servers(s *streams) error {
	if err := validDefects(c.As, nil); err != nil {
		return usage("%w", err)
	}
	list := slices.DeleteFunc(simulator.Vendors(), func(v simulator.Vendor) bool { return !slices.Contains(c.As, v.Name) })
	if c.Format == "json" {
		return asJSON(s.out, list)
	}
	for _, v := range list {
		fmt.Fprintf(s.out, "%s  %s\n", v.Name, v.What)
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, q := range v.Quirks {
			fmt.Fprintf(w, "  %s\t%s\n", q.Defect, q.Seen)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// asJSON writes v, indented.
func asJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
