package exchange

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// EvidenceFormat names the layout of evidence files. It changes when a reader
// of the old one could be misled; members may be added without that.
const EvidenceFormat = "touchstone/evidence/v1"

// evidenceHeader is the first line of an evidence file.
type evidenceHeader struct {
	Format    string `json:"format"`
	Exchanges int    `json:"exchanges"`
}

// WriteFile writes xs to path, one JSON object a line behind a line that
// names the format. The file is complete or not changed at all. It is for
// its owner only, since prompts may be private; see [Redact] for keys.
func WriteFile(path string, xs []*Exchange) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write evidence %s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := Write(w, xs); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Write writes what WriteFile writes into a file.
func Write(w io.Writer, xs []*Exchange) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(evidenceHeader{EvidenceFormat, len(xs)}); err != nil {
		return err
	}
	for _, x := range xs {
		if x == nil {
			return errors.New("nil exchange")
		}
		if err := enc.Encode(x); err != nil {
			return fmt.Errorf("exchange %s: %w", x.ID, err)
		}
	}
	return nil
}

// ReadFile reads the evidence in path. An error names the line.
func ReadFile(path string) ([]*Exchange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	defer f.Close()
	xs, err := ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read evidence %s: %w", path, err)
	}
	return xs, nil
}

// ReadAll reads what [Write] wrote. Every offset in what it returns lies
// within its body.
func ReadAll(r io.Reader) ([]*Exchange, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	var head evidenceHeader
	line, err := in.ReadBytes('\n')
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("line 1: not an evidence file: %w", err)
	}
	if head.Format != EvidenceFormat {
		return nil, fmt.Errorf("line 1: format %q, this version reads %q", head.Format, EvidenceFormat)
	}
	var xs []*Exchange
	for n := 2; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			x := &Exchange{}
			if err := json.Unmarshal(line, x); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if err := x.check(); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			xs = append(xs, x)
		}
		if err == io.EOF {
			break
		}
	}
	if len(xs) != head.Exchanges {
		return nil, fmt.Errorf("the file holds %d exchanges, its first line promises %d", len(xs), head.Exchanges)
	}
	return xs, nil
}

// check says what in x would mislead a judge.
func (x *Exchange) check() error {
	if x.ID == "" {
		return errors.New("exchange without id")
	}
	if x.Response == nil {
		return nil
	}
	last := Read{}
	for i, r := range x.Response.Reads {
		if r.End < last.End || r.End > len(x.Response.Body) || r.At < last.At {
			return fmt.Errorf("exchange %s: read %d does not follow the one before or ends behind the body", x.ID, i)
		}
		last = r
	}
	return nil
}

// Bodies and raw headers are JSON strings where they are UTF-8, so that
// evidence can be read by eye, and base64 under another name where not.
type (
	plainRequest  Request
	plainResponse Response

	requestJSON struct {
		*plainRequest
		Body   *string `json:"body,omitempty"`
		Body64 []byte  `json:"body_base64,omitempty"`
	}
	responseJSON struct {
		*plainResponse
		Head   *string `json:"head,omitempty"`
		Head64 []byte  `json:"head_base64,omitempty"`
		Body   *string `json:"body,omitempty"`
		Body64 []byte  `json:"body_base64,omitempty"`
	}
)

// MarshalJSON writes the body as "body" if it is UTF-8, else in base64 as
// "body_base64".
func (r Request) MarshalJSON() ([]byte, error) {
	j := requestJSON{plainRequest: (*plainRequest)(&r)}
	j.Body, j.Body64 = readable(r.Body)
	return marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Request) UnmarshalJSON(b []byte) error {
	j := requestJSON{plainRequest: (*plainRequest)(r)}
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	r.Body = unreadable(j.Body, j.Body64)
	return nil
}

// MarshalJSON writes body and head each as a string if it is UTF-8, else in
// base64 as "body_base64" and "head_base64".
func (r Response) MarshalJSON() ([]byte, error) {
	j := responseJSON{plainResponse: (*plainResponse)(&r)}
	j.Head, j.Head64 = readable(r.Head)
	j.Body, j.Body64 = readable(r.Body)
	return marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Response) UnmarshalJSON(b []byte) error {
	j := responseJSON{plainResponse: (*plainResponse)(r)}
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("response: %w", err)
	}
	r.Head = unreadable(j.Head, j.Head64)
	r.Body = unreadable(j.Body, j.Body64)
	return nil
}

// marshal is json.Marshal without the escapes meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func readable(b []byte) (*string, []byte) {
	if b == nil || !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

func unreadable(s *string, b []byte) []byte {
	if s != nil {
		return []byte(*s)
	}
	return b
}
