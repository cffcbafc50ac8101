package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// start binds the calling goroutine to its thread, for good: the thread ends
// with it, and its timer slack. On Linux the pacer sleeps in the kernel, since
// time.Sleep overshoots by half a millisecond or more.
func (*pacer) start() {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// pause sleeps for about d, at most.
func (*pacer) pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}
