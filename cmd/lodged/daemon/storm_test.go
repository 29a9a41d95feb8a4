package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
	"lodge/reconcile"
	"lodge/reconcile/failpoint"
	"lodge/store"
	"lodge/timetable"
)

// Nothing is lost: the real store on a real file, the real loop, the real clocks
// and keepers, on a pretend host in virtual time. Three tenants and the operator
// ask for things at random and side by side, while the host fails, lies, forgets
// and is tampered with, and lodged is killed, also between a step and its record.
// What must hold at every moment is checked behind every record, the ledger behind
// every death; when the weather has ended, wanted equals seen, and when everything
// is deleted, nothing is left.
//
// A seed replays with: make sim SIM=Storms SEED=n. From the seed come the weather,
// the wishes, all ids but those of lodge's own rows, and all pauses. It does not say
// which of two goroutines comes first at the same moment of virtual time, and
// synctest draws lots among timers of one moment. The host's calls are kept apart
// for that; the pauses of 5 s while it is away, its broken link, which all calls
// under way hear of, and the sweeps and keepers, which begin together, are not. So a
// second run can take another turn, and a failure that hangs on such a moment may
// need some runs of its seed: LODGE_SIM_SEED=n go test -count=20 -run Storms. With
// GOMAXPROCS=1 fewer of them differ.
func TestSimulationOfStorms(t *testing.T) {
	was := debug.SetGCPercent(400) // a storm keeps little, and makes much that is not kept
	t.Cleanup(func() { debug.SetGCPercent(was) })
	for _, seed := range seeds(t, fixed(10), 1) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			replay(t, seed)
			if os.Getenv("LODGE_SIM_RUNS") != "" {
				t.Parallel()
			}
			synctest.Test(t, func(t *testing.T) { aStorm(t, seed) })
		})
	}
}

// busyTimeout is how long lodged waits for another process that writes to its
// file: in true time, so not for long.
const busyTimeout = 5 * time.Millisecond

// storm is one simulated installation.
type storm struct {
	t    *testing.T
	rand *rand.Rand // the weather's
	seed uint64
	host *sim.Host
	dir  string
	hid  string
	root cloud.Caller
	log  *slog.Logger

	clock struct {
		sync.Mutex
		wall   time.Duration // ahead of what is true
		drift  float64       // seconds gained in a second
		boot   int
		booted time.Time
	}

	// api is held for writing while nobody can ask for anything: lodged is down.
	api   sync.RWMutex
	db    *store.DB
	files int
	// beside reads the file that db has open.
	beside *sql.DB
	seen   atomic.Pointer[sight] // the last that was seen of it
	now    func() time.Time      // the ledger's; of the lodged that is up

	proc *process // the lodged that is up

	mu       sync.Mutex
	made     map[string]string      // every instance that a tenant was promised -> its tenant
	removed  map[string]bool        // whose deletion was promised
	hurt     map[string]string      // whose root disk a hand has deleted -> the disk
	power    map[string]cloud.Power // the last wish of a tenant that was taken
	shut     map[string]bool        // whose guest has shut itself down since: that is a wish, too
	latest   string                 // of them
	odd      map[string]time.Time   // whose kept power is not the promised one -> since when
	labelled map[string]bool        // who has, or had, what a schedule or a budget means
	itself   map[string]bool        // whose wish is anybody's by now
	edited   map[string]bool        // whose definition a hand has changed or removed
	keys     map[string]string      // the SSH key of each instance
	images   map[string]string      // every image that was promised -> what its URL gives
	lost     map[string]bool        // images whose file a hand has deleted
	tenants  []string
	passing  []string          // tenants that come and go
	broken   map[string]bool   // invariants that were reported
	right    map[string]string // rows of a tenant whose quotas were right

	// meddler is asked between a look and its record.
	meddling sync.Mutex
	meddler  *person

	busy, offline       atomic.Bool // another process writes to the file; nobody has images
	checks, kills, acts atomic.Int64
}

// process is one life of lodged.
type process struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	dead   atomic.Bool
	fuse   atomic.Int64            // points until it dies; 0: it does not
	at     atomic.Pointer[string]  // only points of this name burn the fuse
	refuse atomic.Pointer[refusal] // what the store says to records
}

type refusal struct{ err error }

