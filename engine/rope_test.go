package engine

import (
	"math"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// The numbers were computed in Python from the formulas of Hugging Face's
// modeling_rope_utils.
func TestRopeFrequencies(t *testing.T) {
	for _, test := range []struct {
		name   string
		config Config
		want   []float64
	}{
		{"Llama 3.1", Config{RopeDim: 16, RopeTheta: 500000, RopeScaling: RopeScaling{
			Type: "llama3", Factor: 8, OriginalContext: 8192, LowFreqFactor: 1, HighFreqFactor: 4}},
			[]float64{1.0, 0.19392274474868576, 0.03760603093086393, 0.007292664737217109,
				0.0005248461609929547, 3.428102195952591e-05, 6.647869871181235e-06, 1.2891731721515574e-06}},
		{"Qwen, yarn", Config{RopeDim: 16, RopeTheta: 1e6, RopeScaling: RopeScaling{
			Type: "yarn", Factor: 4, OriginalContext: 32768, BetaFast: 32, BetaSlow: 1}},
			[]float64{1.0, 0.1778279410038923, 0.03162277660168379, 0.004217559938927619,
				0.0005, 4.445698525097307e-05, 7.905694150420949e-06, 1.4058533129758728e-06}},
	} {
		got := ropeFrequencies(&test.config)
		for i, want := range test.want {
			if math.Abs(got[i]/want-1) > 1e-12 {
				t.Errorf("%s: pair %d turns by %g, want %g", test.name, i, got[i], want)
			}
		}
	}
	if got := (RopeScaling{Type: "yarn", Factor: 4}).magnitude(); math.Abs(got-1.138629436111989) > 1e-12 {
		t.Errorf("magnitude %g", got)
	}
}

func TestRopeScalingIsRead(t *testing.T) {
	for _, test := range []struct {
		keys map[string]any
		want RopeScaling
		err  string
	}{
		{nil, RopeScaling{}, ""},
		{map[string]any{"type": "none", "factor": float32(2)}, RopeScaling{}, ""},
		{map[string]any{"factor": float32(2)}, RopeScaling{Type: "linear", Factor: 2}, ""},
		{map[string]any{"type": "yarn", "factor": float32(4), "original_context_length": uint32(64)},
			RopeScaling{Type: "yarn", Factor: 4, OriginalContext: 64, BetaFast: 32, BetaSlow: 1}, ""},
		{map[string]any{"type": "llama3", "factor": float32(8)},
			RopeScaling{Type: "llama3", Factor: 8, OriginalContext: 128, LowFreqFactor: 1, HighFreqFactor: 4}, ""},
		{map[string]any{"type": "yarn", "factor": float32(4), "yarn_beta_fast": float32(0.5)}, RopeScaling{}, "beta_fast"},
		{map[string]any{"type": "yarn", "factor": float32(4), "yarn_log_multiplier": float32(0.1)}, RopeScaling{}, "yarn_log_multiplier"},
		{map[string]any{"type": 7, "factor": float32(4)}, RopeScaling{}, "scaling.type"},
	} {
		f := ggufwrite.Random(ggufwrite.Small)
		for key, value := range test.keys {
			if n, ok := value.(int); ok {
				value = uint32(n)
			}
			f.Set("llama.rope.scaling."+key, value)
		}
		m, err := Load(f.Bytes())
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v: error %v, want one that holds %q", test.keys, err, test.err)
			}
		case err != nil:
			t.Errorf("%v: %v", test.keys, err)
		case m.Config().RopeScaling != test.want:
			t.Errorf("%v: %+v, want %+v", test.keys, m.Config().RopeScaling, test.want)
		}
	}
}

// A window of attention bounds the context, since nothing beyond it is masked.
func TestSlidingWindowBoundsTheContext(t *testing.T) {
	f := ggufwrite.Random(ggufwrite.Small)
	f.Set("llama.attention.sliding_window", uint32(100))
	m, err := Load(f.Bytes())
	if err != nil || m.Config().ContextLength != 100 {
		t.Errorf("%v, context %d", err, m.Config().ContextLength)
	}
}
