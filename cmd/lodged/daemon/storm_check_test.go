package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
)

// broke reports an invariant once, by its name.
func (w *storm) broke(name, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken[name] {
		return
	}
	w.broken[name] = true
	w.t.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
}

// smallest is the n-th of ids in order: maps have none.
func smallest(ids []string, n int) string {
	slices.Sort(ids)
	return ids[n]
}

// rows asks the database file, past the store. Each row is one line.
func (w *storm) rows(query string, args ...any) (out []string) {
	rows, err := w.beside.Query(query, args...)
	w.must(err)
	defer rows.Close()
	cols, err := rows.Columns()
	w.must(err)
	for rows.Next() {
		cells := make([]sql.NullString, len(cols))
		into := make([]any, len(cols))
		for i := range cells {
			into[i] = &cells[i]
		}
		w.must(rows.Scan(into...))
		line := make([]string, len(cols))
		for i, c := range cells {
			line[i] = c.String
		}
		out = append(out, strings.Join(line, " "))
	}
	w.must(rows.Err())
	return out
}

// forbidden are rows that must never be there, by the invariant they break.
var forbidden = []struct{ name, query string }{
	{"one owner of an address", `SELECT f.subnet_id || ' ' || f.address AS x FROM port_fixed_ip f JOIN port p ON p.id = f.port_id WHERE p.deleted_at IS NULL GROUP BY 1 HAVING count(*) > 1`},
	{"one owner of a MAC", `SELECT mac AS x FROM port WHERE deleted_at IS NULL GROUP BY 1 HAVING count(*) > 1`},
	{"one owner of a disk", `SELECT volume_id AS x FROM attachment JOIN instance i ON i.id = instance_id WHERE i.gone_at IS NULL GROUP BY 1 HAVING count(*) > 1`},
	{"an instance has its disk and port", `SELECT i.id AS x FROM instance i WHERE i.gone_at IS NULL AND (
		(SELECT count(*) FROM attachment a JOIN volume v ON v.id = a.volume_id WHERE a.instance_id = i.id AND v.gone_at IS NULL) <> 1 OR
		(SELECT count(*) FROM port p WHERE p.instance_id = i.id AND p.deleted_at IS NULL) <> 1)`},
	{"one open row per slot", `SELECT resource_id || ' ' || slot || ' ' || meter AS x FROM usage_interval WHERE ended_at IS NULL GROUP BY 1 HAVING count(*) > 1`},
	{"nothing is counted of what is gone", `SELECT u.seq AS x FROM usage_interval u JOIN instance i ON i.id = u.resource_id WHERE u.ended_at IS NULL AND i.gone_at IS NOT NULL`},
	{"what runs is metered", `SELECT i.id AS x FROM instance i WHERE i.state = 'running' AND i.deleted_at IS NULL AND NOT EXISTS (
		SELECT 1 FROM usage_interval u WHERE u.resource_id = i.id AND u.meter = 'instance' AND u.ended_at IS NULL AND u.state = 'running')`},
	{"an operation has a subject", `SELECT o.id AS x FROM operation o WHERE o.subject_kind = 'instance' AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = o.subject_id)`},
	{"an operation of what is gone has ended", `SELECT o.id || ' ' || o.kind AS x FROM operation o JOIN instance i ON i.id = o.subject_id WHERE i.gone_at IS NOT NULL AND o.state = 'running'`},
}

// done are the instances that are said to be as they were asked to be.
const done = `SELECT id, generation, vcpus, memory_mib FROM instance WHERE gone_at IS NULL AND deleted_at IS NULL AND observed_generation = generation AND task = '' AND problem_code IS NULL`

// trueToItsWord: what is said to be done is done. Only instances that no hand has
// touched, and that are the same before and behind the look at the host.
func (w *storm) trueToItsWord(before []string, seen sim.Inventory) {
	still := map[string]bool{}
	for _, line := range w.rows(done) {
		still[line] = true
	}
	for _, line := range before {
		f := strings.Fields(line)
		w.mu.Lock()
		touched := w.edited[f[0]]
		w.mu.Unlock()
		if touched || !still[line] {
			continue
		}
		next := seen.Guests[f[0]].Next
		if next == nil || fmt.Sprint(next.VCPUs, " ", next.MemoryMiB) != f[2]+" "+f[3] {
			w.broke("what is said to be done is done", "%s: defined %+v", line, next)
		}
	}
}

// allForbidden asks for all of them at once.
var allForbidden = func() string {
	var all []string
	for _, f := range forbidden {
		all = append(all, fmt.Sprintf("SELECT '%s: ' || x FROM (%s)", f.name, f.query))
	}
	return strings.Join(all, " UNION ALL ")
}()

