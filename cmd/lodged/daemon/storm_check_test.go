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
	{"a schedule that is off holds nothing", `SELECT i.id AS x FROM instance i JOIN schedule s ON s.id = i.stopped_by_id WHERE i.gone_at IS NULL AND s.enabled = 0`},
	{"an operation has a subject", `SELECT o.id AS x FROM operation o WHERE o.subject_kind = 'instance' AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = o.subject_id)`},
	{"an operation of what is gone has ended", `SELECT o.id || ' ' || o.kind AS x FROM operation o JOIN instance i ON i.id = o.subject_id WHERE i.gone_at IS NOT NULL AND o.state = 'running'`},
}

// sight is all of the database that is checked behind a record, as of one moment.
type sight struct {
	version string // of the file: it is another one behind every commit
	text    [4]string
	*understood
}

// understood is what the text of a sight says.
type understood struct {
	instances []row
	kept      map[string]bool   // all else that rows are about, as things has it
	used      map[string]string // of what quotas count there is so much, by tenant
	counted   map[string]string // and those are the rows it is of
}

// row is an instance in a sight.
type row struct {
	id, size, generation string // size: vCPUs and memory
	power                cloud.Power
	gone                 bool
	free                 bool // it is not being deleted, and nothing holds it stopped
	done                 bool // it is said to be as it was asked to be
}

// sights asks for all of it in one go, which is one moment, and one row, for most
// of the time goes by with calls: the instances, what else is kept, what is used,
// and what must never be there. A line begins with its tenant.
var sights = `SELECT
	(SELECT group_concat(tenant_id || ' ' || id || ' ' || vcpus || ' ' || memory_mib || ' ' || generation || ' ' || power || ' ' || (gone_at IS NOT NULL) || ' ' ||
		(deleted_at IS NULL AND stopped_by_id = '') || ' ' ||
		(gone_at IS NULL AND deleted_at IS NULL AND observed_generation = generation AND task = '' AND problem_code IS NULL) || ' ' || state, char(10)) FROM instance),
	(SELECT group_concat(line, char(10)) FROM (
		SELECT tenant_id || ' volume ' || id AS line FROM volume WHERE gone_at IS NULL
		UNION ALL SELECT tenant_id || ' image ' || id FROM image WHERE gone_at IS NULL
		UNION ALL SELECT tenant_id || ' port ' || mac || ' ' || network_id FROM port WHERE deleted_at IS NULL AND instance_id IS NOT NULL
		UNION ALL SELECT tenant_id || ' network ' || id FROM network WHERE gone_at IS NULL)),
	(SELECT group_concat(id || ' ' ||
		(SELECT count(*) || ' ' || coalesce(sum(vcpus), 0) || ' ' || coalesce(sum(memory_mib), 0) FROM instance WHERE tenant_id = t.id AND gone_at IS NULL) || ' ' ||
		(SELECT coalesce(sum(size_gib), 0) FROM volume WHERE tenant_id = t.id AND gone_at IS NULL) || ' ' ||
		(SELECT count(*) FROM image WHERE tenant_id = t.id AND gone_at IS NULL) || ' ' ||
		(SELECT count(*) FROM port WHERE tenant_id = t.id AND deleted_at IS NULL), char(10)) FROM tenant t WHERE deleted_at IS NULL),
	(SELECT group_concat(line, char(10)) FROM (` + allForbidden + `))`

// version changes with every commit of anybody else: beside has one connection.
func (w *storm) version() (v string) {
	w.must(w.beside.QueryRow("PRAGMA data_version").Scan(&v))
	return v
}

// sight looks at the file, unless it is as it was at the last look.
func (w *storm) sight() *sight {
	version, last := w.version(), w.seen.Load()
	if last != nil && last.version == version {
		return last
	}
	s := &sight{version: version}
	var cells [len(s.text)]sql.NullString
	w.must(w.beside.QueryRow(sights).Scan(&cells[0], &cells[1], &cells[2], &cells[3]))
	for i, c := range cells {
		s.text[i] = c.String
	}
	if last != nil && slices.Equal(last.text[:3], s.text[:3]) {
		s.understood = last.understood
	} else {
		s.understood = understand(s.text)
	}
	w.seen.Store(s)
	return s
}

func understand(text [4]string) *understood {
	u := &understood{kept: map[string]bool{}, used: map[string]string{}, counted: map[string]string{}}
	for i, lines := range text[:3] {
		for line := range strings.Lines(lines) {
			tenant, line, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			u.counted[tenant] += line + "\n"
			switch i {
			case 0:
				f := strings.Fields(line)
				u.instances = append(u.instances, row{f[0], f[1] + " " + f[2], f[3], cloud.Power(f[4]), f[5] == "1", f[6] == "1", f[7] == "1"})
			case 1:
				u.kept[line] = true
			case 2:
				u.used[tenant] = line
			}
		}
	}
	return u
}

