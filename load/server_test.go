package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A target of known behaviour, for tests. Its events are written at absolute
// deadlines, and it keeps the times at which it wrote them.
type fakeTarget struct {
	first, gap time.Duration // before the first token, and between tokens
	tokens     int           // if the request does not say
	perChunk   int           // tokens of a chunk; 0 is 1
	stall      func(now time.Duration) time.Duration
	begun      time.Time

	inFlight, most atomic.Int64
	mu             sync.Mutex
	stamps         map[string]stamp // by prompt
	bodies         []map[string]any
}

// A stamp is when a request had come and when its first and last token were
// written, on the monotonic clock.
type stamp struct{ came, first, last time.Time }

func (f *fakeTarget) serve(t testing.TB) string {
	f.begun, f.stamps = time.Now(), map[string]stamp{}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// asked are the bodies of the requests so far.
func (f *fakeTarget) asked() []map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bodies)
}

func (f *fakeTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	if c, ok := r.Context().Value(connKey{}).(arriving); ok {
		came = came.Add(-c.waited())
	}
	if n := f.inFlight.Add(1); n > f.most.Load() {
		f.most.Store(n)
	}
	defer f.inFlight.Add(-1)
	raw, _ := io.ReadAll(r.Body)
	var q struct {
		Messages  []Message
		Prompt    string
		MaxTokens int `json:"max_tokens"`
		Stream    bool
	}
	var body map[string]any
	if json.Unmarshal(raw, &q) != nil || json.Unmarshal(raw, &body) != nil {
		http.Error(w, `{"error":{"message":"no JSON"}}`, 400)
		return
	}
	prompt := q.Prompt
	for _, m := range q.Messages {
		prompt += m.Content + "\n"
	}
	f.mu.Lock()
	f.bodies = append(f.bodies, body)
	f.mu.Unlock()
	n := q.MaxTokens
	if n == 0 {
		n = f.tokens
	}
	in := len(strings.Fields(prompt)) + 3 // its tokenizer and its template
	wait := f.first
	if f.stall != nil {
		wait += f.stall(came.Sub(f.begun))
	}
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, in, n, in+n)
	st := stamp{came: came}
	at := came.Add(wait)
	time.Sleep(time.Until(at))
	if !q.Stream {
		time.Sleep(time.Duration(n-1) * f.gap)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"length"}],%s}`, strings.Repeat("x ", n), usage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`+"\n\n")
	per := max(1, f.perChunk)
	for i := 0; i < n; i += per {
		time.Sleep(time.Until(at))
		k := min(per, n-i)
		if r.Context().Err() != nil {
			return
		}
		now := time.Now()
		if i == 0 {
			st.first = now
		}
		st.last = now
		fmt.Fprintf(w, `data: {"choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`+"\n\n", strings.Repeat("x ", k))
		rc.Flush()
		at = at.Add(f.gap * time.Duration(per))
	}
	fmt.Fprintf(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n")
	fmt.Fprintf(w, `data: {"choices":[],%s}`+"\n\ndata: [DONE]\n\n", usage)
	f.mu.Lock()
	f.stamps[strings.TrimSpace(prompt)] = st
	f.mu.Unlock()
}

// newJob is a short job against a URL.
func newJob(url string, stages ...Stage) Job {
	return Job{Options: Options{Target: Target{URL: url, Dialect: "openai"}, Timeout: 20 * time.Second}, Stages: stages, Seed: 1, Version: "test",
		Works: []Work{{Route: Chat, OutputTokens: Fixed(8), Turns: Fixed(1)}}}
}

func measure(t testing.TB, j Job) *Result {
	t.Helper()
	r, err := Measure(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
