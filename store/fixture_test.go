package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
	"lodge/store/storetest"
)

var (
	ctx      = context.Background()
	operator = cloud.Caller{Operator: true, Via: "socket"}
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const hostID = "11111111-1111-4111-8111-111111111111"

// id is a UUID made from words: the same in every run.
func id(words ...any) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, words...)).String()
}

// world is a store with a host, the default tenant and an active default image.
type world struct {
	*store.DB
	t      testing.TB
	path   string
	now    time.Time
	tenant cloud.Tenant
	image  cloud.Image
	made   int
}

// emptyWorld has no host, no tenant and no image.
func emptyWorld(t testing.TB, o store.Options) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lodge.db")
	storetest.Blank(t, path)
	db, err := store.OpenWith(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &world{DB: db, t: t, path: path, now: noon}
}

func newWorld(t testing.TB) *world { return newWorldWith(t, store.Options{}) }

func newWorldWith(t testing.TB, o store.Options) *world {
	t.Helper()
	w := emptyWorld(t, o)
	w.must(w.RegisterHost(ctx, w.now, cloud.Host{
		Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 8, MemoryMiB: 65536, Accel: "kvm", StartedAt: w.now,
		VCPURatio: 64, MemoryRatio: 16, // room for many: what is promised has tests of its own
	}))
	var err error
	w.tenant, err = w.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: id("tenant"), NetworkID: id("network"), SubnetID: id("subnet")})
	w.must(err)
	w.image = w.activeImage("debian-12", w.tenant.ID, false)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused checks the code of an error, and that its message is a sentence.
func (w *world) refused(err error, code cloud.Code) {
	w.t.Helper()
	if cloud.CodeOf(err) != code {
		w.t.Fatalf("got error %v, want code %s", err, code)
	}
	if m := cloud.MessageOf(err); m == "" || m[len(m)-1] != '.' {
		w.t.Fatalf("the message %q is not a sentence", m)
	}
}

// later moves the clock.
func (w *world) later(d time.Duration) time.Time {
	w.now = w.now.Add(d)
	return w.now
}

func (w *world) newTenant(name string) cloud.Tenant {
	w.t.Helper()
	tenant, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{
		ID: id("tenant", name), NetworkID: id("network", name), SubnetID: id("subnet", name), Name: name,
	})
	w.must(err)
	return tenant
}

func (w *world) activeImage(name, tenantID string, public bool) cloud.Image {
	w.t.Helper()
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("image", tenantID, name), TenantID: tenantID, Name: name, Public: public,
		Source: cloud.SourceUpload, Firmware: cloud.FirmwareUEFI, User: "debian",
	})
	w.must(err)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{
		Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 300 << 20, VirtualSize: 3 << 30,
	}}))
	img, err = w.Image(ctx, operator, img.ID, "")
	w.must(err)
	return img
}

// wanted is a valid request in the default tenant.
func (w *world) wanted(name string) cloud.NewInstance {
	w.made++
	return cloud.NewInstance{
		ID: id("instance", w.made), VolumeID: id("volume", w.made), PortID: id("port", w.made),
		TenantID: w.tenant.ID, Name: name,
	}
}

func (w *world) create(name string) cloud.Instance {
	w.t.Helper()
	i, err := w.CreateInstance(ctx, operator, w.now, w.wanted(name))
	w.must(err)
	return i
}

func (w *world) instance(id string) cloud.Instance {
	w.t.Helper()
	i, err := w.Instance(ctx, operator, id)
	w.must(err)
	return i
}

// running is the record of an instance seen to run just as wanted.
func (w *world) running(i cloud.Instance) cloud.InstanceRecord {
	return cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateRunning,
		ObservedGeneration: i.Generation, ObservedBoots: i.Boots,
		RunningVCPUs: i.VCPUs, RunningMemoryMiB: i.MemoryMiB, RootSeen: true,
		Readings: cloud.Readings(cloud.StateRunning, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}, true),
		At:       w.now, Evidence: cloud.EvidenceSeen,
	}
}

func (w *world) stopped(i cloud.Instance) cloud.InstanceRecord {
	r := w.running(i)
	r.State, r.RunningVCPUs, r.RunningMemoryMiB = cloud.StateStopped, 0, 0
	r.Readings = cloud.Readings(cloud.StateStopped, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}, true)
	return r
}

func (w *world) gone(i cloud.Instance) cloud.InstanceRecord {
	return cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateGone,
		ObservedGeneration: i.Generation, At: w.now, Evidence: cloud.EvidenceSeen,
	}
}

func (w *world) record(r cloud.InstanceRecord) {
	w.t.Helper()
	w.must(w.RecordInstance(ctx, r))
}

// run creates an instance and records it running.
func (w *world) run(name string) cloud.Instance {
	w.t.Helper()
	i := w.create(name)
	w.record(w.running(i))
	return w.instance(i.ID)
}

func (w *world) intervals(instanceID string) []cloud.Interval {
	w.t.Helper()
	ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{InstanceID: instanceID})
	w.must(err)
	return ivs
}

func (w *world) eventTypes(subjectID string) []string {
	w.t.Helper()
	events, err := w.Events(ctx, operator, cloud.EventFilter{SubjectID: subjectID, Limit: 1000})
	w.must(err)
	types := []string{}
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func (w *world) rang() bool {
	select {
	case <-w.Bell():
		return true
	default:
		return false
	}
}

var (
	sameAddr   = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
)

func asError(err error, e **cloud.Error) { errors.As(err, e) }
