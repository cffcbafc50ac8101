package simulator

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// requestDefects break the area REQ, transport and validation.
var requestDefects = []Defect{
	{
		Name: "get-answers", Stage: "http", Clauses: []string{"REQ-001"},
		Sentence: "GET on an inference route is answered with a completion.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && isInference(r.URL.Path) {
				r.Method = http.MethodPost
				put(r, smallBody(r.URL.Path))
			}
			return true
		}),
	},
	{
		Name: "allow-missing", Stage: "http", Clauses: []string{"REQ-002"},
		Sentence: "405 has no Allow header.",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			if status == http.StatusMethodNotAllowed {
				h.Del("Allow")
			}
			return status
		}),
	},
	{
		Name: "router-wildcard", Stage: "http", Clauses: []string{"REQ-003"},
		Sentence: "A misspelt path is served like the route that it begins like.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			r.URL.Path = strings.Replace(r.URL.Path, "completionz", "completions", 1)
			return true
		}),
	},
	{
		Name: "content-type-exact", Stage: "http", Clauses: []string{"REQ-004"},
		Sentence: "Only the exact header Content-Type: application/json is taken for JSON.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if t := r.Header.Get("Content-Type"); t != "" && strings.Contains(t, ";") {
				llamaV1.writeRefusal(w, refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "Content-Type is %q; send application/json.", t))
				return false
			}
			return true
		}),
	},
	{
		Name: "content-type-unread", Stage: "http", Clauses: []string{"REQ-005"},
		Sentence: "A body is read as JSON whatever its label says.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Content-Type")
			return true
		}),
	},
	{
		Name: "empty-body-default", Stage: "http", Clauses: []string{"REQ-006"},
		Sentence: "A request without a body is answered as if it held a prompt.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost && r.ContentLength == 0 {
				put(r, smallBody(r.URL.Path))
			}
			return true
		}),
	},
	{
		Name: "json-repaired", Stage: "decode", Clauses: []string{"REQ-007"},
		Sentence: "A body without its last brace is completed and answered.",
		arm: rebody(func(_ *call, b []byte) []byte {
			if whole := append(bytes.Clone(b), '}'); !gjson.ValidBytes(b) && gjson.ValidBytes(whole) {
				return whole
			}
			return b
		}),
	},
	{
		Name: "trailing-comma-drops-member", Stage: "decode", Clauses: []string{"REQ-008"},
		Sentence: "A trailing comma is tolerated, and the member before it is lost.",
		arm: rebody(func(_ *call, b []byte) []byte {
			return trailingComma.ReplaceAll(b, []byte("}"))
		}),
	},
	{
		Name: "root-null-accepted", Stage: "decode", Clauses: []string{"REQ-009"},
		Sentence: "The body null is answered as if it held a prompt.",
		arm: rebody(func(c *call, b []byte) []byte {
			if string(b) == "null" {
				return smallBody(c.route.path)
			}
			return b
		}),
	},
	{
		Name: "duplicates-at-random", Stage: "decode", Clauses: []string{"REQ-010"},
		Sentence: "Of equal requests with a member given twice every second is refused.",
		arm: func() arming {
			var mu sync.Mutex
			seen := map[string]int{}
			return rebodyOne(func(c *call, b []byte) []byte {
				if _, bad := decodeObject(nil, b); bad == nil || !strings.Contains(bad.message, "twice") {
					return b
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[c.route.name]++; seen[c.route.name]%2 == 0 {
					once := &object{}
					for _, m := range parseObject(string(b)).members {
						once.set(m.name, m.raw)
					}
					return []byte(once.String())
				}
				return b
			})
		},
	},
	{
		Name: "arabic-refused", Stage: "decode", Clauses: []string{"REQ-011"},
		Sentence: "Text that runs from right to left is refused.",
		arm: refusing("decode", func(c *call, _ *object) *refusal {
			if strings.ContainsFunc(string(c.body), func(r rune) bool { return unicode.Is(unicode.Arabic, r) }) {
				return invalid(codeBody, "", "The body holds characters that are not supported.")
			}
			return nil
		}),
	},
	{
		Name: "surrogates-torn", Stage: "decode", Clauses: []string{"REQ-012"},
		Sentence: "An escaped surrogate pair is read as two unknown characters.",
		arm: rebody(func(_ *call, b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`\ud83d\ude00`), []byte("\ufffd\ufffd"))
		}),
	},
	{
		Name: "invalid-utf8-500", Stage: "decode", Clauses: []string{"REQ-013", "ERR-009"},
		Sentence: "Bytes that are no UTF-8 are answered with 500.",
		arm:      fails(func(c *call) bool { return bytes.Contains(c.body, []byte("\xff\xfe")) }),
	},
	{
		Name: "nul-500", Stage: "decode", Clauses: []string{"REQ-014", "ERR-009"},
		Sentence: "A NUL in the prompt is answered with 500.",
		arm:      fails(func(c *call) bool { return bytes.Contains(c.body, []byte(`\u0000`)) }),
	},
	{
		Name: "oversize-reset", Stage: "http", Clauses: []string{"REQ-015"},
		Sentence: "The connection is closed without an answer when a body is too large.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength > 1<<20 {
				panic(http.ErrAbortHandler)
			}
			return true
		}),
	},
	{
		Name: "chunked-body-unread", Stage: "http", Clauses: []string{"REQ-016"},
		Sentence: "Only as much of a body is read as Content-Length says, nothing where there is none.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength < 0 {
				put(r, nil)
			}
			return true
		}),
	},
	{
		Name: "accept-decides", Stage: "http", Clauses: []string{"REQ-017", "CLI-001", "CLI-002", "CLI-005"},
		Sentence: "A stream is refused with 406 when Accept asks for JSON.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Accept") == "application/json" && gjson.GetBytes(peek(r), "stream").Bool() {
				llamaV1.writeRefusal(w, refuse(http.StatusNotAcceptable, "not_acceptable", "Streams are text/event-stream."))
				return false
			}
			return true
		}),
	},
	{
		Name: "gzip-buffers", Stage: "http", Clauses: []string{"REQ-018"},
		Sentence: "A compressed stream comes in one piece at its end.",
		around: bodies(
			func(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") },
			func(_ *http.Request, status int, h http.Header, body []byte) (int, []byte) {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				_, _ = z.Write(body)
				_ = z.Close()
				h.Set("Content-Encoding", "gzip")
				return status, b.Bytes()
			}),
	},
	{
		Name: "model-refused", Stage: "type", Clauses: []string{"REQ-019", "CLI-001", "CLI-002", "CLI-003", "CLI-006"},
		Sentence: "The member model is refused as unknown.",
		Seen:     "the source document's table has no model; vLLM 0.4.2 with extra=forbid",
		arm: refusing("type", func(c *call, o *object) *refusal {
			if o.get("model") != "" {
				return unknown(c.route, "model")
			}
			return nil
		}),
	},
	{
		Name: "model-unknown-500", Stage: "type", Clauses: []string{"REQ-020", "ERR-009"},
		Sentence: "A model that the endpoint does not have is answered with 500.",
		arm: fails(func(c *call) bool {
			m := gjson.GetBytes(c.body, "model")
			return m.Type == gjson.String && m.Str != "azureai"
		}),
	},
	{
		Name: "prompt-missing-empty", Stage: "decode", Clauses: []string{"REQ-022"},
		Sentence: "A missing prompt is read as an empty one.",
		arm: rewrite(onCompletions(func(o *object) {
			if o.get("prompt") == "" && o.get("messages") == "" {
				o.set("prompt", `""`)
			}
		})),
	},
	{
		Name: "prompt-null-text", Stage: "decode", Clauses: []string{"REQ-023"},
		Sentence: "A null prompt is read as the word null.",
		arm:      rewrite(onCompletions(func(o *object) { instead("prompt", "null", `"null"`)(nil, o) })),
	},
	{
		Name: "prompt-coerced", Stage: "decode", Clauses: []string{"REQ-024"},
		Sentence: "A prompt that is no string is read as its JSON text.",
		arm: rewrite(onCompletions(func(o *object) {
			if v := gjson.Parse(o.get("prompt")); v.Type == gjson.Number || v.IsBool() || v.IsObject() {
				o.set("prompt", quote(v.Raw))
			}
		})),
	},
	{
		Name: "prompt-empty-500", Stage: "decode", Clauses: []string{"REQ-025", "ERR-009"},
		Sentence: "An empty prompt is answered with 500.",
		arm:      fails(func(c *call) bool { p := gjson.GetBytes(c.body, "prompt"); return p.Exists() && p.Raw == `""` }),
	},
	{
		Name: "prompt-array-text", Stage: "decode", Clauses: []string{"REQ-026"},
		Sentence: "An array in place of the prompt is read as its JSON text.",
		arm: rewrite(onCompletions(func(o *object) {
			if v := gjson.Parse(o.get("prompt")); v.IsArray() && v.Get("#").Int() == 1 && v.Get("0").Type == gjson.String {
				o.set("prompt", quote(v.Raw))
			}
		})),
	},
	{
		Name: "prompt-empty-array-accepted", Stage: "decode", Clauses: []string{"REQ-030"},
		Sentence: "An empty array of prompts is answered.",
		arm:      rewrite(onCompletions(func(o *object) { instead("prompt", "[]", `"x"`)(nil, o) })),
	},
	{
		Name: "stream-null-true", Stage: "decode", Clauses: []string{"REQ-031", "RSP-001", "DET-004"},
		Sentence: "stream null is read as true.",
		arm:      rewrite(instead("stream", "null", "true")),
	},
	{
		Name: "stream-string-truthy", Stage: "decode", Clauses: []string{"REQ-032", "RSP-001"},
		Sentence: "Any text for stream is read as true.",
		Seen:     "the notebooks that the source document links send \"True\"",
		arm:      rewrite(instead("stream", `"True"`, "true", `"false"`, "true")),
	},
	{
		Name: "stream-number-truthy", Stage: "decode", Clauses: []string{"REQ-033"},
		Sentence: "Any number but 0 for stream is read as true.",
		arm:      rewrite(instead("stream", "0", "false", "1", "true", "2", "true")),
	},
	{
		Name: "max-tokens-default-32", Stage: "decode", Clauses: []string{"REQ-034"},
		Sentence: "Without max_tokens a completion ends after 32 tokens.",
		Seen:     "Azure's completions route defaults to 256",
		arm:      rewrite(onCompletions(func(o *object) { defaultTo(o, "32") })),
	},
	{
		Name: "max-tokens-default-differs", Stage: "decode", Clauses: []string{"REQ-035"},
		Sentence: "Without max_tokens a chat stream ends after 24 tokens, a plain answer after 16.",
		arm: rewrite(func(c *call, o *object) {
			if c.route.name == "chat" && o.get("stream") == "true" {
				defaultTo(o, "24")
			}
		}),
	},
	{
		Name: "max-tokens-one-less", Stage: "generate", Clauses: []string{"REQ-038", "FIN-003", "EOS-002"},
		Sentence: "An answer of at most 33 tokens ends after 32.",
		arm: asked(func(_ *call, r *engine.Request) {
			if r.MaxTokens == 33 {
				r.MaxTokens--
			}
		}),
	},
	{
		Name: "max-tokens-negative-unlimited", Stage: "decode", Clauses: []string{"REQ-039"},
		Sentence: "max_tokens -1 is read as none.",
		arm:      rewrite(instead("max_tokens", "-1", "")),
	},
	{
		Name: "max-tokens-zero-default", Stage: "decode", Clauses: []string{"REQ-040"},
		Sentence: "max_tokens 0 is read as none.",
		arm:      rewrite(instead("max_tokens", "0", "")),
	},
	{
		Name: "max-tokens-floored", Stage: "decode", Clauses: []string{"REQ-041"},
		Sentence: "A fraction for max_tokens is rounded down.",
		arm:      rewrite(instead("max_tokens", "1.5", "1")),
	},
	{
		Name: "max-tokens-float-500", Stage: "decode", Clauses: []string{"REQ-042", "ERR-009"},
		Sentence: "max_tokens 16.0 is answered with 500.",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "max_tokens").Raw == "16.0" }),
	},
	{
		Name: "max-tokens-string-default", Stage: "decode", Clauses: []string{"REQ-043"},
		Sentence: "max_tokens in quotes is accepted, and the default is used.",
		arm:      rewrite(instead("max_tokens", `"4"`, "")),
	},
	{
		Name: "integers-true-is-1", Stage: "decode", Clauses: []string{"REQ-044"},
		Sentence: "true is read as 1 where an integer belongs.",
		Seen:     "pydantic in its lax mode",
		arm:      rewrite(func(c *call, o *object) { instead("max_tokens", "true", "1")(c, o); instead("n", "true", "1")(c, o) }),
	},
	{
		Name: "numbers-saturate", Stage: "decode", Clauses: []string{"REQ-045"},
		Sentence: "A number beyond all bounds is read as the largest that is allowed.",
		arm:      rewrite(instead("presence_penalty", "1e400", "2")),
	},
	{
		Name: "nan-accepted", Stage: "decode", Clauses: []string{"REQ-046"},
		Sentence: "NaN is read as a number.",
		Seen:     "Python's json.loads",
		arm: rebody(func(_ *call, b []byte) []byte {
			return bytes.Replace(b, []byte(`"temperature":NaN`), []byte(`"temperature":1`), 1)
		}),
	},
	{
		Name: "top-p-clamped", Stage: "decode", Clauses: []string{"REQ-047"},
		Sentence: "top_p above 1 is lowered to 1.",
		arm:      rewrite(instead("top_p", "1.0001", "1", "2", "1")),
	},
	{
		Name: "top-p-zero-is-one", Stage: "decode", Clauses: []string{"REQ-048"},
		Sentence: "top_p 0 is read as 1.",
		arm:      rewrite(instead("top_p", "0", "1")),
	},
	{
		Name: "top-p-integer-refused", Stage: "type", Clauses: []string{"REQ-049"},
		Sentence: "top_p 1 is refused because it has no decimal point.",
		arm: refusing("type", func(_ *call, o *object) *refusal {
			if o.get("top_p") == "1" {
				return invalid(codeType, "top_p", "top_p must be a float, got 1.")
			}
			return nil
		}),
	},
	{
		Name: "temperature-2-refused", Stage: "range", Clauses: []string{"REQ-050"},
		Sentence: "temperature 2, the end of the range, is refused.",
		arm: refusing("range", func(_ *call, o *object) *refusal {
			if o.get("temperature") == "2" {
				return invalid(codeRange, "temperature", "temperature must be below 2, got 2.")
			}
			return nil
		}),
	},
	{
		Name: "temperature-unbounded", Stage: "decode", Clauses: []string{"REQ-051"},
		Sentence: "A temperature above 2 is accepted.",
		Seen:     "vLLM 0.6.0 has no upper bound",
		arm:      rewrite(instead("temperature", "2.01", "2", "100", "2")),
	},
	{
		Name: "temperature-sign-lost", Stage: "decode", Clauses: []string{"REQ-052"},
		Sentence: "A negative temperature is read without its sign.",
		arm:      rewrite(instead("temperature", "-0.1", "0.1")),
	},
	{
		Name: "sampling-strings-read", Stage: "decode", Clauses: []string{"REQ-054"},
		Sentence: "An array or an object for top_p or temperature means the default.",
		arm:      rewrite(func(c *call, o *object) { instead("temperature", "[]", "")(c, o); instead("top_p", "{}", "")(c, o) }),
	},
	{
		Name: "n-floored", Stage: "decode", Clauses: []string{"REQ-056"},
		Sentence: "A fraction for n is rounded down.",
		arm:      rewrite(instead("n", "1.5", "1")),
	},
	{
		Name: "n-huge-500", Stage: "range", Clauses: []string{"REQ-058", "ERR-009"},
		Sentence: "n 100000 takes the server's memory, and is answered with 500.",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "n").Raw == "100000" }),
	},
	{
		Name: "n-greedy-random", Stage: "combination", Clauses: []string{"REQ-059"},
		Sentence: "n above 1 at temperature 0 is answered with texts drawn at random.",
		arm: before("combination", func(c *call) {
			if c.values.int("n") > 1 && c.values.greedy() && !c.values.flag("use_beam_search") && !c.values.given("best_of") {
				c.values.set("temperature", 2.0, "2")
			}
		}),
	},
	{
		Name: "stop-letters", Stage: "decode", Clauses: []string{"REQ-060"},
		Sentence: "A stop string is taken apart into letters where it holds a character outside ASCII.",
		arm: rewrite(func(_ *call, o *object) {
			v := gjson.Parse(o.get("stop"))
			if v.Type != gjson.String || !strings.ContainsFunc(v.Str, func(r rune) bool { return r > unicode.MaxASCII }) {
				return
			}
			raw, _ := json.Marshal(strings.Split(v.Str, ""))
			o.set("stop", string(raw))
		}),
	},
	{
		Name: "stop-elements-coerced", Stage: "decode", Clauses: []string{"REQ-061"},
		Sentence: "A number in stop is read as its digits.",
		arm:      rewrite(instead("stop", "[1]", `["1"]`)),
	},
	{
		Name: "penalty-range-halved", Stage: "range", Clauses: []string{"REQ-063"},
		Sentence: "A negative presence_penalty is refused.",
		arm: refusing("range", func(_ *call, o *object) *refusal {
			if strings.HasPrefix(o.get("presence_penalty"), "-") {
				return invalid(codeRange, "presence_penalty", "presence_penalty must be in [0, 2].")
			}
			return nil
		}),
	},
	{
		Name: "frequency-penalty-ignored", Stage: "decode", Clauses: []string{"REQ-065"},
		Sentence: "frequency_penalty is accepted and has no effect.",
		Seen:     "ik_llama.cpp#2398",
		arm:      rewrite(func(_ *call, o *object) { o.remove("frequency_penalty") }),
	},
	{
		Name: "flag-null-refused", Stage: "type", Clauses: []string{"REQ-066", "DET-004"},
		Sentence: "skip_special_tokens null is refused.",
		arm: refusing("type", func(_ *call, o *object) *refusal {
			if o.get("skip_special_tokens") == "null" {
				return invalid(codeType, "skip_special_tokens", "skip_special_tokens must be true or false, got null.")
			}
			return nil
		}),
	},
	{
		Name: "flag-string-truthy", Stage: "decode", Clauses: []string{"REQ-067", "EOS-004"},
		Sentence: "Any text for ignore_eos is read as true.",
		Seen:     "Azure Llama serverless; eureka-ml-insights 51",
		arm:      rewrite(instead("ignore_eos", `"false"`, "true", `"true"`, "true")),
	},
	{
		Name: "stop-token-true-is-1", Stage: "decode", Clauses: []string{"REQ-068"},
		Sentence: "true in stop_token_ids is read as token 1.",
		arm:      rewrite(instead("stop_token_ids", "[true]", "[1]")),
	},
	{
		Name: "logprobs-negative-accepted", Stage: "decode", Clauses: []string{"REQ-069"},
		Sentence: "logprobs -1 is read as none.",
		arm:      rewrite(instead("logprobs", "-1", "")),
	},
	{
		Name: "best-of-negative-accepted", Stage: "decode", Clauses: []string{"REQ-070"},
		Sentence: "best_of -1 is read as none.",
		arm:      rewrite(instead("best_of", "-1", "")),
	},
	{
		Name: "unknown-at-random", Stage: "decode", Clauses: []string{"REQ-071"},
		Sentence: "An unknown parameter is refused every other time, and ignored between.",
		arm: func() arming {
			var mu sync.Mutex
			seen := map[string]int{}
			return rebodyOne(func(c *call, b []byte) []byte {
				if gjson.GetBytes(b, "zzz_touchstone").Type != gjson.Number {
					return b
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[c.route.name]++; seen[c.route.name]%2 == 0 {
					return edit(b, func(o *object) { o.remove("zzz_touchstone") })
				}
				return b
			})
		},
	},
	{
		Name: "messages-on-completions", Stage: "decode", Clauses: []string{"REQ-072"},
		Sentence: "messages are read as the prompt on the completions route.",
		arm: rewrite(onCompletions(func(o *object) {
			if m := o.get("messages"); m != "" && o.get("prompt") == "" {
				o.remove("messages")
				o.set("prompt", quote(gjson.Get(m, "0.content").Str))
			}
		})),
	},
	{
		Name: "prompt-on-chat", Stage: "decode", Clauses: []string{"REQ-073"},
		Sentence: "prompt is read as a user's message on the chat route.",
		arm: rewrite(func(c *call, o *object) {
			if p := o.get("prompt"); c.route.name == "chat" && p != "" && o.get("messages") == "" {
				o.remove("prompt")
				o.set("messages", `[{"role":"user","content":`+p+`}]`)
			}
		}),
	},
	{
		Name: "max-completion-tokens-ignored", Stage: "decode", Clauses: []string{"REQ-074", "CLI-004"},
		Sentence: "max_completion_tokens is accepted and has no effect.",
		Seen:     "vLLM 0.6.0; langchaingo sends nothing else; llama-cpp-python#1907, ik_llama.cpp#2321",
		arm:      rewrite(func(_ *call, o *object) { o.remove("max_completion_tokens") }),
	},
	{
		Name: "validates-late", Stage: "decode", Clauses: []string{"REQ-075"},
		Sentence: "A bad request is refused after as long as an answer would take.",
		arm: before("decode", func(c *call) {
			if gjson.GetBytes(c.body, "top_p").Raw == "7" && gjson.GetBytes(c.body, "max_tokens").Int() > 100 {
				pause(c, 2200*time.Millisecond)
			}
		}),
	},
	{
		Name: "bad-request-says-nothing", Stage: "decode", Clauses: []string{"REQ-076"},
		Sentence: "Two bad parameters are refused with the words bad request.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if o.get("top_p") == "7" && o.get("temperature") == "-3" {
				return invalid("bad_request", "", "Bad request.")
			}
			return nil
		}),
	},
	{
		Name: "deep-nesting-500", Stage: "decode", Clauses: []string{"REQ-077", "ERR-009"},
		Sentence: "Deep nesting is answered with 500.",
		arm:      fails(func(c *call) bool { return bytes.Count(c.body, []byte("[")) > 1000 }),
	},
}

var trailingComma = regexp.MustCompile(`,"[^"]+":[^,{}\[\]]+,}$`)

// onCompletions edits requests to the completions route.
func onCompletions(f func(*object)) func(*call, *object) {
	return func(c *call, o *object) {
		if c.route.name == "completions" {
			f(o)
		}
	}
}

// defaultTo sets max_tokens where no length is given.
func defaultTo(o *object, n string) {
	if o.get("max_tokens") == "" && o.get("max_completion_tokens") == "" {
		o.set("max_tokens", n)
	}
}

// fails answers the requests that match with 500.
func fails(matches func(*call) bool) func() arming {
	return always(func(c *call) {
		c.hooks.on("decode", func(c *call) *refusal {
			if matches(c) {
				return internal()
			}
			return nil
		})
	})
}

// rebodyOne is rebody for a defect that keeps state between calls.
func rebodyOne(f func(c *call, body []byte) []byte) arming { return rebody(f)() }
