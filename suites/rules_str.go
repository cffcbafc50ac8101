package suites

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// streamed are the probes whose streams show the wire format.
var streamed = []string{"greedy.stream", "long.stream", "short.stream", "n3.stream"}

// strRules judge streams (STR).
var strRules = []rule{
	{clause: "STR-001", reads: streamed, all: true, judge: streamContentType},
	{clause: "STR-002", reads: streamed, all: true, judge: eventsAreFramed},
	{clause: "STR-003", reads: streamed, all: true, judge: onlyDataLines},
	{clause: "STR-004", reads: streamed, all: true, judge: oneObjectOneLine},
	{clause: "STR-005", reads: streamed, all: true, judge: noByteOrderMark},
	{clause: "STR-006", reads: streamed, all: true, judge: oneDone},
	{clause: "STR-007", reads: streamed, all: true, judge: nothingAfterDone},
	{clause: "STR-008", reads: streamed, all: true, judge: nullBeforeLast},
	{clause: "STR-009", reads: streamed, all: true, judge: oneReasonAtTheEnd},
	{clause: "STR-010", reads: streamed, all: true, judge: chunkObject(schemas.Chat, "chat.completion.chunk", "chat.completion")},
	{clause: "STR-011", reads: streamed, all: true, judge: chunkObject(schemas.Completions, "text_completion", "text_completion")},
	{clause: "STR-012", reads: streamed, all: true, judge: chunksShareIdentity},
	{clause: "STR-013", reads: streamed, all: true, judge: chunkHasDelta},
	{clause: "STR-014", reads: streamed, all: true, judge: roleFirst},
	{clause: "STR-015", reads: streamed, all: true, judge: roleOnce},
	{clause: "STR-016", reads: streamed, all: true, judge: deltaContentString},
	{clause: "STR-017", reads: streamed, all: true, judge: chunkTextString},
	{clause: "STR-018", reads: append([]string{"wide.stream"}, streamed...), all: true, judge: streamEqualsPlain},
	{clause: "STR-019", reads: []string{"n3.stream"}, judge: everyIndexStreams},
	{clause: "STR-020", reads: []string{"stop.stream"}, judge: noStopLeaks},
	{clause: "STR-021", reads: []string{"wide.stream"}, judge: wholeCharacters},
	{clause: "STR-022", reads: streamed, all: true, judge: incremental},
	{clause: "STR-023", reads: []string{"long.stream", "greedy.stream"}, judge: severalChunks},
	{clause: "STR-024", reads: streamed, all: true, judge: notCached},
	{clause: "STR-025", reads: []string{"bad.stream"}, judge: refusalIsPlain},
	{clause: "STR-028", reads: []string{"disconnect"}, judge: disconnectFrees},
	{clause: "STR-029", reads: streamed, all: true, judge: commentsRecorded},
	{clause: "STR-031", reads: []string{"usage.stream"}, judge: usageChunk},
	{clause: "STR-032", reads: append([]string{"usage.stream"}, streamed...), all: true, judge: usageOnce},
	{clause: "STR-033", reads: streamed, all: true, judge: usageRecorded},
	{clause: "STR-034", reads: streamed, all: true, judge: emptyChoices},
	{clause: "STR-035", reads: []string{"logprobs", "logprobs.stream"}, judge: streamedLogprobs},
	{clause: "STR-036", reads: streamed, all: true, judge: properEnd},
	{clause: "STR-037", reads: append([]string{"wide.stream"}, streamed...), judge: chunkCount},
	{clause: "STR-038", reads: streamed, all: true, judge: annotationsRecorded},
	{clause: "STR-039", reads: streamed, all: true, judge: emptyLastChunk},
	{clause: "STR-040", reads: []string{"together"}, judge: streamsApart},
}

func event(i int) string { return "event " + strconv.Itoa(i) }

func streamContentType(c *Case) {
	for _, r := range c.every(func(r *reply) bool { return r.ok() && r.streams() }, "no stream was answered with 200") {
		h := r.Response.Header.Get("Content-Type")
		if t, _, err := mime.ParseMediaType(h); err != nil || t != "text/event-stream" {
			c.fail(r, "header Content-Type", "text/event-stream", strconv.Quote(h))
		}
	}
}

