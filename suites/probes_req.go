package suites

import (
	"net/http"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// reqNegatives are the requests that transport and validation must refuse
// (REQ).
var reqNegatives = []negative{
	{clause: "REQ-022", probe: "bad.prompt", why: "prompt is required", cases: []edit{set("prompt", "").called("no prompt")}},
	{clause: "REQ-023", probe: "bad.prompt", why: "prompt may not be null", cases: each("prompt", "null")},
	{clause: "REQ-024", probe: "bad.prompt", why: "prompt is text", cases: each("prompt", "1", "true", "{}")},
	{clause: "REQ-030", probe: "bad.prompt", why: "prompt is text, or a list of one kind", cases: each("prompt", "[]", `["a",1]`)},
	{clause: "REQ-072", probe: "bad.prompt", why: "the completions route takes prompt", cases: []edit{
		set("prompt", "", "messages", `[{"role":"user","content":"hi"}]`).called("messages")}},
	{clause: "REQ-073", probe: "bad.prompt", why: "the chat route takes messages", cases: []edit{
		set("messages", "", "prompt", `"hi"`).called("prompt")}},

	{clause: "REQ-039", probe: "bad.numbers", why: "max_tokens is not negative", cases: each("max_tokens", "-1")},
	{clause: "REQ-041", probe: "bad.numbers", why: "max_tokens is an integer", cases: each("max_tokens", "1.5")},
	{clause: "REQ-046", probe: "bad.numbers", why: "this is no JSON", cases: each("temperature", "NaN", "-Infinity")},
	{clause: "REQ-047", probe: "bad.numbers", why: "top_p lies in 0 to 1", cases: each("top_p", "1.0001", "2", "-0.1")},
	{clause: "REQ-051", probe: "bad.numbers", why: "temperature is at most 2", cases: each("temperature", "2.01", "100")},
	{clause: "REQ-052", probe: "bad.numbers", why: "temperature is not negative", cases: each("temperature", "-0.1")},
	{clause: "REQ-056", probe: "bad.numbers", why: "n is an integer of at least 1", cases: each("n", "0", "-1", "1.5", `"2"`)},
	{clause: "REQ-057", probe: "bad.numbers", why: "n is at most 128", cases: each("n", "129")},
	{clause: "REQ-044", probe: "bad.numbers", why: "a boolean is no integer", cases: []edit{set("max_tokens", "true"), set("n", "true")}},
	{clause: "REQ-069", probe: "bad.numbers", why: "logprobs is an integer of at least 0", cases: each("logprobs", "-1", "1.5", `"5"`)},

	{clause: "BST-012", probe: "bad.numbers", why: "best_of is at most 20", cases: each("best_of", "21")},
	{clause: "LOG-017", probe: "bad.numbers", why: "top_logprobs without logprobs says nothing", cases: each("top_logprobs", "2")},
	{clause: "LOG-018", probe: "bad.numbers", why: "top_logprobs lies in 0 to 20", apart: true, cases: []edit{
		set("logprobs", "true", "top_logprobs", "21").called("top_logprobs 21"), set("logprobs", "true", "top_logprobs", "-1").called("top_logprobs -1")}},

	{clause: "STR-030", probe: "bad.lists", why: "stream_options says how to stream, and nothing is streamed", cases: each("stream_options", `{"include_usage":true}`)},
	{clause: "REQ-061", probe: "bad.lists", why: "stop holds strings", cases: each("stop", "[1]", "[null]", "{}")},
	{clause: "REQ-062", probe: "bad.lists", why: "stop holds at most 4 strings", cases: each("stop", `["q1","q2","q3","q4","q5"]`)},
	{clause: "REQ-068", probe: "bad.lists", why: "stop_token_ids is an array of integers", cases: each("stop_token_ids", "[1.5]", `["13"]`, "[true]", "13")},
	{clause: "REQ-079", probe: "bad.lists", why: "the keys of logit_bias are token ids", cases: each("logit_bias", `{"x":1}`)},

	{clause: "REQ-006", probe: "bad.body", why: "there is no body", cases: []edit{root("").called("empty")}},
	{clause: "REQ-007", probe: "bad.body", why: "the JSON is cut off", cases: []edit{cut("cut 9", 9), cut("cut 16", 16), cut("cut last", -1)}},
	{clause: "REQ-009", probe: "bad.body", why: "the root is no object", cases: []edit{root("[]"), root(`"x"`), root("1"), root("null")}},
}

// huge are the numbers that no machine word holds, or none should (REQ-045).
var huge = []edit{
	set("max_tokens", "9007199254740993"), set("max_tokens", "1e400"),
	set("n", "2147483648"), set("best_of", "2147483648"), set("presence_penalty", "1e400"),
}

// hugeHere are those of huge whose parameter the dialect has.
func hugeHere(f *Facts) []edit {
	switch f.target.dialect() {
	case DialectLlamaV1:
		return share(f, huge)
	case DialectOpenAI:
		return share(f, huge[:3])
	}
	return share(f, huge[:2])
}

// cut is the edit that cuts a valid body at n bytes, from the end where n is
// negative.
func cut(label string, n int) edit {
	return edit{label: label, raw: func(f *Facts) []byte {
		b := rawBody(f, shortPrompt)
		if n < 0 {
			return b[:len(b)+n]
		}
		return b[:n]
	}}
}

// root is the edit that sends a body that is no object.
func root(body string) edit {
	return edit{label: body, raw: func(*Facts) []byte { return []byte(body) }}
}

// anotherModel is a name that no endpoint has.
const anotherModel = "touchstone-asks-for-another"

// accepts are the values of Accept with which a stream is asked for.
var acceptHeaders = []string{"application/json", "*/*", "text/event-stream"}

// reqProbes are about transport and validation (REQ).
var reqProbes = append(negativeProbes(reqNegatives),
	probe{name: "methods", free: true, hostile: true, asks: func(f *Facts) []ask {
		var out []ask
		for _, e := range share(f, []edit{{label: http.MethodGet}, {label: http.MethodPut}, {label: http.MethodDelete}}) {
			m := e.label
			w := wire{method: m, raw: rawBody(f, shortPrompt)}
			if m == http.MethodGet {
				w.raw = []byte{}
			}
			out = append(out, ask{label: m, wire: w})
		}
		return out
	}},
	probe{name: "path", asks: func(f *Facts) []ask {
		path := strings.Replace(f.target.path(f.Route), "completions", "completionz", 1)
		return []ask{{wire: wire{path: path, raw: rawBody(f, shortPrompt)}}}
	}},
	probe{name: "content-type", asks: func(f *Facts) []ask {
		typed := func(name, value string) http.Header { return http.Header{name: {value}, "Content-Type": nil} }
		return []ask{
			{label: "charset", wire: wire{raw: rawBody(f, shortPrompt), header: typed("content-TYPE", "application/json; charset=utf-8")}},
			{label: "text", wire: wire{raw: rawBody(f, shortPrompt), header: http.Header{"Content-Type": {"text/plain"}}}},
		}
	}},
	probe{name: "comma", asks: func(f *Facts) []ask {
		b := rawBody(f, plainPrompt(f.Route), "temperature", "0", "max_tokens", "16")
		return []ask{{wire: wire{raw: append(b[:len(b)-1:len(b)-1], ",}"...)}}}
	}},
	probe{name: "twice", asks: func(f *Facts) []ask {
		b := rawBody(f, shortPrompt)
		b = append(append(b[:len(b)-1:len(b)-1], ','), b[1:]...)
		return []ask{{wire: wire{raw: b}}, {wire: wire{raw: b}}}
	}},
	probe{name: "scripts", asks: func(f *Facts) []ask {
		return []ask{{prompt: scripts, body: f.greedy(1)}}
	}},
	probe{name: "surrogates", asks: func(f *Facts) []ask {
		more := []string{"temperature", "0", "max_tokens", "8"}
		raw := rawBody(f, "Hello 😀!", more...)
		return []ask{
			{label: "raw", wire: wire{raw: raw}},
			{label: "escaped", wire: wire{raw: []byte(strings.Replace(string(raw), "😀", `\ud83d\ude00`, 1))}},
		}
	}},
	probe{name: "bytes", free: true, hostile: true, lawful: []string{"lone surrogate", "NUL", "U+0001"}, asks: func(f *Facts) []ask {
		var out []ask
		for _, b := range []struct{ label, inside string }{
			{"ff fe", "\xff\xfe"}, {"lone surrogate", `\ud800`}, {"NUL", `\u0000`}, {"U+0001", `\u0001`},
		} {
			raw := strings.Replace(string(rawBody(f, "a@b")), "a@b", "a"+b.inside+"b", 1)
			out = append(out, ask{label: b.label, wire: wire{raw: []byte(raw)}})
		}
		deep := strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
		return append(out, ask{label: "deep", wire: wire{raw: rawBody(f, shortPrompt, "zzz_touchstone", deep)}})
	}},
	probe{name: "oversize", asks: func(f *Facts) []ask {
		return []ask{{wire: wire{raw: rawBody(f, strings.Repeat("one two ", 2<<20))}}}
	}},
	probe{name: "chunked", asks: func(f *Facts) []ask {
		return []ask{{wire: wire{raw: rawBody(f, shortPrompt), header: http.Header{"Transfer-Encoding": {"chunked"}}}}}
	}},
	probe{name: "accept", free: true, asks: func(f *Facts) []ask {
		var out []ask
		for _, a := range acceptHeaders {
			out = append(out, ask{label: a, wire: wire{raw: rawBody(f, shortPrompt, "temperature", "0", "stream", "true"), header: http.Header{"Accept": {a}}}})
		}
		return append(out, ask{label: "plain", wire: wire{raw: rawBody(f, shortPrompt), header: http.Header{"Accept": {"text/event-stream"}}}})
	}},
	probe{name: "gzip", asks: func(f *Facts) []ask {
		h := http.Header{"Accept-Encoding": {"gzip"}}
		return []ask{
			{label: "plain", prompt: plainPrompt(f.Route), body: f.greedy(capped), wire: wire{header: h}},
			{label: "stream", prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"stream": true}), wire: wire{header: h}},
		}
	}},
	probe{name: "model.names", tests: []string{"model"}, asks: func(f *Facts) []ask {
		return []ask{
			{label: "azureai", prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"model": "azureai"})},
			{label: "unknown", prompt: plainPrompt(f.Route), body: f.greedy(1).with(body{"model": anotherModel})},
		}
	}},
	probe{name: "model.bad", bad: true, dialects: []string{DialectOpenAI}, asks: func(f *Facts) []ask {
		return []ask{set("model", "").called("absent").ask(f), set("model", "5").ask(f)}
	}},
	probe{name: "prompt.empty", routes: completionsOnly, asks: edits(set("prompt", `""`))},
	probe{name: "prompt.array", routes: completionsOnly, asks: func(f *Facts) []ask {
		return []ask{{wire: wire{raw: rawBody(f, "", "prompt", "["+quoted(plainPrompt(f.Route))+"]", "max_tokens", "16", "temperature", "0")}}}
	}},
	probe{name: "prompt.batch", routes: completionsOnly, dialects: notLlama, asks: func(f *Facts) []ask {
		one, two := quoted(plainPrompt(f.Route)), quoted("The sun")
		return []ask{
			{label: "batch", wire: wire{raw: rawBody(f, "", "prompt", "["+one+","+two+"]", "max_tokens", "8", "temperature", "0")}},
			{label: "first", wire: wire{raw: rawBody(f, "", "prompt", one, "max_tokens", "8", "temperature", "0")}},
			{label: "second", wire: wire{raw: rawBody(f, "", "prompt", two, "max_tokens", "8", "temperature", "0")}},
		}
	}},
	probe{name: "prompt.ids", routes: completionsOnly, dialects: []string{DialectOpenAI}, asks: edits(set("prompt", "[1,2,3]"))},
	probe{name: "stream.values", free: true, asks: func(f *Facts) []ask {
		return edits(slices.Concat(share(f, streamKinds), share(f, streamTexts), share(f, streamNumbers))...)(f)
	}},
	probe{name: "default.length", needs: needLong, asks: func(f *Facts) []ask {
		b := func() body { return f.natural(body{"temperature": 0}) }
		return []ask{
			{label: "plain", prompt: f.Long.Prompt, body: b()},
			{label: "stream", prompt: f.Long.Prompt, body: b().with(body{"stream": true})},
		}
	}},
	probe{name: "default.null", needs: needLong, dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: body{"temperature": 0, "max_tokens": nil}}}
	}},
	probe{name: "length", free: true, needs: needLong, asks: func(f *Facts) []ask {
		var out []ask
		for _, k := range lengths {
			out = append(out, ask{prompt: f.Long.Prompt, body: f.endless(f.greedy(k))})
		}
		return out
	}},
	probe{name: "length.zero", asks: edits(set("max_tokens", "0").called("1"), set("max_tokens", "0").called("2"))},
	probe{name: "length.forms", asks: func(f *Facts) []ask {
		one := func(label, value string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, plainPrompt(f.Route), "max_tokens", value, "temperature", "0")}}
		}
		return []ask{one("16.0", "16.0"), one("quoted", `"4"`)}
	}},
	probe{name: "bad.values", free: true, hostile: true, tests: []string{"best_of"}, asks: func(f *Facts) []ask {
		list := slices.Concat(hugeHere(f), share(f, samplingTypesBad))
		if f.target.dialect() == DialectLlamaV1 {
			list = append(list, share(f, bestOfBad)...)
		}
		return edits(list...)(f)
	}},
	probe{name: "top_p.zero", tests: []string{"top_p"}, asks: func(f *Facts) []ask {
		// After a prompt that may go on in many ways.
		w := wire{raw: rawBody(f, plainPrompt(f.Route), "top_p", "0", "temperature", "1", "max_tokens", "32")}
		return []ask{{label: "1", wire: w}, {label: "2", wire: w}}
	}},
	probe{name: "top_p.one", tests: []string{"top_p"}, asks: edits(topPOne...)},
	probe{name: "temperatures", tests: []string{"temperature"}, asks: edits(temperatures...)},
	probe{name: "temperature.azure", dialects: []string{DialectAzureInference}, asks: edits(each("temperature", "1.5")...)},
	probe{name: "n.huge", bad: true, tests: []string{"n"}, once: true, asks: edits(set("n", "100000", "max_tokens", "1", "temperature", "1").called("100000"))},
	probe{name: "n.greedy", tests: []string{"n"}, asks: edits(set("n", "2", "temperature", "0", "max_tokens", "8").called("2"))},
	probe{name: "penalties", free: true, tests: []string{"presence_penalty", "frequency_penalty"}, hostile: true, lawful: penaltyEnds, asks: func(f *Facts) []ask {
		var out []ask
		for _, e := range penaltyEdits(f) {
			out = append(out, e.ask(f))
		}
		return out
	}},
	probe{name: "penalty.effect", needs: needLong, dialects: []string{DialectLlamaV1}, tests: []string{"frequency_penalty"}, asks: func(f *Facts) []ask {
		return []ask{
			{label: "2", prompt: f.Long.Prompt, body: f.endless(f.greedy(48)).with(body{"frequency_penalty": 2})},
			{label: "-2", prompt: f.Long.Prompt, body: f.endless(f.greedy(48)).with(body{"frequency_penalty": -2})},
		}
	}},
	probe{name: "flags", free: true, dialects: []string{DialectLlamaV1}, tests: []string{"ignore_eos", "skip_special_tokens", "use_beam_search"}, asks: edits(flags...)},
	probe{name: "flags.quoted", needs: needShort, dialects: []string{DialectLlamaV1}, tests: []string{"ignore_eos"}, asks: func(f *Facts) []ask {
		var out []ask
		for _, v := range []string{"false", "true"} {
			out = append(out, ask{label: v, prompt: f.Short.Prompt, body: f.greedy(shortTokens).with(body{"ignore_eos": v})})
		}
		return out
	}},
	probe{name: "unknown", asks: func(f *Facts) []ask {
		a := ask{prompt: plainPrompt(f.Route), body: f.greedy(capped).with(body{"zzz_touchstone": 1})}
		return []ask{a, a}
	}},
	probe{name: "length.other", needs: needLong, tests: []string{"max_completion_tokens"}, dialects: []string{DialectLlamaV1}, asks: func(f *Facts) []ask {
		return []ask{{prompt: f.Long.Prompt, body: f.endless(body{"temperature": 0, "max_completion_tokens": otherLength})}}
	}},
	probe{name: "two.bad", bad: true, asks: func(f *Facts) []ask {
		return []ask{
			set("top_p", "7", "temperature", "-3").called("two").ask(f),
			{label: "early", wire: wire{raw: rawBody(f, plainPrompt(f.Route), "max_tokens", "400", "top_p", "7")}},
		}
	}},
	probe{name: "echo", routes: completionsOnly, dialects: []string{DialectOpenAI}, tests: []string{"echo"}, asks: edits(set("echo", "true"))},
)

