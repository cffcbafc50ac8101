package suites

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/schemas"
)

// logged are the probes whose answers carry log probabilities on the completions
// route, everyLogged those on either.
var (
	logged      = []string{"logprobs", "logprobs.k", "beam.greedy"}
	everyLogged = append(slices.Clip(logged), "logprobs.chat")
)

// logRules judge log probabilities (LOG).
var logRules = []rule{
	{clause: "LOG-001", reads: []string{"logprobs.null", "greedy.stream"}, all: true, judge: notAskedFor},
	{clause: "LOG-002", reads: logged, judge: allFourArrays},
	{clause: "LOG-003", reads: everyLogged, all: true, judge: offsetName},
	{clause: "LOG-004", reads: everyLogged, all: true, judge: equallyLong},
	{clause: "LOG-005", reads: everyLogged, all: true, judge: entryPerToken},
	{clause: "LOG-006", reads: everyLogged, all: true, judge: finiteLogprobs},
	{clause: "LOG-007", reads: everyLogged, all: true, judge: tokensAreText},
	{clause: "LOG-008", reads: everyLogged, all: true, judge: atMostK},
	{clause: "LOG-009", reads: everyLogged, all: true, judge: sampledInTop},
	{clause: "LOG-010", reads: everyLogged, all: true, judge: topAreLogarithms},
	{clause: "LOG-011", reads: everyLogged, all: true, judge: greedyIsHighest},
	{clause: "LOG-012", reads: []string{"logprobs.k"}, judge: zeroIsANumber},
	{clause: "LOG-013", reads: everyLogged, all: true, judge: offsetsGrow},
	{clause: "LOG-014", reads: []string{"logprobs", "logprobs.wide"}, judge: offsetsMeasure},
	{clause: "LOG-015", reads: []string{"logprobs.chat"}, judge: chatNotSilent},
	{clause: "LOG-016", reads: []string{"logprobs.chat", "logprobs.chat.stream"}, judge: contentList},
	{clause: "LOG-018", reads: []string{"bad.numbers", "logprobs.chat"}, judge: topList},
	{clause: "LOG-019", reads: []string{"logprobs.chat"}, judge: bytesOfTokens},
	{clause: "LOG-023", reads: []string{"extra.chat"}, judge: logprobsAreExtra},
	{clause: "LOG-020", reads: []string{"logprobs.absurd"}, judge: tooManyRefused},
	{clause: "LOG-021", reads: []string{"logprobs", "logprobs.chat"}, judge: logprobsKeepText},
	{clause: "LOG-022", reads: []string{"reasons"}, judge: ownLogprobs},
}

// wantsLogprobs is whether a request asks for log probabilities.
func (r *reply) wantsLogprobs() bool {
	v := r.req.Get("logprobs")
	return v.Type == gjson.Number || v.Type == gjson.True
}

// topK is how many alternatives a request asks for.
func (r *reply) topK() int {
	if v := r.req.Get("top_logprobs"); v.Type == gjson.Number {
		return int(v.Int())
	}
	return r.number("logprobs", 0)
}

// entries calls f with the log probabilities object of each choice of each
// plain answer that asked for one and got the array of that name, offsets by
// either of theirs. What is missing is the matter of LOG-002, and of LOG-015 on
// the chat route, where the object may also hold a list.
func (c *Case) entries(name string, f func(r *reply, where string, choice, lp gjson.Result)) {
	any := false
	for _, r := range c.allAnswers() {
		for i, ch := range r.choices() {
			if lp := ch.Get("logprobs"); r.wantsLogprobs() && hasArray(lp, name) {
				any = true
				f(r, fmt.Sprintf("choices.%d.logprobs", i), ch, lp)
			}
		}
	}
	switch {
	case any:
	case c.Route == schemas.Chat:
		c.note("chat answers carry no arrays of log probabilities")
	default:
		c.inconclusive("no answer carries logprobs.%s (LOG-002)", name)
	}
}

