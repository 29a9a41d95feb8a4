package main

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/mattn/go-sqlite3"

	"lodge/cloud"
	"lodge/store"
)

// How large the installation of scale is.
const (
	scaleTenants = 1000
	scaleEach    = 100 // instances of each tenant
)

// scale is a lodged with 1,000 tenants and 100,000 instances: what one page of a
// list, a selector and a quota cost through its API.
//
// The rows are made with the store's own methods, without the API: over it they
// would take many minutes. They are of a host that is not this lodged's, so
// nothing reconciles them while the reads are measured; the sim section is about
// that.
func (b *bench) scale() error {
	const pool = "10.0.0.0/8"
	d, err := b.daemon("scale", "--sim", "--network-pool", pool)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.haltImage(); err != nil {
		return err
	}
	start := time.Now()
	tenants, err := loadScale(filepath.Join(d.dir, "sim.db"), netip.MustParsePrefix(pool))
	if err != nil {
		return err
	}
	fmt.Printf("%-58s %18s\n", "1,000 tenants with 100,000 instances: made in", time.Since(start).Round(time.Second))
	var count struct {
		Matched int `json:"matched"`
	}
	if err := d.call("DELETE", "/v1/instances?dry_run=true&all=true&tenant="+tenants[500], nil, &count); err != nil {
		return err
	}
	if count.Matched != scaleEach {
		return fmt.Errorf("a tenant has %d instances, not %d", count.Matched, scaleEach)
	}
	return d.measureScale(tenants)
}

// loadScale fills the database of a running lodged, and gives the ids of its
// tenants. A copy is filled in memory and written back: a flush to the disk for
// each of 100,000 changes is no part of what is measured.
func loadScale(path string, pool netip.Prefix) (tenants []string, err error) {
	fast, err := os.MkdirTemp("/dev/shm", "lodge-bench-")
	if err != nil {
		fast = filepath.Dir(path)
	} else {
		defer os.RemoveAll(fast)
	}
	filled := filepath.Join(fast, "filled.db")
	if err := copyDatabase(filled, path); err != nil {
		return nil, err
	}
	db, err := store.OpenWith(filled, store.Options{NetworkPool: pool})
	if err != nil {
		return nil, err
	}
	tenants, err = fillScale(db)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	if err := copyDatabase(path, filled); err != nil {
		return nil, err
	}
	return tenants, emptyWAL(path)
}

func openDatabase(path string) (*sqlite3.SQLiteConn, error) {
	c, err := (&sqlite3.SQLiteDriver{}).Open("file:" + path + "?_busy_timeout=10000")
	if err != nil {
		return nil, err
	}
	return c.(*sqlite3.SQLiteConn), nil
}

// emptyWAL moves what was filled from the log to the database. A copy into a
// database in use is one commit of its whole size, which nobody checkpoints; the
// first change over the API would do it, and its time be taken for a POST's: 0.8 s
// and more for the 400 MB of 100,000 instances.
// https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
func emptyWAL(path string) error {
	c, err := openDatabase(path)
	if err != nil {
		return err
	}
	defer c.Close()
	rows, err := c.Query("PRAGMA wal_checkpoint(TRUNCATE)", nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]driver.Value, 3) // busy, pages in the log, pages moved
	if err := rows.Next(row); err != nil {
		return err
	}
	if row[0] != int64(0) {
		return fmt.Errorf("the log of %s is in use and was not emptied", path)
	}
	return nil
}

