// Package cli is the command line: one file a command, which parses, calls and
// prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/suites"
)

// Exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1 // not conformant
	exitUsage       = 2 // bad usage or configuration
	exitNothing     = 3 // nothing was judged
	exitInterrupted = 130
)

// version is set by the linker in releases.
var version = ""

func toolVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// An exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error // nil: everything has been said
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// usage marks an error of the caller, exit code 2.
func usage(format string, a ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, a...)}
}

type commands struct {
	Check    checkCmd         `cmd:"" help:"Hold an endpoint against its contract; without a URL, the reference inside this binary."`
	Init     initCmd          `cmd:"" help:"Ask an endpoint what it serves and write touchstone.yaml, with comments."`
	Serve    serveCmd         `cmd:"" help:"Serve the reference endpoint on the embedded model, or one with named defects."`
	Load     loadCmd          `cmd:"" help:"Measure latency and throughput under load, and whether the figures can be believed."`
	Demo     demoCmd          `cmd:"" help:"A tour of two minutes: a broken endpoint, its check, its report."`
	Rules    rulesCmd         `cmd:"" help:"List the clauses of the contract."`
	Defects  defectsCmd       `cmd:"" help:"List the ways in which serve can break the contract."`
	Generate generateCmd      `cmd:"" help:"Complete a prompt with the engine, without HTTP."`
	Tokenize tokenizeCmd      `cmd:"" help:"Print the token ids of a text."`
	Engine   engineCmd        `cmd:"" help:"Look at model files and measure the engine."`
	Version  kong.VersionFlag `help:"Print the version."`
}

// Main runs the command line and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// What net/http says of targets there quotes them, keys and all.
	log.SetOutput(io.Discard)
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("touchstone"),
		kong.Description("Whether an endpoint that serves a language model can be trusted.\n\n"+
			"Exit codes: 0 conformant or done, 1 not conformant, 2 bad usage or configuration, 3 nothing was judged, 130 interrupted."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.Vars{"version": toolVersion(), "chat_formats": strings.Join(engine.ChatFormats(), ", ")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the grammar is ours
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help, --version
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "touchstone: %v\n", err)
		var pe *kong.ParseError
		if errors.As(err, &pe) && pe.Context != nil && len(args) > 0 {
			fmt.Fprintf(stderr, "Try: touchstone %s--help\n", commandOf(pe.Context))
		} else {
			fmt.Fprintln(stderr, "Try: touchstone --help")
		}
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run(&streams{stdin, stdout, stderr})
	var ee exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ee):
		if ee.err != nil {
			fmt.Fprintf(stderr, "touchstone: %v\n", ee.err)
		}
		return ee.code
	case errors.Is(err, suites.ErrNothing):
		fmt.Fprintf(stderr, "touchstone: %v; `touchstone rules` lists what there is\n", err)
		return exitNothing
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "touchstone: interrupted")
		return exitInterrupted
	default:
		fmt.Fprintf(stderr, "touchstone: %v\n", err)
		return exitUsage
	}
}

func commandOf(c *kong.Context) string {
	if s := c.Selected(); s != nil {
		return s.Name + " "
	}
	return ""
}