// everyEntry calls f with those of the chunks of streams, too.
func (c *Case) everyEntry(name string, f func(r *reply, where string, lp gjson.Result)) {
	c.entries(name, func(r *reply, where string, _, lp gjson.Result) { f(r, where, lp) })
	for _, r := range c.replies {
		if !r.ok() || r.stream == nil || !r.wantsLogprobs() || !c.answerable(r) {
			continue
		}
		c.look(r)
		for _, ck := range r.chunks {
			for i, ch := range ck.doc.Get("choices").Array() {
				if lp := ch.Get("logprobs"); hasArray(lp, name) {
					f(r, fmt.Sprintf("%s, choices.%d.logprobs", event(ck.event), i), lp)
				}
			}
		}
	}
}

// hasArray is whether log probabilities hold the array of that name, offsets by
// either of theirs.
func hasArray(lp gjson.Result, name string) bool {
	return lp.Get(name).IsArray() || name == "text_offset" && lp.Get("text_offsets").IsArray()
}

func notAskedFor(c *Case) {
	for _, r := range c.everyAnswer() {
		if r.wantsLogprobs() {
			continue
		}
		where := "choices.%d.logprobs"
		for i, ch := range r.choices() {
			c.nothing(r, fmt.Sprintf(where, i), ch)
		}
		for _, ck := range r.chunks {
			for i, ch := range ck.doc.Get("choices").Array() {
				c.nothing(r, fmt.Sprintf("event %d, "+where, ck.event, i), ch)
			}
		}
	}
}

func (c *Case) nothing(r *reply, where string, choice gjson.Result) {
	if v := choice.Get("logprobs"); v.Exists() && v.Type != gjson.Null {
		c.fail(r, where, "null or absent: none were asked for", show(v))
	}
}

func allFourArrays(c *Case) {
	for _, p := range logged {
		for _, r := range c.answers(p) {
			for i, ch := range r.choices() {
				where := fmt.Sprintf("choices.%d.logprobs", i)
				lp := ch.Get("logprobs")
				if !lp.IsObject() {
					if r.topK() > 0 { // 0 is the matter of LOG-012
						c.fail(r, where, "an object: logprobs is "+strconv.Itoa(r.topK()), show(lp))
					}
					continue
				}
				for _, name := range []string{"tokens", "token_logprobs", "top_logprobs"} {
					if v := lp.Get(name); !v.IsArray() && (name != "top_logprobs" || r.topK() > 0) {
						c.fail(r, where+"."+name, "an array", show(v))
					}
				}
				if !lp.Get("text_offset").IsArray() && !lp.Get("text_offsets").IsArray() {
					c.fail(r, where+".text_offset", "an array of offsets", show(lp.Get("text_offset")))
				}
			}
		}
	}
}

func offsetName(c *Case) {
	c.entries("text_offset", func(r *reply, where string, _, lp gjson.Result) {
		one, many := lp.Get("text_offset").Exists(), lp.Get("text_offsets").Exists()
		switch {
		case one && many:
			c.fail(r, where, "text_offset or text_offsets", "both")
		case many && c.Profile == schemas.Strict:
			c.fail(r, where, "text_offset", "text_offsets")
		case one && c.Profile == schemas.Paper:
			c.fail(r, where, "text_offsets, as the document prints it", "text_offset")
		case one:
			c.note("text_offset")
		case many:
			c.note("text_offsets")
		}
	})
}

func equallyLong(c *Case) {
	c.everyEntry("tokens", func(r *reply, where string, lp gjson.Result) {
		want := len(lp.Get("tokens").Array())
		for _, name := range fourArrays {
			if name == "top_logprobs" && !lp.Get(name).IsArray() || name == "text_offset" && array(lp, name) == nil {
				continue // LOG-002, LOG-012
			}
			if n := len(array(lp, name)); n != want {
				c.fail(r, where+"."+name, fmt.Sprintf("%d entries, as tokens has", want), fmt.Sprintf("%d", n))
			}
		}
	})
}

