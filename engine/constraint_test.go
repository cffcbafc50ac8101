package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// walk draws tokens of which each is allowed until the text may end, and ends it
// then with the given chance. It prefers tokens that close something.
func walk(t *testing.T, m *machine, rng *rand.Rand, most int) (text string, whole bool) {
	t.Helper()
	s := m.first
	for range most {
		bits, only := m.allowed(s)
		if only && !s.whole {
			t.Fatalf("after %q nothing is possible", text)
		}
		if s.whole && (only || rng.IntN(3) == 0) {
			return text, true
		}
		var ids, closing []int
		for _, id := range m.vocab.ids {
			if bits[id/64]>>(id%64)&1 == 1 {
				ids = append(ids, id)
				if strings.ContainsAny(string(m.vocab.bytes(id)), `"}],:`) {
					closing = append(closing, id)
				}
			}
		}
		if len(closing) > 0 && rng.IntN(3) > 0 {
			ids = closing
		}
		id := ids[rng.IntN(len(ids))]
		text += string(m.vocab.bytes(id))
		s = m.accept(s, id)
	}
	return text, false
}

func validator(t *testing.T, schema string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return s
}

func isValid(s *jsonschema.Schema, text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

var schemas = []string{
	`true`, `{}`,
	`{"type":"object"}`, `{"type":"array"}`, `{"type":"string"}`, `{"type":"number"}`, `{"type":"integer"}`, `{"type":"boolean"}`, `{"type":"null"}`,
	`{"type":["string","null"]}`,
	`{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],"additionalProperties":false}`,
	`{"properties":{"a":{"type":"null"},"b":{"type":"boolean"},"c":{"type":"integer"}},"required":["b"]}`,
	`{"properties":{"a":{"type":"null"},"b":{"type":"boolean"}},"additionalProperties":false}`,
	`{"properties":{"abc":{"type":"null"},"ab":{"type":"boolean"},"\"":{"type":"null"}},"additionalProperties":{"type":"string"},"required":["abc"]}`,
	`{"additionalProperties":{"type":"integer"}}`,
	`{"type":"object","required":["x","y"],"additionalProperties":{"type":"boolean"}}`,
	`{"type":"object","required":["x"]}`,
	`{"enum":["red","gr\"een",3,null,{"a":[1, 2]},true]}`, `{"const":{"x": "y"}}`,
	`{"type":"string","enum":["a","b",1]}`, `{"type":"integer","enum":[1,2.0,2.5,"a"]}`,
	`{"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":4}`,
	`{"type":"array","items":{"type":"null"},"maxItems":1}`, `{"type":"array","maxItems":0}`, `{"type":"array","items":{"type":"null"},"minItems":3}`,
	`{"type":"array","prefixItems":[{"type":"boolean"},{"type":"null"}],"items":{"type":"integer"},"minItems":1}`,
	`{"type":"array","prefixItems":[{"type":"boolean"},{"type":"null"}],"items":false,"minItems":2}`,
	`{"type":"array","prefixItems":[{"type":"boolean"},{"type":"null"}],"maxItems":1}`,
	`{"type":"array","prefixItems":[{"type":"boolean"}],"items":{"type":"null"},"minItems":3,"maxItems":4}`,
	`{"anyOf":[{"type":"string"},{"type":"integer"}]}`, `{"oneOf":[{"type":"string"},{"type":"integer"}]}`,
	`{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]}`,
	`{"allOf":[{"properties":{"a":{"type":"null"}},"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}],"type":"object"}`,
	`{"type":"object","properties":{"t":{"type":"boolean"}},"anyOf":[{"required":["t"]},{"properties":{"u":{"type":"null"}},"required":["u"]}]}`,
	`{"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/node"}`,
	`{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"},"maxItems":2}},"additionalProperties":false}`,
	`{"definitions":{"a/b":{"type":"null"}},"properties":{"x":{"$ref":"#/definitions/a~1b"}},"required":["x"],"additionalProperties":false}`,
	`{"type":"string","minLength":2,"maxLength":5}`, `{"type":"string","maxLength":0}`,
	`{"type":"string","pattern":"^[a-c]+\\d{2,3}$"}`, `{"type":"string","pattern":"^x\"y"}`, `{"type":"string","pattern":"^(?:foo|bar\\\\)é[^a-z]$"}`, `{"type":"string","pattern":"^a|b$"}`,
	`{"type":"string","format":"date"}`, `{"type":"string","format":"date-time"}`, `{"type":"string","format":"uuid"}`, `{"type":"string","format":"email"}`, `{"type":"string","format":"ipv4"}`, `{"type":"string","format":"uri"}`, `{"type":"string","format":"time"}`, `{"type":"string","format":"hostname"}`,
	`{"type":"integer","minimum":0,"maximum":120}`, `{"type":"integer","minimum":-17,"maximum":-3}`, `{"type":"integer","exclusiveMinimum":-2,"exclusiveMaximum":2}`, `{"type":"integer","minimum":995}`, `{"type":"integer","maximum":12}`,
	`{"type":"number","minimum":0,"maximum":1}`, `{"type":"number","exclusiveMinimum":0,"maximum":2.5}`, `{"type":"number","minimum":-3.5,"exclusiveMaximum":3}`, `{"type":"number","exclusiveMinimum":1.5}`,
	`{"title":"t","description":"d","type":"object","properties":{"point":{"type":"object","properties":{"x":{"type":"number"},"y":{"type":"number"}},"required":["x","y"]},"tags":{"type":"array","items":{"enum":["a","b"]}}},"required":["point","tags"]}`,
}

// Whatever is drawn by a schema is JSON and valid, by another implementation.
func TestJSONSchema(t *testing.T) {
	vocab := newVocabulary(randomModel(t, ggufwrite.Small).Tokenizer())
	for _, schema := range schemas {
		c, err := JSONSchema([]byte(schema))
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		s := validator(t, schema)
		m := newMachine(c.grammar, vocab)
		rng := rand.New(rand.NewPCG(1, 1))
		whole := 0
		for range 40 {
			text, ok := walk(t, m, rng, 300)
			if !ok {
				continue
			}
			whole++
			if err := isValid(s, text); err != nil {
				t.Fatalf("%s gave %s: %v", schema, text, err)
			}
			if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
				t.Fatalf("%s gave %q", schema, text)
			}
		}
		if whole < 3 {
			t.Errorf("%s: %d of 40 came to an end", schema, whole)
		}
	}
}

