package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lodge/api/client"
	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// turned are this machine's clocks, with a wall clock that a test sets.
type turned struct {
	mu    sync.Mutex
	wall  time.Duration
	boot  string
	since time.Time
}

func (c *turned) read() (meter.Tick, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return meter.Tick{Wall: now.Add(c.wall), BootID: c.boot, Boot: now.Sub(c.since)}, nil
}

func (c *turned) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += by
}

// steps are the events of steps of the clock, the newest last.
func steps(t *testing.T, c *client.Client) (out []string) {
	t.Helper()
	events, err := c.Events(context.Background(), client.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Type == "host.clock_step" {
			out = append(out, e.Message)
		}
	}
	return out
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// A daemon whose wall clock is set a day forward and two hours back counts what
// truly passed, says so, and its ledger verifies.
func TestADaemonWhoseClockIsSet(t *testing.T) {
	clocks := &turned{boot: "one", since: time.Now().Add(-time.Hour)}
	s := start(t, t.TempDir(), func(c *Config) { c.Clocks, c.SweepEvery = clocks.read, 100*time.Millisecond })
	c := s.operatorClient()
	before := time.Now()
	in := s.running(c, "web1")
	began := time.Now()
	time.Sleep(300 * time.Millisecond)
	ctx := context.Background()

	clocks.set(24 * time.Hour)
	await(t, "a step forward", func() bool { return len(steps(t, c)) == 1 })
	if off := time.Until(s.cfg.Now()); off < 23*time.Hour || off > 25*time.Hour {
		t.Errorf("the time is %v ahead", off)
	}
	clocks.set(-2 * time.Hour)
	await(t, "a step back", func() bool { return len(steps(t, c)) == 2 })
	if off := time.Until(s.cfg.Now()); off < 23*time.Hour {
		t.Errorf("the time was set back, it is %v ahead", off)
	}
	time.Sleep(300 * time.Millisecond)
	now := s.cfg.Now()
	u, err := c.Usage(ctx, client.UsageQuery{Instance: in.ID, From: before.Add(-time.Hour).UTC().Format(time.RFC3339), To: now.Add(time.Hour).UTC().Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	ran := time.Since(began)
	var ms int64
	if _, err := fmt.Sscan(u.Tenants[0].Instances[0].InstanceMS, &ms); err != nil {
		t.Fatal(err)
	}
	// It began at some moment while its creation was waited for.
	if got := time.Duration(ms) * time.Millisecond; got < ran-time.Second || got > time.Since(before) {
		t.Errorf("%v are counted, and it has run for %v", got, ran)
	}
	v, err := c.VerifyUsage(ctx)
	if err != nil || v.Wrong != 0 {
		t.Errorf("verify: %v %+v", err, v)
	}
	if e := steps(t, c); len(e) != 2 {
		t.Errorf("the events are %q", e)
	}
	s.stop()
}

// A restart within a boot goes on with the ledger's time although the wall clock
// was set meanwhile. Behind a boot the time in which the host was off is
// nobody's. The pretend host's database does not outlive its daemon, so this is
// the daemon's clock on a database that does.
func TestTheClockBehindARestartAndABoot(t *testing.T) {
	ctx := context.Background()
	clocks := &turned{boot: "one", since: time.Now().Add(-time.Hour)}
	db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	open := func() *timekeeper {
		t.Helper()
		k, err := newTimekeeper(ctx, db, "rack1", clocks.read, discard())
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	if err := db.RegisterHost(ctx, k.Now(), cloud.Host{Meta: cloud.Meta{ID: "rack1"}, Name: "rack1", VCPUs: 4, MemoryMiB: 4096, StartedAt: k.Now()}); err != nil {
		t.Fatal(err)
	}
	beat := func() time.Time {
		t.Helper()
		at := k.Now()
		if err := k.Heartbeat(ctx, "rack1", at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	last := beat()
	clocks.set(-2 * time.Hour)
	k = open()
	if d := k.Now().Sub(last); d < 0 || d > 5*time.Second {
		t.Errorf("behind a restart with a clock set back %v have passed", d)
	}
	clocks.set(26 * time.Hour)
	k = open()
	if d := k.Now().Sub(last); d > 5*time.Second {
		t.Errorf("behind a restart with a clock set forward %v have passed", d)
	}
	beat() // now it is followed
	if d := k.Now().Sub(last); d < 23*time.Hour || d > 25*time.Hour {
		t.Errorf("a clock set forward by a day: %v have passed", d)
	}
	last = beat()
	clocks.boot, clocks.since = "two", time.Now()
	clocks.set(-3 * time.Hour) // its clock is behind
	k = open()
	if d := k.Now().Sub(last); d < 0 || d > 5*time.Second {
		t.Errorf("behind a boot with a clock that is behind %v have passed", d)
	}
	last = beat()
	clocks.boot, clocks.since = "three", time.Now()
	clocks.set(9 * time.Hour)
	k = open()
	if d := k.Now().Sub(last); d < 5*time.Hour || d > 7*time.Hour {
		t.Errorf("behind a boot with a clock that is ahead %v have passed", d)
	}
	var cut, back int
	err = db.ReadLedger(ctx, func(l cloud.Ledger) error {
		if err := l.Steps(func(s cloud.ClockStep) error {
			if s.Adopted {
				cut++
			} else {
				back++
			}
			return nil
		}); err != nil {
			return err
		}
		r, err := meter.Verify(l)
		if r.Wrong != 0 {
			t.Errorf("verify: %+v", r.Findings)
		}
		return err
	})
	if err != nil || cut < 2 || back < 1 {
		t.Errorf("%d steps were followed and %d were not: %v", cut, back, err)
	}
}
