package simulator

import (
	"bytes"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// safetyDefects break the area SAF, content safety.
var safetyDefects = []Defect{
	{
		Name:     "filter-403",
		Sentence: "A filtered prompt is refused with 403.",
		Stage:    "wire",
		Clauses:  []string{"SAF-001", "SAF-015", "SAF-018", "ERR-005"},
		arm: filteredAs(func(c *call, w http.ResponseWriter, r *refusal) bool {
			other := *r
			other.status = http.StatusForbidden
			c.dialect.writeRefusal(w, &other)
			return true
		}),
	},
	{
		Name:     "filter-param-null",
		Sentence: "The refusal of a filtered prompt names no parameter.",
		Stage:    "wire",
		Clauses:  []string{"SAF-002"},
		arm: filteredAs(func(c *call, w http.ResponseWriter, r *refusal) bool {
			other := *r
			other.param = ""
			c.dialect.writeRefusal(w, &other)
			return true
		}),
	},
	{
		Name:     "filter-says-stop",
		Sentence: "A filtered answer has finish_reason stop.",
		Stage:    "shape",
		Clauses:  []string{"SAF-007", "LOG-005"},
		Seen:     "azureml-assets foundation-model-serve, which blanks the text",
		arm:      answersEnd("content_filter", "stop"),
	},
	{
		Name:     "filter-leaks",
		Sentence: "A filtered answer names the word for which it was filtered.",
		Stage:    "shape",
		Clauses:  []string{"SAF-008"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.deployment.filter == nil {
				return
			}
			for _, l := range c.deployment.filter.safety.BlockLists {
				if o.get("finish_reason") == `"content_filter"` && !strings.HasPrefix(o.get("logprobs"), "{") {
					editText(o, func(text string) string { return text + " [" + strings.Join(l.Terms, " ") + "]" })
				}
			}
		}),
	},
	{
		Name:     "filter-ends-stream",
		Sentence: "A stream whose answer is filtered ends without a reason.",
		Stage:    "shape",
		Clauses:  []string{"STR-009", "SAF-010"},
		arm: allChunks(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				for b := range in {
					if gjson.GetBytes(b, "choices.0.finish_reason").Str != "content_filter" && !yield(b) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "filter-in-stream",
		Sentence: "With stream a filtered prompt is refused inside a stream.",
		Stage:    "wire",
		Clauses:  []string{"SAF-011", "STR-024"},
		arm: filteredAs(func(c *call, w http.ResponseWriter, r *refusal) bool {
			if !c.values.flag("stream") {
				return false
			}
			w.Header().Set("Content-Type", eventStream)
			_, _ = io.WriteString(w, "data: "+string(c.dialect.refusals.append(nil, r))+"\n\n"+done)
			return true
		}),
	},
	{
		Name:     "filter-not-on-bare-path",
		Sentence: "Prompts are not screened on paths without /v1.",
		Stage:    "wire",
		Clauses:  []string{"SAF-015"},
		Seen:     "azureml-assets foundation-model-serve lists the routes to screen one by one",
		arm: filteredAs(func(c *call, w http.ResponseWriter, _ *refusal) bool {
			return !strings.HasPrefix(c.path, "/v1/") && c.unscreened(w)
		}),
	},
	{
		Name:     "filter-too-eager",
		Sentence: "Prompts that ask for a story are filtered.",
		Stage:    "safety",
		Clauses:  []string{"SAF-016"},
		arm: always(func(c *call) {
			c.hooks.on("safety", func(c *call) *refusal {
				if strings.Contains(string(c.body), "Tell me a story.") {
					return filteredPrompt(c.route.input().name, &assessment{})
				}
				return nil
			})
		}),
	},
	{
		Name:     "filter-cannot-be-off",
		Sentence: "Where content safety is switched off prompts are filtered all the same.",
		Stage:    "safety",
		Clauses:  []string{"SAF-017"},
		arm: always(func(c *call) {
			c.hooks.on("safety", func(c *call) *refusal {
				if c.deployment.filter == nil && bytes.Contains(c.body, []byte("how to kill people")) {
					return filteredPrompt(c.route.input().name, &assessment{})
				}
				return nil
			})
		}),
	},
	{
		Name:     "filter-last-message",
		Sentence: "Of a conversation only the last message is screened.",
		Stage:    "wire",
		Clauses:  []string{"SAF-018"},
		arm: filteredAs(func(c *call, w http.ResponseWriter, _ *refusal) bool {
			return len(c.messages()) > 1 && c.unscreened(w)
		}),
	},
	{
		Name:     "filter-without-usage",
		Sentence: "A filtered answer tells no usage.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-002", "USE-001", "SAF-020"},
		arm: answers(func(_ *call, o *object) {
			if strings.Contains(o.get("choices"), `"content_filter"`) {
				o.remove("usage")
			}
		}),
	},
}

// filteredAs replaces the refusal of a filtered prompt, if f returns true.
func filteredAs(f func(*call, http.ResponseWriter, *refusal) bool) func() arming {
	return always(func(c *call) {
		c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
			return r.assessment != nil && f(c, w, r)
		})
	})
}

// unscreened answers a prompt as if nobody had looked at it. It returns true.
func (c *call) unscreened(w http.ResponseWriter) bool {
	c.respond(c.context, w)
	return true
}
