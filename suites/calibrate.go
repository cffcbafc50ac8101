package suites

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// Facts are what calibration learned of one route. Rules read them; a rule
// whose fact is missing is inconclusive, with the reason.
type Facts struct {
	Route schemas.Route
	// target is the endpoint and what its owner says of it.
	target Target
	// Served is whether the control request (K1) was answered; Why says why not.
	Served bool
	Why    string
	// Alone is whether no other route of the target is served.
	Alone bool
	// Repeatable is whether the same request at temperature 0 gave the same
	// text each time (K2).
	Repeatable bool
	// IgnoreEOS is what the target makes of ignore_eos (K7, K8).
	IgnoreEOS Support
	// Long is a prompt whose answer goes on for at least longTokens tokens (K3).
	Long Sample
	// Short is a prompt whose answer ends by itself (K3).
	Short Sample
	// Capped is the greedy answer to the control prompt, cut at capped tokens.
	Capped string
	// Wide is a prompt whose answer holds characters of three or more bytes, and
	// none that was cut.
	Wide Sample
	// Context is the context length in tokens, 0 if unknown (K5).
	Context int
	// Filler is a prompt that nearly fills the context; Tokens counts the prompt.
	Filler Sample
	// list is what a report shows, in the order in which it was learned.
	list []reports.Fact
}

// A Sample is a prompt and its greedy answer.
type Sample struct {
	Prompt string
	Answer string
	// Tokens is usage.completion_tokens of the answer, 0 if not reported.
	Tokens int
	// Prompted is usage.prompt_tokens, 0 if not reported.
	Prompted int
}

func (s Sample) known() bool { return s.Prompt != "" }

// Support says what a target makes of an optional parameter.
type Support int

// A parameter is unknown until tried; a target honours it, refuses it, or
// takes it without effect.
const (
	Unknown Support = iota
	Honoured
	Refused
	Ignored
)

func (s Support) String() string {
	return [...]string{"unknown", "honoured", "refused", "silently ignored"}[s]
}

const (
	longTokens  = 96 // asked of the long answer
	longEnough  = 64 // STR-022 looks at streams of at least as many
	shortTokens = 64 // the answer that ends by itself must fit
	wideTokens  = 32 // asked of the answer with multi-byte characters
	repeats     = 3  // greedy repeats
	fillers     = 4  // prompts that are tried to fill the context
)

// Prompts to choose from, in order of preference. None needs a clever model:
// what matters is only whether an answer goes on, ends, or is not ASCII.
var (
	longPrompts = map[schemas.Route][]string{
		schemas.Completions: {"Once upon a time there was a little girl who", "Write a long story about a dragon."},
		schemas.Chat:        {"Write a long story about a dragon.", "Tell me a very long story about a little girl."},
	}
	shortPrompts = []string{"What's the distance to the moon?", "What is the capital of France?", "Is ice cold? Answer yes or no.", "Say hello."}
	widePrompts  = []string{"Say hello in Korean.", "Repeat exactly: 안녕하세요 친구", "안녕하세요", "你好！请用中文回答：今天天气怎么样？"}
)

// calibrate learns the facts of a route. It never fails: what it cannot learn
// is said in the facts.
func (s *session) calibrate(ctx context.Context, route schemas.Route) *Facts {
	f := &Facts{Route: route, target: s.target}
	s.control(ctx, f)
	if f.Served {
		s.findLong(ctx, f)
		s.steady(ctx, f)
		s.findShort(ctx, f)
		s.findWide(ctx, f)
		s.findContext(ctx, f)
	}
	return f
}

func (f *Facts) learn(name string, ok bool, format string, a ...any) {
	f.list = append(f.list, reports.Fact{Name: name, Route: string(f.Route), OK: ok, Value: fmt.Sprintf(format, a...)})
}

// greedy is a request whose answer should be repeatable.
func (f *Facts) greedy(maxTokens int) body { return body{"temperature": 0, "max_tokens": maxTokens} }

// endless adds ignore_eos unless the target refuses it.
func (f *Facts) endless(b body) body {
	if f.IgnoreEOS != Refused {
		b["ignore_eos"] = true
	}
	return b
}

// natural asks for an answer that may end by itself. The default of ignore_eos
// differs between sources (C32), so it is sent unless the target refuses it.
func (f *Facts) natural(b body) body {
	if f.IgnoreEOS != Refused {
		b["ignore_eos"] = false
	}
	return b
}

