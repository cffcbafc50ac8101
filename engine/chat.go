package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// A Message is one turn of a conversation.
type Message struct {
	Role, Content string
	// ToolCalls are what an assistant asked for.
	ToolCalls []ToolCall
	// ToolCallID says which call a message of the role tool answers.
	ToolCallID string
}

// A ToolCall is a call of a tool. Arguments is a JSON object.
type ToolCall struct{ ID, Name, Arguments string }

// A Tool is what the model may call. Parameters is a JSON Schema of an object,
// or empty.
type Tool struct{ Name, Description, Parameters string }

// ErrTools is the error of a model whose chat template has no place for tools.
var ErrTools = errors.New("engine: the model's chat template knows no tools")

// templateDate is what templates that name today's date are told, so that a
// conversation has the same tokens every day. It is the default of Llama 3's.
const templateDate = "26 Jul 2024"

// ChatPrompt renders messages into the tokens of a prompt that the assistant
// continues, by the file's tokenizer.chat_template or what [Model.SetChatTemplate]
// put in its place. Without either it is the format that the special tokens or
// the name of the model are known for ("llama3", "chatml", …), and else lines of
// "role: content", the last of which is "assistant:".
//
// Tools are offered to the model in the way of its template; [ErrTools] says that
// it has none. Special tokens come from the template only: what looks like one
// in a message or a tool is plain text. Other errors are the template's own (it
// may refuse an order of roles), or say that it cannot be read.
func (m *Model) ChatPrompt(messages []Message, tools ...Tool) ([]int, error) {
	chat, err := m.chat()
	if err != nil {
		return nil, err
	}
	if len(tools) > 0 && !chat.tools {
		return nil, ErrTools
	}
	return chat.prompt(conversation{messages, tools})
}

// A conversation is what a template renders.
type conversation struct {
	messages []Message
	tools    []Tool
}

// texts calls f with every text that a template may show.
func (c conversation) texts(f func(string)) {
	for _, m := range c.messages {
		f(m.Role)
		f(m.Content)
		f(m.ToolCallID)
		for _, t := range m.ToolCalls {
			f(t.ID)
			f(t.Name)
			f(t.Arguments)
		}
	}
	for _, t := range c.tools {
		f(t.Name)
		f(t.Description)
		f(t.Parameters)
	}
}

// SetChatTemplate replaces the template of the model's file by one in Jinja, or
// by the format of that name, one of [ChatFormats]. It is not for use while
// others use the model.
func (m *Model) SetChatTemplate(template string) error {
	chat, err := newChatTemplate(template, m.tokenizer)
	if err != nil {
		return err
	}
	m.chatName = chatName(template)
	m.chat = func() (*chatTemplate, error) { return chat, nil }
	return nil
}

// ChatFormat says which template [Model.ChatPrompt] follows: the name of a
// format, or "" for a template in Jinja.
func (m *Model) ChatFormat() string { return m.chatName }

// chatName returns template if it is the name of a format, else "".
func chatName(template string) string {
	if _, ok := chatFormats[template]; ok {
		return template
	}
	return ""
}

// A chatTemplate turns messages into text with special tokens in it.
type chatTemplate struct {
	tokenizer *Tokenizer
	borders   string // the first and last characters of all special tokens
	tools     bool   // it shows tools
	// render writes the texts of a conversation as shown changes them.
	render func(c conversation, shown func(string) string) (string, error)
}

// newChatTemplate compiles source, or the format of that name.
func newChatTemplate(source string, t *Tokenizer) (*chatTemplate, error) {
	c := &chatTemplate{tokenizer: t}
	var borders []rune
	for _, id := range t.specials {
		first, _ := utf8.DecodeRuneInString(t.tokens[id])
		last, _ := utf8.DecodeLastRuneInString(t.tokens[id])
		borders = append(borders, first, last)
	}
	slices.Sort(borders)
	c.borders = string(slices.Compact(borders))
	if format, ok := chatFormats[source]; ok {
		source = format
	}
	compiled, err := jinja.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("engine: tokenizer.chat_template: %w", err)
	}
	c.tools = strings.Contains(source, "tools")
	c.render = func(talk conversation, shown func(string) string) (string, error) {
		return renderJinja(compiled, t, talk, shown)
	}
	return c, nil
}

