package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// RecordsFormat names the layout of records.jsonl.
const RecordsFormat = "touchstone/load-records/v1"

// A Record is what is known of one request. Times are in nanoseconds since
// the run's begin, from the monotonic clock; 0: it did not happen.
type Record struct {
	// Index numbers the requests of a run over all its shards.
	Index int `json:"i"`
	// Stage is the index of its stage.
	Stage int `json:"stage,omitempty"`
	// Work is the name of its kind of work.
	Work string `json:"work,omitempty"`
	// Turn counts the requests of a conversation from 1; 0: it is none.
	Turn int `json:"turn,omitempty"`
	// Warmup requests stay out of the figures.
	Warmup bool `json:"warmup,omitempty"`

	// Intended is when the schedule wanted it sent; absent in a closed loop.
	Intended int64 `json:"intended_ns,omitempty"`
	// Begun is when the client took it up, before any connection.
	Begun int64 `json:"begun_ns"`
	// Sent is when it was written, a connection being in hand.
	Sent int64 `json:"sent_ns,omitempty"`
	// Headers is when the response header had come.
	Headers int64 `json:"headers_ns,omitempty"`
	// FirstEvent is the first event of any kind.
	FirstEvent int64 `json:"first_event_ns,omitempty"`
	// FirstToken is the first event with a generated delta: text, reasoning
	// or tool arguments.
	FirstToken int64 `json:"first_token_ns,omitempty"`
	// FirstAnswerToken is the first event with text.
	FirstAnswerToken int64 `json:"first_answer_token_ns,omitempty"`
	// LastToken is the last event with a generated delta.
	LastToken int64 `json:"last_token_ns,omitempty"`
	// End is when the response ended, or was given up.
	End int64 `json:"stream_end_ns"`

	// DNS, Connect and TLS are how long each took, where a connection was
	// made for this request; all lie before Sent.
	DNS     int64 `json:"dns_ns,omitempty"`
	Connect int64 `json:"connect_ns,omitempty"`
	TLS     int64 `json:"tls_ns,omitempty"`
	// Reused is whether the connection had carried a request before.
	Reused bool   `json:"reused,omitempty"`
	Proto  string `json:"proto,omitempty"`
	Stream bool   `json:"stream,omitempty"`

	Status int `json:"status,omitempty"`
	// Error is the kind of what went wrong, see the constants; Message is
	// what was said.
	Error        string `json:"error,omitempty"`
	Message      string `json:"message,omitempty"`
	FinishReason string `json:"finish_reason,omitempty"`
	// Flags are oddities that are no error: no_done, gzip, malformed_events,
	// huge_events.
	Flags []string `json:"flags,omitempty"`

	// AskedPrompt and AskedOutput are the token lengths that the work wanted.
	AskedPrompt int `json:"asked_prompt_tokens,omitempty"`
	AskedOutput int `json:"asked_output_tokens,omitempty"`
	// PromptTokens, OutputTokens, CachedTokens and ReasoningTokens are from
	// usage.
	PromptTokens    int `json:"prompt_tokens,omitempty"`
	OutputTokens    int `json:"output_tokens,omitempty"`
	CachedTokens    int `json:"cached_tokens,omitempty"`
	ReasoningTokens int `json:"reasoning_tokens,omitempty"`
	// CountedTokens is the output in tokens of the tokenizer that was given.
	CountedTokens int `json:"counted_tokens,omitempty"`
	// Chunks is the number of events with a generated delta, Events of all.
	Chunks int   `json:"chunks,omitempty"`
	Events int   `json:"events,omitempty"`
	Bytes  int64 `json:"bytes,omitempty"`
	// Gaps are the times between successive chunks in microseconds.
	Gaps []int32 `json:"gaps_us,omitempty"`

	// RetryAfter is what a refusal asked for, in seconds; Limits are the
	// headers x-ratelimit-*.
	RetryAfter float64           `json:"retry_after_s,omitempty"`
	Limits     map[string]string `json:"limits,omitempty"`
}

// The kinds of errors.
const (
	ErrRefused   = "refused"   // nobody listens
	ErrDNS       = "dns"       // the name does not resolve
	ErrTLS       = "tls"       // no trust, or no TLS at all
	ErrReset     = "reset"     // the connection broke
	ErrTimeout   = "timeout"   // over the time limit
	ErrTruncated = "truncated" // ended without finish_reason and [DONE], or in mid-body
	ErrEvent     = "error_event"
	ErrMalformed = "malformed"      // no JSON, or no choices
	ErrEncoding  = "encoding"       // a content coding that was not asked for
	ErrClient    = "client"         // this machine is at its limit: descriptors, ports, memory
	ErrCancelled = "cancelled"      // by us, at the end of the run
	ErrTransport = "transport"      // anything else before or in the response
	ErrNotSent   = "not_sent"       // planned and never begun, as the run was interrupted
	ErrRedirect  = "redirect"       // 3xx, which is not followed
	ErrBody      = "body_limit"     // more bytes than are read of one response
	errHTTP      = "http_"          // with the status behind it
	flagNoDone   = "no_done"        // the stream ended without data: [DONE]
	flagGzip     = "gzip"           // compressed though not asked for
	flagBadEvent = "bad_events"     // some events were no JSON
	flagHuge     = "huge_events"    // some events were over 4 MiB
	flagJSON     = "not_a_stream"   // asked for a stream, got one JSON document
	flagOpen     = "body_left_open" // 2 s after data: [DONE]
)

