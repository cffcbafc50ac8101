package cli

import (
	"encoding/json"
	"fmt"
)

type tokenizeCmd struct {
	Text    string `arg:"" help:"Text to tokenize; - reads standard input."`
	Model   string `type:"path" placeholder:"PATH" help:"Model whose tokenizer to use, a GGUF file or a folder in Hugging Face's layout; the embedded one by default."`
	Special bool   `help:"Read the texts of special tokens as those tokens."`
	Pieces  bool   `help:"Print each token on a line, with what it stands for."`
	BOS     bool   `name:"bos" help:"Put the beginning-of-sequence token in front where the model asks for it."`
}

func (tokenizeCmd) Help() string {
	return `  touchstone tokenize "Hello, world"
  touchstone tokenize --pieces --model Llama-3.2-1B.gguf "Hello, world"     each token on a line, with its bytes
  touchstone tokenize --special --bos "<|eot_id|>"
  touchstone tokenize - < text.txt`
}

func (c *tokenizeCmd) Run(s *streams) error {
	text, err := argument(c.Text, s.in)
	if err != nil {
		return err
	}
	t, err := modelTokenizer(c.Model)
	if err != nil {
		return usage("--model: %w", err)
	}
	ids := t.Encode(text, c.Special)
	if c.BOS {
		if p := t.Prompt(""); len(p) > 0 {
			ids = append(p, ids...)
		}
	}
	if ids == nil {
		ids = []int{}
	}
	if c.Pieces {
		for _, id := range ids {
			fmt.Fprintf(s.out, "%6d  %q\n", id, t.Bytes(id))
		}
		return nil
	}
	return json.NewEncoder(s.out).Encode(ids)
}
