package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"lodge/cloud"
)

// RecordOrphans writes down what of a look at a host no row is about. Without a
// change it writes nothing. Rows that are gone count as rows for a while: what
// was seen may have been removed since.
func (d *DB) RecordOrphans(ctx context.Context, hostID string, now time.Time, seen cloud.HostSight) error {
	found, err := orphansIn(d.read(ctx), now, seen)
	if err != nil {
		return fail("look for orphans", err)
	}
	if was, err := orphans(d.read(ctx), hostID); err == nil && sameOrphans(was, found) {
		return nil
	}
	return d.write(ctx, now, reconciler, "record orphans", func(t *tx) error {
		found, err := orphansIn(t, t.now, seen)
		if err != nil {
			return err
		}
		return t.keepOrphans(hostID, found)
	})
}

// Orphans returns what of lodge's was on the hosts at the last look and is in no
// other row. Returns CodeForbidden for anybody but the operator.
func (d *DB) Orphans(ctx context.Context, c cloud.Caller) ([]cloud.Orphan, error) {
	if !c.Operator {
		return nil, cloud.Errorf(cloud.CodeForbidden, "What is on the hosts is the operator's to see.")
	}
	out, err := orphans(d.read(ctx), "")
	return out, fail("list orphans", err)
}

func orphans(s source, hostID string) ([]cloud.Orphan, error) {
	return collect(s, scanOrphan, `
		SELECT
		  kind,
		  id,
		  network_id,
		  address,
		  state,
		  path,
		  found_at
		FROM orphan
		WHERE ? IN ('', host_id)
		ORDER BY kind, id`, hostID)
}

func scanOrphan(rows *sql.Rows) (o cloud.Orphan, err error) {
	var address string
	var found sql.NullInt64
	if err := rows.Scan(&o.Kind, &o.ID, &o.NetworkID, &address, &o.State, &o.Path, &found); err != nil {
		return o, err
	}
	switch {
	case address == "":
	case o.Kind == cloud.OrphanNetwork:
		o.CIDR, err = netip.ParsePrefix(address)
	default:
		o.Address, err = netip.ParseAddr(address)
	}
	o.FoundAt = moment(found)
	return o, err
}

// sameOrphans compares but for the time of their finding.
func sameOrphans(was, found []cloud.Orphan) bool {
	return slices.EqualFunc(was, found, func(a, b cloud.Orphan) bool {
		a.FoundAt, b.FoundAt = time.Time{}, time.Time{}
		return a == b
	})
}

// orphansIn finds what no row is about, in the order of the table. It reads the
// rows that are not gone from their indexes, and asks for others one by one.
func orphansIn(s source, now time.Time, seen cloud.HostSight) (out []cloud.Orphan, err error) {
	since := stamp(now.Add(-orphanPatience))
	known := map[string]map[string]bool{}
	for table, query := range map[string]string{
		"instance": `SELECT id FROM instance WHERE gone_at IS NULL`,
		"volume":   `SELECT id FROM volume WHERE gone_at IS NULL`,
		"image":    `SELECT id FROM image WHERE gone_at IS NULL`,
		"network":  `SELECT id FROM network WHERE gone_at IS NULL`,
		"port":     `SELECT mac FROM port WHERE deleted_at IS NULL UNION ALL SELECT mac FROM port WHERE deleted_at > ?`,
	} {
		var args []any
		if table == "port" {
			args = append(args, since)
		}
		ids, err := collect(s, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) }, query, args...)
		if err != nil {
			return nil, err
		}
		known[table] = make(map[string]bool, len(ids))
		for _, id := range ids {
			known[table][id] = true
		}
	}
	// add takes an orphan unless its row has just gone.
	add := func(table string, o cloud.Orphan) {
		if err != nil || known[table][o.ID] {
			return
		}
		went := false
		if table != "port" {
			went, err = exists(s, `SELECT 1 FROM `+table+` WHERE id = ? AND gone_at > ?`, o.ID, since)
		}
		if !went {
			out = append(out, o)
		}
	}
	for id, g := range seen.Guests {
		if !g.Foreign {
			add("instance", cloud.Orphan{Kind: cloud.OrphanGuest, ID: id, State: g.State})
		}
	}
	for key, disk := range seen.Disks {
		table := string(key.Kind)
		if key.Kind == cloud.DiskSeed {
			table = "instance"
		}
		add(table, cloud.Orphan{Kind: cloud.OrphanKind(key.Kind), ID: key.ID, Path: disk.Path})
	}
	for id, n := range seen.Networks {
		add("network", cloud.Orphan{Kind: cloud.OrphanNetwork, ID: id, CIDR: n.CIDR})
		for mac, p := range n.Ports {
			add("port", cloud.Orphan{Kind: cloud.OrphanPort, ID: mac, NetworkID: id, Address: p.Address})
		}
	}
	slices.SortFunc(out, func(a, b cloud.Orphan) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return out, err
}

