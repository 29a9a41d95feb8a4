package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// focus is the memory that a month of FOCUS takes while its rows are written: what
// is alive, not what waits to be collected. Beside the ledger of the month nothing
// may grow with the rows.
func (b *bench) focus() error {
	dir := b.path("focus")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	books, err := openBooks(dir, 2)
	if err != nil {
		return err
	}
	defer books.Close()
	var errs []error
	for n, instances := range []int{40, 400} {
		errs = append(errs, books.focusMonth(books.tenants[n], instances))
	}
	return errors.Join(errs...)
}

func (b *books) focusMonth(tenant string, instances int) error {
	month := cloud.Month(benchMorning)
	end := month.AddDate(0, 1, 0)
	for _, slot := range []string{"'instance', 'instance', 1", "'cpu', 'vcpu', 2", "'memory', 'memory', 4096", "'disk:root', 'disk', 20"} {
		err := b.exec(fmt.Sprintf(`
			WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < %d)
			INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
			SELECT '%s', printf('%%08x-0000-4000-8000-%%012x', n, %d), 'vm' || n, %s, 'running', %d FROM k`,
			instances-1, tenant, instances, slot, month.UnixMilli()-1))
		if err != nil {
			return err
		}
	}
	ctx := context.Background()
	ledger, err := b.UsageIntervals(ctx, benchOperator, cloud.UsageFilter{TenantID: tenant, From: month, To: end})
	if err != nil {
		return err
	}
	var prices []cloud.Price
	for _, m := range []cloud.Meter{cloud.MeterVCPU, cloud.MeterMemory, cloud.MeterDisk} {
		prices = append(prices, cloud.Price{ID: "price of " + string(m), Meter: m, UnitPrice: "0.0125", From: month})
	}
	in := meter.FocusInput{
		Version: meter.FocusNewest, Account: cloud.BillingAccount{ID: tenant, Name: "acme"}, Issuer: "lodge", Currency: cloud.CurrencyOf("EUR"),
		Month: month, From: month, To: end, Ledger: meter.Input{Intervals: ledger, Prices: prices},
	}
	out := csv.NewWriter(io.Discard)
	first, most, rows := uint64(0), uint64(0), 0
	from, paused := time.Now(), time.Duration(0)
	every := instances * 4 * 744 / 10
	for row := range meter.FocusMonth(in) {
		if err := out.Write(row); err != nil {
			return err
		}
		if rows++; rows%every == 0 {
			at := time.Now()
			most = max(most, alive())
			if first == 0 {
				first = most
			}
			paused += time.Since(at)
		}
	}
	out.Flush()
	took := time.Since(from) - paused
	runtime.KeepAlive(ledger)
	grew := float64(most-min(most, first)) / (1 << 20)
	line(fmt.Sprintf("FOCUS of a month of %d instances, %d rows", instances, rows), fmt.Sprintf("%.0f rows/s, %.2f MiB more alive than after a tenth",
		float64(rows)/took.Seconds(), grew), "< 1 MiB more", grew < 1)
	return nil
}

// alive is how much of the heap is in use, in bytes.
func alive() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
