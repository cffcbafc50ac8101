package load

import (
	"testing"
	"time"
)

// TestPacerLearns: the pacer wakes as much earlier as sleeps end late, within
// bounds, as long as it is awake for a tenth of the time at most, and is never
// early for it.
func TestPacerLearns(t *testing.T) {
	for _, c := range []struct {
		late     []time.Duration // in turn
		low, top time.Duration
	}{
		{[]time.Duration{0}, 0, 3 * time.Microsecond},
		{[]time.Duration{50 * time.Microsecond}, 45 * time.Microsecond, 55 * time.Microsecond},
		{[]time.Duration{10 * time.Microsecond, 10 * time.Microsecond, 10 * time.Microsecond, time.Second}, 5 * time.Microsecond, 15 * time.Microsecond},
		{[]time.Duration{time.Second}, mostEarly, mostEarly},
	} {
		var p pacer
		for i := range 1000 {
			p.slept(c.late[i%len(c.late)])
		}
		if p.late < c.low || p.late > c.top {
			t.Errorf("sleeps late by %v: it wakes %s earlier, want %s to %s", c.late, p.late, c.low, c.top)
		}
	}
	begun := time.Now()
	now := func() int64 { return int64(time.Since(begun)) }
	p := pacer{late: mostEarly}
	for at := int64(time.Millisecond); at < int64(50*time.Millisecond); at += int64(time.Millisecond) {
		if !p.until(t.Context(), at, now) || now() < at {
			t.Fatalf("early by %s", time.Duration(at-now()))
		}
	}
	for _, c := range []struct{ awake, want time.Duration }{{0, 800}, {99, 800}, {100, 900}, {500, 900}} {
		p := pacer{late: 100, awake: c.awake, spin: 100, begun: 1000}
		if got := p.left(2000, 3000); got != c.want {
			t.Errorf("awake for %d of 1000: it sleeps for %d, want %d", c.awake, got, c.want)
		}
	}
}
