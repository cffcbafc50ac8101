package simulator

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/touchstone-llm/touchstone/engine"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"no engine", Options{}, "Options.Engine"},
		{"empty key", Options{Generator: newFake(), Keys: []string{""}}, "Options.Keys"},
		{"key with a space", Options{Generator: newFake(), Keys: []string{"a b"}}, "Options.Keys"},
		{"unknown defect", Options{Generator: newFake(), Defects: []string{"done-mising"}}, "done-missing"},
		{"nothing like it", Options{Generator: newFake(), Defects: []string{"qqqqqqqq"}}, "Options.Defects"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %s", c.name, err, c.want)
		}
	}
}

// TestAuthorization is about the area AUT.
func TestAuthorization(t *testing.T) {
	h := serve(t, newFake())
	for _, path := range []string{completionsPath, chatPath} {
		for _, c := range []struct {
			header string
			status int
		}{
			{"Bearer " + testKey, 200}, {"bearer " + testKey, 200}, {"BEARER  " + testKey, 200},
			{"", 401}, {testKey, 401}, {"Bearer", 401}, {"Bearer ", 401}, {"Bearer wrong", 401},
			{"Bearer " + testKey + "x", 401}, {"Bearer " + testKey[:5], 401}, {"Bearer " + testKey + " more", 401},
			{"Basic " + testKey, 401}, {"Bearer" + testKey, 401},
		} {
			for _, members := range []string{"", `"stream":true`} {
				r := do(t, h, "POST", path, ask(path, members), map[string]string{"Authorization": c.header, "Content-Type": "application/json"})
				if r.status != c.status {
					t.Errorf("%s %q: %d, want %d", path, c.header, r.status, c.status)
				}
				if c.status != 401 {
					continue
				}
				refused(t, r, 401, "")
				if r.header.Get("WWW-Authenticate") == "" {
					t.Error("401 without WWW-Authenticate")
				}
				if strings.Contains(r.body, testKey[:5]) {
					t.Errorf("the refusal shows the key: %s", r.body)
				}
			}
		}
		// Decided before the body is looked at, and never by the query.
		refused(t, do(t, h, "POST", path, "{", nil), 401, "")
		refused(t, do(t, h, "POST", path+"?api-key="+testKey, ask(path, ""), nil), 401, "")
	}
	refused(t, do(t, h, "GET", "/v1/models", "", nil), 401, "")

	open, err := New(Options{Generator: newFake()})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	open.ServeHTTP(w, httptest.NewRequest("POST", completionsPath, strings.NewReader(ask(completionsPath, ""))))
	if w.Code != 200 {
		t.Errorf("without keys: %d, want 200", w.Code)
	}
}

func TestRoutes(t *testing.T) {
	h := serve(t, newFake())
	key := map[string]string{"Authorization": "Bearer " + testKey}
	for _, path := range []string{"/", "/v1", "/v1/completions/", "/v1/chat/completionz", "/completionz", "/openai/completions", "/V1/completions"} {
		refused(t, do(t, h, "POST", path, "{}", key), 404, "")
	}
	for _, path := range []string{completionsPath, chatPath} {
		for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			r := do(t, h, method, path, "", key)
			refused(t, r, 405, "POST")
			if r.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: Allow %q", method, path, r.header.Get("Allow"))
			}
		}
	}
	if r := do(t, h, "GET", healthPath, "", nil); r.status != 200 || r.body != `{"status":"ok"}` {
		t.Errorf("health: %d %s", r.status, r.body)
	}
	if r := do(t, h, "GET", "/v1/models", "", key); r.get("data.0.id").Str != "fake" || r.get("object").Str != "list" {
		t.Errorf("models: %d %s", r.status, r.body)
	}
	refused(t, do(t, h, "POST", "/v1/models", "", key), 405, "GET")
}

