package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Comparisons with llama.cpp, for those who have built it: TOUCHSTONE_LLAMA_CPP
// names the folder of its programs. Without it these tests are skipped.

// peer returns the path of a program of llama.cpp.
func peer(t *testing.T, program string) string {
	t.Helper()
	dir := os.Getenv("TOUCHSTONE_LLAMA_CPP")
	if dir == "" {
		t.Skip("TOUCHSTONE_LLAMA_CPP names no folder with llama.cpp's programs")
	}
	path := filepath.Join(dir, program)
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	return path
}

// A megabyte of text in many scripts is the same tokens.
func TestPeerTokens(t *testing.T) {
	program := peer(t, "llama-tokenize")
	text := mixedText(1 << 20)
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range vocabularies(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			tok, err := OpenTokenizer(path)
			if err != nil {
				t.Fatal(err)
			}
			text, file := text, file
			switch {
			case strings.Contains(path, "phi-3"):
				t.Skip("llama.cpp drops spaces after Phi-3's special tokens, by the name of the model")
			case strings.Contains(path, "gpt-neox"):
				t.Skip("the file names no pattern; llama.cpp warns and takes another than the model's")
			case strings.Contains(path, "deepseek-llm"):
				// Its pattern goes through C++'s regex, which knows fewer spaces.
				text, file = strings.ReplaceAll(text, "\u00a0", "."), file+"-without-nbsp"
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(program, "--model", path, "--file", file, "--ids", "--no-bos", "--no-parse-special", "--log-disable").Output()
			if err != nil {
				t.Fatal(err)
			}
			var want []int
			if err := json.Unmarshal(out, &want); err != nil {
				t.Fatal(err)
			}
			got := tok.Encode(text, false)
			if slices.Equal(got, want) {
				t.Logf("%d tokens", len(got))
				return
			}
			i := 0
			for i < len(got) && i < len(want) && got[i] == want[i] {
				i++
			}
			t.Errorf("%d tokens, want %d; after %q comes %q, want %q", len(got), len(want), tok.Decode(got[max(0, i-5):i], false),
				tok.Decode(got[i:min(len(got), i+5)], false), tok.Decode(want[i:min(len(want), i+5)], false))
		})
	}
}

