package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the process, wherever the test runs

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// A year of an installation: the real store on a real file, the real clock of
// the ledger and the real closing of hours, on a machine whose clocks the test
// turns. Instances live at random; guests, lodged, libvirt and the host die at
// random; the wall clock is set at random. What reconcile does is replayed by
// hand here (yearloop_test.go), for a million sweeps of a real loop would take
// hours; looks that find nothing new are left out but for one an hour and the
// last one before something goes wrong. The real loop is in the simulation of
// days beside it.
//
// An oracle (oracle_test.go), which shares no arithmetic with lodge, knows what
// was true.
//
// A seed replays with: make sim SEED=n
func TestSimulationOfAYear(t *testing.T) {
	span, lives := 366*24*time.Hour, 200
	if testing.Short() { // beside the race detector
		span, lives = 30*24*time.Hour, 60
	}
	for _, seed := range seeds(t, 1, 100) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			newYear(t, seed, leapYear, span, lives).run()
		})
	}
}

// The same around a leap day and the days on which clocks change for summer,
// shorter, and so with more seeds.
func TestSimulationOfWeeks(t *testing.T) {
	for _, seed := range seeds(t, fixed(3), 1) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			newYear(t, seed, leapDay, 20*24*time.Hour, 40).run()
		})
	}
}

// fixed is how many of n fixed seeds are run.
func fixed(n int) int {
	if testing.Short() {
		return 1
	}
	return n
}

// seeds are n fixed seeds, or as many random ones as LODGE_SIM_RUNS asks for,
// divided by share, or the one to replay.
func seeds(t *testing.T, n, share int) (out []uint64) {
	t.Helper()
	first := uint64(1)
	if s := os.Getenv("LODGE_SIM_RUNS"); s != "" {
		runs, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		n, first = max(1, runs/share), rand.Uint64()>>1
	}
	if s := os.Getenv("LODGE_SIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n, first = 1, seed
	}
	for i := range n {
		out = append(out, first+uint64(i))
	}
	return out
}

// replay says after a failure how it is seen again.
func replay(t *testing.T, seed uint64) {
	t.Cleanup(func() {
		if t.Failed() {
			name, _, _ := strings.Cut(t.Name(), "/")
			t.Logf("replay with: make sim SIM=%s SEED=%d ZONE=%s", name, seed, zone)
		}
	})
}

// zone is the time zone of this test's process, which must not matter: one with a
// summer time of half an hour, or what LODGE_SIM_ZONE says. It is set before
// anything else runs, for all of a process read it without a lock.
var zone = cmp.Or(os.Getenv("LODGE_SIM_ZONE"), "Australia/Lord_Howe")

func init() {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	time.Local = loc
}

// clocks are the clocks of a machine that a test turns.
type clocks struct {
	now   time.Duration // what truly passed since the beginning
	boot  int
	since time.Duration // when it booted
	wall  time.Time     // what the wall clock would show at the beginning
}

func (c *clocks) read() (meter.Tick, error) {
	return meter.Tick{Wall: c.wall.Add(c.now), BootID: fmt.Sprintf("boot-%d", c.boot), Boot: c.now - c.since + 3*time.Second}, nil
}

// year is one simulated installation.
type year struct {
	t    *testing.T
	rand *rand.Rand
	clocks
	end   time.Duration
	lives []*life
	plan  int // lives still to begin

	path    string
	db      *store.DB
	keeper  *timekeeper // nil: lodged is down
	link    bool        // libvirt answers
	on      bool        // the host is on
	gap     time.Time   // as reconcile has it: the last look before nobody looked
	gapTrue time.Duration
	beaten  time.Duration // the last look that was written down
	quiet   time.Duration // when the last thing that happened was over
	fixAt   time.Duration // when what is broken is mended
	hid     string
	tenants []string
	root    cloud.Caller
	oracle  *oracle
	n       int
}

// leapYear begins shortly before 2028, whose February has 29 days.
var (
	leapYear = time.Date(2027, 12, 20, 23, 17, 3, 123456789, time.UTC)
	leapDay  = time.Date(2028, 2, 20, 5, 59, 59, 999999999, time.UTC)
)

func newYear(t *testing.T, seed uint64, from time.Time, span time.Duration, lives int) *year {
	replay(t, seed)
	dir, err := os.MkdirTemp(memoryDir(), "lodge-year-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	y := &year{
		t: t, rand: rand.New(rand.NewPCG(seed, 11)), clocks: clocks{wall: from}, end: span, plan: lives,
		path: filepath.Join(dir, "lodge.db"), link: true, on: true, hid: uuid.NewString(), root: cloud.Caller{Operator: true},
	}
	y.oracle = newOracle(y)
	y.open()
	return y
}

// memoryDir is where no commit waits for a disk: that a commit lasts is not what
// this is about. "" is the usual place.
func memoryDir() string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (y *year) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatalf("after %s: %v", y.now, err)
	}
}

