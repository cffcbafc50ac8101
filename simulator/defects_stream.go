package simulator

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// streamDefects break the area STR, server-sent events.
var streamDefects = []Defect{
	{
		Name:     "stream-content-type",
		Sentence: "Streams are labelled application/json.",
		Stage:    "wire",
		Clauses:  []string{"STR-001"},
		Seen:     "agentscope-ai/QwenPaw#468",
		arm: headers(func(c *call, h http.Header) {
			if c.values.flag("stream") {
				h.Set("Content-Type", "application/json")
			}
		}),
	},
	{
		Name:     "stream-ignored",
		Sentence: "stream true is accepted and answered with one JSON document.",
		Stage:    "generate",
		Clauses:  []string{"STR-001", "REQ-017", "REQ-031", "CLI-001", "CLI-002", "CLI-003", "CLI-004", "CLI-005", "CLI-006", "SAF-010", "REQ-080"},
		arm: before("generate", func(c *call) {
			c.values.set("stream", false, "false")
			c.values.unset("stream_options")
		}),
	},
	{
		Name:     "sse-no-blank-line",
		Sentence: "Events follow each other without a blank line.",
		Stage:    "wire",
		Clauses:  []string{"STR-002", "STR-006", "STP-015", "EOS-003", "CLI-001", "CLI-002", "CLI-003", "CLI-004", "CLI-005", "CLI-006", "SAF-010"},
		Seen:     "llama.cpp#14268",
		arm: allFrames(eachFrame(func(_ int, b []byte) []byte {
			return b[:len(b)-1]
		})),
	},
	{
		Name:     "sse-last-blank-line-missing",
		Sentence: "The last event, [DONE], is not ended by a blank line.",
		Stage:    "wire",
		Clauses:  []string{"STR-002"},
		arm:      onDone("data: [DONE]\n"),
	},
	{
		Name:     "sse-event-field",
		Sentence: "Every chunk has the field event: message.",
		Stage:    "wire",
		Clauses:  []string{"STR-003"},
		arm: everyFrame(func(_ int, b []byte) []byte {
			return append([]byte("event: message\n"), b...)
		}),
	},
	{
		Name:     "sse-multi-line",
		Sentence: "Chunks are indented JSON over many data lines.",
		Stage:    "wire",
		Clauses:  []string{"STR-004"},
		arm: everyFrame(func(_ int, b []byte) []byte {
			var out bytes.Buffer
			out.WriteString("data: ")
			data := bytes.TrimSuffix(bytes.TrimPrefix(b, []byte("data: ")), []byte("\n\n"))
			if json.Indent(&out, data, "data: ", "  ") != nil {
				return b
			}
			out.WriteString("\n\n")
			return out.Bytes()
		}),
	},
	{
		Name:     "sse-bom",
		Sentence: "Streams begin with a byte order mark.",
		Stage:    "wire",
		Clauses:  []string{"STR-005"},
		arm: everyFrame(func(i int, b []byte) []byte {
			if i == 0 {
				return append([]byte("\xEF\xBB\xBF"), b...)
			}
			return b
		}),
	},
	{
		Name:     "done-missing",
		Sentence: "Streams end without [DONE].",
		Stage:    "wire",
		Clauses:  []string{"STR-006", "SAF-010"},
		Seen:     "waybarrios/vllm-mlx#101; perplexityai/api-discussion#209",
		arm:      onDone(),
	},
	{
		Name:     "done-doubled",
		Sentence: "Streams end with [DONE] twice.",
		Stage:    "wire",
		Clauses:  []string{"STR-006"},
		arm:      onDone(done, done),
	},
	{
		Name:     "done-quoted",
		Sentence: `Streams end with "[DONE]", a JSON string.`,
		Stage:    "wire",
		Clauses:  []string{"STR-006", "SAF-010"},
		arm:      onDone("data: \"[DONE]\"\n\n"),
	},
	{
		Name:     "event-after-done",
		Sentence: "A chunk without choices follows [DONE].",
		Stage:    "wire",
		Clauses:  []string{"STR-007", "USE-009", "USE-010", "SAF-010"},
		arm: allFrames(func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				for b := range in {
					if !yield(b) {
						return
					}
				}
				b := append(c.head([]byte("data: "), c.route.shape.chunkObject), `,"choices":[],`...)
				yield(append(c.usage(b, 0), "}\n\n"...))
			}
		}),
	},
	{
		Name:     "finish-key-missing",
		Sentence: "Chunks have no finish_reason until the last of a choice.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "STR-008"},
		Seen:     "vllm#19650",
		arm: chunkChoices(func(_ *call, o *object) {
			if o.get("finish_reason") == "null" {
				o.remove("finish_reason")
			}
		}),
	},
	{
		Name:     "finish-never",
		Sentence: "finish_reason is null in every chunk.",
		Stage:    "shape",
		Clauses:  []string{"STR-009", "CLI-006", "SAF-010", "REQ-080"},
		Seen:     "text-generation-inference before #2336, vllm#27572, opencode#43882",
		arm:      chunkChoices(func(_ *call, o *object) { o.set("finish_reason", "null") }),
	},
	{
		Name:     "finish-twice",
		Sentence: "The last chunk of each choice is sent twice.",
		Stage:    "shape",
		Clauses:  []string{"STR-009"},
		arm: allChunks(eachChunk(func(b []byte) [][]byte {
			if chunkEnds(b) {
				return [][]byte{b, b}
			}
			return [][]byte{b}
		})),
	},
	{
		Name:     "text-after-finish",
		Sentence: "The last text of each choice follows the chunk that has finish_reason.",
		Stage:    "shape",
		Clauses:  []string{"STR-009"},
		arm: allChunks(holdLastText(func(text, end []byte) [][]byte {
			return [][]byte{end, text}
		})),
	},
	{
		Name:     "finish-with-text",
		Sentence: "The chunk that has finish_reason carries the last text of the choice.",
		Stage:    "shape",
		Clauses:  []string{"STR-039"},
		Seen:     "vllm#35705",
		arm: allChunks(holdLastText(func(text, end []byte) [][]byte {
			reason := gjson.GetBytes(end, "choices.0.finish_reason").Raw
			return [][]byte{editChoices(text, func(_ int, o *object) { o.set("finish_reason", reason) })}
		})),
	},
	{
		Name:     "chunk-object-chat",
		Sentence: "Chunks on the chat route have object chat.completion.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "STR-010"},
		Seen:     "the source document says always chat.completion (S:364)",
		arm: chunks(func(c *call, o *object) {
			if c.route.name == "chat" {
				o.set("object", `"chat.completion"`)
			}
		}),
	},
	{
		Name:     "chunk-object-completions",
		Sentence: "Chunks on the completions route have object text_completion.chunk.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "STR-011"},
		arm: chunks(func(c *call, o *object) {
			if c.route.name == "completions" {
				o.set("object", `"text_completion.chunk"`)
			}
		}),
	},
	{
		Name:     "id-per-chunk",
		Sentence: "Every chunk of a stream has an id of its own.",
		Stage:    "shape",
		Clauses:  []string{"STR-012"},
		Seen:     "llama.cpp#5876, litellm#1571",
		arm:      chunks(func(c *call, o *object) { o.set("id", quote(c.route.shape.idPrefix+newUUID(""))) }),
	},
	{
		Name:     "created-per-chunk",
		Sentence: "created grows by a second with every chunk.",
		Stage:    "shape",
		Clauses:  []string{"STR-012"},
		arm: func() arming {
			return func(c *call) {
				created := c.created
				chunks(func(_ *call, o *object) {
					o.set("created", itoa(created))
					created++
				})()(c)
			}
		},
	},
	{
		Name:     "chunk-message",
		Sentence: "Chunks on the chat route have a message with the text so far beside the delta.",
		Stage:    "shape",
		Clauses:  []string{"STR-013"},
		Seen:     "Perplexity, perplexityai/api-discussion#209",
		arm: func() arming {
			return func(c *call) {
				sofar := map[string]string{}
				chunkChoices(func(c *call, o *object) {
					if c.route.name == "chat" {
						i := o.get("index")
						sofar[i] += gjson.Get(o.get("delta"), "content").Str
						o.set("message", `{"role":"assistant","content":`+quote(sofar[i])+`}`)
					}
				})()(c)
			}
		},
	},
	{
		Name:     "role-missing",
		Sentence: "No delta has a role.",
		Stage:    "shape",
		Clauses:  []string{"STR-014"},
		Seen:     "open-webui#23930, maximhq/bifrost#6541",
		arm:      deltas(func(d *object) { d.remove("role") }),
	},
	{
		Name:     "role-repeated",
		Sentence: "Every delta has the role.",
		Stage:    "shape",
		Clauses:  []string{"STR-015"},
		Seen:     "ollama#4357; litellm#9986",
		arm:      deltas(func(d *object) { d.set("role", `"assistant"`) }),
	},
	{
		Name:     "content-list",
		Sentence: "The content of the first delta of the second and later choices is an empty list.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "STR-016"},
		arm: chunkChoices(func(_ *call, o *object) {
			if d := parseObject(o.get("delta")); d.get("role") != "" && o.get("index") != "0" {
				d.set("content", "[]")
				o.set("delta", d.String())
			}
		}),
	},
	{
		Name:     "text-null",
		Sentence: "The text of the last chunk of a choice is null on the completions route.",
		Stage:    "shape",
		Clauses:  []string{"SCH-002", "STR-017"},
		arm: chunkChoices(func(_ *call, o *object) {
			if o.get("text") == `""` {
				o.set("text", "null")
			}
		}),
	},
	{
		Name:     "first-token-dropped",
		Sentence: "Streams lack the first text of each choice.",
		Stage:    "generate",
		Clauses:  []string{"STR-018", "STR-040", "STP-015", "EOS-003"},
		arm: streamedText(func(i int, text string) string {
			if i == 0 {
				return ""
			}
			return text
		}),
	},
	{
		Name:     "token-doubled",
		Sentence: "Streams say the second text of each choice twice.",
		Stage:    "generate",
		Clauses:  []string{"STR-018", "STR-040", "STP-015", "EOS-003"},
		Seen:     "sglang#31598",
		arm: streamedText(func(i int, text string) string {
			if i == 1 {
				return text + text
			}
			return text
		}),
	},
	{
		Name:     "stream-only-first",
		Sentence: "Streams hold only the choice of index 0.",
		Stage:    "shape",
		Clauses:  []string{"STR-019", "REQ-080"},
		arm: allChunks(eachChunk(func(b []byte) [][]byte {
			if chunkIndex(b) > 0 {
				return nil
			}
			return [][]byte{b}
		})),
	},
	{
		Name:     "stop-leaks",
		Sentence: "Streams send the beginning of a stop string before it is complete.",
		Stage:    "generate",
		Clauses:  []string{"STR-020"},
		Seen:     "text-generation-inference#1254, vllm#2577; vllm#3574",
		arm: lateStop(func(c *call) bool { return c.values.flag("stream") }, func(text, stop string, sent int) string {
			return text[min(sent, len(text)):max(sent, strings.Index(text, stop))]
		}),
	},
	{
		Name:     "stop-kept",
		Sentence: "The text ends with the stop string that matched.",
		Stage:    "generate",
		Clauses:  []string{"FIN-007", "STR-020", "STP-001", "STP-002", "STP-003", "STP-005", "STP-008", "STP-009", "STP-013", "STP-018"},
		Seen:     "text-generation-inference#1254, vllm#2577",
		arm: lateStop(func(*call) bool { return true }, func(text, stop string, sent int) string {
			return text[sent : strings.Index(text, stop)+len(stop)]
		}),
	},
	{
		Name:     "utf8-split",
		Sentence: "Streams decode byte by byte: a character of several bytes arrives as that many U+FFFD.",
		Stage:    "generate",
		Clauses:  []string{"STR-018", "STR-021"},
		Seen:     "waybarrios/vllm-mlx#109, exo#1691",
		arm: streamedText(func(_ int, text string) string {
			var b strings.Builder
			for _, r := range text {
				if n := utf8.RuneLen(r); n > 1 {
					b.WriteString(strings.Repeat("\uFFFD", n))
				} else {
					b.WriteRune(r)
				}
			}
			return b.String()
		}),
	},
	{
		Name:     "stream-buffered",
		Sentence: "The events of a stream are all sent at its end.",
		Stage:    "wire",
		Clauses:  []string{"STR-022"},
		arm: allFrames(func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				var all [][]byte
				for b := range in {
					all = append(all, slices.Clone(b))
				}
				for _, b := range all {
					if !yield(b) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "stream-one-chunk",
		Sentence: "The text of each choice of a stream is sent as one chunk.",
		Stage:    "generate",
		Clauses:  []string{"STR-023"},
		arm: allSteps(func(c *call, steps engine.Steps) engine.Steps {
			if !c.values.flag("stream") {
				return steps
			}
			return func(yield func(engine.Step, error) bool) {
				whole := map[int]engine.Step{}
				for s, err := range steps {
					if err == nil {
						w := whole[s.Choice]
						s.Text, s.Tokens = w.Text+s.Text, append(w.Tokens, s.Tokens...)
						whole[s.Choice] = s
					}
					if (err != nil || s.Finish != "") && !yield(s, err) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "cache-control-missing",
		Sentence: "Streams have no Cache-Control.",
		Stage:    "wire",
		Clauses:  []string{"STR-024"},
		arm:      headers(func(_ *call, h http.Header) { h.Del("Cache-Control") }),
	},
	{
		Name:     "stream-error-in-200",
		Sentence: "A refused stream is a 200 with an error event.",
		Stage:    "wire",
		Clauses:  []string{"STR-025", "CTX-009", "SAF-011", "REQ-080"},
		Seen:     "preloop#121",
		arm: always(func(c *call) {
			c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
				if stream, _ := c.document.get("stream"); stream.Type != gjson.True {
					return false
				}
				c.setHeader(w.Header(), streamType)
				_, _ = w.Write(append(appendEvent(nil, c.dialect.refusals.append(nil, r)), done...))
				return true
			})
		}),
	},
	{
		Name:     "disconnect-leaks",
		Sentence: "A stream that its client leaves is never freed; after two of them answers of up to 4 tokens are refused with 429.",
		Stage:    "wire",
		Clauses:  []string{"STR-028"},
		Seen:     "llama.cpp#24496",
		arm:      leakSlots,
	},
	{
		Name:     "comment-after-done",
		Sentence: "A comment line follows the end mark of a stream.",
		Stage:    "wire",
		Clauses:  []string{"SAF-010", "STR-029"},
		arm:      onDone(done, ": bye\n\n"),
	},
	{
		Name:     "usage-on-every-chunk",
		Sentence: "Every chunk of a stream has usage, though none was asked for.",
		Stage:    "shape",
		Clauses:  []string{"STR-033"},
		Seen:     "vllm#7262; SiliconFlow, memex-lab/dart_agent_core#23",
		arm: chunks(func(c *call, o *object) {
			if !c.values.given("stream_options") {
				o.set("usage", `{"prompt_tokens":`+itoa(int64(c.promptTokens()))+`,"completion_tokens":0,"total_tokens":`+itoa(int64(c.promptTokens()))+`}`)
			}
		}),
	},
	{
		Name:     "heartbeat-chunks",
		Sentence: "Every second chunk of a stream is followed by one without choices.",
		Stage:    "shape",
		Clauses:  []string{"STR-034"},
		arm: allChunks(func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				beat := append(c.head(nil, c.route.shape.chunkObject), `,"choices":[]}`...)
				i := 0
				for b := range in {
					if !yield(b) {
						return
					}
					if i++; i%2 == 0 && !yield(beat) {
						return
					}
				}
			}
		}),
	},
	{
		Name:     "offsets-restart",
		Sentence: "text_offset starts again from 0 in every chunk.",
		Stage:    "generate",
		Clauses:  []string{"STR-035"},
		arm: everyStep(func(c *call, s *engine.Step) {
			if c.values.flag("stream") && len(s.Tokens) > 0 {
				first := s.Tokens[0].Offset
				s.Tokens = slices.Clone(s.Tokens)
				for i := range s.Tokens {
					s.Tokens[i].Offset -= first
				}
			}
		}),
	},
	{
		Name:     "stream-left-open",
		Sentence: "After [DONE] the connection stays open, silent, for up to 10 seconds, and is then cut.",
		Stage:    "wire",
		Clauses:  []string{"STR-036"},
		arm:      afterDone(10 * time.Second),
	},
	{
		Name:     "stream-cut",
		Sentence: "After [DONE] the connection is cut, without the last chunk of the HTTP message.",
		Stage:    "wire",
		Clauses:  []string{"STR-036"},
		arm:      afterDone(0),
	},
	{
		Name:     "chunks-doubled",
		Sentence: "Every chunk with text is sent twice.",
		Stage:    "shape",
		Clauses:  []string{"STR-018", "STR-035", "STR-037", "STR-040", "STP-015", "EOS-003"},
		arm: allChunks(eachChunk(func(b []byte) [][]byte {
			if chunkText(b) != "" {
				return [][]byte{b, b}
			}
			return [][]byte{b}
		})),
	},
	{
		Name:     "chunks-empty",
		Sentence: "Every chunk with text is followed by three without.",
		Stage:    "shape",
		Clauses:  []string{"STR-037"},
		arm: allChunks(eachChunk(func(b []byte) [][]byte {
			if chunkText(b) == "" {
				return [][]byte{b}
			}
			empty := withText(b, "")
			return [][]byte{b, empty, empty, empty}
		})),
	},
	{
		Name:     "streams-mixed",
		Sentence: "Streams that run at the same time, on the same route and equal but for their prompts, share a buffer: each also sends what the other wrote.",
		Stage:    "shape",
		Clauses:  []string{"STR-040"},
		Perhaps:  []string{"STR-018"}, // where two clients' streams happen to meet
		arm:      mixStreams,
	},
}

// eachFrame maps all events of a stream, [DONE] included.
func eachFrame(f func(i int, frame []byte) []byte) func(*call, iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			i := 0
			for b := range in {
				if !yield(f(i, b)) {
					return
				}
				i++
			}
		}
	}
}

