package exchange

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// block is what a test says of an event.
type block struct {
	raw      string
	data     []string
	comments []string
	unknown  []string
}

func TestParseStream(t *testing.T) {
	for name, tt := range map[string]struct {
		body     string
		events   []block
		trailing string
	}{
		"empty":      {body: ""},
		"only blank": {body: "\n\r\n\r"},
		"line feeds": {body: "data: a\n\ndata: b\n\n", events: []block{
			{raw: "data: a\n\n", data: []string{"a"}}, {raw: "data: b\n\n", data: []string{"b"}}}},
		"carriage returns and line feeds": {body: "data: a\r\n\r\ndata: b\r\n\r\n", events: []block{
			{raw: "data: a\r\n\r\n", data: []string{"a"}}, {raw: "data: b\r\n\r\n", data: []string{"b"}}}},
		"carriage returns": {body: "data: a\r\rdata: b\r\r", events: []block{
			{raw: "data: a\r\r", data: []string{"a"}}, {raw: "data: b\r\r", data: []string{"b"}}}},
		"more blank lines than needed": {body: "\n\ndata: a\n\n\n\ndata: b\n\n\n", events: []block{
			{raw: "data: a\n\n", data: []string{"a"}}, {raw: "data: b\n\n", data: []string{"b"}}}},
		"one space is dropped": {body: "data:a\ndata: b\ndata:  c\ndata\ndata:\ndata:\td\n\n", events: []block{
			{raw: "data:a\ndata: b\ndata:  c\ndata\ndata:\ndata:\td\n\n", data: []string{"a", "b", " c", "", "", "\td"}}}},
		"events without a blank line between": {body: "data: {\"a\":1}\ndata: [DONE]\n\n", events: []block{
			{raw: "data: {\"a\":1}\ndata: [DONE]\n\n", data: []string{`{"a":1}`, "[DONE]"}}}},
		"comments": {body: ": ping\n\n:\ndata: a\n\n", events: []block{
			{raw: ": ping\n\n", comments: []string{" ping"}},
			{raw: ":\ndata: a\n\n", data: []string{"a"}, comments: []string{""}}}},
		"bare JSON": {body: "{\"id\":\"x\"}\n\n", events: []block{
			{raw: "{\"id\":\"x\"}\n\n", unknown: []string{`{"id":"x"}`}}}},
		"field names are exact": {body: "Data: a\n data: b\n\n", events: []block{
			{raw: "Data: a\n data: b\n\n", unknown: []string{"Data: a", " data: b"}}}},
		"error document": {body: `{"error":{"message":"no"}}`, trailing: `{"error":{"message":"no"}}`},
		"end mark without blank line": {body: "data: a\n\ndata: [DONE]\n", trailing: "data: [DONE]\n", events: []block{
			{raw: "data: a\n\n", data: []string{"a"}}}},
		"cut in a line": {body: "data: a\n\ndata: {\"te", trailing: "data: {\"te", events: []block{
			{raw: "data: a\n\n", data: []string{"a"}}}},
		"not UTF-8": {body: "data: \xff\xfe\n\n", events: []block{
			{raw: "data: \xff\xfe\n\n", data: []string{"\xff\xfe"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := ParseStream([]byte(tt.body), nil)
			var got []block
			for _, e := range s.Events {
				got = append(got, block{tt.body[e.Start:e.End], e.Data, e.Comments, e.Unknown})
			}
			g.Expect(got).To(Equal(tt.events))
			g.Expect(string(s.Trailing)).To(Equal(tt.trailing))
			g.Expect(s.BOM).To(BeFalse())
			g.Expect(s.Partial != nil).To(Equal(tt.trailing != ""))
		})
	}
}

func TestStreamDetails(t *testing.T) {
	g := NewWithT(t)
	body := []byte("\ufeffevent: a\nevent: error\nid: 7\nretry: x\ndata: one\r\ndata: two\r\n\r\rdata: [DONE]\n")
	reads := []Read{{At: 1 * time.Second, End: 5}, {At: 2 * time.Second, End: len(body) - 2}, {At: 3 * time.Second, End: len(body)}}
	s := (&Response{Body: body, Reads: reads}).Stream()
	g.Expect(s.BOM).To(BeTrue())
	g.Expect([]int{s.LF, s.CRLF, s.CR}).To(Equal([]int{5, 2, 2}))
	g.Expect(s.Mixed()).To(BeTrue())
	g.Expect(s.Events).To(HaveLen(1))
	e := s.Events[0]
	g.Expect(e.Start).To(Equal(3))
	g.Expect([]any{e.Name, e.HasName, e.ID, e.HasID, e.Retry, e.HasRetry}).To(Equal([]any{"error", true, "7", true, "x", true}))
	g.Expect(e.Payload()).To(Equal("one\ntwo"))
	g.Expect(e.Done()).To(BeFalse())
	g.Expect(e.At).To(Equal(2 * time.Second))
	g.Expect(s.Partial.Done()).To(BeTrue())
	g.Expect(s.Partial.At).To(Equal(3 * time.Second))

	one := ParseStream([]byte("data: a\n\n"), nil)
	g.Expect(one.Mixed()).To(BeFalse())
	g.Expect(ParseStream([]byte(": x\n\ndata\n\n"), nil).Events[0].HasData()).To(BeFalse())
	g.Expect(ParseStream([]byte(": x\n\ndata\n\n"), nil).Events[1].HasData()).To(BeTrue())
}

// FuzzParseStream holds that no byte is lost, and that what a browser would
// dispatch is the same as with a reader written after the standard's grammar.
func FuzzParseStream(f *testing.F) {
	for _, s := range []string{"", "data: a\n\n", "\ufeffdata: a\r\n\r\n", ":c\rdata:b\r\r", "{\"a\":1}\n\ndata: x", "data\ndata\n\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := ParseStream(body, []Read{{At: 1, End: len(body)}})
		pos := 0
		if s.BOM {
			pos = 3
		}
		blank := func(b []byte) {
			if len(bytes.Trim(b, "\r\n")) > 0 {
				t.Fatalf("lost %q", b)
			}
		}
		var payloads []string
		for i := range s.Events {
			e := &s.Events[i]
			blank(body[pos:e.Start])
			pos = e.End
			if e.At != 1 {
				t.Fatalf("event %d has no time", i)
			}
			if e.HasData() {
				payloads = append(payloads, e.Payload())
			}
		}
		if s.Partial != nil {
			blank(body[pos:s.Partial.Start])
			pos = s.Partial.End
		}
		blank(body[pos:])

		if want := browser(string(body)); !reflect.DeepEqual(payloads, want) {
			t.Fatalf("%q: payloads %q, want %q", body, payloads, want)
		}
	})
}

// browser is the payloads that the standard's algorithm dispatches, save that
// it also dispatches empty data, which a browser drops.
func browser(body string) []string {
	body = strings.TrimPrefix(body, "\ufeff")
	body = strings.ReplaceAll(body, "\r\n", "\n")
	body = strings.ReplaceAll(body, "\r", "\n")
	lines := strings.Split(body, "\n")
	var out []string
	data, any := "", false
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if any {
				out = append(out, strings.TrimSuffix(data, "\n"))
			}
			data, any = "", false
			continue
		}
		if v, ok := strings.CutPrefix(line, "data:"); ok {
			data, any = data+strings.TrimPrefix(v, " ")+"\n", true
		} else if line == "data" {
			data, any = data+"\n", true
		}
	}
	return out
}
