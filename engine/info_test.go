package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

func TestInspect(t *testing.T) {
	f := ggufwrite.Random(ggufwrite.Shape{Seed: 1, Context: 128, Layers: 11, Dim: 32, Heads: 4, KVHeads: 2, FFN: 64, Type: ggufwrite.Q8_0})
	f.Set("tokenizer.chat_template", "chatml")
	info, err := InspectData(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if info.Problem != "" || info.Config.Layers != 11 || info.ChatFormat != "chatml" || info.KVBytes != 2*2*11*2*8 {
		t.Errorf("%+v", info)
	}
	if len(info.Types) != 2 || info.Types[0].Type != "Q8_0" || info.Types[0].Tensors != 1+7*11 || info.Types[1].Tensors != 2*11+1 {
		t.Errorf("%+v", info.Types)
	}
	var names []string
	for _, tensor := range info.Tensors {
		names = append(names, tensor.Name)
	}
	if i, j := slices.Index(names, "blk.2.attn_q.weight"), slices.Index(names, "blk.10.attn_q.weight"); i < 0 || i > j {
		t.Errorf("order %q", names)
	}
	if k := info.Tokenizer; k == nil || k.Model != "gpt2" || k.Pre != "llama-bpe" || k.Special != 6 || !k.AddBOS || !slices.Contains(k.EOS, "<|eot_id|>") {
		t.Errorf("%+v", info.Tokenizer)
	}
	if i := slices.IndexFunc(info.Metadata, func(m Meta) bool { return m.Key == "tokenizer.ggml.merges" }); info.Metadata[i].Value != "array of 6" {
		t.Errorf("%+v", info.Metadata[i])
	}

	f.Set("general.architecture", "mamba")
	if info, err := InspectData(f.Bytes()); err != nil || !strings.Contains(info.Problem, `"mamba"`) || info.Tokenizer == nil || len(info.Tensors) == 0 {
		t.Errorf("a model of another kind: %+v, %v", info, err)
	}
	paths := writeParts(t, ggufwrite.Random(ggufwrite.Small).Split(2))
	if info, err := Inspect(paths[0]); err != nil || len(info.Files) != 2 || info.Bytes == 0 {
		t.Errorf("a split model: %+v, %v", info, err)
	}
}