// eachChunk replaces each chunk by any number of chunks.
func eachChunk(f func([]byte) [][]byte) func(*call, iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for b := range in {
				for _, out := range f(b) {
					if !yield(out) {
						return
					}
				}
			}
		}
	}
}

// holdLastText replaces the last chunk with text of each choice and the chunk
// that ends it by what f returns.
func holdLastText(f func(text, end []byte) [][]byte) func(*call, iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(_ *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			held := map[int][]byte{}
			for b := range in {
				i, out := chunkIndex(b), [][]byte{b}
				text := held[i]
				switch {
				case chunkText(b) != "":
					held[i] = slices.Clone(b)
					if out = nil; text != nil {
						out = [][]byte{text}
					}
				case chunkEnds(b) && text != nil:
					delete(held, i)
					out = f(text, b)
				}
				for _, o := range out {
					if !yield(o) {
						return
					}
				}
			}
		}
	}
}

// deltas changes the delta of each chunk on the chat route.
func deltas(f func(*object)) func() arming {
	return chunkChoices(func(_ *call, o *object) {
		if o.get("delta") != "" {
			d := parseObject(o.get("delta"))
			f(d)
			o.set("delta", d.String())
		}
	})
}

// streamedText changes the texts of streams; i counts those of a choice that
// are not empty. Log probabilities stay.
func streamedText(f func(i int, text string) string) func() arming {
	return allSteps(func(c *call, steps engine.Steps) engine.Steps {
		if !c.values.flag("stream") {
			return steps
		}
		return func(yield func(engine.Step, error) bool) {
			seen := map[int]int{}
			for s, err := range steps {
				if err == nil && s.Text != "" {
					s.Text = f(seen[s.Choice], s.Text)
					seen[s.Choice]++
				}
				if !yield(s, err) {
					return
				}
			}
		}
	})
}

