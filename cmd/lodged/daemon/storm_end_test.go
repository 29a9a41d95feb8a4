package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
)

// calm ends the weather and gives lodged time to mend everything.
func (w *storm) calm() {
	w.proc.fuse.Store(0)
	w.proc.refuse.Store(nil)
	w.offline.Store(false)
	w.host.FailRate(0)
	w.host.Away(false)
	w.host.Down(false)
	w.host.LoseEvents(false)
	w.host.Mute(false)
	w.host.SetFree(1 << 40)
	w.clock.Lock()
	w.clock.wall += time.Duration(float64(time.Since(w.clock.booted)) * w.clock.drift)
	w.clock.drift = 0
	w.clock.Unlock()
	time.Sleep(40 * time.Minute)
	w.until(2, 7)
	w.endSchedules()
	w.until(12, 20)
}

// until sleeps until the clock is so many minutes behind a third of an hour, which is
// when schedules stop: seven minutes later they start.
func (w *storm) until(least, most int) {
	for {
		if m := w.now().UTC().Minute() % 20; least <= m && m < most {
			return
		}
		time.Sleep(time.Minute)
	}
}

// endSchedules ends all schedules while they hold instances, in one of the ways there
// are; the third is that their time to start comes.
func (w *storm) endSchedules() {
	ctx, off, how := context.Background(), false, w.rand.IntN(3)
	all, err := w.db.Schedules(ctx, w.root, "")
	w.must(err)
	for _, s := range all {
		switch how {
		case 0:
			_, _, err = w.db.DeleteSchedule(ctx, w.root, w.now(), s.ID)
		case 1:
			_, err = w.db.UpdateSchedule(ctx, w.root, w.now(), s.ID, cloud.ScheduleChange{Enabled: &off}, func(cloud.Schedule) error { return nil })
		}
		w.must(err)
	}
}

// heldRightly: what stopped an instance and did not start it again may hold it so. A
// schedule may not, for all of them have begun.
func (w *storm) heldRightly(i cloud.Instance) {
	switch i.StoppedBy.Kind {
	case cloud.KindSchedule:
		w.broke("a schedule starts what it stopped", "%s is held by %s at %s", i.ID, i.StoppedBy.ID, w.now().UTC().Format(time.TimeOnly))
	case cloud.KindBudget:
		if len(w.rows(`SELECT 1 FROM budget_crossing WHERE budget_id = ? AND stopped_at IS NOT NULL AND lifted_at IS NULL`, i.StoppedBy.ID)) == 0 {
			w.broke("a budget starts what it stopped", "%s is held by %s", i.ID, i.StoppedBy.ID)
		}
	}
}

// settled: wanted equals seen, for every instance.
func (w *storm) settled() {
	w.hold()
	ctx, seen := context.Background(), w.host.Inventory()
	all, _, err := w.db.Instances(ctx, w.root, cloud.Filter{}, cloud.Page{Limit: 500})
	w.must(err)
	there := map[string]bool{}
	for _, i := range all {
		there[i.ID] = true
		w.checkInstance(i, seen)
	}
	for id := range w.made {
		if there[id] == w.removed[id] {
			w.broke("what was promised has come true", "%s: deleted %v, listed %v", id, w.removed[id], there[id])
		}
	}
	w.keptImages()
	for network := range seen.Ports {
		if len(w.rows(`SELECT 1 FROM port WHERE network_id = ? AND deleted_at IS NULL AND instance_id IS NOT NULL LIMIT 1`, network)) == 0 {
			w.broke("no network that nobody is on", "%s", network)
		}
	}
	if running := w.rows(`SELECT o.kind, o.subject_id, i.problem_code FROM operation o LEFT JOIN instance i ON i.id = o.subject_id WHERE o.state = 'running'`); len(running) > 0 {
		for _, line := range running {
			if !strings.HasSuffix(line, string(cloud.CodeDiskMissing)) {
				w.broke("every operation has ended", "%s", line)
			}
		}
	}
}

