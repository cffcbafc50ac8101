package suites

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A transcript is a hand-made exchange: what a probe sent and got.
type transcript struct {
	probe  string
	label  string
	wire   wire // where the request differs from a JSON POST to the route
	sent   body
	status int
	header http.Header
	body   string
	// every is the time between the events of a stream.
	every time.Duration
	// at is when the request was sent, after the others.
	at   time.Duration
	late time.Duration // before the first event
	took time.Duration
	// headers is the time until the header, for rules on time.
	headers time.Duration
	error   string
	cut     bool // the message did not end
}

var clock = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// reply is the transcript as the judge sees it.
func (t transcript) reply(f *Facts, id int) *reply {
	raw, err := json.Marshal(t.sent)
	if err != nil {
		panic(err)
	}
	if t.wire.raw != nil {
		raw = t.wire.raw
	}
	route := f.Route
	x := &exchange.Exchange{
		ID: exchangeID{route, t.probe, t.label, id + 1}.String(), Started: clock.Add(t.at), End: t.took + 100*time.Millisecond, Headers: t.headers, Error: t.error,
		Request: exchange.Request{
			Method: cmp.Or(t.wire.method, "POST"), URL: "http://target" + cmp.Or(t.wire.path, f.target.path(route)),
			Header: t.wire.header, Body: raw,
		},
	}
	if t.status != 0 {
		h := t.header
		head := fmt.Sprintf("HTTP/1.1 %d\r\n", t.status)
		for k, vs := range h {
			for _, v := range vs {
				head += k + ": " + v + "\r\n"
			}
		}
		x.Response = &exchange.Response{Status: t.status, Header: h, Head: []byte(head + "\r\n"), Body: []byte(t.body), Complete: !t.cut}
		at := t.late
		for end := 0; end < len(t.body); {
			next := strings.Index(t.body[end:], "\n\n")
			if next < 0 {
				end = len(t.body)
			} else {
				end += next + 2
			}
			at += t.every
			x.Response.Reads = append(x.Response.Reads, exchange.Read{At: at, End: end})
		}
	}
	return newReply(route, t.probe, x)
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "X-Ms-Request-Id": {"r"}, "Date": {clock.Format(http.TimeFormat)}}
}

func sseHeader() http.Header {
	return http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-cache"}}
}

// A choice of the target that plays the good one.
type made struct {
	pieces   []string
	reason   string
	logprobs []float64
}

func (m made) text() string { return strings.Join(m.pieces, "") }

func (m made) probabilities() string {
	if m.logprobs == nil {
		return "null"
	}
	var lps, toks, tops, offs []string
	at := 0
	for i, p := range m.pieces {
		q, _ := json.Marshal(p)
		lps, toks = append(lps, fmt.Sprint(m.logprobs[i])), append(toks, string(q))
		tops, offs = append(tops, fmt.Sprintf("{%s:%v}", q, m.logprobs[i])), append(offs, fmt.Sprint(at))
		at += utf8.RuneCountInString(p)
	}
	return fmt.Sprintf(`{"tokens":[%s],"token_logprobs":[%s],"top_logprobs":[%s],"text_offset":[%s]}`,
		strings.Join(toks, ","), strings.Join(lps, ","), strings.Join(tops, ","), strings.Join(offs, ","))
}

var serial int

// plainly is a good answer.
func plainly(route schemas.Route, probe string, sent body, choices ...made) transcript {
	serial++
	var cs []string
	tokens := 0
	for i, c := range choices {
		q, _ := json.Marshal(c.text())
		content := `"text":` + string(q)
		if route == schemas.Chat {
			content = `"message":{"role":"assistant","content":` + string(q) + `}`
		}
		cs = append(cs, fmt.Sprintf(`{"index":%d,%s,"logprobs":%s,"finish_reason":%q}`, i, content, c.probabilities(), c.reason))
		tokens += len(c.pieces)
	}
	object := map[schemas.Route]string{schemas.Completions: "text_completion", schemas.Chat: "chat.completion"}[route]
	return transcript{probe: probe, sent: sent, status: 200, header: jsonHeader(), body: fmt.Sprintf(
		`{"id":"cmpl-%d","object":%q,"created":%d,"model":"m","choices":[%s],"usage":{"prompt_tokens":5,"completion_tokens":%d,"total_tokens":%d}}`,
		serial, object, clock.Unix(), strings.Join(cs, ","), tokens, tokens+5)}
}

