package simulator

import (
	"net/http/httptest"
	"testing"
)

// TestCapability asks random text for what it cannot be held to.
func TestCapability(t *testing.T) {
	s, err := New(Options{Generator: random{contextLength: 512}, ModelName: "fake"})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	for _, c := range []struct {
		path, members, param string
		status               int
	}{
		{openAIChatPath, `"response_format":{"type":"json_object"}`, "response_format", 400},
		{azureChatPath, `"response_format":{"type":"json_object"}`, "response_format", 422},
		{openAICompletionsPath, `"echo":true`, "echo", 400},
		{azureChatPath, `"tools":[{"type":"function","function":{"name":"f"}}]`, "tools", 422}, // TOO-014
		{openAIEmbeddingsPath, ``, "embeddings", 404},
	} {
		refused(t, post(t, h, c.path, ask(c.path, c.members)), c.status, c.param)
	}
	if r := post(t, h, openAIChatPath, ask(openAIChatPath, `"response_format":{"type":"text"}`)); r.status != 200 {
		t.Errorf("text: %d %s", r.status, r.body)
	}
}