// sse calls f with each stream that was read to its end, JSON inside or not.
func (c *Case) sse(f func(r *reply)) {
	for _, r := range c.every(func(r *reply) bool { return r.ok() && r.stream != nil && r.probe != "disconnect" }, "no stream came") {
		f(r)
	}
}

func eventsAreFramed(c *Case) {
	c.sse(func(r *reply) {
		for i, e := range r.events {
			if len(e.Data) > 1 && eachIsJSON(e.Data) {
				c.fail(r, event(i), "events with a blank line between them", fmt.Sprintf("%d payloads without one", len(e.Data)))
			}
			for _, l := range e.Unknown {
				c.fail(r, event(i), "`data: payload` lines", strconv.Quote(shorten(l, 60)))
			}
		}
		if rest := strings.TrimSpace(string(r.stream.Trailing)); rest != "" && r.Response.Complete {
			c.fail(r, "end of body", "a blank line after the last event", strconv.Quote(shorten(rest, 60)))
		}
		if len(r.events) == 0 {
			c.fail(r, "body", "events", strconv.Quote(shorten(string(r.Response.Body), 60)))
		}
	})
}

// eachIsJSON is whether lines are payloads of their own rather than one JSON
// document broken over lines (STR-004).
func eachIsJSON(lines []string) bool {
	for _, l := range lines {
		if l != "[DONE]" && !gjson.Valid(l) {
			return false
		}
	}
	return true
}

func onlyDataLines(c *Case) {
	c.sse(func(r *reply) {
		for i, e := range r.events {
			for name, has := range map[string]bool{"event": e.HasName, "id": e.HasID, "retry": e.HasRetry} {
				if has {
					c.fail(r, event(i), "data lines alone", "a field "+name)
				}
			}
		}
	})
}

func oneObjectOneLine(c *Case) {
	c.sse(func(r *reply) {
		for i, e := range r.events {
			if !e.HasData() || e.Done() || len(e.Data) > 1 && eachIsJSON(e.Data) {
				continue
			}
			if len(e.Data) > 1 {
				c.fail(r, event(i), "one data line", fmt.Sprintf("%d data lines", len(e.Data)))
			} else if !parse([]byte(e.Data[0])).IsObject() && !quotedDone(e.Data[0]) {
				c.fail(r, event(i), "a JSON object", strconv.Quote(shorten(e.Data[0], 60)))
			}
		}
	})
}

func quotedDone(s string) bool { return strings.Trim(s, `"' `) == "[DONE]" }

func noByteOrderMark(c *Case) {
	c.sse(func(r *reply) {
		if r.stream.BOM {
			c.fail(r, "first bytes", "data: or a comment", "a byte order mark")
		}
	})
}

func oneDone(c *Case) {
	c.sse(func(r *reply) {
		n := 0
		if r.broken() {
			return // STR-026
		}
		for i, e := range r.events {
			switch {
			case e.Done():
				n++
			case e.HasData() && quotedDone(e.Payload()):
				c.fail(r, event(i), "data: [DONE]", "data: "+e.Payload())
				return
			}
		}
		if n != 1 {
			c.fail(r, "end of stream", "exactly one data: [DONE]", map[bool]string{true: "none", false: fmt.Sprintf("%d of them", n)}[n == 0])
		}
	})
}

func nothingAfterDone(c *Case) {
	c.sse(func(r *reply) {
		done := false
		for i, e := range r.events {
			if done && e.HasData() && !e.Done() {
				c.fail(r, event(i), "nothing after [DONE]", shorten(e.Payload(), 80))
			}
			done = done || e.Done()
		}
	})
}

// eachChoice calls f with every choice of a stream that was read to its end.
func (c *Case) eachChoice(f func(r *reply, index int64, parts []part)) {
	for _, r := range c.wholeStreams() {
		indices, parts := r.byIndex()
		for _, i := range indices {
			f(r, i, parts[i])
		}
	}
}

