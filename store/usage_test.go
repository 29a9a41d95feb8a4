package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

// ledger is what the intervals of an instance say, in minutes after noon.
func (w *world) ledger(instanceID string) []string {
	w.t.Helper()
	var out []string
	minute := func(t time.Time) string {
		if t.IsZero() {
			return "open"
		}
		return fmt.Sprint(t.Sub(noon).Minutes())
	}
	for _, iv := range w.intervals(instanceID) {
		out = append(out, fmt.Sprintf("%s=%d %s %s-%s", iv.Slot, iv.Amount, iv.State, minute(iv.StartedAt), minute(iv.EndedAt)))
	}
	slices.Sort(out)
	return out
}

func TestTheLedgerFollowsWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	if got := w.ledger(i.ID); len(got) != 0 {
		t.Fatalf("a wish is billed: %v", got)
	}
	w.later(time.Minute)
	w.record(w.running(i))
	w.later(time.Minute)
	w.record(w.running(i)) // a repeated event opens nothing twice
	w.later(time.Minute)
	w.record(w.stopped(i))
	w.later(time.Minute)
	i, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: ptr(4)})
	w.must(err)
	w.record(w.running(i))
	want := []string{
		"cpu=1 running 1-3", "cpu=1 stopped 3-4", "cpu=4 running 4-open",
		"disk:root=20 running 1-3", "disk:root=20 running 4-open", "disk:root=20 stopped 3-4",
		"instance=1 running 1-3", "instance=1 running 4-open", "instance=1 stopped 3-4",
		"memory=2048 running 1-3", "memory=2048 running 4-open", "memory=2048 stopped 3-4",
	}
	if got := w.ledger(i.ID); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatEndedUnseenEndsWithTheEvidence(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	r := w.stopped(i)
	r.At, r.EndAt, r.Evidence = w.later(time.Hour), noon.Add(10*time.Minute), cloud.EvidenceHeartbeat
	w.record(r)
	for _, iv := range w.intervals(i.ID) {
		switch end := noon.Add(10 * time.Minute); iv.State {
		case cloud.StateRunning:
			if !iv.EndedAt.Equal(end) || iv.Evidence != cloud.EvidenceHeartbeat {
				t.Fatalf("got %+v", iv)
			}
		case cloud.StateStopped:
			if !iv.StartedAt.Equal(end) || !iv.EndedAt.IsZero() {
				t.Fatalf("what is kept does not go on where the run ended: %+v", iv)
			}
		}
	}
}

func TestTwoChangesInOneMillisecondLeaveNoEmptyInterval(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.record(w.stopped(i))
	want := []string{"cpu=1 stopped 0-open", "disk:root=20 stopped 0-open", "instance=1 stopped 0-open", "memory=2048 stopped 0-open"}
	if got := w.ledger(i.ID); !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	var dropped int
	w.must(raw(t, w.path).QueryRow(`SELECT COUNT(*) FROM usage_drop WHERE dropped_at = started_at`).Scan(&dropped))
	if dropped != 4 {
		t.Fatalf("%d drops are written down", dropped)
	}
}

func TestAClockThatIsSetBackCountsNothingTwice(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Hour)
	w.record(w.stopped(i))
	w.later(-30 * time.Minute)
	w.record(w.running(i))
	w.later(-10 * time.Minute)
	w.record(w.stopped(i))
	w.later(2 * time.Hour)
	w.record(w.running(i))
	byMeter := map[string][]cloud.Interval{}
	for _, iv := range w.intervals(i.ID) {
		byMeter[iv.Slot] = append(byMeter[iv.Slot], iv)
	}
	for slot, ivs := range byMeter {
		for n := 1; n < len(ivs); n++ {
			if ivs[n].StartedAt.Before(ivs[n-1].EndedAt) {
				t.Errorf("%s: %+v begins before %+v ends", slot, ivs[n], ivs[n-1])
			}
		}
	}
}

