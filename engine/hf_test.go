package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// An hfModel is a model in Hugging Face's layout, to be changed before it is
// written.
type hfModel struct {
	config, tokenizer map[string]any
	tensors           []ggufwrite.Tensor // under Hugging Face's names
	files             map[string]any     // others
}

// asHF returns a random model in Hugging Face's layout. Where the architecture
// turns adjacent pairs in GGUF, the rows of queries and keys are put in order.
func asHF(t testing.TB, s ggufwrite.Shape) *hfModel {
	t.Helper()
	f := ggufwrite.Random(s)
	arch := get0(f, "general.architecture").(string)
	model := arch
	m := &hfModel{
		config: map[string]any{
			"model_type": model, "hidden_size": s.Dim, "intermediate_size": s.FFN, "num_hidden_layers": s.Layers,
			"num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads, "max_position_embeddings": s.Context,
			"rms_norm_eps": 1e-5, "hidden_act": "silu", "vocab_size": 270,
		},
		files: map[string]any{},
	}
	headDim := s.Dim / s.Heads
	if s.HeadDim != 0 {
		headDim = s.HeadDim
		m.config["head_dim"] = headDim
	}
	for _, tensor := range f.Tensors {
		width := 4
		if tensor.Type != ggufwrite.F32 {
			width = 2
		}
		name := tensor.Name
		if (strings.Contains(name, "attn_q.") || strings.Contains(name, "attn_k.")) && (arch == "llama" || arch == "smollm3") {
			rowBytes := width
			if len(tensor.Shape) == 2 {
				rowBytes *= int(tensor.Shape[0])
			}
			var data []byte
			for head := 0; head < len(tensor.Data); head += headDim * rowBytes {
				for i := range headDim {
					from := head + (i%(headDim/2)*2+i/(headDim/2))*rowBytes
					data = append(data, tensor.Data[from:from+rowBytes]...)
				}
			}
			tensor.Data = data
		}
		if name == "token_embd.weight" || name == "output.weight" { // two rows that no token has
			tensor.Data = append(slices.Clone(tensor.Data), make([]byte, 2*s.Dim*width)...)
			tensor.Shape = []uint64{tensor.Shape[0], tensor.Shape[1] + 2}
		}
		tensor.Name = hfName(name)
		m.tensors = append(m.tensors, tensor)
	}
	tokens := get0(f, "tokenizer.ggml.tokens").([]string)
	vocab, added := map[string]int{}, []any{}
	first := len(tokens) - len(ggufwrite.Specials)
	for id, text := range tokens {
		if id < first {
			vocab[text] = id
		} else {
			added = append(added, map[string]any{"id": id, "content": text, "special": true})
		}
	}
	var merges []any
	for i, merge := range ggufwrite.Merges {
		if i%2 == 0 {
			merges = append(merges, merge)
		} else {
			left, right, _ := strings.Cut(merge, " ")
			merges = append(merges, []string{left, right})
		}
	}
	var pattern string
	for p, name := range hfPatterns {
		if name == "llama-bpe" {
			pattern = p
		}
	}
	m.tokenizer = map[string]any{
		"added_tokens": added,
		"model":        map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}},
			map[string]any{"type": "ByteLevel", "use_regex": false},
		}},
	}
	m.files["tokenizer_config.json"] = map[string]any{
		"bos_token": map[string]any{"content": "<|begin_of_text|>"}, "eos_token": "<|end_of_text|>",
		"chat_template": llama3Template,
	}
	m.files["generation_config.json"] = map[string]any{"eos_token_id": []int{263, 267}}
	return m
}

// safetensors returns a file of the tensors.
func safetensors(t testing.TB, tensors []ggufwrite.Tensor, change func(header map[string]any)) []byte {
	t.Helper()
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var data []byte
	for _, tensor := range tensors {
		shape := slices.Clone(tensor.Shape)
		slices.Reverse(shape)
		header[tensor.Name] = map[string]any{
			"dtype": tensorType(tensor.Type).String(), "shape": shape, "data_offsets": []int{len(data), len(data) + len(tensor.Data)},
		}
		data = append(data, tensor.Data...)
	}
	if change != nil {
		change(header)
	}
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	h = append(h, bytes.Repeat([]byte(" "), (8-len(h)%8)%8)...)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...), data...)
}

