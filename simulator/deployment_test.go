package simulator

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// saying is a fake that says one word.
func saying(word string) *fake {
	f := newFake()
	f.script = [][]string{{word}}
	return f
}

func several(t *testing.T, list ...Endpoint) (*Server, *httptest.Server) {
	t.Helper()
	s, err := New(Options{Endpoints: list, Clock: testClock})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h
}

func with(g Generator) Settings { return Settings{Generator: g} }

func fleet(traffic, mirror map[string]int, deployments ...Deployment) Endpoint {
	return Endpoint{Name: "fleet", Kind: "managed", Traffic: traffic, MirrorTraffic: mirror, Deployments: deployments,
		Keys: Keys{Primary: Key{value: testKey}}}
}

// TestServerless: one deployment a URL, with keys and a quota of its own
// (AUT-015, LIM-008).
func TestServerless(t *testing.T) {
	one := Endpoint{Name: "one", Keys: Keys{Primary: Key{value: "k1"}, Secondary: Key{value: "k2"}}, Settings: with(saying("one"))}
	one.Quota = Quota{RequestsPerMinute: 3}
	two := Endpoint{Name: "two", Keys: Keys{Primary: Key{value: "k3"}}, Settings: with(saying("two"))}
	_, h := several(t, one, two)
	for _, c := range []struct {
		path, host, key string
		status          int
		text            string
	}{
		{"/one" + completionsPath, "", "k1", 200, "one"},
		{"/one" + completionsPath, "", "k2", 200, "one"},
		{"/two" + completionsPath, "", "k3", 200, "two"},
		{"/two" + completionsPath, "", "k1", 401, ""},
		{completionsPath, "two.eastus.models.example", "k3", 200, "two"},
		{completionsPath, "one.localhost", "k3", 401, ""},
		{completionsPath, "", "k1", 404, ""},
		{"/three" + completionsPath, "", "k1", 404, ""},
		{"/one/v1/nothing", "", "k1", 404, ""},
		{"/one" + completionsPath, "", "k1", 200, "one"},
		{"/one" + completionsPath, "", "k1", 429, ""},
		{"/two" + completionsPath, "", "k3", 200, "two"},
	} {
		r, _ := http.NewRequest("POST", h.URL+c.path, strings.NewReader(ask(completionsPath, "")))
		r.Host = c.host
		r.Header.Set("Authorization", "Bearer "+c.key)
		got := send(t, h, r)
		if got.status != c.status || got.get("choices.0.text").Str != c.text {
			t.Errorf("%s %s %s: %d %s", c.host, c.path, c.key, got.status, got.body)
		}
		if c.status != 200 {
			refused(t, got, c.status, "")
		}
	}
}

