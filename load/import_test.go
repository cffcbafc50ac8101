package load

import (
	"strings"
	"testing"
	"time"
)

const vllmResult = `{"date":"20260101-120000","backend":"openai-chat","model_id":"m","num_prompts":2,"request_rate":2.0,"max_concurrency":null,"duration":3.0,"completed":1,
"total_input_tokens":12,"total_output_tokens":3,"request_throughput":0.3,"input_lens":[12,0],"output_lens":[3,0],"ttfts":[0.25,0.0],"itls":[[0.05,0.07],[]],
"generated_texts":["abc",""],"errors":["","boom"],"start_times":[100.0,100.5]}`

const guidellmResult = `{"metadata":{"version":1},"benchmarks":[{"config":{"strategy":{"type_":"poisson","rate":3.0}},"requests":{"successful":[
{"request_id":"a","info":{"timings":{"targeted_start":1000.0,"request_start":1000.01,"first_token_iteration":1000.26,"last_token_iteration":1000.38,"token_iterations":3,"request_end":1000.4}},
"input_metrics":{"text_tokens":12},"output_metrics":{"text_tokens":3}}],"incomplete":[],"errored":[{"request_id":"b","info":{"error":"boom","timings":{"request_start":1000.5,"resolve_end":1000.6}},"input_metrics":{},"output_metrics":{}}]}}]}`

const guidellmOld = `{"benchmarks":[{"requests":{"successful":[{"start_time":1000.01,"end_time":1000.4,"first_token_time":1000.26,"last_token_time":1000.38,"prompt_tokens":12,"output_tokens":3}],"errored":[{"start_time":1000.5,"end_time":1000.6,"error":"boom"}]}}]}`

const aiperfResult = `{"metadata":{"session_num":0,"turn_index":0,"request_start_ns":1759813207532900363,"request_ack_ns":1759813207650730976,"request_end_ns":1759813207912900363,"benchmark_phase":"profiling","was_cancelled":false},
"metrics":{"input_sequence_length":{"value":12,"unit":"tokens"},"time_to_first_token":{"value":250.0,"unit":"ms"},"request_latency":{"value":370.0,"unit":"ms"},"inter_chunk_latency":{"value":[50.0,70.0],"unit":"ms"},"output_sequence_length":{"value":3,"unit":"tokens"}},"error":null}
{"metadata":{"session_num":1,"request_start_ns":1759813208032900363,"request_end_ns":1759813208042900363,"benchmark_phase":"profiling","was_cancelled":false},"metrics":{"error_isl":{"value":9,"unit":"tokens"}},"error":{"code":500,"type":"ServerError","message":"boom"}}
`

// Each of the three tools' files holds the same two requests: one with a TTFT
// of 250 ms and three tokens in 120 ms more, and one that failed.
func TestImport(t *testing.T) {
	for _, c := range []struct {
		name, in, tool string
		gaps           int
	}{
		{"vllm", vllmResult, "vllm bench serve", 2}, {"guidellm", guidellmResult, "guidellm", 0}, {"guidellm before 0.4", guidellmOld, "guidellm", 0}, {"aiperf", aiperfResult, "aiperf", 2},
	} {
		i, err := parseImport(strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		r := i.result()
		s := &r.Total
		if r.Imported != c.tool || s.Requests != 2 || s.OK != 1 || s.Failed != 1 || s.PromptTokens != 12 || s.OutputTokens != 3 {
			t.Errorf("%s: %s, %+v", c.name, r.Imported, s)
			continue
		}
		near := func(name string, want time.Duration) {
			m := s.Metric(name)
			if m == nil || (time.Duration(m.Max)-want).Abs() > 10*time.Microsecond {
				t.Errorf("%s: %s %+v, want %s", c.name, name, m, want)
			}
		}
		near(TTFT, 250*time.Millisecond)
		near(TPOT, 60*time.Millisecond)
		near(E2E, 370*time.Millisecond)
		if m := s.Metric(ICL); c.gaps > 0 && (m == nil || m.Count != int64(c.gaps)) {
			t.Errorf("%s: ICL %+v", c.name, m)
		}
		if !strings.Contains(s.Errors[0].Message, "boom") {
			t.Errorf("%s: %+v", c.name, s.Errors)
		}
	}
	for in, says := range map[string]string{"": "empty", "x": "no JSON", "{}": "neither", `{"ttfts":[]}`: "save-detailed", `{"benchmarks":[]}`: "no requests"} {
		if _, err := parseImport(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", in, err, says)
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, s := range []string{vllmResult, guidellmResult, guidellmOld, aiperfResult} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if i, err := parseImport(strings.NewReader(s)); err == nil {
			i.result()
		}
	})
}

func FuzzParsePrompts(f *testing.F) {
	f.Add(`[{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}]`)
	f.Add(`{"messages":[{"role":"user","content":"x"}]}` + "\n" + `"y"` + "\n" + `{"body":{"prompt":"z","max_tokens":3}}`)
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parsePrompts(strings.NewReader(s))
		if err == nil && len(all) == 0 {
			t.Fatal("no prompts and no error")
		}
	})
}

func TestParsePrompts(t *testing.T) {
	for _, c := range []struct {
		in, says string
		users    []string
		output   int
		body     bool
	}{
		{in: `"hello"`, users: []string{"hello"}},
		{in: `{"prompt":"hello","output_tokens":7}`, users: []string{"hello"}, output: 7},
		{in: `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}`, users: []string{"u"}},
		{in: `{"turns":["a","b"]}`, users: []string{"a", "b"}},
		{in: `{"custom_id":"1","body":{"messages":[],"max_tokens":9}}`, output: 9, body: true},
		{in: `[{"id":"x","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"12345678"},{"from":"human","value":"b"}]}]`, users: []string{"a", "b"}, output: 2},
		{in: `{"conversations":[{"from":"human","value":"a"}]}`, users: []string{"a"}},
		{in: `{"messages":[{"role":"assistant","content":"u"}]}`, says: "want user"},
		{in: `{"question":"x"}`, says: "prompt"}, {in: ``, says: "no prompts"}, {in: `{"body":{}}`, says: "neither"}, {in: "{", says: "line 1"},
	} {
		all, err := parsePrompts(strings.NewReader(c.in))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.in, err, c.says)
			}
			continue
		}
		if err != nil || len(all) != 1 || strings.Join(all[0].users, "|") != strings.Join(c.users, "|") || all[0].output != c.output || (all[0].body != nil) != c.body {
			t.Errorf("%s: %+v, %v", c.in, all, err)
		}
	}
}
