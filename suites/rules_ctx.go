package suites

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ctxRules judge the context length (CTX).
var ctxRules = []rule{
	{clause: "CTX-001", reads: []string{"ctx"}, judge: overRefused},
	{clause: "CTX-002", reads: []string{"ctx", "context"}, judge: exactFits},
	{clause: "CTX-003", reads: []string{"ctx"}, judge: beyondRefused},
	{clause: "CTX-004", reads: []string{"words"}, judge: promptWhole},
	{clause: "CTX-005", reads: []string{"ctx.default"}, judge: defaultCounts},
	{clause: "CTX-006", reads: []string{"ctx.rest"}, judge: func(c *Case) {
		for _, r := range c.sent("ctx.rest") {
			if !r.ok() {
				c.fail(r, "status", fmt.Sprintf("200: %d tokens are left, and max_tokens is left out", c.Facts.Context-c.Facts.Filler.Tokens), r.statusLine())
			} else if n, ok := r.count("total_tokens"); ok && n > c.Facts.Context {
				c.fail(r, "usage.total_tokens", fmt.Sprintf("at most %d, the context", c.Facts.Context), strconv.Itoa(n))
			}
		}
	}},
	{clause: "CTX-007", reads: []string{"ctx"}, judge: limitTold},
	{clause: "CTX-008", reads: []string{"ctx"}, judge: choicesShareContext},
	{clause: "CTX-009", reads: []string{"ctx"}, judge: contextErrorIsPlain},
	{clause: "CTX-010", reads: []string{"ctx"}, judge: templateFills},
}

func overRefused(c *Case) {
	if r := c.labelled("ctx", "over"); r != nil && !r.isRefusal() {
		c.fail(r, "status", fmt.Sprintf("400 or 422: prompt and max_tokens are %d, one more than the context", c.Facts.Context+1), r.statusLine())
	}
}

func (c *Case) wantFit(r *reply, what string) {
	if r != nil && !r.ok() {
		c.fail(r, "status", fmt.Sprintf("200: prompt and max_tokens are %d, the context%s", c.Facts.Context, what), r.statusLine())
	}
}

func exactFits(c *Case) { c.wantFit(c.labelled("ctx", "exact"), "") }

func beyondRefused(c *Case) {
	if r := c.labelled("ctx", "beyond"); r != nil && !r.isRefusal() && r.status() != 413 {
		c.fail(r, "status", "400, 413 or 422: the prompt is longer than the context", r.statusLine())
	}
}

// promptWhole compares what prompts of repeated words cost: the short ones of
// the probe tell how much a word is, and those of calibration reach up to the
// context.
func promptWhole(c *Case) {
	type point struct {
		r             *reply
		words, tokens int
	}
	var points []point
	for _, r := range append(c.answers("words"), c.of("filler")...) {
		text := r.req.Get("prompt").String()
		if m := r.req.Get("messages.0.content"); m.Exists() {
			text = m.String()
		}
		if n, ok := r.count("prompt_tokens"); ok {
			points = append(points, point{r, len(strings.Fields(text)), n})
		}
	}
	slices.SortStableFunc(points, func(a, b point) int { return a.words - b.words })
	if len(points) < 4 || points[len(points)-1].words < 64 {
		c.inconclusive("no long prompt was counted (K6)")
		return
	}
	slope := float64(points[2].tokens-points[0].tokens) / float64(points[2].words-points[0].words)
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if b.words == a.words {
			continue
		}
		if least := slope * 3 / 4 * float64(b.words-a.words); float64(b.tokens-a.tokens) < least {
			c.fail(b.r, "usage.prompt_tokens", fmt.Sprintf("at least %d for %d words: %d words cost %d in %s", a.tokens+int(least), b.words, a.words, a.tokens, a.r.ID), strconv.Itoa(b.tokens))
		}
	}
}

func defaultCounts(c *Case) {
	for _, r := range c.sent("ctx.default") {
		switch tokens, _ := r.completionTokens(); {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "400 or 422, or a shorter answer with length", r.statusLine())
		case tokens < 16 && r.doc.Get("choices.0.finish_reason").Str == "length":
			c.note("a shorter answer, with length")
		case tokens < 16:
			c.note("the answer ended by itself")
		default:
			c.fail(r, "usage.completion_tokens", "less than 16, what is left of the context", strconv.Itoa(tokens))
		}
	}
}

func limitTold(c *Case) {
	for _, label := range []string{"over", "beyond"} {
		r := c.labelled("ctx", label)
		if r == nil || !r.refused() {
			continue
		}
		told := slices.Contains(integers.FindAllString(string(r.Response.Body), -1), strconv.Itoa(c.Facts.Context))
		if !told && !strings.Contains(string(r.Response.Body), "context_length_exceeded") {
			c.fail(r, "body", fmt.Sprintf("the limit %d, or the code context_length_exceeded", c.Facts.Context), shorten(string(r.Response.Body), 120))
		}
	}
}

func choicesShareContext(c *Case) {
	r := c.labelled("ctx", "n")
	if r != nil && r.refused() && r.names("n") && !strings.Contains(r.message(), strconv.Itoa(c.Facts.Context)) {
		c.settle("unsupported", "the target refuses n: "+shorten(r.message(), 120))
		return
	}
	c.wantFit(r, ", for each of two choices")
}

func contextErrorIsPlain(c *Case) {
	r := c.labelled("ctx", "stream")
	switch {
	case r == nil:
	case !r.isRefusal():
		c.fail(r, "status", "400 or 422, as without stream", r.statusLine())
	case r.looksSSE():
		c.fail(r, "body", "a plain refusal", "server-sent events")
	}
}

func templateFills(c *Case) {
	over, exact := c.labelled("ctx", "over"), c.labelled("ctx", "exact")
	c.wantFit(exact, " with the template")
	if over != nil && !over.isRefusal() {
		c.fail(over, "status", "400 or 422: with the template it is one token more than the context", over.statusLine())
	}
}