// streamed is a good stream.
func streamly(route schemas.Route, probe string, sent body, choices ...made) transcript {
	serial++
	sent = maps.Clone(sent)
	sent["stream"] = true
	var b strings.Builder
	object := map[schemas.Route]string{schemas.Completions: "text_completion", schemas.Chat: "chat.completion.chunk"}[route]
	put := func(index int, delta, logprobs, reason string) {
		fmt.Fprintf(&b, "data: {\"id\":\"cmpl-%d\",\"object\":%q,\"created\":%d,\"model\":\"m\",\"choices\":[{\"index\":%d,%s,\"logprobs\":%s,\"finish_reason\":%s}]}\n\n",
			serial, object, clock.Unix(), index, delta, logprobs, reason)
	}
	for i, c := range choices {
		if route == schemas.Chat {
			put(i, `"delta":{"role":"assistant","content":""}`, "null", "null")
		}
		at := 0
		for j, p := range c.pieces {
			q, _ := json.Marshal(p)
			delta := `"text":` + string(q)
			if route == schemas.Chat {
				delta = `"delta":{"content":` + string(q) + `}`
			}
			lp := "null"
			if c.logprobs != nil {
				lp = fmt.Sprintf(`{"tokens":[%s],"token_logprobs":[%v],"top_logprobs":[{%s:%v}],"text_offset":[%d]}`, q, c.logprobs[j], q, c.logprobs[j], at)
				at += len(p)
			}
			put(i, delta, lp, "null")
		}
		delta := `"text":""`
		if route == schemas.Chat {
			delta = `"delta":{}`
		}
		put(i, delta, "null", fmt.Sprintf("%q", c.reason))
	}
	b.WriteString("data: [DONE]\n\n")
	return transcript{probe: probe, sent: sent, status: 200, header: sseHeader(), body: b.String(), every: 10 * time.Millisecond}
}

// refusal is a good error.
func refusal(probe string, sent body, param, message string) transcript {
	return transcript{probe: probe, sent: sent, status: 400, header: jsonHeader(),
		body: fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":%q,"code":null}}`, message, param)}
}

// words are n tokens; two of them are words without a number, as stop strings
// inside of words need.
func words(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(" w%02d", i%48)) // a long answer says things again
	}
	for i, w := range []string{" gardens", " seven"} {
		if n > 6+i {
			out[6+i] = w
		}
	}
	return out
}

func flat(n int, lp float64) []float64 { return slices.Repeat([]float64{lp}, n) }