// hold checks what must hold at every moment. It is called behind every record.
func (w *storm) hold() {
	w.checks.Add(1)
	before := w.rows(done)
	seen := w.host.Inventory()
	w.trueToItsWord(before, seen)
	for _, bad := range w.rows(allForbidden) {
		name, what, _ := strings.Cut(bad, ": ")
		w.broke(name, "%s", what)
	}
	known := map[string]bool{}
	for _, line := range w.rows(`SELECT id, gone_at IS NOT NULL FROM instance`) {
		id, gone, _ := strings.Cut(line, " ")
		known[id] = gone == "0"
	}
	w.mu.Lock()
	for id := range w.made {
		if _, there := known[id]; !there {
			w.t.Errorf("no instance is lost: %s was promised and is not there", id)
		}
	}
	hurt := maps.Clone(w.hurt)
	w.mu.Unlock()
	for id, disk := range hurt {
		if _, there := seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: disk}]; there {
			w.broke("a lost disk is not made anew", "%s of %s", disk, id)
		}
	}
	macs, disks := map[string]string{}, map[string]string{}
	for id, g := range seen.Guests {
		if !known[id] {
			w.broke("no guest without its instance", "%s", id)
		}
		for _, spec := range []*cloud.GuestSpec{g.Next, g.Run} {
			if spec == nil {
				continue
			}
			for _, nic := range spec.NICs {
				if other := macs[nic.MAC]; other != "" && other != id {
					w.broke("one guest of a MAC", "%s is of %s and %s", nic.MAC, other, id)
				}
				macs[nic.MAC] = id
			}
			if other := disks[spec.Disks[0].Path]; other != "" && other != id {
				w.broke("one guest of a disk", "%s is of %s and %s", spec.Disks[0].Path, other, id)
			}
			disks[spec.Disks[0].Path] = id
		}
	}
	for network, ports := range seen.Ports {
		owners := map[string]string{}
		for mac, p := range ports {
			if other := owners[p.Address.String()]; other != "" {
				w.broke("one port of an address", "%s in %s is of %s and %s", p.Address, network, other, mac)
			}
			owners[p.Address.String()] = mac
		}
	}
	w.quotas()
}

// quotas: what is counted as used is the sum of what is there.
func (w *storm) quotas() {
	for _, tenant := range w.tenants {
		used := map[cloud.Resource]string{}
		all, err := w.db.Quotas(context.Background(), w.root, time.Now(), tenant)
		w.must(err)
		for _, q := range all {
			used[q.Resource] = fmt.Sprint(q.Used)
		}
		// The two are read one after the other, and tenants go on: what differs is
		// asked for again.
		want := func() string {
			return w.rows(`SELECT count(*), coalesce(sum(vcpus), 0), coalesce(sum(memory_mib), 0) FROM instance WHERE tenant_id = ? AND gone_at IS NULL`, tenant)[0]
		}
		is := func(used map[cloud.Resource]string) string {
			return used[cloud.ResourceInstances] + " " + used[cloud.ResourceVCPUs] + " " + used[cloud.ResourceMemory]
		}
		if is(used) == want() {
			continue
		}
		before := want()
		all, err = w.db.Quotas(context.Background(), w.root, time.Now(), tenant)
		w.must(err)
		for _, q := range all {
			used[q.Resource] = fmt.Sprint(q.Used)
		}
		if before == want() && is(used) != before {
			w.broke("quota equals the sum", "%s: used %s, there are %s", tenant, is(used), before)
		}
	}
}

// calm ends the weather and gives lodged time to mend everything.
func (w *storm) calm() {
	w.proc.fuse.Store(0)
	w.proc.refuse.Store(nil)
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
		w.checkInstance(i, seen.Guests[i.ID])
	}
	for id := range w.made {
		if there[id] == w.removed[id] {
			w.broke("what was promised has come true", "%s: deleted %v, listed %v", id, w.removed[id], there[id])
		}
	}
	for id := range seen.Guests {
		if !there[id] {
			w.broke("no orphan guest", "%s", id)
		}
	}
	for key := range seen.Disks {
		if left := w.rows(`SELECT i.id FROM instance i LEFT JOIN attachment a ON a.instance_id = i.id WHERE i.gone_at IS NULL AND ? IN (i.id, a.volume_id)
			UNION SELECT id FROM image WHERE gone_at IS NULL AND id = ?`, key.ID, key.ID); len(left) == 0 {
			w.broke("no orphan disk", "%s %s", key.Kind, key.ID)
		}
	}
	for network, ports := range seen.Ports {
		for mac := range ports {
			if len(w.rows(`SELECT 1 FROM port WHERE deleted_at IS NULL AND mac = ? AND network_id = ?`, mac, network)) == 0 {
				w.broke("no orphan lease", "%s in %s", mac, network)
			}
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

// checkInstance: what is wanted of one instance is what its guest is, and what
// is counted.
func (w *storm) checkInstance(i cloud.Instance, g sim.Resident) {
	if w.hurt[i.ID] != "" && i.Problem != nil && i.Problem.Code == cloud.CodeDiskMissing {
		return // only a person can help
	}
	asleep := i.Power == cloud.PowerOff && i.State == cloud.StateSleeping // saved by hand: as off as one that is stopped
	if want := w.power[i.ID]; want != i.Power && !w.itself[i.ID] {
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
	for _, i := range all {
		_, err := w.db.DeleteInstance(ctx, w.root, w.now(), i.ID)
		w.must(err)
	}
	time.Sleep(15 * time.Minute)
	w.hold()
	seen := w.host.Inventory()
	var ports, leases int
	for id := range seen.Ports {
		ports, leases = ports+len(seen.Ports[id]), leases+len(seen.Leases[id])
	}
	if len(seen.Guests) != 0 || len(seen.Disks) != 1 || len(seen.Ports) != 0 || ports != 0 || leases != 0 {
		w.broke("nothing is left", "%d guests, %d disks beside the image, %d networks, %d ports, %d leases", len(seen.Guests), len(seen.Disks)-1, len(seen.Ports), ports, leases)
	}
	if !slices.Equal(seen.Foreign, []string{foreigner}) {
		w.broke("what is not lodge's is not touched", "%v", seen.Foreign)
	}
	for name, query := range map[string]string{
		"no instance":                     `SELECT id, state, problem_code FROM instance WHERE gone_at IS NULL`,
		"no volume":                       `SELECT id FROM volume WHERE gone_at IS NULL`,
		"no port":                         `SELECT id FROM port WHERE deleted_at IS NULL AND instance_id IS NOT NULL`,
		"no operation that runs":          `SELECT id, kind FROM operation WHERE state = 'running'`,
		"no row that nothing ever closes": `SELECT seq, resource_id FROM usage_interval WHERE ended_at IS NULL AND meter <> 'image'`,
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
