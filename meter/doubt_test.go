package meter

import (
	"testing"
	"time"

	"lodge/cloud"
)

// A great step forward is followed when it has stood for a while, and a clock that
// is wrong for a moment never is.
func TestAGreatStepHasToStand(t *testing.T) {
	m := &machine{wall: at(0), since: time.Hour}
	a := Begin(cloud.ClockAnchor{}, false, m.tick())
	var d Doubt
	look := func() bool {
		s, _, stepped := Step(a, m.tick())
		if !stepped || !s.Adopted {
			d = Doubt{}
			return false
		}
		var follow bool
		d, follow = d.Look(s, m.tick())
		return follow
	}
	m.wall = m.wall.Add(time.Hour)
	if !look() || d.Any() {
		t.Fatal("an hour is not followed at once")
	}
	m.wall = m.wall.Add(400 * 24 * time.Hour)
	for n := range 5 {
		if look() || !d.Any() {
			t.Fatalf("followed at the look %d", n)
		}
		m.pass(2 * time.Minute)
	}
	m.wall = m.wall.Add(-400 * 24 * time.Hour) // it was wrong
	m.wall = m.wall.Add(-time.Hour)
	if look() || d.Any() {
		t.Fatal("there is still a doubt")
	}
	m.wall = m.wall.Add(24 * time.Hour)
	look()
	m.pass(9 * time.Minute)
	m.wall = m.wall.Add(time.Minute) // another one: it is not known which is right
	if look() {
		t.Fatal("a clock that goes on moving is followed")
	}
	m.pass(StepStands)
	if look() {
		t.Fatal("followed after two looks")
	}
	m.wall = m.wall.Add(300 * time.Millisecond) // as NTP does
	if !look() {
		t.Fatal("a step that stands is not followed")
	}
}

// A boot goes by the wall clock, unless that is ahead by more than a host is ever
// off.
func TestABootIsBelievedWithinReason(t *testing.T) {
	m := &machine{wall: at(0), since: time.Hour}
	saved := Begin(cloud.ClockAnchor{}, false, m.tick())
	m.boots, m.since = 1, time.Minute
	m.wall = saved.At.Add(BootAtOnce)
	if a := Begin(saved, true, m.tick()); !a.At.Equal(m.wall) {
		t.Errorf("behind a month it begins at %v", a.At)
	}
	m.wall = saved.At.Add(BootAtOnce + time.Second)
	if a := Begin(saved, true, m.tick()); !a.At.Equal(saved.At) {
		t.Errorf("behind more than a month it begins at %v", a.At)
	}
}
