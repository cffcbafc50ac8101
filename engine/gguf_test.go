package engine

import (
	"cmp"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// dataFiles returns the files of a pattern in the folder that holds what is too
// large for the repository, TOUCHSTONE_DATA or beside it, and skips the test
// where there are none.
func dataFiles(t testing.TB, pattern string) []string {
	t.Helper()
	dir := cmp.Or(os.Getenv("TOUCHSTONE_DATA"), filepath.Join("..", "..", "shared", "data"))
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skipf("no %s in %s; TOUCHSTONE_DATA names another folder", pattern, dir)
	}
	return paths
}

func TestOpenMapsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, ggufwrite.Random(ggufwrite.Small).Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Config()
	want := Config{
		Name: "random", Architecture: "llama", ContextLength: 128, VocabSize: 268, Layers: 2, Dim: 32,
		Heads: 4, KVHeads: 2, HeadDim: 8, FFN: 64, RopeDim: 8, RopeTheta: 10000,
		NormEpsilon: float64(float32(1e-5)), Parameters: 27168, TiedOutput: true,
	}
	if c != want {
		t.Errorf("config\n%+v, want\n%+v", c, want)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.gguf")); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestVersion2IsRead(t *testing.T) {
	f := ggufwrite.Random(ggufwrite.Small)
	f.Version = 2
	if _, err := Load(f.Bytes()); err != nil {
		t.Error(err)
	}
}

// Each broken file gets an error that says what is wrong with which part.
func TestBrokenFilesAreRefused(t *testing.T) {
	type file = ggufwrite.File
	tests := []struct {
		name  string
		spoil func(f *file)
		want  string
	}{
		{"version", func(f *file) { f.Version = 4 }, "version 4"},
		{"architecture", func(f *file) { f.Set("general.architecture", "mamba") }, `"mamba"`},
		{"missing key", func(f *file) { f.Delete("llama.block_count") }, "llama.block_count"},
		{"key of another type", func(f *file) { f.Set("llama.block_count", "two") }, "llama.block_count"},
		{"count out of range", func(f *file) { f.Set("llama.embedding_length", uint32(1<<31)) }, "llama.embedding_length"},
		{"no heads", func(f *file) { f.Set("llama.attention.head_count", uint32(0)) }, "head_count"},
		{"heads that do not divide", func(f *file) { f.Set("llama.attention.head_count_kv", uint32(3)) }, "3 key heads"},
		{"odd rotation", func(f *file) { f.Set("llama.rope.dimension_count", uint32(7)) }, "7 rotated"},
		{"rope base", func(f *file) { f.Set("llama.rope.freq_base", float32(math.NaN())) }, "freq_base"},
		{"rope scaling", func(f *file) { f.Set("llama.rope.scaling.type", "longrope") }, "longrope"},
		{"rope scaling without a factor", func(f *file) { f.Set("llama.rope.scaling.type", "yarn") }, "factor"},
		{"rope scaling by less than nothing", func(f *file) { f.Set("llama.rope.scale_linear", float32(-4)) }, "factor -4"},
		{"alignment", func(f *file) { f.Set("general.alignment", uint32(24)) }, "general.alignment"},
		{"key twice", func(f *file) { f.Keys = append(f.Keys, f.Keys[0]) }, "general.architecture"},
		{"missing tensor", func(f *file) { f.Tensors = f.Tensors[1:] }, "token_embd.weight"},
		{"tensor twice", func(f *file) { f.Tensors = append(f.Tensors, f.Tensors[0]) }, "token_embd.weight"},
		{"unknown tensor", func(f *file) {
			x := *f.Tensor("output_norm.weight")
			x.Name = "blk.0.ffn_up.bias"
			f.Tensors = append(f.Tensors, x)
		}, "blk.0.ffn_up.bias"},
		{"bias of another length", func(f *file) {
			x := *f.Tensor("output_norm.weight")
			x.Name = "blk.0.attn_k.bias"
			f.Tensors = append(f.Tensors, x)
		}, "blk.0.attn_k.bias"},
		{"a head norm that is missing", func(f *file) {
			*f = *ggufwrite.Random(ggufwrite.Shape{Architecture: "qwen3", Context: 8, Layers: 1, Dim: 8, Heads: 1, KVHeads: 1, FFN: 8})
		}, "blk.0.attn_q_norm.weight"},
		{"wrong shape", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Shape = []uint64{64, 32} }, "blk.1.ffn_up.weight"},
		{"unsupported type", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Type = 17 }, `"blk.1.ffn_up.weight": IQ2_XS`},
		{"unknown type", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Type = 1000 }, "type 1000"},
		{"no dimensions", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Shape = nil }, "blk.1.ffn_up.weight"},
		{"five dimensions", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Shape = []uint64{32, 64, 1, 1, 1} }, "5 dimensions"},
		{"dimension of 0", func(f *file) { f.Tensor("blk.1.ffn_up.weight").Shape = []uint64{32, 0} }, "blk.1.ffn_up.weight"},
		{"absurd shape", func(f *file) {
			f.Tensor("blk.1.ffn_up.weight").Shape = []uint64{1 << 30, 1 << 30, 1 << 30, 1 << 30}
		}, "blk.1.ffn_up.weight"},
		{"shape that reaches into the next tensor", func(f *file) {
			f.Tensor("blk.1.ffn_up.weight").Shape = []uint64{32, 65}
		}, "overlap"},
		{"shape beyond the file", func(f *file) { f.Tensor("output_norm.weight").Shape = []uint64{1 << 20} }, "output_norm.weight"},
		{"half a block", func(f *file) {
			x := f.Tensor("output_norm.weight")
			x.Type, x.Shape = ggufwrite.Q8_0, []uint64{33}
		}, "output_norm.weight"},
		{"no tokens", func(f *file) { f.Delete("tokenizer.ggml.tokens") }, "tokenizer.ggml.tokens"},
		{"tokenizer model", func(f *file) { f.Set("tokenizer.ggml.model", "bert") }, `"bert"`},
		{"pre-tokenizer", func(f *file) { f.Set("tokenizer.ggml.pre", "viking") }, `"viking"`},
		{"token types", func(f *file) { f.Set("tokenizer.ggml.token_type", []int32{1}) }, "token types"},
		{"merge of nothing", func(f *file) { f.Set("tokenizer.ggml.merges", []string{"q x"}) }, `"q x"`},
		{"no scores", func(f *file) { f.Set("tokenizer.ggml.model", "llama") }, "scores"},
		{"eos out of range", func(f *file) { f.Set("tokenizer.ggml.eos_token_id", uint32(1<<20)) }, "eos_token_id"},
		{"missing byte", func(f *file) {
			tokens := append([]string(nil), get0(f, "tokenizer.ggml.tokens").([]string)...)
			tokens['a'] = "AA"
			f.Set("tokenizer.ggml.tokens", tokens)
		}, "byte 0x61"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := ggufwrite.Random(ggufwrite.Small)
			test.spoil(f)
			_, err := Load(f.Bytes())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that holds %q", err, test.want)
			}
		})
	}
}

