package simulator

import (
	"net/http"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// tokenizePath is vLLM's: the tokens of a prompt or of messages, for programs
// that count before they ask.
const tokenizePath = "/tokenize"

func (d *deployment) tokenize(w http.ResponseWriter, r *http.Request) {
	x := d.site.dialects[0]
	if !d.front.admit(w, r, x, http.MethodPost, false) {
		return
	}
	body, bad := readBody(nil, r)
	if bad == nil && !gjson.ValidBytes(body) {
		bad = invalid(codeBody, "", "The body is not JSON.")
	}
	if bad != nil {
		x.writeRefusal(w, bad)
		return
	}
	var tokens []int
	prompt, messages := gjson.GetBytes(body, "prompt"), gjson.GetBytes(body, "messages")
	switch {
	case prompt.Type == gjson.String:
		tokens = d.generator.Prompt(prompt.Str)
	case messages.IsArray() && len(messages.Array()) > 0:
		var said []engine.Message
		for _, m := range messages.Array() {
			said = append(said, engine.Message{Role: m.Get("role").Str, Content: m.Get("content").Str})
		}
		var err error
		if tokens, err = d.generator.ChatPrompt(said, nil); err != nil {
			x.writeRefusal(w, invalid(codeCombination, "messages", "The model's chat template cannot render these messages."))
			return
		}
	default:
		x.writeRefusal(w, invalid(codeMissing, "prompt", "Send prompt, a string, or messages."))
		return
	}
	b := appendInt([]byte(`{"count":`), len(tokens))
	b = appendInt(append(b, `,"max_model_len":`...), d.generator.Config().ContextLength)
	b = append(b, `,"tokens":[`...)
	for i, t := range tokens {
		b = appendInt(comma(b, i), t)
	}
	writeJSON(w, append(b, ']', '}'))
}