// keptImages: each image that was promised is there, or could not be had.
func (w *storm) keptImages() {
	for id, gives := range w.images {
		is := w.rows(`SELECT state, gone_at IS NOT NULL, problem_attempts FROM image WHERE id = ?`, id)
		switch {
		case len(is) == 0:
			w.broke("no image is lost", "%s", id)
		case w.removed[id]:
			if !strings.HasPrefix(is[0], "gone 1") {
				w.broke("a deleted image goes", "%s: %s", id, is[0])
			}
		case gives == "bad", gives == "cut":
			if !strings.HasPrefix(is[0], "error ") {
				w.broke("an image that is none is refused", "%s: %s", id, is[0])
			}
		case !strings.HasPrefix(is[0], "active ") && !strings.HasPrefix(is[0], "error "): // given up for the weather
			w.broke("an image has come or was given up", "%s: %s", id, is[0])
		}
	}
}

// checkInstance: what is wanted of one instance is what its guest is, and what
// is counted.
func (w *storm) checkInstance(i cloud.Instance, seen sim.Inventory) {
	g := seen.Guests[i.ID]
	if (w.hurt[i.ID] != "" || w.lost[i.ImageID]) && i.Problem != nil && i.Problem.Code == cloud.CodeDiskMissing {
		return // only a person can help
	}
	asleep := i.Power == cloud.PowerOff && i.State == cloud.StateSleeping // saved by hand: as off as one that is stopped
	held := w.labelled[i.ID] && i.StoppedBy != (cloud.Ref{})
	w.heldRightly(i)
	if want := w.power[i.ID]; want != i.Power && !w.itself[i.ID] && !held && (!w.shut[i.ID] || i.Power == cloud.PowerOn) {
		w.broke("the last wish stands", "%s: %s was asked for, and %s is kept", i.ID, want, i.Power)
	}
	if !i.Settled() || string(i.State) != string(i.Power) && !asleep || i.Problem != nil {
		w.broke("wanted equals seen", "%s %s: wanted %s, seen %s task %q, generation %d of %d, problem %+v", i.ID, i.Name, i.Power, i.State, i.Task, i.ObservedGeneration, i.Generation, i.Problem)
		return
	}
	if (g.Run != nil) != (i.Power == cloud.PowerOn) || g.Next == nil {
		w.broke("wanted equals seen", "%s is wanted %s; the host has a run: %v, a definition: %v", i.ID, i.Power, g.Run != nil, g.Next != nil)
		return
	}
	if g.Next.VCPUs != i.VCPUs || g.Next.MemoryMiB != i.MemoryMiB || len(g.Next.NICs) != 1 || len(g.Next.Disks) != 2 {
		w.broke("the definition is the wanted one", "%s: %d vCPUs and %d MiB are wanted, %+v is defined", i.ID, i.VCPUs, i.MemoryMiB, *g.Next)
	}
	if root := seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: w.rows(`SELECT volume_id FROM attachment WHERE instance_id = ?`, i.ID)[0]}]; root.Path != g.Next.Disks[0].Path || g.Next.Disks[0].Backing != "/sim/image/"+i.ImageID {
		w.broke("a guest has its own disk", "%s: %+v, defined %+v", i.ID, root, g.Next.Disks[0])
	}
	if port := w.rows(`SELECT mac, network_id FROM port WHERE instance_id = ? AND deleted_at IS NULL`, i.ID)[0]; len(g.Next.NICs) == 1 && g.Next.NICs[0].MAC+" "+g.Next.NICs[0].NetworkID != port {
		w.broke("a guest has its own port", "%s: %s, defined %+v", i.ID, port, g.Next.NICs[0])
	}
	if seed := seen.Seeds[i.ID]; !strings.Contains(seed.MetaData, i.ID) || !strings.Contains(seed.MetaData, w.keys[i.ID]) {
		w.broke("a seed has its instance's keys", "%s: %q, want %q", i.ID, seed.MetaData, w.keys[i.ID])
	}
	if i.Firmware == cloud.FirmwareUEFI && g.Run != nil && !slices.Contains(seen.NVRAM, i.ID) {
		w.broke("a UEFI guest has its NVRAM", "%s", i.ID)
	}
	w.counted(i, g)
}

