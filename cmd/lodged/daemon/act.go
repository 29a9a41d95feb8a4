package daemon

import (
	"context"
	"sync"
	"time"

	"lodge/fetch"
	"lodge/meter"
	"lodge/notify"
	"lodge/timetable"
)

// act starts what acts by itself: budgets, schedules, and what tells webhooks.
// They end with ctx, and then the group is done.
func (d *Daemon) act(ctx context.Context) *sync.WaitGroup {
	all := new(sync.WaitGroup)
	all.Go(func() { (&meter.Keeper{Purse: d.db, Now: d.cfg.Now, Log: d.cfg.Log}).Run(ctx) })
	all.Go(func() { (&timetable.Runner{Board: d.db, Now: d.cfg.Now, Log: d.cfg.Log}).Run(ctx) })
	all.Go(func() {
		(&notify.Sender{
			Outbox: d.db, Poster: fetch.New(fetch.Options{Allow: d.cfg.WebhookAllow}),
			Now: d.cfg.Now, Wall: time.Now, Log: d.cfg.Log, Observe: d.watched.observe,
		}).Run(ctx)
	})
	return all
}