// lateStop looks for stop strings as naive servers do: the engine is not told
// of them, text goes out as it comes, and is looked at afterwards. Once a stop
// is complete, ending returns what is still sent of the text, of which the first
// sent bytes have gone.
func lateStop(applies func(*call) bool, ending func(text, stop string, sent int) string) func() arming {
	return always(func(c *call) {
		var stops []string
		c.hooks.request = append(c.hooks.request, func(c *call, r *engine.Request) {
			if applies(c) && r.BestOf <= r.N {
				stops, r.Stop = r.Stop, nil
			}
		})
		c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
			if len(stops) == 0 {
				return steps
			}
			return func(yield func(engine.Step, error) bool) {
				text, over := map[int]string{}, map[int]bool{}
				for s, err := range steps {
					if err != nil {
						yield(s, err)
						return
					}
					if over[s.Choice] {
						continue
					}
					sent := len(text[s.Choice])
					all := text[s.Choice] + s.Text
					text[s.Choice] = all
					if stop := firstStop(all, stops); stop != "" {
						s.Text, s.Finish = ending(all, stop, sent), engine.FinishStop
					}
					over[s.Choice] = s.Finish != ""
					if !yield(s, nil) {
						return
					}
					if len(over) == c.request.N && allTrue(over) {
						return
					}
				}
			}
		})
	})
}

