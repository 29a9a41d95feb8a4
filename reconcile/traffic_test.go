package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
)

func (w *world) bytes(id string) (egress, ingress int64, rows int) {
	w.t.Helper()
	all, err := w.db.UsageTraffic(context.Background(), w.root, cloud.UsageFilter{InstanceID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range all {
		if u.Meter == cloud.MeterEgress {
			egress += u.Bytes
		} else {
			ingress += u.Bytes
		}
	}
	return egress, ingress, len(all)
}

func (w *world) wantBytes(id string, egress, ingress int64) {
	w.t.Helper()
	if e, i, _ := w.bytes(id); e != egress || i != ingress {
		w.t.Errorf("%d bytes out and %d in are counted, want %d and %d", e, i, egress, ingress)
	}
}

// Whatever lodged does, each byte is counted once.
func TestBytesOverTheLifeOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 8)
		defer w.db.Close()
		ctx := context.Background()
		time.Sleep(time.Minute)
		w.host.Transfer(id, 0, 1000, 100)
		time.Sleep(2 * time.Hour)
		w.wantBytes(id, 1000, 100) // once an hour

		w.host.Transfer(id, 0, 500, 0)
		time.Sleep(time.Minute)
		w.stop() // killed: what it had read is forgotten, but the counters go on
		w.host.Transfer(id, 0, 50, 0)
		time.Sleep(10 * time.Minute)
		w.lodged()
		defer func() { w.stop() }()
		time.Sleep(2 * time.Hour)
		w.wantBytes(id, 1550, 100)
		_, _, rows := w.bytes(id)
		time.Sleep(3 * time.Hour)
		if _, _, now := w.bytes(id); now != rows {
			t.Errorf("%d rows were written for nothing", now-rows)
		}

		w.host.Transfer(id, 0, 7, 0)
		time.Sleep(time.Minute)
		w.host.Crash(id) // the last sweep has the final reading
		w.runs(id, time.Minute)
		time.Sleep(time.Second)
		w.wantBytes(id, 1557, 100)

		w.host.Transfer(id, 0, 3, 0) // a new run, from 0
		time.Sleep(time.Minute)
		w.host.Replug(id, 0)
		w.host.Transfer(id, 0, 2000, 0) // more than before: only the device tells
		time.Sleep(2 * time.Minute)
		w.host.Transfer(id, 0, 30, 9)
		if _, err := w.db.PowerInstance(ctx, w.root, time.Now(), id, cloud.PowerStop, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.wantBytes(id, 3590, 109)

		if _, err := w.db.PowerInstance(ctx, w.root, time.Now(), id, cloud.PowerStart, false); err != nil {
			t.Fatal(err)
		}
		w.runs(id, time.Minute)
		time.Sleep(time.Minute)
		w.host.Transfer(id, 0, 5, 0)
		if _, err := w.db.DeleteInstance(ctx, w.root, time.Now(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.wantBytes(id, 3595, 109)
	})
}

// The counters cost nothing but themselves when they cannot be read.
func TestCountersThatCannotBeReadStopNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 9)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(time.Minute)
		w.host.FailNext(sim.CallReadNICs, cloud.Errorf(cloud.CodeTimeout, "No."), 100)
		w.host.Transfer(id, 0, 1000, 0)
		beat := func() time.Time {
			h, err := w.db.Host(context.Background(), w.hid)
			if err != nil {
				t.Fatal(err)
			}
			return h.HeartbeatAt
		}
		before := beat()
		time.Sleep(2 * time.Minute)
		if !beat().After(before) {
			t.Error("no look was noted while the counters could not be read")
		}
		time.Sleep(3 * time.Hour)
		w.wantBytes(id, 1000, 0)
	})
}

// What was sent in an hour is in that hour's rows, to the byte, also behind hours in
// which nothing was; and one row a counter and hour is all that is written.
func TestBytesAreWrittenInTheirHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 10)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(time.Until(cloud.Hour(time.Now()).Add(time.Hour + 10*time.Minute)))
		first := cloud.Hour(time.Now())
		want := map[time.Time]int64{}
		for hour, bytes := range []int64{1000, 0, 0, 500, 7, 0, 3} {
			for range 5 {
				w.host.Transfer(id, 0, bytes, 0)
				want[first.Add(time.Duration(hour)*time.Hour)] += bytes
				time.Sleep(5 * time.Minute)
			}
			time.Sleep(35 * time.Minute)
		}
		all, err := w.db.UsageTraffic(context.Background(), w.root, cloud.UsageFilter{InstanceID: id})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range all {
			if u.EndedAt.Sub(u.Hour()) != time.Hour {
				t.Errorf("a row ends at %s, which is no hour's end", u.EndedAt)
			}
			if want[u.Hour()] != u.Bytes {
				t.Errorf("%d bytes are in the hour %s, and %d were sent", u.Bytes, u.Hour(), want[u.Hour()])
			}
			delete(want, u.Hour())
		}
		for hour, bytes := range want {
			if bytes > 0 {
				t.Errorf("the %d bytes of %s are in no row", bytes, hour)
			}
		}
	})
}
