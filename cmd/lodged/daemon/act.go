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
// They end with ctx, and then the group is done. Budgets and schedules wait for
// begin: in a restored database they would act on what the backup says.
func (d *Daemon) act(ctx context.Context, begin <-chan struct{}) *sync.WaitGroup {
	all := new(sync.WaitGroup)
	late := func(run func(context.Context)) {
		all.Go(func() {
			select {
			case <-begin:
				run(ctx)
			case <-ctx.Done():
			}
		})
	}
	late((&meter.Keeper{Purse: d.db, Now: d.cfg.Now, Log: d.cfg.Log, Observe: d.watched.observe}).Run)
	late((&timetable.Runner{Board: d.db, Now: d.cfg.Now, Log: d.cfg.Log}).Run)
	if d.backups != nil {
		all.Go(func() { d.backups.Run(ctx) })
	}
	all.Go(func() {
		(&notify.Sender{
			Outbox: d.db, Poster: fetch.New(fetch.Options{Allow: d.cfg.WebhookAllow}),
			Now: d.cfg.Now, Wall: time.Now, Log: d.cfg.Log, Observe: d.watched.observe,
		}).Run(ctx)
	})
	return all
}
