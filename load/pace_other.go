//go:build !linux

package load

import "time"

func (*pacer) start() {}

func (*pacer) pause(d time.Duration) { time.Sleep(d) }
