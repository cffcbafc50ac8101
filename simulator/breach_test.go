package simulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestParseBreaches(t *testing.T) {
	for _, c := range []struct {
		entries []string
		want    []string // nil: only that some, with the last of the entry's scopes, come
		err     string
	}{
		{entries: []string{"done-missing"}, want: []string{"done-missing"}},
		{entries: []string{" done-missing:0.25@route=chat"}, want: []string{"done-missing:0.25@route=chat"}},
		{entries: []string{"done-missing:1"}, want: []string{"done-missing"}},
		{entries: []string{"done-*"}, want: []string{"done-missing", "done-doubled", "done-quoted"}},
		{entries: []string{"done-*:0.1", "done-missing"}, want: []string{"done-missing", "done-doubled:0.1", "done-quoted:0.1"}},
		{entries: []string{"finish-never@choice=0", "finish-never@choice=2"}, want: []string{"finish-never@choice=0", "finish-never@choice=2"}},
		{entries: []string{"id-per-chunk@chunk=3@choice=1"}, want: []string{"id-per-chunk@choice=1@chunk=3"}},
		{entries: []string{"STR-005"}, want: []string{"sse-bom"}},

		{entries: []string{"tgi-1.4:0.5"}, want: []string{"done-missing:0.5", "id-empty:0.5", "finish-eos:0.5", "stop-kept:0.5"}},
		{entries: []string{"tgi-1.4@route=chat"}, err: "leave out @route=chat"},
		{entries: []string{"id-per-chunk", "don-missing"}, err: `[1]: there is no defect "don-missing"; did you mean done-missing?`},
		{entries: []string{""}, err: "there is no defect"},
		{entries: []string{"qqqqqqqqqqqqqqq"}, err: "`touchstone defects` lists them"},
		{entries: []string{"done-*x"}, err: `there is no defect "done-*x"`},
		{entries: []string{"STR-999"}, err: `no defect names the clause "STR-999"`},
		{entries: []string{"done-missing:0"}, err: `the probability must be above 0 and at most 1, got "0"`},
		{entries: []string{"done-missing:1.5"}, err: "the probability"},
		{entries: []string{"done-missing:NaN"}, err: "the probability"},
		{entries: []string{"done-missing@route=images"}, err: `@route must be one of chat, completions, embeddings, got "images"`},
		{entries: []string{"done-missing@chunk=-1"}, err: `@chunk must be 0 or more, got "-1"`},
		{entries: []string{"done-missing@word=1"}, err: "@word is no scope"},
		{entries: []string{"n-ignored@chunk=1"}, err: "not about single chunks"},
		{entries: []string{"stream-ignored@choice=1"}, err: "not about single choices"},
		{entries: []string{"id-empty@choice=1"}, err: "not about single choices"},
		{entries: []string{"usage-missing@choice=1"}, err: "not about single choices"},
		{entries: []string{"AUT-*@choice=1"}, err: "none of the"},
	} {
		got, err := parseBreaches(c.entries)
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: error %v, want %q", c.entries, err, c.err)
			continue
		}
		var names []string
		for _, b := range got {
			names = append(names, b.String())
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%q: %q, want %q", c.entries, names, c.want)
		}
		if again, err := parseBreaches(names); err != nil || len(again) != len(got) {
			t.Errorf("%q are not read again: %v", names, err)
		}
	}
}

// Every defect can be drawn by chance and kept to a route; the trial of a scope
// comes to a verdict for each.
func TestEveryBreachIsRead(t *testing.T) {
	choices, chunks := 0, 0
	for _, d := range Defects() {
		if _, err := parseBreaches([]string{d.Name + ":0.5@route=chat"}); err != nil {
			t.Errorf("%v", err)
		}
		if CheckDefects([]string{d.Name + "@choice=1"}) == nil {
			choices++
		}
		if CheckDefects([]string{d.Name + "@chunk=1"}) == nil {
			chunks++
		}
	}
	if choices < 50 || chunks < 30 {
		t.Errorf("%d defects can be kept to a choice, %d to a chunk", choices, chunks)
	}
}

// events are the data of a stream's events.
func events(body string) []string {
	var out []string
	for _, e := range strings.Split(body, "\n\n") {
		if _, data, ok := strings.Cut(e, "data: "); ok {
			out = append(out, data)
		}
	}
	return out
}

