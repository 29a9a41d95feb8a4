package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
	"lodge/reconcile"
	"lodge/store"
)

// Some days of the whole thing: the real loop with its sweeps every 30 s, the
// real store, the real clock of the ledger and closing of hours, on a pretend
// host in virtual time. The host says when each guest truly began and ended to
// run. As long as somebody is told of everything, what is counted is that, to
// the millisecond. With weather that nobody can see through it is never more,
// and not less by more than was unseen.
//
// A seed replays with: make sim SEED=n
func TestSimulationOfDays(t *testing.T) {
	for _, blind := range []bool{false, true} {
		for _, seed := range seeds(t, fixed(2), 10) {
			name := map[bool]string{false: "told", true: "blind"}[blind]
			t.Run(fmt.Sprintf("%s seed %d", name, seed), func(t *testing.T) {
				replay(t, seed)
				synctest.Test(t, func(t *testing.T) { someDays(t, seed, blind) })
			})
		}
	}
}

// days is one simulated installation with the real loop.
type days struct {
	t     *testing.T
	rand  *rand.Rand
	host  *sim.Host
	path  string
	db    *store.DB
	hid   string
	root  cloud.Caller
	log   io.Writer
	blind bool

	clock struct {
		sync.Mutex
		wall   time.Duration // ahead of what is true
		boot   int
		booted time.Time
	}
	kill func(orderly bool)

	mu       sync.Mutex
	runs     map[string][]run
	asked    map[string]time.Time // deletions
	unseen   time.Duration        // for how long nobody looked
	lines    []line
	n        int
	restarts int
}

// line says how far the ledger's time is ahead of the true one, from a moment of
// the ledger on.
type line struct {
	from  int64
	ahead time.Duration
}

// note keeps the present line.
func (d *days) note(keeper *timekeeper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := keeper.Now()
	if ahead := time.Until(now); len(d.lines) == 0 || d.lines[len(d.lines)-1].ahead != ahead {
		d.lines = append(d.lines, line{now.UnixMilli(), ahead})
	}
}

// truly is the true moment of one of the ledger, in milliseconds. Behind a boot
// the ledger may go on where its last row ended, much later: what ends there
// ended before the boot, and what begins there begins behind it.
func (d *days) truly(at time.Time, end bool) int64 {
	ms, ahead := at.UnixMilli(), d.lines[0].ahead
	for _, l := range d.lines {
		if l.from < ms || l.from == ms && !end {
			ahead = l.ahead
		}
	}
	return at.Add(-ahead).UnixMilli()
}

type run struct {
	from, to      time.Time
	vcpus, memory int64
}

func someDays(t *testing.T, seed uint64, blind bool) {
	d := &days{
		t: t, rand: rand.New(rand.NewPCG(seed, 13)), hid: uuid.NewString(), root: cloud.Caller{Operator: true}, log: io.Discard, blind: blind,
		runs: map[string][]run{}, asked: map[string]time.Time{},
	}
	if os.Getenv("LODGE_SIM_SEED") != "" && testing.Verbose() {
		d.log = os.Stderr
	}
	dir, err := os.MkdirTemp(memoryDir(), "lodge-days-")
	d.must(err)
	defer os.RemoveAll(dir)
	d.path = filepath.Join(dir, "lodge.db")
	d.clock.booted, d.clock.wall = time.Now(), time.Duration(d.rand.IntN(100*24*3600*1000))*time.Millisecond
	d.host = sim.New(sim.Options{Now: time.Now, Seed: seed, Latency: sim.Realistic(), Life: d.life})
	d.open()
	defer func() { d.must(d.db.Close()) }()
	d.lodged()
	acts := 250
	if testing.Short() { // beside the race detector
		acts = 60
	}
	for range acts {
		d.act()
		d.weather()
		time.Sleep(time.Duration(d.rand.ExpFloat64() * float64(8*time.Minute)).Truncate(time.Millisecond))
	}
	d.host.Down(false)
	d.host.LoseEvents(false)
	time.Sleep(3 * time.Hour)
	d.kill(true)
	d.check()
}

func (d *days) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// life hears from the host what truly runs.
func (d *days) life(id string, spec *cloud.GuestSpec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if spec != nil {
		d.runs[id] = append(d.runs[id], run{from: time.Now(), vcpus: int64(spec.VCPUs), memory: int64(spec.MemoryMiB)})
		return
	}
	d.runs[id][len(d.runs[id])-1].to = time.Now()
}

func (d *days) read() (meter.Tick, error) {
	d.clock.Lock()
	defer d.clock.Unlock()
	now := time.Now()
	return meter.Tick{Wall: now.Add(d.clock.wall), BootID: fmt.Sprint(d.clock.boot), Boot: now.Sub(d.clock.booted) + time.Minute}, nil
}

