package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Models in Hugging Face's layout are a folder: config.json, the weights in
// *.safetensors, tokenizer.json, and perhaps tokenizer_config.json,
// generation_config.json and chat_template.jinja. What they say is put under the
// names that GGUF has for it; the rest of the engine knows no difference.

// hfConfig is config.json, as far as the engine needs it.
type hfConfig struct {
	ModelType        string     `json:"model_type"`
	HiddenSize       *uint32    `json:"hidden_size"`
	IntermediateSize *uint32    `json:"intermediate_size"`
	Layers           *uint32    `json:"num_hidden_layers"`
	Heads            *uint32    `json:"num_attention_heads"`
	KVHeads          *uint32    `json:"num_key_value_heads"`
	HeadDim          *uint32    `json:"head_dim"`
	MaxPositions     *uint32    `json:"max_position_embeddings"`
	VocabSize        int        `json:"vocab_size"`
	NormEps          *float64   `json:"rms_norm_eps"`
	RopeTheta        *float64   `json:"rope_theta"`
	RopeScaling      *hfScaling `json:"rope_scaling"`
	RopeParameters   *hfScaling `json:"rope_parameters"` // how Transformers 5 writes both
	PartialRotary    *float64   `json:"partial_rotary_factor"`
	SlidingWindow    *uint32    `json:"sliding_window"`
	UseSlidingWindow *bool      `json:"use_sliding_window"`
	Tied             *bool      `json:"tie_word_embeddings"`
	Activation       string     `json:"hidden_act"`
	NoRopeLayers     []int      `json:"no_rope_layers"` // SmolLM3: 0 where a layer does not rotate
	Quantization     any        `json:"quantization_config"`
	BOS              any        `json:"bos_token_id"`
	EOS              any        `json:"eos_token_id"`
}

type hfScaling struct {
	Type            string   `json:"rope_type"`
	OldType         string   `json:"type"`
	Theta           *float64 `json:"rope_theta"`
	Factor          *float64 `json:"factor"`
	LowFreqFactor   *float64 `json:"low_freq_factor"`
	HighFreqFactor  *float64 `json:"high_freq_factor"`
	OriginalContext *uint32  `json:"original_max_position_embeddings"`
	AttentionFactor *float64 `json:"attention_factor"`
	BetaFast        *float64 `json:"beta_fast"`
	BetaSlow        *float64 `json:"beta_slow"`
}

// hfArchitectures gives GGUF's name of a model_type.
var hfArchitectures = map[string]string{
	"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "smollm3": "smollm3",
}

// openHF opens the model in dir. Without tensors it reads the tokenizer only.
func (m *mappings) openHF(dir string, tensors bool) (*modelFile, error) {
	f := &modelFile{format: "safetensors", meta: map[string]any{}, tensors: map[string]tensor{}, spell: hfName}
	var config hfConfig
	path, err := f.readJSON(dir, "config.json", &config)
	if err != nil {
		return nil, err
	}
	if err := config.meta(f.meta); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		f.meta["general.name"] = filepath.Base(abs)
	}
	if err := f.readHFTokenizer(dir, &config); err != nil {
		return nil, err
	}
	if !tensors {
		return f, nil
	}
	files, err := f.weightFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		data, err := m.add(path)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, path)
		part, err := readSafetensors(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for name, t := range part {
			known := ggufName(name)
			if known == "" {
				continue // what can be computed
			}
			if _, ok := f.tensors[known]; ok {
				return nil, fmt.Errorf("%s: tensor %q is in two files", path, name)
			}
			f.tensors[known] = t
		}
	}
	if config.Tied != nil && *config.Tied {
		delete(f.tensors, "output.weight")
	}
	return f, nil
}

// readJSON reads a file of dir into v.
func (f *modelFile) readJSON(dir, name string, v any) (path string, err error) {
	path = filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return path, err
	}
	f.files = append(f.files, path)
	if err := json.Unmarshal(data, v); err != nil {
		return path, fmt.Errorf("%s: %w", path, err)
	}
	return path, nil
}