func entryPerToken(c *Case) {
	c.entries("token_logprobs", func(r *reply, where string, ch, lp gjson.Result) {
		tokens, ok := r.completionTokens()
		if !ok || len(r.choices()) != 1 || r.number("best_of", 1) > 1 || r.req.Get("stop").Exists() || ch.Get("finish_reason").Str == "content_filter" {
			return
		}
		n, least := len(lp.Get("token_logprobs").Array()), tokens
		if ch.Get("finish_reason").String() == "stop" {
			least-- // the end token need not be there
		}
		if n > tokens || n < least {
			c.fail(r, where+".token_logprobs", fmt.Sprintf("%d entries, one a completion token", tokens), fmt.Sprintf("%d", n))
		}
	})
}

func finiteLogprobs(c *Case) {
	c.everyEntry("token_logprobs", func(r *reply, where string, lp gjson.Result) {
		for i, v := range lp.Get("token_logprobs").Array() {
			if v.Type != gjson.Number || math.IsInf(v.Num, 0) || v.Num > 1e-6 {
				c.fail(r, fmt.Sprintf("%s.token_logprobs.%d", where, i), "a finite number of at most 0", show(v))
			}
		}
	})
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}

func joined(tokens []gjson.Result) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.String())
	}
	return b.String()
}

func tokensAreText(c *Case) {
	if !c.repeatable() {
		return
	}
	c.entries("tokens", func(r *reply, where string, ch, lp gjson.Result) {
		text, tokens := r.text(ch), joined(lp.Get("tokens").Array())
		if ascii(text) && ascii(tokens) && !covers(tokens, text) {
			c.fail(r, where+".tokens", "tokens that join to "+strconv.Quote(around(text, tokens)), strconv.Quote(around(tokens, text)))
		}
	})
}

// covers is whether text is what joined tokens begin with, or what they begin
// with once the names of special tokens are taken out.
func covers(tokens, text string) bool {
	return strings.HasPrefix(tokens, text) || strings.HasPrefix(specialName.ReplaceAllString(tokens, ""), text)
}

func atMostK(c *Case) {
	c.everyEntry("top_logprobs", func(r *reply, where string, lp gjson.Result) {
		for i, top := range lp.Get("top_logprobs").Array() {
			if n := len(top.Map()); n < 1 || n > r.topK()+1 {
				c.fail(r, fmt.Sprintf("%s.top_logprobs.%d", where, i), fmt.Sprintf("1 to %d tokens, logprobs is %d", r.topK()+1, r.topK()), fmt.Sprintf("%d", n))
			}
		}
	})
}

// positions calls f with the token, its value and the alternatives of each
// position that has all three.
func (c *Case) positions(f func(r *reply, where, token string, value float64, top map[string]gjson.Result)) {
	c.everyEntry("top_logprobs", func(r *reply, where string, lp gjson.Result) {
		tokens, values, tops := lp.Get("tokens").Array(), lp.Get("token_logprobs").Array(), lp.Get("top_logprobs").Array()
		for i := range min(len(tokens), len(values), len(tops)) {
			if tops[i].IsObject() && values[i].Type == gjson.Number {
				f(r, fmt.Sprintf("%s.top_logprobs.%d", where, i), tokens[i].String(), values[i].Num, tops[i].Map())
			}
		}
	})
}

func sampledInTop(c *Case) {
	c.positions(func(r *reply, where, token string, value float64, top map[string]gjson.Result) {
		v, ok := top[token]
		switch {
		case !ok && partial(token):
			c.note("tokens that are part of a character go by other names in top_logprobs")
		case !ok:
			c.fail(r, where, "the sampled token "+strconv.Quote(token), "other tokens only")
		case math.Abs(v.Num-value) > 1e-4:
			c.fail(r, where, fmt.Sprintf("%v for %s, as in token_logprobs", value, strconv.Quote(token)), show(v))
		}
	})
}

