package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The walls between packages: who must not import whom. The judge and the
// judged share nothing but the contract, and the engine knows nobody.
var walls = []struct{ who, mustNot string }{
	{"suites", "simulator|engine|load|cli|fixtures"},
	{"simulator", "suites|load|exchange|reports|cli"},
	{"engine", "suites|simulator|load|exchange|schemas|reports|cli|fixtures"},
	{"load", "suites|simulator|engine|schemas|cli"},
	{"exchange", "suites|simulator|engine|load|schemas|reports|cli"},
	{"schemas", "suites|simulator|engine|load|exchange|reports|cli"},
	{"reports", "suites|simulator|engine|load|exchange|schemas|cli"},
	{"fixtures", "suites|simulator|load|exchange|schemas|reports|cli"},
}

const module = "github.com/touchstone-llm/touchstone/"

func TestWalls(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		for _, w := range walls {
			if pkg != w.who && !strings.HasPrefix(pkg, w.who+"/") {
				continue
			}
			checked++
			forbidden := regexp.MustCompile("^" + regexp.QuoteMeta(module) + "(" + w.mustNot + ")(/|$)")
			for _, imported := range fields[1:] {
				if forbidden.MatchString(imported) {
					t.Errorf("%s must not import %s", pkg, strings.TrimPrefix(imported, module))
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages behind walls were seen; has the layout changed?", checked)
	}
}