func get0(f *ggufwrite.File, name string) any {
	for _, k := range f.Keys {
		if k.Name == name {
			return k.Value
		}
	}
	return nil
}

// A file that ends too early is refused wherever it ends.
func TestTruncatedFilesAreRefused(t *testing.T) {
	file := ggufwrite.Random(ggufwrite.Small)
	data := file.Bytes()
	weights := 0
	for _, tensor := range file.Tensors {
		weights += len(tensor.Data)
	}
	for n := 0; n < len(data); n += 1 + n/16 {
		_, err := Load(data[:n:n])
		if err == nil {
			t.Fatalf("%d of %d bytes were read as a model", n, len(data))
		}
		if n >= len(data)-weights && !strings.Contains(err.Error(), `tensor "`) {
			t.Errorf("%d of %d bytes: the error names no tensor: %v", n, len(data), err)
		}
	}
}

// Counts that promise more than the file has allocate nothing.
func TestAbsurdCountsAreRefused(t *testing.T) {
	head := func(tensors, keys uint64) []byte {
		b := append([]byte("GGUF"), 3, 0, 0, 0)
		b = binary.LittleEndian.AppendUint64(b, tensors)
		return binary.LittleEndian.AppendUint64(b, keys)
	}
	key := append(binary.LittleEndian.AppendUint64(nil, 1), 'k')
	array := func(typ uint32, n uint64) []byte {
		b := append(head(0, 1), key...)
		b = binary.LittleEndian.AppendUint32(b, 9)
		b = binary.LittleEndian.AppendUint32(b, typ)
		return binary.LittleEndian.AppendUint64(b, n)
	}
	nested := append(head(0, 1), key...)
	nested = binary.LittleEndian.AppendUint32(nested, 9)
	for range 1000 {
		nested = binary.LittleEndian.AppendUint32(nested, 9)
		nested = binary.LittleEndian.AppendUint64(nested, 1)
	}
	for name, data := range map[string][]byte{
		"tensors":      head(math.MaxUint64, 0),
		"keys":         head(0, math.MaxUint64),
		"key length":   append(head(0, 1), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"strings":      array(8, 1<<40),
		"floats":       array(6, 1<<62),
		"unknown type": array(77, 1),
		"nested":       nested,
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := readGGUF(data, true); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
		if allocated > 200 {
			t.Errorf("%s: %g allocations", name, allocated)
		}
	}
}

func FuzzLoad(f *testing.F) {
	tiny := ggufwrite.Small
	tiny.Dim, tiny.FFN, tiny.Layers = 8, 8, 1
	f.Add(ggufwrite.Random(tiny).Bytes())
	tokenizer := &ggufwrite.File{Version: 3}
	ggufwrite.AddTokenizer(tokenizer)
	f.Add(tokenizer.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Load(data)
		if err != nil {
			return
		}
		defer m.Close()
		// What is accepted must be usable.
		c := m.Config()
		m.forward([]row{{cache: newKVCache(&c), token: 0, logits: make([]float32, c.VocabSize)}}, 1)
		m.Tokenizer().Prompt("hello world")
	})
}
