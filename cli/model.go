package cli

import (
	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/fixtures/model"
)

// embedded is the name under which the model inside the binary is served.
const embedded = "touchstone"

// openModel opens a GGUF file or a folder in Hugging Face's layout, or the embedded model where path is empty.
func openModel(path string) (*engine.Model, error) {
	if path == "" {
		return engine.Load(model.GGUF)
	}
	return engine.Open(path)
}

// modelTokenizer opens the tokenizer of a file whose model the engine need not
// know, or the embedded one where path is empty.
func modelTokenizer(path string) (*engine.Tokenizer, error) {
	if path != "" {
		return engine.OpenTokenizer(path)
	}
	m, err := engine.Load(model.GGUF)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Tokenizer(), nil
}