// partial is whether a token may be part of a character.
func partial(token string) bool {
	return token == "" || strings.ContainsRune(token, utf8.RuneError) || strings.HasPrefix(token, "bytes:")
}

func topAreLogarithms(c *Case) {
	c.positions(func(r *reply, where, _ string, _ float64, top map[string]gjson.Result) {
		mass := 0.0
		for token, v := range top {
			if v.Num > 1e-6 || v.Type != gjson.Number {
				c.fail(r, where, "logarithms of probabilities, at most 0", strconv.Quote(token)+": "+show(v))
				return
			}
			mass += math.Exp(v.Num)
		}
		if mass > 1.001 {
			c.fail(r, where, "probabilities that sum to at most 1", fmt.Sprintf("%.4f", mass))
		}
	})
}

// greedyIsHighest asks nothing of a target whose greedy answers differ: its
// choice is not the likeliest then, whatever the log probabilities are.
func greedyIsHighest(c *Case) {
	if !c.repeatable() {
		return
	}
	any := false
	c.positions(func(r *reply, where, token string, value float64, top map[string]gjson.Result) {
		if !r.greedy() {
			return
		}
		any = true
		for other, v := range top {
			if v.Num > value+1e-4 {
				c.fail(r, where, fmt.Sprintf("at most %v, that of the greedy choice %s", value, strconv.Quote(token)), strconv.Quote(other)+": "+show(v))
				return
			}
		}
	})
	if !any && c.Route == schemas.Completions {
		c.inconclusive("no greedy answer carries top_logprobs (LOG-002)")
	}
}

func zeroIsANumber(c *Case) {
	r := c.answeredAs("logprobs.k", "0")
	if r == nil {
		return
	}
	for i, ch := range r.choices() {
		where := fmt.Sprintf("choices.%d.logprobs", i)
		lp := ch.Get("logprobs")
		if !lp.Get("token_logprobs").IsArray() {
			c.fail(r, where, "the values of the sampled tokens: logprobs is 0", show(lp))
			continue
		}
		for j, top := range lp.Get("top_logprobs").Array() {
			if n := len(top.Map()); n > 1 {
				c.fail(r, fmt.Sprintf("%s.top_logprobs.%d", where, j), "the sampled token alone", fmt.Sprintf("%d tokens", n))
			}
		}
	}
}

func offsetsGrow(c *Case) {
	c.entries("text_offset", func(r *reply, where string, _, lp gjson.Result) {
		last := int64(0)
		for i, v := range array(lp, "text_offset") {
			switch {
			case v.Type != gjson.Number:
				c.fail(r, fmt.Sprintf("%s.text_offset.%d", where, i), "a number", show(v))
			case i == 0 && v.Int() != 0:
				c.fail(r, where+".text_offset.0", "0, the beginning of the answer", show(v))
			case v.Int() < last:
				c.fail(r, fmt.Sprintf("%s.text_offset.%d", where, i), fmt.Sprintf("at least %d, the offset before", last), show(v))
			}
			last = v.Int()
		}
	})
}

// units measure a token; the first is the one wanted.
var units = []struct {
	name string
	of   func(string) int
}{
	{"code points", utf8.RuneCountInString},
	{"bytes", func(s string) int { return len(s) }},
	{"UTF-16 units", func(s string) int { return len(utf16.Encode([]rune(s))) }},
}

func offsetsMeasure(c *Case) {
	for _, p := range []string{"logprobs", "logprobs.wide"} {
		for _, r := range c.answers(p) {
			if len(r.choices()) == 0 {
				continue
			}
			lp := r.choices()[0].Get("logprobs")
			offsets, tokens := array(lp, "text_offset"), lp.Get("tokens").Array()
			if len(offsets) < 2 || len(tokens) < len(offsets) {
				c.inconclusive("probe %s gave no two offsets (LOG-002)", p)
				continue
			}
			c.measure(r, offsets, tokens)
		}
	}
}