// firstStop returns the stop that comes first in text, "" for none.
func firstStop(text string, stops []string) string {
	first, at := "", len(text)
	for _, s := range stops {
		if i := strings.Index(text, s); i >= 0 && i < at {
			first, at = s, i
		}
	}
	return first
}

func allTrue(m map[int]bool) bool {
	for _, v := range m {
		if !v {
			return false
		}
	}
	return true
}

// afterDone keeps the connection open after [DONE] and then cuts it.
func afterDone(wait time.Duration) func() arming {
	return always(func(c *call) {
		c.hooks.after = append(c.hooks.after, func() {
			c.server.wait(c.context.Done(), wait)
			panic(http.ErrAbortHandler)
		})
	})
}

// leakSlots keeps the places of streams that their clients left. They are
// places of the lane for short answers, so that what is judged on longer ones
// goes on.
func leakSlots() arming {
	const places, short = 2, 4
	var leaked atomic.Int32
	return func(c *call) {
		c.hooks.on("generate", func(c *call) *refusal {
			if leaked.Load() < places || c.values.maxTokens() > short {
				return nil
			}
			r := refuse(http.StatusTooManyRequests, "too_many_requests", "Too many streams are running; try again later.")
			r.header = http.Header{"Retry-After": {"1"}}
			return r
		})
		c.hooks.left = append(c.hooks.left, func() { leaked.Add(1) })
	}
}

