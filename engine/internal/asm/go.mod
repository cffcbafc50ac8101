// The generator of the assembly in engine/, apart from the module that uses
// its output, so that nobody who builds that needs avo.
module github.com/touchstone-llm/touchstone/engine/internal/asm

go 1.26.0

require github.com/mmcloughlin/avo v0.6.0

require (
	golang.org/x/mod v0.23.0 // indirect
	golang.org/x/sync v0.11.0 // indirect
	golang.org/x/tools v0.30.0 // indirect
)
