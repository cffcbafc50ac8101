package suites

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// stpRules judge stop strings, stop tokens and special tokens (STP).
var stpRules = []rule{
	{clause: "STP-001", reads: []string{"stops"}, judge: cutsAt("twice", func(s stops) string { return s.twice })},
	{clause: "STP-002", reads: []string{"stops"}, judge: both(
		cutsAt("string", func(s stops) string { return s.early }),
		cutsAt("twice", func(s stops) string { return s.twice }))},
	{clause: "STP-003", reads: []string{"stops"}, judge: both(
		cutsAt("order", func(s stops) string { return s.early }),
		cutsAt("disorder", func(s stops) string { return s.early }))},
	{clause: "STP-004", reads: []string{"stops"}, judge: cutsAt("miss", nowhere)},
	{clause: "STP-005", reads: []string{"stops", "logprobs", "logprobs.chat"}, judge: anywhereInTokens},
	{clause: "STP-006", reads: []string{"stops"}, judge: cutsAt("prompt", nowhere)},
	{clause: "STP-007", reads: []string{"stops"}, judge: cutsAt("literal", nowhere)},
	{clause: "STP-008", reads: []string{"stops", "stops.wide"}, judge: spaceAndWide},
	{clause: "STP-009", reads: []string{"stops"}, judge: emptyText},
	{clause: "STP-010", reads: []string{"stops"}, judge: emptyStop},
	{clause: "STP-011", reads: []string{"stops"}, judge: longStopHarmless},
	{clause: "STP-012", reads: []string{"stops", "length", "logprobs", "logprobs.chat"}, judge: countsGenerated},
	{clause: "STP-013", reads: []string{"best_of.candidates", "stops.n"}, judge: stopsEachChoice},
	{clause: "STP-014", reads: []string{"stop_ids"}, judge: idsStop},
	{clause: "STP-015", reads: []string{"stop_ids", "logprobs", "logprobs.chat"}, judge: stopTokenKept},
	{clause: "STP-016", reads: []string{"stop_ids.none", "stop_ids", "det"}, endpoint: true, judge: noIDs},
	{clause: "STP-017", reads: []string{"stop_ids.none"}, endpoint: true, judge: foreignIDs},
	{clause: "STP-018", reads: []string{"stop_ids"}, judge: whicheverFirst},
	{clause: "STP-019", reads: []string{"special"}, endpoint: true, judge: specialHidden},
	{clause: "STP-020", reads: []string{"special"}, endpoint: true, judge: specialShown},
	{clause: "STP-021", reads: []string{"special"}, endpoint: true, judge: nullHides},
	{clause: "STP-022", reads: []string{"special"}, endpoint: true, judge: specialCounted},
	{clause: "STP-023", reads: []string{"stops", "stop_ids"}, judge: stopIsStop},
}

// both runs two judgements on one case.
func both(a, b func(*Case)) func(*Case) { return func(c *Case) { a(c); b(c) } }

func nowhere(stops) string { return "" }

// until is text up to a stop string; all of it where the string is empty.
func until(text, stop string) string {
	if i := strings.Index(text, stop); stop != "" && i >= 0 {
		return text[:i]
	}
	return text
}

// cutsAt expects the known answer up to a stop string.
func cutsAt(label string, of func(stops) string) func(*Case) {
	return func(c *Case) {
		if !c.repeatable() {
			return
		}
		if r := c.answeredAs("stops", label); r != nil {
			c.wantCut(r, c.Facts.Capped, of(stopsOf(c.Facts)))
		}
	}
}

func (c *Case) wantCut(r *reply, text, stop string) {
	why := "the whole answer: no stop string occurs"
	if stop != "" {
		why = "the answer up to " + strconv.Quote(stop)
	}
	c.wantText(r, until(text, stop), why)
}

// knownTokens are the texts of the tokens of the answer to the control prompt,
// from its log probabilities; nil if they are not known.
func (c *Case) knownTokens() []string {
	for _, r := range c.replies {
		if r.ok() && (r.probe == "logprobs" || r.probe == "logprobs.chat") && r.firstText() == c.Facts.Capped && len(r.choices()) > 0 {
			if _, tokens, ok := logprobs(r.choices()[0]); ok && strings.HasPrefix(strings.Join(tokens, ""), c.Facts.Capped) {
				return tokens
			}
		}
	}
	return nil
}

func anywhereInTokens(c *Case) {
	s := stopsOf(c.Facts)
	cutsAt("across", func(s stops) string { return s.across })(c)
	cutsAt("inside", func(s stops) string { return s.inside })(c)
	tokens := c.knownTokens()
	if tokens == nil {
		c.note("the tokens are not known")
		return
	}
	for _, stop := range []string{s.across, s.inside} {
		i := strings.Index(s.text, stop)
		if stop == "" || i < 0 {
			continue
		}
		at := 0
		for _, t := range tokens {
			begin, end := at, at+len(t)
			at = end
			switch {
			case end <= i || begin >= i+len(stop):
			case begin < i && i+len(stop) < end:
				c.note("one inside a token")
			case begin > i:
				c.note("one across a border of tokens")
			}
		}
	}
}

