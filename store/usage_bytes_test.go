package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// bytesOfHours is the bytes out of the newest revision of each closed hour, with
// its number: "12:00 r1 100".
func (w *world) bytesOfHours() []string {
	w.t.Helper()
	return store.Query(w.t, w.DB, `
		SELECT strftime('%H:%M', hour / 1000, 'unixepoch') || ' r' || revision || ' ' || COALESCE(totals ->> 'egress', '-')
		FROM usage_hour h
		WHERE revision = (SELECT MAX(revision) FROM usage_hour n WHERE n.tenant_id = h.tenant_id AND n.hour = h.hour)
		ORDER BY hour`)
}

func TestBytesAreInTheClosedHours(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(30 * time.Minute)
	w.moved(i, nics("vnet0", 100, 0))
	w.later(2 * time.Hour) // 14:30
	w.moved(i, nics("vnet0", 107, 3))
	w.closeHours()
	want := []string{"12:00 r1 101", "13:00 r1 4"} // 7 bytes over 30, 60 and 30 minutes: 1, 4 and 2
	if got := w.bytesOfHours(); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	w.sound()

	// A reading that comes late revises the hours that it is of, and no others.
	w.later(2 * time.Hour)
	w.closeHours()
	run := w.instance(i.ID).StartedAt
	w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{{InstanceID: i.ID, Run: run, At: noon.Add(3*time.Hour + 10*time.Minute), NICs: nics("vnet0", 207, 3)}}))
	if r := w.verify(); r.Pending != 2 || r.Wrong != 0 {
		t.Errorf("before the correction: %+v", r)
	}
	w.closeHours()
	want = []string{"12:00 r1 101", "13:00 r1 4", "14:00 r2 77", "15:00 r2 25"}
	if got := w.bytesOfHours(); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	w.sound()

	// The events of an hour have its bytes, and their ids are those of the revision.
	var last cloud.SinkHour
	for n := int64(0); ; n = last.Seq {
		h, found, err := w.NextSinkHour(ctx, "http://a")
		w.must(err)
		if !found {
			break
		}
		w.must(w.SinkTook(ctx, w.now, "http://a", h.Seq, 0, 0, true))
		last = h
		if n == h.Seq {
			t.Fatal("the same hour again")
		}
	}
	var bytes []meter.LineData
	for _, e := range meter.HourEvents(last.UsageHour, last.HourContent) {
		if l, ok := e.Data.(meter.LineData); ok && l.Meter == "egress" {
			bytes = append(bytes, l)
		}
	}
	if len(bytes) != 1 || bytes[0].Quantity != "0.000000025" || bytes[0].Unit != "GB" || bytes[0].States["running"] != "25" || bytes[0].Slot != "nic:0" {
		t.Errorf("got %+v", bytes)
	}
}

// Bytes that were read a moment after their instance was gone are in an hour in
// which it has nothing else.
func TestBytesOfWhatIsGoneAreInAnHour(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	run := w.instance(i.ID).StartedAt
	w.later(59 * time.Minute)
	deleted, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	r := w.gone(deleted)
	r.Traffic = &cloud.TrafficReading{InstanceID: i.ID, Run: run, At: noon.Add(61 * time.Minute), NICs: nics("vnet0", 610, 0)}
	w.record(r)
	w.later(2 * time.Hour)
	w.closeHours()
	if got := w.bytesOfHours(); len(got) != 2 || got[0] != "12:00 r1 600" || got[1] != "13:00 r1 10" {
		t.Errorf("got %v", got)
	}
	w.sound()
}

// Hours that were closed by a lodge that had no bytes in them stay as they are.
func TestHoursFromBeforeBytesStayValid(t *testing.T) {
	w := newWorld(t)
	for _, stmt := range []string{`DROP TRIGGER usage_bytes_no_update`, `DROP TRIGGER usage_traffic_of_an_hour`, `UPDATE usage_bytes SET from_hour = 3600000000000000`} {
		w.must(store.Exec(w.DB, stmt))
	}
	i := w.run("web1")
	w.later(90 * time.Minute)
	w.must(store.Exec(w.DB, `
		INSERT INTO usage_traffic (tenant_id, resource_id, slot, meter, bytes, started_at, ended_at, run, device, counter_start, counter_end)
		VALUES (?, ?, 'nic:0', 'egress', 90, ?, ?, ?, 'vnet0', 0, 90)`, w.tenant.ID, i.ID, noon.UnixMilli(), w.now.UnixMilli(), w.instance(i.ID).StartedAt.UnixMilli()))
	w.closeHours()
	if got := w.bytesOfHours(); !slices.Equal(got, []string{"12:00 r1 -"}) {
		t.Fatalf("closed as before: %v", got)
	}
	for _, stmt := range []string{
		`DROP TRIGGER usage_bytes_no_insert`, `DROP TRIGGER usage_bytes_no_delete`, `DROP TABLE usage_bytes`, `DROP INDEX usage_traffic_by_end`,
		`ALTER TABLE invoice DROP COLUMN next_interval`, `DELETE FROM schema_migrations WHERE version = 18`,
	} {
		w.must(store.Exec(w.DB, stmt))
	}
	w.must(w.Close())
	again, err := store.Open(w.path)
	w.must(err)
	defer again.Close()
	w.DB = again
	// The row is not covered, for it was not written by lodge; nothing else is wrong.
	for _, f := range w.verify().Findings {
		if f.Check != meter.CheckChain || f.Table != "usage_traffic" {
			t.Errorf("got %+v", f)
		}
	}
	w.later(30 * time.Minute)
	w.moved(i, nics("vnet0", 190, 0))
	w.later(time.Hour)
	w.closeHours()
	// The row of 90 minutes is of the hour in which it ends, as it always was.
	if got := w.bytesOfHours(); !slices.Equal(got, []string{"12:00 r1 -", "13:00 r1 190"}) {
		t.Errorf("got %v", got)
	}
	// What is found out of an old hour leaves it without bytes.
	w.must(store.Exec(w.DB, `INSERT INTO usage_recount (hour, tenant_id) VALUES (?, ?)`, noon.UnixMilli(), w.tenant.ID))
	w.closeHours()
	if got := w.bytesOfHours(); !slices.Equal(got, []string{"12:00 r1 -", "13:00 r1 190"}) {
		t.Errorf("counted again: %v", got)
	}
	for _, f := range w.verify().Findings {
		if f.Check != meter.CheckChain || f.Table != "usage_traffic" {
			t.Errorf("got %+v", f)
		}
	}
	for _, stmt := range []string{`UPDATE usage_bytes SET from_hour = 0`, `DELETE FROM usage_bytes`, `INSERT INTO usage_bytes VALUES (0)`} {
		if err := store.Exec(w.DB, stmt); err == nil || !strings.Contains(err.Error(), "rows stay") {
			t.Errorf("%s: %v", stmt, err)
		}
	}
}
