package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/exchange"
)

var quiet = log.New(io.Discard, "", 0)

// split reads a body in pieces of a size and returns its events and the rest.
func split(body []byte, piece int) (events [][]byte, rest []byte, huge int) {
	sc := scanner{full: func(b *block) {
		for _, m := range b.marks {
			events = append(events, bytes.Clone(b.buf[m.off:m.off+m.n]))
		}
		rest = bytes.Clone(b.buf[b.rest:])
		b.free()
	}}
	for len(body) > 0 {
		n := copy(sc.space(blockRoom), body[:min(piece, len(body))])
		sc.took(n, 1)
		body = body[n:]
	}
	sc.end()
	return events, rest, sc.huge
}

// However a body arrives, its events are those that the reader of exchange
// finds.
func TestScannerSplitsAsExchangeDoes(t *testing.T) {
	long := "data: " + strings.Repeat("y", 3*blockSize) + "\n\n"
	for _, body := range []string{
		"", "\n", "\n\n\n", "data: a\n\ndata: b\n\n", "data: a\r\n\r\n: c\r\n\r\nrest", "a\n\n\n\nb\n\n", long + "data: b\n\n" + long, strings.Repeat("data: "+strings.Repeat("z", 200)+"\n\n", 100) + "tail",
		"data: a\n\r\ndata: b\r\n\n",
	} {
		want := exchange.ParseStream([]byte(body), nil)
		for _, piece := range []int{1, 2, 3, 7, 100, 1 << 20} {
			events, rest, _ := split([]byte(body), piece)
			var payloads, expected []string
			for _, e := range events {
				p, _, _ := data(e, nil)
				payloads = append(payloads, string(p))
			}
			for _, e := range want.Events {
				expected = append(expected, e.Payload())
			}
			if !slices.Equal(payloads, expected) || strings.TrimSpace(string(rest)) != strings.TrimSpace(string(want.Trailing)) {
				t.Errorf("%.40q in pieces of %d: %d events, rest %.20q; want %d, %.20q", body, piece, len(payloads), rest, len(expected), want.Trailing)
			}
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add("data: a\n\ndata: b\n\n", 3)
	f.Add("data: a\r\n\r\n: c\r\n\r\nrest", 1)
	f.Fuzz(func(t *testing.T, body string, piece int) {
		if piece < 1 || strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\r") || strings.HasPrefix(body, "\ufeff") {
			return // a lone carriage return ends no line here
		}
		events, _, _ := split([]byte(body), piece)
		want := exchange.ParseStream([]byte(body), nil)
		n := 0
		for _, e := range want.Events {
			if e.End-e.Start > 2 {
				n++
			}
		}
		if len(events) != n {
			t.Fatalf("%d events, want %d: %q", len(events), n, body)
		}
	})
}

// The read path allocates nothing for an event.
func TestReadPathAllocatesNothing(t *testing.T) {
	event := []byte(`data: {"id":"cmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n")
	sc := scanner{full: func(b *block) { b.free() }}
	one := func() {
		n := copy(sc.space(blockRoom), event)
		sc.took(n, 1)
	}
	for range 10_000 {
		one()
	}
	if n := testing.AllocsPerRun(100_000, one); n != 0 {
		t.Errorf("%g allocations an event", n)
	}
	// Nor does the reading of what it says.
	rd := &reading{rec: &Record{Gaps: make([]int32, 0, 1<<20)}, streamed: true}
	at := int64(1)
	if n := testing.AllocsPerRun(100_000, func() { at++; rd.event(event, at) }); n != 0 {
		t.Errorf("%g allocations to read an event", n)
	}
	if rd.rec.Chunks < 100_000 {
		t.Errorf("%d chunks", rd.rec.Chunks)
	}
}

func TestReadChunk(t *testing.T) {
	for _, c := range []struct {
		in   string
		ok   bool
		want string
	}{
		{`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, true, ""},
		{`{"choices":[{"delta":{"content":"a"}}]}`, true, "text"},
		{`{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}`, true, "reasoning"},
		{`{"choices":[{"delta":{"reasoning":"hm"}}]}`, true, "reasoning"},
		{`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}`, true, ""},
		{`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`, true, "tool"},
		{`{"choices":[{"text":"a","finish_reason":"stop"}]}`, true, "text finish:stop"},
		{`{"choices":[{"text":"","finish_reason":null}]}`, true, ""},
		{`{"choices":[{"delta":{"content":"\"content\":\"x"},"logprobs":{"content":[{"token":"x"}]}}]}`, true, "text"},
		{`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}`, true, "usage:7,3,4,2"},
		{`{"usage":null}`, true, ""},
		{`{"error":{"message":"no","code":1}}`, true, "error:no"},
		{`{"error":"no"}`, true, "error:no"},
		{`{"error":null}`, true, ""},
		{`{"choices":[{"delta":{"content":"a"}}`, false, ""},
		{`{"choices":[{"delta":{"content":"a`, false, ""},
		{`[]`, false, ""}, {``, false, ""}, {`hello`, false, ""}, {`{} x`, false, ""},
	} {
		var ch chunk
		ok := readChunk([]byte(c.in), &ch)
		if ok != c.ok || ok && describe(&ch) != c.want {
			t.Errorf("%s: %v %q, want %v %q", c.in, ok, describe(&ch), c.ok, c.want)
		}
	}
}

func describe(c *chunk) string {
	var s []string
	add := func(is bool, format string, a ...any) {
		if is {
			s = append(s, fmt.Sprintf(format, a...))
		}
	}
	add(c.text, "text")
	add(c.reasoning, "reasoning")
	add(c.tool, "tool")
	add(c.finish, "finish:%s", c.finishReason)
	add(c.usage, "usage:%d,%d,%d,%d", c.prompt, c.output, c.cached, c.thought)
	add(c.failed, "error:%s", c.errorText)
	return strings.Join(s, " ")
}

// What the walker reads is what encoding/json reads.
func FuzzReadChunk(f *testing.F) {
	f.Add(`{"choices":[{"delta":{"content":"a\u00e4\ud83d\ude00"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}`)
	f.Add(`{"error":{"message":"x"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		c := chunk{keep: true}
		ok := readChunk([]byte(s), &c)
		var v struct {
			Choices []struct {
				Text  *string `json:"text"`
				Delta struct {
					Content *string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if json.Unmarshal([]byte(s), &v) != nil || strings.Contains(s, `\u`) || strings.ToLower(s) != s || strings.Count(s, `"content"`)+strings.Count(s, `"text"`) > 1 ||
			strings.Count(s, `"choices"`) > 1 || strings.Count(s, `"delta"`) > 1 || strings.Contains(s, "refusal") || !strings.HasPrefix(strings.TrimSpace(s), "{") || bytes.ContainsRune([]byte(s), '\ufffd') || !validUTF8(s) {
			return
		}
		if !ok {
			t.Fatalf("not read: %s", s)
		}
		var want, got string
		for _, x := range v.Choices {
			if x.Text != nil {
				want += *x.Text
			}
			if x.Delta.Content != nil {
				want += *x.Delta.Content
			}
		}
		for _, w := range c.words {
			got += string(unescape(nil, w))
		}
		if got != want {
			t.Fatalf("%q, want %q: %s", got, want, s)
		}
	})
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }
