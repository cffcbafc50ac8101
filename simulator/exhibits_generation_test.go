package simulator

import (
	"context"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/engine"
)

var longText = strings.Repeat("x", 1001)

// The exhibits of the defects in log probabilities, stops, the end of sequence
// and usage.
func init() {
	maps.Copy(exhibits, map[string]exhibit{
		"logprobs-null-is-0":             {completionsPath, `"logprobs":null`, `"token_logprobs":[`, ""},
		"top-logprobs-missing":           {completionsPath, `"logprobs":1`, "", `"top_logprobs"`},
		"offsets-twice":                  {completionsPath, `"logprobs":1`, `"text_offsets"`, ""},
		"offsets-plural":                 {completionsPath, `"logprobs":1`, `"text_offsets"`, `"text_offset"`},
		"top-logprobs-short":             {completionsPath, `"logprobs":0,"max_tokens":2`, `"top_logprobs":[{"The":-2}]`, ""},
		"logprobs-per-character":         {completionsPath, `"logprobs":2`, `"tokens":["T","h","e"," "`, ""},
		"first-logprob-null":             {completionsPath, `"logprobs":2,"temperature":0`, `"token_logprobs":[null,-2`, ""},
		"tokens-trimmed":                 {completionsPath, `"logprobs":0`, `"tokens":["The","moon"`, ""},
		"top-logprobs-always-five":       {completionsPath, `"logprobs":1,"max_tokens":1`, `"The":-2," moon":-3," is":-4`, ""},
		"top-logprobs-without-sampled":   {completionsPath, `"logprobs":2,"max_tokens":1`, `[{" moon":-3}]`, ""},
		"top-logprobs-are-probabilities": {completionsPath, `"logprobs":0,"max_tokens":1`, `[{"The":0.1353`, ""},
		"greedy-logprobs-swapped":        {completionsPath, `"logprobs":2,"max_tokens":1,"temperature":0`, `"token_logprobs":[-3]`, ""},
		"logprobs-0-is-none":             {completionsPath, `"logprobs":0`, `"logprobs":null`, ""},
		"offsets-from-prompt":            {completionsPath, `"logprobs":0`, `"text_offset":[20,`, ""},
		"offsets-in-bytes":               {completionsPath, `"logprobs":0,"n":2`, `"text_offset":[0,2,5,9,`, ""},
		"chat-logprobs-ignored":          {chatPath, `"logprobs":0`, "", `"logprobs":{`},
		"logprobs-clamped":               {completionsPath, `"logprobs":1000`, "HTTP 200", "HTTP 400"},
		"logprobs-copied":                {completionsPath, `"logprobs":0,"n":2`, "", `"tokens":["It"`},
		"stop-second-occurrence":         {chatPath, `"stop":" f","ignore_eos":true,"max_tokens":12`, `"The moon is far away.The moon is"`, ""},
		"stop-string-split":              {chatPath, `"stop":"xyz n"`, `"content":"The"`, ""},
		"stop-list-order":                {chatPath, `"stop":["away","moon"]`, `"content":"The moon is far "`, ""},
		"stop-held-text-lost":            {chatPath, `"stop":["y.!"]`, `"content":"The moon is far awa"`, ""},
		"stop-whole-tokens":              {chatPath, `"stop":["oon is f"]`, `"content":"The moon is far away."`, ""},
		"stop-in-prompt":                 {chatPath, `"stop":["How"]`, `"content":""`, ""},
		"stop-case-folded":               {chatPath, `"stop":["MOON"]`, `"content":"The "`, ""},
		"stop-as-pattern":                {chatPath, `"stop":["m.*n"]`, `"content":"The "`, ""},
		"stop-trimmed":                   {chatPath, `"stop":[" a"]`, `"content":"The moon is f"`, ""},
		"stop-ascii-only":                {chatPath, `"stop":["달"],"n":2`, `달`, ""},
		"stop-at-once-fails":             {chatPath, `"stop":["The"]`, "HTTP 500", ""},
		"stop-empty-matches":             {chatPath, `"stop":""`, `"content":""`, ""},
		"stop-undercounted":              {chatPath, `"stop":"away"`, `"completion_tokens":3`, ""},
		"stop-ends-all":                  {chatPath, `"stop":[" moon"],"n":2`, `"content":"It"`, ""},
		"stop-ids-ignored":               {chatPath, `"stop_token_ids":[2]`, `"content":"The moon is far away."`, ""},
		"stop-id-differs-in-streams":     {chatPath, `"stop_token_ids":[2],"stream":true`, "", " moon"},
		"stop-ids-empty-refused":         {chatPath, `"stop_token_ids":[]`, "HTTP 400", ""},
		"stop-ids-beyond-500":            {chatPath, `"stop_token_ids":[1000000000]`, "HTTP 500", ""},
		"stop-ids-hide-strings":          {chatPath, `"stop_token_ids":[5],"stop":"moon"`, `"content":"The moon is far away"`, ""},
		"special-tokens-leak":            {chatPath, `"skip_special_tokens":true`, `<end>`, ""},
		"special-tokens-never":           {chatPath, `"skip_special_tokens":false`, "", `<end>`},
		"special-tokens-null-false":      {chatPath, `"skip_special_tokens":null`, `<end>`, ""},
		"special-tokens-uncounted":       {chatPath, `"skip_special_tokens":true,"max_tokens":2`, `"completion_tokens":1`, ""},
		"finish-is-stop-string":          {chatPath, `"stop":"moon"`, `"finish_reason":"moon"`, ""},
		"stop-long-500":                  {chatPath, `"stop":"` + longText + `"`, "HTTP 500", ""},
		"ignore-eos-false-is-true":       {chatPath, `"ignore_eos":false`, `"finish_reason":"length"`, ""},
		"ignore-eos-one-short":           {chatPath, `"ignore_eos":true`, `"completion_tokens":15`, ""},
		"ignore-eos-default-in-streams":  {chatPath, `"stream":true`, `"finish_reason":"length"`, ""},
		"ignore-eos-text-true":           {chatPath, `"ignore_eos":"false"`, `"finish_reason":"length"`, ""},
		"ignore-eos-ignores-stops":       {chatPath, `"ignore_eos":true,"stop":"moon"`, `moon`, ""},
		"usage-null":                     {chatPath, ``, `"completion_tokens":null`, ""},
		"usage-total-wrong":              {chatPath, ``, `"total_tokens":97`, ""},
		"usage-n-overcounted":            {chatPath, `"n":2,"max_tokens":2`, `"completion_tokens":8`, ""},
		"prompt-tokens-vary":             {chatPath, `"stop":["x","y"]`, `"prompt_tokens":11`, ""},
		"prompt-tokens-constant":         {completionsPath, ``, `"prompt_tokens":9`, ""},
		"prompt-tokens-times-n":          {chatPath, `"n":2`, `"prompt_tokens":18`, ""},
		"prompt-tokens-without-template": {chatPath, ``, `"prompt_tokens":5`, ""},
		"stream-usage-chunks":            {chatPath, `"stream":true,"stream_options":{"include_usage":true},"max_tokens":2`, `"completion_tokens":4`, ""},
		"stream-usage-last-choice":       {chatPath, `"stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":2`, `"completion_tokens":2`, ""},
		"usage-zero-after-stop":          {chatPath, `"stop":"moon"`, `"completion_tokens":0`, ""},
		"usage-in-refusals":              {chatPath, `"n":0`, `"usage"`, ""},
	})
}

// A prompted fake remembers how long the last prompt was.
type prompted struct {
	*fake
	tokens int
}

func (p *prompted) Generate(ctx context.Context, r engine.Request) engine.Steps {
	p.tokens = len(r.Prompt)
	return p.fake.Generate(ctx, r)
}

// TestPromptCut looks at what the engine is asked.
func TestPromptCut(t *testing.T) {
	for name, members := range map[string]string{
		"logprobs-change-text":  `"logprobs":2,"temperature":0`,
		"ignore-eos-other-path": `"ignore_eos":true,"temperature":0`,
	} {
		for _, defects := range [][]string{nil, {name}} {
			g := &prompted{fake: newFake()}
			s, err := New(Options{Generator: g, Keys: []string{testKey}, Defects: defects})
			if err != nil {
				t.Fatal(err)
			}
			h := httptest.NewServer(s)
			post(t, h, completionsPath, ask(completionsPath, members))
			h.Close()
			if want := 6 - len(defects); g.tokens != want {
				t.Errorf("%s: a prompt of %d tokens, want %d", defects, g.tokens, want)
			}
		}
	}
}