// trueToItsWord: what is said to be done is done. Only instances that no hand has
// touched, and that are the same before and behind the look at the host.
func (w *storm) trueToItsWord(before, behind *sight, seen sim.Inventory) {
	still := map[row]bool{}
	for _, i := range behind.instances {
		still[i] = true
	}
	for _, i := range before.instances {
		w.mu.Lock()
		touched := w.edited[i.id]
		w.mu.Unlock()
		if !i.done || touched || !still[i] {
			continue
		}
		next := seen.Guests[i.id].Next
		if next == nil || fmt.Sprint(next.VCPUs, " ", next.MemoryMiB) != i.size {
			w.broke("what is said to be done is done", "%s of %s: defined %+v", i.id, i.size, next)
		}
	}
}

// allForbidden asks for all of them at once.
var allForbidden = func() string {
	var all []string
	for _, f := range forbidden {
		all = append(all, fmt.Sprintf("SELECT '%s: ' || x AS line FROM (%s)", f.name, f.query))
	}
	return strings.Join(all, " UNION ALL ")
}()

// hold checks what must hold at every moment. It is called behind every record.
func (w *storm) hold() {
	w.checks.Add(1)
	before := w.sight()
	seen := w.host.Inventory()
	s := w.sight()
	w.trueToItsWord(before, s, seen)
	for bad := range strings.Lines(s.text[3]) {
		name, what, _ := strings.Cut(strings.TrimSpace(bad), ": ")
		w.broke(name, "%s", what)
	}
	w.stands(s)
	known := map[string]bool{}
	for _, i := range s.instances {
		known[i.id] = true
	}
	w.mu.Lock()
	for id := range w.made {
		if !known[id] {
			w.t.Errorf("no instance is lost: %s was promised and is not there", id)
		}
	}
	hurt := maps.Clone(w.hurt)
	w.mu.Unlock()
	w.orphans(seen, s)
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
	w.quotas(s)
}

// stands: the last wish for a power that was taken is the one that is kept, at every
// moment, unless a guest has shut itself down since or something holds it. A wish is
// written down here right behind its answer; so what differs has to do so still when
// time has passed.
func (w *storm) stands(s *sight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range s.instances {
		id, is := i.id, i.power
		want, promised := w.power[id]
		if !promised || !i.free || is == want || w.itself[id] || w.shut[id] && is == cloud.PowerOff {
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
func (w *storm) orphans(seen sim.Inventory, s *sight) {
	of := map[string]bool{}
	for _, i := range s.instances {
		of[i.id] = !i.gone
	}
	ours := func(what string) bool {
		kind, id, _ := strings.Cut(what, " ")
		return s.kept[what] || of[id] && (kind == "guest" || kind == "NVRAM" || kind == "seed")
	}
	for _, what := range things(seen) {
		if !ours(what) && slices.Contains(things(w.host.Inventory()), what) {
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

// quotas: what is counted as used is the sum of what is there. A tenant is asked for
// again when a row has changed that is counted.
func (w *storm) quotas(s *sight) {
	for tenant, want := range s.used {
		w.mu.Lock()
		same := w.right[tenant] == s.counted[tenant]
		w.mu.Unlock()
		if same {
			continue
		}
		is := w.used(tenant)
		// The two are read one after the other, and tenants go on: what differs is
		// asked for again, until nothing has happened in between.
		for is != want && is != "" {
			now := w.sight()
			if want, is = now.used[tenant], w.used(tenant); is != want && is != "" && w.version() == now.version {
				w.broke("quota equals the sum", "%s: used %s, there are %s", tenant, is, want)
				return
			}
			s = now
		}
		w.mu.Lock()
		w.right[tenant] = s.counted[tenant]
		w.mu.Unlock()
	}
}

// used is what the store says that a tenant uses; "" when the tenant is not there.
func (w *storm) used(tenant string) string {
	all, err := w.db.Quotas(context.Background(), w.root, time.Now(), tenant)
	if cloud.CodeOf(err) == cloud.CodeNotFound {
		return "" // deleted just now
	}
	w.must(err)
	used := map[cloud.Resource]int64{}
	for _, q := range all {
		used[q.Resource] = q.Used
	}
	return fmt.Sprint(used[cloud.ResourceInstances], " ", used[cloud.ResourceVCPUs], " ", used[cloud.ResourceMemory], " ",
		used[cloud.ResourceDisk], " ", used[cloud.ResourceImages], " ", used[cloud.ResourcePorts])
}
