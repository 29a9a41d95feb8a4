package reconcile_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/reconcile"
	"lodge/store"
)

// The simulation: the real store on a real file, the real loop, a pretend host,
// virtual time, and weather. Tenants ask for things at random while the host
// fails, lies, forgets and is tampered with, and lodged is killed at random.
// When the weather ends, wanted equals seen, and nothing is left over.
//
// A seed replays with: make sim SEED=n
func TestSimulation(t *testing.T) {
	runs, first := 12, uint64(1)
	if s := os.Getenv("LODGE_SIM_RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		runs, first = n, rand.Uint64()>>1
	}
	if s := os.Getenv("LODGE_SIM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs, first = 1, n
	}
	if testing.Short() {
		runs = min(runs, 3)
	}
	for i := range runs {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

// world is one simulated installation.
type world struct {
	t    *testing.T
	rand *rand.Rand
	host *sim.Host
	db   *store.DB
	kill func()        // ends lodged at once
	done chan struct{} // closed when it has ended
	full atomic.Bool   // the store takes no records of instances
	root cloud.Caller
	hid  string
	tens []string
	log  io.Writer
	n    int
	skew time.Duration // of the loop's clock ahead of the host's
}

func simulate(t *testing.T, seed uint64) {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)),
		host: sim.New(sim.Options{Now: time.Now, Seed: seed, Latency: sim.Realistic()}),
		root: cloud.Caller{Operator: true}, hid: uuid.NewString(), log: io.Discard,
	}
	if os.Getenv("LODGE_SIM_SEED") != "" {
		w.log = os.Stderr
	}
	w.open(filepath.Join(t.TempDir(), "lodge.db"))
	defer w.db.Close()
	w.lodged()
	defer w.stop()
	w.image()
	for range 60 {
		w.act()
		w.weather()
		time.Sleep(time.Duration(w.rand.IntN(4000)) * time.Millisecond)
	}
	w.host.Down(false)
	w.host.FailRate(0)
	w.host.LoseEvents(false)
	time.Sleep(15 * time.Minute)
	w.check()
	w.empty()
}