var (
	completionsOnly = []schemas.Route{schemas.Completions}
	chatOnly        = []schemas.Route{schemas.Chat}
	notLlama        = []string{DialectAzureInference, DialectOpenAI}
)

// lengths are asked for to see that max_tokens bounds an answer (REQ-038) and
// decides nothing else of it (DET-006).
var lengths = []int{2, 9, 33}

// otherLength is max_completion_tokens where it is sent alone: not 16.
const otherLength = 24

// scripts is a prompt outside ASCII (REQ-011): Hangul, Arabic, an emoji, a
// combining mark.
const scripts = "안녕하세요 مرحبا 🎉 e\u0301"

// flags are the values that every flag takes (REQ-066); long and short answers
// of calibration have shown ignore_eos true and false.
var flags = []edit{
	set("ignore_eos", "null"), set("use_beam_search", "null"),
	set("skip_special_tokens", "false"), set("skip_special_tokens", "null"),
}

// Values of stream: right ones (REQ-031), texts (REQ-032) and numbers (REQ-033).
var (
	streamKinds   = []edit{greedyStream("true"), greedyStream("false"), greedyStream("null")}
	streamTexts   = each("stream", `"True"`, `"false"`)
	streamNumbers = each("stream", "2", "0", "1")
)

// Values of sampling parameters: right ones (REQ-049, REQ-050; 0 and 1 are sent
// elsewhere) and wrong ones (REQ-054, REQ-070).
var (
	topPOne          = each("top_p", "1", "1.0")
	temperatures     = each("temperature", "0.8", "2")
	samplingTypesBad = []edit{set("temperature", "[]"), set("temperature", `"0.5"`), set("top_p", `"0.5"`), set("top_p", "{}")}
	bestOfBad        = each("best_of", "-1", "1.5", `"2"`, "0")
)

// edits is the plan of a probe that sends the same short request, edited.
func edits(list ...edit) func(*Facts) []ask {
	return func(f *Facts) []ask {
		var out []ask
		for _, e := range list {
			out = append(out, e.ask(f))
		}
		return out
	}
}

// greedyStream sends a value of stream at temperature 0: the text is the same
// for all.
func greedyStream(value string) edit {
	return set("stream", value, "temperature", "0").called("stream " + value)
}

// penaltyEnds are the labels of what a penalty may be.
var penaltyEnds = []string{"presence_penalty -2", "presence_penalty 2", "frequency_penalty -2", "frequency_penalty 2"}

// penaltyEdits are the ends of the penalties' range, and what lies outside.
func penaltyEdits(f *Facts) []edit {
	names := []string{"presence_penalty"}
	if f.target.dialect() != DialectLlamaV1 {
		names = append(names, "frequency_penalty")
	}
	var out []edit
	for _, name := range names {
		out = append(append(out, each(name, "-2", "2")...), penaltiesBad(name)...)
	}
	return out
}

func penaltiesBad(name string) []edit { return each(name, "2.01", "-2.01") }
