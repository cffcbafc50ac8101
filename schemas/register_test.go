package schemas

import (
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
	var order []string
	for _, c := range cs {
		if count[c.Area()]++; count[c.Area()] == 1 {
			order = append(order, c.Area())
		}
		got, ok := Lookup(c.ID)
		g.Expect(ok).To(BeTrue(), c.ID)
		g.Expect(got).To(Equal(c))
		g.Expect(strings.HasSuffix(c.Statement, ".")).To(BeTrue(), "%s: the statement is a sentence", c.ID)
		_, served := c.Dialects["llama-v1"]
		if !served {
			g.Expect(c.Excluded).To(ContainSubstring("only; this version judges llama-v1"), c.ID)
		}
		g.Expect(c.Level(Strict) == Must || c.Level(Interop) != Must).To(BeTrue(), "%s: strict is never milder than interop", c.ID)
	}
	g.Expect(order).To(Equal(Areas()))
	for _, a := range Areas() {
		g.Expect(AreaTitles()).To(HaveKey(a))
	}
	g.Expect(count).To(Equal(map[string]int{"RSP": 27, "FIN": 16, "STR": 40, "BST": 16, "BEAM": 11, "SCH": 3}))
	_, ok := Lookup("STR-041")
	g.Expect(ok).To(BeFalse())
}

// TestExcluded pins what is not judged: leaving a clause out is a decision.
func TestExcluded(t *testing.T) {
	g := NewWithT(t)
	var excluded []string
	for _, c := range MustRegister() {
		if c.Excluded != "" {
			excluded = append(excluded, c.ID)
		}
	}
	g.Expect(excluded).To(Equal(strings.Fields(`RSP-003 RSP-024 RSP-025 FIN-002 FIN-013 FIN-015 FIN-016
		STR-026 STR-027 STR-030 STR-031 STR-032 STR-038 BST-012`)))
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
		"wrong number":    {"XYZ-001", "XYZ-002", "want XYZ-001"},
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
