package cli

import (
	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/fixtures/model"
)

// embedded is the name under which the model inside the binary is served.
const embedded = "touchstone"

// openModel opens a GGUF file, or the embedded model where path is empty.
func openModel(path string) (*engine.Model, error) {
	if path == "" {
		return engine.Load(model.GGUF)
	}
	return engine.Open(path)
}
