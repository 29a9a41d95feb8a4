package reconcile

import (
	"testing"
	"testing/synctest"
	"time"
)

// A turn that waits for a silent guest is no worker's place, and has one again
// when it goes on.
func TestAPlaceIsLentWhileAGuestIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := make(places, 1)
		p.take()
		went := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			p.take()
			went <- time.Since(began)
			time.Sleep(time.Minute)
			p.give()
		}()
		p.lend(func() { time.Sleep(30 * time.Second) })
		if d := <-went; d != heardAfter {
			t.Errorf("the other one went on after %s", d)
		}
		if d := time.Since(began); d != heardAfter+time.Minute {
			t.Errorf("it went on after %s, with the other one still at work", d)
		}
		if len(p) != 1 {
			t.Errorf("%d places are taken", len(p))
		}
		p.lend(func() { time.Sleep(heardAfter / 2) })
		time.Sleep(time.Minute)
		if len(p) != 1 {
			t.Errorf("behind a quick answer %d places are taken", len(p))
		}
	})
}
