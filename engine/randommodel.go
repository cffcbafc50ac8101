package engine

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// randomShapes are the shapes of models that people run, for measuring.
var randomShapes = map[string]struct {
	ggufwrite.Shape
	vocab int
}{
	"110M": {ggufwrite.Shape{Context: 1024, Layers: 12, Dim: 768, Heads: 12, KVHeads: 12, FFN: 2048}, 32000},               // stories110M
	"1B":   {ggufwrite.Shape{Context: 2048, Layers: 22, Dim: 2048, Heads: 32, KVHeads: 4, FFN: 5632, Untied: true}, 32000}, // TinyLlama 1.1B
}

// RandomShapes and RandomTypes return what [WriteRandom] knows.
func RandomShapes() []string { return slices.Sorted(maps.Keys(randomShapes)) }

// RandomTypes: see RandomShapes.
func RandomTypes() []string {
	return []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q4_K_M", "Q5_K", "Q6_K"}
}

var typesByName = map[string]uint32{
	"F32": ggufwrite.F32, "F16": ggufwrite.F16, "BF16": ggufwrite.BF16, "Q8_0": ggufwrite.Q8_0, "Q4_0": ggufwrite.Q4_0,
	"Q4_1": ggufwrite.Q4_1, "Q5_0": ggufwrite.Q5_0, "Q5_1": ggufwrite.Q5_1,
	"Q4_K": ggufwrite.Q4_K, "Q4_K_M": ggufwrite.Q4_K, "Q5_K": ggufwrite.Q5_K, "Q6_K": ggufwrite.Q6_K,
}

// WriteRandom writes a GGUF file of random weights, to measure speed with.
// Q4_K_M has Q6_K where llama.cpp's mixture of that name has it.
func WriteRandom(path, shape, typ string) (err error) {
	s, ok := randomShapes[shape]
	if !ok {
		return fmt.Errorf("shape %q is none of %s", shape, strings.Join(RandomShapes(), ", "))
	}
	weights, ok := typesByName[typ]
	if !ok {
		return fmt.Errorf("type %q is none of %s", typ, strings.Join(RandomTypes(), ", "))
	}
	s.Type = weights
	large := func(name string) uint32 { // Q4_K_M gives half of these more bits
		var layer int
		n, _ := fmt.Sscanf(name, "blk.%d.", &layer)
		more := n == 1 && (layer < s.Layers/8 || layer >= 7*s.Layers/8 || (layer-s.Layers/8)%3 == 2)
		if typ == "Q4_K_M" && (name == "output.weight" || name == "token_embd.weight" && !s.Untied ||
			more && (strings.HasSuffix(name, "attn_v.weight") || strings.HasSuffix(name, "ffn_down.weight"))) {
			return ggufwrite.Q6_K
		}
		return weights
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			os.Remove(path)
		}
	}()
	out := bufio.NewWriterSize(f, 1<<20)
	if err := ggufwrite.RandomLarge(s.Shape, s.vocab, large).Write(out); err != nil {
		return err
	}
	return out.Flush()
}