// OK is whether the request did what it should.
func (r *Record) OK() bool { return r.Error == "" }

// The sources of a number of output tokens.
const (
	SourceUsage     = "usage"
	SourceTokenizer = "tokenizer"
	SourceChunks    = "chunks"
)

// Tokens is the number of output tokens and where it is known from: usage,
// else the tokenizer, else the chunks.
func (r *Record) Tokens() (n int, source string) {
	switch {
	case r.OutputTokens > 0:
		return r.OutputTokens, SourceUsage
	case r.CountedTokens > 0:
		return r.CountedTokens, SourceTokenizer
	}
	return r.Chunks, SourceChunks
}

// A figure of a request in nanoseconds; false: it is not defined.

// TTFT is first_token − sent.
func (r *Record) TTFT() (int64, bool) { return r.FirstToken - r.Sent, r.FirstToken > 0 && r.Sent > 0 }

// TTFTFromSchedule is first_token − intended, of an open loop.
func (r *Record) TTFTFromSchedule() (int64, bool) {
	return r.FirstToken - r.Intended, r.FirstToken > 0 && r.Intended > 0
}

// TPOT is (last_token − first_token) / (n − 1).
func (r *Record) TPOT() (int64, bool) {
	n, _ := r.Tokens()
	if n <= 1 || r.FirstToken == 0 || !r.Stream {
		return 0, false
	}
	return (r.LastToken - r.FirstToken) / int64(n-1), true
}

// E2E is last_token − sent.
func (r *Record) E2E() (int64, bool) { return r.LastToken - r.Sent, r.LastToken > 0 && r.Sent > 0 }

// E2EFromSchedule is last_token − intended, of an open loop.
func (r *Record) E2EFromSchedule() (int64, bool) {
	return r.LastToken - r.Intended, r.LastToken > 0 && r.Intended > 0
}

// Lag is sent − intended: how late the client was, its connecting included.
func (r *Record) Lag() (int64, bool) { return r.Sent - r.Intended, r.Intended > 0 && r.Sent > 0 }

// OwnLag is begun − intended: how late the client was without the network.
func (r *Record) OwnLag() (int64, bool) { return r.Begun - r.Intended, r.Intended > 0 }

// A Header is the first line of records.jsonl: what is needed to read the
// records without the rest of the run.
type Header struct {
	Format  string    `json:"format"`
	Version string    `json:"version"`
	Began   time.Time `json:"began"` // that the records count from
	Config  *Config   `json:"config"`
	Shard   string    `json:"shard,omitempty"`
}

// A Recorder appends records to a file as they come, so that a run that dies
// leaves what it had measured. It is used by one goroutine.
type Recorder struct {
	f    *os.File
	w    *bufio.Writer
	e    *json.Encoder
	last time.Time
}

// NewRecorder begins a file, which must not exist unless it may be replaced.
func NewRecorder(path string, h Header) (*Recorder, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &Recorder{f: f, w: bufio.NewWriterSize(f, 1<<16)}
	r.e = json.NewEncoder(r.w)
	r.e.SetEscapeHTML(false)
	h.Format = RecordsFormat
	if err := r.e.Encode(h); err != nil {
		return nil, err
	}
	return r, r.w.Flush()
}

// Write appends one record; it is in the file at the latest with the first
// Write a second later, or with Flush.
func (r *Recorder) Write(rec *Record) error {
	if err := r.e.Encode(rec); err != nil {
		return err
	}
	if now := time.Now(); now.Sub(r.last) > time.Second {
		r.last = now
		return r.w.Flush()
	}
	return nil
}

// Flush hands everything to the operating system.
func (r *Recorder) Flush() error { return r.w.Flush() }

// Close ends the file.
func (r *Recorder) Close() error {
	return errors.Join(r.w.Flush(), r.f.Sync(), r.f.Close())
}

// ReadRecords reads records.jsonl. A last line that is cut off, as a killed
// run leaves it, is passed over.
func ReadRecords(r io.Reader) (*Header, []*Record, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	line, err := readLine(b)
	if err != nil {
		return nil, nil, fmt.Errorf("records: no header: %w", err)
	}
	var h Header
	if err := json.Unmarshal(line, &h); err != nil || h.Format != RecordsFormat {
		return nil, nil, fmt.Errorf("records: the first line is no header of format %s", RecordsFormat)
	}
	var all []*Record
	for n := 2; ; n++ {
		line, err := readLine(b)
		if err == io.EOF && len(line) == 0 {
			return &h, all, nil
		}
		if err != nil && err != io.EOF {
			return nil, nil, fmt.Errorf("records: line %d: %w", n, err)
		}
		rec := new(Record)
		if jerr := json.Unmarshal(line, rec); jerr != nil {
			if err == io.EOF { // cut off
				return &h, all, nil
			}
			return nil, nil, fmt.Errorf("records: line %d: %w", n, jerr)
		}
		all = append(all, rec)
	}
}

// readLine is one line without its end, however long.
func readLine(b *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		piece, err := b.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = append(long, piece...)
			continue
		}
		if long != nil {
			piece = append(long, piece...)
		}
		return bytes.TrimSuffix(piece, []byte("\n")), err
	}
}

// ReadRecordsFile reads the records at a path.
func ReadRecordsFile(path string) (*Header, []*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	h, all, err := ReadRecords(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, all, nil
}