func (y *year) open() {
	var err error
	y.db, err = store.Open(y.path)
	y.must(err)
	y.t.Cleanup(func() { y.db.Close() })
	ctx := context.Background()
	y.keeper, err = newTimekeeper(ctx, y.db, y.hid, y.read, discard())
	y.must(err)
	now := y.keeper.Now()
	y.oracle.booted(now)
	y.must(y.db.RegisterHost(ctx, now, cloud.Host{
		Meta: cloud.Meta{ID: y.hid}, Name: "rack1", VCPUs: 1 << 12, MemoryMiB: 1 << 24, Accel: "kvm", StartedAt: now, VCPURatio: 64, MemoryRatio: 16,
	}))
	def, err := y.db.EnsureInstallation(ctx, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	y.must(err)
	y.tenants = []string{def.ID}
	for _, name := range []string{"acme", "initech"} {
		other, err := y.db.CreateTenant(ctx, y.root, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString(), Name: name})
		y.must(err)
		y.tenants = append(y.tenants, other.ID)
	}
	limits := map[cloud.Resource]*int64{}
	for _, r := range cloud.Resources() {
		most := int64(1_000_000)
		limits[r] = &most
	}
	y.must(y.db.SetQuotas(ctx, y.root, now, "", limits))
	img, err := y.db.CreateImage(ctx, y.root, now, cloud.NewImage{
		ID: uuid.NewString(), TenantID: y.tenants[0], Name: "debian", Public: true, Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
	})
	y.must(err)
	y.must(y.db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{
		Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 300 << 20, VirtualSize: 3 << 30,
	}}))
	y.beat()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pass lets time pass, at most most.
func (y *year) pass(most time.Duration) {
	y.now += time.Millisecond * time.Duration(y.rand.Int64N(most.Milliseconds()+1))
}

// run is the year: something happens about 22 times a day, at random.
func (y *year) run() {
	for y.now < y.end {
		y.quiet = y.now
		y.waitUntil(y.now + time.Duration(y.rand.ExpFloat64()*float64(65*time.Minute)).Truncate(time.Millisecond))
		if y.fixAt != 0 && y.now >= y.fixAt {
			y.mend()
			continue
		}
		y.lastLook()
		switch n := y.rand.IntN(100); {
		case n < 60:
			y.tenant()
		case n < 84:
			y.guest()
		case n < 92:
			y.setClock()
		case y.fixAt == 0:
			y.break_()
		default:
			y.restart() // of a lodged that is up, or in the middle of what is broken
		}
	}
	for y.fixAt != 0 {
		y.now += time.Second
		y.mend()
	}
	y.sweep()
	y.now += 2 * time.Hour
	y.sweep()
	y.oracle.check()
}

// waitUntil lets time pass; once an hour lodged looks and closes what is due.
func (y *year) waitUntil(to time.Duration) {
	for {
		next := y.now.Truncate(time.Hour) + time.Hour + 17*time.Minute
		if next > to {
			break
		}
		y.now = next
		if y.watching() {
			y.sweep()
		}
	}
	y.now = to
}

// watching reports whether somebody looks at the guests.
func (y *year) watching() bool { return y.on && y.link && y.keeper != nil }

// lastLook is a look some seconds before what happens next, as there is one
// every 30 s.
func (y *year) lastLook() {
	at := y.now
	y.now = max(y.beaten, at-time.Duration(y.rand.Int64N(30_000))*time.Millisecond, y.quiet)
	if y.watching() {
		y.beat()
	}
	y.now = at
}

// break_ is the failure of something that stays broken for a while.
func (y *year) break_() {
	y.fixAt = y.now + time.Duration(y.rand.ExpFloat64()*float64(2*time.Hour)).Truncate(time.Millisecond)
	if y.rand.IntN(20) == 0 {
		y.fixAt += 70 * time.Hour
	}
	if y.rand.IntN(2) == 0 && y.keeper != nil { // what is recorded behind the last look
		y.pass(5 * time.Second)
		y.tenant()
		y.guest()
	}
	switch y.rand.IntN(6) {
	case 0, 1, 2:
		y.killLodged()
	case 3, 4:
		y.loseLink()
	default:
		y.rebootHost()
	}
}

func (y *year) killLodged() {
	y.keeper = nil
}

func (y *year) loseLink() {
	y.link = false
	y.openGap()
}

// rebootHost takes the power away.
func (y *year) rebootHost() {
	y.on, y.keeper = false, nil
	y.oracle.died, y.oracle.dead = y.now, true
	for _, l := range y.lives {
		y.oracle.hostDied(l)
		l.run, l.paused = false, false
	}
}

// mend brings back what is broken.
func (y *year) mend() {
	y.fixAt = 0
	if !y.on {
		y.on, y.link, y.boot, y.since = true, true, y.boot+1, y.now
		if y.rand.IntN(3) == 0 { // its clock was not kept
			y.wall = y.wall.Add(time.Duration(y.rand.Int64N(int64(30*time.Hour)) - int64(15*time.Hour)))
		}
		y.pass(90 * time.Second)
	}
	if y.keeper == nil {
		y.startLodged()
	}
	if !y.link {
		y.link = true
		y.recover()
	}
}

// restart ends lodged, in order or not, and starts it again.
func (y *year) restart() {
	if y.keeper == nil {
		return
	}
	if y.watching() && y.rand.IntN(2) == 0 {
		y.beat() // its last words
	}
	y.keeper = nil
	y.pass(20 * time.Second)
	y.startLodged()
}

// setClock sets the wall clock.
func (y *year) setClock() {
	ns := time.Duration(y.rand.Int64N(int64(time.Millisecond)))
	by := []time.Duration{
		300 * time.Millisecond, 5 * time.Second, time.Minute, 2 * time.Hour, 24 * time.Hour,
	}[y.rand.IntN(5)] + ns
	if y.rand.IntN(2) == 0 {
		by = -by
	}
	y.wall = y.wall.Add(by)
	if y.watching() {
		y.pass(30 * time.Second)
		y.beat()
	}
}