func nullBeforeLast(c *Case) {
	c.eachChoice(func(r *reply, index int64, parts []part) {
		for _, p := range parts[:len(parts)-1] {
			if v := p.choice.Get("finish_reason"); !v.Exists() || v.Raw == `""` {
				c.fail(r, event(p.event)+", finish_reason", "null: the choice goes on", show(v))
				return
			}
		}
	})
}

func oneReasonAtTheEnd(c *Case) {
	c.eachChoice(func(r *reply, index int64, parts []part) {
		var at []int
		for i, p := range parts {
			if v := p.choice.Get("finish_reason"); v.Type == gjson.String && v.Str != "" {
				at = append(at, i)
			}
		}
		switch {
		case len(at) == 0:
			c.fail(r, fmt.Sprintf("index %d", index), "one chunk with a finish_reason", "none")
		case len(at) > 1:
			c.fail(r, fmt.Sprintf("index %d", index), "one chunk with a finish_reason", fmt.Sprintf("%d", len(at)))
		case at[0] != len(parts)-1:
			c.fail(r, event(parts[at[0]].event), fmt.Sprintf("finish_reason on the last chunk of index %d", index), fmt.Sprintf("%d more chunks after it", len(parts)-1-at[0]))
		}
	})
}

func chunkObject(route schemas.Route, want, paper string) func(*Case) {
	return func(c *Case) {
		for _, r := range c.allStreams() {
			for _, ck := range r.chunks {
				v := ck.doc.Get("object")
				if isError(ck.doc) || v.Str == want || c.Profile == schemas.Paper && v.Str == paper {
					continue
				}
				c.fail(r, event(ck.event)+", object", strconv.Quote(want), show(v))
				break
			}
		}
	}
}

func isError(doc gjson.Result) bool { return doc.Get("error").Exists() && !doc.Get("choices").Exists() }

func chunksShareIdentity(c *Case) {
	for _, r := range c.allStreams() {
		for _, k := range []string{"id", "created", "model"} {
			was := r.chunks[0].doc.Get(k)
			for _, ck := range r.chunks {
				v := ck.doc.Get(k)
				if isError(ck.doc) || v.Raw == was.Raw && v.Exists() {
					continue
				}
				c.fail(r, event(ck.event)+", "+k, show(was)+", as in the first chunk", show(v))
				break
			}
			if k == "id" && was.Str == "" && was.Exists() {
				c.fail(r, event(0)+", id", "a non-empty string", show(was))
			}
		}
	}
}

// eachPart calls f with every choice of every chunk.
func (c *Case) eachPart(f func(r *reply, p part)) {
	for _, r := range c.allStreams() {
		for _, ck := range r.chunks {
			for _, ch := range ck.doc.Get("choices").Array() {
				f(r, part{ck, ch})
			}
		}
	}
}

func chunkHasDelta(c *Case) {
	c.eachPart(func(r *reply, p part) {
		if v := p.choice.Get("delta"); !v.IsObject() {
			c.fail(r, event(p.event)+", delta", "an object", show(v))
		}
		for _, k := range []string{"message", "messages"} {
			if v := p.choice.Get(k); v.Exists() {
				c.fail(r, event(p.event)+", "+k, "absent: a stream has deltas", show(v))
			}
		}
	})
}

func roleFirst(c *Case) {
	for _, r := range c.allStreams() {
		indices, parts := r.byIndex()
		for _, i := range indices {
			if v := parts[i][0].choice.Get("delta.role"); v.Str != "assistant" {
				c.fail(r, event(parts[i][0].event)+", delta.role", `"assistant" in the first chunk of an index`, show(v))
			}
		}
	}
}

func roleOnce(c *Case) {
	for _, r := range c.allStreams() {
		indices, parts := r.byIndex()
		for _, i := range indices {
			for _, p := range parts[i][1:] {
				if v := p.choice.Get("delta.role"); v.Exists() && v.Type != gjson.Null {
					c.fail(r, event(p.event)+", delta.role", "absent after the first chunk", show(v))
					break
				}
			}
		}
	}
}

