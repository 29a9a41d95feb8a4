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
	{"who holds an instance stopped is there", `SELECT id AS x FROM instance WHERE stopped_by_id <> '' AND gone_at IS NULL AND stopped_by_id NOT IN (SELECT id FROM budget UNION SELECT id FROM schedule)`},
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
	present := w.rows(`SELECT id, gone_at IS NOT NULL, deleted_at IS NULL AND stopped_by_id = '', power FROM instance`)
	for _, line := range present {
		f := strings.Fields(line)
		known[f[0]] = f[1] == "0"
	}
	w.stands(present)
	w.mu.Lock()
	for id := range w.made {
		if _, there := known[id]; !there {
			w.t.Errorf("no instance is lost: %s was promised and is not there", id)
		}
	}
	hurt := maps.Clone(w.hurt)
	w.mu.Unlock()
	w.orphans(seen, known)
	for id, disk := range hurt {
		if _, there := seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: disk}]; there {
			w.broke("a lost disk is not made anew", "%s of %s", disk, id)
		}
	}
	macs, disks := map[string]string{}, map[string]string{}
	for id, g := range seen.Guests {
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

// stands: the last wish for a power that was taken is the one that is kept, at every
// moment, unless a guest has shut itself down since or something holds it. A wish is
// written down here right behind its answer; so what differs has to do so still when
// time has passed.
func (w *storm) stands(rows []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range rows {
		f := strings.Fields(line)
		id, is := f[0], cloud.Power(f[3])
		want, promised := w.power[id]
		if !promised || f[2] == "0" || is == want || w.itself[id] || w.shut[id] && is == cloud.PowerOff {
			delete(w.odd, id)
			continue
		}
		if since, odd := w.odd[id]; !odd {
			w.odd[id] = time.Now()
		} else if time.Since(since) > 0 && !w.broken["the last wish stands"] {
			w.broken["the last wish stands"] = true
			w.t.Errorf("the last wish stands: %s: %s was asked for, and %s is kept", id, want, is)
		}
	}
}

// orphans: what is on the host is some row's, at every moment. A row goes when
// nothing of it is seen any more. That can be between the two looks here, so what
// seems to be left is looked for once more.
func (w *storm) orphans(seen sim.Inventory, instances map[string]bool) {
	rows := map[string]bool{}
	for _, line := range w.rows(`SELECT 'volume ' || id FROM volume WHERE gone_at IS NULL
		UNION ALL SELECT 'image ' || id FROM image WHERE gone_at IS NULL
		UNION ALL SELECT 'port ' || mac || ' ' || network_id FROM port WHERE deleted_at IS NULL AND instance_id IS NOT NULL
		UNION ALL SELECT 'network ' || id FROM network WHERE gone_at IS NULL`) {
		rows[line] = true
	}
	for id := range instances {
		if instances[id] {
			rows["guest "+id], rows["NVRAM "+id], rows["seed "+id] = true, true, true
		}
	}
	for _, what := range things(seen) {
		if !rows[what] && slices.Contains(things(w.host.Inventory()), what) {
			kind, id, _ := strings.Cut(what, " ")
			w.broke("no orphan "+kind, "%s", id)
		}
	}
}

// things are all that is on a host, each as its kind and its id.
func things(seen sim.Inventory) (all []string) {
	for id := range seen.Guests {
		all = append(all, "guest "+id)
	}
	for _, id := range seen.NVRAM {
		all = append(all, "NVRAM "+id)
	}
	for key := range seen.Disks {
		all = append(all, string(key.Kind)+" "+key.ID)
	}
	for network, ports := range seen.Ports {
		all = append(all, "network "+network)
		for mac := range ports {
			all = append(all, "port "+mac+" "+network)
		}
	}
	return all
}

// quotas: what is counted as used is the sum of what is there.
func (w *storm) quotas() {
	for _, tenant := range w.rows(`SELECT id FROM tenant WHERE deleted_at IS NULL ORDER BY id`) {
		used := map[cloud.Resource]string{}
		all, err := w.db.Quotas(context.Background(), w.root, time.Now(), tenant)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			continue // deleted just now
		}
		w.must(err)
		for _, q := range all {
			used[q.Resource] = fmt.Sprint(q.Used)
		}
		// The two are read one after the other, and tenants go on: what differs is
		// asked for again.
		want := func() string {
			return w.rows(`SELECT count(*), coalesce(sum(vcpus), 0), coalesce(sum(memory_mib), 0),
				(SELECT coalesce(sum(size_gib), 0) FROM volume WHERE tenant_id = ?1 AND gone_at IS NULL),
				(SELECT count(*) FROM image WHERE tenant_id = ?1 AND gone_at IS NULL),
				(SELECT count(*) FROM port WHERE tenant_id = ?1 AND deleted_at IS NULL)
				FROM instance WHERE tenant_id = ?1 AND gone_at IS NULL`, tenant)[0]
		}
		is := func(used map[cloud.Resource]string) string {
			return strings.Join([]string{
				used[cloud.ResourceInstances], used[cloud.ResourceVCPUs], used[cloud.ResourceMemory],
				used[cloud.ResourceDisk], used[cloud.ResourceImages], used[cloud.ResourcePorts],
			}, " ")
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
