package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// eightBits rounds x to multiples, up to 127, of a scale for each n numbers.
func eightBits(x []float64, n int) []float64 {
	y := make([]float64, len(x))
	for at := 0; at < len(x); at += n {
		top := 0.0
		for _, v := range x[at : at+n] {
			top = max(top, math.Abs(v))
		}
		for i, v := range x[at : at+n] {
			if top > 0 {
				y[at+i] = math.Round(v*127/top) * (top / 127)
			}
		}
	}
	return y
}

// naive computes the logits after the last of ids by the formulas of the paper,
// in float64 and without a cache but with keys and values in half precision, from the tensors of the file.
func naive(f *modelFile, c Config, ids []int) []float64 {
	tensor := func(name string) (w []float32, cols int) {
		t := f.tensors[name]
		n := 1
		for _, d := range t.shape {
			n *= d
		}
		w = make([]float32, n)
		widen(w, t.typ, t.data)
		return w, t.shape[0]
	}
	times := func(name string, x []float64) []float64 {
		w, cols := tensor(name)
		switch f.tensors[name].typ { // activations get 8 bits where weights are quantised
		case typeF32, typeF16, typeBF16, typeQ2_K, typeQ3_K:
		case typeQ4_K, typeQ5_K, typeQ6_K:
			x = eightBits(x, 256)
		default:
			x = eightBits(x, 32)
		}
		y := make([]float64, len(w)/cols)
		for r := range y {
			for i := range x {
				y[r] += float64(w[r*cols+i]) * x[i]
			}
		}
		return y
	}
	norm := func(name string, x []float64) []float64 {
		w, _ := tensor(name)
		var sum float64
		for _, v := range x {
			sum += v * v
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v / math.Sqrt(sum/float64(len(x))+c.NormEpsilon) * float64(w[i])
		}
		return y
	}
	plus := func(name string, x []float64) {
		if _, ok := f.tensors[name]; ok {
			b, _ := tensor(name)
			for i := range x {
				x[i] += float64(b[i])
			}
		}
	}
	normHeads := func(name string, x []float64) {
		if _, ok := f.tensors[name]; ok {
			for h := 0; h < len(x); h += c.HeadDim {
				copy(x[h:], norm(name, x[h:h+c.HeadDim]))
			}
		}
	}
	arch := f.meta["general.architecture"].(string)
	rotate := func(x []float64, l, pos int) {
		if arch == "smollm3" && l%4 == 3 {
			return
		}
		for h := 0; h < len(x); h += c.HeadDim {
			for i := 0; i < c.RopeDim; i += 2 {
				angle := float64(pos) / math.Pow(c.RopeTheta, float64(i)/float64(c.RopeDim))
				if linear, ok := f.meta[arch+".rope.scaling.factor"].(float32); ok {
					angle /= float64(linear)
				}
				if fr, ok := f.tensors["rope_freqs.weight"]; ok {
					factors := make([]float32, c.RopeDim/2)
					widen(factors, fr.typ, fr.data)
					angle /= float64(factors[i/2])
				}
				a, b := h+i, h+i+1
				if arch == "qwen2" || arch == "qwen3" {
					a, b = h+i/2, h+i/2+c.RopeDim/2
				}
				z := complex(x[a], x[b]) * complex(math.Cos(angle), math.Sin(angle))
				x[a], x[b] = real(z), imag(z)
			}
		}
	}
	xs := make([][]float64, len(ids))
	emb, dim := tensor("token_embd.weight")
	for t, id := range ids {
		xs[t] = make([]float64, dim)
		for i := range dim {
			xs[t][i] = float64(emb[id*dim+i])
		}
	}
	halve := func(x []float64) { // as the cache does
		for i, v := range x {
			x[i] = float64(float16(narrow(float32(v))))
		}
	}
	for l := range c.Layers {
		blk := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", l, s) }
		var ks, vs [][]float64
		for t, x := range xs {
			h := norm(blk("attn_norm"), x)
			q, k, v := times(blk("attn_q"), h), times(blk("attn_k"), h), times(blk("attn_v"), h)
			bias := func(s string, x []float64) { plus(fmt.Sprintf("blk.%d.%s.bias", l, s), x) }
			bias("attn_q", q)
			bias("attn_k", k)
			bias("attn_v", v)
			normHeads(blk("attn_q_norm"), q)
			normHeads(blk("attn_k_norm"), k)
			rotate(q, l, t)
			rotate(k, l, t)
			halve(k)
			halve(v)
			ks, vs = append(ks, k), append(vs, v)
			att := make([]float64, len(q))
			for head := range c.Heads {
				at := head / (c.Heads / c.KVHeads) * c.HeadDim
				weights := make([]float64, t+1)
				var sum float64
				for p := range weights {
					for i := range c.HeadDim {
						weights[p] += q[head*c.HeadDim+i] * ks[p][at+i]
					}
					weights[p] = math.Exp(weights[p] / math.Sqrt(float64(c.HeadDim)))
					sum += weights[p]
				}
				for p, w := range weights {
					for i := range c.HeadDim {
						att[head*c.HeadDim+i] += w / sum * vs[p][at+i]
					}
				}
			}
			o := times(blk("attn_output"), att)
			bias("attn_output", o)
			for i, v := range o {
				x[i] += v
			}
			h = norm(blk("ffn_norm"), x)
			gate, up := times(blk("ffn_gate"), h), times(blk("ffn_up"), h)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			for i, v := range times(blk("ffn_down"), gate) {
				x[i] += v
			}
		}
	}
	output := "output.weight"
	if c.TiedOutput {
		output = "token_embd.weight"
	}
	return times(output, norm("output_norm.weight", xs[len(xs)-1]))
}

