package reconcile_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/reconcile"
	"lodge/reconcile/failpoint"
	"lodge/store"
)

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
	skew time.Duration // of the loop's clock ahead of the host's
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

var errDead = errors.New("killed")

// lodged starts the loop. Once killed, every call it still makes does nothing, and
// its answer is lost, as for a process that is gone.
func (w *world) lodged() {
	var dead atomic.Bool
	ctx, cancel := context.WithCancel(context.Background())
	loop := reconcile.New(failpoint.Wrap(reconcile.Options{
		HostID: w.hid, Guests: w.host, Ends: w.host, Counters: w.host, Disks: w.host, Nets: w.host, Strays: w.host, Fetcher: nil,
		Instances: w.db, Networks: w.db, Images: w.db, Hosts: w.db, Traffic: w.db, Bell: w.db.Bell(),
		Now: func() time.Time { return time.Now().Add(w.skew) }, Skew: func() time.Duration { return w.skew }, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, func(at failpoint.Point) error {
		switch {
		case dead.Load():
			return errDead
		case w.full.Load() && at == failpoint.Point{Call: "RecordInstance"}:
			return cloud.Errorf(cloud.CodeDiskFull, "The disk is full.")
		}
		return nil
	}))
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
