package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// What a year of customers' ledgers holds: the closed hours, with the digests of
// their lines, and the chain over every kind of row. A lodge that made other bytes
// of the same history would find all that was written before it wrong.
func TestTheGoldenBytesOfTheLedger(t *testing.T) {
	w := newWorldWith(t, roomy)
	acme := w.newTenant("acme")
	w.activeImage("img", acme.ID, false)
	w.price("vcpu")
	w.discount("acme", acme.ID)

	i := w.run("web1")
	n := w.wanted("shop")
	n.TenantID, n.Labels = acme.ID, map[string]string{"env": "prod", "team": "a"}
	other, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	w.later(90 * time.Second)
	building := w.running(other)
	building.State, building.ObservedGeneration = cloud.StateBuilding, 0
	building.Readings = cloud.Readings(cloud.StateBuilding, cloud.Size{DiskGiB: other.DiskGiB}, true)
	w.record(building)
	w.later(1234 * time.Millisecond)
	w.record(w.running(other))
	w.record(w.stopped(other)) // in the same millisecond: drops
	w.record(w.running(other))
	w.later(20 * time.Minute)
	w.moved(i, nics("vnet0", 1<<20, 3<<20))
	w.later(33*time.Minute + 7*time.Millisecond)
	bigger := w.running(i)
	bigger.Readings = cloud.Readings(cloud.StateRunning, cloud.Size{VCPUs: 4, MemoryMiB: 8192, DiskGiB: 30}, true)
	w.record(bigger)
	_, err = w.UpdateInstance(ctx, operator, w.now, other.ID, cloud.InstanceChange{Name: ptr("laden"), LabelChange: cloud.LabelChange{Labels: map[string]*string{"env": ptr("dev"), "team": nil}}})
	w.must(err)
	w.later(70 * time.Minute)
	w.closeHours()

	late := w.stopped(i) // it ended in an hour that is closed
	late.EndAt, late.Evidence = w.now.Add(-80*time.Minute), cloud.EvidenceLog
	w.record(late)
	at := w.now.Add(10 * time.Second)
	w.must(second(w.StepClock(ctx, cloud.ClockStep{HostID: hostID, At: at, Wall: at.Add(time.Hour), Adopted: true}, cloud.ClockAnchor{BootID: "b", Boot: time.Hour, At: at.Add(time.Hour)})))
	w.now = at.Add(time.Hour)
	w.later(2 * time.Hour)
	w.closeHours()
	other, err = w.DeleteInstance(ctx, operator, w.now, other.ID)
	w.must(err)
	w.record(w.gone(other))
	w.sound()

	got := strings.Join(slices.Concat(
		w.closed(),
		store.Query(t, w.DB, `SELECT seq || ' ' || tenant_id || ' ' || resource_id || ' ' || resource || ' ' || slot || ' ' || meter || ' ' || amount || ' ' || state || ' ' || started_at || ' ' || COALESCE(ended_at, 'open') || ' ' || evidence FROM usage_interval ORDER BY seq`),
		store.Query(t, w.DB, `SELECT seq || ' ' || kind || ' ' || resource_id || ' ' || name || ' ' || flavor || ' ' || labels || ' ' || since FROM usage_fact ORDER BY seq`),
		store.Query(t, w.DB, `SELECT seq || ' ' || slot || ' ' || started_at || ' ' || dropped_at FROM usage_drop ORDER BY seq`),
	), "\n") + "\n"
	path := filepath.Join("testdata", "ledger.golden")
	if *update {
		w.must(os.MkdirAll("testdata", 0o755))
		w.must(os.WriteFile(path, []byte(got), 0o644))
	}
	golden, err := os.ReadFile(path)
	w.must(err)
	if got != string(golden) {
		t.Fatalf("got\n%s\nwant\n%s", got, golden)
	}
}
