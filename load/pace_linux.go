package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A pacer wakes at absolute times. On Linux it sleeps in the kernel on a
// thread of its own whose timer slack is off, since time.Sleep overshoots by
// half a millisecond or more.
type pacer struct{ spin time.Duration }

// start binds the calling goroutine to its thread, for good: the thread ends
// with it, and its timer slack.
func (p pacer) start() {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// pause sleeps for about d, at most.
func (pacer) pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}
