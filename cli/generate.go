package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/engine"
)

type generateCmd struct {
	Prompt       string   `arg:"" help:"Prompt to complete; - reads standard input."`
	Model        string   `type:"path" placeholder:"PATH" help:"Model to run, a GGUF file or a folder in Hugging Face's layout; the embedded one by default."`
	Chat         bool     `help:"Send the prompt as one user message through the chat template."`
	System       string   `placeholder:"TEXT" help:"System message before it (with --chat)."`
	ChatTemplate string   `placeholder:"NAME" help:"Chat format instead of the file's template (with --chat): ${chat_formats}."`
	MaxTokens    int      `default:"128" help:"Most tokens to generate."`
	Temperature  float64  `default:"0" help:"Sampling temperature, 0 (greedy) and above."`
	TopP         float64  `default:"1" help:"Nucleus mass, above 0 to 1."`
	Seed         *int64   `placeholder:"N" help:"Seed of the sampler."`
	Stop         []string `sep:"none" placeholder:"TEXT" help:"Stop string; may be repeated."`
	IgnoreEOS    bool     `name:"ignore-eos" help:"Go on past the end of the text."`
	Logprobs     int      `default:"-1" placeholder:"K" help:"Report log probabilities and this many alternatives (0 to 20); -1 reports none."`
	Format       string   `default:"text" enum:"text,json" help:"text streams the completion; json prints one document."`
}

func (generateCmd) Help() string {
	return `  touchstone generate "Once upon a time"
  touchstone generate --chat "What is the distance to the moon?"
  touchstone generate --format json --logprobs 0 --max-tokens 8 "The alphabet: a b c"`
}

// generation is the JSON form of a completion. Logprobs are natural logarithms,
// one for each token.
type generation struct {
	PromptTokens []int     `json:"prompt_tokens"`
	Tokens       []int     `json:"tokens"`
	Text         string    `json:"text"`
	Logprobs     []float64 `json:"logprobs"`
	// TopLogprobs holds the alternatives of each position, most likely first.
	TopLogprobs  [][]alternative `json:"top_logprobs,omitempty"`
	FinishReason string          `json:"finish_reason"`
}

type alternative struct {
	ID      int     `json:"id"`
	Text    string  `json:"text"`
	Logprob float64 `json:"logprob"`
}

func (c *generateCmd) Run(ctx context.Context, s *streams) error {
	prompt, err := argument(c.Prompt, s.in)
	if err != nil {
		return err
	}
	m, err := openModel(c.Model)
	if err != nil {
		return usage("--model: %w", err)
	}
	defer m.Close()
	if c.ChatTemplate != "" {
		if !c.Chat {
			return usage("--chat-template is for --chat")
		}
		if !slices.Contains(engine.ChatFormats(), c.ChatTemplate) {
			return usage("--chat-template: %q is no format; there are %s", c.ChatTemplate, strings.Join(engine.ChatFormats(), ", "))
		}
		if err := m.SetChatTemplate(c.ChatTemplate); err != nil {
			return usage("--chat-template: %w", err)
		}
	}
	ids := m.Tokenizer().Prompt(prompt)
	if c.Chat {
		var messages []engine.Message
		if c.System != "" {
			messages = append(messages, engine.Message{Role: "system", Content: c.System})
		}
		if ids, err = m.ChatPrompt(append(messages, engine.Message{Role: "user", Content: prompt})); err != nil {
			return usage("--chat: %w", err)
		}
	}
	r := engine.Request{
		Prompt: ids, N: 1, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, Seed: c.Seed,
		Stop: c.Stop, IgnoreEOS: c.IgnoreEOS, Logprobs: c.Logprobs,
	}
	if c.Format == "json" {
		r.Logprobs = max(0, r.Logprobs) // the tokens come with them
	}
	if err := r.Validate(m.Config()); err != nil {
		return usage("%w", err)
	}
	e := engine.New(m, engine.Options{})
	defer e.Close()
	out := generation{PromptTokens: ids, Tokens: []int{}, Logprobs: []float64{}}
	var text strings.Builder
	for step, err := range e.Generate(ctx, r) {
		if err != nil {
			return err
		}
		if c.Format == "text" {
			fmt.Fprint(s.out, step.Text)
		}
		text.WriteString(step.Text)
		for _, t := range step.Tokens {
			out.Tokens, out.Logprobs = append(out.Tokens, t.ID), append(out.Logprobs, t.Logprob)
			if c.Logprobs > 0 {
				var alts []alternative
				for _, a := range t.Top {
					alts = append(alts, alternative{a.ID, a.Text, a.Logprob})
				}
				out.TopLogprobs = append(out.TopLogprobs, alts)
			}
		}
		out.FinishReason = string(step.Finish)
	}
	if c.Format == "text" {
		fmt.Fprintln(s.out)
		return nil
	}
	out.Text = text.String()
	return json.NewEncoder(s.out).Encode(out)
}

// argument is a, or standard input where a is "-".
func argument(a string, in io.Reader) (string, error) {
	if a != "-" {
		return a, nil
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	return string(b), nil
}
