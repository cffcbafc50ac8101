package suites

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/touchstone-llm/touchstone/schemas"
)

// detGood is what a good target answers to the probes of DET.
func detGood(f *Facts) []transcript {
	sixteen := made{pieces: words(capped), reason: "length"}
	sent := body{"temperature": 0, "max_tokens": capped, "prompt": "p"}
	var ts []transcript
	add := func(probe, label string, m made) {
		ts = append(ts, labelledAs(label, plainly(f.Route, probe, sent, m)))
	}
	for _, label := range []string{"again", "again", "defaults 1", "defaults 2", "null", "top_p", "tiny top_p", "reversed", "indented"} {
		add("det", label, sixteen)
	}
	add("det.path", "", sixteen)
	long := func(label, text string) transcript {
		return labelledAs(label, plainly(f.Route, "det.long", body{"max_tokens": 32}, made{append(words(31), text), "length", nil}))
	}
	ts = append(ts, long("penalty 2", " w31"), long("penalty -2", " again"))
	short := made{pieces: []string{"Yes", ", it", " is."}, reason: "stop"}
	for range 2 {
		ts = append(ts,
			labelledAs("plain", plainly(f.Route, "det.parallel", body{"max_tokens": capped}, sixteen)),
			labelledAs("short", plainly(f.Route, "det.parallel", body{"max_tokens": shortTokens}, short)),
			labelledAs("long", plainly(f.Route, "det.parallel", body{"max_tokens": 32}, made{words(32), "length", nil})))
	}
	four := made{words(4), "length", nil}
	for _, label := range []string{"first", "other", "last"} {
		ts = append(ts, labelledAs(label, plainly(f.Route, "det.history", body{"max_tokens": 4}, four)))
	}
	for _, label := range []string{"alone", "kept", "kept"} {
		ts = append(ts, labelledAs(label, plainly(f.Route, "det.alive", body{"max_tokens": 4}, four)))
	}
	first := func(label string, a, b float64) transcript {
		t := labelledAs(label, plainly(f.Route, "det.first", body{"max_tokens": 1, "logprobs": 2}, made{[]string{" a"}, "length", []float64{a}}))
		t.body = strings.Replace(t.body, fmt.Sprintf(`{" a":%v}`, a), fmt.Sprintf(`{" a":%v,"b":%v}`, a, b), 1)
		return t
	}
	ts = append(ts, first("1", -0.5, -0.94), first("0.7", -0.3, -1.9), first("default", -0.5, -0.94))
	for i, a := range asksOf(f, "seeds") {
		m := made{pieces: append(words(31), fmt.Sprintf(" %d", i%seeds*(1-i/seeds))), reason: "length"}
		if f.target.dialect() == DialectOpenAI {
			m.logprobs = flat(32, -1)
		}
		ts = append(ts, answering(f, "seeds", a, plainly(f.Route, "", nil, m)))
	}
	drawn := made{pieces: []string{" a"}, reason: "length"}
	return append(ts, plainly(f.Route, "det.draw", body{"n": 2, "max_tokens": 1}, drawn, made{[]string{"b"}, "length", nil}))
}

// detFaults are what breaks each clause of DET.
var detFaults = []fault{
	{clause: "DET-001", probe: "det", label: "again", edit: onlyOnce(func(t *transcript) { t.body = strings.Replace(t.body, " w03", " x03", 1) })},
	{clause: "DET-002", probe: "det", label: "top_p", from: " w03", to: " x03"},
	{clause: "DET-003", probe: "det", label: "defaults 1", from: " w03", to: " x03"},
	{clause: "DET-003", probe: "det", label: "defaults 2", edit: fails500},
	{clause: "DET-004", probe: "det", label: "null", edit: fails500},
	{clause: "DET-005", probe: "det", label: "reversed", from: " w03", to: " x03"},
	{clause: "DET-005", probe: "det", label: "indented", edit: fails500},
	{clause: "DET-006", probe: "length", from: " w03", to: " x03"},
	{clause: "DET-007", dialect: DialectOpenAI, probe: "seeds", edit: onlyOnce(func(t *transcript) { t.body = strings.Replace(t.body, " w03", " x03", 1) })},
	{clause: "DET-008", dialect: DialectOpenAI, probe: "seeds", edit: func(t *transcript) {
		*t = answering(&Facts{Route: schemas.Completions}, "seeds", ask{wire: wire{}, body: t.sent}, plainly(schemas.Completions, "seeds", t.sent, made{words(32), "length", flat(32, -1)}))
	}},
	{clause: "DET-009", dialect: DialectOpenAI, edit: func(t *transcript) {
		t.body = strings.Replace(t.body, `"id":"cmpl-`, `"system_fingerprint":"fp`+fmt.Sprint(len(t.body)%7)+`","id":"cmpl-`, 1)
	}},
	{clause: "DET-010", edit: func(t *transcript) {
		switch t.probe {
		case "n3", "best_of.candidates":
			m := made{words(2), "length", []float64{-10, -10}}
			*t = plainly("completions", t.probe, t.sent, m, m)
		}
	}},
	{clause: "DET-011", probe: "det.first", label: "default", from: `{" a":-0.5,"b":-0.94}`, to: `{" a":-0.3,"b":-1.9}`},
	{clause: "DET-012", probe: "det", label: "tiny top_p", from: " w03", to: " x03"},
	{clause: "DET-013", probe: "det.parallel", label: "short", from: "Yes", to: " w00"},
	{clause: "DET-013", probe: "det.parallel", label: "long", from: " w00", to: "Yes"},
	{clause: "DET-014", probe: "det.history", label: "last", from: " w00", to: " x00"},
	{clause: "DET-015", probe: "det.long", label: "penalty -2", from: " again", to: " w31"},
	{clause: "DET-016", probe: "det.alive", label: "kept", from: " w00", to: " x00"},
	{clause: "DET-017", probe: "det.path", from: " w00", to: " x00"},
}

// The verdict of a drawn sample errs at most as often as it says, and says
// nothing below its power.
func TestWald(t *testing.T) {
	logs := map[string]float64{"a": math.Log(0.5), "b": math.Log(0.3), "c": math.Log(0.15), "d": math.Log(0.05)}
	one, cold := tempered(logs, 1), tempered(logs, 0.7)
	draw := func(weights map[string]float64, n int, state uint64) []string {
		var out []string
		for range n {
			state = state*6364136223846793005 + 1442695040888963407
			u := float64(state>>11) / (1 << 53)
			for _, k := range []string{"a", "b", "c", "d"} {
				if u -= math.Exp(weights[k]); u < 0 || k == "d" {
					out = append(out, k)
					break
				}
			}
		}
		return out
	}
	wrong, decided := 0, 0
	for i := range 400 {
		for truth, from := range map[int]map[string]float64{1: one, -1: cold} {
			ratio, used := logRatio(append(draw(from, 600, uint64(i+1)*2654435761), "unnamed"), one, cold)
			if used != 600 {
				t.Fatalf("%d outcomes used, want those that are named", used)
			}
			switch wald(ratio) {
			case truth:
				decided++
			case -truth:
				wrong++
			}
		}
	}
	if wrong > 3 || decided < 600 {
		t.Errorf("of 800 samples %d are decided, %d wrongly; the error rate is %g", decided, wrong, errorRate)
	}
	if ratio, _ := logRatio(draw(one, 8, 7), one, cold); wald(ratio) != 0 {
		t.Error("8 tokens decide")
	}
	if !repeatedByChance(-1, 3) || repeatedByChance(-20, 2) {
		t.Error("what may come by chance")
	}
}
