package engine

import (
	"errors"
	"fmt"
)

// A Constraint is a set of texts; a request with one generates only text of the
// set: tokens that lead out of it are impossible, and so is the end of the text
// before a text of the set is whole. It may be shared by requests.
//
// A choice that ends with [FinishStop] by an end-of-sequence token is a whole
// text of the set. One that [FinishLength], a stop string or a stop token ends
// is the beginning of such a text. MinTokens and IgnoreEOS do not make the text
// go on after what can only be the end: with IgnoreEOS nothing but
// end-of-sequence tokens follows.
//
// Source: Willard and Louf 2023 (guided generation), Dong et al. 2024
// (XGrammar: a pushdown automaton over bytes, masks by state).
type Constraint struct{ grammar *grammar }

// JSONObject is the set of JSON objects, on one line.
func JSONObject() *Constraint {
	g, err := compileObject()
	if err != nil {
		panic(err) // it does not depend on anything
	}
	return &Constraint{g}
}

// JSONSchema is a set of JSON values that are valid against schema, a JSON
// Schema of draft 7 to 2020-12: type, properties, required, additionalProperties,
// enum, const, items, prefixItems, minItems, maxItems, minLength, maxLength,
// pattern (Go's syntax), format, minimum, maximum and their exclusive kin, anyOf,
// oneOf of alternatives that exclude each other, allOf, and $ref within the
// document. Another keyword is an error that says where it stands.
//
// The values are on one line, with their properties in the order of the schema;
// additional ones only if additionalProperties is there and not false.
func JSONSchema(schema []byte) (*Constraint, error) {
	g, err := compileSchema(schema)
	if err != nil {
		return nil, fmt.Errorf("engine: JSON schema: %w", err)
	}
	return &Constraint{g}, nil
}

// Regexp is the set of texts that pattern, in Go's syntax, matches as a whole.
func Regexp(pattern string) (*Constraint, error) {
	e, err := regex{encode: runeRange}.parse(pattern)
	if err != nil {
		return nil, fmt.Errorf("engine: pattern: %w", err)
	}
	return newConstraint(e)
}

// Choices is the set of the texts given.
func Choices(texts ...string) (*Constraint, error) {
	var all choice
	for _, text := range texts {
		if text == "" {
			return nil, errors.New("engine: a choice is empty")
		}
		all = append(all, literal(text))
	}
	return newConstraint(all)
}

func newConstraint(e expr) (*Constraint, error) {
	g := &grammar{}
	start := g.declare()
	g.define(start, e)
	g, err := g.finish()
	if err != nil {
		return nil, fmt.Errorf("engine: constraint: %w", err)
	}
	return &Constraint{g}, nil
}
