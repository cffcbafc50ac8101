//go:build unix

package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used, in all threads.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raiseFiles asks for as many descriptors as the system allows, and says how
// many that are.
func raiseFiles() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	if r.Cur < r.Max {
		r.Cur = r.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
		unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	}
	return int(r.Cur)
}
