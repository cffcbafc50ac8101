package simulator

import (
	"context"
	"fmt"

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

// A Generator that is atOnce can answer in fewer steps where nobody sees them.
type atOnce interface {
	generateAtOnce(ctx context.Context, r engine.Request) engine.Steps
}

// An EngineConfig tunes the engine of a deployment. Its names are vLLM's; the zero
// value is the engine's own choice. Deployments of one model and one EngineConfig
// share an engine.
type EngineConfig struct {
	// MaxNumSeqs bounds the sequences of one step; 0 is 256.
	MaxNumSeqs int `yaml:"max_num_seqs"`
	// MaxNumBatchedTokens bounds the tokens of one step; 0 is 128.
	MaxNumBatchedTokens int `yaml:"max_num_batched_tokens"`
	// KVCacheMemoryBytes bounds the memory for keys and values; 0 is room for 64
	// full contexts, but at most a quarter of the machine's memory.
	KVCacheMemoryBytes int64 `yaml:"kv_cache_memory_bytes"`
	// EnablePrefixCaching lets prompts that begin alike share what was computed;
	// nil is true.
	EnablePrefixCaching *bool `yaml:"enable_prefix_caching"`
	// Threads bounds the processors of one step; 0 is all that Go may use.
	Threads int `yaml:"threads"`
}

func (c EngineConfig) validate() error {
	for _, x := range []struct {
		name  string
		value int64
	}{
		{"max_num_seqs", int64(c.MaxNumSeqs)}, {"max_num_batched_tokens", int64(c.MaxNumBatchedTokens)},
		{"kv_cache_memory_bytes", c.KVCacheMemoryBytes}, {"threads", int64(c.Threads)},
	} {
		if x.value < 0 {
			return at(x.name, fmt.Errorf("must be 0 (the default) or more, got %d", x.value))
		}
	}
	return nil
}

// Options are those for [engine.New].
func (c EngineConfig) Options() engine.Options {
	return engine.Options{
		MaxSequences: c.MaxNumSeqs, MaxBatchedTokens: c.MaxNumBatchedTokens, KVCacheBytes: c.KVCacheMemoryBytes,
		NoPrefixCaching: c.EnablePrefixCaching != nil && !*c.EnablePrefixCaching, Threads: c.Threads,
	}
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
