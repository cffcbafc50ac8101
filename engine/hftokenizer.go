package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hfTokenizer is tokenizer.json of Hugging Face's tokenizers, as far as the
// engine needs it.
type hfTokenizer struct {
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer    *hfStep `json:"normalizer"`
	PreTokenizer  *hfStep `json:"pre_tokenizer"`
	PostProcessor *hfStep `json:"post_processor"`
	Model         struct {
		Type         string            `json:"type"`
		Vocab        map[string]int    `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"` // "a b", or ["a", "b"]
		ByteFallback bool              `json:"byte_fallback"`
		Unknown      string            `json:"unk_token"`
	} `json:"model"`
}

// An hfStep is a normaliser, a pre-tokenizer or a post-processor; which fields
// it has depends on its type.
type hfStep struct {
	Type           string    `json:"type"`
	Normalizers    []*hfStep `json:"normalizers"`
	PreTokenizers  []*hfStep `json:"pretokenizers"`
	Processors     []*hfStep `json:"processors"`
	Pattern        hfPattern `json:"pattern"`
	Individual     bool      `json:"individual_digits"`
	UseRegex       *bool     `json:"use_regex"`
	AddPrefixSpace bool      `json:"add_prefix_space"`
	PrependScheme  string    `json:"prepend_scheme"`
	Single         []struct {
		SpecialToken *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
	} `json:"single"`
}

type hfPattern struct {
	Regex  string `json:"Regex"`
	String string `json:"String"`
}

// steps returns s, or the steps of a sequence.
func (s *hfStep) steps() (all []*hfStep) {
	if s == nil {
		return nil
	}
	if s.Type != "Sequence" {
		return []*hfStep{s}
	}
	for _, list := range [][]*hfStep{s.Normalizers, s.PreTokenizers, s.Processors} {
		for _, step := range list {
			if step != nil && step.Type != "Sequence" {
				all = append(all, step)
			}
		}
	}
	return all
}