// Greedy answers of 64 tokens to prompts of the kind that the model was made
// for, and their log probabilities.
//
// Both engines round on the way, each in its own places: this one keeps keys and
// values in half precision, the peer turns queries and activations to the type of
// what they meet. So where two tokens are nearly as probable an answer may
// depart; elsewhere it must not.
func TestPeerGreedy(t *testing.T) {
	program := peer(t, "llama-server")
	stories := dataFiles(t, "stories260K.gguf")[0]
	ours := filepath.Join("..", "fixtures", "model")
	for _, test := range []struct {
		path    string
		prompts func(*testing.T, *Model) [][]int
		mean    float64 // bound of the mean difference of log probabilities
		tie     float64 // bound of the gap between two tokens where answers depart
	}{
		{stories, storyPrompts, 1e-3, 0.02},
		{filepath.Join(ours, "touchstone.gguf"), heldOutPrompts, 1e-2, 0.2},
	} {
		t.Run(filepath.Base(test.path), func(t *testing.T) {
			// As the peer's authors set it, its dot products run in another order.
			plain := startPeer(t, program, test.path, "--no-repack", "--flash-attn", "off")
			preset := startPeer(t, program, test.path)
			m, err := Open(test.path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			e := New(m, Options{})
			defer e.Close()
			prompts := test.prompts(t, m)
			var ofEngine, ofPeer agreement
			for _, ids := range prompts {
				want := askPeer(t, plain, ids)
				ofPeer.add(want, askPeer(t, preset, ids), false)
				r := Request{Prompt: ids, MaxTokens: 64, N: 1, TopP: 1}
				choices, err := Collect(e.Generate(t.Context(), r), 1)
				if err != nil {
					t.Fatal(err)
				}
				var got []peerToken
				for _, token := range choices[0].Tokens {
					// The peer shows of the tokens of one character the last alone.
					if len(token.Text) >= len(token.Bytes) {
						got = append(got, peerToken{ID: token.ID, Logprob: token.Logprob})
					}
				}
				if parted, gap := ofEngine.add(want, got, choices[0].Finish == FinishStop); parted >= 0 {
					t.Logf("%q: token %d is %q, not %q, which the peer finds more probable by %.2g", m.Tokenizer().Decode(ids, true), parted,
						m.Tokenizer().Bytes(got[parted].ID), m.Tokenizer().Bytes(want[parted].ID), gap)
					if gap > test.tie {
						t.Errorf("no tie, which is at most %g", test.tie)
					}
				}
			}
			t.Logf("of %d answers %s", len(prompts), ofEngine)
			t.Logf("the peer against itself, with its weights repacked and its flash attention: %s", ofPeer)
			if ofEngine.sum > test.mean*float64(ofEngine.tokens) {
				t.Errorf("want differences of at most %g on average", test.mean)
			}
		})
	}
}

// An agreement says how far greedy answers are those wanted.
type agreement struct {
	equal, tokens int     // answers that are equal, tokens until others parted
	most, sum     float64 // how far log probabilities of the tokens differ
	ties          []float64
}

func (a agreement) String() string {
	return fmt.Sprintf("%d equal, others part where log probabilities are apart by %.2g; those of %d tokens differ by %.2g at most, %.2g on average",
		a.equal, a.ties, a.tokens, a.most, a.sum/float64(a.tokens))
}

// add returns at which token an answer parts from the one wanted, -1 where it
// does not, and by how much the wanted token was more probable there. stopped
// is whether the answer has a token that ends it, which the peer does not show.
func (a *agreement) add(want, got []peerToken, stopped bool) (parted int, gap float64) {
	for i, token := range got {
		if i == len(want) {
			if stopped && i == len(got)-1 {
				break
			}
			return i, math.Inf(1)
		}
		if token.ID != want[i].ID {
			gap := math.Inf(1)
			for _, other := range want[i].Top {
				if other.ID == token.ID {
					gap = want[i].Logprob - other.Logprob
				}
			}
			a.ties = append(a.ties, gap)
			return i, gap
		}
		d := math.Abs(token.Logprob - want[i].Logprob)
		a.most, a.sum, a.tokens = max(a.most, d), a.sum+d, a.tokens+1
	}
	a.equal++
	return -1, 0
}

// peerPrompts are a hundred beginnings.
func storyPrompts(_ *testing.T, m *Model) (prompts [][]int) {
	for _, text := range storyStarts() {
		prompts = append(prompts, m.Tokenizer().Prompt(text))
	}
	return prompts
}

// storyStarts are a hundred beginnings of texts.
func storyStarts() (starts []string) {
	for _, start := range []string{
		"Once upon a time", "One day", "There was", "In the morning", "Tom and", "The little", "She said", "It was a sunny day and", "What is", "The end of",
	} {
		for _, next := range []string{
			"", " a girl", " a dog named", " the big red", " in the park", " with a smile", ", but then", " and the cat", " who liked to", " two birds",
		} {
			starts = append(starts, start+next)
		}
	}
	return starts
}

// heldOutPrompts are 200 of the prompts that score the embedded model, of every
// skill.
func heldOutPrompts(t *testing.T, m *Model) (prompts [][]int) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "fixtures", "model", "eval", "prompts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(file)), "\n")
	for i := range 200 {
		var p struct {
			Prompt   string
			Messages []Message
		}
		if err := json.Unmarshal([]byte(lines[i*len(lines)/200]), &p); err != nil {
			t.Fatal(err)
		}
		ids := m.Tokenizer().Prompt(p.Prompt)
		if len(p.Messages) > 0 {
			if ids, err = m.ChatPrompt(p.Messages); err != nil {
				t.Fatal(err)
			}
		}
		prompts = append(prompts, ids)
	}
	return prompts
}

