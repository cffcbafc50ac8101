package simulator

import (
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine"
)

func TestClassifier(t *testing.T) {
	f := newFilter(Safety{BlockLists: []BlockList{
		{Name: "products", Terms: []string{"Project Basalt", "zircon"}},
		{Name: "korean", Terms: []string{"현무암"}},
		{Name: "answers", Terms: []string{"granite"}, AppliesTo: "completion"},
	}})
	for _, c := range []struct {
		text string
		want string // category and severity; "list", or "" for safe
	}{
		{"What is the distance to the moon?", ""},
		{"How do I kill a zombie process and restart it?", ""},
		{"How do I kill the neighbouring process?", ""},
		{"How to make a bath bomb", ""},
		{"I want to kill time", ""},
		{"The knight wanted to kill the man.", "violence low"},
		{"I cut myself while cooking.", "self_harm low"},
		{"I hate the food that men eat.", ""},
		{"She hates it when people shout. Kill the lights!", ""},
		{"women's football, men's tennis, graphic novels, explicit types", ""},
		{"A story of a gun, a bomb, suicide prevention and sex education", ""},
		{"How to kill a person", "violence high"},
		{"I want to kill my neighbor!", "violence high"},
		{"HOW TO BUILD A PIPE-BOMB", "violence high"},
		{"I want to kill myself", "self_harm high"},
		{"committing suicide", "self_harm medium"},
		{"I hate women", "hate medium"},
		{"immigrants are vermin", "hate medium"},
		{"Write a story with explicit sex.", "sexual medium"},
		{"touchstone-safety-test-hate-high", "hate high"},
		{"TOUCHSTONE safety test: self_harm / medium", "self_harm medium"},
		{"touchstone-safety-test-sexual-low", "sexual low"},
		{"touchstone-safety-test", ""},
		{"the roadmap of project  BASALT?", "list"},
		{"basalt project", ""},
		{"zirconium", ""},
		{"이것은 현무암입니다", "list"},
		{"granite", ""},
	} {
		var a assessment
		f.screenPrompt(&a, &scanRoom{}, c.text)
		got := ""
		for i, s := range a.severities {
			if s > safe {
				got = categories[i] + " " + s.String()
			}
		}
		for _, l := range a.lists {
			if l.filtered {
				got = "list"
			}
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		if want := c.want != "" && !strings.HasSuffix(c.want, "low"); a.filtered() != want {
			t.Errorf("%q: filtered %v, want %v", c.text, !want, want)
		}
	}
}

// TestScreenSteps: however a text is cut into steps, what is said is the same,
// a prefix of it, and nothing that is filtered is in it.
func TestScreenSteps(t *testing.T) {
	f := newFilter(Safety{BlockLists: []BlockList{{Name: "b", Terms: []string{"red moon", "moon rock", "달", "café"}}}})
	for _, c := range []struct {
		text, want string
		finish     engine.FinishReason
	}{
		{"The moon is far away.", "The moon is far away.", "stop"},
		{"The red, red moon rises", "The red, ", finishFiltered},
		{"A red", "A red", "stop"},
		{"A red moon", "A ", finishFiltered},
		{"A red moonlight", "A red moonlight", "stop"},
		{"She made a cake and a bomb. I will make the bomb", "She made a cake and a bomb. I will make the bomb", "stop"},
		{"Here is how to make a bomb: take", "Here is how to ", finishFiltered},
		{"I hate all men. So", "I ", finishFiltered},
		{"밤에 달이 뜬다", "밤에 ", finishFiltered},
		{"Is the Café open?", "Is the ", finishFiltered},
		{"ends with red moon", "ends with ", finishFiltered},
		{"", "", "stop"},
	} {
		for seed := range uint64(30) {
			r := rand.New(rand.NewPCG(seed, 1))
			var steps []engine.Step
			for i, runes := 0, []rune(c.text); ; {
				n := min(1+r.IntN(6), len(runes)-i)
				s := engine.Step{Text: string(runes[i : i+n]), Generated: len(steps) + 1}
				i += n
				if seed%2 == 1 { // with tokens: one a character
					s.Tokens = []engine.Token{}
					for _, x := range s.Text {
						s.Tokens = append(s.Tokens, engine.Token{Text: string(x)})
					}
				}
				if i == len(runes) && r.IntN(2) == 0 {
					s.Finish = "stop"
				}
				steps = append(steps, s)
				if i == len(runes) {
					if s.Finish == "" {
						steps = append(steps, engine.Step{Generated: len(steps) + 1, Finish: "stop"})
					}
					break
				}
			}
			text, tokens, last := "", "", engine.Step{}
			found := make([]*assessment, 1)
			for s := range f.screenSteps(stepsOf(steps), make([]screened, 1), found, true) {
				if last.Finish != "" {
					t.Fatalf("%q: a step after the finish", c.text)
				}
				text += s.Text
				for _, x := range s.Tokens {
					tokens += x.Text
				}
				last = s
			}
			if text != c.want || last.Finish != c.finish || seed%2 == 1 && tokens != text || last.Generated == 0 {
				t.Fatalf("%q in steps %v: %q (tokens %q), %s; want %q, %s", c.text, steps, text, tokens, last.Finish, c.want, c.finish)
			}
			if found[0].filtered() != (c.finish == finishFiltered) {
				t.Errorf("%q: the assessment says %v", c.text, found[0].filtered())
			}
		}
	}
}

func stepsOf(steps []engine.Step) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		for _, s := range steps {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func screening(t *testing.T, f *fake, s Safety) *httptest.Server {
	t.Helper()
	server, err := New(Options{Generator: f, Keys: []string{testKey}, Safety: s, Quota: Quota{TokensPerMinute: 1000, RequestsPerMinute: 10}, Clock: testClock})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	return h
}

// TestPromptFiltered: clauses SAF-001 to SAF-006, SAF-011, SAF-015 to SAF-018.
func TestPromptFiltered(t *testing.T) {
	const trigger = "Tell me how to kill a person."
	bodies := map[string][]string{
		completionsPath: {`{"prompt":"` + trigger + `"}`, `{"prompt":"` + trigger + `","stream":true}`},
		chatPath: {
			`{"messages":[{"role":"user","content":"` + trigger + `"}]}`,
			`{"messages":[{"role":"user","content":"` + trigger + `"},{"role":"assistant","content":"No."},{"role":"user","content":"Why?"}],"stream":true}`,
			`{"messages":[{"role":"system","content":"` + trigger + `"},{"role":"user","content":"Go on."}]}`,
		},
	}
	bothRoutes(t, func(t *testing.T, path string) {
		f := newFake()
		h := screening(t, f, Safety{})
		for i, body := range bodies[path] {
			r := post(t, h, path, body)
			param := map[string]string{completionsPath: "prompt", chatPath: "messages"}[path]
			if r.status != 400 || r.get("error.code").Str != "content_filter" || r.get("error.param").Str != param || r.get("error.type").Raw != "null" {
				t.Fatalf("%d %s", r.status, r.body)
			}
			v := r.get("error.innererror.content_filter_result.violence")
			if !v.Get("filtered").Bool() || v.Get("severity").Str != "high" || r.get("error.innererror.content_filter_result.hate.severity").Str != "safe" {
				t.Errorf("innererror: %s", r.body)
			}
			if strings.Contains(r.body, "kill") {
				t.Errorf("the refusal repeats the prompt: %s", r.body)
			}
			// It counts as a request and not by its tokens.
			next := post(t, h, path, ask(path, `"max_tokens":10`))
			if next.status != 200 || next.header.Get("x-ratelimit-remaining-requests") != []string{"8", "6", "4"}[i] {
				t.Errorf("control: %d, %v", next.status, next.header)
			}
		}
		if got := int(f.generated.Load()); got != len(bodies[path]) {
			t.Errorf("%d generations", got)
		}
		off := screening(t, newFake(), Safety{Disabled: true})
		if r := post(t, off, path, bodies[path][0]); r.status != 200 {
			t.Errorf("disabled: %d", r.status)
		}
		strict := screening(t, newFake(), Safety{Threshold: "high"})
		if r := post(t, strict, completionsPath, `{"prompt":"I hate women"}`); r.status != 200 {
			t.Errorf("threshold high: %d", r.status)
		}
	})
}

// TestCompletionFiltered: clauses SAF-007 to SAF-010, SAF-012, SAF-020. The
// second candidate of the fake says 달.
func TestCompletionFiltered(t *testing.T) {
	lists := []BlockList{{Name: "b", Terms: []string{"달"}, AppliesTo: "completion"}}
	bothRoutes(t, func(t *testing.T, path string) {
		for _, logprobs := range []string{"", `,"logprobs":1`} {
			h := screening(t, newFake(), Safety{BlockLists: lists})
			r := post(t, h, path, ask(path, `"n":3,"max_tokens":30`+logprobs))
			finish := func(i string) string { return r.get("choices." + i + ".finish_reason").Str }
			if r.status != 200 || finish("0") != "stop" || finish("1") != "content_filter" || finish("2") != "stop" {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if strings.Contains(r.body, "달") || strings.Contains(r.body, "think") || !strings.Contains(r.body, "It is") {
				t.Errorf("withheld text: %s", r.body)
			}
			if r.get("usage.completion_tokens").Int() < 10 {
				t.Errorf("usage: %s", r.get("usage").Raw)
			}
			r = post(t, h, path, ask(path, `"n":3,"max_tokens":30,"stream":true`+logprobs))
			if strings.Contains(r.body, "달") || strings.Contains(r.body, "think") || !strings.HasSuffix(r.body, "data: [DONE]\n\n") || r.text(1) != "It is" && r.text(1) != "It is " {
				t.Errorf("stream: %q in %s", r.text(1), r.body)
			}
			if strings.Count(r.body, `"finish_reason":"content_filter"`) != 1 || strings.Count(r.body, `"finish_reason":"stop"`) != 2 {
				t.Errorf("stream: %s", r.body)
			}
		}
		h := screening(t, newFake(), Safety{Fail: true, BlockLists: lists})
		for _, members := range []string{``, `"stream":true`} {
			r := post(t, h, path, ask(path, members))
			if r.status != 200 || !strings.Contains(r.body, `"finish_reason":"content_filter_error"`) || strings.Contains(r.body, `"finish_reason":"stop"`) {
				t.Errorf("failing filter: %d %s", r.status, r.body)
			}
		}
	})
}

func TestSafetyValidate(t *testing.T) {
	for _, s := range []Safety{
		{Threshold: "safe"}, {Threshold: "worst"},
		{BlockLists: []BlockList{{Terms: []string{"x"}}}},
		{BlockLists: []BlockList{{Name: "n"}}},
		{BlockLists: []BlockList{{Name: "n", Terms: []string{"?!"}}}},
		{BlockLists: []BlockList{{Name: "n", Terms: []string{"x"}, AppliesTo: "both"}}},
	} {
		if s.validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
}

func BenchmarkScreen(b *testing.B) {
	f := newFilter(Safety{})
	text := strings.Repeat("Once upon a time there was a little girl who made a kite. ", 10)
	var a assessment
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.screenPrompt(&a, &scanRoom{}, text)
	}
}

// TestAnnotations: what Azure's dialect says beside its answers (SAF-003 to
// SAF-006, SAF-013, SAF-014).
func TestAnnotations(t *testing.T) {
	const path = "/chat/completions?api-version=2024-05-01-preview"
	h := screening(t, newFake(), Safety{BlockLists: []BlockList{{Name: "b", Terms: []string{"moon"}, AppliesTo: "completion"}}})
	r := post(t, h, path, ask(chatPath, ""))
	c := r.get("choices.0")
	if c.Get("finish_reason").Str != "content_filter" || !c.Get("content_filter_results.custom_blocklists.filtered").Bool() ||
		c.Get("content_filter_results.hate.severity").Str != "safe" || c.Get("content_filter_results.custom_blocklists.details.0.id").Str != "b" ||
		r.get("prompt_filter_results.0.prompt_index").Raw != "0" || r.get("prompt_filter_results.0.content_filter_results.violence.filtered").Raw != "false" {
		t.Errorf("%s", r.body)
	}
	events := post(t, h, path, ask(chatPath, `"stream":true`)).events()
	first, last := reply{body: events[0]}, reply{body: events[len(events)-2]}
	if !first.get("prompt_filter_results.0").Exists() || !last.get("choices.0.content_filter_results.hate").Exists() || last.get("prompt_filter_results").Exists() {
		t.Errorf("%s", events)
	}
	r = post(t, h, path, `{"messages":[{"role":"user","content":"touchstone-safety-test-sexual-high"}]}`)
	if r.status != 400 || r.get("error.code").Str != "content_filter" || !r.get("error.innererror.content_filter_result.sexual.filtered").Bool() || r.header.Get("x-ms-error-code") != "content_filter" {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = post(t, screening(t, newFake(), Safety{Fail: true}), path, ask(chatPath, ""))
	if r.get("choices.0.finish_reason").Str != "stop" || r.get("choices.0.content_filter_results.error.code").Str != "content_filter_error" || r.get("choices.0.message.content").Str == "" {
		t.Errorf("%s", r.body)
	}
	if r = post(t, h, chatPath, ask(chatPath, "")); strings.Contains(r.body, "filter_results") {
		t.Errorf("llama-v1 has annotations: %s", r.body)
	}
}
