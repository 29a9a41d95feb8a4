package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

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

// pass lets time pass for both clocks, at once.
func (c *turned) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
	c.since = c.since.Add(-d)
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

// A daemon whose wall clock is set forward by most of an hour and two hours back counts what
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

	clocks.set(50 * time.Minute)
	await(t, "a step forward", func() bool { return len(steps(t, c)) == 1 })
	if off := time.Until(s.cfg.Now()); off < 49*time.Minute || off > 51*time.Minute {
		t.Errorf("the time is %v ahead", off)
	}
	clocks.set(-2 * time.Hour)
	await(t, "a step back", func() bool { return len(steps(t, c)) == 2 })
	if off := time.Until(s.cfg.Now()); off < 49*time.Minute {
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
	v, err := c.VerifyUsage(ctx, "")
	if err != nil || v.Wrong != 0 {
		t.Errorf("verify: %v %+v", err, v)
	}
	if e := steps(t, c); len(e) != 2 {
		t.Errorf("the events are %q", e)
	}
	s.stop()
}

// hostProblem is the problem of the only host, "" for none.
func hostProblem(t *testing.T, c *client.Client) string {
	t.Helper()
	hosts, err := c.Hosts(context.Background())
	if err != nil || len(hosts) != 1 {
		t.Fatal(len(hosts), err)
	}
	if p := hosts[0].Problem; p != nil {
		return p.Code
	}
	return ""
}

// A clock that is 400 days ahead for some seconds takes nothing along; one that
// stays a day ahead does after ten minutes. The operator sees both.
func TestADaemonWhoseClockIsWrongForAMoment(t *testing.T) {
	clocks := &turned{boot: "one", since: time.Now().Add(-time.Hour)}
	s := start(t, t.TempDir(), func(c *Config) { c.Clocks, c.SweepEvery = clocks.read, 50*time.Millisecond })
	c := s.operatorClient()
	s.running(c, "web1")
	ahead := func() time.Duration { return time.Until(s.cfg.Now()) }

	clocks.set(400 * 24 * time.Hour)
	await(t, "a host with a problem", func() bool { return hostProblem(t, c) == "clock_stepped" })
	time.Sleep(2500 * time.Millisecond) // tens of looks
	if off := ahead(); off > time.Minute {
		t.Fatalf("the ledger is %v ahead", off)
	}
	if in, err := c.Instances(context.Background(), client.Query{}); err != nil || len(in.Items) != 1 || in.Items[0].Problem != nil {
		t.Errorf("the instances have a problem: %v %+v", err, in.Items)
	}
	clocks.set(-400 * 24 * time.Hour)
	await(t, "a host without a problem", func() bool { return hostProblem(t, c) == "" })
	if off := ahead(); off > time.Minute || len(steps(t, c)) != 0 {
		t.Fatalf("the ledger is %v ahead: %v", off, steps(t, c))
	}

	clocks.set(24*time.Hour - 10*time.Second)
	await(t, "a host with a problem again", func() bool { return hostProblem(t, c) == "clock_stepped" })
	if hosts, err := c.Hosts(context.Background()); err != nil || !strings.Contains(hosts[0].Problem.Message, " is 24h0m0s ahead") {
		t.Errorf("%v: a day ahead is told as %q", err, hosts[0].Problem.Message)
	}
	clocks.pass(11 * time.Minute)
	await(t, "a step that stands", func() bool { return len(steps(t, c)) == 1 && hostProblem(t, c) == "" })
	if off := ahead(); off < 24*time.Hour || off > 25*time.Hour {
		t.Errorf("the time is %v ahead", off)
	}
	v, err := c.VerifyUsage(context.Background(), "")
	if err != nil || v.Wrong != 0 {
		t.Errorf("verify: %v %+v", err, v)
	}
	s.stop()
}

// A machine that keeps no time begins long ago. Where nothing was ever counted any
// step is followed at once, and none far forward as soon as something was.
func TestAClockThatWasNotKept(t *testing.T) {
	clocks := &turned{boot: "one", since: time.Now().Add(-time.Hour), wall: -20 * 365 * 24 * time.Hour}
	s := start(t, t.TempDir(), func(c *Config) { c.Clocks, c.SweepEvery = clocks.read, 50*time.Millisecond })
	c := s.operatorClient()
	clocks.set(10 * 365 * 24 * time.Hour)
	await(t, "a step of ten years", func() bool { return len(steps(t, c)) == 1 })
	s.running(c, "web1")
	clocks.set(10 * 365 * 24 * time.Hour)
	await(t, "a problem", func() bool { return hostProblem(t, c) == "clock_stepped" })
	s.stop()
}

