package suites

import (
	"slices"
	"testing"

	"github.com/touchstone-llm/touchstone/schemas"
)

// matrixGood is what a good target answers to the matrix.
func matrixGood(f *Facts) []transcript {
	rows := rowsOf(f)
	var ts []transcript
	for i, a := range asksOf(f, "matrix") {
		if rows[i].outlook != answered {
			ts = append(ts, answering(f, "matrix", a, refusal("matrix", nil, "best_of", "best_of is bad")))
			continue
		}
		r := answering(f, "matrix", a, plainly(f.Route, "", nil)).reply(f, 0)
		limit := r.number("max_tokens", capped)
		m := made{pieces: words(limit), reason: "length"}
		if r.req.Get("stop").String() == "e" && limit > 6 {
			m = made{pieces: words(6), reason: "stop"}
		}
		if v := r.req.Get("logprobs"); v.Exists() && v.Raw != "null" {
			m.logprobs = flat(len(m.pieces), -1)
		}
		choices := slices.Repeat([]made{m}, r.number("n", 1))
		t := answering(f, "matrix", a, plainly(f.Route, "", nil, choices...))
		if r.streams() {
			t = answering(f, "matrix", a, streamly(f.Route, "", body{}, choices...))
		}
		ts = append(ts, t)
	}
	return ts
}

// rowLabelled is the label of a row of that outlook on the completions route.
func rowLabelled(o outlook) string {
	for _, r := range rows(DialectLlamaV1) {
		if r.outlook == o && r.route == schemas.Completions {
			return r.label()
		}
	}
	panic("no such row")
}

// matrixFaults are what breaks REQ-080.
var matrixFaults = []fault{
	{clause: "REQ-080", probe: "matrix", label: rowLabelled(answered), edit: refuse400},
	{clause: "REQ-080", probe: "matrix", label: rowLabelled(answered), edit: status(500)},
	{clause: "REQ-080", probe: "matrix", label: rowLabelled(answered), from: `"finish_reason":"length"`, to: `"finish_reason":null`},
	{clause: "REQ-080", probe: "matrix", label: rowLabelled(refusedTogether), edit: accept200},
}

// Every pair of values that the contract allows in some combination occurs in
// one that must be answered, and each other pair in one that breaks a single
// guard; the array is small.
func TestMatrixCoversPairs(t *testing.T) {
	for _, c := range []struct {
		dialect string
		most    int
	}{{DialectLlamaV1, 26}, {DialectAzureInference, 12}, {DialectOpenAI, 16}} {
		fs := factors(c.dialect)
		read := func(values combination) setting {
			s := setting{}
			for i, f := range fs {
				s[f.name] = values[i]
			}
			return s
		}
		allowed, single := map[pair]bool{}, map[pair]bool{}
		for _, values := range every(fs) {
			o, _, ways := outlookOf(read(values))
			for _, p := range values.pairs() {
				allowed[p] = allowed[p] || o == answered
				single[p] = single[p] || o != senseless && ways <= 1
			}
		}
		got := map[outlook]map[pair]bool{answered: {}, either: {}, refusedTogether: {}}
		for _, r := range rows(c.dialect) {
			values := combination{string(r.route)}
			for i := 1; i < len(r.members); i += 2 {
				values = append(values, r.members[i])
			}
			for _, p := range values.pairs() {
				got[r.outlook][p] = true
			}
		}
		for p := range single {
			if allowed[p] && !got[answered][p] {
				t.Errorf("%s: %v occurs in no combination that must be answered", c.dialect, p)
			}
			if single[p] && !allowed[p] && !got[either][p] && !got[refusedTogether][p] {
				t.Errorf("%s: %v occurs in no combination", c.dialect, p)
			}
		}
		if n := len(rows(c.dialect)); n > c.most {
			t.Errorf("%s: %d combinations, want at most %d", c.dialect, n, c.most)
		}
	}
}

// The guards are those of the contract.
func TestOutlooks(t *testing.T) {
	for _, c := range []struct {
		name string
		set  setting
		want outlook
	}{
		{"defaults", setting{"n": "1", "temperature": "0"}, answered},
		{"n alone", setting{"n": "2", "temperature": "1"}, answered},
		{"best_of above n", setting{"n": "1", "best_of": "3", "temperature": "1"}, answered},
		{"best_of below n", setting{"n": "2", "best_of": "1", "temperature": "1"}, refusedTogether},
		{"best_of is n", setting{"n": "2", "best_of": "2", "temperature": "1"}, either},
		{"best_of and n are 1", setting{"n": "1", "best_of": "1", "temperature": "0"}, answered},
		{"two beams", setting{"n": "1", "best_of": "2", "use_beam_search": "true", "temperature": "0"}, answered},
		{"one beam", setting{"n": "1", "best_of": "1", "use_beam_search": "true", "temperature": "0"}, refusedTogether},
		{"warm beams", setting{"n": "1", "best_of": "2", "use_beam_search": "true", "temperature": "1"}, refusedTogether},
		{"beams by n", setting{"n": "2", "use_beam_search": "true", "temperature": "0"}, either},
		{"streamed beams", setting{"n": "1", "best_of": "2", "use_beam_search": "true", "temperature": "0", "stream": "true"}, either},
		{"streamed best_of", setting{"n": "1", "best_of": "2", "temperature": "1", "stream": "true"}, either},
		{"greedy candidates", setting{"n": "1", "best_of": "2", "temperature": "0"}, either},
		{"chat to the end of the context", setting{"route": "chat", "n": "1", "temperature": "0"}, senseless},
	} {
		if got, why, _ := outlookOf(c.set); got != c.want {
			t.Errorf("%s: %d (%s), want %d", c.name, got, why, c.want)
		}
	}
}
