package simulator

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// responseDefects break the area RSP, the shape of answers.
var responseDefects = []Defect{
	{
		Name:     "content-type-text",
		Sentence: "Answers are labelled text/plain.",
		Stage:    "wire",
		Clauses:  []string{"RSP-001"},
		arm: headers(func(c *call, h http.Header) {
			if !c.values.flag("stream") {
				h.Set("Content-Type", "text/plain; charset=utf-8")
			}
		}),
	},
	{
		Name:     "two-documents",
		Sentence: "The body of an answer to max_tokens 1 holds its JSON document twice.",
		Stage:    "shape",
		Clauses:  []string{"RSP-001", "REQ-080"},
		arm: always(func(c *call) {
			c.hooks.answer = append(c.hooks.answer, func(c *call, b []byte) []byte {
				if c.request.MaxTokens > 1 {
					return b
				}
				return append(append(b, '\n'), b...)
			})
		}),
	},
	{
		Name:     "usage-missing",
		Sentence: "Answers have no usage.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-002", "USE-001", "CHT-020", "CHT-022", "INF-009", "SAF-020"},
		Seen:     "gittensor-ai-lab/sparkinfer#481",
		arm:      answers(func(_ *call, o *object) { o.remove("usage") }),
	},
	{
		Name:     "id-missing",
		Sentence: "Answers have no id.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-002", "INF-009"},
		arm:      answers(func(_ *call, o *object) { o.remove("id") }),
	},
	{
		Name:     "id-constant",
		Sentence: "Every answer and stream has the same id.",
		Stage:    "shape",
		Clauses:  []string{"RSP-004"},
		arm:      always(func(c *call) { c.id = c.route.shape.idPrefix + "00000000-0000-4000-8000-000000000000" }),
	},
	{
		Name:     "id-empty",
		Sentence: "The id of every answer and stream is the empty string.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "SCH-002", "RSP-004", "STR-012", "INF-009"},
		Seen:     "text-generation-inference#1782",
		arm:      always(func(c *call) { c.id = "" }),
	},
	{
		Name:     "id-with-space",
		Sentence: "The id of every answer and stream is a word and a number.",
		Stage:    "shape",
		Clauses:  []string{"RSP-005"},
		arm:      always(func(c *call) { c.id = "request " + c.id }),
	},
	{
		Name:     "chat-logprobs-empty",
		Sentence: "A chat that asks for no log probabilities has an empty object for them.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "LOG-001", "INF-009", "RSP-020"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.route.name == "chat" && !c.values.given("logprobs") {
				o.set("logprobs", "{}")
			}
		}),
	},
	{
		Name:     "id-from-prompt",
		Sentence: "The id is a digest of the request, so that equal requests have equal ids.",
		Stage:    "shape",
		Clauses:  []string{"RSP-004"},
		arm: before("decode", func(c *call) {
			c.id = fmt.Sprintf("%s%x", c.route.shape.idPrefix, sha256.Sum256(c.body))
		}),
	},
	{
		Name:     "object-completions",
		Sentence: "Answers on the completions route have object text.completion.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-006", "INF-009"},
		Seen:     "an Azure content-filter page prints text.completion",
		arm: answers(func(c *call, o *object) {
			if c.route.name == "completions" {
				o.set("object", `"text.completion"`)
			}
		}),
	},
	{
		Name:     "object-chat",
		Sentence: "Answers on the chat route have object chat.completion.chunk.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-007", "INF-009"},
		arm: answers(func(c *call, o *object) {
			if c.route.name == "chat" {
				o.set("object", `"chat.completion.chunk"`)
			}
		}),
	},
	{
		Name:     "created-float",
		Sentence: "created has a fraction of a second.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "SCH-002", "RSP-008", "INF-009"},
		Seen:     "anything-llm#2920",
		arm:      documents(func(c *call, o *object) { o.set("created", itoa(c.created)+".25") }),
	},
	{
		Name:     "created-string",
		Sentence: "created is a date as a string.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "SCH-002", "RSP-008", "INF-009"},
		arm: documents(func(c *call, o *object) {
			o.set("created", quote(time.Unix(c.created, 0).UTC().Format(time.RFC3339)))
		}),
	},
	{
		Name:     "created-uptime",
		Sentence: "created comes from a monotonic clock: seconds since the machine started.",
		Stage:    "shape",
		Clauses:  []string{"RSP-009", "RSP-010"},
		Seen:     "vLLM before #3220; Microsoft's FMI server; the examples of the source document (S:237, S:426)",
		arm: always(func(c *call) {
			const booted = 217877 // seconds before the server started: the document's own figure
			c.created = booted + int64(c.server.clock().Sub(c.server.started).Seconds())
		}),
	},
	{
		Name:     "created-milliseconds",
		Sentence: "created counts milliseconds.",
		Stage:    "shape",
		Clauses:  []string{"RSP-009", "RSP-010"},
		Seen:     "mistral.rs#1805, web-llm#829, anything-llm#2920",
		arm:      always(func(c *call) { c.created = c.server.clock().UnixMilli() }),
	},
	{
		Name:     "created-process-start",
		Sentence: "created is the time at which the model was loaded, an hour before the server started.",
		Stage:    "shape",
		Clauses:  []string{"RSP-010"},
		arm:      always(func(c *call) { c.created = c.server.started.Add(-time.Hour).Unix() }),
	},
	{
		Name:     "model-missing",
		Sentence: "Answers have no model.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-002", "RSP-011", "INF-009"},
		Seen:     "the completions example of the source document (S:234-251)",
		arm:      answers(func(_ *call, o *object) { o.remove("model") }),
	},
	{
		Name:     "model-null",
		Sentence: "model is null in answers.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-011", "INF-009"},
		arm:      answers(func(_ *call, o *object) { o.set("model", "null") }),
	},
	{
		Name:     "model-empty",
		Sentence: "model is the empty string.",
		Stage:    "shape",
		Clauses:  []string{"RSP-012"},
		Seen:     "Azure serverless deployments; the chat example of the source document (S:427)",
		arm:      always(func(c *call) { c.model = "" }),
	},
	{
		Name:     "model-echoed",
		Sentence: "model is whatever the request says.",
		Stage:    "shape",
		Clauses:  []string{"RSP-012"},
		arm: before("generate", func(c *call) {
			if c.values.given("model") {
				c.model = c.values.text("model")
			}
		}),
	},
	{
		Name:     "n-ignored",
		Sentence: "n above 1 is accepted and one choice returned, but by beam search.",
		Stage:    "generate",
		Clauses:  []string{"REQ-055", "RSP-013", "STR-019", "BST-003", "BST-005", "STP-013"},
		Seen:     "ollama#6948",
		arm: asked(func(_ *call, r *engine.Request) {
			if !r.UseBeamSearch {
				r.N = 1
			}
		}),
	},
	{
		Name:     "choices-empty",
		Sentence: "n above 1 is answered with no choices, but by beam search.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "REQ-055", "RSP-013", "BST-003", "BST-005", "USE-007"},
		arm: answers(func(c *call, o *object) {
			if c.request.N > 1 && !c.request.UseBeamSearch {
				o.set("choices", "[]")
			}
		}),
	},
	{
		Name:     "index-all-zero",
		Sentence: "Every choice of an answer has index 0, unless best_of is above n.",
		Stage:    "shape",
		Clauses:  []string{"RSP-014"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.request.BestOf <= c.request.N {
				o.set("index", "0")
			}
		}),
	},
	{
		Name:     "index-from-one",
		Sentence: "The choices of an answer are counted from 1.",
		Stage:    "shape",
		Clauses:  []string{"RSP-015"},
		arm:      answerChoices(func(_ *call, i int, o *object) { o.set("index", itoa(int64(i+1))) }),
	},
	{
		Name:     "completions-have-message",
		Sentence: "Choices on the completions route have a message beside the text.",
		Stage:    "shape",
		Clauses:  []string{"RSP-016"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.route.name == "completions" {
				o.set("message", `{"role":"assistant","content":`+o.get("text")+`}`)
			}
		}),
	},
	{
		Name:     "chat-has-text",
		Sentence: "Choices on the chat route have a text beside the message, and the two differ.",
		Stage:    "shape",
		Clauses:  []string{"RSP-017"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.route.name == "chat" {
				o.set("text", quote(" "+gjson.Get(o.get("message"), "content").Str))
			}
		}),
	},
	{
		Name:     "finish-null",
		Sentence: "finish_reason of the second and later choices of an answer is null.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-018", "STP-013", "EOS-002", "REQ-080"},
		arm: answerChoices(func(_ *call, i int, o *object) {
			if i > 0 {
				o.set("finish_reason", "null")
			}
		}),
	},
	{
		Name:     "finish-missing",
		Sentence: "The second and later choices of an answer have no finish_reason.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-018", "STP-013", "EOS-002", "REQ-080"},
		arm: answerChoices(func(_ *call, i int, o *object) {
			if i > 0 {
				o.remove("finish_reason")
			}
		}),
	},
	{
		Name:     "logprobs-empty-object",
		Sentence: "logprobs is {} instead of null when none are asked for, on the completions route.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-019", "LOG-001", "INF-009"},
		arm: answerChoices(func(_ *call, _ int, o *object) {
			if o.get("logprobs") == "null" {
				o.set("logprobs", "{}")
			}
		}),
	},
	{
		Name:     "prompt-echoed",
		Sentence: "Texts on the completions route begin with the prompt.",
		Stage:    "generate",
		Clauses:  []string{"RSP-021", "LOG-007", "LOG-022", "STP-001", "STP-002", "STP-003", "STP-005", "STP-009", "STP-013", "STP-018", "DET-017"},
		arm: allSteps(func(c *call, steps engine.Steps) engine.Steps {
			return func(yield func(engine.Step, error) bool) {
				echoed := map[int]bool{}
				for s, err := range steps {
					if err == nil && !echoed[s.Choice] && c.route.name == "completions" {
						echoed[s.Choice] = true
						s.Text = c.values.text("prompt") + s.Text
					}
					if !yield(s, err) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "error-on-success",
		Sentence: "Answers have an error member beside their choices.",
		Stage:    "shape",
		Clauses:  []string{"RSP-022"},
		Seen:     "preloop#121",
		arm: answers(func(_ *call, o *object) {
			o.set("error", `{"message":"none","type":"none","param":null,"code":null}`)
		}),
	},
	{
		Name:     "error-with-200",
		Sentence: "The refusal of a top_p out of range has the status 200.",
		Stage:    "wire",
		Clauses:  []string{"SCH-001", "RSP-002", "RSP-011", "RSP-022", "USE-001", "ERR-019"},
		Seen:     "preloop#121",
		arm: always(func(c *call) {
			c.hooks.refuse = append(c.hooks.refuse, func(_ *call, w http.ResponseWriter, r *refusal) bool {
				if r.param != "top_p" || r.code != codeRange {
					return false
				}
				masked := *r
				masked.status = http.StatusOK
				c.dialect.writeRefusal(w, &masked)
				return true
			})
		}),
	},
	{
		Name:     "error-shape-unknown",
		Sentence: `Refusals are {"reason": "…"}, a shape of no known API.`,
		Stage:    "wire",
		Clauses:  []string{"SCH-003", "ERR-002", "CLI-009", "SAF-002", "SAF-001", "SAF-015", "SAF-018"},
		Seen:     "vllm#12886 (another wrong envelope)",
		arm: always(func(c *call) {
			c.hooks.refuse = append(c.hooks.refuse, func(_ *call, w http.ResponseWriter, r *refusal) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(r.status)
				_, _ = w.Write([]byte(`{"reason":` + quote(r.message) + `}`))
				return true
			})
		}),
	},
	{
		Name:     "invalid-utf8",
		Sentence: "The text of the second and later choices of an answer ends with a byte that is not UTF-8.",
		Stage:    "shape",
		Clauses:  []string{"RSP-023", "STP-013"},
		arm:      answerChoices(afterText("\xff")),
	},
	{
		Name:     "lone-surrogate",
		Sentence: `The text of the second and later choices of an answer ends with \ud83d, half of a character.`,
		Stage:    "shape",
		Clauses:  []string{"RSP-023", "STP-013"},
		arm:      answerChoices(afterText(`\ud83d`)),
	},
	{
		Name:     "usage-strings",
		Sentence: "The numbers of usage are strings.",
		Stage:    "shape",
		Clauses:  []string{"SCH-001", "RSP-026", "USE-001", "INF-009", "SAF-020"},
		arm:      answers(usageAs(func(raw string) string { return `"` + raw + `"` })),
	},
	{
		Name:     "usage-floats",
		Sentence: "The numbers of usage have decimal points.",
		Stage:    "shape",
		Clauses:  []string{"RSP-026", "USE-009"},
		arm:      answers(usageAs(func(raw string) string { return raw + ".0" })),
	},
	{
		Name:     "length-and-chunked",
		Sentence: "Answers have both Content-Length and Transfer-Encoding: chunked.",
		Stage:    "wire",
		Clauses:  []string{"RSP-027"},
		arm: always(func(c *call) {
			c.hooks.send = append(c.hooks.send, func(_ *call, w http.ResponseWriter, body []byte) bool {
				return sendLengthAndChunked(w, body)
			})
		}),
	},
}

// documents changes answers and chunks alike.
func documents(f func(*call, *object)) func() arming {
	one, other := answers(f)(), chunks(f)()
	return always(func(c *call) { one(c); other(c) })
}

// afterText puts raw JSON text at the end of the text of all choices but the
// first, so that what is judged on one choice stays as it is.
func afterText(raw string) func(*call, int, *object) {
	add := func(quoted string) string { return strings.TrimSuffix(quoted, `"`) + raw + `"` }
	return func(_ *call, i int, o *object) {
		switch {
		case i == 0:
		case o.get("text") != "":
			o.set("text", add(o.get("text")))
		default:
			message := parseObject(o.get("message"))
			message.set("content", add(message.get("content")))
			o.set("message", message.String())
		}
	}
}

// usageAs rewrites the numbers of usage.
func usageAs(rewrite func(raw string) string) func(*call, *object) {
	return func(_ *call, o *object) {
		usage := parseObject(o.get("usage"))
		for i := range usage.members {
			usage.members[i].raw = rewrite(usage.members[i].raw)
		}
		o.set("usage", usage.String())
	}
}

// sendLengthAndChunked writes the response by hand, as net/http never sends
// such a header. It says whether it could.
func sendLengthAndChunked(w http.ResponseWriter, body []byte) bool {
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer connection.Close()
	fmt.Fprintf(buffer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %s\r\nConnection: close\r\n"+
		"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		time.Now().UTC().Format(http.TimeFormat), len(body), len(body), body)
	_ = buffer.Flush()
	return true
}