func deltaContentString(c *Case) {
	c.eachPart(func(r *reply, p part) {
		if v := p.choice.Get("delta.content"); v.Exists() && v.Type != gjson.Null && v.Type != gjson.String {
			c.fail(r, event(p.event)+", delta.content", "a string, null or absent", show(v))
		}
	})
}

func chunkTextString(c *Case) {
	c.eachPart(func(r *reply, p part) {
		if v := p.choice.Get("text"); v.Type != gjson.String {
			c.fail(r, event(p.event)+", text", "a string", show(v))
		}
	})
}

// pairs calls f with the streamed and the plain answer to each greedy request
// that was sent both ways.
func (c *Case) pairs(f func(stream, plain *reply)) {
	if !c.repeatable() {
		return
	}
	for _, pair := range [][2]string{{"control", "greedy.stream"}, {"long", "long.stream"}, {"short", "short.stream"}, {"wide", "wide.stream"}} {
		if c.why(pair[1]) != "" {
			continue
		}
		for _, s := range c.streams(pair[1]) {
			if p := c.twin(s, pair[0]); p != nil {
				f(s, p)
			}
		}
	}
}

// comparedElsewhere are probes whose texts are the matter of another clause:
// answers mixed up (STR-040, DET-013), where an answer ends by default (EOS-003).
var comparedElsewhere = []string{"together", "det.parallel", "eos.default"}

// streamEqualsPlain compares every greedy stream with a plain answer to the same
// request that bounds its length: in a long text batching, which changes the last
// digits of a sum, may tip the scales somewhere. Where a stop ends them is the
// matter of STP, how much a filter lets through that of SAF-007.
func streamEqualsPlain(c *Case) {
	if !c.repeatable() {
		return
	}
	compared := 0
	for _, s := range c.wholeStreams() {
		stops := s.req.Get("stop").Exists() || s.req.Get("stop_token_ids").Exists()
		if !s.greedy() || s.number("max_tokens", 0) == 0 || stops || strings.HasPrefix(s.finish(0), "content_filter") || slices.Contains(comparedElsewhere, s.probe) {
			continue
		}
		p := c.twin(s, "")
		if p == nil {
			continue
		}
		if compared++; s.streamText(0) != p.firstText() {
			got, want := s.streamText(0), p.firstText()
			c.fail(s, "the text of all chunks", strconv.Quote(around(want, got))+", as in "+p.ID, strconv.Quote(around(got, want)))
		}
	}
	if compared == 0 {
		c.inconclusive("no greedy request was answered both ways")
	}
}

// around cuts a to the neighbourhood of its first difference from b.
func around(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	start := max(0, i-20)
	for start > 0 && a[start]&0xC0 == 0x80 {
		start--
	}
	return shorten(a[start:], 60)
}

func everyIndexStreams(c *Case) {
	for _, r := range c.streams("n3.stream") {
		indices, parts := r.byIndex()
		if want := []int64{0, 1, 2}; !slices.Equal(indices, want) {
			c.fail(r, "index of all chunks", "0, 1 and 2, as n is 3", fmt.Sprint(indices))
			continue
		}
		for _, i := range indices {
			text := ""
			for _, p := range parts[i] {
				text += r.delta(p)
			}
			if text == "" && r.req.Get("ignore_eos").Bool() {
				c.fail(r, fmt.Sprintf("index %d", i), "a complete choice", "no text")
			}
		}
	}
}

func noStopLeaks(c *Case) {
	for _, s := range c.streams("stop.stream") {
		stop := s.req.Get("stop.0").String()
		text := s.streamText(0)
		known := c.Facts.Long.Answer
		want, _, found := strings.Cut(known, stop)
		if !found || !strings.HasPrefix(text, want) && !strings.HasPrefix(want, text) {
			c.inconclusive("the stream does not follow the known answer")
			continue
		}
		if len(text) > len(want) {
			c.fail(s, "the text of all chunks", "nothing of the stop string "+strconv.Quote(stop), strconv.Quote(shorten(text[max(0, len(want)-20):], 60)))
		}
	}
}