func spaceAndWide(c *Case) {
	cutsAt("spaced", func(s stops) string { return s.spaced })(c)
	if !c.repeatable() {
		return
	}
	for _, r := range c.answers("stops.wide") {
		c.wantCut(r, c.Facts.Wide.Answer, wideStop(c.Facts.Wide.Answer))
	}
}

func emptyText(c *Case) {
	if !c.repeatable() {
		return
	}
	r := c.labelled("stops", "opening")
	switch {
	case r == nil:
	case r.refused() && r.names("stop"):
		c.declined(r)
	case !r.ok():
		c.fail(r, "status", "200: an empty answer is an answer", r.statusLine())
	default:
		c.wantText(r, "", "the answer begins with the stop string")
		if got := r.doc.Get("choices.0.finish_reason"); got.Str != "stop" {
			c.fail(r, "choices.0.finish_reason", `"stop"`, show(got))
		}
		if v := r.doc.Get("choices.0." + textPath[r.route]); v.Raw != `""` && v.Str == "" {
			c.fail(r, textPath[r.route], `""`, show(v))
		}
	}
}

func emptyStop(c *Case) {
	for _, label := range []string{"empty", "empty list"} {
		r := c.labelled("stops", label)
		switch {
		case r == nil:
		case r.isRefusal():
			c.note("refused with %d", r.status())
		case !r.ok():
			c.fail(r, "status", "400, 422 or an answer", r.statusLine())
		case r.firstText() == "":
			c.fail(r, textPath[r.route], "400, 422 or the text without a stop", `""`)
		case c.repeatable():
			c.wantText(r, c.Facts.Capped, "an empty stop string has no effect")
			c.note("without effect")
		}
	}
}

func longStopHarmless(c *Case) {
	if r := c.labelled("stops", "absurd"); r != nil && !r.ok() {
		c.fail(r, "status", "200: a long stop string does not occur", r.statusLine())
	}
}

// countsGenerated counts the tokens of a text by log probabilities, or by the
// longest answer that max_tokens cut and that the text goes on from.
func countsGenerated(c *Case) {
	tokens := c.knownTokens()
	ladder := c.ladder()
	if tokens == nil && len(ladder) == 0 {
		c.inconclusive("the tokens of the known answer are not known: no log probabilities, and no shorter answer that counts its tokens")
		return
	}
	for _, label := range []string{"twice", "across", "inside"} {
		r := c.answeredAs("stops", label)
		if r == nil {
			continue
		}
		text := r.firstText()
		if !strings.HasPrefix(c.Facts.Capped, text) {
			continue // STP-001
		}
		need, at := 0, 0
		for _, t := range tokens {
			if at >= len(text) {
				break
			}
			at += len(t)
			need++
		}
		for shorter, n := range ladder {
			if strings.HasPrefix(text, shorter) {
				need = max(need, n)
			}
		}
		n, ok := r.completionTokens()
		if !ok {
			c.inconclusive("usage does not count the tokens (RSP-002)")
		} else if n < need {
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("at least %d, the tokens of the text", need), strconv.Itoa(n))
		}
	}
}

// ladder are the beginnings of the known answer that max_tokens cut, and how
// many tokens each has.
func (c *Case) ladder() map[string]int {
	out := map[string]int{}
	if c.Facts.Long.Prompt != plainPrompt(c.Route) || !c.Facts.Repeatable {
		return out
	}
	for _, r := range c.replies {
		n, ok := r.completionTokens()
		if r.probe == "length" && r.ok() && ok && n == r.number("max_tokens", 0) && r.firstText() != "" && strings.HasPrefix(c.Facts.Capped, r.firstText()) {
			c.look(r)
			out[r.firstText()] = n
		}
	}
	return out
}