// weightFiles returns the paths of the weights: those of the index, or
// model.safetensors, or the only one there is.
func (f *modelFile) weightFiles(dir string) ([]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	path, err := f.readJSON(dir, "model.safetensors.index.json", &index)
	switch {
	case err == nil:
		names := map[string]bool{}
		for _, name := range index.WeightMap {
			if name != filepath.Base(name) || name == "." || name == ".." {
				return nil, fmt.Errorf("%s: %q is no file of the folder", path, name)
			}
			names[filepath.Join(dir, name)] = true
		}
		return slices.Sorted(maps.Keys(names)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
	if err != nil {
		return nil, err
	}
	if i := slices.Index(found, filepath.Join(dir, "model.safetensors")); i >= 0 {
		return found[i : i+1], nil
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s: %d *.safetensors and no model.safetensors.index.json; which are the weights?", dir, len(found))
	}
	return found, nil
}

// escapeGlob makes a path that only matches itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// meta puts the configuration under GGUF's keys.
func (c *hfConfig) meta(meta map[string]any) error {
	arch, ok := hfArchitectures[c.ModelType]
	switch {
	case !ok:
		return fmt.Errorf("model_type %q is not supported (%s are)", c.ModelType, strings.Join(slices.Sorted(maps.Keys(hfArchitectures)), ", "))
	case c.Quantization != nil:
		return errors.New("quantization_config: quantised safetensors are not supported; GGUF files of the model are")
	case c.Activation != "" && c.Activation != "silu":
		return fmt.Errorf("hidden_act %q is not supported (silu is)", c.Activation)
	}
	meta["general.architecture"] = arch
	meta["rope.neox"] = true
	set := func(key string, value any) { meta[arch+"."+key] = value }
	for _, field := range []struct {
		name     string
		value    *uint32
		key      string
		required bool
	}{
		{"hidden_size", c.HiddenSize, "embedding_length", true},
		{"intermediate_size", c.IntermediateSize, "feed_forward_length", true},
		{"num_hidden_layers", c.Layers, "block_count", true},
		{"num_attention_heads", c.Heads, "attention.head_count", true},
		{"num_key_value_heads", c.KVHeads, "attention.head_count_kv", false},
		{"head_dim", c.HeadDim, "attention.key_length", false},
		{"head_dim", c.HeadDim, "attention.value_length", false},
		{"max_position_embeddings", c.MaxPositions, "context_length", true},
	} {
		if field.value != nil {
			set(field.key, *field.value)
		} else if field.required {
			return fmt.Errorf("%s is missing", field.name)
		}
	}
	if c.NormEps != nil {
		set("attention.layer_norm_rms_epsilon", *c.NormEps)
	} else {
		set("attention.layer_norm_rms_epsilon", 1e-6) // Transformers' default
	}
	if c.SlidingWindow != nil && (c.UseSlidingWindow == nil || *c.UseSlidingWindow) {
		set("attention.sliding_window", *c.SlidingWindow)
	}
	if c.PartialRotary != nil && *c.PartialRotary != 1 {
		return fmt.Errorf("partial_rotary_factor %g is not supported", *c.PartialRotary)
	}
	for i, rotates := range c.NoRopeLayers {
		if arch == "smollm3" && (rotates == 0) != (i%4 == 3) {
			return errors.New("no_rope_layers: only each fourth layer without rotation is supported")
		}
	}
	s := c.RopeScaling
	if c.RopeParameters != nil {
		s = c.RopeParameters
		if c.RopeTheta == nil {
			c.RopeTheta = s.Theta
		}
	}
	if c.RopeTheta != nil {
		set("rope.freq_base", *c.RopeTheta)
	}
	if s == nil {
		return nil
	}
	if s.Type == "" {
		s.Type = s.OldType
	}
	if s.Type == "" || s.Type == "default" {
		return nil
	}
	set("rope.scaling.type", s.Type)
	for key, value := range map[string]*float64{
		"factor": s.Factor, "low_freq_factor": s.LowFreqFactor, "high_freq_factor": s.HighFreqFactor,
		"yarn_beta_fast": s.BetaFast, "yarn_beta_slow": s.BetaSlow, "attention_factor": s.AttentionFactor,
	} {
		if value != nil {
			set("rope.scaling."+key, *value)
		}
	}
	if s.OriginalContext != nil {
		set("rope.scaling.original_context_length", *s.OriginalContext)
	}
	return nil
}

// hfTensors gives Hugging Face's name of a tensor of a layer by GGUF's.
var hfTensors = map[string]string{
	"attn_norm":   "input_layernorm",
	"attn_q":      "self_attn.q_proj",
	"attn_k":      "self_attn.k_proj",
	"attn_v":      "self_attn.v_proj",
	"attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm",
	"attn_k_norm": "self_attn.k_norm",
	"ffn_norm":    "post_attention_layernorm",
	"ffn_gate":    "mlp.gate_proj",
	"ffn_up":      "mlp.up_proj",
	"ffn_down":    "mlp.down_proj",
}

var hfWhole = map[string]string{
	"token_embd.weight":  "model.embed_tokens.weight",
	"output_norm.weight": "model.norm.weight",
	"output.weight":      "lm_head.weight",
}

var (
	hfLayer   = regexp.MustCompile(`^layers\.(\d+)\.(.+)\.(weight|bias)$`)
	ggufLayer = regexp.MustCompile(`^blk\.(\d+)\.(.+)\.(weight|bias)$`)
)

// ggufName returns GGUF's name of a tensor; "" for one that can be computed,
// name itself for one that is not known.
func ggufName(name string) string {
	if strings.HasSuffix(name, "rotary_emb.inv_freq") {
		return ""
	}
	short := strings.TrimPrefix(name, "model.")
	for gguf, hf := range hfWhole {
		if short == strings.TrimPrefix(hf, "model.") {
			return gguf
		}
	}
	if part := hfLayer.FindStringSubmatch(short); part != nil {
		for gguf, hf := range hfTensors {
			if part[2] == hf {
				return "blk." + part[1] + "." + gguf + "." + part[3]
			}
		}
	}
	return name
}

// hfName is the reverse of ggufName.
func hfName(name string) string {
	if hf, ok := hfWhole[name]; ok {
		return hf
	}
	if part := ggufLayer.FindStringSubmatch(name); part != nil && hfTensors[part[2]] != "" {
		return "model.layers." + part[1] + "." + hfTensors[part[2]] + "." + part[3]
	}
	return name
}
