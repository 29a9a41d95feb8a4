package auth

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
)

func TestFewAreInsideAndFewWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, 3)
		var inside, most atomic.Int32
		passed := 0
		results := make(chan error, 10)
		for range 5 {
			go func() {
				leave, err := g.Enter(t.Context())
				if err == nil {
					if n := inside.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					inside.Add(-1)
					leave()
				}
				results <- err
			}()
			synctest.Wait()
		}
		_, err := g.Enter(t.Context()) // the sixth
		wantCode(t, err, cloud.CodeRateLimited)
		for range 5 {
			if <-results == nil {
				passed++
			}
		}
		if passed != 5 || most.Load() != 2 {
			t.Errorf("%d passed, %d were inside", passed, most.Load())
		}
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave()
		leave() // no place is given back twice
		if len(g.inside) != 0 || len(g.all) != 0 {
			t.Errorf("%d inside, %d in all", len(g.inside), len(g.all))
		}
	})
}

func TestWhoeverStopsWaitingGivesItsPlaceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1, 1)
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = g.Enter(ctx)
		wantCode(t, err, cloud.CodeUnavailable)
		if len(g.all) != 1 {
			t.Errorf("%d in all", len(g.all))
		}
		leave()
		for range 20 { // free, but nobody is there any more
			_, err = g.Enter(ctx)
			wantCode(t, err, cloud.CodeUnavailable)
		}
		if len(g.inside) != 0 || len(g.all) != 0 {
			t.Errorf("%d inside, %d in all", len(g.inside), len(g.all))
		}
	})
}

func TestAGateLetsSomebodyIn(t *testing.T) {
	leave, err := NewGate(0, -1).Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave()
}