func TestLabels(t *testing.T) {
	h := serve(t, newFake())
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"content-TYPE", "application/json; charset=utf-8", 200},
		{"Content-Type", "Application/JSON;charset=UTF-8", 200},
		{"Content-Type", "", 200},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/x-www-form-urlencoded", 415},
		{"Content-Type", "application/json; charset=utf-16", 415},
		{"Content-Type", ";", 415},
		{"Content-Encoding", "gzip", 415},
		{"Content-Encoding", "identity", 200},
		{"Accept", "application/json", 200},
		{"Accept", "text/event-stream", 200},
		{"Accept", "image/png", 200},
	} {
		for _, stream := range []string{"true", "false"} {
			r := do(t, h, "POST", chatPath, ask(chatPath, `"stream":`+stream), map[string]string{"Authorization": "Bearer " + testKey, c.name: c.value})
			if r.status != c.status {
				t.Errorf("%s: %s: %d, want %d", c.name, c.value, r.status, c.status)
			}
			want := map[string]string{"true": "text/event-stream", "false": "application/json"}[stream]
			if c.status == 200 && r.header.Get("Content-Type") != want {
				t.Errorf("%s: %s: stream %s is answered with %s", c.name, c.value, stream, r.header.Get("Content-Type"))
			}
		}
	}
}

// TestChunkedBody sends a body without Content-Length (clause REQ-016).
func TestChunkedBody(t *testing.T) {
	h := serve(t, newFake())
	r, _ := http.NewRequest("POST", h.URL+completionsPath, struct{ *bufio.Reader }{bufio.NewReader(strings.NewReader(ask(completionsPath, "")))})
	r.Header.Set("Authorization", "Bearer "+testKey)
	response, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestMaxCompletionTokens(t *testing.T) {
	h := serve(t, newFake())
	r := post(t, h, chatPath, ask(chatPath, `"max_completion_tokens":40,"ignore_eos":true`))
	if got := r.get("usage.completion_tokens").Int(); got != 40 {
		t.Errorf("completion_tokens %d, want 40: %s", got, r.body)
	}
	r = post(t, h, completionsPath, ask(completionsPath, `"ignore_eos":true`))
	if got := r.get("usage.completion_tokens").Int(); got != 16 {
		t.Errorf("the default: completion_tokens %d, want 16", got)
	}
}

// TestClientLeaves checks that the generation ends when its client does.
func TestClientLeaves(t *testing.T) {
	for _, members := range []string{`"stream":true`, `"stream":false`} {
		f := newFake()
		f.gate = make(chan struct{})
		var over sync.WaitGroup
		s, err := New(Options{Generator: f})
		if err != nil {
			t.Fatal(err)
		}
		over.Add(1)
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer over.Done()
			s.ServeHTTP(w, r)
		}))
		defer h.Close()
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "POST", h.URL+completionsPath, strings.NewReader(ask(completionsPath, members)))
		if members == `"stream":true` {
			response, err := h.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if line, _ := bufio.NewReader(response.Body).ReadString('\n'); !strings.HasPrefix(line, "data: ") {
				t.Errorf("first line %q", line)
			}
			cancel()
			response.Body.Close()
		} else {
			go func() {
				f.gate <- struct{}{} // the second step: generation is under way
				cancel()
			}()
			if response, err := h.Client().Do(r); err == nil {
				response.Body.Close()
				t.Error("an answer although the request was given up")
			}
		}
		over.Wait() // the gate stays shut: only the context ends it
		if n := f.stopped.Load(); n != 1 {
			t.Errorf("%s: stopped %d generations, want 1", members, n)
		}
		cancel()
	}
}

// TestFailures: an early failure keeps its status, a late one is an event.
func TestFailures(t *testing.T) {
	bothRoutes(t, func(t *testing.T, path string) {
		f := newFake()
		f.fail = 0
		refused(t, post(t, serve(t, f), path, ask(path, `"stream":true`)), 500, "")
		refused(t, post(t, serve(t, f), path, ask(path, ``)), 500, "")
		f.fail = 2
		refused(t, post(t, serve(t, f), path, ask(path, ``)), 500, "")
		r := post(t, serve(t, f), path, ask(path, `"stream":true`))
		events := r.events()
		if n := len(events); r.status != 200 || n < 3 || events[n-1] != "[DONE]" {
			t.Fatalf("status %d, events %q", r.status, events)
		}
		last := reply{body: events[len(events)-2]}
		if last.get("error.message").Str == "" || strings.Contains(r.body, "as it was told") {
			t.Errorf("the failure reads %s", last.body)
		}
		if strings.Contains(r.body, `"finish_reason":"`) {
			t.Errorf("a finish_reason was invented: %s", r.body)
		}
	})
}

