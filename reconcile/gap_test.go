package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
)

// runsOf are the intervals of the instance meter under running, oldest first.
func (w *world) runsOf(id string) (runs []cloud.Interval) {
	w.t.Helper()
	ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{InstanceID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, iv := range ivs {
		if iv.Meter == cloud.MeterInstance && iv.State == cloud.StateRunning {
			runs = append(runs, iv)
		}
	}
	return runs
}

// What happens to a guest while lodged is down, and what the ledger has of it.
func TestTheLedgerAfterAGap(t *testing.T) {
	type facts struct {
		beat time.Time // the last heartbeat
		end  time.Time // of the first run, in truth
		back time.Time // when lodged was there again
		runs []cloud.Interval
	}
	atTruth := func(t *testing.T, f facts) {
		if len(f.runs) == 0 || !f.runs[0].EndedAt.Equal(f.end.Truncate(time.Millisecond)) || f.runs[0].Evidence != cloud.EvidenceLog {
			t.Errorf("the run ended at %s; the ledger has %+v", f.end, f.runs)
		}
	}
	atBeat := func(t *testing.T, f facts) {
		if len(f.runs) == 0 || !f.runs[0].EndedAt.Equal(f.beat) || f.runs[0].Evidence != cloud.EvidenceHeartbeat {
			t.Errorf("the run was last seen at %s; the ledger has %+v", f.beat, f.runs)
		}
	}
	goesOn := func(t *testing.T, f facts) {
		if len(f.runs) != 1 || !f.runs[0].EndedAt.IsZero() {
			t.Errorf("the guest ran on; the ledger has %+v", f.runs)
		}
	}
	again := func(then func(*testing.T, facts)) func(*testing.T, facts) {
		return func(t *testing.T, f facts) {
			then(t, f)
			if len(f.runs) != 2 || f.runs[1].StartedAt.Before(f.back) || f.runs[1].StartedAt.After(f.back.Add(2*time.Second)) {
				t.Errorf("it was found on again at %s; the ledger has %+v", f.back, f.runs)
			}
		}
	}
	for _, c := range []struct {
		name string
		// gap makes what happens, and returns when the run that was on ended.
		gap  func(w *world, id string) time.Time
		want func(*testing.T, facts)
	}{
		{"it runs on", func(w *world, id string) time.Time { return time.Time{} }, goesOn},
		{"it powers itself off", func(w *world, id string) time.Time { w.host.PowerOffInside(id); return time.Now() }, atTruth},
		{"destroyed by hand", func(w *world, id string) time.Time { w.host.DestroyByHand(id); return time.Now() }, again(atTruth)},
		{"crash", func(w *world, id string) time.Time { w.host.Crash(id); return time.Now() }, again(atTruth)},
		{"no log", func(w *world, id string) time.Time {
			w.host.Mute(true)
			w.host.PowerOffInside(id)
			return time.Now()
		}, atBeat},
		{"libvirt away too", func(w *world, id string) time.Time {
			w.host.Away(true)
			w.host.PowerOffInside(id)
			end := time.Now()
			time.Sleep(time.Second)
			w.host.Away(false)
			return end
		}, atBeat},
		{"host reboots", func(w *world, id string) time.Time { w.host.RebootHost(); return time.Now() }, again(atBeat)},
		{"started again by hand", func(w *world, id string) time.Time {
			w.host.DestroyByHand(id)
			end := time.Now()
			time.Sleep(10 * time.Second)
			if !w.host.StartByHand(id) {
				w.t.Fatal("it does not start")
			}
			return end
		}, again(atTruth)},
		{"started again by hand after an end that has no time", func(w *world, id string) time.Time {
			w.host.Away(true)
			w.host.DestroyByHand(id)
			end := time.Now()
			w.host.Away(false)
			time.Sleep(10 * time.Second)
			w.host.StartByHand(id)
			return end
		}, again(atBeat)},
		{"started and ended again", func(w *world, id string) time.Time {
			w.host.DestroyByHand(id)
			end := time.Now()
			time.Sleep(10 * time.Second)
			w.host.StartByHand(id)
			time.Sleep(10 * time.Second)
			w.host.PowerOffInside(id)
			return end
		}, atTruth},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id := calm(t, 5)
				defer w.db.Close()
				w.runs(id, 5*time.Minute)
				time.Sleep(3 * time.Minute)
				w.stop()
				host, err := w.db.Host(context.Background(), w.hid)
				if err != nil {
					t.Fatal(err)
				}
				f := facts{beat: host.HeartbeatAt}
				time.Sleep(7 * time.Minute)
				f.end = c.gap(w, id)
				time.Sleep(7*time.Minute + 123*time.Millisecond)
				f.back = time.Now()
				w.lodged()
				defer w.stop()
				time.Sleep(time.Minute)
				f.runs = w.runsOf(id)
				c.want(t, f)
			})
		})
	}
}

// A host whose wall clock is far from the ledger's cannot tell when: the time that
// it wrote down means something else. A little is taken into account.
func TestALogByAnotherClockIsNoEvidence(t *testing.T) {
	for skew, want := range map[time.Duration]cloud.Evidence{
		0: cloud.EvidenceLog, 900 * time.Millisecond: cloud.EvidenceLog, -900 * time.Millisecond: cloud.EvidenceLog,
		time.Minute: cloud.EvidenceHeartbeat, -time.Minute: cloud.EvidenceHeartbeat,
	} {
		synctest.Test(t, func(t *testing.T) {
			w, id := calm(t, 6)
			defer w.db.Close()
			w.runs(id, 5*time.Minute)
			time.Sleep(3 * time.Minute)
			w.stop()
			time.Sleep(time.Minute)
			w.host.PowerOffInside(id)
			ended := time.Now().Add(skew).Truncate(time.Millisecond)
			time.Sleep(2 * time.Minute)
			w.skew = skew
			w.lodged()
			defer w.stop()
			time.Sleep(time.Minute)
			if runs := w.runsOf(id); len(runs) != 1 || runs[0].Evidence != want {
				t.Errorf("clocks %s apart: %+v, want evidence %s", skew, runs, want)
			} else if want == cloud.EvidenceLog && !runs[0].EndedAt.Equal(ended) {
				t.Errorf("clocks %s apart: %+v, want the end at %s", skew, runs, ended)
			}
		})
	}
}

// A run that begins right behind the end of the one before is not taken for
// ended, although the clocks differ by more than what lies between.
func TestTheEndBeforeARunIsNotItsEnd(t *testing.T) {
	for _, skew := range []time.Duration{900 * time.Millisecond, -900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w, id := calm(t, 10)
			defer w.db.Close()
			w.stop()
			w.skew = skew
			time.Sleep(time.Minute)
			w.lodged()
			time.Sleep(100 * time.Second) // between two sweeps
			w.host.DestroyByHand(id)
			ended := time.Now().Add(skew)
			if off := w.runs(id, 30*time.Second); off > 800*time.Millisecond {
				t.Fatalf("it was off for %s, which shows nothing", off)
			}
			time.Sleep(2 * time.Second) // it is recorded so
			w.stop()
			time.Sleep(time.Minute)
			w.lodged()
			defer w.stop()
			time.Sleep(time.Minute)
			runs := w.runsOf(id)
			if last := runs[len(runs)-1]; len(runs) != 2 || !last.EndedAt.IsZero() || last.StartedAt.Sub(ended) > time.Second {
				t.Errorf("clocks %s apart: it began again right behind %s; the ledger has %+v", skew, ended, runs)
			}
		})
	}
}
