// Package engine runs Llama-architecture models: it reads GGUF files, turns
// text into tokens, computes logits, and samples or searches continuations.
//
//	GGUF → weights · text → tokens → prefill → step → logits → sampler or beams → token → text → stop
//
// It knows no HTTP and no dialect: it takes tokens and sampling parameters and
// yields steps.
package engine
