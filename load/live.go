package load

import "sync/atomic"

// Live counts what goes on, for whoever watches. Its methods may be called on
// a nil Live.
type Live struct {
	Sent, Done, Failed, Events, Tokens atomic.Int64
	InFlight                           atomic.Int64
}

func (l *Live) begin() {
	if l != nil {
		l.Sent.Add(1)
		l.InFlight.Add(1)
	}
}

func (l *Live) end() {
	if l != nil {
		l.InFlight.Add(-1)
		l.Done.Add(1)
	}
}

// arrived counts events as they come.
func (l *Live) arrived(n int) {
	if l != nil {
		l.Events.Add(int64(n))
	}
}