func aStorm(t *testing.T, seed uint64) {
	w := &storm{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 17)), root: cloud.Caller{Operator: true}, log: discard(),
		made: map[string]string{}, removed: map[string]bool{}, hurt: map[string]string{}, power: map[string]cloud.Power{}, shut: map[string]bool{}, odd: map[string]time.Time{}, labelled: map[string]bool{},
		itself: map[string]bool{}, edited: map[string]bool{}, keys: map[string]string{}, images: map[string]string{}, lost: map[string]bool{}, broken: map[string]bool{}, right: map[string]string{},
	}
	if os.Getenv("LODGE_SIM_SEED") != "" && testing.Verbose() {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	w.dir, err = os.MkdirTemp(memoryDir(), "lodge-storm-")
	w.must(err)
	defer os.RemoveAll(w.dir)
	w.hid, w.clock.booted = w.id(), time.Now()
	latency := sim.Realistic()
	latency.Apart = true
	w.host = sim.New(sim.Options{Now: time.Now, Seed: seed, Latency: latency})
	w.host.AddForeign(foreigner, "pets")
	w.open()
	defer func() { w.must(w.beside.Close()); w.must(w.db.Close()) }()
	w.prepare()
	w.meddler = w.person(90)
	w.start()
	defer func() { w.stop(true) }()

	steps := 40
	if testing.Short() { // beside the race detector
		steps = 15
	}
	var people sync.WaitGroup
	asks := func(p *person, act func()) {
		people.Go(func() {
			for range steps {
				act()
				pause := time.Duration(p.r.ExpFloat64() * float64(40*time.Second))
				if p.regret != "" {
					pause = min(pause, 3*time.Second)
				}
				time.Sleep(pause.Truncate(time.Millisecond))
			}
		})
	}
	for n := range w.tenants {
		p := w.person(n)
		asks(p, p.act)
	}
	operator := w.person(50)
	asks(operator, operator.operate)
	over := make(chan struct{})
	go func() { people.Wait(); close(over) }()
	w.storms(over)
	w.calm()
	w.settled()
	w.empty()
	w.audit()
	t.Logf("%d acts, %d deaths of lodged, %d checks, %d instances, %s with UEFI, %s stopped by schedules", w.acts.Load(), w.kills.Load(), w.checks.Load(), len(w.made),
		w.rows(`SELECT count(*) FROM instance WHERE firmware = 'uefi'`)[0],
		w.rows(`SELECT count(*) FROM event WHERE message LIKE 'The schedule % stops the instance %'`)[0])
}

func (w *storm) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *storm) file() string { return filepath.Join(w.dir, fmt.Sprintf("lodge-%d.db", w.files)) }

func (w *storm) read() (meter.Tick, error) {
	w.clock.Lock()
	defer w.clock.Unlock()
	now := time.Now()
	up := now.Sub(w.clock.booted)
	wall := now.Add(w.clock.wall + time.Duration(float64(up)*w.clock.drift))
	return meter.Tick{Wall: wall, BootID: fmt.Sprint(w.clock.boot), Boot: up + time.Minute}, nil
}

// prepare makes the host, the tenants, the image and what acts by itself.
func (w *storm) prepare() {
	ctx, now := context.Background(), time.Now()
	host, err := w.host.Describe(ctx)
	w.must(err)
	host.ID, host.VCPURatio = w.hid, 64
	w.must(w.db.RegisterHost(ctx, now, host))
	def, err := w.db.EnsureInstallation(ctx, now, cloud.NewTenant{ID: w.id(), NetworkID: w.id(), SubnetID: w.id()})
	w.must(err)
	w.tenants = []string{def.ID}
	for _, name := range []string{"acme", "beta"} {
		other, err := w.db.CreateTenant(ctx, w.root, now, cloud.NewTenant{ID: w.id(), NetworkID: w.id(), SubnetID: w.id(), Name: name})
		w.must(err)
		w.tenants = append(w.tenants, other.ID)
	}
	seven := int64(7)
	w.must(w.db.SetQuotas(ctx, w.root, now, w.tenants[1], map[cloud.Resource]*int64{cloud.ResourceInstances: &seven}))
	for _, n := range []cloud.NewImage{{Name: "debian", Default: true, Firmware: cloud.FirmwareBIOS}, {Name: "uefi", Firmware: cloud.FirmwareUEFI}} {
		n.ID, n.TenantID, n.Public, n.Source, n.Protected = w.id(), def.ID, true, cloud.SourceUpload, true
		img, err := w.db.CreateImage(ctx, w.root, now, n)
		w.must(err)
		info, err := w.host.ImportImage(ctx, img, strings.NewReader(strings.Repeat("\x00", 510)+"\x55\xaa"), func(int64) {})
		w.must(err)
		w.must(w.db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &info}))
	}
	_, err = w.db.CreatePrice(ctx, w.root, now, cloud.Price{ID: w.id(), Meter: cloud.MeterVCPU, UnitPrice: "1", Currency: "EUR"}, false)
	w.must(err)
	for _, tenant := range w.tenants {
		_, err = w.db.CreateSchedule(ctx, w.root, now, cloud.Schedule{
			ID: w.id(), TenantID: tenant, Name: "naps", Selector: "nap=yes", Stop: "*/20 * * * *", Start: "7-59/20 * * * *", Zone: "UTC", Enabled: true,
		})
		w.must(err)
	}
}

