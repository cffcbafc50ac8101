package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// A model that is in memory answers a prompt, step by step.
func Example() {
	// Any GGUF file of the llama architecture; engine.Open maps one from disk.
	gguf := ggufwrite.Random(ggufwrite.Small).Bytes()
	model, err := engine.Load(gguf)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	e := engine.New(model, engine.Options{})
	defer e.Close()

	seed := int64(42)
	request := engine.Request{
		Prompt:      model.Tokenizer().Prompt("hello world"),
		MaxTokens:   8,
		N:           1,
		Temperature: 0.7,
		TopP:        0.9,
		Seed:        &seed,
		IgnoreEOS:   true,
		Logprobs:    -1,
	}
	for step, err := range e.Generate(context.Background(), request) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Finish != "" {
			fmt.Println(step.Generated, "tokens, then", step.Finish)
		}
	}
	// Output: 8 tokens, then length
}

// Collect returns the whole of each choice.
func ExampleCollect() {
	model, err := engine.Load(ggufwrite.Random(ggufwrite.Small).Bytes())
	if err != nil {
		log.Fatal(err)
	}
	e := engine.New(model, engine.Options{})
	defer e.Close()

	prompt, err := model.ChatPrompt([]engine.Message{{Role: "user", Content: "hello"}})
	if err != nil {
		log.Fatal(err)
	}
	request := engine.Request{Prompt: prompt, MaxTokens: 5, N: 2, BestOf: 4, Temperature: 1, TopP: 1, IgnoreEOS: true}
	choices, err := engine.Collect(e.Generate(context.Background(), request), request.N)
	if err != nil {
		log.Fatal(err)
	}
	for i, c := range choices {
		fmt.Println(i, len(c.Tokens), c.Finish)
	}
	// Output:
	// 0 5 length
	// 1 5 length
}
