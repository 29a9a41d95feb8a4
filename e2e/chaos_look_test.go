package e2e

import (
	"database/sql"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	_ "github.com/mattn/go-sqlite3"
)

// guestXML is what of a domain counts, as virsh shows it.
type guestXML struct {
	UUID   string `xml:"uuid"`
	VCPU   int    `xml:"vcpu"`
	Memory int    `xml:"memory"` // KiB
	Disks  []struct {
		Source struct {
			File string `xml:"file,attr"`
		} `xml:"source"`
	} `xml:"devices>disk"`
	NICs []struct {
		MAC struct {
			Address string `xml:"address,attr"`
		} `xml:"mac"`
		Source struct {
			Network string `xml:"network,attr"`
		} `xml:"source"`
	} `xml:"devices>interface"`
}

// hostsFile is the file of dnsmasq(8) that has the fixed leases of a network.
var hostsFile = regexp.MustCompile(`dhcp-hostsfile=([^'"]+)`)

// look checks the invariants with eyes that share nothing with lodge's.
func (c *chaos) look() {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(c.dir, "lodge.db")+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	ask := func(query string, args ...any) (out []string) {
		c.t.Helper()
		rows, err := db.Query(query, args...)
		if err != nil {
			c.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s sql.NullString
			if err := rows.Scan(&s); err != nil {
				c.t.Fatal(err)
			}
			out = append(out, s.String)
		}
		slices.Sort(out)
		return out
	}
	none := func(name, query string) {
		if bad := ask(query); len(bad) > 0 {
			c.t.Errorf("%s: %v", name, bad)
		}
	}

	// What was promised is there, what was promised to go is not.
	var promised []string
	for id := range c.made {
		if !c.removed[id] {
			promised = append(promised, id)
		}
	}
	slices.Sort(promised)
	c.same("no instance is lost and none comes back", promised, ask(`SELECT id FROM instance WHERE gone_at IS NULL`))
	for id, power := range c.power {
		if !c.removed[id] {
			c.same("the last wish stands: "+id, []string{power}, ask(`SELECT power FROM instance WHERE id = ?`, id))
		}
	}

	// Domains.
	uuids := strings.Fields(c.virsh("list", "--all", "--uuid"))
	slices.Sort(uuids)
	c.same("no orphan domain", promised, uuids)
	on := strings.Fields(c.virsh("list", "--uuid"))
	slices.Sort(on)
	c.same("wanted equals seen", ask(`SELECT id FROM instance WHERE gone_at IS NULL AND power = 'running'`), on)
	c.same("one QEMU for each guest that runs", on, c.qemus())
	var files []string
	macs := map[string]string{}
	for _, id := range uuids {
		var g guestXML
		if err := xml.Unmarshal([]byte(c.virsh("dumpxml", "--inactive", id)), &g); err != nil {
			c.t.Fatal(err)
		}
		c.same("the definition is the wanted one: "+id, ask(`SELECT vcpus || ' ' || memory_mib FROM instance WHERE id = ?`, id), []string{fmt.Sprint(g.VCPU, " ", g.Memory/1024)})
		for _, nic := range g.NICs {
			if other := macs[nic.MAC.Address]; other != "" {
				c.t.Errorf("one owner of a MAC: %s is of %s and %s", nic.MAC.Address, other, id)
			}
			macs[nic.MAC.Address] = id
		}
		c.same("a guest has its port: "+id, ask(`SELECT mac FROM port WHERE instance_id = ? AND deleted_at IS NULL`, id), []string{g.NICs[0].MAC.Address})
		for _, d := range g.Disks {
			files = append(files, filepath.Base(d.Source.File))
		}
	}

	// Disks: what domains use is what is there, beside the images.
	slices.Sort(files)
	entries, err := os.ReadDir(filepath.Join(c.dir, "disks"))
	if err != nil {
		c.t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "image-") {
			there = append(there, e.Name())
		}
	}
	slices.Sort(there)
	c.same("one owner of a disk and no orphan disk", files, there)

	c.ofGuests(there, promised, ask)

	// Leases: what the networks would hand out.
	var leases []string
	for _, name := range strings.Fields(c.virsh("net-list", "--all", "--name")) {
		file := hostsFile.FindStringSubmatch(c.virsh("net-dumpxml", "--inactive", name))
		if file == nil {
			c.t.Fatalf("network %s names no file of leases", name)
		}
		lines, err := os.ReadFile(file[1])
		if err != nil {
			c.t.Fatal(err)
		}
		for _, line := range strings.Split(string(lines), "\n") {
			if f := strings.Split(line, ","); len(f) >= 2 && !strings.HasPrefix(line, "#") {
				leases = append(leases, f[0]+" "+f[1])
			}
		}
	}
	slices.Sort(leases)
	c.same("one owner of an address and no orphan lease", ask(`SELECT p.mac || ' ' || f.address FROM port p JOIN port_fixed_ip f ON f.port_id = p.id WHERE p.deleted_at IS NULL AND p.instance_id IS NOT NULL`), leases)

	// The database itself, and what it says of money.
	c.same("the file is sound", []string{"ok"}, ask(`PRAGMA integrity_check`))
	none("the file is sound", `SELECT "table" FROM pragma_foreign_key_check`)
	none("every operation has ended", `SELECT id || ' ' || kind FROM operation WHERE state = 'running'`)
	none("one open row per slot", `SELECT resource_id || slot || meter FROM usage_interval WHERE ended_at IS NULL GROUP BY resource_id, slot, meter HAVING count(*) > 1`)
	none("nothing is counted twice", `SELECT a.seq FROM usage_interval a JOIN usage_interval b ON a.resource_id = b.resource_id AND a.slot = b.slot AND a.meter = b.meter AND a.seq < b.seq
		AND a.started_at < COALESCE(b.ended_at, 9e18) AND b.started_at < COALESCE(a.ended_at, 9e18)`)
	c.same("what runs is counted, and nothing else", on, ask(`SELECT resource_id FROM usage_interval WHERE ended_at IS NULL AND meter = 'vcpu' AND state = 'running'`))
	for _, tenant := range ask(`SELECT id FROM tenant`) {
		used := map[string]string{}
		for _, q := range c.list("/v1/tenants/" + tenant + "/quota") {
			used[fmt.Sprint(q["resource"])] = fmt.Sprint(q["used"])
		}
		c.same("quota equals the sum", ask(`SELECT count(*) || ' ' || COALESCE(sum(vcpus), 0) || ' ' || COALESCE(sum(memory_mib), 0) FROM instance WHERE gone_at IS NULL AND tenant_id = ?`, tenant),
			[]string{used["instances"] + " " + used["vcpus"] + " " + used["memory_mib"]})
	}
}