func TestTheLedgersGuardsHold(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Hour)
	r := w.stopped(i)
	r.State, r.Readings = cloud.StateError, cloud.Readings(cloud.StateError, cloud.Size{DiskGiB: i.DiskGiB}, true)
	w.record(r) // four closed rows, one of them the disk; one open
	db := raw(t, w.path)
	const columns = `INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence) `
	const same = `SELECT tenant_id, resource_id, resource, slot, meter, amount, state, `
	const replace = `INSERT OR REPLACE INTO usage_interval (seq, tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence) SELECT seq, tenant_id, resource_id, resource, slot, meter, 0, state, `
	closed := `FROM usage_interval WHERE slot = 'cpu' AND ended_at IS NOT NULL`
	open := `FROM usage_interval WHERE slot = 'disk:root' AND ended_at IS NULL`
	for _, tc := range []struct{ name, stmt, says string }{
		{"delete a closed row", `DELETE ` + closed, "rows stay"},
		{"delete an open row that has a length", `DELETE ` + open, "rows stay"},
		{"delete them all", `DELETE FROM usage_interval`, "rows stay"},
		{"write a drop of an open row that has a length", `INSERT INTO usage_drop SELECT seq, tenant_id, resource_id, slot, meter, amount, started_at, started_at + 1, resource, state ` + open, "CHECK"},
		{"write a drop of a closed row", `INSERT INTO usage_drop SELECT seq, tenant_id, resource_id, slot, meter, amount, started_at, started_at, resource, state ` + closed, "not an open interval"},
		{"write a drop with another beginning", `INSERT INTO usage_drop SELECT seq, tenant_id, resource_id, slot, meter, amount, started_at + 1, started_at, resource, state ` + open, "not an open interval"},
		{"write a drop of nothing", `INSERT INTO usage_drop VALUES (999, (SELECT id FROM tenant LIMIT 1), 'r', 's', 'm', 1, 5, 5, 'x', 'running')`, "not an open interval"},
		{"change an amount", `UPDATE usage_interval SET amount = 0 WHERE ended_at IS NULL`, "closed once"},
		{"change an amount while closing", `UPDATE usage_interval SET amount = 0, ended_at = started_at + 1, evidence = 'seen' WHERE ended_at IS NULL`, "closed once"},
		{"move a beginning while closing", `UPDATE usage_interval SET started_at = started_at - 1, ended_at = started_at + 1, evidence = 'seen' WHERE ended_at IS NULL`, "closed once"},
		{"give it to another resource while closing", `UPDATE usage_interval SET resource_id = 'x', ended_at = started_at + 1, evidence = 'seen' WHERE ended_at IS NULL`, "closed once"},
		{"close a second time", `UPDATE usage_interval SET ended_at = ended_at + 1 WHERE ended_at IS NOT NULL`, "closed once"},
		{"open again", `UPDATE usage_interval SET ended_at = NULL, evidence = '' WHERE ended_at IS NOT NULL`, "closed once"},
		{"close at the beginning", `UPDATE usage_interval SET ended_at = started_at, evidence = 'seen' WHERE ended_at IS NULL`, "CHECK"},
		{"close before the beginning", `UPDATE usage_interval SET ended_at = started_at - 1, evidence = 'seen' WHERE ended_at IS NULL`, "CHECK"},
		{"close without evidence", `UPDATE usage_interval SET ended_at = started_at + 1 WHERE ended_at IS NULL`, "CHECK"},
		{"open twice", columns + same + `started_at + 1, NULL, '' ` + open, "overlaps"},
		{"insert a row inside a closed one", columns + same + `started_at + 1, started_at + 2, 'seen' ` + closed, "overlaps"},
		{"insert a row around a closed one", columns + same + `started_at - 1, ended_at + 1, 'seen' ` + closed, "overlaps"},
		{"insert a row that runs into a closed one", columns + same + `started_at - 5, started_at + 1, 'seen' ` + closed, "overlaps"},
		{"insert an open row before a closed one", columns + same + `started_at - 5, NULL, '' ` + closed, "overlaps"},
		{"insert an empty row", columns + same + `ended_at, ended_at, 'seen' ` + closed, "CHECK"},
		{"insert a negative amount", columns + `SELECT tenant_id, resource_id, resource, slot, meter, -1, state, ended_at, NULL, '' ` + closed, "CHECK"},
		{"insert for a tenant that never was", columns + `SELECT 'nobody', resource_id, resource, slot, meter, amount, state, ended_at, NULL, '' ` + closed, "FOREIGN KEY"},
		{"replace a closed row", replace + `started_at, ended_at, 'seen' ` + closed, "overlaps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := w.intervals(i.ID)
			_, err := db.Exec(tc.stmt)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error that says %q", err, tc.says)
			}
			if !slices.Equal(w.intervals(i.ID), before) {
				t.Error("the ledger was changed")
			}
		})
	}
	// What touches without overlapping is no offence.
	if _, err := db.Exec(columns + same + `ended_at, ended_at + 5, 'seen' ` + closed); err != nil {
		t.Errorf("a row that begins where another ends: %v", err)
	}
	for _, stmt := range []string{`UPDATE usage_drop SET dropped_at = 0`, `DELETE FROM usage_drop`} {
		w.record(w.running(w.instance(i.ID)))
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("%s was allowed", stmt)
		}
	}
}