func TestForwardAgainstFormulas(t *testing.T) {
	shape := func(change func(s *ggufwrite.Shape)) *ggufwrite.File {
		s := ggufwrite.Small
		change(&s)
		return ggufwrite.Random(s)
	}
	factors := ggufwrite.Random(ggufwrite.Small)
	factors.Tensors = append(factors.Tensors, ggufwrite.Tensor{
		Name: "rope_freqs.weight", Shape: []uint64{4}, Data: ggufwrite.Encode(ggufwrite.F32, []float32{1, 2, 8, 8}),
	})
	half := ggufwrite.Random(ggufwrite.Small)
	half.Set("llama.rope.dimension_count", uint32(4))
	half.Set("llama.rope.freq_base", float32(500))
	linear := ggufwrite.Random(ggufwrite.Small)
	linear.Set("llama.rope.scaling.type", "linear")
	linear.Set("llama.rope.scaling.factor", float32(4))
	of := func(arch string, change func(s *ggufwrite.Shape)) *ggufwrite.File {
		return shape(func(s *ggufwrite.Shape) { s.Architecture = arch; change(s) })
	}
	files := map[string]*ggufwrite.File{
		"linear scaling":    linear,
		"biases":            of("llama", func(s *ggufwrite.Shape) { s.AttnBias = true }),
		"qwen2":             of("qwen2", func(s *ggufwrite.Shape) { s.AttnBias, s.Untied = true, true }),
		"qwen3":             of("qwen3", func(s *ggufwrite.Shape) { s.HeadNorm, s.HeadDim = true, 12 }),
		"smollm3":           of("smollm3", func(s *ggufwrite.Shape) { s.Layers = 5 }),
		"untied":            shape(func(s *ggufwrite.Shape) { s.Untied = true }),
		"one head":          shape(func(s *ggufwrite.Shape) { s.Heads, s.KVHeads = 1, 1 }),
		"no grouped heads":  shape(func(s *ggufwrite.Shape) { s.KVHeads = s.Heads }),
		"odd sizes":         shape(func(s *ggufwrite.Shape) { s.Dim, s.FFN, s.Heads, s.KVHeads = 30, 37, 5, 5 }),
		"frequency factors": factors,
		"half rotated":      half,
	}
	for typ := range tensorTypeNames {
		if _, _, ok := typ.block(); ok {
			files[typ.String()] = shape(func(s *ggufwrite.Shape) {
				s.Type = uint32(typ)
				s.Dim = max(s.Dim, ggufwrite.BlockLen(s.Type))
				s.FFN = max(s.FFN, ggufwrite.BlockLen(s.Type))
			})
		}
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			data := file.Bytes()
			m, err := Load(data)
			if err != nil {
				t.Fatal(err)
			}
			f, err := readGGUF(data, true)
			if err != nil {
				t.Fatal(err)
			}
			ids := m.Tokenizer().Prompt("hello world, how are you today and tomorrow?")
			got := logitsAfter(m, ids, len(ids), 1)
			// What lies on the border of two roundings may go either way: keys,
			// values, and the activations of quantised weights.
			bound := 5e-4
			if form := m.weights.layers[0].down.format; form >= q8 && form != asFile {
				bound = .15
			}
			for i, want := range naive(f, m.Config(), ids) {
				if math.Abs(float64(got[i])-want) > bound {
					t.Fatalf("logit %d is %g, want %g", i, got[i], want)
				}
			}
		})
	}
}

