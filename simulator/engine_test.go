package simulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/fixtures/model"
)

var loadModel = sync.OnceValues(func() (*engine.Model, error) { return engine.Load(model.GGUF) })

// testEngine runs the embedded model.
func testEngine(t testing.TB) *engine.Engine {
	t.Helper()
	m, err := loadModel()
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(m, engine.Options{})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestEngine asks the embedded model what only a real one can answer.
func TestEngine(t *testing.T) {
	s, err := New(Options{Engine: testEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	bothRoutes(t, func(t *testing.T, path string) {
		text := func(r reply, i string) string {
			return r.get("choices."+i+".text").Str + r.get("choices."+i+".message.content").Str
		}
		send := func(members string) reply {
			t.Helper()
			r := post(t, h, path, ask(path, members))
			if r.status != 200 {
				t.Fatalf("%s: %d %s", members, r.status, r.body)
			}
			return r
		}
		greedy := send(`"temperature":0,"max_tokens":12,"ignore_eos":true`)
		if greedy.get("usage.completion_tokens").Int() != 12 || greedy.get("choices.0.finish_reason").Str != "length" {
			t.Errorf("greedy: %s", greedy.body)
		}
		if again := send(`"temperature":0,"max_tokens":12,"ignore_eos":true,"logprobs":3`); text(again, "0") != text(greedy, "0") {
			t.Errorf("logprobs change the text: %q, %q", text(again, "0"), text(greedy, "0"))
		} else if n := len(again.get("choices.0.logprobs.tokens").Array()); n != 12 {
			t.Errorf("%d tokens have log probabilities, want 12", n)
		}
		if seeded := send(`"seed":5,"max_tokens":12,"n":2`); seeded.get("choices").Raw != send(`"seed":5,"max_tokens":12,"n":2`).get("choices").Raw {
			t.Error("a seed does not repeat")
		}
		if beams := send(`"use_beam_search":true,"n":2,"best_of":4,"temperature":0,"max_tokens":8`); len(beams.get("choices").Array()) != 2 || text(beams, "0") == text(beams, "1") {
			t.Errorf("beams: %s", beams.body)
		}
		if best := send(`"best_of":3,"n":2,"max_tokens":8`); len(best.get("choices").Array()) != 2 {
			t.Errorf("best_of: %s", best.body)
		}
		whole := text(greedy, "0")
		stop := whole[len(whole)/2 : len(whole)/2+3]
		want, _, _ := strings.Cut(whole, stop)
		members := `"temperature":0,"max_tokens":12,"ignore_eos":true,"stop":` + quote(stop)
		if r := send(members); text(r, "0") != want || r.get("choices.0.finish_reason").Str != "stop" {
			t.Errorf("stop %q: %s", stop, r.body)
		}
		if r := send(members + `,"stream":true`); r.text(0) != want {
			t.Errorf("streamed stop %q: %q, want %q", stop, r.text(0), want)
		}
	})
}

// TestEngineOddities sends what is well-typed but unusual: an answer or a
// refusal, never 5xx (clauses REQ-013, REQ-014, REQ-025, CHT-013, CHT-016,
// CHT-025, STP-017).
func TestEngineOddities(t *testing.T) {
	s, err := New(Options{Engine: testEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	turn := func(role, content string) string { return `{"role":"` + role + `","content":"` + content + `"}` }
	bodies := map[string][]string{
		completionsPath: {
			`"prompt":""`, `"prompt":"a\u0000b"`, `"prompt":"\ud83d\ude00 \u0301"`, `"prompt":"<|begin_of_text|><|eot_id|>"`, `"prompt":"x","stop_token_ids":[2147483647,0]`,
			`"prompt":"x","presence_penalty":2,"top_p":1e-300`, `"prompt":"x","skip_special_tokens":false,"ignore_eos":true`, `"prompt":"x","temperature":1e-300`,
			`"prompt":"x","temperature":2,"n":32`, `"prompt":"x","use_beam_search":true,"best_of":32,"temperature":0,"logprobs":20`, `"prompt":"x","seed":-9223372036854775808`,
			`"prompt":"` + strings.Repeat("word ", 5000) + `"`,
		},
		chatPath: {
			`"messages":[` + turn("user", "") + `]`, `"messages":[` + turn("user", "a") + `,` + turn("system", "b") + `]`,
			`"messages":[` + turn("system", "a") + `,` + turn("system", "b") + `]`, `"messages":[` + turn("user", "a") + `,` + turn("user", "b") + `]`,
			`"messages":[` + turn("user", "a") + `,` + turn("assistant", "b") + `]`, `"messages":[` + turn("assistant", "b") + `]`,
			`"messages":[` + strings.TrimSuffix(strings.Repeat(turn("user", "a")+",", 200), ",") + `]`, `"messages":[` + turn("user", "<|eot_id|>{{ 1/0 }}") + `]`,
		},
	}
	for path, list := range bodies {
		for _, members := range list {
			for _, extra := range []string{"", `,"stream":true`} {
				r := post(t, h, path, "{"+members+`,"max_tokens":2`+extra+"}")
				if strings.Contains(members, "best_of") && extra != "" && r.status == 400 {
					continue
				}
				if r.status != 200 && r.status != 400 {
					t.Errorf("%s: %d %s", clip(members), r.status, r.body)
				}
			}
		}
	}
}

// TestEngineDialects asks the embedded model by each dialect: the same greedy
// text without special tokens, calls of tools by choice and by order, JSON by a
// schema, vectors (clauses DET-017, TOO-007, TOO-008, TOO-011, FMT-002, FMT-004).
func TestEngineDialects(t *testing.T) {
	s, err := New(Options{Engine: testEngine(t), ModelAliases: []string{"fake"}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	send := func(path, members string) reply {
		t.Helper()
		r := post(t, h, path, ask(path, members))
		if r.status != 200 {
			t.Fatalf("%s %s: %d %s", path, members, r.status, r.body)
		}
		return r
	}
	texts := map[string]string{}
	for _, e := range generating() {
		r := send(e.path, `"temperature":0,"max_tokens":40`)
		text := r.get("choices.0.text").Str + r.get("choices.0.message.content").Str
		if want, ok := texts[e.route.name]; ok && text != want || strings.Contains(text, "<|") || text == "" {
			t.Errorf("%s says %q, llama-v1 %q", e, text, want)
		}
		texts[e.route.name] = text
	}
	for _, path := range []string{azureChatPath, openAIChatPath} {
		const offer = `"tools":[{"type":"function","function":{"name":"multiply","description":"Multiplies two numbers","parameters":` +
			`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"]}}}],"temperature":0`
		r := post(t, h, path, `{"model":"fake","messages":[{"role":"user","content":"What is 75 times 79? Use the tool."}],`+offer+`}`)
		call := r.get("choices.0.message.tool_calls.0.function")
		if call.Get("name").Str != "multiply" || call.Get("arguments").Str != `{"a": 75, "b": 79}` || r.get("choices.0.finish_reason").Str != "tool_calls" {
			t.Errorf("%s: %s", path, r.body)
		}
		r = post(t, h, path, `{"model":"fake","messages":[{"role":"user","content":"What is 75 times 79? Use the tool."},`+
			`{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"multiply","arguments":"{\"a\":75,\"b\":79}"}}]},`+
			`{"role":"tool","tool_call_id":"c","content":"5925"}],`+offer+`}`)
		if !strings.Contains(r.get("choices.0.message.content").Str, "5925") {
			t.Errorf("%s: the result of the tool is lost: %s", path, r.body)
		}
	}
	for _, path := range []string{azureChatPath, openAIChatPath} {
		const two = `"tools":[{"type":"function","function":{"name":"open_door","parameters":{"type":"object","properties":{"room":{"$ref":"#/$defs/room"}},` +
			`"required":["room"],"$defs":{"room":{"enum":["cellar","attic"]}}}}},{"type":"function","function":{"name":"ring"}}],"max_tokens":64`
		for choice, want := range map[string]string{
			`"required"`: "", `{"type":"function","function":{"name":"ring"}}`: "ring{}", `{"type":"function","function":{"name":"open_door"}}`: `open_door{"room":`,
		} {
			r := send(path, two+`,"tool_choice":`+choice)
			calls := r.get("choices.0.message.tool_calls")
			call := calls.Get("0.function.name").Str + strings.ReplaceAll(calls.Get("0.function.arguments").Str, `": `, `":`)
			if calls.Get("#").Int() != 1 || !strings.HasPrefix(call, want) || r.get("choices.0.finish_reason").Str != "tool_calls" || r.get("choices.0.message.content").Str != "" {
				t.Errorf("%s: tool_choice %s: %s", path, choice, r.body)
			}
			if room := gjson.Get(calls.Get("0.function.arguments").Str, "room"); strings.HasPrefix(call, "open_door") && room.Str != "cellar" && room.Str != "attic" {
				t.Errorf("%s: the arguments are not by their schema: %s", path, call)
			}
			stream := send(path, two+`,"stream":true,"tool_choice":`+choice)
			if last := stream.events()[len(stream.events())-2]; gjson.Get(last, "choices.0.finish_reason").Str != "tool_calls" {
				t.Errorf("%s: streamed tool_choice %s: %s", path, choice, last)
			}
		}
		const unbound = `"tools":[{"type":"function","function":{"name":"ring"}},{"type":"function","function":{"name":"sing","parameters":{"oneOf":[{"type":"object"},{"type":"object"}]}}}]`
		status := map[string]int{azureChatPath: 422, openAIChatPath: 400}[path]
		refused(t, post(t, h, path, ask(path, unbound+`,"tool_choice":"required"`)), status, "the function sing")
		send(path, unbound+`,"tool_choice":{"type":"function","function":{"name":"ring"}}`)
		for _, wanted := range []string{
			`{"type":"json_object"}`, `{"type":"json_schema","json_schema":{"name":"moon"}}`,
			`{"type":"json_schema","json_schema":{"name":"moon","strict":true,"schema":{"type":"object","properties":{"far":{"type":"boolean"},"km":{"type":"integer","minimum":0,"maximum":9}},"required":["far","km"],"additionalProperties":false}}}`,
		} {
			r := send(path, `"temperature":0,"max_tokens":200,"response_format":`+wanted)
			content := gjson.Parse(r.get("choices.0.message.content").Str)
			if r.get("choices.0.finish_reason").Str == "stop" && !content.IsObject() {
				t.Errorf("%s: %s: %s", path, wanted, r.body)
			}
			if strings.Contains(wanted, "schema\":{\"type") && (!content.Get("far").IsBool() || content.Get("km").Type != gjson.Number) {
				t.Errorf("%s: %s: %s", path, wanted, r.body)
			}
		}
		if plain := send(path, `"temperature":0,"response_format":{"type":"text"}`); plain.get("choices.0.message.content").Str != send(path, `"temperature":0`).get("choices.0.message.content").Str {
			t.Errorf("%s: the format text changes the text", path)
		}
		refusedAs := map[bool]int{true: 422, false: 400}[path == azureChatPath]
		refused(t, post(t, h, path, ask(path, `"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","patternProperties":{"a":{}}}}}`)), refusedAs, "patternProperties")
	}
	for _, path := range []string{azureEmbeddingsPath, openAIEmbeddingsPath} {
		if n := len(send(path, "").get("data.0.embedding").Array()); n != testEngine(t).Model().Config().Dim {
			t.Errorf("%s: a vector of %d numbers", path, n)
		}
	}
}

// watched is the embedded model, which tells of the first step of an answer.
type watched struct {
	local
	first chan struct{}
}

func (w watched) Generate(ctx context.Context, r engine.Request) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		told := false
		for s, err := range w.local.Generate(ctx, r) {
			if !told {
				told = true
				w.first <- struct{}{}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// TestClientLeavesEngine: when a client goes away, the step that is being
// computed is the last, no memory is held, and the quota gets back what was not
// used.
func TestClientLeavesEngine(t *testing.T) {
	const asked = 900
	for _, stream := range []string{"true", "false"} {
		e := testEngine(t)
		w := watched{local{e}, make(chan struct{}, 1)}
		s, err := New(Options{Generator: w, Quota: Quota{TokensPerMinute: 10000, Settle: true}})
		if err != nil {
			t.Fatal(err)
		}
		var over sync.WaitGroup
		over.Add(1)
		left := make(chan int64, 1) // steps when the server knew
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer over.Done()
			go func() {
				<-r.Context().Done()
				left <- e.Stats().Steps
			}()
			s.ServeHTTP(w, r)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		body := ask(completionsPath, fmt.Sprintf(`"max_tokens":%d,"ignore_eos":true,"stream":%s`, asked, stream))
		r, _ := http.NewRequestWithContext(ctx, "POST", h.URL+completionsPath, strings.NewReader(body))
		go func() {
			<-w.first
			cancel()
		}()
		if response, err := h.Client().Do(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		over.Wait()
		_ = e.Close() // waits for the step, if one is computed
		stats := e.Stats()
		if before := <-left; stats.Steps > before+1 {
			t.Errorf("stream %s: %d steps after the client had gone", stream, stats.Steps-before)
		}
		if stats.Running+stats.Waiting+stats.KVCacheBlocksUsed > 0 || stats.GenerationTokens >= asked {
			t.Errorf("stream %s: left over: %+v", stream, stats)
		}
		for _, q := range s.State().Endpoints[0].Deployments[0].Quota {
			if used := q.Limit - q.Remaining; q.Of == "tokens" && (used == 0 || used >= asked) {
				t.Errorf("stream %s: %d tokens of the quota are used", stream, used)
			}
		}
		h.Close()
	}
}

// TestEngineMetrics: /metrics has what the engine did under vLLM's names, also
// where the context is shortened, and not for a generator without an engine.
func TestEngineMetrics(t *testing.T) {
	endpoint := func(name string, g Generator) Endpoint {
		return Endpoint{Name: name, Settings: Settings{Generator: g, ContextLength: 512}}
	}
	s, err := New(Options{Endpoints: []Endpoint{endpoint("real", Local(testEngine(t))), endpoint("fake", newFake())}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	prompt := `"prompt":"` + strings.Repeat("The moon is far away. ", 20) + `"`
	var usage gjson.Result
	for range 2 { // the second finds the first's prompt
		r := post(t, h, "/real"+completionsPath, `{`+prompt+`,"max_tokens":5,"ignore_eos":true}`)
		if usage = r.get("usage"); r.status != 200 {
			t.Fatal(r.body)
		}
	}
	values := map[string]float64{}
	for line := range strings.Lines(do(t, h, "GET", metricsPath, "", nil).body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.Contains(name, `endpoint="real"`) {
			values[name[:strings.IndexByte(name, '{')]], _ = strconv.ParseFloat(value, 64)
		} else if strings.Contains(line, `endpoint="fake"`) && strings.Contains(line, "cache") {
			t.Errorf("no engine, but %s", line)
		}
	}
	tokens := usage.Get("prompt_tokens").Float()
	for name, want := range map[string]float64{
		"vllm:num_requests_running": 0, "vllm:num_requests_waiting": 0, "vllm:kv_cache_usage_perc": 0, "vllm:num_preemptions_total": 0,
		"vllm:prefix_cache_queries_total": 2 * tokens, "vllm:prefix_cache_hits_total": float64(int(tokens) / 32 * 32),
		"vllm:prompt_tokens_total": 2 * tokens, "vllm:generation_tokens_total": 10,
		"vllm:request_prompt_tokens_sum": 2 * tokens, "vllm:request_generation_tokens_sum": 10, "vllm:request_params_max_tokens_sum": 10, "vllm:request_params_n_sum": 2,
		"vllm:request_queue_time_seconds_count": 2,
		// The engine computes once what both prompts begin with.
		"touchstone:engine_step_tokens_total": 2*tokens - float64(int(tokens)/32*32) + 2*4,
	} {
		if got, there := values[name]; !there || got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
}
