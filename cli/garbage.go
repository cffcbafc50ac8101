package cli

import (
	"os"
	"runtime"
	"runtime/debug"
)

// garbageRoom is how much garbage a server may leave lying about before it is
// collected, where the live heap is smaller. A heap of a few megabytes is
// otherwise collected a hundred times a second under load, which takes a tenth
// of the server's processor time.
const garbageRoom = 32 << 20

// collectSeldom makes room for garbage, unless the user has set GOGC.
func collectSeldom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(gcPercent(m.HeapAlloc))
}

// gcPercent is that for so many live bytes: from 400, where room and the heap
// are alike small, down to Go's 100.
func gcPercent(live uint64) int {
	return int(min(max(100*garbageRoom/max(live, 1), 100), 400))
}