func TestBreachOfOneChunk(t *testing.T) {
	right := events(post(t, serve(t, newFake()), chatPath, ask(chatPath, `"stream":true,"n":2`)).body)
	for _, c := range []struct {
		entry   string
		differs func(i int, chunk string) bool // which events of the stream
	}{
		{"id-per-chunk@chunk=2", func(i int, _ string) bool { return i == 2 }},
		{"id-per-chunk@choice=1", func(_ int, chunk string) bool { return gjson.Get(chunk, "choices.0.index").Int() == 1 }},
		{"id-per-chunk@choice=1@chunk=2", func(i int, _ string) bool { return i == 2 }},
		{"id-per-chunk@choice=0@chunk=2", func(int, string) bool { return false }}, // the third event is of choice 1
		{"finish-never@choice=1", func(_ int, chunk string) bool {
			return gjson.Get(chunk, "choices.0.index").Int() == 1 && gjson.Get(chunk, "choices.0.finish_reason").Str != ""
		}},
		{"done-quoted@chunk=" + itoa(int64(len(right)-1)), func(i int, _ string) bool { return i == len(right)-1 }},
		{"id-per-chunk@route=completions", func(int, string) bool { return false }},
	} {
		wrong := events(post(t, serve(t, newFake(), c.entry), chatPath, ask(chatPath, `"stream":true,"n":2`)).body)
		if len(wrong) != len(right) {
			t.Errorf("%s: %d events, want %d", c.entry, len(wrong), len(right))
			continue
		}
		for i := range right {
			if got := wrong[i] != right[i]; got != c.differs(i, right[i]) {
				t.Errorf("%s: event %d differs: %t\n%s\n%s", c.entry, i, got, right[i], wrong[i])
			}
		}
	}
}

func TestBreachOfOneChoice(t *testing.T) {
	const three = `"n":3,"temperature":0.5`
	right := post(t, serve(t, newFake()), completionsPath, ask(completionsPath, three))
	for _, entry := range []string{"index-from-one@choice=1", "finish-missing@choice=1", "prompt-echoed@choice=1"} {
		wrong := post(t, serve(t, newFake(), entry), completionsPath, ask(completionsPath, three))
		for i := range 3 {
			at := fmt.Sprintf("choices.%d", i)
			if same := wrong.get(at).Raw == right.get(at).Raw; same == (i == 1) {
				t.Errorf("%s: choice %d is %s", entry, i, wrong.get(at).Raw)
			}
		}
	}
}

// struck says which of n requests a server breaks off without [DONE].
func struck(t *testing.T, n int, o Options) string {
	t.Helper()
	_, h := operated(t, o)
	pattern := ""
	for range n {
		if strings.Contains(post(t, h, completionsPath, ask(completionsPath, `"stream":true`)).body, "[DONE]") {
			pattern += "."
		} else {
			pattern += "x"
		}
	}
	return pattern
}

// A probability hits some requests, the same ones for the same seed.
func TestBreachByChance(t *testing.T) {
	const n = 200
	one := struck(t, n, Options{Defects: []string{"done-missing:0.3"}})
	if hit := strings.Count(one, "x"); hit < n/5 || hit > n*2/5 {
		t.Errorf("%d of %d requests are hit at 0.3", hit, n)
	}
	if again := struck(t, n, Options{Defects: []string{"done-missing:0.3"}}); again != one {
		t.Errorf("the same seed hits others:\n%s\n%s", one, again)
	}
	if other := struck(t, n, Options{Defects: []string{"done-missing:0.3"}, DefectSeed: 7}); other == one {
		t.Error("another seed hits the same requests")
	}
}

// What stands around the server is kept to a route too, and is drawn with what
// reaches into the call.
func TestBreachAround(t *testing.T) {
	_, h := operated(t, Options{Defects: []string{"auth-bearer-refused:0.5@route=chat"}})
	refused := 0
	for range 50 {
		if r := post(t, h, completionsPath, ask(completionsPath, "")); r.status != 200 {
			t.Fatalf("on the other route: %d", r.status)
		}
		if post(t, h, chatPath, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":4}`).status == 401 {
			refused++
		}
	}
	if refused < 10 || refused > 40 {
		t.Errorf("%d of 50 requests are refused at 0.5", refused)
	}
}

// One request asks for defects of its own, where the server allows it.
func TestDefectHeader(t *testing.T) {
	send := func(o Options, entries string) reply {
		_, h := operated(t, o)
		return do(t, h, "POST", chatPath, ask(chatPath, `"stream":true`), map[string]string{headerDefect: entries, "Authorization": "Bearer " + testKey, "Content-Type": "application/json"})
	}
	allowed := Options{FaultHeader: true, Defects: []string{"role-missing"}}
	if r := send(allowed, "done-missing, id-per-chunk@chunk=1"); strings.Contains(r.body, "[DONE]") || !strings.Contains(r.body, `"role"`) {
		t.Errorf("the header's defects do not stand in place of the deployment's: %s", r.body)
	}
	if r := send(Options{}, "done-missing"); !strings.Contains(r.body, "[DONE]") {
		t.Errorf("the header works though it is not allowed: %s", r.body)
	}
	if r := send(allowed, "id-per-chunk,no-such"); r.status != 400 || !strings.Contains(r.body, headerDefect+"[1]") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