// good is what a target without fault answers to the probes.
func good(dialect string, route schemas.Route) (*Facts, []transcript) {
	long := made{pieces: words(longTokens), reason: "length"}
	short := made{pieces: []string{"Yes", ", it", " is."}, reason: "stop"}
	sixteen := made{pieces: words(capped), reason: "length"}
	wide := made{pieces: []string{"안녕", "하세요"}, reason: "stop"}
	f := &Facts{
		Route: route, target: Target{
			Dialect: dialect, Key: "sk-right-1", SecondKey: "sk-second", ForeignKey: "sk-foreign", Deployments: []string{"blue"},
			Routes: []schemas.Route{schemas.Completions, schemas.Chat},
		}, Served: true, Repeatable: true, IgnoreEOS: Honoured, Capped: sixteen.text(), Context: 64,
		Long: Sample{Prompt: plainPrompt(route), Answer: long.text(), Tokens: longTokens}, Short: Sample{Prompt: shortPrompts[0], Answer: short.text(), Tokens: 4, Prompted: 5},
		Wide: Sample{Prompt: widePrompts[0], Answer: wide.text(), Tokens: 2}, Filler: Sample{Prompt: "f", Tokens: 59},
	}
	greedy := func(n int, more body) body { return body{"temperature": 0, "max_tokens": n}.with(more) }
	stop := stopSlice(long.text())
	before, _, _ := strings.Cut(long.text(), stop)
	untilStop := made{pieces: []string{before}, reason: "stop"}
	choice := func(n int, reason string, lp float64) made {
		return made{pieces: words(n), reason: reason, logprobs: flat(n, lp)}
	}
	last := made{pieces: []string{strings.TrimSuffix(sixteen.text(), lastSlice(sixteen.text()))}, reason: "stop"}
	ts := []transcript{
		plainly(route, "control", greedy(capped, nil), sixteen),
		plainly(route, "long", greedy(longTokens, body{"ignore_eos": true}), long),
		plainly(route, "short", greedy(shortTokens, body{"ignore_eos": false}), short),
		streamly(route, "greedy.stream", greedy(capped, nil), sixteen),
		streamly(route, "long.stream", greedy(longTokens, body{"ignore_eos": true}), long),
		streamly(route, "short.stream", greedy(shortTokens, body{"ignore_eos": false}), short),
		plainly(route, "wide", greedy(32, body{"ignore_eos": false}), wide),
		streamly(route, "wide.stream", greedy(32, body{"ignore_eos": false}), wide),
		streamly(route, "together", greedy(capped, nil), sixteen),
		streamly(route, "together", greedy(shortTokens, body{"ignore_eos": false}), short),
		refusal("bad.stream", body{"n": 0, "stream": true}, "n", "n must be at least 1"),
		{probe: "disconnect", sent: body{"stream": true}, status: 200, header: sseHeader(), cut: true,
			body: strings.SplitAfter(streamly(route, "", body{}, long).body, "\n\n")[0]},
		plainly(route, "reconnect", greedy(4, nil), made{words(4), "length", nil}),
		plainly(route, "cap1", greedy(1, body{"ignore_eos": true}), made{pieces: words(1), reason: "length"}),
		plainly(route, "stop", greedy(longTokens, body{"ignore_eos": true, "stop": []string{stop}}), untilStop),
		streamly(route, "stop.stream", greedy(longTokens, body{"ignore_eos": true, "stop": []string{stop}}), untilStop),
		plainly(route, "stop.last", greedy(capped, body{"stop": lastSlice(sixteen.text())}), last),
		plainly(route, "context", greedy(5, body{"ignore_eos": true}), made{pieces: words(5), reason: "length"}),
		plainly(route, "reasons", body{"n": 3, "max_tokens": 6, "logprobs": 0, "ignore_eos": false},
			choice(3, "stop", -1), choice(6, "length", -1), choice(5, "stop", -1)),
		plainly(route, "n3", body{"n": 3, "max_tokens": 4, "ignore_eos": true}, made{words(4), "length", nil}, made{words(4), "length", nil}, made{words(4), "length", nil}),
		streamly(route, "n3.stream", body{"n": 3, "max_tokens": 4, "ignore_eos": true}, made{words(4), "length", nil}, made{words(4), "length", nil}, made{words(4), "length", nil}),
		plainly(route, "nonce", body{"max_tokens": 24, "prompt": nonces[0]}, made{[]string{"Indeed."}, "stop", nil}),
		plainly(route, "logprobs", greedy(capped, body{"logprobs": 2}), choice(capped, "length", -0.5)),
		streamly(route, "logprobs.stream", greedy(capped, body{"logprobs": 2}), choice(capped, "length", -0.5)),
		refusal("best_of.less", body{"n": 3, "best_of": 2}, "best_of", "best_of must be greater than n"),
		refusal("best_of.equal", body{"n": 2, "best_of": 2}, "best_of", "best_of must be greater than n"),
		plainly(route, "best_of.one", body{"n": 1, "best_of": 1, "max_tokens": 8}, made{words(8), "length", nil}),
		plainly(route, "best_of.1of3", body{"n": 1, "best_of": 3, "max_tokens": 8}, made{words(8), "length", nil}),
		plainly(route, "best_of.2of4", body{"n": 2, "best_of": 4, "max_tokens": 8}, made{words(8), "length", nil}, made{words(8), "length", nil}),
		plainly(route, "best_of.ordered", body{"n": 3, "best_of": 6, "max_tokens": 8, "logprobs": 0}, choice(8, "length", -1), choice(8, "length", -1.5), choice(8, "length", -2)),
		plainly(route, "best_of.candidates", body{"n": 2, "max_tokens": 8, "logprobs": 0, "seed": 7}, choice(8, "length", -2), choice(7, "length", -1)),
		plainly(route, "best_of.candidates", body{"n": 2, "max_tokens": 8, "logprobs": 0, "seed": 7}, choice(8, "length", -2), choice(7, "length", -1)),
		plainly(route, "best_of.best", body{"n": 1, "best_of": 2, "max_tokens": 8, "logprobs": 0, "seed": 7}, choice(7, "length", -1)),
		refusal("best_of.stream", body{"best_of": 2, "stream": true}, "stream", "results of best_of cannot be streamed"),
		refusal("best_of.equal.stream", body{"best_of": 2, "stream": true}, "best_of", "best_of must be greater than n"),
		refusal("best_of.greedy", body{"best_of": 2, "temperature": 0}, "best_of", "best_of must be 1 when using greedy sampling."),
		plainly(route, "best_of.null", greedy(capped, body{"best_of": nil}), sixteen),
		refusal("best_of.absurd", body{"best_of": 1000000}, "best_of", "best_of must be at most 16"),
		refusal("beam.one", body{"use_beam_search": true}, "best_of", "best_of must be greater than 1 when using beam search."),
		refusal("beam.warm", body{"use_beam_search": true}, "temperature", "temperature must be 0 when using beam search."),
		refusal("beam.default", body{"use_beam_search": true}, "temperature", "temperature must be 0 when using beam search."),
		plainly(route, "beam", greedy(16, body{"use_beam_search": true, "best_of": 4, "logprobs": 0}), choice(4, "length", -1)),
		plainly(route, "beam", greedy(16, body{"use_beam_search": true, "best_of": 4, "logprobs": 0}), choice(4, "length", -1)),
		plainly(route, "beam.two", greedy(8, body{"use_beam_search": true, "best_of": 2}), made{words(8), "length", nil}),
		plainly(route, "beam.greedy", greedy(4, body{"logprobs": 0}), choice(4, "length", -1.25)),
		plainly(route, "beam.n2", greedy(16, body{"use_beam_search": true, "n": 2, "best_of": 4, "logprobs": 0}), choice(4, "length", -1), made{[]string{" a", " b"}, "length", flat(2, -1.5)}),
		refusal("beam.top_p", body{"use_beam_search": true}, "top_p", "top_p must be 1 when using beam search."),
		refusal("beam.stream", body{"use_beam_search": true, "stream": true}, "stream", "results of beam search cannot be streamed"),
		plainly(route, "beam.off", greedy(capped, body{"use_beam_search": false}), sixteen),
		refusal("beam.n2.alone", body{"use_beam_search": true, "n": 2}, "best_of", "best_of must be greater than n"),
	}
	for _, part := range goodParts {
		ts = append(ts, part(f)...)
	}
	ts = named(ts)
	return f, ts
}

