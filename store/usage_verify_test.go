package store_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Each row changed, taken out or put in by hand, past the triggers, is found and
// named.
func TestVerifyFindsWhatWasDoneByHand(t *testing.T) {
	row := func(seq string) string {
		return `INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence)
			SELECT tenant_id, resource_id, resource, slot, meter, amount, state, ` + seq + ` FROM usage_interval WHERE seq = 3`
	}
	for _, tc := range []struct {
		name, stmt string
		want       []meter.Check
		table      string
		row        int64
	}{
		{"a smaller amount", `UPDATE usage_interval SET amount = 0 WHERE seq = 2`, []meter.Check{meter.CheckChain, meter.CheckHour, meter.CheckConservation}, "usage_interval", 2},
		{"an earlier end", `UPDATE usage_interval SET ended_at = ended_at - 1000 WHERE seq = 2`, []meter.Check{meter.CheckChain, meter.CheckHour, meter.CheckConservation}, "usage_interval", 2},
		{"another evidence", `UPDATE usage_interval SET evidence = 'heartbeat' WHERE seq = 2`, []meter.Check{meter.CheckChain}, "usage_interval", 2},
		{"a row taken out", `DELETE FROM usage_interval WHERE seq = 2`, []meter.Check{meter.CheckChain, meter.CheckSeq, meter.CheckHour, meter.CheckConservation}, "usage_interval", 2},
		{"a row and its link taken out", `DELETE FROM usage_interval WHERE seq = 2; DELETE FROM usage_seal WHERE kind = 'interval' AND ref = 2`, []meter.Check{meter.CheckChain, meter.CheckSeq, meter.CheckHour, meter.CheckConservation}, "usage_seal", 0},
		{"a row put in", row(`ended_at - 5000, ended_at - 4000, 'seen'`), []meter.Check{meter.CheckChain, meter.CheckOverlap, meter.CheckHour, meter.CheckConservation}, "usage_interval", 9},
		{"a fact changed", `UPDATE usage_fact SET flavor = 'c9-m9' WHERE kind = 'instance'`, []meter.Check{meter.CheckChain}, "usage_fact", 2},
		{"a drop changed", `UPDATE usage_drop SET amount = 7`, []meter.Check{meter.CheckChain}, "usage_drop", 0},
		{"a step changed", `UPDATE usage_clock_step SET wall = wall + 1`, []meter.Check{meter.CheckChain}, "usage_clock_step", 1},
		{"an hour changed", `UPDATE usage_hour SET totals = '{"vcpu":"1"}' WHERE seq = 1`, []meter.Check{meter.CheckChain, meter.CheckConservation}, "usage_hour", 1},
		{"an hour's digest changed", `UPDATE usage_hour SET digest = zeroblob(32) WHERE seq = 1`, []meter.Check{meter.CheckChain, meter.CheckHour}, "usage_hour", 1},
		{"an hour taken out", `DELETE FROM usage_hour WHERE seq = 1`, []meter.Check{meter.CheckChain, meter.CheckHour, meter.CheckConservation}, "usage_hour", 1},
		{"a link changed", `UPDATE usage_seal SET hash = zeroblob(32) WHERE n = 4`, []meter.Check{meter.CheckChain}, "", 0},
		{"the object taken away", `UPDATE instance SET gone_at = 5, state = 'gone', deleted_at = 5 WHERE name = 'web1'`, []meter.Check{meter.CheckOrphan}, "usage_interval", 14},
		{"bytes changed", `UPDATE usage_traffic SET device = 'vnet7'`, []meter.Check{meter.CheckChain}, "usage_traffic", 1},
		{"bytes taken out", `DELETE FROM usage_traffic WHERE seq = 2`, []meter.Check{meter.CheckChain, meter.CheckHour, meter.CheckConservation}, "usage_traffic", 2},
		{"bytes put in", `INSERT INTO usage_traffic SELECT 9, tenant_id, resource_id, 'nic:1', meter, bytes, started_at, ended_at, run, device, counter_start, counter_end FROM usage_traffic WHERE seq = 1`, []meter.Check{meter.CheckChain, meter.CheckHour, meter.CheckConservation}, "usage_traffic", 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			i := w.run("web1")
			w.later(30 * time.Minute)
			w.moved(i, nics("vnet0", 100, 10))
			w.record(w.stopped(i))
			w.later(10 * time.Minute)
			w.record(w.running(i))
			w.record(w.stopped(i)) // at once: dropped
			w.must(second(w.StepClock(ctx, cloud.ClockStep{HostID: hostID, At: w.now, Wall: w.now.Add(-time.Hour)}, cloud.ClockAnchor{BootID: "b", At: w.now})))
			w.later(3 * time.Hour)
			w.closeHours()
			if r := w.sound(); r.Hours != 3 || r.Links == 0 {
				t.Fatalf("got %+v", r)
			}
			if tc.name == "a row put in" {
				tc.row = int64(store.Count(t, w.DB, `SELECT MAX(seq) + 1 FROM usage_interval`))
			}
			for _, trigger := range store.Query(t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'usage%'`) {
				w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger))
			}
			w.must(store.Exec(w.DB, tc.stmt))
			r := w.verify()
			var got []meter.Check
			named := tc.table == ""
			for _, f := range r.Findings {
				if !slices.Contains(got, f.Check) {
					got = append(got, f.Check)
				}
				named = named || f.Table == tc.table && (tc.row == 0 || f.Row == tc.row)
				if !strings.HasSuffix(f.Message, ".") {
					t.Errorf("not a sentence: %s", f.Message)
				}
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if !slices.Equal(got, tc.want) || !named {
				t.Errorf("got %+v, want %v of %s %d", r.Findings, tc.want, tc.table, tc.row)
			}
		})
	}
}

// A wish that lodge has tried, on a host that did not answer, is decided on and not
// counted: what runs on is what was seen last.
func TestVerifyTakesNoNewSizeForCountedWhileTheHostIsAway(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Minute)
	w.record(w.stopped(i))
	four := 4
	i, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: &four})
	w.must(err)
	w.sound()
	away := &cloud.Problem{Code: cloud.CodeHypervisor, Message: "The host's hypervisor does not answer.", Since: w.now, RetryAt: w.now.Add(time.Second), Attempts: 1}
	w.record(cloud.InstanceRecord{ID: i.ID, Generation: i.Generation, At: w.now, Problem: away, Unseen: true})
	w.sound()
	w.later(time.Minute)
	w.record(w.stopped(i))
	w.sound()
	for _, trigger := range store.Query(t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'instance%'`) {
		w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger))
	}
	w.must(store.Exec(w.DB, `UPDATE instance SET vcpus = 3`))
	if r := w.verify(); r.Wrong == 0 {
		t.Error("a size that was changed by hand is not found")
	}
}