// logitsAfter computes ids in chunks and returns the logits after the last.
func logitsAfter(m *Model, ids []int, chunk, threads int) []float32 {
	c := m.Config()
	cache := newKVCache(&c)
	logits := make([]float32, c.VocabSize)
	for part := range slices.Chunk(ids, chunk) {
		rows := make([]row, len(part))
		for i, id := range part {
			rows[i] = row{cache: cache, token: id, logits: logits}
		}
		m.forward(rows, threads)
	}
	return logits
}

// The same bits in every batch, on every number of threads, in every type of
// weights, and after a fork.
func TestBatchInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, typ := range []uint32{ggufwrite.F32, ggufwrite.F16, ggufwrite.Q8_0} {
		s := ggufwrite.Small
		s.Type = typ
		s.Dim, s.FFN = 96, 160
		m := randomModel(t, s)
		ids := make([]int, 70)
		for i := range ids {
			ids[i] = rng.IntN(m.Config().VocabSize)
		}
		want := logitsAfter(m, ids, 1, 1)
		for _, chunk := range []int{2, 3, 7, 32, 33, 64} {
			for _, threads := range []int{1, 2, 5} {
				if got := logitsAfter(m, ids, chunk, threads); !slices.Equal(got, want) {
					t.Fatalf("type %d: chunks of %d on %d threads give other bits", typ, chunk, threads)
				}
			}
		}
		// Sequences of any lengths, in one batch with others.
		c := m.Config()
		var caches []*kvCache
		var next []int
		const sequences = 9
		for range sequences {
			caches, next = append(caches, newKVCache(&c)), append(next, 0)
		}
		logits := make([]float32, c.VocabSize)
		for slices.Min(next) < len(ids) {
			var rows []row
			for i := range sequences {
				for k := rng.IntN(8); k > 0 && next[i] < len(ids) && len(rows) < batchLen; k-- {
					r := row{cache: caches[i], token: ids[next[i]]}
					if next[i]++; next[i] == len(ids) {
						r.logits = make([]float32, c.VocabSize)
					}
					rows = append(rows, r)
				}
			}
			if len(rows) == 0 {
				continue
			}
			m.forward(rows, 2)
			for _, r := range rows {
				if r.logits != nil && !slices.Equal(r.logits, want) {
					t.Fatalf("type %d: a batch of sequences gives other bits", typ)
				}
			}
			// A fork goes on as its parent would, and does not disturb it.
			i := rng.IntN(sequences)
			fork := caches[i].fork()
			if next[i] < len(ids) {
				m.forward([]row{{cache: caches[i], token: 1, logits: logits}}, 1)
			}
			caches[i] = fork
		}
	}
}

// TestThreads makes matrices large enough to be shared by goroutines.
func TestThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	s := ggufwrite.Small
	s.Layers, s.Dim, s.FFN = 1, 256, 512
	m := randomModel(t, s)
	ids := m.Tokenizer().Encode("hello world and more", false)
	want := logitsAfter(m, ids, 1, 1)
	for _, threads := range []int{2, 3, 4} {
		if got := logitsAfter(m, ids, 9, threads); !slices.Equal(got, want) {
			t.Errorf("%d threads give other bits", threads)
		}
	}
}