// goodParts are what a good target answers to the probes of further areas.
var goodParts = []func(*Facts) []transcript{
	reqGood,
	matrixGood,
	logGood,
	stpGood,
	eosGood,
	useGood,
	ctxGood,
	safGood,
	limGood,
	tooGood,
	fmtGood,
	visGood,
	detGood,
	chtGood,
	autGood,
	errGood,
	azureGood,
	cliGood,
}

// A goodCase is a target without fault: what calibration learns of it, and what
// it answers.
type goodCase struct {
	facts       *Facts
	transcripts []transcript
	replies     []*reply
}

var goodCases = map[string]goodCase{}

// goodOf makes the good case of a route once.
func goodOf(dialect string, route schemas.Route) goodCase {
	key := dialect + string(route)
	if _, made := goodCases[key]; !made {
		f, ts := good(dialect, route)
		g := goodCase{f, ts, nil}
		for i, t := range ts {
			g.replies = append(g.replies, t.reply(f, i))
		}
		goodCases[key] = g
	}
	return goodCases[key]
}

// judge judges replies against a clause of that level.
func judge(id string, level schemas.Level, f *Facts, rs []*reply) ruling {
	c := &Case{Route: f.Route, Profile: schemas.Interop, Facts: f, replies: ruleOf(id).sees(rs), why: func(string) string { return "" }}
	if r := ruleOf(id); r.across {
		c.elsewhere = map[schemas.Route][]*reply{f.Route: rs}
		for _, route := range []schemas.Route{schemas.Completions, schemas.Chat} {
			if route != f.Route {
				c.elsewhere[route] = goodOf(f.target.dialect(), route).replies
			}
		}
	}
	return c.rule(ruleOf(id), level)
}