// A guest that is being stopped has no problem but that, whatever has become of its
// disk, which counts no more from when it was seen to be lost.
func TestVerifyMissesNoDiskOfAGuestThatIsBeingStopped(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Minute)
	i, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
	w.must(err)
	stopping := w.running(i)
	stopping.Task, stopping.RootSeen, stopping.ObservedGeneration = cloud.TaskStopping, false, i.ObservedGeneration
	stopping.Readings = cloud.Readings(cloud.StateRunning, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB}, false)
	w.record(stopping)
	w.sound()
	i, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.must(err)
	if r := w.verify(); r.Wrong == 0 {
		t.Error("a disk that is not counted is not missed")
	}
}

// What a wish writes while nobody can look at the host is later than the last look,
// with which the clock was kept.
func TestVerifyTakesNoRowForALook(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.must(w.Beat(ctx, hostID, w.now, cloud.ClockAnchor{BootID: "b", Boot: time.Minute, At: w.now}))
	w.later(cloud.AnchorSlack + time.Minute)
	w.record(w.stopped(i))
	w.sound()
	w.must(w.Heartbeat(ctx, hostID, w.now))
	if r := w.verify(); r.Wrong != 1 || r.Findings[0].Check != meter.CheckClock {
		t.Errorf("a look that has left the clock behind is not found: %+v", r.Findings)
	}
}