// hfPatterns gives the name of a pre-tokenizer by the pattern that it splits by.
var hfPatterns = map[string]string{
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: "llama-bpe",
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      "qwen2",
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|` +
		`\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`: "tekken",
}

// pre returns the name of the pre-tokenizer.
func (h *hfTokenizer) pre() (string, error) {
	name, digits := "", false
	for _, s := range h.PreTokenizer.steps() {
		switch s.Type {
		case "Split":
			known, ok := hfPatterns[s.Pattern.Regex]
			if !ok || name != "" {
				return "", fmt.Errorf("pre_tokenizer: the pattern %q is not known", s.Pattern.Regex+s.Pattern.String)
			}
			name = known
		case "Digits":
			if !s.Individual {
				return "", errors.New("pre_tokenizer: Digits without individual_digits is not supported")
			}
			digits = true
		case "ByteLevel":
			if s.AddPrefixSpace {
				return "", errors.New("pre_tokenizer: add_prefix_space is not supported")
			}
			if name == "" && (s.UseRegex == nil || *s.UseRegex) {
				name = "gpt-2"
			}
		default:
			return "", fmt.Errorf("pre_tokenizer: %q is not supported", s.Type)
		}
	}
	switch {
	case name == "":
		return "", errors.New("pre_tokenizer: none that splits words")
	case digits && name != "gpt-2":
		return "", errors.New("pre_tokenizer: Digits and a pattern together are not supported")
	case digits:
		return "smollm", nil
	}
	return name, nil
}

// readHFTokenizer puts the tokenizer of the model in dir under GGUF's keys.
func (f *modelFile) readHFTokenizer(dir string, config *hfConfig) error {
	var h hfTokenizer
	path, err := f.readJSON(dir, "tokenizer.json", &h)
	if err != nil {
		return err
	}
	if err := h.meta(f.meta, config.VocabSize); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ids := map[string]uint32{}
	for text, id := range h.Model.Vocab {
		ids[text] = uint32(id)
	}
	for _, t := range h.Added {
		ids[t.Content] = uint32(t.ID)
	}

	var settings struct {
		AddBOS   *bool `json:"add_bos_token"`
		BOS      any   `json:"bos_token"`
		EOS      any   `json:"eos_token"`
		Template any   `json:"chat_template"`
	}
	var generation struct {
		EOS any `json:"eos_token_id"`
	}
	for name, v := range map[string]any{"tokenizer_config.json": &settings, "generation_config.json": &generation} {
		if _, err := f.readJSON(dir, name, v); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if settings.AddBOS != nil {
		f.meta["tokenizer.ggml.add_bos_token"] = *settings.AddBOS
	}
	if id, ok := ids[tokenText(settings.BOS)]; ok {
		f.meta["tokenizer.ggml.bos_token_id"] = id
	} else if list := tokenIDs(config.BOS); len(list) == 1 {
		f.meta["tokenizer.ggml.bos_token_id"] = uint32(list[0])
	}
	ends := append(tokenIDs(generation.EOS), tokenIDs(config.EOS)...)
	if id, ok := ids[tokenText(settings.EOS)]; ok {
		f.meta["tokenizer.ggml.eos_token_id"] = id
	} else if len(ends) > 0 {
		f.meta["tokenizer.ggml.eos_token_id"] = uint32(ends[0])
	}
	f.meta["tokenizer.ggml.eos_token_ids"] = ends

	template, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
	switch {
	case err == nil:
		f.meta["tokenizer.chat_template"] = string(template)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if t := templateText(settings.Template); t != "" {
			f.meta["tokenizer.chat_template"] = t
		}
	}
	return nil
}

// meta puts tokens, merges and pre-tokenizer under GGUF's keys. There are at
// least size tokens, as many as rows of the embedding.
func (h *hfTokenizer) meta(meta map[string]any, size int) error {
	if h.Model.Type != "" && h.Model.Type != "BPE" {
		return fmt.Errorf("model.type %q is not supported (BPE is)", h.Model.Type)
	}
	// Ids may have holes, but not many.
	most := max(size, 2*(len(h.Model.Vocab)+len(h.Added)))
	if most > 1<<24 {
		return fmt.Errorf("%d tokens", most)
	}
	n := size
	check := func(text string, id int) error {
		if id < 0 || id >= most {
			return fmt.Errorf("token %q has id %d, out of range", text, id)
		}
		n = max(n, id+1)
		return nil
	}
	for text, id := range h.Model.Vocab {
		if err := check(text, id); err != nil {
			return err
		}
	}
	for _, t := range h.Added {
		if err := check(t.Content, t.ID); err != nil {
			return err
		}
	}
	tokens, types := make([]string, n), make([]int32, n)
	for text, id := range h.Model.Vocab {
		if types[id] != 0 {
			return fmt.Errorf("tokens %q and %q have the same id %d", tokens[id], text, id)
		}
		tokens[id], types[id] = text, int32(tokenNormal)
		if h.Model.ByteFallback && len(text) == 6 && strings.HasPrefix(text, "<0x") {
			types[id] = int32(tokenByte)
		}
	}
	for _, t := range h.Added {
		tokens[t.ID], types[t.ID] = t.Content, int32(tokenUserDefined)
		if t.Special {
			types[t.ID] = int32(tokenControl)
		}
	}
	for id := range tokens {
		if types[id] == 0 {
			tokens[id], types[id] = fmt.Sprintf("[PAD%d]", id), int32(tokenUnused)
		}
	}
	meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"] = tokens, types

	merges := make([]string, len(h.Model.Merges))
	for i, raw := range h.Model.Merges {
		var pair []string
		if err := json.Unmarshal(raw, &merges[i]); err == nil {
			continue
		}
		if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
			return fmt.Errorf("merge %d, %.50s, is no pair", i, raw)
		}
		merges[i] = pair[0] + " " + pair[1]
	}
	if h.Model.ByteFallback {
		h.sentencePiece(meta, tokens, types, merges)
		return nil
	}
	pre, err := h.pre()
	if err != nil {
		return err
	}
	meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"] = "gpt2", pre
	meta["tokenizer.ggml.merges"] = merges
	for _, s := range h.PostProcessor.steps() {
		if s.Type == "TemplateProcessing" && len(s.Single) > 0 {
			meta["tokenizer.ggml.add_bos_token"] = s.Single[0].SpecialToken != nil
		}
	}
	return nil
}

// sentencePiece writes a BPE with bytes to fall back to as what it was made
// from: tokens with scores, which are higher the earlier a token is merged.
func (h *hfTokenizer) sentencePiece(meta map[string]any, tokens []string, types []int32, merges []string) {
	scores := make([]float32, len(tokens))
	for i := range scores {
		scores[i] = -1e9
	}
	ids := make(map[string]int, len(tokens))
	for id, text := range tokens {
		ids[text] = id
		if types[id] == int32(tokenUserDefined) { // sought before spaces are marked
			tokens[id] = strings.ReplaceAll(text, spaceMark, " ")
		}
	}
	for rank, merge := range merges {
		left, right, _ := strings.Cut(merge, " ")
		if id, ok := ids[left+right]; ok && scores[id] == -1e9 {
			scores[id] = -float32(rank)
		}
	}
	if id, ok := ids[h.Model.Unknown]; ok && h.Model.Unknown != "" {
		types[id] = int32(tokenUnknown)
		meta["tokenizer.ggml.unknown_token_id"] = uint32(id)
	}
	prefix := false
	for _, s := range append(h.Normalizer.steps(), h.PreTokenizer.steps()...) {
		switch s.Type {
		case "Prepend":
			prefix = true
		case "Metaspace":
			prefix = s.PrependScheme != "never" && (s.PrependScheme != "" || s.AddPrefixSpace)
		}
	}
	meta["tokenizer.ggml.model"] = "llama"
	meta["tokenizer.ggml.scores"] = scores
	meta["tokenizer.ggml.add_space_prefix"] = prefix
}

// tokenText is a token as configurations write it: its text, or an object with
// it; "" for none.
func tokenText(v any) string {
	if object, ok := v.(map[string]any); ok {
		v = object["content"]
	}
	text, _ := v.(string)
	return text
}

// tokenIDs is a list of ids, or one, or none.
func tokenIDs(v any) (ids []int32) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if id, ok := v.(float64); ok && id >= 0 && id < 1<<31 {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// templateText is a chat template: a text, or the one called "default" of a list.
func templateText(v any) string {
	if list, ok := v.([]any); ok {
		for _, entry := range list {
			if object, ok := entry.(map[string]any); ok && object["name"] == "default" {
				v = object["template"]
			}
		}
	}
	text, _ := v.(string)
	return text
}