// prompt renders and encodes messages.
//
// A special token might be forged by a message, or by the end of one message
// and the beginning of what follows. So the messages are rendered twice, as
// they are and with every character at which a special token could begin or
// end replaced by a stand-in. If both have the same special tokens, none is
// forged; else the second is encoded, the stand-ins taken back in its plain
// parts. A template sees the messages as they are wherever that is safe.
func (c *chatTemplate) prompt(talk conversation) ([]int, error) {
	text, err := c.render(talk, func(s string) string { return s })
	if err != nil {
		return nil, err
	}
	t := c.tokenizer
	parts := t.partition(text, true)
	if standIn, original := c.standIns(talk); standIn != nil {
		text, err := c.render(talk, standIn.Replace)
		if err != nil {
			return nil, err
		}
		safeParts := t.partition(text, true)
		if !slices.Equal(specialsOf(t, parts), specialsOf(t, safeParts)) {
			parts = safeParts
			for i := range parts {
				if parts[i].id < 0 {
					parts[i].text = original.Replace(parts[i].text)
				}
			}
		}
	}
	var ids []int
	start := true
	for _, p := range parts {
		if p.id >= 0 {
			ids, start = append(ids, p.id), true
		} else {
			ids, start = t.encode(ids, p.text, start), false
		}
	}
	return t.withBOS(ids), nil
}

// standIns returns the replacements of the characters of messages at which a
// special token could begin or end, and the reverse; nil if there are none.
// The stand-ins are of a private plane of Unicode and occur in no message.
func (c *chatTemplate) standIns(talk conversation) (standIn, original *strings.Replacer) {
	var all strings.Builder
	talk.texts(func(s string) { all.WriteString(s) })
	if !strings.ContainsAny(all.String(), c.borders) {
		return nil, nil
	}
	used := map[rune]bool{}
	for _, r := range all.String() {
		used[r] = true
	}
	var to, from []string
	next := rune(0xF0000)
	for _, r := range c.borders {
		for used[next] {
			next++
		}
		to = append(to, string(r), string(next))
		from = append(from, string(next), string(r))
		next++
	}
	return strings.NewReplacer(to...), strings.NewReplacer(from...)
}

// specialsOf returns the control tokens among parts, in order. Tokens that plain
// text may become are not among them.
func specialsOf(t *Tokenizer, parts []part) []int {
	var ids []int
	for _, p := range parts {
		if p.id >= 0 && t.Special(p.id) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// hasSpecial says whether text is the name of a special token.
func (t *Tokenizer) hasSpecial(text string) bool {
	return slices.ContainsFunc(t.specials, func(id int) bool { return t.tokens[id] == text })
}

// renderJinja executes a template with the variables that Hugging Face gives it.
func renderJinja(compiled *jinja.Template, t *Tokenizer, talk conversation, shown func(string) string) (text string, err error) {
	defer func() {
		// The template is part of a file that anybody may have made.
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: tokenizer.chat_template: %v", r)
		}
	}()
	messages := make([]jinja.Value, len(talk.messages))
	for i, m := range talk.messages {
		if messages[i], err = messageValue(m, shown); err != nil {
			return "", err
		}
	}
	var tools any
	if len(talk.tools) > 0 {
		list := make([]jinja.Value, len(talk.tools))
		for i, tool := range talk.tools {
			if list[i], err = toolValue(tool, shown); err != nil {
				return "", err
			}
		}
		tools = list
	}
	name := func(id int) string { return string(t.Bytes(id)) }
	text, err = compiled.Render(map[string]any{
		"messages":              messages,
		"add_generation_prompt": true,
		"bos_token":             name(t.bos),
		"eos_token":             name(t.eosID),
		"tools":                 tools,
		"date_string":           templateDate,
	})
	if err != nil {
		return "", fmt.Errorf("engine: tokenizer.chat_template: %w", err)
	}
	return text, nil
}
