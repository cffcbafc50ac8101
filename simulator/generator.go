package simulator

import (
	"context"

	"github.com/touchstone-llm/touchstone/engine"
)

// A Generator turns text into tokens and tokens into answers.
type Generator interface {
	// Config describes the model.
	Config() engine.Config
	// Prompt returns the tokens of a prompt, BOS included.
	Prompt(text string) []int
	// ChatPrompt returns the tokens of a conversation in the model's chat
	// template, ready for the assistant's turn. An error means that the
	// template cannot render these messages; [engine.ErrTools], that the model
	// cannot be offered tools.
	ChatPrompt(messages []engine.Message, tools []engine.Tool) ([]int, error)
	// Generate answers. Ending the iteration or the context stops the work
	// within one step.
	Generate(ctx context.Context, r engine.Request) engine.Steps
}

// Local is the Generator that runs e in this process.
func Local(e *engine.Engine) Generator { return local{e} }

type local struct{ *engine.Engine }

func (l local) Config() engine.Config    { return l.Model().Config() }
func (l local) Prompt(text string) []int { return l.Model().Tokenizer().Prompt(text) }
func (l local) ChatPrompt(m []engine.Message, tools []engine.Tool) ([]int, error) {
	return l.Model().ChatPrompt(m, tools...)
}

// Decode returns the text of tokens, with the names of those that are special.
func (l local) Decode(tokens []int) string { return l.Model().Tokenizer().Decode(tokens, false) }
