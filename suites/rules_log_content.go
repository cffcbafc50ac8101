package suites

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// This file judges log probabilities in the form of OpenAI's chat route, a list
// of tokens, and those of azure-inference, to which they are extra.

// contents calls f with each entry of a logprobs.content list of an answer,
// streamed or not, and returns how many there were.
func (r *reply) contents(f func(where string, entry gjson.Result)) int {
	n := 0
	list := func(where string, choice gjson.Result) {
		for i, e := range choice.Get("logprobs.content").Array() {
			n++
			f(fmt.Sprintf("%s.logprobs.content.%d", where, i), e)
		}
	}
	for i, ch := range r.choices() {
		list(fmt.Sprintf("choices.%d", i), ch)
	}
	for _, ck := range r.chunks {
		for i, ch := range ck.doc.Get("choices").Array() {
			list(fmt.Sprintf("event %d, choices.%d", ck.event, i), ch)
		}
	}
	return n
}

func contentList(c *Case) {
	for _, r := range append(c.answers("logprobs.chat"), c.streams("logprobs.chat.stream")...) {
		n := r.contents(func(where string, e gjson.Result) {
			for name, right := range map[string]bool{
				"token": e.Get("token").Type == gjson.String, "logprob": e.Get("logprob").Type == gjson.Number,
				"bytes":        e.Get("bytes").IsArray() || e.Get("bytes").Raw == "null",
				"top_logprobs": e.Get("top_logprobs").IsArray(),
			} {
				if !right {
					want := map[string]string{"token": "text", "logprob": "a number", "bytes": "a list or null", "top_logprobs": "a list"}[name]
					c.fail(r, where+"."+name, want, show(e.Get(name)))
				}
			}
		})
		want, counted := r.completionTokens()
		switch {
		case n == 0:
			c.fail(r, "choices.0.logprobs.content", "a list with an entry for each token", show(r.doc.Get("choices.0.logprobs")))
		case counted && n != want:
			c.fail(r, "choices.0.logprobs.content", fmt.Sprintf("%d entries, one for each token", want), strconv.Itoa(n))
		}
	}
}

// topList expects bad values of top_logprobs to be refused, and lists of the
// length that was asked for.
func topList(c *Case) {
	for _, n := range reqNegatives {
		if n.clause == "LOG-018" {
			c.refusesAll(n)
		}
	}
	for _, r := range c.answers("logprobs.chat") {
		r.contents(func(where string, e gjson.Result) {
			top := e.Get("top_logprobs").Array()
			if len(top) > r.topK() {
				c.fail(r, where+".top_logprobs", fmt.Sprintf("at most %d", r.topK()), strconv.Itoa(len(top)))
			}
			for i := 1; i < len(top); i++ {
				if top[i].Get("logprob").Num > top[i-1].Get("logprob").Num {
					c.fail(r, where+".top_logprobs", "the most likely first", show(e.Get("top_logprobs")))
					break
				}
			}
		})
	}
}

// bytesOfTokens compares bytes with the text. A token that holds a part of a
// character has no text of its own, and is left out.
func bytesOfTokens(c *Case) {
	for _, r := range c.answers("logprobs.chat") {
		seen := 0
		r.contents(func(where string, e gjson.Result) {
			token, v := e.Get("token").Str, e.Get("bytes")
			if !v.IsArray() || strings.Contains(token, "\uFFFD") {
				return
			}
			seen++
			var got []int
			if err := json.Unmarshal([]byte(v.Raw), &got); err != nil || len(got) != len(token) {
				c.fail(r, where+".bytes", fmt.Sprintf("the %d bytes of %q", len(token), token), show(v))
				return
			}
			for i := range got {
				if got[i] != int(token[i]) {
					c.fail(r, where+".bytes", fmt.Sprint([]byte(token)), show(v))
					return
				}
			}
		})
		if seen == 0 {
			c.note("bytes is null or absent")
		}
	}
}

func logprobsAreExtra(c *Case) {
	if r := c.labelled("extra.chat", "logprobs"); r != nil {
		c.wantRefusal(r, "logprobs is an extra parameter (C48)")
	}
	// As a number, which the source document has, and as a switch, which OpenAI has:
	// the model knows one of them.
	number, flag := c.labelled("extra.chat", "logprobs passed"), c.labelled("extra.chat", "logprobs true passed")
	if number == nil || flag == nil {
		return
	}
	for _, r := range []*reply{number, flag} {
		if v := r.doc.Get("choices.0.logprobs"); r.ok() && v.IsObject() {
			return
		}
	}
	switch {
	case number.refused() && flag.refused() && (number.names("logprobs") || flag.names("logprobs")):
		c.settle("unsupported", "the model refuses logprobs: "+shorten(number.message(), 120))
	default:
		c.fail(number, "choices.0.logprobs", "log probabilities: logprobs was passed through", number.statusLine()+", "+show(number.doc.Get("choices.0.logprobs")))
	}
}