func TestOnlyOneRowOfAMeterIsOpenEvenWithoutTheTriggers(t *testing.T) {
	w := newWorld(t)
	w.run("web1")
	db := raw(t, w.path)
	_, err := db.Exec(`DROP TRIGGER usage_interval_no_overlap`)
	w.must(err)
	_, err = db.Exec(`
		INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
		SELECT tenant_id, resource_id, resource, slot, meter, amount, state, started_at + 1 FROM usage_interval LIMIT 1`)
	if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Fatalf("got %v", err)
	}
}

func TestUsageIsNarrowedByPeriodTenantAndInstance(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	i := w.run("web1")
	w.later(time.Hour)
	w.record(w.stopped(i)) // running 12:00-13:00, stopped from 13:00; the image from 12:00
	count := func(c cloud.Caller, f cloud.UsageFilter) int {
		ivs, err := w.UsageIntervals(ctx, c, f)
		w.must(err)
		return len(ivs)
	}
	member, other := cloud.Caller{TenantID: w.tenant.ID}, cloud.Caller{TenantID: acme.ID}
	for _, tc := range []struct {
		name string
		c    cloud.Caller
		f    cloud.UsageFilter
		want int
	}{
		{"all", operator, cloud.UsageFilter{}, 9},
		{"the tenant's", member, cloud.UsageFilter{}, 9},
		{"another tenant's", other, cloud.UsageFilter{}, 0},
		{"of the instance", operator, cloud.UsageFilter{InstanceID: i.ID}, 8},
		{"of another tenant and the instance", operator, cloud.UsageFilter{TenantID: acme.ID, InstanceID: i.ID}, 0},
		{"before", operator, cloud.UsageFilter{To: noon}, 0},
		{"the first millisecond", operator, cloud.UsageFilter{To: noon.Add(time.Millisecond)}, 5},
		{"from the end on", operator, cloud.UsageFilter{From: noon.Add(time.Hour)}, 5},
		{"across the end", operator, cloud.UsageFilter{From: noon.Add(time.Hour - time.Millisecond)}, 9},
		{"within", operator, cloud.UsageFilter{From: noon.Add(time.Minute), To: noon.Add(2 * time.Minute)}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := count(tc.c, tc.f); got != tc.want {
				t.Fatalf("got %d, want %d", got, tc.want)
			}
		})
	}
	for _, f := range []cloud.UsageFilter{{TenantID: id("nobody")}, {InstanceID: id("nothing")}} {
		_, err := w.UsageIntervals(ctx, operator, f)
		w.refused(err, cloud.CodeNotFound)
	}
	_, err := w.UsageIntervals(ctx, other, cloud.UsageFilter{InstanceID: i.ID})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.UsageIntervals(ctx, other, cloud.UsageFilter{TenantID: w.tenant.ID})
	w.refused(err, cloud.CodeNotFound)
}