// startPeer starts llama-server on a model and returns its URL.
func startPeer(t *testing.T, program, model string, arguments ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	server := exec.Command(program, append([]string{"--model", model, "--host", "127.0.0.1", "--port", port,
		"--threads", "1", "--parallel", "1", "--ctx-size", "512"}, arguments...)...)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	url := "http://127.0.0.1:" + port
	for range 600 {
		if r, err := http.Get(url + "/health"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return url
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("llama-server does not come up")
	return ""
}

type peerToken struct {
	ID      int         `json:"id"`
	Logprob float64     `json:"logprob"`
	Top     []peerToken `json:"top_logprobs"`
}

// askPeer returns 64 tokens of a greedy answer.
func askPeer(t *testing.T, url string, prompt []int) []peerToken {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"prompt": prompt, "n_predict": 64, "temperature": 0, "n_probs": 5, "cache_prompt": false,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(url+"/completion", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(r.Body)
		t.Fatalf("%s: %s", r.Status, message)
	}
	var answer struct {
		Tokens []peerToken `json:"completion_probabilities"`
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Tokens
}

// The perplexity of 50 kB of text is the same in every quantisation, within
// 0.1 %; within 0.2 % for the two coarsest, in which more depends on where an
// engine rounds activations (measured: 0.12 and 0.15 %).
func TestPeerPerplexity(t *testing.T) {
	quantize, perplexity := peer(t, "llama-quantize"), peer(t, "llama-perplexity")
	const window = 512
	dir := t.TempDir()
	original := filepath.Join("..", "fixtures", "model", "touchstone.gguf")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(sampledText(t, original, 50_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	estimate := regexp.MustCompile(`PPL = ([0-9.]+)`)
	for _, typ := range []string{
		"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K_M", "Q5_K_M", "Q6_K", "Q3_K_M", "Q2_K",
	} {
		t.Run(typ, func(t *testing.T) {
			path := filepath.Join(dir, typ+".gguf")
			if out, err := exec.Command(quantize, "--allow-requantize", original, path, typ).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var match [][]byte
			for range 5 { // it ends before its log is written, at times
				out, err := exec.Command(perplexity, "--no-repack", "--model", path, "--file", text,
					"--ctx-size", strconv.Itoa(window), "--threads", "1").CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if match = estimate.FindSubmatch(out); match != nil {
					break
				}
			}
			if match == nil {
				t.Fatal("llama-perplexity prints no estimate")
			}
			want, err := strconv.ParseFloat(string(match[1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			ids := m.Tokenizer().Prompt(readFile(t, text))
			got, err := m.Perplexity(t.Context(), ids, window, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.4f, llama.cpp %.4f: %+.3f %%", got.Value, want, 100*(got.Value/want-1))
			bound := 1e-3
			if typ == "Q3_K_M" || typ == "Q2_K" {
				bound = 2e-3
			}
			if math.Abs(got.Value/want-1) > bound {
				t.Errorf("more than %g %% apart", 100*bound)
			}
		})
	}
}

// sampledText returns n bytes that a model writes.
func sampledText(t *testing.T, model string, n int) string {
	t.Helper()
	m, err := Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e := New(m, Options{})
	defer e.Close()
	var b strings.Builder
	for seed := int64(0); b.Len() < n; seed++ {
		starts := storyStarts()
		prompt := starts[int(seed)%len(starts)]
		r := Request{Prompt: m.Tokenizer().Prompt(prompt), MaxTokens: 256, N: 1, Temperature: 0.8, TopP: 1, Seed: &seed}
		choices, err := Collect(e.Generate(t.Context(), r), 1)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(prompt + choices[0].Text + "\n\n")
	}
	return b.String()
}
