package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
)

// A stop is asked for and taken back, and the guest goes off for lodge's button
// while nobody sees it: what counts is the last wish. Fails when the time of the
// look is taken for the time of the end (pressed, ranAt). What a guest does long
// after the button is its own wish again, seen or not.
func TestAnAnswerToTheButtonThatNobodySawIsNoWish(t *testing.T) {
	for _, c := range []struct {
		name       string
		gone, back func(*world)
	}{
		{"lodged is down", (*world).stop, (*world).lodged},
		{"the host is away", func(w *world) { w.host.Down(true) }, func(w *world) { w.host.Down(false) }},
		{"the event is lost", func(w *world) { w.host.LoseEvents(true) }, func(w *world) { w.host.LoseEvents(false) }},
	} {
		for after, want := range map[time.Duration]cloud.Power{5 * time.Second: cloud.PowerOn, 10 * time.Minute: cloud.PowerOff} {
			t.Run(c.name+", off after "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, id := calm(t, 21)
					defer w.db.Close()
					defer w.stop()
					w.runs(id, 5*time.Minute)
					w.host.IgnoreACPI(id, true) // it takes its time
					ctx := context.Background()
					for _, do := range []cloud.PowerChange{cloud.PowerStop, cloud.PowerStart} {
						if _, err := w.db.PowerInstance(ctx, w.root, time.Now(), id, do, false); err != nil {
							t.Fatal(err)
						}
						time.Sleep(3 * time.Second)
					}
					if after > time.Minute {
						time.Sleep(after)
					}
					c.gone(w)
					time.Sleep(2 * time.Second)
					if !w.host.PowerOffInside(id) {
						t.Fatal("it was off")
					}
					time.Sleep(10 * time.Minute)
					c.back(w)
					time.Sleep(2 * time.Minute)
					i, err := w.db.Instance(ctx, w.root, id)
					if err != nil || i.Power != want || string(i.State) != string(want) {
						t.Errorf("it is wanted %s and is %s, want %s: %v", i.Power, i.State, want, err)
					}
				})
			})
		}
	}
}
