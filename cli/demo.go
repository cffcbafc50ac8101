package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/simulator"
	"github.com/touchstone-llm/touchstone/suites"
)

type demoCmd struct {
	Defect []string `placeholder:"WHAT,…" default:"done-missing,finish-stop-for-length,id-per-chunk,usage-total-wrong" help:"What is wrong with the endpoint; see serve --help."`
	Out    string   `default:"reports/demo" type:"path" placeholder:"DIR" help:"Where to write the reports."`
	NoOpen bool     `help:"Do not open the report in a browser."`
}

func (demoCmd) Help() string {
	return `A tour of two minutes: starts an endpoint with a few defects that real servers
had, asks it a question as a client would, checks it, says which clause caught
which defect, and shows the same clauses kept by the reference. The report is
opened in a browser where there is one. On a terminal the endpoint stays up to
be tried until Ctrl-C. Nothing leaves this machine.`
}

// demoKey opens the endpoint of the demo, which only this machine can reach.
const demoKey = "demo"

func (c *demoCmd) Run(ctx context.Context, s *streams) error {
	if err := validDefects(nil, c.Defect); err != nil {
		return usage("%w", err)
	}
	target := suites.Target{Dialect: suites.DialectLlamaV1, Key: demoKey}
	stop, err := startReference(ctx, &target, c.Defect)
	if err != nil {
		return err
	}
	defer stop()
	say := func(format string, a ...any) { fmt.Fprintf(s.out, format+"\n", a...) }

	say("1. An endpoint that looks right\n")
	say("%s is up, with a small model behind it. A client asks it something:\n", target.BaseURL)
	if err := ask(ctx, s.out, target); err != nil {
		return err
	}
	say("\nNothing to see. It has defects, though, which real servers had:\n")
	armed := c.named()
	if err := listDefects(s.out, armed); err != nil {
		return err
	}

	say("\n2. The check\n\nIt sends some hundreds of requests, and judges what came back clause by clause. What fails is printed with its proof.\n")
	terminal := reports.NewTerminal(s.out, reports.TerminalOptions{Quiet: true})
	result, err := suites.Run(ctx, target, suites.Options{Profile: schemas.Interop, KeyEnv: "TOUCHSTONE_API_KEY", Version: toolVersion(), OnVerdict: terminal.Verdict})
	if err != nil {
		return err
	}
	paths, err := reports.WriteAll(c.Out, result)
	if err != nil {
		return fmt.Errorf("writing the reports: %w", err)
	}
	terminal.Finish(result, shortPaths(paths))
	if result.Interrupted {
		return exitError{code: exitInterrupted}
	}

	say("\n3. Who caught what\n")
	failed := failing(result)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, d := range armed {
		by := slices.DeleteFunc(slices.Clone(failed), func(id string) bool { return !slices.Contains(d.Clauses, id) })
		if len(by) == 0 {
			by = []string{"nobody in this dialect and profile"}
		}
		fmt.Fprintf(w, "  %s\t%s\n", d.Name, strings.Join(by, " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(failed) > 0 {
		say("\nEach clause says where it comes from, how it is judged and how to see it fail (`touchstone rules explain %s`):\n", failed[0])
		if cl, ok := schemas.Lookup(failed[0]); ok {
			explain(s.out, cl)
		}
		say("\n4. The same clauses, kept\n")
		kept, err := c.repaired(ctx, failed)
		if err != nil {
			return err
		}
		say("Without the defects the same endpoint keeps %d of these %d.", kept, len(failed))
	}

	report := filepath.Join(c.Out, reports.HTMLFile)
	onTerminal := reports.IsTerminal(s.out)
	switch {
	case c.NoOpen || !onTerminal || openInBrowser(ctx, report) != nil:
		say("\nThe report: %s", shortPaths([]string{report})[0])
	default:
		say("\nThe report is open in your browser: %s", shortPaths([]string{report})[0])
	}
	say("\nYours: touchstone check https://your-endpoint --api-key-env YOUR_KEY")
	if !onTerminal {
		return nil
	}
	say("\nThe endpoint stays up until Ctrl-C. Its defects can be switched at %s/_touchstone/, and the report's\ncurl lines work after\n\n  export TOUCHSTONE_API_KEY=%s", target.BaseURL, demoKey)
	<-ctx.Done()
	say("")
	return nil
}

// named are the defects that the demo arms.
func (c *demoCmd) named() []simulator.Defect {
	var out []simulator.Defect
	for _, d := range simulator.Defects() {
		if slices.Contains(c.Defect, d.Name) {
			out = append(out, d)
		}
	}
	return out
}

func listDefects(out io.Writer, list []simulator.Defect) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range list {
		fmt.Fprintf(w, "  %s\t%s%s\n", d.Name, d.Sentence, seenIn(d.Seen))
	}
	return w.Flush()
}

// ask sends one chat request as a client would, and prints what came.
func ask(ctx context.Context, out io.Writer, target suites.Target) error {
	const body = `{"messages":[{"role":"user","content":"What is the distance to the moon?"}],"max_tokens":12,"temperature":0}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.BaseURL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+target.Key)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	choice := gjson.GetBytes(answer, "choices.0")
	fmt.Fprintf(out, "  > What is the distance to the moon?   (max_tokens 12)\n  < %s\n    finish_reason %s, completion_tokens %s\n",
		choice.Get("message.content"), choice.Get("finish_reason"), gjson.GetBytes(answer, "usage.completion_tokens"))
	return nil
}

// failing are the clauses of a result that failed or warned.
func failing(r *reports.Result) []string {
	var out []string
	for _, v := range r.Verdicts {
		if v.Verdict == reports.Fail || v.Verdict == reports.Warn {
			out = append(out, v.Clause)
		}
	}
	return out
}

// repaired counts how many of some clauses the reference keeps.
func (c *demoCmd) repaired(ctx context.Context, clauses []string) (kept int, err error) {
	target := suites.Target{Dialect: suites.DialectLlamaV1}
	stop, err := startReference(ctx, &target, nil)
	if err != nil {
		return 0, err
	}
	defer stop()
	r, err := suites.Run(ctx, target, suites.Options{Profile: schemas.Interop, Clauses: clauses, Version: toolVersion()})
	if err != nil {
		return 0, err
	}
	for _, v := range r.Verdicts {
		if v.Verdict == reports.Pass {
			kept++
		}
	}
	return kept, nil
}

// openInBrowser shows a file, or says why it cannot.
func openInBrowser(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	name, args := "xdg-open", []string{path}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", path}
	default:
		if os.Getenv("DISPLAY")+os.Getenv("WAYLAND_DISPLAY") == "" {
			return errors.New("there is no display")
		}
	}
	return exec.CommandContext(ctx, name, args...).Run()
}