// A fault breaks the good transcripts so that one clause is not kept: in the
// exchanges of a probe, from is replaced by to; or the transcript is edited.
type fault struct {
	clause   string
	dialect  string        // llama-v1 where empty
	route    schemas.Route // completions where empty
	probe    string        // every probe where empty
	label    string        // every request where empty
	from, to string
	edit     func(*transcript)
}

// faults by area: every rule must have one.
var faults = slices.Concat(
	schFaults,
	reqFaults,
	matrixFaults,
	rspFaults,
	finFaults,
	strFaults,
	bstFaults,
	beamFaults,
	logFaults,
	stpFaults,
	eosFaults,
	useFaults,
	ctxFaults,
	safFaults,
	limFaults,
	tooFaults,
	fmtFaults,
	visFaults,
	detFaults,
	autFaults,
	errFaults,
	azureFaults,
	chtFaults,
	cliFaults,
)

// onlyOnce edits the first transcript that it is given.
func onlyOnce(edit func(*transcript)) func(*transcript) {
	done := false
	return func(t *transcript) {
		if !done {
			edit(t)
		}
		done = true
	}
}

func accepted(t *transcript) {
	*t = plainly(schemas.Completions, t.probe, t.sent, made{[]string{" anything"}, "length", nil})
}

func refused(param string) func(*transcript) {
	return func(t *transcript) { *t = refusal(t.probe, t.sent, param, param+" must be 1") }
}

// refusedAs is refused, for a labelled request.
func refusedAs(param string) func(*transcript) {
	return func(t *transcript) {
		*t = labelledAs(t.label, refusal(t.probe, t.sent, param, param+" may not be null"))
	}
}

func tokenWise(t *transcript) {
	*t = streamly(schemas.Completions, t.probe, t.sent, made{words(4), "length", nil})
}

// records are the clauses that only record what they see.
var records = []string{"STR-038"}

// dialects in which rules are proved: the first that a clause holds in.
var dialects = []string{DialectLlamaV1, DialectAzureInference, DialectOpenAI}

func TestRules(t *testing.T) {
	proved := map[string]bool{}
	for _, r := range rules {
		cl, ok := schemas.Lookup(r.clause)
		if !ok {
			t.Fatalf("%s has a rule but is not in the register", r.clause)
		}
		for _, dialect := range dialects {
			for _, route := range cl.Dialects[dialect] {
				g := goodOf(dialect, route)
				if got := judge(r.clause, cl.Level(schemas.Interop), g.facts, g.replies); got.status != reports.Pass {
					t.Errorf("%s on %s of %s: a good target gets %s: %s %+v", r.clause, route, dialect, got.status, got.reason, got.findings)
				}
			}
		}
	}
	for _, fault := range faults {
		cl, _ := schemas.Lookup(fault.clause)
		g := goodOf(cmp.Or(fault.dialect, DialectLlamaV1), cmp.Or(fault.route, schemas.Completions))
		ts, replies := slices.Clone(g.transcripts), slices.Clone(g.replies)
		hit := false
		for i := range ts {
			if fault.probe != "" && ts[i].probe != fault.probe || fault.label != "" && ts[i].label != fault.label {
				continue
			}
			ts[i].sent, ts[i].header = maps.Clone(ts[i].sent), ts[i].header.Clone()
			before := fmt.Sprintf("%+v", ts[i])
			if fault.from != "" {
				ts[i].body = strings.ReplaceAll(ts[i].body, fault.from, fault.to)
			}
			if fault.edit != nil {
				fault.edit(&ts[i])
			}
			hit = hit || fmt.Sprintf("%+v", ts[i]) != before
			replies[i] = ts[i].reply(g.facts, i)
		}
		if !hit {
			t.Errorf("%s: the fault changes nothing", fault.clause)
		}
		want := map[schemas.Level]reports.Status{schemas.Must: reports.Fail, schemas.Should: reports.Warn, schemas.May: reports.Info}[cl.Level(schemas.Interop)]
		got := judge(fault.clause, cl.Level(schemas.Interop), g.facts, replies)
		if got.status != want || len(got.findings) == 0 {
			t.Errorf("%s: fault in %s gets %s (%s), want %s with a finding", fault.clause, fault.probe, got.status, got.reason, want)
		}
		proved[fault.clause] = true
	}
	for _, cl := range schemas.MustRegister() {
		if cl.Excluded == "" && ruleOf(cl.ID) == nil {
			t.Errorf("%s has neither a rule nor a reason to be left out", cl.ID)
		}
	}
	for _, r := range rules {
		if !proved[r.clause] && !slices.Contains(records, r.clause) {
			t.Errorf("%s: no fault shows that its rule can fail", r.clause)
		}
	}
}