// orphanPatience is how long a row that is gone still counts: the look began
// before it went, and removals of networks follow those of their ports.
const orphanPatience = 5 * time.Minute

// keepOrphans makes the rows what was found, and tells of what is new.
func (t *tx) keepOrphans(hostID string, found []cloud.Orphan) error {
	was, err := orphans(t, hostID)
	if err != nil {
		return err
	}
	before := make(map[string]cloud.Orphan, len(was))
	for _, o := range was {
		before[string(o.Kind)+" "+o.ID] = o
	}
	if _, err := t.exec(`DELETE FROM orphan WHERE host_id = ?`, hostID); err != nil {
		return err
	}
	fresh := 0
	for _, o := range found {
		o.FoundAt = t.now
		if b, known := before[string(o.Kind)+" "+o.ID]; known {
			o.FoundAt = b.FoundAt
		} else {
			fresh++
		}
		if err := t.insertOrphan(hostID, o); err != nil {
			return err
		}
	}
	if fresh == 0 {
		return nil
	}
	return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: hostID}, "", "host.orphans",
		fmt.Sprintf("On the host are %d things of lodge's that the database does not know, %d of them new; lodge leaves them alone.", len(found), fresh), nil)
}

func (t *tx) insertOrphan(hostID string, o cloud.Orphan) error {
	address := "" // a network has a range of them there
	switch {
	case o.Address.IsValid():
		address = o.Address.String()
	case o.CIDR.IsValid():
		address = o.CIDR.String()
	}
	_, err := t.exec(`
		INSERT INTO orphan (
		  host_id,
		  kind,
		  id,
		  network_id,
		  address,
		  state,
		  path,
		  found_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`,
		hostID, string(o.Kind), o.ID, o.NetworkID, address, string(o.State), o.Path, stamp(o.FoundAt))
	return err
}

// orphanRanges are the ranges of addresses that a host has in use for networks no
// row is about. What is known of a port alone stands for a range of its own size.
func (t *tx) orphanRanges() (taken []netip.Prefix, err error) {
	all, err := orphans(t, "")
	for _, o := range all {
		switch {
		case o.CIDR.IsValid():
			taken = append(taken, o.CIDR.Masked())
		case o.Kind == cloud.OrphanPort && o.Address.IsValid():
			taken = append(taken, netip.PrefixFrom(o.Address, o.Address.BitLen()))
		}
	}
	return taken, err
}

// refuseImageOfOrphans keeps images as long as the host has disks that no row is
// about: nobody knows which image is below them.
func (t *tx) refuseImageOfOrphans(img cloud.Image) error {
	var disks int
	err := t.row(`SELECT COUNT(*) FROM orphan WHERE kind = 'volume'`).Scan(&disks)
	if err == nil && disks > 0 {
		err = cloud.Errorf(cloud.CodeInUse, "The host has %d disks that lodge does not know since it was restored, and they may be based on the image %s; an operator has to look at them first.", disks, img.Name)
	}
	return err
}
