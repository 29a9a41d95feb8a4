package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// ledgerSize is the space of a year of 100 instances of 10 tenants, each of which
// is stopped and started twice a month; all hours are closed. It is made in memory,
// which changes no size.
func (b *bench) ledgerSize() error {
	const instances, tenants, months, stops = 100, 10, 12, 2
	dir, err := os.MkdirTemp("/dev/shm", "lodge-bench-")
	if err != nil {
		dir = b.path("size")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	} else {
		defer os.RemoveAll(dir)
	}
	books, err := openBooks(dir, tenants)
	if err != nil {
		return err
	}
	defer books.Close()
	var ids []string
	for k := range instances {
		id, err := books.create(benchMorning.Add(time.Duration(k)*time.Second), true)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	empty, err := books.ledgerBytes(dir)
	if err != nil {
		return err
	}
	now := benchMorning.Add(time.Hour)
	every := 365 * 24 * time.Hour / (months * stops * 2)
	for k := range months * stops * 2 {
		state := []cloud.State{cloud.StateStopped, cloud.StateRunning}[k%2]
		for n, id := range ids {
			if err := books.see(id, now.Add(time.Duration(n)*time.Minute), state, true); err != nil {
				return err
			}
		}
		now = now.Add(every)
	}
	rows, err := books.ledgerBytes(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	closed := 0
	for hour := benchMorning; hour.Before(benchMorning.AddDate(1, 0, 0)); hour = hour.Add(time.Hour) {
		if err := books.CloseHour(ctx, hour.Add(2*time.Hour), hour, meter.Hour); err != nil {
			return err
		}
		closed++
	}
	all, err := books.ledgerBytes(dir)
	if err != nil {
		return err
	}
	perInstance := float64(rows-empty) / instances / months / 1024
	perTenant := float64(all-rows) / tenants / months / 1024
	fmt.Printf("%-58s %18s\n", "a year's ledger: rows and links, each instance-month", fmt.Sprintf("%.1f KiB", perInstance))
	fmt.Printf("%-58s %18s\n", fmt.Sprintf("  %d closed hours, each tenant-month", closed), fmt.Sprintf("%.1f KiB", perTenant))
	fmt.Printf("%-58s %18s\n", "  so for 10,000 instances of 100 tenants, by arithmetic", fmt.Sprintf("%.2f GiB a year",
		(perInstance*10_000+perTenant*100)*12/(1<<20)))
	from := time.Now()
	var report meter.Report
	err = books.ReadLedger(ctx, func(l cloud.Ledger) (err error) { report, err = meter.Verify(l); return err })
	if err != nil {
		return err
	}
	if report.Wrong > 0 {
		return fmt.Errorf("the ledger is wrong: %+v", report.Findings)
	}
	fmt.Printf("%-58s %18s\n", fmt.Sprintf("  verify: %d rows, %d hours, %d links", report.Intervals, report.Hours, report.Links), time.Since(from).Round(10*time.Millisecond))
	return nil
}

// ledgerBytes is the size of a copy of the database without its events, packed.
func (b *books) ledgerBytes(dir string) (int64, error) {
	packed := filepath.Join(dir, "packed.db")
	defer os.Remove(packed)
	if err := copyDatabase(packed, b.path); err != nil {
		return 0, err
	}
	c := &books{path: packed}
	if err := c.exec(`PRAGMA journal_mode = DELETE`, `PRAGMA foreign_keys = OFF`, `DROP TABLE event`, `VACUUM`); err != nil {
		return 0, err
	}
	fi, err := os.Stat(packed)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