// A target that refuses a parameter by name is unsupported, and one whose
// answer never came is inconclusive: neither is a fail.
func TestNoEvidenceIsNoFail(t *testing.T) {
	g := goodOf(DialectLlamaV1, schemas.Completions)
	ts, replies := slices.Clone(g.transcripts), slices.Clone(g.replies)
	for i := range ts {
		switch ts[i].probe {
		case "beam.two":
			ts[i] = refusal("beam.two", ts[i].sent, "use_beam_search", "use_beam_search is not supported")
		case "stop.stream":
			ts[i] = transcript{probe: "stop.stream", sent: ts[i].sent, error: "connection reset"}
		}
		replies[i] = ts[i].reply(g.facts, i)
	}
	for id, want := range map[string]reports.Status{"BEAM-004": reports.Pass, "BEAM-005": reports.Unsupported, "BEAM-001": reports.Unsupported, "STR-020": reports.Inconclusive} {
		if got := judge(id, schemas.Must, g.facts, replies); got.status != want {
			t.Errorf("%s: %s (%s), want %s", id, got.status, got.reason, want)
		}
	}
}

// A server may have routes of its own at the paths of other dialects: what it
// answers there is not held to this dialect's form.
func TestForeignPathsAreNotHeld(t *testing.T) {
	g := goodOf(DialectLlamaV1, schemas.Completions)
	replies, changed := slices.Clone(g.replies), 0
	for i, x := range g.transcripts {
		if x.probe == "auth.families" && x.label == "/completions" {
			x.status, x.header, x.body = 200, http.Header{"Content-Type": {"application/json"}}, `{"content":" there","stop":true,"choices":[{"index":7,"finish_reason":"eos"}]}`
			replies[i] = x.reply(g.facts, i)
			changed++
		}
	}
	if changed != 1 {
		t.Fatalf("%d requests to a foreign path", changed)
	}
	for _, id := range []string{"SCH-001", "RSP-002", "RSP-013", "USE-001", "FIN-001"} {
		cl, _ := schemas.Lookup(id)
		if got := judge(id, cl.Level(schemas.Interop), g.facts, replies); got.status != reports.Pass {
			t.Errorf("%s: %s %s %+v", id, got.status, got.reason, got.findings)
		}
	}
}

// A stream that waited long for its turn is no sign of a target that buffers.
func TestStreamsThatWaitAreNotBuffered(t *testing.T) {
	g := goodOf(DialectLlamaV1, schemas.Completions)
	replies := slices.Clone(g.replies)
	for i, x := range g.transcripts {
		if x.header.Get("Content-Type") == "text/event-stream" && x.probe != "long.stream" {
			x.late, x.every, x.took = 9*time.Second, 20*time.Millisecond, 10*time.Second
			replies[i] = x.reply(g.facts, i)
		}
	}
	if got := judge("STR-022", schemas.Should, g.facts, replies); got.status != reports.Pass {
		t.Errorf("%s %s %+v", got.status, got.reason, got.findings)
	}
}

// What a target says to a request that it ought to have refused is held against
// the clause that says so alone.
func TestAnswerToABadRequestIsOneFail(t *testing.T) {
	for _, route := range []schemas.Route{schemas.Completions, schemas.Chat} {
		g := goodOf(DialectLlamaV1, route)
		replies := slices.Clone(g.replies)
		for i, x := range g.transcripts {
			p := probeByName[x.probe]
			row := slices.ContainsFunc(rowsOf(g.facts), func(r row) bool { return r.outlook == refusedTogether && r.label() == x.label })
			if p == nil || !p.hostile && !p.bad && !row || slices.Contains(p.lawful, x.label) {
				continue
			}
			// No choice, no usage, an unknown reason: nothing that an answer may be.
			x.status, x.header = 200, jsonHeader()
			x.body = `{"id":"","object":"x","created":1.5,"model":"other","choices":[{"index":7,"text":"a","logprobs":{"tokens":["b"]},"finish_reason":"load"}],"usage":{"prompt_tokens":0,"completion_tokens":99,"total_tokens":1}}`
			replies[i] = x.reply(g.facts, i)
		}
		for _, id := range []string{
			"SCH-001", "RSP-002", "RSP-004", "RSP-008", "RSP-012", "RSP-013", "RSP-015", "FIN-001", "FIN-003", "FIN-004", "LOG-001", "LOG-007",
			"USE-002", "USE-003", "USE-004", "EOS-002", "DET-001",
		} {
			cl, _ := schemas.Lookup(id)
			if !cl.Holds(DialectLlamaV1, route) {
				continue
			}
			if got := judge(id, cl.Level(schemas.Interop), g.facts, replies); got.status != reports.Pass {
				t.Errorf("%s on %s: %s %s", id, route, got.status, got.reason)
			}
		}
		if got := judge("REQ-039", schemas.Must, g.facts, replies); got.status != reports.Fail {
			t.Errorf("REQ-039 on %s: %s %s", route, got.status, got.reason)
		}
	}
}