func wholeCharacters(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, s := range c.streams("wide.stream") {
		if got := strings.Count(s.streamText(0), "\uFFFD"); got > 0 {
			c.fail(s, "the text of all chunks", "no U+FFFD: the plain answer has none", fmt.Sprintf("%d in %s", got, strconv.Quote(shorten(s.streamText(0), 60))))
		}
	}
}

// content are the chunks of index 0 that add text.
func (r *reply) content() []part {
	_, parts := r.byIndex()
	var out []part
	for _, p := range parts[0] {
		if r.delta(p) != "" {
			out = append(out, p)
		}
	}
	return out
}

// incremental allows the first text to come after 60 % of the time to the last.
// A fast target leaves little between its events and the scheduler's noise, so
// the streams of most events are judged, and below a second only text that comes
// practically at the end counts. A target that buffers does so always: one
// stream that flows is enough.
func incremental(c *Case) {
	type flow struct {
		r           *reply
		pieces      int           // events with text
		begun, last time.Duration // of the text, since the request was sent
	}
	var flows []flow
	for _, s := range c.wholeStreams() {
		if ps := s.content(); len(ps) > 1 && ps[len(ps)-1].at-s.Sent >= 10*time.Millisecond {
			flows = append(flows, flow{s, len(ps), ps[0].at - s.Sent, ps[len(ps)-1].at - s.Sent})
		}
	}
	if len(flows) == 0 {
		c.inconclusive("no stream has several chunks with text (STR-023) and takes long enough to tell")
		return
	}
	// Those of most text: the ones that took longest may only have waited their turn.
	slices.SortFunc(flows, func(a, b flow) int { return cmp.Compare(b.pieces, a.pieces) })
	for _, f := range flows[:min(16, len(flows))] {
		limit := 0.75
		if f.last >= time.Second {
			limit = 0.6
		}
		share := float64(f.begun) / float64(f.last)
		if share <= limit {
			c.findings = nil
			return
		}
		c.fail(f.r, "time of the first text", fmt.Sprintf("within %.0f %% of the time to the last", limit*100),
			fmt.Sprintf("at %.0f %%: %s of %s", share*100, f.begun.Round(time.Millisecond), f.last.Round(time.Millisecond)))
	}
}

func severalChunks(c *Case) {
	for _, name := range []string{"greedy.stream", "long.stream"} {
		if c.why(name) != "" {
			continue
		}
		for _, s := range c.streams(name) {
			if n := len(s.content()); n < 2 && len(s.streamText(0)) > 1 && s.finish(0) == "length" {
				c.fail(s, "chunks with text", "more than one for 16 tokens or more", strconv.Itoa(n))
			}
		}
	}
}

func notCached(c *Case) {
	for _, r := range c.allStreams() {
		h := strings.ToLower(r.Response.Header.Get("Cache-Control"))
		if !strings.Contains(h, "no-cache") && !strings.Contains(h, "no-store") {
			c.fail(r, "header Cache-Control", "no-cache or no-store", strconv.Quote(h))
		}
	}
}

func refusalIsPlain(c *Case) {
	for _, r := range c.sent("bad.stream") {
		h := r.Response.Header.Get("Content-Type")
		switch {
		case r.status() != http.StatusBadRequest && r.status() != http.StatusUnprocessableEntity:
			c.fail(r, "status", "400 or 422: n is 0", strconv.Itoa(r.status()))
		case !r.doc.IsObject() || strings.HasPrefix(h, "text/event-stream"):
			c.fail(r, "body", "a plain JSON error", h+" "+shorten(string(r.Response.Body), 80))
		}
	}
}

// disconnectFrees looks at the last of the requests that follow eight dropped
// streams.
func disconnectFrees(c *Case) {
	if dropped := c.sent("disconnect"); len(dropped) == 0 {
		return
	}
	after := c.sent("reconnect")
	if len(after) == 0 {
		return
	}
	if r := after[len(after)-1]; !r.ok() {
		c.fail(r, "status", "200: the dropped streams free their places", r.statusLine())
	}
}

