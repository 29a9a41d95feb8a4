package meter

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"lodge/cloud"
)

// machine is a machine whose clocks a test turns.
type machine struct {
	boots int
	since time.Duration // since boot
	wall  time.Time
}

func (m *machine) tick() Tick {
	return Tick{Wall: m.wall, BootID: string(rune('a' + m.boots)), Boot: m.since}
}

func (m *machine) pass(d time.Duration) { m.since += d; m.wall = m.wall.Add(d) }

func TestTheLedgersTimeGoesOnThroughSteps(t *testing.T) {
	m := &machine{wall: at(0), since: time.Hour}
	a := Begin(cloud.ClockAnchor{}, false, m.tick())
	if got := Time(a, m.tick()); !got.Equal(at(0)) {
		t.Fatalf("begins at %v", got)
	}
	m.pass(time.Minute)
	if _, _, stepped := Step(a, m.tick()); stepped {
		t.Fatal("a minute that passes is no step")
	}
	m.wall = m.wall.Add(400 * time.Millisecond) // too little to be a step
	if _, _, stepped := Step(a, m.tick()); stepped || !Time(a, m.tick()).Equal(at(60_000)) {
		t.Fatal("400 ms are a step")
	}

	m.wall = m.wall.Add(24 * time.Hour)
	s, after, stepped := Step(a, m.tick())
	if !stepped || !s.Adopted || !s.At.Equal(at(60_000)) || !s.Wall.Equal(m.wall) || !Time(after, m.tick()).Equal(m.wall) {
		t.Fatalf("a day forward: %+v %+v", s, after)
	}
	if !Time(a, m.tick()).Equal(at(60_000)) {
		t.Fatal("it jumped before it was adopted")
	}
	a = after

	was := Time(a, m.tick())
	m.wall = m.wall.Add(-25 * time.Hour)
	m.pass(time.Second)
	s, after, stepped = Step(a, m.tick())
	if !stepped || s.Adopted || !Time(after, m.tick()).Equal(was.Add(time.Second)) {
		t.Fatalf("a day back: %+v %+v", s, after)
	}

	saved := after
	m.boots, m.since = 1, time.Minute // it reboots, and the clock is behind the ledger
	a = Begin(saved, true, m.tick())
	if !Time(a, m.tick()).Equal(saved.At) {
		t.Fatalf("after the reboot it is %v, before it was %v", Time(a, m.tick()), saved.At)
	}
	m.wall = saved.At.Add(time.Hour)
	if a = Begin(saved, true, m.tick()); !Time(a, m.tick()).Equal(m.wall) {
		t.Fatal("after a reboot it goes by the wall clock when that is ahead")
	}
}

// Whatever the wall clock does: the ledger's time never goes back, within a boot
// it passes as time passes but for adopted steps, and it is never behind the
// wall clock by more than the tolerance once steps are followed.
func TestTheLedgersTimeForAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{wall: at(0), since: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "uptime"))}
		a := Begin(cloud.ClockAnchor{}, false, m.tick())
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			was := Time(a, m.tick())
			passed := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "pass"))
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				m.pass(passed)
				m.wall = m.wall.Add(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "step")))
			case 1: // a restart of lodged: the anchor is as of some earlier heartbeat
				m.pass(passed)
				a = Begin(a, true, m.tick())
			case 2:
				m.boots++
				m.wall = m.wall.Add(passed)
				m.since = time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "up"))
				a = Begin(cloud.ClockAnchor{BootID: a.BootID, Boot: a.Boot, At: was}, true, m.tick())
				if Time(a, m.tick()).Before(was) {
					t.Fatal("back behind a reboot")
				}
				continue
			default:
				m.pass(passed)
			}
			now := Time(a, m.tick())
			if now.Sub(was) != passed {
				t.Fatalf("%v passed and the ledger went on by %v", passed, now.Sub(was))
			}
			s, after, stepped := Step(a, m.tick())
			if stepped && s.Adopted && !s.Wall.After(s.At) {
				t.Fatalf("followed back: %+v", s)
			}
			if stepped {
				a = after
			}
			if m.wall.Sub(Time(a, m.tick())) > StepTolerance {
				t.Fatalf("the ledger is at %v and the wall clock at %v", Time(a, m.tick()), m.wall)
			}
		}
	})
}

// Rows are cut at whole milliseconds. A step that is none would move the cut, and
// what goes on behind it would win or lose one.
func TestAStepIsWholeMilliseconds(t *testing.T) {
	m := &machine{wall: at(0).Add(123456 * time.Nanosecond), since: time.Hour}
	a := Begin(cloud.ClockAnchor{}, false, m.tick())
	m.pass(time.Minute)
	m.wall = m.wall.Add(time.Hour + 999999*time.Nanosecond)
	s, after, stepped := Step(a, m.tick())
	if !stepped || s.Wall.Sub(s.At) != time.Hour || !after.At.Equal(s.Wall) {
		t.Fatalf("got %+v %+v", s, after)
	}
}