// stopsEachChoice uses a seed: with it the choices are those known without
// the stop string.
func stopsEachChoice(c *Case) {
	whole := c.answers("best_of.candidates")
	r := first(c.answers("stops.n"))
	if len(whole) < 2 || r == nil {
		return
	}
	a, b, cut := whole[0].choices(), whole[1].choices(), r.choices()
	if len(a) != len(b) || len(a) != len(cut) {
		c.inconclusive("the answers hold unlike numbers of choices (RSP-013)")
		return
	}
	for i := range a {
		if whole[0].text(a[i]) != whole[1].text(b[i]) {
			c.inconclusive("the seed does not repeat the choices")
			return
		}
	}
	occurs := 0
	for i := range a {
		text := whole[0].text(a[i])
		want := until(text, "e")
		reason := "stop"
		if want == text {
			reason = a[i].Get("finish_reason").String()
		} else {
			occurs++
		}
		where := fmt.Sprintf("choices.%d", i)
		if got := r.text(cut[i]); got != want {
			c.fail(r, where, strconv.Quote(want)+`: up to its own first "e"`, strconv.Quote(shorten(got, 60)))
		} else if got := cut[i].Get("finish_reason"); got.Str != reason {
			c.fail(r, where+".finish_reason", strconv.Quote(reason), show(got))
		}
	}
	if occurs == 0 {
		c.inconclusive(`no choice holds the stop string "e"`)
	}
}

// firedIDs is the answer that stop tokens ended early, and its label.
func (c *Case) firedIDs() *reply {
	for _, label := range []string{"low", "next"} {
		r := c.answeredAs("stop_ids", label)
		if r == nil {
			return nil
		}
		if n, ok := r.completionTokens(); ok && n < idTokens || len(r.firstText()) < len(c.Facts.Long.Answer)/4 {
			return r
		}
	}
	return nil
}

func idsStop(c *Case) {
	r := c.firedIDs()
	if r == nil {
		if c.status == "" { // both answers came
			low := c.answeredAs("stop_ids", "low")
			c.fail(low, textPath[c.Route], fmt.Sprintf("an end before %d tokens: of 2048 ids some are among the most frequent tokens of any vocabulary", idTokens),
				"no end, with either half of the ids")
		}
		return
	}
	if c.repeatable() && !strings.HasPrefix(c.Facts.Long.Answer, strings.TrimRight(r.firstText(), "\uFFFD")) {
		c.fail(r, textPath[c.Route], "a beginning of the known answer "+strconv.Quote(shorten(c.Facts.Long.Answer, 60)), strconv.Quote(shorten(r.firstText(), 60)))
	}
	if got := r.doc.Get("choices.0.finish_reason"); got.Str != "stop" {
		c.fail(r, "choices.0.finish_reason", `"stop"`, show(got))
	}
}

func stopTokenKept(c *Case) {
	if !c.repeatable() {
		return
	}
	low := c.answeredAs("stop_ids", "low")
	s := c.labelled("stop_ids", "stream")
	if low == nil || s == nil {
		return
	}
	if s.ok() && s.stream != nil && s.streamText(0) != low.firstText() {
		c.fail(s, "the text of all chunks", strconv.Quote(shorten(low.firstText(), 60))+", as in "+low.ID, strconv.Quote(shorten(s.streamText(0), 60)))
	}
	tokens := c.knownTokens()
	n, ok := low.completionTokens()
	switch {
	case c.Facts.Long.Prompt != plainPrompt(c.Route) || !ok || n < 1 || n > len(tokens):
		if c.Profile == schemas.Paper {
			c.inconclusive("the tokens of the answer are not known")
		}
	case low.firstText() == strings.Join(tokens[:n], ""):
		c.note("the stop token stays in the text")
	case low.firstText() == strings.Join(tokens[:n-1], ""):
		c.note("the stop token is left out")
		if c.Profile == schemas.Paper {
			c.fail(low, textPath[c.Route], strconv.Quote(strings.Join(tokens[:n], ""))+", with the stop token", strconv.Quote(low.firstText()))
		}
	}
}

// noIDs reads null from the request whose every parameter is null; what that
// one says is the matter of DET-004.
func noIDs(c *Case) {
	switch r := c.labelled("stop_ids.none", "empty"); {
	case r == nil:
	case r.refused() && r.names("stop_token_ids") && !c.honoured("stop_ids"):
		c.declined(r)
	case !r.ok():
		c.fail(r, "status", "200: no stop token is asked for", r.statusLine())
	case c.repeatable():
		c.wantText(r, c.Facts.Capped, "no stop token is asked for")
	}
	if r := c.labelled("det", "null"); r != nil && !r.ok() && r.names("stop_token_ids") && c.honoured("stop_ids") {
		c.fail(r, "status", "200: stop_token_ids null asks for no stop token", r.statusLine())
	}
}

// honoured is whether any request of a probe was answered.
func (c *Case) honoured(probe string) bool {
	return slices.ContainsFunc(c.replies, func(r *reply) bool { return r.probe == probe && r.ok() })
}

func foreignIDs(c *Case) {
	for _, label := range []string{"negative", "beyond"} {
		switch r := c.labelled("stop_ids.none", label); {
		case r == nil:
		case r.isRefusal():
			c.note("%s: refused with %d", label, r.status())
		case !r.ok():
			c.fail(r, "status", "400, 422 or an answer", r.statusLine())
		case c.repeatable():
			c.wantText(r, c.Facts.Capped, "no such token exists")
			c.note("%s: without effect", label)
		}
	}
}