// ofGuests looks for what is beside a guest: its seed has its keys, its NVRAM is
// there once it has run, and none is there of a guest that is gone; nor are a
// console's log or saved memory.
func (c *chaos) ofGuests(disks, promised []string, ask func(query string, args ...any) []string) {
	for _, id := range promised {
		seed, err := os.ReadFile(filepath.Join(c.dir, "disks", "seed-"+id+".img"))
		has := err == nil && strings.Contains(string(seed), id)
		for _, key := range ask(`SELECT k.value FROM instance i, json_each(i.ssh_keys) k WHERE i.id = ?`, id) {
			has = has && strings.Contains(string(seed), strings.Fields(key)[1])
		}
		if !has {
			c.t.Errorf("a seed has its instance's keys: %s, %v", id, err)
		}
	}
	for _, d := range disks {
		if strings.HasPrefix(d, ".") {
			c.t.Errorf("no half-made disk: %s", d)
		}
	}
	for _, pattern := range []string{"/var/lib/libvirt/qemu/nvram/*", "/var/lib/libvirt/qemu/save/*", "/var/lib/libvirt/qemu/snapshot/*", filepath.Join(c.dir, "console", "*")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			c.t.Fatal(err)
		}
		var seen []string
		for _, f := range files {
			known := slices.IndexFunc(promised, func(id string) bool { return strings.Contains(filepath.Base(f), id) })
			if known < 0 {
				c.t.Errorf("no orphan of a guest: %s", f)
				continue
			}
			seen = append(seen, promised[known])
		}
		if !strings.Contains(pattern, "nvram") {
			continue
		}
		for _, id := range promised {
			switch there := slices.Contains(seen, id); {
			case there && !c.uefi[id], !there && c.uefi[id] && c.power[id] == "running":
				c.t.Errorf("a UEFI guest that runs has its NVRAM, and no other: %s, UEFI %v, NVRAM %v", id, c.uefi[id], there)
			}
		}
	}
}

func (c *chaos) same(name string, want, got []string) {
	c.t.Helper()
	without := func(all, less []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(less, s) })
	}
	if !slices.Equal(want, got) {
		c.t.Errorf("%s: of %d there are %d; missing %v, too many %v", name, len(want), len(got), without(want, got), without(got, want))
	}
}

// qemus are the ids of the guests whose QEMU is alive, from /proc.
func (c *chaos) qemus() (ids []string) {
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range procs {
		b, err := os.ReadFile(p)
		args := strings.Split(string(b), "\x00")
		if err != nil || !strings.Contains(args[0], "qemu-system") {
			continue
		}
		if n := slices.Index(args, "-uuid"); n >= 0 && n+1 < len(args) {
			if _, err := strconv.Atoi(filepath.Base(filepath.Dir(p))); err == nil {
				ids = append(ids, args[n+1])
			}
		}
	}
	slices.Sort(ids)
	return ids
}