// Texts that are in a set and texts that are not.
func TestConstraintTexts(t *testing.T) {
	vocab := newVocabulary(randomModel(t, ggufwrite.Small).Tokenizer())
	schema := func(s string) *Constraint {
		c, err := JSONSchema([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	must := func(c *Constraint, err error) *Constraint {
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	person := schema(`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":{"type":"null"}}`)
	tests := []struct {
		name string
		c    *Constraint
		yes  []string
		no   []string
	}{
		{"object", JSONObject(), []string{`{}`, `{"a":[1,{"b":null}],"c":"é\n\u001f"}`, `{"a": -0.5e+7}`}, []string{`[]`, `{"a"}`, `{"a":01}`, "{\"a\":\"\n\"}", `{} `, `{"a":1,}`, "{\"a\":\"\xff\"}"}},
		{"properties", person, []string{`{"a":1}`, `{"a": 1, "b": "x"}`, `{"a":1,"zz":null,"ab":null}`}, []string{`{}`, `{"b":"x"}`, `{"a":"x"}`, `{"a":1,"b":null}`, `{"a":1,"c":1}`, `{"a":1,"a":null}`}},
		{"first optional", schema(`{"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"additionalProperties":false}`),
			[]string{`{}`, `{"a":null}`, `{"b":null}`, `{"a":null,"c":null}`, `{"b":null,"c":null}`}, []string{`{,"b":null}`, `{"c":null,"a":null}`, `{"a":null"b":null}`, `{"d":null}`}},
		{"integers", schema(`{"type":"integer","minimum":-12,"maximum":105}`), []string{"-12", "-1", "0", "9", "10", "99", "100", "105"}, []string{"-13", "-0", "106", "1000", "007", "1.0"}},
		{"numbers", schema(`{"type":"number","minimum":0,"maximum":1}`), []string{"0", "1", "0.25"}, []string{"1.5", "-1", "2", "1.1"}},
		{"pattern", must(Regexp(`[a-z]+(-\d{2})?`)), []string{"a", "abc", "a-12"}, []string{"", "A", "a-1", "a-123"}},
		{"pattern with anchors", must(Regexp(`^(?i:ok)$`)), []string{"ok", "OK", "oK"}, []string{"ok!", "o"}},
		{"characters", must(Regexp(`.[^a]\pL`)), []string{"éé\u4e00", "xbz"}, []string{"xaz", "xb1", "\xc3bz"}},
		{"choices", must(Choices("yes", "no", "nothing")), []string{"yes", "no", "nothing"}, []string{"", "noth", "y", "yesno"}},
	}
	for _, test := range tests {
		m := newMachine(test.c.grammar, vocab)
		is := func(text string) bool {
			s := m.first
			for _, b := range []byte(text) {
				s = m.step(s, b)
			}
			return s.whole
		}
		for _, text := range test.yes {
			if !is(text) {
				t.Errorf("%s: %q is not in it", test.name, text)
			}
		}
		for _, text := range test.no {
			if is(text) {
				t.Errorf("%s: %q is in it", test.name, text)
			}
		}
	}
}

// An error names the place and what is wrong there.
func TestJSONSchemaErrors(t *testing.T) {
	for schema, want := range map[string]string{
		`{`:                                     "no JSON",
		`[]`:                                    "object or a boolean",
		`false`:                                 "no text",
		`{"type":"text"}`:                       `"text"`,
		`{"properties":{"a":{"multipleOf":2}}}`: `#/properties/a: the keyword "multipleOf"`,
		`{"not":{}}`:                            `"not"`,
		`{"$ref":"#/$defs/x"}`:                  "leads nowhere",
		`{"$ref":"http://x/y"}`:                 "not in this schema",
		`{"$ref":"#"}`:                          "no text",
		`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`: "no text",
		`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`:                           "itself",
		`{"oneOf":[{"type":"object"},{"type":"object"}]}`:                    "oneOf",
		`{"anyOf":[]}`:                                  "list of schemas",
		`{"type":"string","pattern":"("}`:               "pattern",
		`{"type":"string","pattern":"a\\b"}`:            "not supported",
		`{"type":"string","minLength":-1}`:              "minLength",
		`{"enum":[]}`:                                   "no text",
		`{"type":"array","minItems":9,"maxItems":1}`:    "no text",
		`{"type":"number","minimum":0.2,"maximum":0.7}`: "no whole number",
		`{"type":"string","maxLength":1000000}`:         "too large",
	} {
		if _, err := JSONSchema([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", schema, err, want)
		}
	}
	if _, err := Regexp("("); err == nil {
		t.Error("a pattern that is none")
	}
	if _, err := Choices(); err == nil {
		t.Error("no choices")
	}
}

// The masks say of each token what its bytes say one by one.
func TestMasks(t *testing.T) {
	vocab := newVocabulary(randomModel(t, ggufwrite.Small).Tokenizer())
	c, err := JSONSchema([]byte(`{"properties":{"hello":{"enum":["hell","hello","he", " wo"]}},"required":["hello"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(c.grammar, vocab)
	s := m.first
	for _, b := range []byte(`{"hello":"hello"}`) {
		bits, _ := m.allowed(s)
		for id := range vocab.size {
			want := slices.Contains(vocab.ids, id)
			if want {
				at := s
				for _, b := range vocab.bytes(id) {
					at = m.step(at, b)
				}
				want = at != deadState
			}
			if slices.Contains(vocab.ends, id) {
				want = s.whole
			}
			if got := bits[id/64]>>(id%64)&1 == 1; got != want {
				t.Fatalf("token %d (%q) before %q: %t", id, vocab.bytes(id), b, got)
			}
		}
		s = m.step(s, b)
	}
	if !s.whole {
		t.Error("the text is not whole")
	}
}

// A model that knows nothing writes JSON all the same: whole and valid if it
// stops, the beginning of such if it is cut.
func TestConstrainedGeneration(t *testing.T) {
	e := newTestEngine(t)
	close := map[int]float64{'"': 3, '}': 3, ']': 3}
	stops, cuts := 0, 0
	for i, schema := range schemas {
		c, err := JSONSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		s := validator(t, schema)
		for _, change := range []func(r *Request){
			func(r *Request) { r.N = 4 },
			func(r *Request) { r.N, r.BestOf, r.TopP, r.TopK = 1, 3, .9, 30 },
			func(r *Request) { r.Temperature, r.UseBeamSearch, r.N, r.BestOf = 0, true, 2, 3 },
			func(r *Request) { r.MaxTokens = 5 },
			func(r *Request) { r.MinTokens = 20 },
		} {
			r := sampled(e)
			r.IgnoreEOS, r.MaxTokens, r.LogitBias, r.Constraint = false, 100, close, c
			r.Seed = new(int64(i))
			change(&r)
			for _, choice := range generate(t, e, r) {
				switch choice.Finish {
				case FinishStop:
					stops++
					if err := isValid(s, choice.Text); err != nil {
						t.Errorf("%s gave %s: %v", schema, choice.Text, err)
					}
				case FinishLength:
					cuts++
					m := newMachine(c.grammar, e.vocabulary())
					at := m.first
					for _, b := range []byte(strings.TrimRight(choice.Text, "\ufffd")) {
						at = m.step(at, b)
					}
					if at == deadState {
						t.Errorf("%s gave %s, which leads nowhere", schema, choice.Text)
					}
				}
			}
		}
	}
	if stops < 100 || cuts < 20 {
		t.Errorf("%d stopped, %d were cut", stops, cuts)
	}
}

func TestConstraintsOfText(t *testing.T) {
	e := newTestEngine(t)
	r := sampled(e)
	r.IgnoreEOS, r.N = false, 20
	var err error
	if r.Constraint, err = Choices("yes", "no"); err != nil {
		t.Fatal(err)
	}
	for _, c := range generate(t, e, r) {
		if c.Text != "yes" && c.Text != "no" || c.Finish != FinishStop {
			t.Errorf("%q, %s", c.Text, c.Finish)
		}
	}
	pattern := `[A-Z][a-z]{2,4} \d\d?`
	if r.Constraint, err = Regexp(pattern); err != nil {
		t.Fatal(err)
	}
	for _, c := range generate(t, e, r) {
		if !regexp.MustCompile("^" + pattern + "$").MatchString(c.Text) {
			t.Errorf("%q", c.Text)
		}
	}
	r.LogitBias = map[int]float64{'a': -50} // what must be is likely enough to be drawn
	if r.Constraint, err = Choices("a"); err != nil {
		t.Fatal(err)
	}
	if c := generate(t, e, r)[0]; c.Text != "a" {
		t.Errorf("%q", c.Text)
	}
	r.Constraint = &Constraint{}
	if _, err := Collect(e.Generate(context.Background(), r), r.N); err == nil || errors.Is(err, errNothingPossible) {
		t.Errorf("an empty constraint: %v", err)
	}
}

func ExampleJSONSchema() {
	c, err := JSONSchema([]byte(`{"properties":{"answer":{"enum":[42]}},"required":["answer"],"additionalProperties":false}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := Load(ggufwrite.Random(ggufwrite.Small).Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	e := New(m, Options{})
	defer e.Close()
	r := Request{Prompt: m.Tokenizer().Prompt("hello"), MaxTokens: 30, N: 1, TopP: 1, Logprobs: -1, Constraint: c}
	choices, err := Collect(e.Generate(context.Background(), r), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.ReplaceAll(choices[0].Text, " ", ""))
	// Output: {"answer":42}
}

// No schema, whatever it is, makes the compiler fail other than by an error, nor
// makes something that cannot be run.
func FuzzJSONSchema(f *testing.F) {
	for _, s := range schemas {
		f.Add([]byte(s))
	}
	m, err := Load(ggufwrite.Random(ggufwrite.Small).Bytes())
	if err != nil {
		f.Fatal(err)
	}
	vocab := newVocabulary(m.Tokenizer())
	f.Fuzz(func(t *testing.T, schema []byte) {
		c, err := JSONSchema(schema)
		if err != nil {
			return
		}
		walk(t, newMachine(c.grammar, vocab), rand.New(rand.NewPCG(1, 1)), 40)
	})
}
