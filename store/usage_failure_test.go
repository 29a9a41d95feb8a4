package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the zones of failure H, wherever the test runs

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// Failures that really happened elsewhere, each as a test. B, I and M are in
// reconcile, where they could happen here.

// used is what an instance used in a period, as reports have it.
func (w *world) used(instanceID string, from, to time.Time) meter.Total {
	w.t.Helper()
	ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{InstanceID: instanceID, From: from, To: to})
	w.must(err)
	totals := meter.Sum(ivs, from, to, w.now)
	if len(totals) != 1 {
		w.t.Fatalf("%d totals", len(totals))
	}
	return totals[0]
}

// hours are a quantity of amount x time as decimal hours.
func hours(q meter.Quantity) string { return q.Hours(meter.PerHour) }

// Elsewhere a replayed event opened the window again: one day was billed 112
// times. Fails when ChangeMeters opens what is open already.
func TestFailureA_AReplayedEventOpensNothing(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	for range 112 {
		again := w.running(i) // with its old time
		w.later(time.Minute)
		w.record(again)
		again.At = w.now
		w.record(again)
	}
	w.now = noon.Add(24 * time.Hour)
	w.record(w.stopped(i))
	if got := hours(w.used(i.ID, noon, w.now).VCPU); got != "24.000000" {
		t.Fatalf("a day of one vCPU is %s hours", got)
	}
	if n := len(w.intervals(i.ID)); n != 8 {
		t.Fatalf("%d rows", n)
	}
	w.sound()
}

// Elsewhere a repeated event opened an interval a second time. Fails when the
// record is decided outside of its transaction.
func TestFailureC_ARepeatedEventOpensNothingTwice(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	r := w.running(i)
	var all sync.WaitGroup
	errs := make([]error, 20)
	for n := range errs {
		all.Go(func() { errs[n] = w.RecordInstance(ctx, r) })
	}
	all.Wait()
	for _, err := range errs {
		w.must(err)
	}
	if got := w.ledger(i.ID); len(got) != 4 {
		t.Fatalf("got %v", got)
	}
	w.sound()
}

// Elsewhere a resize billed the new size for the old hours. Here also for the
// time in which nobody looked: the guest ended at 13:00, the resize was asked for
// at 15:00, and both were found at 16:00. Fails when ChangeMeters opens the new
// amount at the end of the old run (Again left out).
func TestFailureD_AResizeChangesNoOldHour(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1") // 1 vCPU
	w.later(3 * time.Hour)
	i, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: ptr(8)})
	w.must(err)
	w.later(time.Hour)
	r := w.stopped(i)
	r.EndAt, r.Evidence = noon.Add(time.Hour), cloud.EvidenceHeartbeat
	w.record(r)
	w.record(r) // found once more: nothing new
	w.later(time.Hour)
	w.record(w.running(i))
	w.later(time.Hour)
	w.record(w.stopped(i))
	want := []string{"cpu=1 running 0-60", "cpu=1 stopped 60-240", "cpu=8 running 300-360", "cpu=8 stopped 240-300", "cpu=8 stopped 360-open"}
	got := slices.DeleteFunc(w.ledger(i.ID), func(line string) bool { return !strings.HasPrefix(line, "cpu=") })
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	w.sound()
}

