package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// WriteFile writes the document to path, whole or not at all: indented, keys
// in the order of the Go types, map keys sorted, so that two documents can be
// compared line by line. An empty Format is written as [Format].
func WriteFile(path string, r *Result) error {
	return WriteAtomic(path, func(w io.Writer) error { return encode(w, r) })
}

// ReadFile reads a document that WriteFile wrote. It refuses a format that it
// does not know and verdicts that it cannot name; fields that it does not
// know it passes over, since a later release may add some to the same format.
func ReadFile(path string) (*Result, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func encode(w io.Writer, r *Result) error {
	doc := *r
	if doc.Format == "" {
		doc.Format = Format
	}
	if doc.Verdicts == nil {
		doc.Verdicts = []Verdict{} // [] is easier on readers than null
	}
	if doc.Summary.Counts == nil {
		doc.Summary.Counts = map[Status]int{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // people read this file, and grep it
	e.SetIndent("", "  ")
	return e.Encode(&doc)
}

func decode(b []byte) (*Result, error) {
	// The format is looked at first and alone: of an unknown one nothing else
	// may be assumed, not even that the other fields have our types.
	var head struct {
		Format *string `json:"format"`
	}
	if err := unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("not a result document: %w", err)
	}
	if head.Format == nil {
		return nil, fmt.Errorf("not a result document: no field \"format\" (known: %q)", Format)
	}
	if *head.Format != Format {
		return nil, fmt.Errorf("result document of unknown format %q (known: %q)", *head.Format, Format)
	}

	var r Result
	if err := unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("result document: %w", err)
	}
	for i, v := range r.Verdicts {
		if !slices.Contains(Statuses, v.Verdict) {
			return nil, fmt.Errorf("result document: verdicts[%d] (%s): unknown verdict %q (known: %q)", i, v.Clause, v.Verdict, Statuses)
		}
	}
	return &r, nil
}

// unmarshal is json.Unmarshal with errors that say where.
func unmarshal(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return errors.New("the file is empty")
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(b[:min(int(syntax.Offset), len(b))], []byte("\n"))
		return fmt.Errorf("line %d: %w", line, err)
	case errors.As(err, &kind):
		return fmt.Errorf("field %q: a JSON %s cannot be read as %s", kind.Field, kind.Value, kind.Type)
	}
	return err
}