func (d *days) open() {
	var err error
	d.db, err = store.Open(d.path)
	d.must(err)
	ctx, now := context.Background(), time.Now().Add(d.clock.wall)
	host, err := d.host.Describe(ctx)
	d.must(err)
	host.ID, host.VCPURatio = d.hid, 64
	d.must(d.db.RegisterHost(ctx, now, host))
	def, err := d.db.EnsureInstallation(ctx, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	d.must(err)
	img, err := d.db.CreateImage(ctx, d.root, now, cloud.NewImage{
		ID: uuid.NewString(), TenantID: def.ID, Name: "debian", Public: true, Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
	})
	d.must(err)
	info, err := d.host.ImportImage(ctx, img, strings.NewReader(strings.Repeat("\x00", 510)+"\x55\xaa"), func(int64) {})
	d.must(err)
	d.must(d.db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &info}))
}

// dying is the store of a lodged that can be killed: from then on it takes
// nothing from it.
type dying struct {
	clocked
	days *days
	dead *atomic.Bool
}

var errKilled = fmt.Errorf("killed")

func (d dying) alive(f func() error) error {
	if d.dead.Load() {
		return errKilled
	}
	return f()
}

func (d dying) RecordInstance(ctx context.Context, r cloud.InstanceRecord) error {
	return d.alive(func() error { return d.clocked.RecordInstance(ctx, r) })
}

func (d dying) RecordNetwork(ctx context.Context, now time.Time, id string, p *cloud.Problem, gone bool) error {
	return d.alive(func() error { return d.clocked.RecordNetwork(ctx, now, id, p, gone) })
}

func (d dying) Heartbeat(ctx context.Context, h string, at time.Time) error {
	defer d.days.note(d.keeper)
	return d.alive(func() error { return d.clocked.Heartbeat(ctx, h, at) })
}

func (d dying) RecordHostProblem(ctx context.Context, h string, now time.Time, p *cloud.Problem) error {
	return d.alive(func() error { return d.clocked.RecordHostProblem(ctx, h, now, p) })
}

// lodged starts a process on the old file; d.kill ends it, in order or at once.
func (d *days) lodged() {
	ctx, cancel := context.WithCancel(context.Background())
	keeper, err := newTimekeeper(ctx, d.db, d.hid, d.read, discard())
	d.must(err)
	var dead atomic.Bool
	d.note(keeper)
	s := dying{clocked{d.db, keeper}, d, &dead}
	loop := reconcile.New(reconcile.Options{
		HostID: d.hid, Guests: d.host, Disks: d.host, Nets: d.host, Instances: s, Networks: s, Images: s, Hosts: s,
		Bell: d.db.Bell(), Now: keeper.Now, Log: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	keeper.settled = loop.Settled
	var wg sync.WaitGroup
	wg.Go(func() { _ = loop.Run(ctx) })
	wg.Go(func() { (&meter.Closer{Books: d.db, Now: keeper.Now, Log: discard()}).Run(ctx) })
	d.kill = func(orderly bool) { dead.Store(!orderly); cancel(); wg.Wait() }
}

// ledgerNow is the time that an API call would bear.
func (d *days) ledgerNow() time.Time {
	saved, known, err := d.db.Clock(context.Background(), d.hid)
	d.must(err)
	tick, _ := d.read()
	return meter.Time(meter.Begin(saved, known, tick), tick)
}

func (d *days) live() []cloud.Instance {
	items, _, err := d.db.Instances(context.Background(), d.root, cloud.Filter{}, cloud.Page{Limit: 500})
	d.must(err)
	return items
}

// act is one thing that a tenant asks for.
func (d *days) act() {
	ctx, now, all := context.Background(), d.ledgerNow(), d.live()
	var err error
	if len(all) < 4 || len(all) < 30 && d.rand.IntN(8) == 0 {
		d.n++
		_, err = d.db.CreateInstance(ctx, d.root, now, cloud.NewInstance{
			ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), Name: fmt.Sprintf("vm%d", d.n),
			TenantID: d.tenant(), VCPUs: 1 + d.rand.IntN(4), MemoryMiB: 256 << d.rand.IntN(4), Stopped: d.rand.IntN(5) == 0,
		})
	} else {
		i := all[d.rand.IntN(len(all))]
		force := d.rand.IntN(2) == 0
		switch d.rand.IntN(12) {
		case 0, 1:
			_, err = d.db.PowerInstance(ctx, d.root, now, i.ID, cloud.PowerStop, force)
		case 2, 3, 4, 5:
			_, err = d.db.PowerInstance(ctx, d.root, now, i.ID, cloud.PowerStart, force)
		case 6:
			_, err = d.db.PowerInstance(ctx, d.root, now, i.ID, cloud.PowerReboot, force)
		case 7, 8, 9:
			v := 1 + d.rand.IntN(4)
			_, err = d.db.UpdateInstance(ctx, d.root, now, i.ID, cloud.InstanceChange{VCPUs: &v})
		case 10:
			d.mu.Lock()
			if d.asked[i.ID].IsZero() {
				d.asked[i.ID] = time.Now()
			}
			d.mu.Unlock()
			_, err = d.db.DeleteInstance(ctx, d.root, now, i.ID)
		}
	}
	if code := cloud.CodeOf(err); err != nil && code != cloud.CodeConflict && code != cloud.CodeNotFound {
		d.t.Errorf("a tenant was told %v", err)
	}
}

func (d *days) tenant() string {
	all, _, err := d.db.Tenants(context.Background(), d.root, cloud.Filter{}, cloud.Page{Limit: 10})
	d.must(err)
	return all[0].ID
}