// Elsewhere an interval that was closed at its own start looked open for ever.
// Fails when ChangeMeters closes where it has to drop.
func TestFailureE_WhatEndsWhereItBeganIsNotOpen(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	r := w.gone(i)
	r.EndAt, r.Evidence = w.now, cloud.EvidenceDeleted
	w.record(r)
	w.later(1000 * time.Hour)
	if got := w.ledger(i.ID); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_drop`); n != 4 {
		t.Fatalf("%d drops are written down", n)
	}
	w.sound()
}

// A host is looked at every 30 s, so a run may have begun behind the last heartbeat:
// when nobody knows better it ended there. Nothing of it begins before it was seen.
// Fails when ChangeMeters opens what is stopped where the heartbeat was.
func TestNothingIsCountedBeforeItWasThere(t *testing.T) {
	w := newWorld(t)
	beat := w.now
	w.later(time.Second)
	i := w.create("web1")
	w.later(time.Second)
	began := w.now
	w.record(w.running(i))
	w.later(time.Second)
	r := w.stopped(w.instance(i.ID))
	r.EndAt, r.Evidence = beat, cloud.EvidenceHeartbeat
	w.record(r)
	ivs := w.intervals(i.ID)
	if len(ivs) != 4 {
		t.Fatalf("the rows are %+v", ivs)
	}
	for _, iv := range ivs {
		if iv.State != cloud.StateStopped || !iv.StartedAt.Equal(began) {
			t.Errorf("counted as %s since %s; it was first seen at %s", iv.State, iv.StartedAt, began)
		}
	}
	w.sound()
}

// Elsewhere a unique index compared with NULL and guarded nothing for months.
// Fails when the index usage_interval_open names ended_at, or a column of it may
// be NULL.
func TestFailureF_TheConstraintConstrains(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	db := raw(t, w.path)
	for _, trigger := range store.Query(t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'usage_interval'`) {
		w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger)) // they guard too; this is about the index
	}
	before := w.ledger(i.ID)
	for _, slot := range []string{"instance", "cpu", "memory", "disk:root"} {
		_, err := db.Exec(`
			INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
			SELECT tenant_id, resource_id, resource, slot, meter, amount, state, started_at + 1 FROM usage_interval WHERE slot = ?`, slot)
		if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
			t.Errorf("%s was opened twice: %v", slot, err)
		}
	}
	for _, column := range []string{"tenant_id", "resource_id", "resource", "slot", "meter", "amount", "state", "started_at"} {
		if _, err := db.Exec(`UPDATE usage_interval SET ` + column + ` = NULL`); err == nil || !strings.Contains(err.Error(), "NOT NULL") {
			t.Errorf("%s may be NULL: %v", column, err)
		}
	}
	if got := w.ledger(i.ID); !slices.Equal(got, before) {
		t.Fatalf("got %v", got)
	}
}

// Elsewhere a month of 720 hours had 720.02, for hours were floats. Fails when
// hours are rounded before they are added.
func TestFailureG_AMonthHasItsHours(t *testing.T) {
	w := newWorld(t)
	w.now = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	april, may := w.now, w.now.AddDate(0, 1, 0)
	i := w.run("web1")
	for n := range 400 { // 800 stretches of odd lengths
		w.later(5000*time.Second + time.Duration(n)*7*time.Millisecond)
		w.record(w.stopped(i))
		w.later(time.Duration(n*13+1) * time.Millisecond)
		w.record(w.running(i))
	}
	w.now = may
	used := w.used(i.ID, april, may)
	if got := hours(used.Allocated.Instance); got != "720.000000" {
		t.Fatalf("April has %s hours", got)
	}
	var days meter.Quantity
	for d := april; d.Before(may); d = d.AddDate(0, 0, 1) {
		days = days.Plus(w.used(i.ID, d, d.AddDate(0, 0, 1)).Instance)
	}
	if days.Cmp(used.Instance) != 0 {
		t.Fatalf("the days are %s and the month is %s", days, used.Instance)
	}
}

// Elsewhere summer time gave negative credits. Fails when an hour or a month is
// taken in the zone of the process.
func TestFailureH_ZonesAndSummerTimeChangeNothing(t *testing.T) {
	was := time.Local
	defer func() { time.Local = was }()
	var want []string
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		time.Local = zone
		w := newWorld(t)
		w.now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).In(zone)
		i := w.run("web1")
		w.later(31 * 24 * time.Hour) // clocks change on the 8th and on the 29th
		w.closeHours()
		if h := hours(w.used(i.ID, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)).Instance); h != "744.000000" {
			t.Errorf("%s: March has %s hours", name, h)
		}
		got := store.Query(t, w.DB, `SELECT hour || ' ' || totals || ' ' || hex(digest) FROM usage_hour ORDER BY hour`)
		if want == nil {
			want = got
		}
		if len(got) != 743 || !slices.Equal(got, want) { // the last one is not due yet
			t.Errorf("%s: %d closed hours, not those of UTC", name, len(got))
		}
		w.sound()
	}
}

