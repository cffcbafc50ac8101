package simulator

import (
	"context"
	"errors"
	"testing"
	"time"
)

type bellFunc func(d time.Duration)

func (f bellFunc) set(d time.Duration) { f(d) }

// TestAlarmClock: the bell is set for the alarm that is due first, and rings
// those that are due, in their order, but not those that were dropped.
func TestAlarmClock(t *testing.T) {
	var set time.Duration
	c := &alarmClock{bell: bellFunc(func(d time.Duration) { set = d })}
	now := time.Now()
	alarmAt := func(d time.Duration) *alarm {
		a := &alarm{due: now.Add(d), ring: make(chan struct{}, 1)}
		c.add(a)
		return a
	}
	rung := func(a *alarm) bool { return len(a.ring) == 1 }
	late := alarmAt(2 * time.Hour)
	past, dropped, soon := alarmAt(-time.Minute), alarmAt(-time.Second), alarmAt(time.Hour)
	if set > 0 {
		t.Errorf("the bell is set for %s, though an alarm is due", set)
	}
	c.drop(dropped)
	c.drop(dropped)
	c.ring()
	if !rung(past) || rung(dropped) || rung(soon) || rung(late) {
		t.Error("the wrong alarms rang")
	}
	if set > time.Hour || set < 59*time.Minute {
		t.Errorf("the bell is set for %s, want the next alarm's hour", set)
	}
	alarmAt(30 * time.Minute)
	if set > 30*time.Minute {
		t.Errorf("the bell is set for %s, want the new alarm's half hour", set)
	}
}

// TestAlarm: a wait is never short, and ends with its context.
func TestAlarm(t *testing.T) {
	var a alarm
	due := time.Now()
	for range 20 {
		due = due.Add(300 * time.Microsecond)
		if err := a.until(t.Context(), due); err != nil || time.Now().Before(due) {
			t.Fatalf("early by %s, %v", time.Until(due), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, wait := range []time.Duration{time.Hour, -time.Hour} {
		if err := a.until(ctx, time.Now().Add(wait)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", wait, err)
		}
	}
	if n := len(theClock().alarms); n != 0 {
		t.Errorf("%d alarms are left", n)
	}
}
