package suites

import (
	"net/http"

	"github.com/touchstone-llm/touchstone/schemas"
)

// A recording is a request of a real client library, as it was recorded, but
// that the model is the target's, and the answer is kept short and greedy, so
// that one client's can be held against another's.
type recording struct {
	clause string // that judges it
	label  string
	route  schemas.Route
	header map[string]string
	// members follow model, max_tokens, temperature and the prompt in the form
	// that clients send.
	members []string
	// what the contract does not promise, such as stream_options: a refusal that
	// names it is right, too.
	beyond []string
	// stream asks for one, full for a text of as many tokens.
	stream bool
	full   int
}

const helloMessages = `[{"role":"user","content":"hello"}]`

// recordings by client. Accept and User-Agent are what the client sends.
var recordings = []recording{
	{clause: "CLI-001", label: "openai-go chat", route: schemas.Chat, header: openaiGo, members: []string{"messages", helloMessages}},
	{clause: "CLI-001", label: "openai-go completion", route: schemas.Completions, header: openaiGo, members: []string{"prompt", `"x"`}},
	{clause: "CLI-001", label: "openai-go stream", route: schemas.Chat, header: openaiGo, members: []string{"messages", helloMessages, "stream", "true"}, stream: true},
	{clause: "CLI-002", label: "openai-js chat", route: schemas.Chat, header: openaiJS, members: []string{"messages", helloMessages}},
	{clause: "CLI-002", label: "openai-js completion", route: schemas.Completions, header: openaiJS, members: []string{"prompt", `"x"`}},
	{clause: "CLI-002", label: "openai-js stream", route: schemas.Chat, header: openaiJS, stream: true, beyond: []string{"stream_options"},
		members: []string{"messages", helloMessages, "stream", "true", "stream_options", `{"include_usage":true}`}},
	{clause: "CLI-003", label: "go-openai chat", route: schemas.Chat, header: goOpenAI, members: []string{"messages", helloMessages, "stream", "false"}},
	{clause: "CLI-003", label: "go-openai completion", route: schemas.Completions, header: goOpenAI, beyond: []string{"best_of", "logprobs"},
		members: []string{"temperature", "", "prompt", `"x"`, "best_of", "2", "logprobs", "3", "n", "1", "stream", "false"}},
	{clause: "CLI-003", label: "go-openai stream", route: schemas.Chat, header: map[string]string{"Accept": "text/event-stream", "User-Agent": "Go-http-client/1.1"},
		members: []string{"messages", helloMessages, "stream", "true"}, stream: true},
	{clause: "CLI-004", label: "langchaingo chat", route: schemas.Chat, header: langchainGo, full: otherLength, beyond: []string{"max_completion_tokens"},
		members: []string{"max_tokens", "", "messages", `[{"role":"user","content":"Write a long story about a dragon."}]`, "max_completion_tokens", "24", "temperature", "0"}},
	{clause: "CLI-004", label: "langchaingo stream", route: schemas.Chat, header: langchainGo, stream: true, beyond: []string{"stream_options"},
		members: []string{"messages", helloMessages, "stream", "true", "stream_options", `{"include_usage":true}`, "temperature", "0"}},
	{clause: "CLI-005", label: "langchain-js completion", route: schemas.Completions, header: langchainJS, beyond: []string{"prompt"},
		members: []string{"n", "1", "stream", "false", "prompt", `["hello"]`}},
	{clause: "CLI-005", label: "langchain-js stream", route: schemas.Chat, header: langchainJS, stream: true, beyond: []string{"stream_options"},
		members: []string{"stream", "true", "stream_options", `{"include_usage":true}`, "messages", helloMessages}},
	{clause: "CLI-006", label: "ai-sdk completion", route: schemas.Completions, header: aiSDK, members: []string{"prompt", `"user:\nhello\n\nassistant:\n"`, "stop", `["\nuser:"]`}},
	{clause: "CLI-006", label: "ai-sdk stream", route: schemas.Chat, header: aiSDK, members: []string{"messages", helloMessages, "stream", "true"}, stream: true},
	{clause: "CLI-007", label: "azure-rest chat", route: schemas.Chat, header: azureREST, members: []string{"messages", helloMessages}},
}

var (
	openaiGo    = map[string]string{"Accept": "application/json", "User-Agent": "OpenAI/Go 3.96.0", "X-Stainless-Lang": "go", "X-Stainless-Retry-Count": "0"}
	openaiJS    = map[string]string{"Accept": "application/json", "User-Agent": "OpenAI/JS 6.49.0", "X-Stainless-Lang": "js", "X-Stainless-Retry-Count": "0", "Accept-Language": "*"}
	goOpenAI    = map[string]string{"Accept": "application/json", "User-Agent": "Go-http-client/1.1"}
	langchainGo = map[string]string{"User-Agent": "langchaingo/v0.1.14"}
	langchainJS = map[string]string{"Accept": "application/json", "User-Agent": "langchainjs-openai/1.0.0"}
	aiSDK       = map[string]string{"Accept": "*/*", "User-Agent": "ai/6.0.326 ai-sdk/provider-utils/4.0.65"}
	azureREST   = map[string]string{"Accept": "application/json", "User-Agent": "azsdk-js-ai-inference-rest/1.0.0-beta.6", "X-Ms-Client-Request-Id": clientRequestID}
)

// recorded are the recordings of a client that go to a route of a dialect.
func recorded(f *Facts, clause string) []recording {
	var out []recording
	for _, r := range recordings {
		if cl, ok := schemas.Lookup(r.clause); r.clause == clause && ok && r.route == f.Route && cl.Holds(f.target.dialect(), f.Route) {
			out = append(out, r)
		}
	}
	return out
}

// ask is the recording as it is sent.
func (r recording) ask(f *Facts) ask {
	h := http.Header{}
	for name, v := range r.header {
		h[name] = []string{v}
	}
	members := append([]string{"max_tokens", "8", "temperature", "0"}, r.members...)
	if f.target.dialect() != DialectAzureInference && f.target.Model == "" {
		members = append([]string{"model", `"azureai"`}, members...)
	}
	if r.clause == "CLI-007" && f.target.Key != "" {
		h["Api-Key"] = []string{f.target.Key}
	}
	return ask{label: r.label, wire: wire{raw: rawBody(f, "hello", members...), header: h}}
}

// cliProbes send what real clients send (CLI).
var cliProbes = []probe{
	{name: "clients", free: true, asks: func(f *Facts) []ask {
		var out []ask
		for _, c := range []string{"CLI-001", "CLI-002", "CLI-003", "CLI-004", "CLI-005", "CLI-006", "CLI-007"} {
			for _, r := range recorded(f, c) {
				out = append(out, r.ask(f))
			}
		}
		return out
	}},
	{name: "notebook", needs: needKey, dialects: []string{DialectLlamaV1}, asks: func(f *Facts) []ask {
		return []ask{{label: "notebook", wire: wire{raw: rawBody(f, shortPrompt, "stream", `"True"`), header: bearer(f.target.Key)}}}
	}},
}