// Elsewhere a record's id was made from the clock, so a retry billed again. Fails
// when the second record, or the second close of an hour, writes anything.
func TestFailureJ_ARetryBillsNothingAgain(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(90 * time.Minute)
	r := w.stopped(i)
	w.record(r)
	w.closeHours()
	before, rows := w.closed(), w.ledger(i.ID)
	for range 5 { // the answer was lost, and some time has passed
		r.At = w.later(time.Second)
		w.record(r)
		w.must(w.CloseHour(ctx, w.now, noon, meter.Hour))
	}
	if !slices.Equal(w.closed(), before) || !slices.Equal(w.ledger(i.ID), rows) {
		t.Fatalf("got\n%s\n%s", strings.Join(w.closed(), "\n"), strings.Join(w.ledger(i.ID), "\n"))
	}
}

// Elsewhere reused ids or names joined two machines' bills. Fails when Sum goes
// by the name, or an id can be taken twice.
func TestFailureK_ReusedNamesAndIDsJoinNothing(t *testing.T) {
	w := newWorld(t)
	first := w.run("web1")
	w.later(time.Hour)
	_, err := w.DeleteInstance(ctx, operator, w.now, first.ID)
	w.must(err)
	r := w.gone(first)
	r.EndAt, r.Evidence = w.now, cloud.EvidenceDeleted
	w.record(r)
	again := w.wanted("web2")
	again.ID = first.ID
	if _, err := w.CreateInstance(ctx, operator, w.now, again); err == nil {
		t.Fatal("an id was taken twice")
	}
	second := w.run("web1")
	w.later(2 * time.Hour)
	ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{TenantID: w.tenant.ID})
	w.must(err)
	got := map[string]string{}
	for _, total := range meter.Sum(ivs, noon, w.now, w.now) {
		got[total.ResourceID] = hours(total.Instance)
	}
	delete(got, w.image.ID)
	if len(got) != 2 || got[first.ID] != "1.000000" || got[second.ID] != "2.000000" {
		t.Fatalf("got %v", got)
	}
}

// Elsewhere keys were joined without a separator: VM 1 of size 23 was VM 12 of
// size 3. Fails when lines of an hour are kept by, or hashed as, joined text.
func TestFailureL_KeysAreNotJoined(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	columns := `INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at) `
	digest := map[string]bool{}
	var lines int
	for n, pair := range [][2][2]string{
		{{"vm1", "23"}, {"vm12", "3"}}, {{"vm12", "3"}, {"vm123", ""}}, {{`a","b`, "c"}, {"a", `b","c`}}, {{"a\x00b", "c"}, {"a", "b\x00c"}},
	} {
		var ivs []cloud.Interval
		for k, key := range pair {
			slot := key[1] + "."
			w.must(store.Exec(w.DB, columns+`SELECT tenant_id, ?, resource, ?, meter, 1, state, started_at FROM usage_interval WHERE resource_id = ? AND slot = 'cpu'`,
				fmt.Sprint(n, key[0]), slot, i.ID))
			ivs = append(ivs, cloud.Interval{Seq: int64(k), ResourceID: key[0], Reading: cloud.Reading{Slot: slot, Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: noon})
		}
		for _, iv := range ivs { // each alone, and both
			digest[fmt.Sprintf("%x", meter.Hour("t", noon, cloud.HourContent{Intervals: []cloud.Interval{iv}}).Digest)] = true
		}
		both := meter.Hour("t", noon, cloud.HourContent{Intervals: ivs})
		lines += both.Lines
		if both.Totals["vcpu"] != "7200000" {
			t.Errorf("%q: got %+v", pair, both)
		}
	}
	if len(digest) != 7 || lines != 8 { // vm12 of size 3 is there twice
		t.Fatalf("%d digests of 7 and %d lines of 8", len(digest), lines)
	}
	w.later(2 * time.Hour)
	ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{TenantID: w.tenant.ID})
	w.must(err)
	if got := len(meter.Sum(ivs, noon, w.now, w.now)); got != 10 { // these, the instance and its image
		t.Fatalf("%d resources", got)
	}
}