// A rule names every probe that it reads: alone, it lacks none.
func TestRulesNameTheirProbes(t *testing.T) {
	facts := []string{"control", "long", "short", "wide", after.name} // asked of every target
	for _, dialect := range []string{DialectLlamaV1, DialectAzureInference, DialectOpenAI} {
		for _, route := range []schemas.Route{schemas.Completions, schemas.Chat} {
			g := goodOf(dialect, route)
			for _, r := range rules {
				cl, _ := schemas.Lookup(r.clause)
				if !cl.Holds(dialect, route) {
					continue
				}
				sent := slices.Concat(facts, r.reads)
				for _, name := range r.reads {
					sent = append(sent, probeByName[name].then)
				}
				replies := slices.DeleteFunc(slices.Clone(g.replies), func(x *reply) bool { return !slices.Contains(sent, x.probe) })
				got, whole := judge(r.clause, schemas.Must, g.facts, replies), judge(r.clause, schemas.Must, g.facts, g.replies)
				if got.status != whole.status && strings.Contains(got.reason, "was not sent") {
					t.Errorf("%s on %s, %s: %s", r.clause, dialect, route, got.reason)
				}
			}
		}
	}
}

// Each cause is held against one clause: what depends on it is not judged.
func TestOneCauseOneClause(t *testing.T) {
	arrays := regexp.MustCompile(`"logprobs":\{"tokens":.*?"text_offset":\[[^]]*\]\}`)
	for _, test := range []struct {
		name  string
		edit  func(*transcript)
		wants map[string]reports.Status
	}{
		{"log probabilities in the form of chat", func(x *transcript) {
			x.body = arrays.ReplaceAllString(x.body, `"logprobs":{"content":[{"token":" w00","logprob":-1,"bytes":[32],"top_logprobs":[]}]}`)
		}, map[string]reports.Status{
			"LOG-002": reports.Fail, "LOG-004": reports.Inconclusive, "LOG-005": reports.Inconclusive, "LOG-006": reports.Inconclusive,
			"LOG-007": reports.Inconclusive, "LOG-008": reports.Inconclusive, "LOG-009": reports.Inconclusive, "LOG-013": reports.Inconclusive,
		}},
		{"a sum of usage that counts one choice", func(x *transcript) {
			if x.probe == "n3" {
				x.body = regexp.MustCompile(`"completion_tokens":\d+`).ReplaceAllString(x.body, `"completion_tokens":4`)
			}
		}, map[string]reports.Status{"USE-007": reports.Fail, "EOS-002": reports.Pass}},
		{"stop tokens without effect", func(x *transcript) {
			if x.probe == "stop_ids" && x.label != "stream" {
				long := plainly(schemas.Completions, "stop_ids", x.sent, made{pieces: words(longTokens), reason: "length"})
				x.body = strings.Replace(long.body, `"completion_tokens":96`, `"completion_tokens":48`, 1)
			}
		}, map[string]reports.Status{"STP-014": reports.Fail, "EOS-005": reports.Inconclusive}},
		{"one of the answers with stop tokens does not come", func(x *transcript) {
			if x.probe == "stop_ids" && x.label == "low" {
				long := plainly(schemas.Completions, "stop_ids", x.sent, made{pieces: words(longTokens), reason: "length"})
				x.body = strings.Replace(long.body, `"completion_tokens":96`, `"completion_tokens":48`, 1)
			} else if x.probe == "stop_ids" && x.label == "next" {
				x.status = 429
			}
		}, map[string]reports.Status{"STP-014": reports.Inconclusive}},
		{"a control request that waits, as others do", func(x *transcript) {
			if x.probe == "control" || x.probe == after.name {
				x.status, x.error = 0, "timeout: no response after 1s"
			}
		}, map[string]reports.Status{"ERR-011": reports.Inconclusive}},
		{"a control request that waits, as no other does", func(x *transcript) {
			if x.probe == after.name {
				x.status, x.error = 0, "timeout: no response after 1s"
			}
		}, map[string]reports.Status{"ERR-011": reports.Fail}},
		{"a target that bad requests end", func(x *transcript) {
			if x.probe == after.name {
				x.status, x.error = 0, "request not sent: dial tcp 127.0.0.1:80: connect: connection refused"
			}
		}, map[string]reports.Status{"ERR-011": reports.Fail}},
		{"a target that ends", func(x *transcript) {
			if x.probe == after.name || x.probe == "n.huge" || strings.HasPrefix(x.probe, "bad.") || x.probe == "bytes" {
				x.status, x.error = 0, "request not sent: dial tcp 127.0.0.1:80: connect: connection refused"
			}
		}, map[string]reports.Status{"ERR-011": reports.Inconclusive, "REQ-058": reports.Inconclusive}},
		{"a control request that meets a busy target", func(x *transcript) {
			if x.probe == after.name {
				x.status = 429
			}
		}, map[string]reports.Status{"ERR-011": reports.Inconclusive}},
		{"what is too long is the prompt's fault in one refusal, the cap's in the next", func(x *transcript) {
			if x.probe == "bad.numbers" && (x.label == "max_tokens -1" || x.label == "n 0") {
				param := map[string]string{"max_tokens -1": "prompt", "n 0": "max_tokens"}[x.label]
				x.body = `{"error":{"message":"prompt and max_tokens are too long","type":"invalid_request_error","param":"` + param + `","code":null}}`
			}
		}, map[string]reports.Status{"ERR-021": reports.Pass}},
		{"broken JSON is a server error", func(x *transcript) {
			if x.probe == "bad.numbers" && strings.Contains(x.label, "NaN") {
				x.status = 500
			}
		}, map[string]reports.Status{"REQ-046": reports.Fail, "ERR-009": reports.Fail, "ERR-015": reports.Pass}},
		{"an error breaks a stream off", func(x *transcript) {
			if x.probe == "greedy.stream" {
				events := strings.SplitAfter(x.body, "\n\n")
				x.body = events[0] + events[1] + `data: {"error":{"code":500,"message":"engine","type":"server_error"}}` + "\n\n"
			}
		}, map[string]reports.Status{"ERR-009": reports.Fail, "STR-006": reports.Pass, "STR-008": reports.Pass, "STR-009": reports.Pass}},
		{"a stream that outlasts our patience", func(x *transcript) {
			if x.probe == "greedy.stream" {
				x.body, x.cut, x.error = strings.SplitAfter(x.body, "\n\n")[0], true, "timeout: body broke off at 200 bytes after 1m0s"
			}
		}, map[string]reports.Status{"STR-006": reports.Pass, "STR-009": reports.Pass}},
		{"another API at the path without /v1", func(x *transcript) {
			if x.probe == "det.path" {
				x.body = `{"content":" there","stop":true}`
			}
		}, map[string]reports.Status{"DET-017": reports.Pass}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := goodOf(DialectLlamaV1, schemas.Completions)
			replies, changed := slices.Clone(g.replies), false
			for i, x := range g.transcripts {
				body, code := x.body, x.status
				if test.edit(&x); x.body != body || x.status != code {
					replies[i], changed = x.reply(g.facts, i), true
				}
			}
			if !changed {
				t.Fatal("the edit changes nothing")
			}
			for id, want := range test.wants {
				cl, _ := schemas.Lookup(id)
				if want == reports.Fail && cl.Level(schemas.Interop) == schemas.Should {
					want = reports.Warn
				}
				if got := judge(id, cl.Level(schemas.Interop), g.facts, replies); got.status != want {
					t.Errorf("%s: %s (%s), want %s", id, got.status, got.reason, want)
				}
			}
		})
	}
}
