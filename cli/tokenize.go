package cli

import (
	"encoding/json"
)

type tokenizeCmd struct {
	Text    string `arg:"" help:"Text to tokenize; - reads standard input."`
	Model   string `type:"path" placeholder:"FILE.gguf" help:"Model whose tokenizer to use; the embedded one by default."`
	Special bool   `help:"Read the texts of special tokens as those tokens."`
	BOS     bool   `name:"bos" help:"Put the beginning-of-sequence token in front where the model asks for it."`
}

func (c *tokenizeCmd) Run(s *streams) error {
	text, err := argument(c.Text, s.in)
	if err != nil {
		return err
	}
	m, err := openModel(c.Model)
	if err != nil {
		return usage("--model: %w", err)
	}
	defer m.Close()
	t := m.Tokenizer()
	ids := t.Encode(text, c.Special)
	if c.BOS {
		if p := t.Prompt(""); len(p) > 0 {
			ids = append(p, ids...)
		}
	}
	if ids == nil {
		ids = []int{}
	}
	return json.NewEncoder(s.out).Encode(ids)
}
