package reconcile_test

import (
	"context"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
)

// calm is a world without weather and with one running instance.
func calm(t *testing.T, seed uint64) (w *world, id string) {
	w = &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)),
		host: sim.New(sim.Options{Now: time.Now, Seed: seed, Latency: sim.Realistic()}),
		root: cloud.Caller{Operator: true}, hid: uuid.NewString(), log: io.Discard,
	}
	w.open(filepath.Join(t.TempDir(), "lodge.db"))
	w.lodged()
	w.image()
	id = uuid.NewString()
	_, err := w.db.CreateInstance(context.Background(), w.root, time.Now(), cloud.NewInstance{
		ID: id, VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: w.tens[0], Name: "a", VCPUs: 1, MemoryMiB: 256,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.runs(id, time.Minute)
	return w, id
}

// runs waits until the guest runs and says for how long it had not.
func (w *world) runs(id string, most time.Duration) time.Duration {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		guests, err := w.host.LookGuests(context.Background(), []string{id})
		if err != nil {
			w.t.Fatal(err)
		}
		if guests[id].State == cloud.GuestRunning {
			return time.Since(start)
		}
		if time.Since(start) > most {
			w.t.Fatalf("the guest does not run after %s", most)
		}
	}
}

func (w *world) problem(id string) *cloud.Problem {
	w.t.Helper()
	i, err := w.db.Instance(context.Background(), w.root, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return i.Problem
}

// A guest that ends two seconds after every start is started with growing
// pauses, says so, and is forgiven once it has run for a minute.
func TestACrashLoopIsSpacedOut(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*sim.Host, string) bool
	}{{"crash", (*sim.Host).Crash}, {"destroyed by hand", (*sim.Host).DestroyByHand}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id := calm(t, 1)
				defer w.db.Close()
				defer w.stop()
				var pauses []time.Duration
				for range 12 {
					time.Sleep(2 * time.Second)
					c.end(w.host, id)
					time.Sleep(500 * time.Millisecond)
					if p := w.problem(id); len(pauses) > 1 && (p == nil || p.Code != cloud.CodeGuestCrashed || p.Attempts < len(pauses)) {
						t.Fatalf("after %d ends the instance says %+v", len(pauses)+1, p)
					}
					pauses = append(pauses, 500*time.Millisecond+w.runs(id, 2*time.Minute))
				}
				if pauses[0] > 2*time.Second {
					t.Errorf("the first end is answered after %s", pauses[0])
				}
				for i, p := range pauses[2:] {
					if before := pauses[i+1]; p < before-time.Second {
						t.Errorf("pause %d is shorter than the one before: %v", i+2, pauses)
					}
				}
				if last := pauses[len(pauses)-1]; last < time.Minute || last > 80*time.Second {
					t.Errorf("the pauses end at %s: %v", last, pauses)
				}

				time.Sleep(3 * time.Minute)
				if p := w.problem(id); p != nil {
					t.Errorf("a guest that has run for minutes still has the problem %+v", p)
				}
				c.end(w.host, id)
				if took := w.runs(id, 2*time.Minute); took > 2*time.Second {
					t.Errorf("the next end is answered after %s", took)
				}
			})
		})
	}
}

// A guest that has run for long and then cannot, as on a full disk, is not
// resumed in a tight loop.
func TestAnOldGuestThatPausesAtOnceIsHelpedWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 5)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(time.Hour)
		helped := 0
		for start := time.Now(); time.Since(start) < 10*time.Minute && helped < 100; helped++ {
			w.runs(id, 2*time.Minute)
			w.host.Pause(id, true)
			time.Sleep(20 * time.Millisecond)
		}
		if helped > 20 || helped < 8 {
			t.Errorf("helped %d times in 10 minutes", helped)
		}
		if p := w.problem(id); p == nil || p.Code != cloud.CodeGuestPaused {
			t.Errorf("the problem is %+v", p)
		}
	})
}

// A new wish is tried at once, however long the pause.
func TestANewWishDoesNotWaitForTheCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 2)
		defer w.db.Close()
		defer w.stop()
		for range 8 {
			time.Sleep(2 * time.Second)
			w.host.Crash(id)
			w.runs(id, 2*time.Minute)
		}
		time.Sleep(2 * time.Second)
		w.host.Crash(id)
		time.Sleep(3 * time.Second)
		for _, act := range []cloud.PowerChange{cloud.PowerStop, cloud.PowerStart} {
			if _, err := w.db.PowerInstance(context.Background(), w.root, time.Now(), id, act, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if took := w.runs(id, 2*time.Minute); took > 2*time.Second {
			t.Errorf("a start asked for by the tenant took %s", took)
		}
	})
}

// A start that fails is one attempt, whether or not it is a repair.
func TestAStartThatFailsIsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 3)
		defer w.db.Close()
		defer w.stop()
		w.host.FailNext(sim.CallStart, cloud.Errorf(cloud.CodeGuestFailed, "no"), 3)
		w.host.DestroyByHand(id)
		// At once, then after 1, 2 and 4 s, each up to a fifth longer.
		if took := w.runs(id, time.Minute); took > 10*time.Second {
			t.Errorf("three failed starts took %s", took)
		}
	})
}

// That libvirt was away says nothing of the guests: the first one that ends after
// that is started at once.
func TestAHostThatWasAwayIsNoFailureOfItsGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 4)
		defer w.db.Close()
		defer w.stop()
		w.host.Down(true)
		if _, err := w.db.PowerInstance(context.Background(), w.root, time.Now(), id, cloud.PowerReboot, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		w.host.Down(false)
		time.Sleep(10 * time.Second)
		w.host.DestroyByHand(id)
		time.Sleep(100 * time.Millisecond)
		if took := w.runs(id, 2*time.Minute); took > 2*time.Second {
			t.Errorf("it was started again after %s; %+v", took, w.problem(id))
		}
	})
}