// mixStreams makes streams of one kind that run at the same time send each
// other's texts under their own ids.
func mixStreams() arming {
	var mu sync.Mutex
	running := map[string][]*mixed{}
	return func(c *call) {
		allChunks(func(c *call, in iter.Seq[[]byte]) iter.Seq[[]byte] {
			return func(yield func([]byte) bool) {
				kind, me := kindOf(c), &mixed{}
				mu.Lock()
				running[kind] = append(running[kind], me)
				mu.Unlock()
				defer func() {
					mu.Lock()
					running[kind] = slices.DeleteFunc(running[kind], func(m *mixed) bool { return m == me })
					mu.Unlock()
				}()
				for b := range in {
					var foreign []string
					if text := chunkText(b); text != "" {
						mu.Lock()
						for _, other := range running[kind] {
							if other != me {
								other.texts = append(other.texts, text)
							}
						}
						foreign, me.texts = me.texts, nil
						mu.Unlock()
					}
					for _, text := range foreign {
						if !yield(withText(b, text)) {
							return
						}
					}
					if !yield(b) {
						return
					}
				}
			}
		})()(c)
	}
}

// mixed is what other streams have written for one stream.
type mixed struct{ texts []string }

// kindOf is the route and all parameters of a call but its input.
func kindOf(c *call) string {
	kind := c.route.name
	for _, p := range c.route.parameters[1:] {
		kind += " " + c.values.raw(p.name)
	}
	return kind
}
