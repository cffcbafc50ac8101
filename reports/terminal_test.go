package reports

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func play(r *Result, options TerminalOptions) []byte {
	var b bytes.Buffer
	t := NewTerminal(&b, options)
	t.Start(r.Target, r.Profile, len(r.Verdicts))
	for _, f := range r.Calibration {
		t.Fact(f)
	}
	for _, v := range r.Verdicts {
		t.Verdict(v)
	}
	t.Finish(r, []string{"reports/result.json", "reports/junit.xml", "reports/report.html"})
	return b.Bytes()
}

func TestTerminal(t *testing.T) {
	off, on := false, true
	for name, options := range map[string]TerminalOptions{
		"terminal.txt":         {Colour: &off, Width: 100},
		"terminal-colour.txt":  {Colour: &on, Width: 100},
		"terminal-quiet.txt":   {Colour: &off, Width: 100, Quiet: true},
		"terminal-verbose.txt": {Colour: &off, Width: 100, Verbose: true},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, play(sample(), options)) })
	}
}

func TestTerminalOfHostileText(t *testing.T) {
	off := false
	out := string(play(hostile(), TerminalOptions{Colour: &off}))
	if strings.ContainsFunc(out, hidden) {
		t.Errorf("the endpoint's control characters reach the terminal: %q", out)
	}
}

func TestTerminalBreaksLongAreas(t *testing.T) {
	off := false
	var b bytes.Buffer
	terminal := NewTerminal(&b, TerminalOptions{Colour: &off, Width: 40})
	for range 100 {
		terminal.Verdict(Verdict{Area: "REQ", Verdict: Pass})
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if columns(line) > 40 {
			t.Errorf("%d columns: %q", columns(line), line)
		}
	}
	if n := strings.Count(b.String(), "✓"); n != 100 {
		t.Errorf("%d signs, want 100", n)
	}
}

func TestTerminalFromSeveralGoroutines(t *testing.T) {
	var b bytes.Buffer
	terminal := NewTerminal(&b, TerminalOptions{})
	var group sync.WaitGroup
	for _, v := range sample().Verdicts {
		group.Go(func() { terminal.Verdict(v) })
	}
	group.Wait()
	terminal.Finish(sample(), nil)
}

func TestWantsColour(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false}, // a buffer is no terminal
		{map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false},
		{map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": ""}, true},
		{map[string]string{"CLICOLOR_FORCE": "1", "TERM": "dumb"}, true},
	} {
		if got := wantsColour(&bytes.Buffer{}, func(k string) string { return test.env[k] }); got != test.want {
			t.Errorf("%v: %v, want %v", test.env, got, test.want)
		}
	}
}