// panicking is a generator that fails as none should.
type panicking struct{ *fake }

func (panicking) Generate(context.Context, engine.Request) engine.Steps { panic("secret detail") }

func TestPanics(t *testing.T) {
	var log strings.Builder
	s, err := New(Options{Generator: panicking{newFake()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	r := post(t, h, completionsPath, ask(completionsPath, ""))
	refused(t, r, 500, "")
	if strings.Contains(r.body, "secret") {
		t.Errorf("the refusal tells why: %s", r.body)
	}
	h.Close() // the log is complete
	if !strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), "authentication is off") || strings.Contains(log.String(), "moon") {
		t.Errorf("the log: %s", log.String())
	}
}

// TestRequestsShareNothing: what the server keeps of one request for the next is
// room alone. Requests of all sorts, many at a time and in any order, are
// answered as each is alone.
func TestRequestsShareNothing(t *testing.T) {
	fresh := func() *Server {
		s, err := New(Options{
			Generator: newFake(), Clock: testClock, Keys: []string{testKey}, Journal: 5,
			Safety: Safety{BlockLists: []BlockList{{Name: "b", Terms: []string{"far away", "long way"}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.newID = func(prefix string) string { return prefix + "x" }
		return s
	}
	type asked struct{ path, body string }
	answer := func(s *Server, a asked) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", a.path, strings.NewReader(a.body))
		r.Header.Set("Authorization", "Bearer "+testKey)
		s.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, w.Header(), w.Body)
	}
	var requests []asked
	for _, e := range endpoints() {
		for _, members := range []string{
			``, `"stream":true`, `"max_tokens":3`, `"n":3`, `"n":2,"stream":true`, `"logprobs":1,"max_tokens":2,"temperature":0.5,"top_p":0.5,"seed":1`,
			`"stop":["moon"],"user":"u","presence_penalty":1,"frequency_penalty":1,"max_tokens":4,"temperature":1,"top_p":1,"n":1,"stream":false`,
			`"max_tokens":0`, `"max_tokens":9999`, `"n":true`, `"nonsense":1`, `"user":"` + strings.Repeat("long ", 20_000) + `"`,
		} {
			requests = append(requests, asked{e.path, ask(e.path, members)})
		}
		for _, body := range []string{``, `{`, `[]`, `{}`, strings.Replace(ask(e.path, ``), "the moon", "touchstone-safety-test-hate-high", 1)} {
			requests = append(requests, asked{e.path, body})
		}
	}
	for _, body := range []string{`{"prompt":["a","b c","d far away"]}`, `{"prompt":[1,2,3],"max_tokens":2}`, `{"prompt":"a long way","n":2}`} {
		requests = append(requests, asked{completionsPath, body})
	}
	var want []string
	for _, a := range requests {
		want = append(want, answer(fresh(), a))
	}
	s := fresh()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for _, k := range rand.New(rand.NewPCG(1, uint64(i))).Perm(len(requests)) {
				if got := answer(s, requests[k]); got != want[k] {
					t.Errorf("%s %.200s:\ngot  %.600s\nwant %.600s", requests[k].path, requests[k].body, got, want[k])
				}
			}
		})
	}
	clients.Wait()
}

// TestConcurrent runs many requests at once, for the race detector; each has
// its own id and its own text.
func TestConcurrent(t *testing.T) {
	s, err := New(Options{Engine: testEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	var mu sync.Mutex
	var ids []string
	var wg sync.WaitGroup
	for i := range 12 {
		path := []string{completionsPath, chatPath}[i%2]
		wg.Go(func() {
			plain := post(t, h, path, ask(path, `"temperature":0,"max_tokens":8`))
			stream := post(t, h, path, ask(path, `"temperature":0,"max_tokens":8,"stream":true`))
			want := plain.get("choices.0.text").Str + plain.get("choices.0.message.content").Str
			if got := stream.text(0); got != want {
				t.Errorf("streamed %q, plain %q", got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range []string{plain.get("id").Str, reply{body: stream.events()[0]}.get("id").Str} {
				if id == "" || slices.Contains(ids, id) {
					t.Errorf("id %q came before", id)
				}
				ids = append(ids, id)
			}
		})
	}
	wg.Wait()
}