func (w *world) open(path string) {
	db, err := store.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
	ctx := context.Background()
	host, err := w.host.Describe(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	host.ID = w.hid
	if err := db.RegisterHost(ctx, time.Now(), host); err != nil {
		w.t.Fatal(err)
	}
	def, err := db.EnsureInstallation(ctx, time.Now(), newTenant("default"))
	if err != nil {
		w.t.Fatal(err)
	}
	other, err := db.CreateTenant(ctx, w.root, time.Now(), newTenant("acme"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.tens = []string{def.ID, other.ID}
}

func newTenant(name string) cloud.NewTenant {
	return cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString(), Name: name}
}

// lodged starts the loop on mortal hands: once killed, every call it still makes
// does nothing.
func (w *world) lodged() {
	var dead atomic.Bool
	ctx, cancel := context.WithCancel(context.Background())
	m := mortal{w.host, w.db, &dead, &w.full}
	loop := reconcile.New(reconcile.Options{
		HostID: w.hid, Guests: m, Ends: m, Counters: m, Disks: m, Nets: m, Fetcher: nil,
		Instances: m, Networks: m, Images: m, Hosts: m, Traffic: m, Bell: w.db.Bell(),
		Now: func() time.Time { return time.Now().Add(w.skew) }, Skew: func() time.Duration { return w.skew }, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	w.done = make(chan struct{})
	go func() { defer close(w.done); _ = loop.Run(ctx) }()
	w.kill = func() { dead.Store(true); cancel() }
}

func (w *world) stop() { w.kill(); <-w.done }

func (w *world) image() {
	ctx := context.Background()
	img, err := w.db.CreateImage(ctx, w.root, time.Now(), cloud.NewImage{
		ID: uuid.NewString(), TenantID: w.tens[0], Name: "debian", Public: true, Default: true,
		Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	raw := strings.NewReader(strings.Repeat("\x00", 510) + "\x55\xaa")
	info, err := w.host.ImportImage(ctx, img, raw, func(int64) {})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.RecordImage(ctx, time.Now(), cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &info}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) live() []cloud.Instance {
	items, _, err := w.db.Instances(context.Background(), w.root, cloud.Filter{}, cloud.Page{Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	return items
}

// act is one thing that a tenant asks for. Refusals are fine, crashes are not.
func (w *world) act() {
	ctx, now := context.Background(), time.Now()
	all := w.live()
	var err error
	if len(all) == 0 || w.rand.IntN(3) == 0 {
		w.n++
		_, err = w.db.CreateInstance(ctx, w.root, now, cloud.NewInstance{
			ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(),
			TenantID: w.tens[w.rand.IntN(2)], Name: fmt.Sprintf("vm%d", w.n),
			VCPUs: 1 + w.rand.IntN(4), MemoryMiB: 256 << w.rand.IntN(4), Stopped: w.rand.IntN(5) == 0,
		})
	} else {
		i := all[w.rand.IntN(len(all))]
		force := w.rand.IntN(2) == 0
		switch w.rand.IntN(6) {
		case 0:
			_, err = w.db.PowerInstance(ctx, w.root, now, i.ID, cloud.PowerStop, force)
		case 1:
			_, err = w.db.PowerInstance(ctx, w.root, now, i.ID, cloud.PowerStart, force)
		case 2:
			_, err = w.db.PowerInstance(ctx, w.root, now, i.ID, cloud.PowerReboot, force)
		case 3:
			v := 1 + w.rand.IntN(4)
			_, err = w.db.UpdateInstance(ctx, w.root, now, i.ID, cloud.InstanceChange{VCPUs: &v})
		case 4:
			_, err = w.db.DeleteInstance(ctx, w.root, now, i.ID)
		}
	}
	if code := cloud.CodeOf(err); err != nil && code != cloud.CodeConflict && code != cloud.CodeNotFound {
		w.t.Errorf("a tenant was told %v", err)
	}
}

// weather is one thing that goes wrong.
func (w *world) weather() {
	all := w.live()
	pick := func() string {
		if len(all) == 0 {
			return ""
		}
		return all[w.rand.IntN(len(all))].ID
	}
	switch w.rand.IntN(16) {
	case 0:
		w.host.Down(w.rand.IntN(2) == 0)
	case 1:
		w.host.FailRate([]float64{0, 0.1, 0.4}[w.rand.IntN(3)])
	case 2:
		w.host.LoseAnswer(sim.CallCreateDisk, 1)
		w.host.LoseAnswer(sim.CallStart, 1)
	case 3:
		w.host.SlowNext(sim.CallPowerGuest, 20*time.Second, 2)
	case 4:
		w.host.LoseEvents(w.rand.IntN(2) == 0)
	case 5:
		w.host.Crash(pick())
	case 6:
		w.host.DestroyByHand(pick())
	case 7:
		w.host.UndefineByHand(pick())
	case 8:
		w.host.PowerOffInside(pick())
	case 9:
		w.host.Pause(pick(), false)
	case 10:
		w.host.IgnoreACPI(pick(), true)
	case 11, 12:
		w.kill()
		time.Sleep(time.Duration(w.rand.IntN(90)) * time.Second)
		<-w.done
		w.lodged()
	}
}

// check holds the invariants once the weather has ended.
func (w *world) check() {
	ctx := context.Background()
	guests, err := w.host.LookGuests(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	disks, err := w.host.LookDisks(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	nets, err := w.host.LookNetworks(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ports := map[string]cloud.PortSpec{}
	for _, n := range nets {
		for mac, p := range n.Ports {
			ports[mac] = p
		}
	}
	all := w.live()
	if len(guests) != len(all) {
		w.t.Errorf("%d guests for %d instances", len(guests), len(all))
	}
	if len(disks) != 1+2*len(all) {
		w.t.Errorf("%d disks for an image and %d instances", len(disks), len(all))
	}
	if len(ports) != len(all) {
		w.t.Errorf("%d fixed leases for %d instances", len(ports), len(all))
	}
	for _, i := range all {
		w.checkInstance(i, guests[i.ID])
	}
}

func (w *world) checkInstance(i cloud.Instance, g cloud.Guest) {
	want := map[cloud.Power]cloud.GuestState{cloud.PowerOn: cloud.GuestRunning, cloud.PowerOff: cloud.GuestOff}[i.Power]
	if !i.Settled() || string(i.State) != string(i.Power) || g.State != want || i.Problem != nil {
		w.t.Errorf("%s: wanted %s, seen %s task %q, guest %s, generation %d of %d, problem %+v",
			i.Name, i.Power, i.State, i.Task, g.State, i.ObservedGeneration, i.Generation, i.Problem)
	}
	ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{InstanceID: i.ID, From: time.Now().Add(-24 * time.Hour), To: time.Now().Add(time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	open := map[cloud.Meter]int64{}
	for _, iv := range ivs {
		if iv.EndedAt.IsZero() {
			open[iv.Meter] = iv.Amount
			if iv.State != i.State {
				w.t.Errorf("%s: %s, and its %s is counted as %s", i.Name, i.State, iv.Slot, iv.State)
			}
		}
	}
	wantOpen := map[cloud.Meter]int64{
		cloud.MeterDisk: int64(i.DiskGiB), cloud.MeterInstance: 1,
		cloud.MeterVCPU: int64(i.VCPUs), cloud.MeterMemory: int64(i.MemoryMiB),
	}
	if i.State == cloud.StateRunning {
		wantOpen[cloud.MeterVCPU] = int64(i.RunningVCPUs)
		wantOpen[cloud.MeterMemory] = int64(i.RunningMemoryMiB)
	}
	if fmt.Sprint(open) != fmt.Sprint(wantOpen) {
		w.t.Errorf("%s: %s, and these meters run: %v, want %v", i.Name, i.State, open, wantOpen)
	}
}

// empty deletes everything: nothing of it may be left.
func (w *world) empty() {
	ctx := context.Background()
	for _, i := range w.live() {
		if _, err := w.db.DeleteInstance(ctx, w.root, time.Now(), i.ID); err != nil {
			w.t.Errorf("delete: %v", err)
		}
	}
	time.Sleep(10 * time.Minute)
	guests, _ := w.host.LookGuests(ctx, nil)
	disks, _ := w.host.LookDisks(ctx, nil)
	nets, _ := w.host.LookNetworks(ctx, nil)
	if len(guests) != 0 || len(disks) != 1 || len(nets) != 0 || len(w.live()) != 0 {
		w.t.Errorf("left behind: %d guests, %d disks but the image, %d networks, %d instances", len(guests), len(disks)-1, len(nets), len(w.live()))
	}
	ivs, err := w.db.UsageIntervals(ctx, w.root, cloud.UsageFilter{From: time.Now().Add(-24 * time.Hour), To: time.Now().Add(time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, iv := range ivs {
		if iv.EndedAt.IsZero() && iv.Meter != cloud.MeterImage { // the image stays
			w.t.Errorf("nothing ever closes %+v", iv)
		}
	}
}
