//go:build !linux

package load

import "time"

// A pacer wakes at absolute times, as precisely as time.Sleep does here.
type pacer struct{ spin time.Duration }

func (pacer) start() {}

func (pacer) pause(d time.Duration) { time.Sleep(d) }