// plainPrompt is the prompt of the control request and of every probe that
// asks for nothing special.
func plainPrompt(route schemas.Route) string { return longPrompts[route][0] }

// control sends the control request (K1) and repeats it (K2).
func (s *session) control(ctx context.Context, f *Facts) {
	var texts []string
	for range repeats {
		r := s.post(ctx, f.Route, "control", f.greedy(capped).prompt(f.Route, plainPrompt(f.Route)), false)
		switch {
		case r.Response == nil:
			f.Why = "the control request got no answer: " + r.Error
		case r.status() == http.StatusNotFound || r.status() == http.StatusMethodNotAllowed:
			f.Why = fmt.Sprintf("the route is not served (HTTP %d)", r.status())
		case r.status()/100 == 3 && r.Response.Header.Get("Location") != "":
			f.Why = fmt.Sprintf("the control request is sent elsewhere (HTTP %d), to %s; check that URL", r.status(), shorten(r.Response.Header.Get("Location"), 160))
		case !r.ok() && r.message() == "":
			f.Why = fmt.Sprintf("the control request was refused (HTTP %d) without a word", r.status())
		case !r.ok():
			f.Why = fmt.Sprintf("the control request was refused (HTTP %d): %s", r.status(), shorten(r.message(), 160))
		default:
			texts = append(texts, r.firstText())
			continue
		}
		f.learn("control request", false, "%s", f.Why)
		return
	}
	f.Served = true
	f.learn("control request", true, "answered")
	f.Capped = texts[0]
	f.Repeatable = texts[0] != "" && len(slices.Compact(texts)) == 1
}

// steady repeats the long answer, where the control's were equal: a target that
// draws a little may repeat a short answer by chance, and a long one hardly (K2).
func (s *session) steady(ctx context.Context, f *Facts) {
	n := repeats
	if f.Repeatable && f.Long.known() {
		r := s.post(ctx, f.Route, "long", f.endless(f.greedy(longTokens)).prompt(f.Route, f.Long.Prompt), false)
		f.Repeatable = r.firstText() == f.Long.Answer
		n++
	}
	if f.Repeatable {
		f.learn("repeatable at temperature 0", true, "%d of %d answers equal", n, n)
	} else {
		f.learn("repeatable at temperature 0", false, "of %d requests some gave different answers, or empty ones", n)
	}
}

// findLong looks for a prompt whose answer goes on, with ignore_eos if the
// target takes it.
func (s *session) findLong(ctx context.Context, f *Facts) {
	for _, prompt := range longPrompts[f.Route] {
		r := s.post(ctx, f.Route, "long", f.endless(f.greedy(longTokens)).prompt(f.Route, prompt), false)
		if r.refused() && r.unanswered() == "" && f.IgnoreEOS != Refused {
			f.IgnoreEOS = Refused
			r = s.post(ctx, f.Route, "long", f.greedy(longTokens).prompt(f.Route, prompt), false)
		}
		text := r.firstText()
		n, counted := r.completionTokens()
		if !r.ok() || counted && n < longEnough || len(text) < 2*longEnough {
			continue
		}
		f.Long = Sample{Prompt: prompt, Answer: text, Tokens: n}
		f.learn("an answer that goes on", true, "%d tokens after %q", n, prompt)
		return
	}
	f.learn("an answer that goes on", false, "no prompt gave %d tokens", longEnough)
}

