package simulator

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// behind is a front over another server.
func behind(t *testing.T, url string, o Options) *httptest.Server {
	t.Helper()
	g, err := Upstream(t.Context(), UpstreamConfig{URL: url, Key: Key{value: testKey}})
	if err != nil {
		t.Fatal(err)
	}
	o.Generator, o.Keys = g, []string{testKey}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

// second is the server behind: with /tokenize, or as one that has none.
func second(t *testing.T, tokenizes bool) *httptest.Server {
	t.Helper()
	s, err := New(Options{Generator: Random(512), Keys: []string{testKey}, Dialects: []string{"openai"}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenizePath && !tokenizes {
			http.NotFound(w, r)
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// TestUpstream: what is asked through the front is what the server behind would
// have answered.
func TestUpstream(t *testing.T) {
	for _, tokenizes := range []bool{true, false} {
		back := second(t, tokenizes)
		front := behind(t, back.URL, Options{})
		for _, c := range []struct{ path, members string }{
			{completionsPath, `"seed":7,"max_tokens":20`},
			{completionsPath, `"temperature":0,"max_tokens":9`},
			{completionsPath, `"seed":7,"max_tokens":20,"stop":[" the"," of"]`},
			{completionsPath, `"seed":3,"max_tokens":12,"logprobs":2`},
			{chatPath, `"seed":7,"max_tokens":20`},
			{chatPath, `"temperature":0,"max_tokens":30`},
		} {
			a, b := post(t, front, c.path, ask(c.path, c.members)), post(t, back, c.path, ask(c.path, `"model":"random",`+c.members))
			for _, field := range []string{"choices.0.text", "choices.0.message.content", "choices.0.finish_reason", "usage.completion_tokens",
				"choices.0.logprobs.tokens", "choices.0.logprobs.token_logprobs", "choices.0.logprobs.text_offset"} {
				if a.status != 200 || gjson.Get(a.body, field).Raw != gjson.Get(b.body, field).Raw && (c.path == completionsPath || !strings.Contains(field, "text") || tokenizes) {
					t.Errorf("tokenizes %v: %s %s: %s differs: %d\n%s\n%s", tokenizes, c.path, c.members, field, a.status, a.body, b.body)
				}
			}
			if tokenizes && a.get("usage.prompt_tokens").Raw != b.get("usage.prompt_tokens").Raw {
				t.Errorf("prompt_tokens %s, %s", a.get("usage").Raw, b.get("usage").Raw)
			}
			if s := post(t, front, c.path, ask(c.path, c.members+`,"stream":true`)); s.text(0) != a.get("choices.0.text").Str+a.get("choices.0.message.content").Str {
				t.Errorf("stream: %q", s.text(0))
			}
		}
		r := post(t, front, completionsPath, ask(completionsPath, `"n":3,"best_of":5,"max_tokens":8`))
		if r.get("choices.#").Int() != 3 || r.get("usage.completion_tokens").Int() != 24 || r.get("choices.0.logprobs").Raw != "null" {
			t.Errorf("best_of: %d %s", r.status, r.body)
		}
		r = post(t, front, chatPath, ask(chatPath, `"n":4,"max_tokens":8,"stream":true`))
		if strings.Count(r.body, `"finish_reason":"length"`) != 4 || r.text(3) == "" {
			t.Errorf("n: %s", r.body)
		}
		if r = post(t, front, completionsPath, ask(completionsPath, `"best_of":3,"use_beam_search":true,"temperature":0`)); r.status/100 != 4 || r.get("error.param").Str != "use_beam_search" {
			t.Errorf("beams: %d %s", r.status, r.body)
		}
		refused(t, post(t, front, completionsPath, ask(completionsPath, `"max_tokens":9000`)), 400, "max_tokens")
	}
}

// TestUpstreamFails: what is wrong behind keeps its nature, and shows nothing.
func TestUpstreamFails(t *testing.T) {
	if _, err := Upstream(t.Context(), UpstreamConfig{URL: "http://127.0.0.1:1"}); err == nil {
		t.Error("nobody is there, and nobody says so")
	}
	for _, u := range []string{"", "ftp://x", "http://", "http://a:b@host"} {
		if _, err := Upstream(t.Context(), UpstreamConfig{URL: u}); err == nil {
			t.Errorf("%q is taken for a URL", u)
		}
	}
	back := second(t, true)
	broken := ""
	mid := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken != "" && strings.HasSuffix(r.URL.Path, "completions") {
			status, body, _ := strings.Cut(broken, " ")
			w.WriteHeader(map[string]int{"429": 429, "503": 503, "500": 500, "200": 200}[status])
			_, _ = w.Write([]byte(body))
			return
		}
		back.Config.Handler.ServeHTTP(w, r)
	}))
	defer mid.Close()
	front := behind(t, mid.URL, Options{})
	for _, c := range []struct {
		broken string
		status int
	}{
		{`429 {"error":{"message":"slow down at 10.0.0.1"}}`, 503}, {"503 x", 503}, {"500 Traceback", 500}, {"200 data: {\"choices\":[", 500}, {"200 ", 500},
		{`200 data: {"error":{"message":"internal at /srv/x"}}` + "\n\n", 500},
	} {
		broken = c.broken
		for _, members := range []string{"", `"stream":true`} {
			r := post(t, front, completionsPath, ask(completionsPath, members))
			refused(t, r, c.status, "")
			if strings.Contains(r.body, "10.0.0.1") || strings.Contains(r.body, "/srv") || strings.Contains(r.body, "Traceback") {
				t.Errorf("%s", r.body)
			}
		}
	}
	broken = `200 data: {"choices":[{"index":0,"text":" half"}]}` + "\n\n"
	r := post(t, front, completionsPath, ask(completionsPath, `"stream":true`))
	if e := r.events(); r.status != 200 || !strings.Contains(e[len(e)-2], `"error"`) || r.text(0) != " half" {
		t.Errorf("a stream that is cut: %s", r.body)
	}
}

func TestPack(t *testing.T) {
	for _, text := range []string{"", "a", "abcd", "abcde", "달이 뜬다 \x00\xff"} {
		if got := unpack(pack(packedText, text)[1:]); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestUpstreamLlamaCpp drives a real llama.cpp server, if one is named.
func TestUpstreamLlamaCpp(t *testing.T) {
	url := os.Getenv("TOUCHSTONE_LLAMACPP_URL")
	if url == "" {
		t.Skip("TOUCHSTONE_LLAMACPP_URL names no llama.cpp server")
	}
	front := behind(t, url, Options{})
	bothRoutes(t, func(t *testing.T, path string) {
		r := post(t, front, path, ask(path, `"temperature":0,"max_tokens":12,"ignore_eos":true`))
		if r.status != 200 || r.get("usage.completion_tokens").Int() != 12 || r.get("choices.0.finish_reason").Str != "length" {
			t.Errorf("%d %s", r.status, r.body)
		}
		text := r.get("choices.0.text").Str + r.get("choices.0.message.content").Str
		s := post(t, front, path, ask(path, `"temperature":0,"max_tokens":12,"ignore_eos":true,"stream":true,"logprobs":1`))
		if s.text(0) != text || text == "" {
			t.Errorf("streamed %q, answered %q", s.text(0), text)
		}
	})
}