func (c *Case) measure(r *reply, offsets, tokens []gjson.Result) {
	fits := make([]bool, len(units))
	for u := range units {
		fits[u] = true
	}
	for i := 1; i < len(offsets); i++ {
		token := tokens[i-1].String()
		if partial(token) {
			continue
		}
		step := int(offsets[i].Int() - offsets[i-1].Int())
		for u, unit := range units {
			fits[u] = fits[u] && step == unit.of(token)
		}
	}
	if fits[0] {
		if !ascii(joined(tokens)) {
			c.note("code points")
		}
		return
	}
	seen := "another measure"
	for u, unit := range units {
		if fits[u] {
			seen = unit.name
		}
	}
	c.fail(r, "choices.0.logprobs.text_offset", "steps of the length of each token in code points", seen)
}

func chatNotSilent(c *Case) {
	for _, r := range c.sent("logprobs.chat") {
		switch {
		case r.refused() && r.names("logprobs"):
			c.note("refused by name")
			if c.Profile == schemas.Paper {
				c.fail(r, "status", "200 with the four arrays", r.statusLine())
			}
		case !r.ok() || len(r.choices()) == 0:
			c.fail(r, "status", "log probabilities, or a refusal that names logprobs", r.statusLine())
		default:
			lp := r.choices()[0].Get("logprobs")
			switch {
			case lp.Get("token_logprobs").IsArray():
				c.note("four arrays")
			case lp.Get("content").IsArray() && c.Profile != schemas.Paper:
				c.note("content list")
			default:
				c.fail(r, "choices.0.logprobs", "log probabilities, as were asked for", show(lp))
			}
		}
	}
}

func tooManyRefused(c *Case) {
	for _, r := range c.sent("logprobs.absurd") {
		switch {
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "400 or 422: 1000 log probabilities a token", r.statusLine())
		default:
			n := 0
			for _, ch := range r.choices() {
				for _, top := range ch.Get("logprobs.top_logprobs").Array() {
					n = max(n, len(top.Map()))
				}
				for _, token := range ch.Get("logprobs.content").Array() {
					n = max(n, len(token.Get("top_logprobs").Array()))
				}
			}
			if n < tooMany/2 { // tokens that read alike share a key
				c.fail(r, "choices.0.logprobs", "a refusal, or 1000 tokens", fmt.Sprintf("%d tokens", n))
			}
		}
	}
}

func logprobsKeepText(c *Case) {
	probe := map[schemas.Route]string{schemas.Completions: "logprobs", schemas.Chat: "logprobs.chat"}[c.Route]
	if !c.repeatable() {
		return
	}
	for _, r := range c.answers(probe) {
		c.wantText(r, c.Facts.Capped, "the greedy answer without logprobs")
	}
}

func ownLogprobs(c *Case) {
	differ := false
	for _, r := range c.answers("reasons") {
		texts := map[string]bool{}
		for i, ch := range r.choices() {
			lps, tokens, ok := logprobs(ch)
			if !ok {
				if r.text(ch) != "" {
					c.inconclusive("the choices carry no log probabilities")
				}
				continue
			}
			text, own := r.text(ch), strings.Join(tokens, "")
			texts[text] = true
			if len(lps) != len(tokens) || ascii(text) && ascii(own) && !covers(own, text) {
				c.fail(r, fmt.Sprintf("choices.%d.logprobs", i), "tokens that begin with the choice's text "+strconv.Quote(around(text, own)), strconv.Quote(around(own, text)))
			}
		}
		differ = differ || len(texts) > 1
	}
	if !differ && len(c.findings) == 0 {
		c.inconclusive("all choices say the same, so that whose log probabilities they have cannot be told")
	}
}
