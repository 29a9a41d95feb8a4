package daemon

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
	"lodge/store"
)

// egressByHour are the bytes that a ledger has sent by hour; the ledger verifies.
func egressByHour(t *testing.T, db *store.DB, from time.Time) (by map[time.Duration]int64, sum int64) {
	t.Helper()
	by = map[time.Duration]int64{}
	err := db.ReadLedger(context.Background(), func(l cloud.Ledger) error {
		report, err := meter.Verify(l)
		if err != nil || report.Wrong > 0 {
			return fmt.Errorf("verify: %+v, %v", report.Findings, err)
		}
		for hour := from.Truncate(time.Hour); hour.Before(from.Add(48 * time.Hour)); hour = hour.Add(time.Hour) {
			if err := l.Traffic(hour, func(u cloud.Traffic) error {
				if u.Meter == cloud.MeterEgress {
					by[hour.Sub(from.Truncate(time.Hour))] += u.Bytes
					sum += u.Bytes
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return by, sum
}

// The counters of a guest go on while the database goes back: what it has sent
// since the backup is counted again, and all of it once.
func TestBytesBehindARestoreAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &days{t: t, rand: rand.New(rand.NewPCG(1, 13)), hid: uuid.NewString(), root: cloud.Caller{Operator: true}, log: io.Discard,
			runs: map[string][]run{}, asked: map[string]time.Time{}}
		dir := t.TempDir()
		d.path = filepath.Join(dir, "lodge.db")
		d.clock.booted = time.Now()
		begin := time.Now()
		d.host = sim.New(sim.Options{Now: time.Now, Seed: 1, Latency: sim.Realistic()})
		d.open()
		d.lodgedAgain()
		ctx := context.Background()
		i, err := d.db.CreateInstance(ctx, d.root, d.ledgerNow(), cloud.NewInstance{
			ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), Name: "vm", TenantID: d.tenant(), VCPUs: 1, MemoryMiB: 512,
		})
		d.must(err)
		var sent int64
		send := func(bytes int64) {
			t.Helper()
			if !d.host.Transfer(i.ID, 0, bytes, 1) {
				t.Fatal("the guest does not run")
			}
			sent += bytes
		}
		time.Sleep(20 * time.Minute)
		send(1000)
		time.Sleep(70 * time.Minute)
		send(30)
		saved := filepath.Join(dir, "saved.db")
		d.must(store.Copy(ctx, d.path, saved))
		send(5)
		time.Sleep(time.Hour)
		send(7_000_000)
		time.Sleep(2 * time.Hour)
		_, before := egressByHour(t, d.db, begin)
		if before < 1000+30+5 {
			t.Fatalf("%d bytes were counted before", before)
		}
		d.kill(false)
		d.must(d.db.Close())

		d.must(store.MarkCopy(ctx, saved, time.Now(), "b1", time.Now().Add(-3*time.Hour)))
		d.db, err = store.Open(saved)
		d.must(err)
		defer func() { d.must(d.db.Close()) }()
		d.lodgedAgain()
		time.Sleep(10 * time.Minute)
		send(200)
		time.Sleep(3 * time.Hour)
		by, after := egressByHour(t, d.db, begin)
		t.Logf("%d bytes sent; by hour %v", sent, by)
		if after != sent {
			t.Errorf("%d bytes were sent and %d are counted: %v", sent, after, by)
		}
		if n := d.host.Runs(i.ID); n != 1 {
			t.Errorf("the guest was started %d times", n)
		}
		d.kill(true)
	})
}
