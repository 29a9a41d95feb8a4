package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// A step forward is cut out of whatever runs, and nothing is written into it.
func TestAStepOfTheClockIsCutOut(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(10 * time.Minute)
	w.must(w.Beat(ctx, hostID, w.now, cloud.ClockAnchor{BootID: "b", Boot: time.Hour, At: w.now}))
	step := cloud.ClockStep{HostID: hostID, At: w.now, Wall: w.now.Add(24 * time.Hour), Adopted: true}
	w.must(second(w.StepClock(ctx, step, cloud.ClockAnchor{BootID: "b", Boot: time.Hour, At: step.Wall})))

	late := w.stopped(w.instance(i.ID)) // was seen before the step, is written behind it
	late.At = w.later(time.Second)
	w.record(late)
	w.now = step.Wall.Add(5 * time.Minute)
	w.record(w.running(i))
	const day = 24 * 60
	want := []string{
		"cpu=1 running 0-10", fmt.Sprintf("cpu=1 running %d-open", day+15), fmt.Sprintf("cpu=1 stopped %d-%d", day+10, day+15),
	}
	var got []string
	for _, line := range w.ledger(i.ID) {
		if line[:4] == "cpu=" {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	a, ok, err := w.Clock(ctx, hostID)
	w.must(err)
	if !ok || !a.At.Equal(step.Wall) {
		t.Fatalf("the clock is kept as %+v", a)
	}
	if got := w.eventTypes(hostID); !slices.Contains(got, "host.clock_step") {
		t.Fatalf("the events are %v", got)
	}
	w.sound()

	// A new start knows of the step: an end that is told of late does not open
	// anything inside of it.
	w.must(w.Close())
	c := w.copyTo(t.TempDir())
	c.now = step.Wall.Add(time.Hour)
	r := c.stopped(i)
	r.EndAt, r.Evidence = noon.Add(9*time.Minute), cloud.EvidenceHeartbeat
	c.record(r)
	for _, iv := range c.intervals(i.ID) {
		if iv.StartedAt.Before(step.Wall) && (iv.EndedAt.IsZero() || iv.EndedAt.After(step.At)) {
			t.Errorf("counted inside of the step: %+v", iv)
		}
	}
	c.sound()
}

func TestAStepBackMovesNothing(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	before := w.ledger(i.ID)
	w.later(10 * time.Minute)
	step := cloud.ClockStep{HostID: hostID, At: w.now, Wall: w.now.Add(-24 * time.Hour)}
	w.must(second(w.StepClock(ctx, step, cloud.ClockAnchor{BootID: "b", At: w.now})))
	if got := w.ledger(i.ID); !slices.Equal(got, before) {
		t.Fatalf("got %v", got)
	}
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_clock_step WHERE adopted = 0`); n != 1 {
		t.Fatalf("%d steps are written down", n)
	}
	w.refused(second(w.StepClock(ctx, cloud.ClockStep{HostID: id("nothing"), At: w.now, Wall: w.now}, cloud.ClockAnchor{})), cloud.CodeNotFound)
	w.sound()
}

// Between the moment the clocks were read and the step's transaction others have
// written. What they have written stays as long as it was.
func TestAStepComesBehindWhatWasWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	read := w.later(10 * time.Minute)
	w.later(2 * time.Second)
	w.record(w.stopped(i)) // two seconds after the clocks were read
	step := cloud.ClockStep{HostID: hostID, At: read, Wall: read.Add(24 * time.Hour), Adopted: true}
	w.must(second(w.StepClock(ctx, step, cloud.ClockAnchor{BootID: "b", Boot: time.Hour, At: step.Wall})))
	w.now = step.Wall.Add(5 * time.Second)
	w.record(w.running(i))
	var ran, stopped time.Duration
	for _, iv := range w.intervals(i.ID) {
		switch d := iv.EndedAt.Sub(iv.StartedAt); {
		case iv.Slot != "cpu" || iv.EndedAt.IsZero():
		case iv.State.Runs():
			ran += d
		default:
			stopped += d
		}
	}
	if ran != 10*time.Minute+2*time.Second || stopped != 3*time.Second {
		t.Fatalf("ran for %v and was stopped for %v", ran, stopped)
	}
	w.sound()
}

// Behind a boot nothing is counted from the last look before it, whatever the
// machine's clock shows, and no row is before one that was written.
func TestABootIsCutOut(t *testing.T) {
	for name, tc := range map[string]struct{ clock, begins time.Duration }{
		"its clock is ahead":                {30 * time.Hour, 30 * time.Hour},
		"its clock is behind the last look": {9 * time.Minute, 10*time.Minute + 20*time.Second},
		"its clock is behind the last row":  {10*time.Minute + 5*time.Second, 10*time.Minute + 20*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			i, other := w.run("web1"), w.run("web2")
			w.later(10 * time.Minute)
			w.must(w.Heartbeat(ctx, hostID, w.now))
			w.later(20 * time.Second)
			w.record(w.stopped(other)) // behind the last look
			got, err := w.BootClock(ctx, hostID, cloud.ClockAnchor{BootID: "two", At: noon.Add(tc.clock)})
			w.must(err)
			if got.At.Sub(noon) != tc.begins {
				t.Fatalf("it begins at %v", got.At)
			}
			if a, ok, err := w.Clock(ctx, hostID); err != nil || !ok || !a.At.Equal(got.At) || a.BootID != "two" {
				t.Fatalf("%v, and %+v is kept", err, a)
			}
			w.now = got.At.Add(time.Minute)
			r := w.stopped(i)
			r.EndAt, r.Evidence = noon.Add(10*time.Minute), cloud.EvidenceHeartbeat
			w.record(r)
			for _, iv := range append(w.intervals(i.ID), w.intervals(other.ID)...) {
				if iv.EndedAt.IsZero() != iv.StartedAt.Equal(got.At) {
					t.Errorf("counted beyond the last look, or not from the boot on: %+v", iv)
				}
			}
			w.sound()
		})
	}
}

func second[T any](_ T, err error) error { return err }
