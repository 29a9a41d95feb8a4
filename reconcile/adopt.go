package reconcile

import (
	"context"
	"slices"
	"time"

	"lodge/cloud"
)

// Restores is what the loop needs of a store that may have been taken back to a
// backup.
type Restores interface {
	// Unadopted reports whether the database was restored and not yet compared
	// with the host.
	Unadopted(ctx context.Context) (bool, error)
	// Adopt writes down what PlanAdopt has decided, and ends that.
	Adopt(ctx context.Context, hostID string, now time.Time, a []cloud.Adoption, r cloud.RestoreReport, seen cloud.HostSight) error
	// RecordOrphans writes down what of a look no row is about.
	RecordOrphans(ctx context.Context, hostID string, now time.Time, seen cloud.HostSight) error
}

// PlanAdopt decides what a database that was restored takes over from its host.
// It is pure. The backup is older than what the host shows: a guest that runs
// was started by its owner since, and one that ended in order, or was ended, was
// stopped since. Following the backup's wish would cut the one off and start the
// other. A guest of which the host does not know why it is off was lost with a
// boot of the host, and is started as the wish says. On another machine there is
// nothing but the disks that somebody has brought.
func PlanAdopt(wishes []cloud.InstanceWish, seen cloud.HostSight) (as []cloud.Adoption, r cloud.RestoreReport) {
	for _, w := range wishes {
		g, there := seen.Guests[w.ID]
		if !w.DeletedAt.IsZero() || g.Foreign {
			continue // a deletion that was asked for goes on
		}
		if _, kept := seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: w.Root.ID}]; !kept && w.Root.State == cloud.VolumeAvailable {
			r.NoDisk = append(r.NoDisk, w.ID)
		}
		if !there {
			r.Missing = append(r.Missing, w.ID)
			continue
		}
		a := cloud.Adoption{InstanceID: w.ID, Rebooted: w.Boots > w.ObservedBoots}
		ended := g.OffReason == cloud.OffShutdown || g.OffReason == cloud.OffDestroyed
		switch {
		case (g.State == cloud.GuestRunning || g.State == cloud.GuestPaused) && w.Power == cloud.PowerOff:
			a.Power = cloud.PowerOn
			r.Started = append(r.Started, w.ID)
		case g.State == cloud.GuestRunning || g.State == cloud.GuestPaused:
			r.Running = append(r.Running, w.ID)
		case w.Power == cloud.PowerOn && ended:
			a.Power = cloud.PowerOff
			r.Stopped = append(r.Stopped, w.ID)
		}
		if a.Power != "" || a.Rebooted {
			as = append(as, a)
		}
	}
	for _, list := range [][]string{r.Running, r.Started, r.Stopped, r.Missing, r.NoDisk} {
		slices.Sort(list)
	}
	return as, r
}

// adopt compares a restored database with the host before anything is done there.
// It returns when that has succeeded, at once for a database that was not
// restored, or when ctx ends.
func (l *Loop) adopt(ctx context.Context) {
	for l.Restores != nil && ctx.Err() == nil {
		waits, err := l.Restores.Unadopted(ctx)
		if err == nil && !waits {
			break
		}
		if err == nil {
			err = l.adoptOnce(ctx)
		}
		if err == nil {
			break
		}
		l.Log.Error("compare the restored database with the host; nothing is done before", "err", err)
		l.blind(ctx, l.Now(), err)
		t := time.NewTimer(min(l.SweepEvery, 5*time.Second))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	if ctx.Err() == nil {
		close(l.adopted)
	}
}

func (l *Loop) adoptOnce(ctx context.Context) error {
	guests, disks, nets, err := l.lookAll(ctx)
	if err != nil {
		return err
	}
	wishes, err := l.Instances.InstanceWishes(ctx, l.HostID, nil)
	if err != nil {
		return err
	}
	seen := cloud.HostSight{Guests: guests, Disks: disks, Networks: nets}
	as, report := PlanAdopt(wishes, seen)
	err = l.Restores.Adopt(ctx, l.HostID, l.Now(), as, report, seen)
	if err == nil {
		l.Log.Warn("the restored database was compared with the host", "running", len(report.Running), "started", len(report.Started),
			"stopped", len(report.Stopped), "missing", len(report.Missing), "no_disk", len(report.NoDisk))
	}
	return err
}

// Adopted is closed when the loop begins to work: at once, unless the database
// was restored and the host has not been looked at.
func (l *Loop) Adopted() <-chan struct{} { return l.adopted }
