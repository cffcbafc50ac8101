package simulator

import (
	"net/http"
	"sync"
	"time"
	"unicode/utf8"
)

// An Exchange is a request and its answer, as the journal keeps it: for the
// tests of a client to assert on. Keys are not in it.
type Exchange struct {
	Number     int         `json:"number"` // counts from 1
	At         time.Time   `json:"at"`
	Took       float64     `json:"took_s"`
	Method     string      `json:"method"`
	Path       string      `json:"path"`
	Query      string      `json:"query,omitempty"`
	Header     http.Header `json:"header"`
	Body       string      `json:"body"`
	Endpoint   string      `json:"endpoint,omitempty"`
	Deployment string      `json:"deployment,omitempty"`
	Status     int         `json:"status"` // 0: none was sent
	Answer     http.Header `json:"answer_header"`
	Text       string      `json:"answer_body"`
	Bytes      int64       `json:"answer_bytes"` // of which the first 64 KiB are kept
	Broken     bool        `json:"broken,omitempty"`
}

// mostKept is how much of each body the journal keeps.
const mostKept = 64 << 10

// A journal keeps the last exchanges. A nil one keeps none.
type journal struct {
	mu    sync.Mutex
	most  int
	list  []Exchange // the oldest first
	count int
}

func newJournal(most int) *journal {
	if most <= 0 {
		return nil
	}
	return &journal{most: most}
}

// secretHeaders hold keys.
var secretHeaders = []string{"Authorization", "Api-Key", "Proxy-Authorization", "Cookie", "X-Api-Key"}

func (j *journal) add(sent *recorder, r *http.Request, took time.Duration, broken bool) {
	if j == nil {
		return
	}
	x := Exchange{
		At: sent.begun, Took: took.Seconds(), Method: r.Method, Path: r.URL.Path, Query: r.URL.Query().Encode(), Header: r.Header.Clone(),
		Status: sent.status, Answer: sent.Header().Clone(), Text: valid(sent.kept), Bytes: sent.bytes, Broken: broken,
	}
	q := r.URL.Query()
	for _, name := range []string{"api-key", "key", "subscription-key"} {
		if q.Has(name) {
			q.Set(name, "[redacted]")
			x.Query = q.Encode()
		}
	}
	for _, name := range secretHeaders {
		if x.Header.Get(name) != "" {
			x.Header.Set(name, "[redacted]")
		}
	}
	if c := sent.call; c != nil {
		x.Endpoint, x.Deployment = c.deployment.endpoint, c.deployment.name
		x.Body = valid(c.body[:min(len(c.body), mostKept)])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count++
	x.Number = j.count
	if len(j.list) == j.most {
		j.list = append(j.list[:0], j.list[1:]...)
	}
	j.list = append(j.list, x)
}

// valid is text that JSON can hold.
func valid(b []byte) string {
	for i := 0; i < utf8.UTFMax && len(b) > 0; i++ { // a character that was cut
		if r, size := utf8.DecodeLastRune(b); r != utf8.RuneError || size != 1 {
			break
		}
		b = b[:len(b)-1]
	}
	return string(b)
}

// Journal returns the exchanges that are kept, the oldest first.
func (s *Server) Journal() []Exchange {
	if s.journal == nil {
		return nil
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return append([]Exchange{}, s.journal.list...)
}

// ClearJournal forgets them; the numbers go on.
func (s *Server) ClearJournal() {
	if s.journal != nil {
		s.journal.mu.Lock()
		s.journal.list = nil
		s.journal.mu.Unlock()
	}
}