func send(t *testing.T, h *httptest.Server, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	h.Config.Handler.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// TestManaged: DEP-033 to DEP-037.
func TestManaged(t *testing.T) {
	blue, green := Deployment{"blue", with(saying("blue"))}, Deployment{"green", with(saying("green"))}
	_, h := several(t, fleet(map[string]int{"blue": 90, "green": 10}, nil, blue, green))
	header := func(name string) map[string]string {
		return map[string]string{"Authorization": "Bearer " + testKey, "azureml-model-deployment": name}
	}
	for _, name := range []string{"blue", "green"} {
		r := do(t, h, "POST", completionsPath, ask(completionsPath, ""), header(name))
		if r.get("choices.0.text").Str != name || r.header.Get("azureml-model-deployment") != name {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	refused(t, do(t, h, "POST", completionsPath, ask(completionsPath, ""), header("red")), 404, "")
	refused(t, do(t, h, "POST", completionsPath, ask(completionsPath, ""), map[string]string{"azureml-model-deployment": "red"}), 401, "")
	greens := 0
	for range 400 {
		if post(t, h, completionsPath, ask(completionsPath, "")).get("choices.0.text").Str == "green" {
			greens++
		}
	}
	if greens < 10 || greens > 80 { // binomial, 10 %: beyond 1e-6
		t.Errorf("%d of 400 went to green", greens)
	}
	_, h = several(t, fleet(nil, nil, blue, green))
	refused(t, post(t, h, completionsPath, ask(completionsPath, "")), 404, "")
	if r := do(t, h, "POST", completionsPath, ask(completionsPath, ""), header("green")); r.status != 200 {
		t.Errorf("without traffic, by name: %d", r.status)
	}
}

// TestMirror: DEP-032: another deployment answers too, to nobody.
func TestMirror(t *testing.T) {
	blue, green := saying("blue"), saying("green")
	s, h := several(t, fleet(map[string]int{"blue": 100}, map[string]int{"green": 50}, Deployment{"blue", with(blue)}, Deployment{"green", with(green)}))
	for range 60 {
		if r := post(t, h, chatPath, ask(chatPath, `"stream":true`)); r.text(0) != "blue" {
			t.Fatalf("%s", r.body)
		}
	}
	s.background.Wait()
	if n := green.generated.Load(); n < 10 || n > 50 {
		t.Errorf("%d of 60 were mirrored", n)
	}
}

// TestMirrorsReadTheirOwnBody: requests that come later do not write into what a
// mirrored one still reads.
func TestMirrorsReadTheirOwnBody(t *testing.T) {
	heard := listener{fake: saying("green"), prompts: map[string]int{}}
	s, h := several(t, fleet(map[string]int{"blue": 100}, map[string]int{"green": 50}, Deployment{"blue", with(saying("blue"))}, Deployment{"green", with(&heard)}))
	const most = 300
	for i := range most {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", completionsPath, strings.NewReader(fmt.Sprintf(`{"prompt":"number %d"}`, i)))
		r.Header.Set("Authorization", "Bearer "+testKey)
		h.Config.Handler.ServeHTTP(w, r)
		if i%mostMirrors == mostMirrors-1 { // or those that come too fast are not mirrored
			s.background.Wait()
		}
	}
	s.background.Wait()
	if len(heard.prompts) < most/4 {
		t.Errorf("%d of %d were mirrored", len(heard.prompts), most)
	}
	for prompt, n := range heard.prompts {
		if n != 1 {
			t.Errorf("%q was mirrored %d times", prompt, n)
		}
	}
}

// A listener remembers the prompts.
type listener struct {
	*fake
	mu      sync.Mutex
	prompts map[string]int
}

func (l *listener) Prompt(text string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prompts[text]++
	return l.fake.Prompt(text)
}

// TestReload: no request in flight is lost, quotas go on, a bad list changes
// nothing, and what is replaced is closed after its last request.
func TestReload(t *testing.T) {
	old := saying("old")
	old.script = [][]string{{"old", " and", " slow"}}
	old.gate = make(chan struct{})
	var closed atomic.Int32
	first := Endpoint{Name: "one", Settings: with(old)}
	first.Close = func() { closed.Add(1) }
	first.Quota = Quota{RequestsPerMinute: 2}
	s, h := several(t, first)
	answer := make(chan reply)
	go func() { answer <- post(t, h, completionsPath, ask(completionsPath, "")) }()
	old.gate <- struct{}{}

	if err := s.Reload([]Endpoint{{Name: "no good"}}); err == nil || !strings.Contains(err.Error(), "endpoints[0].name") {
		t.Errorf("a bad list: %v", err)
	}
	if err := s.Reload([]Endpoint{{Name: "two"}}); err == nil || closed.Load() != 0 {
		t.Errorf("a list without generators: %v", err)
	}
	second := Endpoint{Name: "one", Settings: with(saying("new"))}
	second.Quota = Quota{RequestsPerMinute: 2}
	if err := s.Reload([]Endpoint{second}); err != nil {
		t.Fatal(err)
	}
	if r := post(t, h, completionsPath, ask(completionsPath, "")); r.get("choices.0.text").Str != "new" {
		t.Errorf("after the reload: %s", r.body)
	}
	refused(t, post(t, h, completionsPath, ask(completionsPath, "")), 429, "")
	if closed.Load() != 0 {
		t.Error("closed while a request is in flight")
	}
	close(old.gate)
	if r := <-answer; r.get("choices.0.text").Str != "old and slow" {
		t.Errorf("in flight: %d %s", r.status, r.body)
	}
	deadline := time.Now().Add(5 * time.Second)
	for closed.Load() != 1 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if closed.Load() != 1 {
		t.Errorf("closed %d times", closed.Load())
	}
}

func TestContextLength(t *testing.T) {
	e := Endpoint{Name: "one", Settings: with(newFake())}
	e.ContextLength = 30
	_, h := several(t, e)
	refused(t, post(t, h, completionsPath, ask(completionsPath, `"max_tokens":30`)), 400, "max_tokens")
	if r := post(t, h, completionsPath, ask(completionsPath, `"max_tokens":20`)); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestMaxConcurrent(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	s, err := New(Options{Generator: f, MaxConcurrent: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	done := make(chan reply)
	go func() { done <- post(t, h, completionsPath, ask(completionsPath, "")) }()
	f.gate <- struct{}{}
	r := post(t, h, completionsPath, ask(completionsPath, ""))
	refused(t, r, 503, "")
	if r.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	close(f.gate)
	if r := <-done; r.status != 200 {
		t.Errorf("%d", r.status)
	}
}
