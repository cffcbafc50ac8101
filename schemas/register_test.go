package schemas

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestRegister(t *testing.T) {
	g := NewWithT(t)
	cs, err := Register()
	g.Expect(err).NotTo(HaveOccurred())
	count := map[string]int{}
	for _, c := range cs {
		count[c.Area()]++
		got, ok := Lookup(c.ID)
		g.Expect(ok).To(BeTrue(), c.ID)
		g.Expect(got).To(Equal(c))
		g.Expect(strings.HasSuffix(c.Statement, ".")).To(BeTrue(), "%s: the statement is a sentence", c.ID)
		g.Expect(c.Level(Strict) == Must || c.Level(Interop) != Must).To(BeTrue(), "%s: strict is never milder than interop", c.ID)
	}
	g.Expect(slices.IsSortedFunc(cs, func(a, b Clause) int {
		return cmp.Compare(slices.Index(Areas(), a.Area()), slices.Index(Areas(), b.Area()))
	})).To(BeTrue(), "by area, in the order of the register")
	for _, a := range Areas() {
		g.Expect(AreaTitles()).To(HaveKey(a))
	}
	for area, n := range count { // as many as the catalogue has, with REQ-080 and ERR-021
		g.Expect(n).To(Equal(map[string]int{
			"SCH": 3, "REQ": 80, "EXT": 14, "VER": 4, "CHT": 25, "RSP": 27, "FIN": 16, "STR": 40, "BST": 16,
			"BEAM": 11, "LOG": 23, "STP": 23, "EOS": 7, "USE": 15, "AUT": 20, "ERR": 21, "LIM": 18, "CTX": 10,
			"SAF": 20, "INF": 12, "DEP": 38, "TOO": 15, "FMT": 5, "VIS": 10, "DET": 17, "CLI": 10,
		}[area]), area)
	}
	_, ok := Lookup("STR-041")
	g.Expect(ok).To(BeFalse())
}

// TestExcluded pins what is not judged: leaving a clause out is a decision.
func TestExcluded(t *testing.T) {
	g := NewWithT(t)
	excluded := map[string]string{}
	for _, c := range MustRegister() {
		if c.Excluded != "" {
			excluded[c.Area()] = strings.TrimSpace(excluded[c.Area()] + " " + strings.TrimPrefix(c.ID, c.Area()+"-"))
		}
	}
	g.Expect(excluded).To(Equal(map[string]string{ // one line an area
		"AUT": "014 019",
		"ERR": "018",
		"CLI": "010",
		"DEP": "001 002 003 004 005 006 007 008 009 010 011 012 013 014 015 016 017 018 019 020 021 022 023 024 025 026 027 030 031 032 035 036 037 038 039 040",
		"FIN": "015 016",
		"STR": "026 027",
		"USE": "015",
		"LIM": "017",
		"VIS": "001 008",
		"SAF": "009 012 013 019",
	}))
}

// TestResolutions pins the levels that the catalogue's conflicts decide.
func TestResolutions(t *testing.T) {
	g := NewWithT(t)
	for id, want := range map[string][3]Level{
		"BST-002": {Should, Must, Must}, // C02
		"BST-006": {Should, Should, May},
		"RSP-011": {Must, Must, May},
		"RSP-012": {Should, Should, May},
		"STR-010": {Must, Must, May}, // C23
		"STR-009": {Must, Must, Must},
		"BST-010": {May, May, May},
	} {
		c, _ := Lookup(id)
		g.Expect([3]Level{c.Level(Interop), c.Level(Strict), c.Level(Paper)}).To(Equal(want), id)
	}
}

func TestHolds(t *testing.T) {
	g := NewWithT(t)
	chat, _ := Lookup("STR-010")
	g.Expect(chat.Holds("llama-v1", Chat)).To(BeTrue())
	g.Expect(chat.Holds("llama-v1", Completions)).To(BeFalse())
	g.Expect(chat.Holds("other", Chat)).To(BeFalse())
	beam, _ := Lookup("BEAM-001")
	g.Expect(beam.Holds("llama-v1", Completions) && beam.Holds("llama-v1", Chat)).To(BeTrue())
	g.Expect(beam.Holds("openai", Completions)).To(BeFalse())
}

func TestParseRefuses(t *testing.T) {
	good := `- id: XYZ-001
  statement: A.
  levels: {interop: MUST, strict: MUST, paper: MAY}
  dialects: {llama-v1: [chat]}
  needs: any
  source: S:1
  why: b
  judged: c
`
	if _, err := parse("XYZ", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"unknown member":  {"  why: b", "  why: b\n  wy: d", "[8:3] unknown field"},
		"wrong type":      {"dialects: {llama-v1: [chat]}", "dialects: 7", "[4:13]"},
		"no statement":    {"  statement: A.\n", "", "clause XYZ-001: no statement"},
		"wrong level":     {"paper: MAY", "paper: must", `level "must" for paper`},
		"missing level":   {", paper: MAY", "", "2 levels"},
		"wrong dialect":   {"llama-v1", "lama-v1", `unknown dialect "lama-v1"`},
		"wrong route":     {"[chat]", "[chats]", `unknown route "chats"`},
		"no route":        {"[chat]", "[]", "no routes for llama-v1"},
		"wrong needs":     {"needs: any", "needs: much", `unknown needs "much"`},
		"wrong number":    {"XYZ-001", "XYZ-000", "want XYZ-001"},
		"wrong area":      {"XYZ-001", "XYY-001", "want XYZ-001"},
		"wrong kind":      {"  why: b", "  kinds: [cloud]\n  why: b", `unknown kind "cloud"`},
		"wrong claim":     {"  why: b", "  requires: [wings]\n  why: b", `unknown claim "wings"`},
		"duplicate key":   {"  why: b", "  why: b\n  why: b", "[8:3]"},
		"broken document": {"  needs: any", "needs any", "["},
	} {
		bad := strings.Replace(good, tt.old, tt.new, 1)
		_, err := parse("XYZ", []byte(bad))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if slices.Contains(Areas(), "XYZ") {
		t.Error("parse changed the register")
	}
}
