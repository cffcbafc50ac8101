package engine_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"strings"

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

// Embed gives the same vector for the same tokens, of length 1.
func ExampleEngine_Embed() {
	model, err := engine.Load(ggufwrite.Random(ggufwrite.Small).Bytes())
	if err != nil {
		log.Fatal(err)
	}
	e := engine.New(model, engine.Options{})
	defer e.Close()

	vector, err := e.Embed(context.Background(), model.Tokenizer().Prompt("hello world"))
	if err != nil {
		log.Fatal(err)
	}
	var square float64
	for _, x := range vector {
		square += float64(x) * float64(x)
	}
	fmt.Printf("%d numbers, length %.3f\n", len(vector), math.Sqrt(square))
	// Output: 32 numbers, length 1.000
}

// Requests that begin alike compute the beginning once.
func ExampleEngine_Stats() {
	model, err := engine.Load(ggufwrite.Random(ggufwrite.Small).Bytes())
	if err != nil {
		log.Fatal(err)
	}
	e := engine.New(model, engine.Options{KVCacheBytes: 1 << 20})
	defer e.Close()

	beginning := strings.Repeat("hello ", 20)
	for _, end := range []string{"you", "me"} {
		request := engine.Request{Prompt: model.Tokenizer().Prompt(beginning + end), MaxTokens: 4, N: 1, TopP: 1, IgnoreEOS: true, Logprobs: -1}
		if _, err := engine.Collect(e.Generate(context.Background(), request), 1); err != nil {
			log.Fatal(err)
		}
	}
	s := e.Stats()
	fmt.Println(s.PromptTokens, "tokens of prompts,", s.PrefixCacheHits, "found again;", s.GenerationTokens, "generated")
	// Output: 87 tokens of prompts, 32 found again; 8 generated
}
