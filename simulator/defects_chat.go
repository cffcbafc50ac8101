package simulator

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// chatDefects break the area CHT, conversations.
var chatDefects = []Defect{
	{
		Name: "messages-missing-answered", Stage: "decode", Clauses: []string{"CHT-001"},
		Sentence: "A chat request without messages and without prompt is answered.",
		arm: rewrite(onChat(func(o *object) {
			if o.get("messages") == "" && o.get("prompt") == "" {
				o.set("messages", oneMessage)
			}
		})),
	},
	{
		Name: "messages-string-letters", Stage: "decode", Clauses: []string{"CHT-002"},
		Sentence: "messages given as a string is read as a message for each letter.",
		arm: rewrite(onChat(func(o *object) {
			if v := gjson.Parse(o.get("messages")); v.Type == gjson.String {
				o.set("messages", `[{"role":"user","content":`+quote(strings.Join(strings.Split(v.Str, ""), "\n"))+`}]`)
			}
		})),
	},
	{
		Name: "messages-empty-answered", Stage: "decode", Clauses: []string{"CHT-003"},
		Sentence: "An empty conversation is answered.",
		arm:      rewrite(onChat(messagesInstead("[]", oneMessage))),
	},
	{
		Name: "messages-object-wrapped", Stage: "decode", Clauses: []string{"CHT-004"},
		Sentence: "messages that is an object is answered as if it were a list.",
		arm:      rewrite(onChat(messagesInstead("{}", oneMessage))),
	},
	{
		Name: "message-string-answered", Stage: "decode", Clauses: []string{"CHT-005"},
		Sentence: "A string among the messages is read as the user's.",
		arm:      rewrite(onChat(messagesInstead(`["hi"]`, oneMessage))),
	},
	{
		Name: "role-defaults-to-user", Stage: "decode", Clauses: []string{"CHT-006"},
		Sentence: "A message without a role is the user's.",
		arm:      rewrite(onChat(messagesInstead(`[{"content":"hi"}]`, oneMessage))),
	},
	{
		Name: "role-unknown-is-user", Stage: "decode", Clauses: []string{"CHT-007"},
		Sentence: "A message with an unknown role is the user's.",
		arm:      rewrite(onChat(messagesInstead(`[{"role":"foo","content":"hi"}]`, oneMessage))),
	},
	{
		Name: "role-lowered", Stage: "decode", Clauses: []string{"CHT-009"},
		Sentence: "Roles are read in any case.",
		arm:      rewrite(onChat(messagesInstead(`[{"role":"User","content":"hi"}]`, oneMessage))),
	},
	{
		Name: "content-null-is-none", Stage: "decode", Clauses: []string{"CHT-010"},
		Sentence: "Null content is read as the word None.",
		arm:      rewrite(onChat(messagesInstead(`[{"role":"user","content":null}]`, `[{"role":"user","content":"None"}]`))),
	},
	{
		Name: "content-coerced", Stage: "decode", Clauses: []string{"CHT-012"},
		Sentence: "A number as content is read as its digits.",
		arm:      rewrite(onChat(messagesInstead(`[{"role":"user","content":1}]`, `[{"role":"user","content":"1"}]`))),
	},
	{
		Name: "content-empty-500", Stage: "decode", Clauses: []string{"CHT-013", "ERR-009"},
		Sentence: "Empty content is answered with 500.",
		Seen:     "Gemini, google-gemini/deprecated-generative-ai-python#133",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "messages.0.content").Raw == `""` }),
	},
	{
		Name: "content-parts-text", Stage: "decode", Clauses: []string{"CHT-014"},
		Sentence: "Content in parts is read as its JSON text.",
		Seen:     "abetlen/llama-cpp-python#2324",
		arm: rewrite(onChat(func(o *object) {
			if v := gjson.Get(o.get("messages"), "0.content"); v.IsArray() {
				o.set("messages", `[{"role":"user","content":`+quote(v.Raw)+`}]`)
			}
		})),
	},
	{
		Name: "system-last-500", Stage: "decode", Clauses: []string{"CHT-016", "ERR-009"},
		Sentence: "A system message that is not the first is answered with 500.",
		arm: fails(func(c *call) bool {
			roles := gjson.GetBytes(c.body, "messages.#.role").Array()
			return len(roles) > 1 && roles[len(roles)-1].Str == "system"
		}),
	},
	{
		Name: "answer-role-user", Stage: "shape", Clauses: []string{"CHT-017", "SCH-001", "INF-009"},
		Sentence: "The role of an answer is that of the message before it.",
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if m := o.get("message"); m != "" {
				o.set("message", strings.Replace(m, `"role":"assistant"`, `"role":"user"`, 1))
			}
		}),
	},
	{
		Name: "answer-content-list", Stage: "shape", Clauses: []string{"CHT-018", "SCH-001"},
		Sentence: "The content of an answer of one token is null.",
		arm: answerChoices(func(c *call, _ int, o *object) {
			if o.get("message") != "" && c.request.MaxTokens == 1 {
				o.set("message", `{"role":"assistant","content":null}`)
			}
		}),
	},
	{
		Name: "answer-messages", Stage: "shape", Clauses: []string{"CHT-019", "RSP-017", "SCH-001"},
		Sentence: "A choice of an answer of one token has messages in place of message.",
		Seen:     "the source document's table (S:383)",
		arm: answerChoices(func(c *call, _ int, o *object) {
			if m := o.get("message"); m != "" && c.request.MaxTokens == 1 {
				o.remove("message")
				o.set("messages", m)
			}
		}),
	},
	{
		Name: "last-message-only", Stage: "decode", Clauses: []string{"CHT-020"},
		Sentence: "Of two questions and an answer only the last is read.",
		arm: rewrite(onChat(func(o *object) {
			all := gjson.Parse(o.get("messages")).Array()
			if len(all) == 3 && strings.Contains(all[0].Raw, "What is fire?") {
				o.set("messages", "["+all[2].Raw+"]")
			}
		})),
	},
	{
		Name: "messages-sorted", Stage: "decode", Clauses: []string{"CHT-021"},
		Sentence: "The messages of a conversation are sorted by their text.",
		arm: rewrite(onChat(func(o *object) {
			all := gjson.Parse(o.get("messages")).Array()
			if len(all) != 3 || !strings.Contains(all[1].Raw, "Yes.") {
				return
			}
			raws := []string{all[0].Raw, all[2].Raw}
			slices.Sort(raws)
			o.set("messages", "["+raws[0]+","+all[1].Raw+","+raws[1]+"]")
		})),
	},
	{
		Name: "control-text-read", Stage: "decode", Clauses: []string{"CHT-022"},
		Sentence: "Text that looks like the end of a turn is read as one token.",
		arm: rewrite(onChat(func(o *object) {
			if m := gjson.Get(o.get("messages"), "0.content"); strings.Contains(m.Str, "<|eot_id|>") {
				o.set("messages", `[{"role":"user","content":`+quote(strings.Replace(m.Str, "<|eot_id|>", "", 1))+`}]`)
			}
		})),
	},
	{
		Name: "history-500", Stage: "decode", Clauses: []string{"CHT-025", "ERR-009"},
		Sentence: "More than 100 messages are answered with 500.",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "messages.#").Int() > 100 }),
	},
}

const oneMessage = `[{"role":"user","content":"hi"}]`

// onChat edits requests to the chat route.
func onChat(f func(*object)) func(*call, *object) {
	return func(c *call, o *object) {
		if c.route.name == "chat" {
			f(o)
		}
	}
}

// messagesInstead gives messages another value where they are as given.
func messagesInstead(was, becomes string) func(*object) {
	return func(o *object) { instead("messages", was, becomes)(nil, o) }
}