// copyDatabase copies all of one SQLite database over another, which may be in
// use: https://www.sqlite.org/backup.html
func copyDatabase(to, from string) error {
	source, err := openDatabase(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openDatabase(to)
	if err != nil {
		return err
	}
	defer target.Close()
	all, err := target.Backup("main", source, "main")
	if err != nil {
		return err
	}
	_, err = all.Step(-1)
	return errors.Join(err, all.Finish())
}

func fillScale(db *store.DB) (tenants []string, err error) {
	ctx, now := context.Background(), time.Now()
	operator := cloud.Caller{Operator: true}
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	hosts, err := db.Hosts(ctx, operator)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts { // lodged's own: no room, so that all are placed elsewhere
		h.VCPURatio = 1e-6
		if err := db.RegisterHost(ctx, now, h); err != nil {
			return nil, err
		}
	}
	elsewhere := cloud.Host{Meta: cloud.Meta{ID: newID()}, Name: "elsewhere", VCPUs: 100_000, MemoryMiB: 1 << 30, StartedAt: now}
	if err := db.RegisterHost(ctx, now, elsewhere); err != nil {
		return nil, err
	}
	for t := range scaleTenants {
		tenant, err := db.CreateTenant(ctx, operator, now, cloud.NewTenant{ID: newID(), NetworkID: newID(), SubnetID: newID(), Name: fmt.Sprintf("t%d", t)})
		if err != nil {
			return nil, err
		}
		tenants = append(tenants, tenant.ID)
	}
	limits := map[cloud.Resource]*int64{}
	for _, r := range cloud.Resources() {
		most := int64(1_000_000)
		limits[r] = &most
	}
	if err := db.SetQuotas(ctx, operator, now, "", limits); err != nil {
		return nil, err
	}
	// Round by round, so that a tenant's instances are spread over all moments.
	for n := range scaleEach {
		for t, id := range tenants {
			now = now.Add(time.Millisecond)
			k := n*scaleTenants + t
			_, err := db.CreateInstance(ctx, operator, now, cloud.NewInstance{
				ID: newID(), VolumeID: newID(), PortID: newID(), TenantID: id, Name: fmt.Sprintf("vm%d", n), VCPUs: 1, MemoryMiB: 64, DiskGiB: 1, Stopped: true,
				Labels: map[string]string{"env": []string{"prod", "test", "dev"}[n%3], "app": fmt.Sprintf("app%d", k%100), "job": fmt.Sprintf("job%d", k%10_000)},
			})
			if err != nil {
				return nil, fmt.Errorf("instance %d: %w", k, err)
			}
		}
	}
	return tenants, nil
}

// measureScale takes medians of single requests, one after the other, each about
// another tenant or another part of the list.
func (d *daemon) measureScale(tenants []string) error {
	const rounds = 300
	tenant := func(n int) string { return tenants[n*7%len(tenants)] }
	list := func(n int, query string) (string, string, any) {
		return "GET", "/v1/instances?limit=100&" + query, nil
	}
	label := func(selector string) string { return "label=" + url.QueryEscape(selector) }
	cursor := ""
	for _, m := range []struct {
		what string
		ask  func(n int) (method, path string, body any)
	}{
		{"list page of 100, all tenants", func(n int) (string, string, any) {
			if cursor == "" {
				return list(n, "")
			}
			return list(n, "cursor="+cursor)
		}},
		{"list page of 100, one tenant", func(n int) (string, string, any) { return list(n, "tenant="+tenant(n)) }},
		{"list page of 100, all tenants, by name", func(n int) (string, string, any) { return list(n, "sort=name") }},
		{"label of a third, all tenants", func(n int) (string, string, any) { return list(n, label("env=prod")) }},
		{"label of one in 100, all tenants", func(n int) (string, string, any) { return list(n, label(fmt.Sprintf("app=app%d", n%100))) }},
		{"label of ten, all tenants", func(n int) (string, string, any) { return list(n, label(fmt.Sprintf("job=job%d", n))) }},
		{"two labels and a state, all tenants", func(n int) (string, string, any) {
			return list(n, "state=requested&"+label(fmt.Sprintf("env!=prod,app=app%d", n%100)))
		}},
		{"label of a third, one tenant", func(n int) (string, string, any) { return list(n, label("env=prod")+"&tenant="+tenant(n)) }},
		{"GET quota", func(n int) (string, string, any) { return "GET", "/v1/tenants/" + tenant(n) + "/quota", nil }},
		{"POST instance within a quota", func(n int) (string, string, any) {
			in := small(fmt.Sprintf("new%d", n))
			in["power"] = "stopped"
			return "POST", "/v1/instances?tenant=" + tenant(n), in
		}},
	} {
		times := make([]time.Duration, 0, rounds)
		var slowest, ran, waited time.Duration
		for n := range rounds {
			method, path, body := m.ask(n)
			var answer struct {
				Items []json.RawMessage `json:"items"`
				Next  string            `json:"next"`
			}
			ranBefore, waitedBefore := d.scheduled()
			start := time.Now()
			if err := d.call(method, path, body, &answer); err != nil {
				return fmt.Errorf("%s: %w", m.what, err)
			}
			took := time.Since(start)
			times = append(times, took)
			if took > slowest {
				ranAfter, waitedAfter := d.scheduled()
				slowest, ran, waited = took, ranAfter-ranBefore, waitedAfter-waitedBefore
			}
			cursor = answer.Next
		}
		line(m.what+", median", spread(times), "< 10 ms", median(times) < 10*time.Millisecond)
		fmt.Printf("  in the slowest lodged computed for %s and its threads waited for a CPU for %s\n", ms(ran), ms(waited))
	}
	return nil
}
