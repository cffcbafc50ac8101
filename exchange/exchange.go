// Package exchange records HTTP conversations with an endpoint: every byte of
// the request and of the response, with monotonic time stamps, so that what a
// target said can be judged later, shown as proof, and judged again.
package exchange

import (
	"net/http"
	"time"
)

// A Request is what is to be sent, relative to a client's base URL.
type Request struct {
	Method string `json:"method"`
	// Path is appended to the base URL, with its query if any. In a recorded
	// exchange URL holds the whole.
	Path   string      `json:"path,omitempty"`
	URL    string      `json:"url,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

// A Response is all that came back.
type Response struct {
	Status int         `json:"status"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	// Head is the status line and header block byte for byte as received,
	// empty where the transport hides it (HTTP/2). net/http drops a
	// Content-Length that stands beside Transfer-Encoding; Head does not.
	Head []byte `json:"head,omitempty"`
	// Body is the body with the transfer coding removed.
	Body []byte `json:"body"`
	// Reads says when which part of Body arrived, in order.
	Reads []Read `json:"reads,omitempty"`
	// Complete is whether the body ended as HTTP says it should: the final
	// chunk, the promised length, or the close of a connection where close
	// delimits. A reset, a short body or a timeout leaves it false.
	Complete bool `json:"complete"`
}

// A Read is one arrival of body bytes.
type Read struct {
	// At is the time since the exchange was started.
	At time.Duration `json:"at_ns"`
	// End is the offset in Body behind the last byte of this read.
	End int `json:"end"`
}

// An Exchange is one request and all that came back. Every time in it, its
// reads included, is a duration since Started, from the monotonic clock.
type Exchange struct {
	// ID names the exchange within a run, such as "chat.n3" or "chat.n3#2".
	ID string `json:"id"`
	// Started is when the exchange was begun, before any connection was made.
	Started time.Time `json:"started"`
	Request Request   `json:"request"`
	// Response is nil when no response header arrived.
	Response *Response `json:"response,omitempty"`
	// Error says what went wrong in transport: refused, reset, timeout.
	Error string `json:"error,omitempty"`
	// Void is whether it says nothing about the target: it was never sent, or was
	// left as the run was interrupted. Error says why.
	Void bool `json:"void,omitempty"`
	// Stopped says why reading was given up on purpose, which is no Error:
	// [StoppedAsked] or [StoppedLinger]. Complete is false then.
	Stopped string `json:"stopped,omitempty"`
	// Reused is whether the connection had carried an exchange before. A
	// server may close an idle connection at any time, so an Error without a
	// Response says nothing against the target if Reused.
	Reused bool `json:"reused,omitempty"`
	// Sent is when the request had been written, zero if it never was.
	Sent time.Duration `json:"sent_ns,omitempty"`
	// Headers is when the response header had arrived, End when the body had
	// ended or failed.
	Headers time.Duration `json:"headers_ns,omitempty"`
	End     time.Duration `json:"end_ns"`
}

// The values of Exchange.Stopped.
const (
	StoppedAsked  = "asked"  // by [StopWhen]
	StoppedLinger = "linger" // the body stayed open behind data: [DONE]
)
