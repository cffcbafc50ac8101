package schemas

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	. "github.com/onsi/gomega"
)

const (
	completion = `{"id":"a","object":"text_completion","created":1729000000,"model":"m","choices":[{"index":0,"text":"t","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
	chat       = `{"id":"a","object":"chat.completion","created":1729000000,"model":"","choices":[{"index":0,"message":{"role":"assistant","content":"t"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
	chunk      = `{"id":"a","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"t","finish_reason":null}]}`
	chatChunk  = `{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`
	// The examples of the source document with what is no JSON in them
	// repaired: trailing commas, doubled quotes, escaped apostrophes.
	moonRequest  = `{"prompt": "What's the distance to the moon?", "temperature": 0.8, "max_tokens": 512}`
	moon         = `{"id":"12345678-1234-1234-1234-abcdefghijkl","object":"text_completion","created":217877,"choices":[{"index":0,"text":"The Moon is an average of 238,855 miles away from Earth, which is about 30 Earths away.","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"total_tokens":23,"completion_tokens":16}}`
	chatRequest  = `{"messages":[{"role":"system","content":"You are a helpful assistant that translates English to Italian."},{"role":"user","content":"Translate the following sentence from English to Italian: I love programming."}],"temperature":0.8,"max_tokens":512}`
	italian      = `{"id":"12345678-1234-1234-1234-abcdefghijkl","object":"chat.completion","created":2012359,"model":"","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Sure, I'd be happy to help! \"Amo la programmazione.\""}}],"usage":{"prompt_tokens":10,"total_tokens":40,"completion_tokens":30}}`
	fourArrays   = `{"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[{"a":-0.5,"b":-1}],"text_offset":[0]}`
	contentArray = `{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":null}]}],"refusal":null}`
)

// with replaces the first old in doc, which must be there.
func with(doc, old, new string) string {
	if !strings.Contains(doc, old) {
		panic("no " + old)
	}
	return strings.Replace(doc, old, new, 1)
}

func TestValidDocuments(t *testing.T) {
	vllmChunk := `{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":1,"text":"","logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":null}`
	for name, tt := range map[string]struct {
		route Route
		kind  Kind
		body  string
	}{
		"completion":                {Completions, ResponseBody, completion},
		"white space around":        {Completions, ResponseBody, " \n" + completion + "\r\n "},
		"chat":                      {Chat, ResponseBody, chat},
		"the document's answer":     {Chat, ResponseBody, italian},
		"with model, its other":     {Completions, ResponseBody, with(moon, `"choices"`, `"model":"m","choices"`)},
		"the document's request":    {Completions, RequestBody, moonRequest},
		"its chat request":          {Chat, RequestBody, chatRequest},
		"unknown members":           {Completions, ResponseBody, with(completion, `"id"`, `"system_fingerprint":null,"x":{"y":[1]},"id"`)},
		"detailed usage":            {Chat, ResponseBody, with(chat, `"total_tokens":3`, `"total_tokens":3,"prompt_tokens_details":null`)},
		"no logprobs":               {Completions, ResponseBody, with(completion, `"logprobs":null,`, ``)},
		"four arrays":               {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":`+fourArrays)},
		"the document's offsets":    {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":`+with(fourArrays, "text_offset", "text_offsets"))},
		"logprobs 0":                {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":{"tokens":["a"],"token_logprobs":[null],"top_logprobs":null,"text_offset":[0]}`)},
		"chat logprobs null":        {Chat, ResponseBody, with(chat, `"index":0`, `"index":0,"logprobs":null`)},
		"chat four arrays":          {Chat, ResponseBody, with(chat, `"index":0`, `"index":0,"logprobs":`+fourArrays)},
		"chat content":              {Chat, ResponseBody, with(chat, `"index":0`, `"index":0,"logprobs":`+contentArray)},
		"vLLM chat":                 {Chat, ResponseBody, with(chat, `"content":"t"`, `"content":"t","refusal":null,"tool_calls":[],"reasoning_content":null`)},
		"chunk":                     {Completions, Chunk, chunk},
		"vLLM chunk":                {Completions, Chunk, vllmChunk},
		"usage chunk":               {Completions, Chunk, `{"id":"a","object":"text_completion","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`},
		"chat chunk":                {Chat, Chunk, chatChunk},
		"last chat chunk":           {Chat, Chunk, with(with(chatChunk, `{"role":"assistant","content":""}`, `{}`), `null`, `"content_filter_error"`)},
		"llama.cpp chat chunk":      {Chat, Chunk, with(chatChunk, `"content":""`, `"content":null`)},
		"nothing said twice":        {Completions, ResponseBody, with(completion, `"id":"a"`, `"id":"a","id":"b"`)},
		"every parameter":           {Completions, RequestBody, `{"prompt":"a","stream":true,"max_tokens":1,"top_p":0.5,"temperature":2,"n":2,"stop":["a","b"],"best_of":3,"logprobs":5,"presence_penalty":-2,"ignore_eos":true,"use_beam_search":false,"stop_token_ids":[1,2],"skip_special_tokens":true,"model":"azureai","seed":1}`},
		"every parameter null":      {Chat, RequestBody, `{"messages":[{"role":"user","content":"a"}],"stream":null,"max_tokens":null,"top_p":null,"temperature":null,"n":null,"stop":null,"best_of":null,"logprobs":null,"presence_penalty":null,"ignore_eos":null,"use_beam_search":null,"stop_token_ids":null,"skip_special_tokens":null,"model":null}`},
		"one stop":                  {Completions, RequestBody, `{"prompt":"a","stop":"."}`},
		"prompt array":              {Completions, RequestBody, `{"prompt":["a"]}`},
		"parts":                     {Chat, RequestBody, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`},
		"error envelope":            {Chat, ErrorBody, `{"error":{"message":"no","type":"x","param":null,"code":null}}`},
		"Azure Core error":          {Chat, ErrorBody, `{"error":{"code":"429","message":"Rate limit is exceeded."}}`},
		"flat error":                {Completions, ErrorBody, `{"object":"error","message":"no","type":"BadRequestError","param":null,"code":400}`},
		"FastAPI error":             {Completions, ErrorBody, `{"detail":[{"type":"missing","loc":["body"],"msg":"Field required"}]}`},
		"detail in words":           {Completions, ErrorBody, `{"detail":"Extra parameters are not allowed"}`},
		"documented Azure error":    {Completions, ErrorBody, `{"status":422,"code":"parameter_not_supported","message":"m","detail":{"loc":["body","n"],"input":1}}`},
		"gateway error":             {Completions, ErrorBody, `{"statusCode":401,"message":"Unauthorized."}`},
		"one word":                  {Completions, ErrorBody, `{"error":"Unauthorized"}`},
		"content filter, flat":      {Completions, ErrorBody, `{"status":400,"code":"content_filter","message":"m","param":"messages","type":null}`},
		"title, detail and status":  {Completions, ErrorBody, `{"title":"t","detail":"d","status":429}`},
		"a number above what fits":  {Completions, ResponseBody, with(completion, "1729000000", "17290000000000000000")},
		"a reason for each, chunks": {Completions, Chunk, with(chunk, "null", `"length"`)},
	} {
		if vs := Validate("llama-v1", tt.route, tt.kind, []byte(tt.body)); len(vs) > 0 {
			t.Errorf("%s: %v", name, vs)
		}
	}
}

func TestViolations(t *testing.T) {
	for name, tt := range map[string]struct {
		route Route
		kind  Kind
		body  string
		want  []string
	}{
		"no JSON":             {Chat, ResponseBody, "<html>", []string{`body: expected a JSON document, saw <html> (invalid character '<' looking for beginning of value)`}},
		"empty":               {Chat, ResponseBody, " ", []string{`body: expected a JSON document, saw nothing`}},
		"two documents":       {Chat, ResponseBody, chat + "\n" + `{"a":1}`, []string{`body: expected one JSON document, saw behind it {"a":1}`}},
		"cut":                 {Chat, ResponseBody, `{"id":`, []string{`body: expected a JSON document, saw {"id": (unexpected EOF)`}},
		"array":               {Chat, ResponseBody, `[]`, []string{`body: expected an object, saw []`}},
		"null":                {Chat, ResponseBody, `null`, []string{`body: expected an object, saw null`}},
		"the document's own":  {Completions, ResponseBody, moon, []string{`/model: expected the member, saw none`}},
		"wrong object":        {Completions, ResponseBody, with(completion, "text_completion", "text.completion"), []string{`/object: expected "text_completion", saw "text.completion"`}},
		"other route":         {Chat, ResponseBody, completion, []string{`/choices/0/message: expected the member, saw none`, `/object: expected "chat.completion", saw "text_completion"`}},
		"empty id":            {Completions, ResponseBody, with(completion, `"id":"a"`, `"id":""`), []string{`/id: expected a string of length at least 1, saw ""`}},
		"float created":       {Completions, ResponseBody, with(completion, "1729000000", "1729000000.5"), []string{`/created: expected an integer, saw 1729000000.5`}},
		"null model":          {Completions, ResponseBody, with(completion, `"model":"m"`, `"model":null`), []string{`/model: expected a string, saw null`}},
		"no choices":          {Completions, ResponseBody, `{"id":"a","object":"text_completion","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, []string{`/choices: expected an array of length at least 1, saw []`}},
		"negative index":      {Completions, ResponseBody, with(completion, `"index":0`, `"index":-1`), []string{`/choices/0/index: expected an integer of at least 0, saw -1`}},
		"string index":        {Completions, ResponseBody, with(completion, `"index":0`, `"index":"0"`), []string{`/choices/0/index: expected an integer, saw "0"`}},
		"unknown reason":      {Completions, ResponseBody, with(completion, `"stop"`, `"eos"`), []string{`/choices/0/finish_reason: expected one of "stop", "length", "content_filter", "content_filter_error", saw "eos"`}},
		"unfinished":          {Completions, ResponseBody, with(completion, `"stop"`, `null`), []string{`/choices/0/finish_reason: expected one of "stop", "length", "content_filter", "content_filter_error", saw null`}},
		"no reason":           {Chat, ResponseBody, with(chat, `,"finish_reason":"length"`, ``), []string{`/choices/0/finish_reason: expected the member, saw none`}},
		"several":             {Chat, ResponseBody, with(with(chat, `"prompt_tokens":1`, `"prompt_tokens":"1"`), `"role":"assistant"`, `"role":"user"`), []string{`/choices/0/message/role: expected "assistant", saw "user"`, `/usage/prompt_tokens: expected an integer, saw "1"`}},
		"empty logprobs":      {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":{}`), []string{`/choices/0/logprobs: expected an object with text_offset or text_offsets, saw {}`}},
		"short logprobs":      {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":{"text_offset":[]}`), []string{`/choices/0/logprobs/token_logprobs: expected the member, saw none`, `/choices/0/logprobs/tokens: expected the member, saw none`, `/choices/0/logprobs/top_logprobs: expected the member, saw none`}},
		"chat logprobs":       {Chat, ResponseBody, with(chat, `"index":0`, `"index":0,"logprobs":[]`), []string{`/choices/0/logprobs: expected an object with tokens, token_logprobs, top_logprobs and text_offset, or with content, saw []`}},
		"chunk without key":   {Chat, Chunk, with(chatChunk, `,"finish_reason":null`, ``), []string{`/choices/0/finish_reason: expected the member, saw none`}},
		"chunk, empty reason": {Chat, Chunk, with(chatChunk, `"finish_reason":null`, `"finish_reason":""`), []string{`/choices/0/finish_reason: expected one of "stop", "length", "content_filter", "content_filter_error", null, saw ""`}},
		"whole answer, chunk": {Chat, Chunk, chat, []string{`/choices/0/delta: expected the member, saw none`, `/object: expected "chat.completion.chunk", saw "chat.completion"`}},
		"content list":        {Chat, Chunk, with(chatChunk, `"content":""`, `"content":[]`), []string{`/choices/0/delta/content: expected a string or null, saw []`}},
		"null text":           {Completions, Chunk, with(chunk, `"text":"t"`, `"text":null`), []string{`/choices/0/text: expected a string, saw null`}},
		"success as error":    {Completions, ErrorBody, completion, []string{`body: expected no choices in an error, saw {"choices":[{"finish_reason":"stop","index":0,"logprobs":null,"text":"t"}],"crea…`}},
		"error without words": {Completions, ErrorBody, `{"error":{}}`, []string{`body: expected an error that says what is wrong in error.message, error, message or detail, saw {"error":{}}`}},
		"error as string":     {Completions, ErrorBody, `"no"`, []string{`body: expected an error that says what is wrong in error.message, error, message or detail, saw "no"`}},
		"request":             {Chat, RequestBody, `{"messages":[{"role":"tool","content":1}],"n":0,"temperature":2.5,"stop":1,"stream":"True"}`, []string{`/messages/0/content: expected a string, or an array of parts, saw 1`, `/messages/0/role: expected one of "system", "user", "assistant", saw "tool"`, `/n: expected an integer or null of at least 1, saw 0`, `/stop: expected a string, or an array of strings, saw 1`, `/stream: expected a boolean or null, saw "True"`, `/temperature: expected a number or null of at least 0 and at most 2, saw 2.5`}},
		"huge number":         {Completions, ResponseBody, with(completion, "1729000000", "1e400"), []string{`/created: expected an integer, saw 1e400`}},
		"odd member name":     {Completions, ResponseBody, with(completion, `"logprobs":null`, `"logprobs":{"tokens":[],"token_logprobs":[],"top_logprobs":[{"a/~b":"x"}],"text_offset":[]}`), []string{`/choices/0/logprobs/top_logprobs/0/a~1~0b: expected a number, saw "x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range Validate("llama-v1", tt.route, tt.kind, []byte(tt.body)) {
				got = append(got, v.String())
			}
			NewWithT(t).Expect(got).To(Equal(tt.want))
		})
	}
}

func TestNoSuchSchema(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Validate("vertex", Chat, Chunk, []byte(`{}`))).To(HaveLen(1))
	g.Expect(Validate("llama-v1", "embeddings", Chunk, []byte(`{}`))).To(HaveLen(1))
	g.Expect(Document("vertex")).To(BeNil())
}

// TestDocument reads the document as its users will: as OpenAPI, with examples
// that keep its own schemas.
func TestDocument(t *testing.T) {
	g := NewWithT(t)
	b := Document("llama-v1")
	g.Expect(json.Valid(b)).To(BeTrue())
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(b)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(doc.Validate(loader.Context, openapi3.EnableExamplesValidation())).To(Succeed())
	g.Expect(doc.Paths.InMatchingOrder()).To(ConsistOf("/v1/completions", "/v1/chat/completions"))
	for _, name := range []string{"CompletionRequest", "ChatCompletionRequest"} {
		s := doc.Components.Schemas[name].Value
		for _, p := range strings.Fields(`stream max_tokens top_p temperature n stop best_of logprobs presence_penalty
			ignore_eos use_beam_search stop_token_ids skip_special_tokens`) {
			g.Expect(s.Properties).To(HaveKey(p), name)
			g.Expect(s.Properties[p].Value.Nullable).To(BeTrue(), "%s of %s", p, name)
		}
	}
	b[0] = 'x'
	g.Expect(Document("llama-v1")[0]).To(Equal(byte('{')), "callers get a copy")
}

func BenchmarkValidateChunk(b *testing.B) {
	body := []byte(chatChunk)
	for b.Loop() {
		Validate("llama-v1", Chat, Chunk, body)
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{completion, chat, chunk, chatChunk, `{"error":{"message":"x"}}`, "null", "[", `{"a":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, r := range []Route{Completions, Chat} {
			for _, k := range []Kind{RequestBody, ResponseBody, Chunk, ErrorBody} {
				for _, v := range Validate("llama-v1", r, k, body) {
					if v.Expected == "" || v.Seen == "" {
						t.Errorf("%s %s: %+v", r, k, v)
					}
				}
			}
		}
	})
}
