// Package schemas holds the contract as data: the clause register and an
// OpenAPI document for each dialect, embedded in the binary.
package schemas

import (
	"maps"
	"slices"
)

// A Level says how binding a clause is under a profile.
type Level string

// MUST fails a run, SHOULD warns, MAY is only recorded.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// A Profile says how stern the judge is.
type Profile string

// The profiles of the design: interop is the default gate, strict asks for an
// exact server, paper takes the source document literally and never gates.
const (
	Interop Profile = "interop"
	Strict  Profile = "strict"
	Paper   Profile = "paper"
)

// A Route is one of the inference routes of a dialect.
type Route string

// The routes: completions and chat of every dialect, and embeddings of those that
// have them.
const (
	Completions Route = "completions"
	Chat        Route = "chat"
	Embeddings  Route = "embeddings"
)

// A Clause is one statement of the contract.
type Clause struct {
	ID        string            `yaml:"id" json:"id"`
	Statement string            `yaml:"statement" json:"statement"`
	Levels    map[Profile]Level `yaml:"levels" json:"levels"`
	// Dialects maps a dialect (llama-v1, azure-inference, openai) to the
	// routes on which the clause holds.
	Dialects map[string][]Route `yaml:"dialects" json:"dialects"`
	// Needs says what a judgement asks of the target: any, det (repeatable at
	// temperature 0), coop (a model with known behaviour), cfg (small limits
	// or fault injection), admin (the control plane).
	Needs string `yaml:"needs" json:"needs"`
	// Kinds are the kinds of target (serverless, managed, vllm, openai,
	// reference) that the clause is about; empty means all.
	Kinds []string `yaml:"kinds" json:"kinds,omitempty"`
	// Requires are claims that the owner of the target must have made, of
	// [Claims], for the clause to be judged.
	Requires []string `yaml:"requires" json:"requires,omitempty"`
	// Source names where the clause comes from: lines of the source document
	// (S:n), standards, other servers.
	Source string `yaml:"source" json:"source"`
	// Why says what breaks for a client when the clause is not kept.
	Why string `yaml:"why" json:"why,omitempty"`
	// Judged says how evidence is judged, in a sentence.
	Judged string `yaml:"judged" json:"judged,omitempty"`
	// Conflict names where sources disagree and how the register decides.
	Conflict string `yaml:"conflict" json:"conflict,omitempty"`
	// Excluded says why the clause is not enforced; empty if it is.
	Excluded string `yaml:"excluded" json:"excluded,omitempty"`
}

// Kinds lists what may stand behind a target.
func Kinds() []string { return []string{"serverless", "managed", "vllm", "openai", "reference"} }

// Claims are the features and configurations that the owner of a target may
// claim, with what each means. A clause that requires one is skipped where it
// is not claimed.
func Claims() map[string]string {
	return map[string]string{
		"second-key":     "the endpoint has two keys, and the second is known to the harness",
		"foreign-key":    "a key of another endpoint of the same service is known to the harness",
		"quota":          "another deployment has a small quota that the harness knows and may exhaust",
		"unscreened":     "another deployment has content safety switched off",
		"content-safety": "prompts and answers are screened, and a harmless trigger is known",
		"tools":          "the model calls tools",
		"json":           "the model answers in JSON when response_format asks for it",
		"vision":         "the model sees images",
		"known-model":    "the model behaves as that of the reference: its vocabulary and its answers are known",
		"openapi":        "the endpoint serves its own OpenAPI document",
		"fault":          "the endpoint can be told to fail behind its first token",
		"deployments":    "the header azureml-model-deployment chooses between deployments",
	}
}

// ClaimNames lists the names of [Claims], sorted.
func ClaimNames() []string { return slices.Sorted(maps.Keys(Claims())) }