func commentsRecorded(c *Case) {
	c.sse(func(r *reply) {
		n, done := 0, false
		for i, e := range r.events {
			n += len(e.Comments)
			if done && len(e.Comments) > 0 {
				c.fail(r, event(i), "no comment after [DONE]: nothing is to be kept alive", shorten(e.Comments[0], 60))
			}
			done = done || e.Done()
		}
		if n > 0 {
			c.note("comment lines")
		}
	})
}

func usageRecorded(c *Case) {
	for _, r := range c.wholeStreams() {
		if r.req.Get("stream_options").Exists() {
			continue
		}
		n, last := 0, 0
		for i, ck := range r.chunks {
			if ck.doc.Get("usage").IsObject() {
				n, last = n+1, i
			}
		}
		switch {
		case n == 0:
			c.note("no usage in streams")
		case n == 1 && last == len(r.chunks)-1:
			c.note("usage on the last chunk")
		default:
			c.fail(r, "usage", "on the last chunk alone", fmt.Sprintf("on %d chunks of %d", n, len(r.chunks)))
		}
	}
}

// usageChunk looks for the chunk that include_usage asks for.
func usageChunk(c *Case) {
	for _, r := range c.streams("usage.stream") {
		last := r.chunks[len(r.chunks)-1]
		choices, usage := last.doc.Get("choices"), last.doc.Get("usage")
		if !choices.IsArray() || len(choices.Array()) > 0 {
			c.fail(r, event(last.event)+", choices", "[] in the last chunk: include_usage is true", show(choices))
		}
		for _, name := range []string{"prompt_tokens", "completion_tokens", "total_tokens"} {
			if v := usage.Get(name); v.Type != gjson.Number {
				c.fail(r, event(last.event)+", usage."+name, "a number in the last chunk: include_usage is true", show(v))
			}
		}
	}
}

// usageOnce expects usage in one chunk where it was asked for, and in none where
// it was not (C52).
func usageOnce(c *Case) {
	for _, r := range c.wholeStreams() {
		asked := r.req.Get("stream_options.include_usage").Bool()
		for i, ck := range r.chunks {
			v := ck.doc.Get("usage")
			last := i == len(r.chunks)-1
			switch {
			case asked && !last && (v.IsObject() || c.Profile == schemas.Strict && !v.Exists()):
				c.fail(r, event(ck.event)+", usage", "null before the last chunk", show(v))
			case !asked && last && len(ck.doc.Get("choices").Array()) == 0 && v.IsObject():
				c.fail(r, event(ck.event)+", usage", "no usage chunk: none was asked for", show(v))
			}
		}
	}
}

// annotationsRecorded looks for chunks of a filter that runs behind the stream.
func annotationsRecorded(c *Case) {
	for _, r := range c.wholeStreams() {
		for _, ck := range r.chunks {
			if ck.doc.Get("id").Str == "" && ck.doc.Get("object").Str == "" && ck.doc.Get("choices.0").Exists() && !ck.doc.Get("choices.0.delta").Exists() {
				c.note("annotation chunks")
			}
		}
	}
}

func emptyChoices(c *Case) {
	for _, r := range c.allStreams() {
		for _, ck := range r.chunks {
			v := ck.doc.Get("choices")
			if isError(ck.doc) || v.IsArray() && len(v.Array()) > 0 {
				continue
			}
			if !ck.doc.Get("usage").IsObject() && !ck.doc.Get("prompt_filter_results").Exists() {
				c.fail(r, event(ck.event)+", choices", "not empty, but for usage or prompt_filter_results", show(v))
				break
			}
		}
	}
}

// fourArrays names the arrays of a completions logprobs object; the offsets go
// by either name (C26).
var fourArrays = []string{"tokens", "token_logprobs", "top_logprobs", "text_offset"}

