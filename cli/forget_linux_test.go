package cli

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// What the start needed of the program's file is given back, and the program
// goes on.
func TestForgetStart(t *testing.T) {
	mapped := func() int {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if kilobytes, ok := strings.CutPrefix(line, "RssFile:"); ok {
				n, err := strconv.Atoi(strings.Fields(kilobytes)[0])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Skip("the system does not say how much of files is mapped")
		return 0
	}
	before := mapped()
	forgetStart()
	if after := mapped(); after > before*3/4 {
		t.Errorf("%d kB before, %d kB after", before, after)
	}
}
