package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// A source is one prompt of a file.
type source struct {
	// users are what the user says, turn by turn; messages what stands before.
	users    []string
	messages []Message
	output   int
	// body is a whole request body, sent as it is but for the members that
	// the run decides.
	body map[string]any
}

// readPrompts reads a file of prompts. Known are ShareGPT's JSON (a list of
// conversations), and JSON lines of any of these: a string; {"prompt": …};
// {"messages": […]}; {"turns": ["…", …]}; {"body": {…}}, as OpenAI's batch
// files have it; each with "output_tokens" or "max_tokens" if wanted.
func readPrompts(path string) ([]source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := parsePrompts(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func parsePrompts(r io.Reader) ([]source, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, _ := b.Peek(64)
	var all []source
	var err error
	if bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff \t\r\n"), []byte("[")) {
		all, err = parseShareGPT(b)
	} else {
		all, err = parsePromptLines(b)
	}
	if err == nil && len(all) == 0 {
		err = errors.New("no prompts")
	}
	return all, err
}

func parseShareGPT(r io.Reader) ([]source, error) {
	type said struct {
		From, Role, Value, Content string
	}
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var all []source
	for n := 1; d.More(); n++ {
		var c struct {
			Conversations []said
			Conversation  []said
			Items         []said
		}
		if err := d.Decode(&c); err != nil {
			return nil, fmt.Errorf("conversation %d: %w", n, err)
		}
		var s source
		for _, list := range [][]said{c.Conversations, c.Conversation, c.Items} {
			for _, x := range list {
				who, text := x.From+x.Role, x.Value+x.Content
				switch {
				case text == "":
				case who == "human" || who == "user":
					s.users = append(s.users, text)
				case who == "system" && len(s.users) == 0:
					s.messages = append(s.messages, Message{"system", text})
				case (who == "gpt" || who == "assistant" || who == "chatgpt") && len(s.users) == 1 && s.output == 0:
					s.output = max(1, len(text)/4) // four bytes a token, as is usual
				}
			}
		}
		if len(s.users) > 0 {
			all = append(all, s)
		}
	}
	return all, nil
}

func parsePromptLines(r *bufio.Reader) ([]source, error) {
	var all []source
	for n := 1; ; n++ {
		line, err := readLine(r)
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			s, perr := parsePrompt(trimmed)
			if perr != nil {
				return nil, fmt.Errorf("line %d: %w", n, perr)
			}
			all = append(all, s)
		}
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func parsePrompt(line []byte) (source, error) {
	if line[0] == '"' {
		var text string
		if err := json.Unmarshal(line, &text); err != nil {
			return source{}, err
		}
		return source{users: []string{text}}, nil
	}
	var p struct {
		Prompt       *string         `json:"prompt"`
		Text         *string         `json:"text"`
		Messages     []Message       `json:"messages"`
		Turns        []string        `json:"turns"`
		Body         map[string]any  `json:"body"`
		OutputTokens int             `json:"output_tokens"`
		MaxTokens    int             `json:"max_tokens"`
		Conversation json.RawMessage `json:"conversations"`
	}
	if err := json.Unmarshal(line, &p); err != nil {
		return source{}, err
	}
	s := source{output: max(p.OutputTokens, p.MaxTokens), body: p.Body}
	switch {
	case p.Body != nil:
		for _, k := range []string{"max_tokens", "max_completion_tokens"} {
			if v, ok := p.Body[k].(float64); ok {
				s.output = int(v)
			}
		}
		if p.Body["messages"] == nil && p.Body["prompt"] == nil {
			return source{}, errors.New("body has neither messages nor prompt")
		}
	case p.Conversation != nil:
		list, err := parseShareGPT(io.MultiReader(bytes.NewReader([]byte("[")), bytes.NewReader(line), bytes.NewReader([]byte("]"))))
		if err != nil || len(list) == 0 {
			return source{}, errors.New("conversations without a human's turn")
		}
		return list[0], nil
	case len(p.Messages) > 0:
		last := p.Messages[len(p.Messages)-1]
		if last.Role != "user" {
			return source{}, fmt.Errorf("messages end with role %q, want user", last.Role)
		}
		s.messages, s.users = p.Messages[:len(p.Messages)-1], []string{last.Content}
	case len(p.Turns) > 0:
		s.users = p.Turns
	case p.Prompt != nil:
		s.users = []string{*p.Prompt}
	case p.Text != nil:
		s.users = []string{*p.Text}
	default:
		return source{}, errors.New(`want a string, or one of the members "prompt", "messages", "turns", "body", "conversations"`)
	}
	return s, nil
}