// countImage has something that is metered.
func countImage(t *testing.T, db *store.DB, at time.Time) {
	t.Helper()
	ctx := context.Background()
	def, err := db.EnsureInstallation(ctx, at, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	img, err := db.CreateImage(ctx, cloud.Caller{Operator: true}, at, cloud.NewImage{ID: uuid.NewString(), TenantID: def.ID, Name: "debian", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.RecordImage(ctx, at, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 1 << 20, VirtualSize: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
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
	count := func() { countImage(t, db, k.Now()) }
	clocks.set(-2 * time.Hour)
	k = open()
	if d := k.Now().Sub(last); d < 0 || d > 5*time.Second {
		t.Errorf("behind a restart with a clock set back %v have passed", d)
	}
	clocks.set(26 * time.Hour)
	count()
	k = open()
	beat()
	if d := k.Now().Sub(last); d > 5*time.Second {
		t.Errorf("a clock set forward by a day is followed at once: %v have passed", d)
	}
	k = open()
	k.trust = true
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

// An anchor that somebody has moved ahead is found, and refused by the next start.
func TestAnAnchorThatWasChangedIsRefused(t *testing.T) {
	ctx := context.Background()
	clocks := &turned{boot: "one", since: time.Now().Add(-time.Hour)}
	db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	if err := db.RegisterHost(ctx, now, cloud.Host{Meta: cloud.Meta{ID: "rack1"}, Name: "rack1", VCPUs: 4, MemoryMiB: 4096, StartedAt: now}); err != nil {
		t.Fatal(err)
	}
	findings := func() (out []meter.Finding) {
		t.Helper()
		err := db.ReadLedger(ctx, func(l cloud.Ledger) error {
			r, err := meter.Verify(l)
			out = r.Findings
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, ahead := range []time.Duration{0, 20 * time.Minute, 100 * 24 * time.Hour} {
		tick, _ := clocks.read()
		if err := db.Beat(ctx, "rack1", now, cloud.ClockAnchor{BootID: tick.BootID, Boot: tick.Boot, At: now.Add(ahead)}); err != nil {
			t.Fatal(err)
		}
		if f := findings(); (len(f) == 1 && f[0].Check == meter.CheckClock) != (ahead > 0) || len(f) > 1 {
			t.Errorf("%v ahead, and verify finds %+v", ahead, f)
		}
		k, err := newTimekeeper(ctx, db, "rack1", clocks.read, discard())
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(k.Now()); off.Abs() > time.Minute {
			t.Errorf("%v ahead, and the ledger begins %v ahead", ahead, off)
		}
		if f := findings(); len(f) != 0 {
			t.Errorf("behind the start verify finds %+v", f)
		}
	}
}

// Whoever has changed the time that is kept, alone or with the last look, wins no time
// and has none run once more: neither does a moment that is given to it.
func TestATimeThatWasChangedLeadsNowhere(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		change func(a *cloud.ClockAnchor, beat *time.Time)
		named  bool // by verify without the machine's clocks
	}{
		"since boot, back":               {func(a *cloud.ClockAnchor, _ *time.Time) { a.Boot -= 3 * day }, false},
		"since boot, ahead of this boot": {func(a *cloud.ClockAnchor, _ *time.Time) { a.Boot += 300 * day }, false},
		"with the last look, ahead":      {func(a *cloud.ClockAnchor, beat *time.Time) { a.At, *beat = a.At.Add(3*day), beat.Add(3*day) }, false},
		"back":                           {func(a *cloud.ClockAnchor, _ *time.Time) { a.At = a.At.Add(-3 * day) }, true},
		"back by 20 minutes":             {func(a *cloud.ClockAnchor, _ *time.Time) { a.At = a.At.Add(-20 * time.Minute) }, true},
		"with the last look, back":       {func(a *cloud.ClockAnchor, beat *time.Time) { a.At, *beat = a.At.Add(-3*day), beat.Add(-3*day) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			clocks := &turned{boot: "one", since: time.Now().Add(-100 * day)}
			db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			now := time.Now()
			if err := db.RegisterHost(ctx, now.Add(-4*day), cloud.Host{Meta: cloud.Meta{ID: "rack1"}, Name: "rack1", VCPUs: 4, MemoryMiB: 4096, StartedAt: now}); err != nil {
				t.Fatal(err)
			}
			countImage(t, db, now.Add(-2*time.Hour))
			last := now.UTC().Truncate(time.Hour)
			if err := db.Beat(ctx, "rack1", now, cloud.ClockAnchor{}); err != nil {
				t.Fatal(err)
			}
			for next, _, err := db.NextHour(ctx); next.Before(last); next, _, err = db.NextHour(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				if err := db.CloseHour(ctx, now, next, meter.Hour); err != nil {
					t.Fatal(err)
				}
			}
			tick, _ := clocks.read()
			anchor, beat := cloud.ClockAnchor{BootID: tick.BootID, Boot: tick.Boot, At: now}, now
			c.change(&anchor, &beat)
			if err := db.Beat(ctx, "rack1", beat, anchor); err != nil {
				t.Fatal(err)
			}
			found := func(tick *meter.Tick) (n int) {
				t.Helper()
				err := db.ReadLedger(ctx, func(l cloud.Ledger) error {
					r, err := meter.Verify(l)
					if tick != nil {
						r, err = meter.VerifyOn(*tick, l)
					}
					for _, f := range r.Findings {
						if f.Check != meter.CheckClock {
							t.Errorf("verify finds %+v", f)
						}
					}
					n = len(r.Findings)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := found(nil); (n > 0) != c.named {
				t.Errorf("verify without clocks finds %d", n)
			}
			if n := found(&tick); n != 1 {
				t.Errorf("verify with clocks finds %d", n)
			}
			k, err := newTimekeeper(ctx, db, "rack1", clocks.read, discard())
			if err != nil {
				t.Fatal(err)
			}
			off := time.Until(k.Now())
			if off > time.Minute {
				t.Errorf("time begins %v ahead", off)
			}
			if k.Now().Before(last) {
				t.Errorf("time begins at %v, and hours are closed until %v", k.Now(), last)
			}
			if k.problem.Load() == nil {
				t.Error("no problem is shown")
			}
			if err := k.Heartbeat(ctx, "rack1", k.Now()); err != nil {
				t.Fatal(err)
			}
			tick, _ = clocks.read()
			if n := found(&tick); n != 0 {
				t.Errorf("behind the start verify finds %d", n)
			}
		})
	}
}