// findShort looks for a prompt whose answer ends by itself, then asks for the
// same answer with ignore_eos to see whether that is honoured.
func (s *session) findShort(ctx context.Context, f *Facts) {
	for _, prompt := range shortPrompts {
		r := s.post(ctx, f.Route, "short", f.natural(f.greedy(shortTokens)).prompt(f.Route, prompt), false)
		n, _ := r.completionTokens()
		c := r.choices()
		if !r.ok() || len(c) == 0 || r.firstText() == "" || c[0].Get("finish_reason").String() == "length" || n >= shortTokens {
			continue
		}
		f.Short = Sample{Prompt: prompt, Answer: r.firstText(), Tokens: n, Prompted: int(r.doc.Get("usage.prompt_tokens").Int())}
		f.learn("an answer that ends by itself", true, "%d tokens after %q", n, prompt)
		break
	}
	if !f.Short.known() {
		f.learn("an answer that ends by itself", false, "no prompt ended within %d tokens", shortTokens)
		f.learn("ignore_eos", false, "%s: no answer ends by itself to see the effect", f.IgnoreEOS)
		return
	}
	if f.IgnoreEOS != Refused {
		f.IgnoreEOS = Ignored
		r := s.post(ctx, f.Route, "short.endless", f.endless(f.greedy(shortTokens)).prompt(f.Route, f.Short.Prompt), false)
		if r.ok() && (len(r.firstText()) > len(f.Short.Answer) || !strings.HasPrefix(f.Short.Answer, r.firstText())) {
			f.IgnoreEOS = Honoured
		}
	}
	f.learn("ignore_eos", f.IgnoreEOS == Honoured, "%s", f.IgnoreEOS)
}

// findWide looks for an answer with characters of three or four bytes.
func (s *session) findWide(ctx context.Context, f *Facts) {
	for _, prompt := range widePrompts {
		r := s.post(ctx, f.Route, "wide", f.natural(f.greedy(wideTokens)).prompt(f.Route, prompt), false)
		text := r.firstText()
		if r.ok() && !strings.ContainsRune(text, utf8.RuneError) && strings.ContainsFunc(text, func(c rune) bool { return utf8.RuneLen(c) >= 3 }) {
			n, _ := r.completionTokens()
			f.Wide = Sample{Prompt: prompt, Answer: text, Tokens: n}
			f.learn("an answer with multi-byte characters", true, "%s after %q", strconv.Quote(shorten(text, 40)), prompt)
			return
		}
	}
	f.learn("an answer with multi-byte characters", false, "no prompt gave one")
}

// beyondContext is more than any context; the refusal usually says the limit.
const beyondContext = 10_000_000

var integers = regexp.MustCompile(`\d+`)

// findContext reads the context length from the refusal of an absurd
// max_tokens (K5). A target that accepts it keeps its limit to itself.
func (s *session) findContext(ctx context.Context, f *Facts) {
	if !f.Short.known() {
		f.learn("context length", false, "not looked for: no short answer to ask it with")
		return
	}
	r := s.post(ctx, f.Route, "limits", f.natural(f.greedy(beyondContext)).prompt(f.Route, f.Short.Prompt), false)
	if r.refused() && r.unanswered() == "" {
		for _, d := range integers.FindAllString(r.message(), -1) {
			if n, err := strconv.Atoi(d); err == nil && n >= 128 && n < beyondContext && n != r.status() {
				f.Context = n
				s.fill(ctx, f)
				f.learn("context length", true, "%d tokens, as the refusal of max_tokens %d says", n, beyondContext)
				return
			}
		}
	}
	f.learn("context length", false, "the target does not say (HTTP %d to max_tokens %d)", r.status(), beyondContext)
}

// nearFull is how few tokens a filler should leave of the context: few, so that
// an answer reaches the end of the context before it ends by itself.
const nearFull = 8

// fill looks for a prompt that leaves room for few tokens. What a group of words
// costs (K6) follows from two prompts.
func (s *session) fill(ctx context.Context, f *Facts) {
	if f.Context > maxContext {
		return
	}
	var groups, tokens int // of the prompt before
	for next, try := 8, 0; try < fillers; try++ {
		// The end asks for an answer that does not end at once.
		prompt := strings.Repeat(fourWords+" ", next) + plainPrompt(f.Route)
		r := s.post(ctx, f.Route, "filler", f.natural(f.greedy(1)).prompt(f.Route, prompt), false)
		n := int(r.doc.Get("usage.prompt_tokens").Int())
		if !r.ok() || n < 8 {
			return
		}
		if left := f.Context - n; left >= 2 && (!f.Filler.known() || n > f.Filler.Tokens) {
			f.Filler = Sample{Prompt: prompt, Tokens: n}
			if left <= nearFull {
				return
			}
		}
		if next == groups || n == tokens {
			return
		}
		slope := float64(n-tokens) / float64(next-groups)
		groups, tokens = next, n
		// The first guess stays clear of the end, since what a template adds counts
		// as words in it.
		next += int(float64(f.Context-2-n)/slope) - map[bool]int{true: 4}[try == 0]
		next = max(1, next)
	}
}
