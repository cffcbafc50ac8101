package simulator

import (
	"strings"
	"testing"
)

// TestGolden holds the bytes of one answer and one stream of each route.
func TestGolden(t *testing.T) {
	for _, c := range []struct{ name, path, members, want string }{
		{"completions", completionsPath, `"max_tokens":3,"logprobs":1`,
			`{"id":"cmpl-00000001","object":"text_completion","created":1795492800,"model":"fake","choices":[` +
				`{"index":0,"text":"The moon is","logprobs":{"text_offset":[0,3,8],"token_logprobs":[-2,-2,-2],"tokens":["The"," moon"," is"],` +
				`"top_logprobs":[{"The":-2},{" moon":-2},{" is":-2}]},"finish_reason":"length"}],` +
				`"usage":{"prompt_tokens":6,"completion_tokens":3,"total_tokens":9}}`},
		{"completions without logprobs", completionsPath, `"n":2`,
			`{"id":"cmpl-00000001","object":"text_completion","created":1795492800,"model":"fake","choices":[` +
				`{"index":0,"text":"The moon is far away.","logprobs":null,"finish_reason":"stop"},` +
				`{"index":1,"text":"It is 달, I think so!","logprobs":null,"finish_reason":"stop"}],` +
				`"usage":{"prompt_tokens":6,"completion_tokens":16,"total_tokens":22}}`},
		{"chat", chatPath, `"max_tokens":2`,
			`{"id":"chatcmpl-00000001","object":"chat.completion","created":1795492800,"model":"fake","choices":[` +
				`{"index":0,"message":{"role":"assistant","content":"The moon"},"finish_reason":"length"}],` +
				`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`},
		{"completions stream", completionsPath, `"max_tokens":2,"stream":true`, strings.ReplaceAll(
			`data: {HEAD"choices":[{"index":0,"text":"The","logprobs":null,"finish_reason":null}]}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"text":" moon","logprobs":null,"finish_reason":null}]}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}`+"\n\n"+
				"data: [DONE]\n\n", "HEAD", `"id":"cmpl-00000001","object":"text_completion","created":1795492800,"model":"fake",`)},
		{"chat stream", chatPath, `"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}`, strings.ReplaceAll(
			`data: {HEAD"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"delta":{"content":"The"},"finish_reason":null}],"usage":null}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"delta":{"content":" moon"},"finish_reason":null}],"usage":null}`+"\n\n"+
				`data: {HEAD"choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":null}`+"\n\n"+
				`data: {HEAD"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`+"\n\n"+
				"data: [DONE]\n\n", "HEAD", `"id":"chatcmpl-00000001","object":"chat.completion.chunk","created":1795492800,"model":"fake",`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := post(t, serve(t, newFake()), c.path, ask(c.path, c.members))
			if r.status != 200 || r.body != c.want {
				t.Errorf("got %d\n%s\nwant\n%s", r.status, r.body, c.want)
			}
		})
	}
}