func whicheverFirst(c *Case) {
	if !c.repeatable() {
		return
	}
	alone := c.answeredAs("stop_ids", "low")
	if alone == nil {
		return
	}
	byID := alone.firstText()
	if n, ok := alone.completionTokens(); ok && n >= idTokens {
		c.inconclusive("the stop tokens do not end the answer by themselves (STP-014)")
		return
	}
	for _, label := range []string{"stop first", "stop later"} {
		r := c.answeredAs("stop_ids", label)
		if r == nil {
			continue
		}
		stop := r.req.Get("stop").String()
		want := until(byID, stop)
		if i := strings.Index(c.Facts.Long.Answer, stop); i >= 0 && i < len(byID) && want == byID {
			want = c.Facts.Long.Answer[:i] // the stop token, where it is trimmed, may hold a part of it
		}
		if got := r.firstText(); got != want && got != until(byID, stop) {
			c.fail(r, textPath[c.Route], strconv.Quote(shorten(want, 60))+": whichever comes first ends it", strconv.Quote(shorten(got, 60)))
		}
	}
}

// specialName is how special tokens are written.
var specialName = regexp.MustCompile(`<\|[^|<>\s]{1,40}\|>|</?(?:s|unk|pad|eos|bos|end_of_turn|start_of_turn)>|\[/?(?:INST|EOS|BOS)\]`)

// behind is what an answer with ignore_eos says behind the place where it
// ended by itself.
func (c *Case) behind(r *reply) string {
	return strings.TrimPrefix(r.firstText(), c.Facts.Short.Answer)
}

func specialHidden(c *Case) {
	hidden := c.answeredAs("special", "hidden")
	if hidden == nil {
		return
	}
	if name := specialName.FindString(hidden.firstText()); name != "" {
		c.fail(hidden, textPath[c.Route], "no special token", strconv.Quote(name))
	}
}

func specialShown(c *Case) {
	hidden, shown := c.answeredAs("special", "hidden"), c.answeredAs("special", "shown")
	if hidden == nil || shown == nil || !c.repeatable() {
		return
	}
	if specialName.FindString(hidden.firstText()) != "" {
		c.inconclusive("special tokens are written in any case (STP-019)")
		return
	}
	if name := specialName.FindString(c.behind(shown)); name != "" {
		c.note("%s", name)
	} else if shown.firstText() == hidden.firstText() {
		c.fail(shown, textPath[c.Route], "the end token behind "+strconv.Quote(shorten(c.Facts.Short.Answer, 40)), "the same text as with skip_special_tokens true")
	}
}

func nullHides(c *Case) {
	if !c.repeatable() {
		return
	}
	hidden := c.answeredAs("special", "hidden")
	if hidden == nil {
		return
	}
	want := strings.TrimRight(hidden.firstText(), "\uFFFD")
	rs := []*reply{c.answeredAs("special", "null")}
	for _, r := range c.replies {
		if r.probe == "short.endless" && r.ok() {
			rs = append(rs, c.look(r)...)
		}
	}
	for _, r := range rs {
		if r != nil && !strings.HasPrefix(r.firstText(), want) {
			c.fail(r, textPath[c.Route], strconv.Quote(around(want, r.firstText()))+", as with skip_special_tokens true", strconv.Quote(around(r.firstText(), want)))
		}
	}
}

func specialCounted(c *Case) {
	for _, label := range []string{"hidden", "shown"} {
		r := c.answeredAs("special", label)
		if r == nil {
			continue
		}
		n, ok := r.completionTokens()
		limit := r.number("max_tokens", 0)
		switch {
		case !ok:
			c.inconclusive("usage does not count the tokens (RSP-002)")
		case n != limit:
			c.fail(r, "usage.completion_tokens", fmt.Sprintf("%d, max_tokens: the answer goes on over the end token", limit), strconv.Itoa(n))
		}
	}
}

func stopIsStop(c *Case) {
	var cut []*reply
	for _, label := range []string{"twice", "string", "across"} {
		if r := c.answeredAs("stops", label); r != nil && r.firstText() != c.Facts.Capped {
			cut = append(cut, r)
		}
	}
	if c.status == reports.Unsupported {
		return
	}
	for _, r := range cut {
		got := r.doc.Get("choices.0.finish_reason")
		if got.Str != "stop" {
			c.fail(r, "choices.0.finish_reason", `"stop"`, show(got))
		}
		if v := r.doc.Get("choices.0.stop_reason"); v.Exists() {
			c.note("stop_reason %s", show(v))
		}
	}
	if len(cut) == 0 {
		c.inconclusive("no stop string ended an answer (STP-001)")
	}
}
