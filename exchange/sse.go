package exchange

import (
	"bytes"
	"sort"
	"strings"
	"time"
)

// A Stream is a body read as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). Unlike a
// browser's reader it drops nothing, so that what is wrong can be judged:
// every byte of the body belongs to an event, to Trailing, to the BOM, or to
// the blank lines between events.
type Stream struct {
	BOM    bool    // a byte order mark comes first
	Events []Event // the blocks of lines that a blank line ends
	// Trailing is what follows the last blank line; a browser drops it.
	Trailing []byte
	// Partial is Trailing read as if a blank line followed; nil if there is
	// no Trailing.
	Partial *Event
	// LF, CRLF and CR count the lines that end in each way.
	LF, CRLF, CR int
}

// An Event is one block of lines. A block without data lines, such as a
// comment that keeps a connection alive, is an Event too: see HasData.
type Event struct {
	// Start and End are its bytes in the body, its blank line included.
	Start, End int
	// At is when its last byte had arrived, since Exchange.Started.
	At time.Duration
	// Name, ID and Retry are the values of the last field of that name
	// ("event", "id", "retry"), unchecked.
	Name, ID, Retry          string
	HasName, HasID, HasRetry bool
	// Data holds the values of the data lines, one each, without the one
	// space that may follow the colon. It is nil if there is none.
	Data []string
	// Comments are the lines that begin with a colon, without it.
	Comments []string
	// Unknown are the lines that are no field of an event, whole, such as
	// JSON without "data:" before it.
	Unknown []string
}

// Payload is the data lines joined by line feeds, as a client sees them.
func (e *Event) Payload() string { return strings.Join(e.Data, "\n") }

// HasData is whether the event has a data line; a client never sees others.
func (e *Event) HasData() bool { return e.Data != nil }

// Done is whether the event is the end mark, data: [DONE].
func (e *Event) Done() bool { return len(e.Data) == 1 && e.Data[0] == "[DONE]" }

// Mixed is whether lines end in more than one way.
func (s *Stream) Mixed() bool {
	return s.LF > 0 && s.CRLF > 0 || s.LF > 0 && s.CR > 0 || s.CRLF > 0 && s.CR > 0
}

// Stream reads the body as server-sent events, whatever its Content-Type.
func (r *Response) Stream() *Stream { return ParseStream(r.Body, r.Reads) }

// ParseStream reads body as server-sent events. Reads say when its bytes
// arrived and may be nil. It never fails: what is no event is Trailing or
// Unknown.
func ParseStream(body []byte, reads []Read) *Stream {
	s := &Stream{}
	pos := 0
	if bytes.HasPrefix(body, []byte("\ufeff")) {
		s.BOM, pos = true, len("\ufeff")
	}
	arrived := func(end int) time.Duration {
		i := sort.Search(len(reads), func(i int) bool { return reads[i].End >= end })
		if i == len(reads) {
			return 0
		}
		return reads[i].At
	}
	e := Event{Start: pos} // the block that pos is in
	empty := true          // whether it has no line yet
	for {
		i := bytes.IndexAny(body[pos:], "\r\n")
		if i < 0 {
			break
		}
		line := body[pos : pos+i]
		pos += i + 1
		switch {
		case body[pos-1] == '\n':
			s.LF++
		case pos < len(body) && body[pos] == '\n':
			s.CRLF++
			pos++
		default:
			s.CR++
		}
		if len(line) > 0 {
			e.add(string(line))
			empty = false
			continue
		}
		if !empty {
			e.End, e.At = pos, arrived(pos)
			s.Events = append(s.Events, e)
		}
		e, empty = Event{Start: pos}, true
	}
	if e.Start < len(body) {
		s.Trailing = body[e.Start:]
		if pos < len(body) {
			e.add(string(body[pos:]))
		}
		e.End, e.At = len(body), arrived(len(body))
		s.Partial = &e
	}
	return s
}

// add reads one line that is not empty.
func (e *Event) add(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case line[0] == ':':
		e.Comments = append(e.Comments, line[1:])
	case name == "data":
		e.Data = append(e.Data, value)
	case name == "event":
		e.Name, e.HasName = value, true
	case name == "id":
		e.ID, e.HasID = value, true
	case name == "retry":
		e.Retry, e.HasRetry = value, true
	default:
		e.Unknown = append(e.Unknown, line)
	}
}
