package daemon

import (
	"context"
	"time"
)

const (
	// forgetEvery is how often old operations are looked for.
	forgetEvery = 10 * time.Minute
	// forgetMost is how many go in one transaction: requests that change
	// something wait for no more than that.
	forgetMost = 500
	// forgetPause lets them in between.
	forgetPause = 50 * time.Millisecond
)

// forgetOperations removes what ended long ago, at the start and from time to
// time.
func (d *Daemon) forgetOperations(ctx context.Context) {
	for {
		pause := forgetEvery
		n, err := d.db.ForgetOperations(ctx, d.cfg.Now(), forgetMost)
		switch {
		case err != nil && ctx.Err() == nil:
			d.cfg.Log.Error("forget old operations", "err", err)
		case n == forgetMost:
			pause = forgetPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
