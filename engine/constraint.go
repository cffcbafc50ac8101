package engine

import "errors"

// A Constraint is a set of texts; a request with one generates only text of the
// set. It may be shared by requests.
//
// A choice that ends with [FinishStop] by an end-of-sequence token is a whole
// text of the set. One that [FinishLength], a stop string or a stop token ends
// is the beginning of such a text.
type Constraint struct{}

var errNotYet = errors.New("constrained decoding is not in this build")

// JSONObject is the set of JSON objects.
func JSONObject() *Constraint { return &Constraint{} }

// JSONSchema is the set of JSON values that are valid against schema, a JSON
// Schema. A keyword that cannot be enforced is an error that names it.
func JSONSchema(schema []byte) (*Constraint, error) { return nil, errNotYet }

// Regexp is the set of texts that pattern, in Go's syntax, matches as a whole.
func Regexp(pattern string) (*Constraint, error) { return nil, errNotYet }

// Choices is the set of the texts given.
func Choices(texts ...string) (*Constraint, error) { return nil, errNotYet }

func (c *Constraint) validate() error {
	if c != nil {
		return errNotYet
	}
	return nil
}