// write writes the model, its weights in one file or two.
func (m *hfModel) write(t testing.TB, parts int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files := maps.Clone(m.files)
	files["config.json"], files["tokenizer.json"] = m.config, m.tokenizer
	if parts == 1 {
		files["model.safetensors"] = safetensors(t, m.tensors, nil)
	} else {
		index := map[string]string{}
		for i := range parts {
			var some []ggufwrite.Tensor
			name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, parts)
			for j, tensor := range m.tensors {
				if j%parts == i {
					some = append(some, tensor)
					index[tensor.Name] = name
				}
			}
			files[name] = safetensors(t, some, nil)
		}
		files["model.safetensors.index.json"] = map[string]any{"weight_map": index}
	}
	for name, content := range files {
		data, ok := content.([]byte)
		if !ok {
			var err error
			if data, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A model in Hugging Face's layout is the same model as its GGUF.
func TestHuggingFaceModels(t *testing.T) {
	for name, change := range map[string]func(s *ggufwrite.Shape){
		"llama":   func(s *ggufwrite.Shape) {},
		"biases":  func(s *ggufwrite.Shape) { s.AttnBias = true },
		"untied":  func(s *ggufwrite.Shape) { s.Untied, s.Type = true, ggufwrite.F16 },
		"qwen2":   func(s *ggufwrite.Shape) { s.Architecture, s.AttnBias, s.Type = "qwen2", true, ggufwrite.BF16 },
		"qwen3":   func(s *ggufwrite.Shape) { s.Architecture, s.HeadNorm, s.HeadDim = "qwen3", true, 12 },
		"smollm3": func(s *ggufwrite.Shape) { s.Architecture, s.Layers = "smollm3", 4 },
	} {
		t.Run(name, func(t *testing.T) {
			s := ggufwrite.Small
			change(&s)
			want := randomModel(t, s)
			for parts := range 2 {
				m, err := Open(asHF(t, s).write(t, parts+1))
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				ids := m.Tokenizer().Prompt("hello world, how are you today?")
				if !slices.Equal(ids, want.Tokenizer().Prompt("hello world, how are you today?")) {
					t.Fatalf("tokens %v", ids)
				}
				a, b := logitsAfter(m, ids, 64, 1), logitsAfter(want, ids, 64, 1)
				for i, x := range b {
					if math.Abs(float64(a[i]-x)) > 1e-3 {
						t.Fatalf("logit %d is %g, want %g", i, a[i], x)
					}
				}
				if got := m.Tokenizer().EOS(); !slices.Equal(got, []int{263, 266, 267}) {
					t.Errorf("EOS %v", got)
				}
				if prompt, err := m.ChatPrompt([]Message{{Role: "user", Content: "hello"}}); err != nil || prompt[1] != 264 {
					t.Errorf("chat %v, %v", prompt, err)
				}
				if m.Config().VocabSize != 270 || m.Config().TiedOutput == s.Untied {
					t.Errorf("%+v", m.Config())
				}
			}
		})
	}
}

func TestHuggingFaceRopeScaling(t *testing.T) {
	for _, key := range []string{"rope_scaling", "rope_parameters"} {
		m := asHF(t, ggufwrite.Small)
		m.config[key] = map[string]any{
			"rope_type": "llama3", "rope_theta": 5000, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
			"original_max_position_embeddings": 64,
		}
		m.config["sliding_window"] = 100
		got, err := Open(m.write(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		c := got.Config()
		want := RopeScaling{Type: "llama3", Factor: 8, OriginalContext: 64, LowFreqFactor: 1, HighFreqFactor: 4}
		if c.RopeScaling != want || c.ContextLength != 100 || key == "rope_parameters" && c.RopeTheta != 5000 {
			t.Errorf("%s: %+v", key, c)
		}
	}
}

func TestBrokenHuggingFaceModelsAreRefused(t *testing.T) {
	q := "model.layers.1.self_attn.q_proj.weight"
	for _, test := range []struct {
		name  string
		spoil func(m *hfModel)
		want  string
	}{
		{"model type", func(m *hfModel) { m.config["model_type"] = "mamba" }, `"mamba"`},
		{"missing field", func(m *hfModel) { delete(m.config, "hidden_size") }, "hidden_size"},
		{"field of another type", func(m *hfModel) { m.config["hidden_size"] = "wide" }, "hidden_size"},
		{"quantised", func(m *hfModel) { m.config["quantization_config"] = map[string]any{"bits": 4} }, "quantization_config"},
		{"activation", func(m *hfModel) { m.config["hidden_act"] = "gelu" }, "gelu"},
		{"rope scaling", func(m *hfModel) { m.config["rope_scaling"] = map[string]any{"type": "longrope", "factor": 2} }, "longrope"},
		{"missing tensor", func(m *hfModel) {
			m.tensors = slices.DeleteFunc(m.tensors, func(t ggufwrite.Tensor) bool { return t.Name == q })
		}, q},
		{"unknown tensor", func(m *hfModel) {
			m.tensors = append(m.tensors, ggufwrite.Tensor{Name: "model.layers.0.mlp.router.weight", Shape: []uint64{1}, Data: make([]byte, 4)})
		}, "mlp.router"},
		{"wrong shape", func(m *hfModel) { m.config["num_attention_heads"] = 8; m.config["head_dim"] = 8 }, "self_attn.q_proj.weight"},
		{"vocabulary too small", func(m *hfModel) { m.config["vocab_size"] = 200 }, "embed_tokens"},
		{"no tokenizer", func(m *hfModel) { m.tokenizer = map[string]any{} }, "tokenizer"},
		{"pattern", func(m *hfModel) {
			m.tokenizer["pre_tokenizer"] = map[string]any{"type": "Split", "pattern": map[string]any{"Regex": `\w+`}}
		}, `\\w+`},
		{"unigram", func(m *hfModel) { m.tokenizer["model"].(map[string]any)["type"] = "Unigram" }, "Unigram"},
		{"id out of range", func(m *hfModel) { m.tokenizer["model"].(map[string]any)["vocab"].(map[string]int)["zz"] = 1 << 23 }, `"zz"`},
		{"an id twice", func(m *hfModel) { m.tokenizer["model"].(map[string]any)["vocab"].(map[string]int)["zz"] = 7 }, "same id 7"},
		{"merge", func(m *hfModel) { m.tokenizer["model"].(map[string]any)["merges"] = []any{[]string{"a"}} }, "merge 0"},
		{"index that leaves the folder", func(m *hfModel) {
			m.files["model.safetensors.index.json"] = map[string]any{"weight_map": map[string]string{"x": "../model.safetensors"}}
		}, "no file of the folder"},
		{"template", func(m *hfModel) { m.files["tokenizer_config.json"] = []byte("{") }, "tokenizer_config.json"},
	} {
		m := asHF(t, ggufwrite.Small)
		test.spoil(m)
		_, err := Open(m.write(t, 1))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that holds %q", test.name, err, test.want)
		}
	}
	for _, name := range []string{"config.json", "tokenizer.json", "model.safetensors"} {
		dir := asHF(t, ggufwrite.Small).write(t, 1)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || name != "model.safetensors" && !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	dir := asHF(t, ggufwrite.Small).write(t, 1)
	if _, err := Open(filepath.Join(dir, "model.safetensors")); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("the weights alone: %v", err)
	}
}

func TestBrokenSafetensorsAreRefused(t *testing.T) {
	two := []ggufwrite.Tensor{
		{Name: "a", Shape: []uint64{4, 2}, Data: make([]byte, 32)},
		{Name: "b", Shape: []uint64{3}, Data: make([]byte, 12)},
	}
	entry := func(dtype string, shape []int, from, to int) map[string]any {
		return map[string]any{"dtype": dtype, "shape": shape, "data_offsets": []int{from, to}}
	}
	for _, test := range []struct {
		name string
		b    any
		want string
	}{
		{"type", entry("F8_E4M3", []int{12}, 32, 44), `"b": "F8_E4M3"`},
		{"overlap", entry("F32", []int{3}, 28, 40), "overlap"},
		{"beyond the file", entry("F32", []int{3}, 40, 52), `"b"`},
		{"end before start", entry("F32", []int{3}, 44, 32), `"b"`},
		{"shape that lies", entry("F32", []int{4}, 32, 44), `"b"`},
		{"absurd shape", entry("F32", []int{1 << 30, 1 << 30, 1 << 30, 1 << 30}, 32, 44), `"b"`},
		{"no shape", entry("F32", nil, 32, 44), `"b"`},
		{"dimension of 0", entry("F32", []int{0}, 32, 44), `"b"`},
		{"negative", entry("F32", []int{-3}, 32, 44), `"b"`},
		{"no offsets", map[string]any{"dtype": "F32", "shape": []int{3}}, `"b"`},
		{"no object", 7, `"b"`},
	} {
		data := safetensors(t, two, func(header map[string]any) { header["b"] = test.b })
		if _, err := readSafetensors(data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that holds %q", test.name, err, test.want)
		}
	}
	data := safetensors(t, two, nil)
	if got, err := readSafetensors(data); err != nil || !slices.Equal(got["a"].shape, []int{4, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	for n := range len(data) {
		if _, err := readSafetensors(data[:n:n]); err == nil {
			t.Fatalf("%d of %d bytes are read", n, len(data))
		}
	}
}

// A SentencePiece vocabulary is the same tokenizer from tokenizer.json.
func TestHuggingFaceSentencePiece(t *testing.T) {
	want := smallSPM(t)
	vocab := map[string]int{}
	for id, text := range want.tokens {
		vocab[text] = id
	}
	h := map[string]any{
		"added_tokens": []any{
			map[string]any{"id": 1, "content": "<s>", "special": true}, map[string]any{"id": 2, "content": "</s>", "special": true},
		},
		"normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
			map[string]any{"type": "Prepend", "prepend": "▁"}, map[string]any{"type": "Replace"},
		}},
		"post_processor": map[string]any{"type": "TemplateProcessing"},
		"model": map[string]any{"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": vocab,
			"merges": []string{"a b", "▁ a", "< s", "s >", "▁ ab", "▁a b"}},
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := hfTokens(data)
	if err != nil {
		t.Fatal(err)
	}
	tok.bos = 1
	for _, text := range []string{"", "ab", " ab", "c", "é", "<s>", "b<s>", "a ab  b", "<s>ab", "▁"} {
		if got, want := tok.Encode(text, true), want.Encode(text, true); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if !tok.addBOS {
		t.Error("no BOS")
	}
	// Spaces that were added to plain text are marked there too.
	spaces := len(vocab)
	h["added_tokens"] = []any{map[string]any{"id": spaces, "content": "▁▁"}}
	if data, err = json.Marshal(h); err != nil {
		t.Fatal(err)
	}
	if tok, err = hfTokens(data); err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode("ab  b", false)
	if back := tok.Decode(ids, false); !slices.Contains(ids, spaces) || back != "ab  b" {
		t.Errorf("%v, of %q", ids, back)
	}
}

// hfTokens reads a tokenizer.json.
func hfTokens(data []byte) (*Tokenizer, error) {
	var h hfTokenizer
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	f := &modelFile{format: "safetensors", meta: map[string]any{}}
	if err := h.meta(f.meta, 0); err != nil {
		return nil, err
	}
	return newTokenizer(f)
}

// The tokenizer.json of models, called NAME-tokenizer.json, against llama.cpp's
// tests of their vocabularies, ggml-vocab-NAME.gguf.inp and .out.
func TestHuggingFaceVocabularies(t *testing.T) {
	for _, path := range dataFiles(t, "*-tokenizer.json") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			tok, err := hfTokens([]byte(readFile(t, path)))
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(path), "-tokenizer.json")
			testVocabulary(t, tok, filepath.Join(filepath.Dir(path), "ggml-vocab-"+name+".gguf"))
			text := mixedText(1 << 20)
			if tok.Decode(tok.Encode(text, false), false) != text {
				t.Error("a megabyte of mixed text came back changed")
			}
		})
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safetensors(f, []ggufwrite.Tensor{{Name: "a", Shape: []uint64{4, 2}, Data: make([]byte, 32)}}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := readSafetensors(data)
		if err != nil {
			return
		}
		for _, tensor := range tensors {
			n := 1
			for _, d := range tensor.shape {
				n *= d
			}
			widen(make([]float32, n), tensor.typ, tensor.data)
		}
	})
}

func FuzzTokenizerJSON(f *testing.F) {
	m := asHF(f, ggufwrite.Small)
	data, err := json.Marshal(m.tokenizer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"model": {"byte_fallback": true, "vocab": {"<0x41>": 0, "a": 1}, "merges": ["a a"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := hfTokens(data)
		if err != nil {
			return
		}
		for _, id := range tok.Encode("hello world <|eot_id|> \xff", true) {
			if id < 0 || id >= tok.Size() {
				t.Fatalf("id %d", id)
			}
		}
	})
}