// Nothing that is written once can be written again, by whomever.
func TestWhatIsClosedStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	w.run("web1")
	w.must(second(w.StepClock(ctx, cloud.ClockStep{HostID: hostID, At: w.now, Wall: w.now.Add(-time.Hour)}, cloud.ClockAnchor{BootID: "b", At: w.now})))
	w.later(3 * time.Hour)
	w.closeHours()
	db := raw(t, w.path)
	for table, column := range map[string]string{
		"usage_fact": "name = 'x'", "usage_clock_step": "wall = 0", "usage_close": "closed_at = closed_at + 1",
		"usage_hour": "lines = 0", "usage_seal": "ref = ref + 1000",
	} {
		for _, stmt := range []string{"UPDATE " + table + " SET " + column, "DELETE FROM " + table} {
			if _, err := db.Exec(stmt); err == nil || !strings.Contains(err.Error(), "rows stay") {
				t.Errorf("%s: %v", stmt, err)
			}
		}
	}
	for _, tc := range []struct{ stmt, says string }{
		{`INSERT INTO usage_close VALUES ((SELECT MAX(hour) + 7200000 FROM usage_close), 9999999999999)`, "one after the other"},
		{`INSERT INTO usage_close VALUES ((SELECT MIN(hour) - 3600000 FROM usage_close), 9999999999999)`, "one after the other"},
		{`INSERT INTO usage_close VALUES ((SELECT MAX(hour) + 3600001 FROM usage_close), 9999999999999)`, "one after the other"},
		{`INSERT INTO usage_close VALUES ((SELECT MAX(hour) + 3600000 FROM usage_close), 5)`, "CHECK"},
		{`INSERT INTO usage_hour SELECT NULL, hour, tenant_id, revision, lines, digest, totals, closed_at FROM usage_hour WHERE seq = 1`, "one after the other"},
		{`INSERT INTO usage_hour SELECT NULL, hour, tenant_id, 3, lines, digest, totals, closed_at FROM usage_hour WHERE seq = 1`, "one after the other"},
		{`INSERT INTO usage_hour SELECT NULL, hour, tenant_id, 2, lines, x'00', totals, closed_at FROM usage_hour WHERE seq = 1`, "CHECK"},
		{`INSERT INTO usage_hour SELECT NULL, 0, tenant_id, 1, lines, digest, totals, closed_at FROM usage_hour WHERE seq = 1`, "FOREIGN KEY"},
		{`INSERT INTO usage_seal VALUES ((SELECT MAX(n) + 2 FROM usage_seal), 'x', 1, zeroblob(32))`, "no gaps"},
		{`INSERT INTO usage_seal SELECT MAX(n) + 1, 'x', 1, zeroblob(31) FROM usage_seal`, "CHECK"},
		{`INSERT INTO usage_seal SELECT MAX(n) + 1, 'fact', 1, zeroblob(32) FROM usage_seal`, "UNIQUE"},
		{`INSERT INTO usage_fact SELECT NULL, tenant_id, kind, resource_id, name, flavor, labels, since - 1 FROM usage_fact`, "in order"},
		{`INSERT INTO usage_fact SELECT NULL, 'other', kind, resource_id, name, flavor, labels, since FROM usage_fact`, "of one tenant"},
		{`INSERT INTO usage_clock_step VALUES (NULL, (SELECT id FROM host), 10, 10, 1)`, "CHECK"},
		{`INSERT OR REPLACE INTO usage_seal SELECT n, kind, ref, zeroblob(32) FROM usage_seal WHERE n = 1`, "no gaps"},
	} {
		if _, err := db.Exec(tc.stmt); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want an error that says %q", tc.stmt, err, tc.says)
		}
	}
	w.sound()
}