// counted: what is seen of an instance is what its open rows count.
func (w *storm) counted(i cloud.Instance, g sim.Resident) {
	size := cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}
	if g.Run != nil {
		size.VCPUs, size.MemoryMiB = g.Run.VCPUs, g.Run.MemoryMiB
	}
	want := map[string]int64{}
	for _, r := range cloud.Readings(i.State, size, true) {
		want[r.Slot+" "+string(r.Meter)] = r.Amount
	}
	ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{InstanceID: i.ID})
	w.must(err)
	got := map[string]int64{}
	for _, iv := range ivs {
		if iv.EndedAt.IsZero() {
			got[iv.Slot+" "+string(iv.Meter)] = iv.Amount
			if iv.State != i.State {
				w.broke("what is seen is counted", "%s is %s, and its %s is counted as %s", i.ID, i.State, iv.Slot, iv.State)
			}
		}
	}
	if !maps.Equal(got, want) {
		w.broke("what is seen is counted", "%s: %v are counted, want %v", i.ID, got, want)
	}
}

// empty deletes everything: nothing of it may be left, but what is not lodge's.
func (w *storm) empty() {
	ctx := context.Background()
	all, _, err := w.db.Instances(ctx, w.root, cloud.Filter{}, cloud.Page{Limit: 500})
	w.must(err)
	no := false
	for _, i := range all {
		_, err := w.db.UpdateInstance(ctx, w.root, w.now(), i.ID, cloud.InstanceChange{Protected: &no})
		w.must(err)
		_, err = w.db.DeleteInstance(ctx, w.root, w.now(), i.ID)
		w.must(err)
	}
	time.Sleep(15 * time.Minute)
	for id := range w.images {
		if err := w.db.DeleteImage(ctx, w.root, w.now(), id); cloud.CodeOf(err) != cloud.CodeNotFound {
			w.must(err)
		}
	}
	for _, id := range w.passing {
		if err := w.db.DeleteTenant(ctx, w.root, w.now(), id); cloud.CodeOf(err) != cloud.CodeNotFound {
			w.must(err)
		}
	}
	time.Sleep(5 * time.Minute)
	w.hold()
	seen := w.host.Inventory()
	var ports, leases int
	for id := range seen.Ports {
		ports, leases = ports+len(seen.Ports[id]), leases+len(seen.Leases[id])
	}
	if len(seen.Guests) != 0 || len(seen.NVRAM) != 0 || len(seen.Disks) != 2 || len(seen.Ports) != 0 || ports != 0 || leases != 0 {
		w.broke("nothing is left", "%d guests, NVRAM of %d, %d disks beside the images, %d networks, %d ports, %d leases", len(seen.Guests), len(seen.NVRAM), len(seen.Disks)-2, len(seen.Ports), ports, leases)
	}
	if !slices.Equal(seen.Foreign, []string{foreigner}) {
		w.broke("what is not lodge's is not touched", "%v", seen.Foreign)
	}
	for name, query := range map[string]string{
		"no instance":                     `SELECT id, state, problem_code FROM instance WHERE gone_at IS NULL`,
		"no network of a tenant that is":  `SELECT id FROM network WHERE deleted_at IS NOT NULL AND gone_at IS NULL`,
		"no orphan":                       `SELECT kind, id FROM orphan`,
		"no volume":                       `SELECT id FROM volume WHERE gone_at IS NULL`,
		"no port":                         `SELECT id FROM port WHERE deleted_at IS NULL AND instance_id IS NOT NULL`,
		"no operation that runs":          `SELECT id, kind FROM operation WHERE state = 'running'`,
		"no row that nothing ever closes": `SELECT u.seq, u.resource_id FROM usage_interval u LEFT JOIN image i ON i.id = u.resource_id WHERE u.ended_at IS NULL AND (i.id IS NULL OR i.gone_at IS NOT NULL)`,
	} {
		if left := w.rows(query); len(left) > 0 {
			w.broke(name+" is left", "%v", left)
		}
	}
}

// audit: the ledger is sound, and counts no instance twice at any moment.
func (w *storm) audit() {
	var report meter.Report
	w.must(w.db.ReadLedger(context.Background(), func(l cloud.Ledger) (err error) { report, err = meter.Verify(l); return err }))
	for _, f := range report.Findings {
		w.broke("the ledger verifies", "%s %s %d: %s", f.Check, f.Table, f.Row, f.Message)
	}
	if bad := w.rows("PRAGMA integrity_check"); !slices.Equal(bad, []string{"ok"}) {
		w.broke("the file is sound", "%v", bad)
	}
	if bad := w.rows("PRAGMA foreign_key_check"); len(bad) > 0 {
		w.broke("the file is sound", "%v", bad)
	}
}
