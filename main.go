// Touchstone says whether an endpoint that serves a language model keeps its
// contract, serves the reference for it, and runs a model of its own.
package main

import (
	"os"

	"github.com/touchstone-llm/touchstone/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