func array(lp gjson.Result, name string) []gjson.Result {
	v := lp.Get(name)
	if !v.Exists() && name == "text_offset" {
		v = lp.Get("text_offsets")
	}
	return v.Array()
}

func streamedLogprobs(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, s := range c.streams("logprobs.stream") {
		p := c.twin(s, "logprobs")
		if p == nil {
			c.inconclusive("the plain request with logprobs was not answered")
			return
		}
		_, parts := s.byIndex()
		for _, name := range fourArrays {
			want := array(p.choices()[0].Get("logprobs"), name)
			var got []gjson.Result
			for _, part := range parts[0] {
				got = append(got, array(part.choice.Get("logprobs"), name)...)
			}
			if len(want) == 0 {
				c.inconclusive("the plain answer has no logprobs.%s (LOG-002)", name)
				continue
			}
			if i := differ(want, got); i >= 0 {
				c.fail(s, "logprobs."+name, fmt.Sprintf("%d entries as in %s, entry %d %s", len(want), p.ID, i, at(want, i)), fmt.Sprintf("%d entries, entry %d %s", len(got), i, at(got, i)))
			}
		}
	}
}

// differ returns the first place where two arrays differ, -1 if they do not.
// Numbers may differ in the last digits: batching reorders sums.
func differ(a, b []gjson.Result) int {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a) || i >= len(b):
			return i
		case a[i].Type == gjson.Number && b[i].Type == gjson.Number:
			if d := a[i].Num - b[i].Num; d > 1e-2 || d < -1e-2 {
				return i
			}
		case a[i].IsObject():
			if len(a[i].Map()) != len(b[i].Map()) {
				return i
			}
		case a[i].String() != b[i].String():
			return i
		}
	}
	return -1
}

func at(xs []gjson.Result, i int) string {
	if i >= len(xs) {
		return "absent"
	}
	return show(xs[i])
}

func properEnd(c *Case) {
	c.sse(func(r *reply) {
		done := slices.ContainsFunc(r.events, func(e exchange.Event) bool { return e.Done() })
		if done && !r.Response.Complete {
			c.fail(r, "end of body", "the final chunk, or a close, soon after [DONE]", "the message does not end: "+r.Error)
		}
	})
}

func chunkCount(c *Case) {
	c.pairs(func(s, p *reply) {
		tokens, ok := p.completionTokens()
		if !ok {
			c.inconclusive("usage does not count the tokens")
			return
		}
		_, parts := s.byIndex()
		if n := len(parts[0]); n > tokens+3 {
			c.fail(s, "chunks of index 0", fmt.Sprintf("at most %d for %d tokens", tokens+3, tokens), strconv.Itoa(n))
		}
	})
}

func emptyLastChunk(c *Case) {
	for _, r := range c.wholeStreams() {
		if r.number("best_of", 1) > 1 {
			continue // one complete event is right there (C03)
		}
		indices, parts := r.byIndex()
		for _, i := range indices {
			for _, p := range parts[i] {
				if v := p.choice.Get("finish_reason"); v.Type == gjson.String && v.Str != "" && r.delta(p) != "" {
					c.fail(r, event(p.event), "no text beside finish_reason", strconv.Quote(shorten(r.delta(p), 40)))
				}
			}
		}
	}
}

// streamsApart compares streams that ran at the same time with the plain
// answers to the same requests.
func streamsApart(c *Case) {
	if !c.repeatable() {
		return
	}
	for _, s := range c.streams("together") {
		ids := map[string]bool{}
		for _, ck := range s.chunks {
			if v := ck.doc.Get("id"); v.Str != "" {
				ids[v.Str] = true
			}
		}
		p := c.twin(s, "control")
		if p == nil {
			p = c.twin(s, "short")
		}
		if p == nil {
			c.inconclusive("no plain answer to compare with")
			continue
		}
		if got := s.streamText(0); got != p.firstText() {
			c.fail(s, "the text of all chunks", strconv.Quote(around(p.firstText(), got))+", as in "+p.ID, fmt.Sprintf("%s, with %d ids", strconv.Quote(around(got, p.firstText())), len(ids)))
		}
	}
}