func (w *storm) id() string { return named(w.rand) }

// start starts a lodged on the files that are there.
func (w *storm) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cancel: cancel}
	keeper, err := newTimekeeper(ctx, w.db, w.hid, w.read, discard())
	w.must(err)
	s := clocked{w.db, keeper}
	loop := reconcile.New(failpoint.Wrap(reconcile.Options{
		HostID: w.hid, Guests: w.host, Ends: w.host, Counters: w.host, Disks: w.host, Nets: w.host, Strays: w.host,
		Fetcher: fetcher{w}, Instances: s, Networks: s, Images: s, Hosts: s, Traffic: s, Restores: s, Bell: w.db.Bell(),
		Now: keeper.Now, Skew: keeper.Skew, Log: w.log,
	}, func(at failpoint.Point) error { return w.point(p, at) }))
	keeper.settled = loop.Settled
	p.wg.Go(func() { _ = loop.Run(ctx) })
	p.wg.Go(func() { (&meter.Closer{Books: w.db, Now: keeper.Now, Log: discard()}).Run(ctx) })
	p.wg.Go(func() { (&meter.Keeper{Purse: w.db, Now: keeper.Now, Log: discard()}).Run(ctx) })
	p.wg.Go(func() { (&timetable.Runner{Board: w.db, Now: keeper.Now, Log: discard()}).Run(ctx) })
	w.now, w.proc = keeper.Now, p
}

// point is every place before and behind a call of the loop.
func (w *storm) point(p *process, at failpoint.Point) error {
	record := strings.HasPrefix(at.Call, "Record") || at.Call == "Heartbeat" || at.Call == "ImageProgress"
	if only := p.at.Load(); p.fuse.Load() > 0 && (only == nil || *only == at.String()) && p.fuse.Add(-1) == 0 {
		p.dead.Store(true)
		p.cancel()
	}
	if p.dead.Load() {
		return errKilled
	}
	if r := p.refuse.Load(); r != nil && record && !at.After {
		return r.err
	}
	if at.Call == "RecordInstance" && !at.After && w.meddling.TryLock() {
		w.meddler.meddle()
		w.meddling.Unlock()
	}
	if record && at.After {
		w.hold()
	}
	return nil
}

// stop ends lodged: in order, or as kill -9 does. It returns when nothing of it
// is left. Nobody can ask for anything until up.
func (w *storm) stop(orderly bool) {
	if !orderly {
		w.proc.dead.Store(true)
		w.kills.Add(1)
	}
	w.proc.cancel()
	w.proc.wg.Wait()
}

// again starts lodged again behind a death, on an image of the files as the dead
// process left them: its write-ahead log was not folded in.
func (w *storm) again() {
	old, from := w.db, w.file()
	w.files++
	for _, tail := range []string{"", "-wal"} {
		w.must(copied(from+tail, w.file()+tail))
	}
	w.must(old.Close())
	w.must(w.beside.Close()) // last, and it cannot write: nobody folds in a log for nothing
	for _, tail := range []string{"", "-wal", "-shm"} {
		w.must(os.Remove(from + tail))
	}
	w.open()
	w.audit() // nobody writes just now
	w.start()
}

func copied(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (w *storm) open() {
	var err error
	w.db, err = store.OpenWith(w.file(), store.Options{BusyTimeout: busyTimeout})
	w.must(err)
	w.beside, err = sql.Open("sqlite3", "file:"+w.file()+"?mode=ro&_busy_timeout=5000&_stmt_cache_size=100")
	w.must(err)
	w.beside.SetMaxOpenConns(1)
	w.seen.Store(nil) // versions are of a connection
}
