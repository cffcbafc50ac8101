package simulator

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newBell is a timer of the kernel, whose end wakes the program like data from
// the network does.
func newBell(ring func()) bell {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newAfterFunc(ring)
	}
	b := timerFile{os.NewFile(uintptr(fd), "timerfd"), fd}
	go func() {
		var times [8]byte
		for {
			if _, err := b.file.Read(times[:]); err != nil {
				panic("simulator: timerfd: " + err.Error())
			}
			ring()
		}
	}()
	return b
}

type timerFile struct {
	file *os.File // keeps fd open
	fd   int
}

func (b timerFile) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))} // 0 would stop it
	if err := unix.TimerfdSettime(b.fd, 0, &spec, nil); err != nil {
		panic("simulator: timerfd: " + err.Error())
	}
}
