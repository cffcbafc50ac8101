package suites

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/schemas"
)

// answerWith is a reply of the chat route with a body.
func answerWith(body string, stream bool) *reply {
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"7"}}
	if stream {
		header = sseHeader()
	}
	f := expected(Target{Dialect: DialectLlamaV1}, schemas.Chat)
	return transcript{probe: "x", sent: map[string]any{"stream": stream}, status: 200, header: header, body: body}.reply(f, 0)
}

func TestMeaning(t *testing.T) {
	const one = `data: {"id":"a","choices":[{"index":0,"delta":{"content":"Once"},"finish_reason":null}]}` + "\n\n"
	const two = `data: {"id":"a","choices":[{"index":0,"delta":{"content":" upon"},"finish_reason":null}]}` + "\n\n"
	const other = `data: {"id":"a","choices":[{"index":1,"delta":{"content":"No"},"finish_reason":null}]}` + "\n\n"
	const end = `data: {"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + "data: [DONE]\n\n"
	for _, c := range []struct {
		name, a, b   string
		stream, same bool
	}{
		{"members in another order", `{"a":1,"b":[2]}`, `{"b":[2],"a":1}`, false, true},
		{"a member twice", `{"a":1,"b":2}`, `{"a":1,"a":1,"b":2}`, false, true},
		{"elements in another order", `{"a":[1,2]}`, `{"a":[2,1]}`, false, false},
		{"a number as text", `{"a":1}`, `{"a":"1"}`, false, false},
		{"cut", `{"a":1}`, `{"a":1`, false, false},
		{"chunks of other choices between", one + other + two + end, one + two + other + end, true, true},
		{"text in fewer chunks", one + two + end, strings.Replace(one, "Once", "Once upon", 1) + end, true, true},
		{"chunks in another order", one + two + end, two + one + end, true, false},
		{"a chunk lost", one + two + end, one + end, true, false},
		{"no end", one + end, strings.Replace(one+end, "data: [DONE]\n\n", "", 1), true, false},
		{"the end in the middle", one + end, "data: [DONE]\n\n" + one + end, true, false},
	} {
		if same := meaning(answerWith(c.a, c.stream)) == meaning(answerWith(c.b, c.stream)); same != c.same {
			t.Errorf("%s: the same meaning: %t", c.name, same)
		}
	}
}

// Each corruption changes an answer and a stream, and what it makes of the
// exchange is what a target that sent that body would have sent.
func TestCorruptions(t *testing.T) {
	plain := answerWith(`{"id":"a","created":1700,"choices":[{"index":0,"message":{"content":"Once upon"},"finish_reason":"stop"},{"index":1}],"usage":{"total_tokens":12}}`, false)
	stream := answerWith(`data: {"id":"a","choices":[{"index":0,"delta":{"content":"Once"},"finish_reason":null}]}`+"\n\n"+
		`data: {"id":"a","choices":[{"index":0,"delta":{"content":" upon"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n", true)
	for _, c := range corruptions {
		for name, r := range map[string]*reply{"plain": plain, "stream": stream} {
			random := rand.New(rand.NewPCG(3, 4))
			changed := 0
			for range 200 {
				body, where, ok := c.spoil(random, r)
				if !ok {
					continue
				}
				x := corrupted(r.Exchange, body)
				if where == "" || string(x.Response.Body) != string(body) || string(r.Response.Body) == string(body) && meaning(newReply(r.route, r.probe, x)) != meaning(r) {
					t.Fatalf("%s %s of a %s at %q: %s", c.part, c.way, name, where, body)
				}
				if n := len(x.Response.Reads); n > 0 && x.Response.Reads[n-1].End != len(body) {
					t.Fatalf("%s %s: reads end at %d of %d", c.part, c.way, x.Response.Reads[n-1].End, len(body))
				}
				if meaning(newReply(r.route, r.probe, x)) != meaning(r) {
					changed++
				}
			}
			if changed == 0 && c.way != "reorder" { // a document has one chunk, and that stream no array of two
				t.Errorf("%s %s never changes a %s", c.part, c.way, name)
			}
		}
	}
}
