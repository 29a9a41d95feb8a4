package reconcile_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/store"
)

// mortal are the hands and the store of a lodged that can be killed: after that
// no call has an effect or an answer worth having, as for a process that is gone.
type mortal struct {
	host *sim.Host
	db   *store.DB
	dead *atomic.Bool
	full *atomic.Bool // the store takes no records
}

var errDead = errors.New("killed")

// live runs one call unless the process is dead, and keeps its answer from a
// process that died meanwhile.
func live[T any](m mortal, f func() (T, error)) (T, error) {
	var zero T
	if m.dead.Load() {
		return zero, errDead
	}
	out, err := f()
	if m.dead.Load() {
		return zero, errDead
	}
	return out, err
}

func (m mortal) do(f func() error) error {
	_, err := live(m, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (m mortal) LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error) {
	return live(m, func() (map[string]cloud.Guest, error) { return m.host.LookGuests(ctx, ids) })
}

func (m mortal) GuestEnd(ctx context.Context, id string, since, now time.Time) (cloud.GuestEnd, error) {
	return live(m, func() (cloud.GuestEnd, error) { return m.host.GuestEnd(ctx, id, since, now) })
}

func (m mortal) ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error) {
	return live(m, func() (map[string]cloud.NICCounter, error) { return m.host.ReadNICs(ctx) })
}

func (m mortal) RecordTraffic(ctx context.Context, now time.Time, rs []cloud.TrafficReading) error {
	return m.do(func() error { return m.db.RecordTraffic(ctx, now, rs) })
}

func (m mortal) DefineGuest(ctx context.Context, s cloud.GuestSpec) error {
	return m.do(func() error { return m.host.DefineGuest(ctx, s) })
}

func (m mortal) PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error {
	return m.do(func() error { return m.host.PowerGuest(ctx, id, a) })
}

func (m mortal) RemoveGuest(ctx context.Context, id string) error {
	return m.do(func() error { return m.host.RemoveGuest(ctx, id) })
}

func (m mortal) WatchGuests(ctx context.Context, moved func(string), link func(bool)) error {
	return m.host.WatchGuests(ctx, moved, link)
}

func (m mortal) LookDisks(ctx context.Context, ids []string) (map[cloud.DiskKey]cloud.Disk, error) {
	return live(m, func() (map[cloud.DiskKey]cloud.Disk, error) { return m.host.LookDisks(ctx, ids) })
}

func (m mortal) CreateDisk(ctx context.Context, s cloud.DiskSpec) error {
	return m.do(func() error { return m.host.CreateDisk(ctx, s) })
}

func (m mortal) WriteSeed(ctx context.Context, s cloud.SeedSpec) error {
	return m.do(func() error { return m.host.WriteSeed(ctx, s) })
}

func (m mortal) RemoveDisk(ctx context.Context, k cloud.DiskKind, id string) error {
	return m.do(func() error { return m.host.RemoveDisk(ctx, k, id) })
}

func (m mortal) ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error) {
	return live(m, func() (cloud.ImageInfo, error) { return m.host.ImportImage(ctx, img, r, progress) })
}

func (m mortal) LookNetworks(ctx context.Context, ids []string) (map[string]cloud.HostNetwork, error) {
	return live(m, func() (map[string]cloud.HostNetwork, error) { return m.host.LookNetworks(ctx, ids) })
}

func (m mortal) EnsureNetwork(ctx context.Context, s cloud.NetworkSpec) error {
	return m.do(func() error { return m.host.EnsureNetwork(ctx, s) })
}

func (m mortal) RemoveNetwork(ctx context.Context, id string) error {
	return m.do(func() error { return m.host.RemoveNetwork(ctx, id) })
}

func (m mortal) EnsurePort(ctx context.Context, n string, p cloud.PortSpec) error {
	return m.do(func() error { return m.host.EnsurePort(ctx, n, p) })
}

func (m mortal) RemovePort(ctx context.Context, n string, p cloud.PortSpec) error {
	return m.do(func() error { return m.host.RemovePort(ctx, n, p) })
}

func (m mortal) DueInstances(ctx context.Context, h string, now time.Time) ([]string, error) {
	return live(m, func() ([]string, error) { return m.db.DueInstances(ctx, h, now) })
}

func (m mortal) InstanceWishes(ctx context.Context, h string, ids []string) ([]cloud.InstanceWish, error) {
	return live(m, func() ([]cloud.InstanceWish, error) { return m.db.InstanceWishes(ctx, h, ids) })
}

func (m mortal) RecordInstance(ctx context.Context, r cloud.InstanceRecord) error {
	if m.full.Load() {
		return cloud.Errorf(cloud.CodeDiskFull, "The disk is full.")
	}
	return m.do(func() error { return m.db.RecordInstance(ctx, r) })
}

func (m mortal) NetworkWishes(ctx context.Context, h string, ids []string) ([]cloud.NetworkWish, error) {
	return live(m, func() ([]cloud.NetworkWish, error) { return m.db.NetworkWishes(ctx, h, ids) })
}

func (m mortal) RecordNetwork(ctx context.Context, now time.Time, id string, p *cloud.Problem, gone bool) error {
	return m.do(func() error { return m.db.RecordNetwork(ctx, now, id, p, gone) })
}

func (m mortal) DueImages(ctx context.Context, h string, now time.Time) ([]cloud.Image, error) {
	return live(m, func() ([]cloud.Image, error) { return m.db.DueImages(ctx, h, now) })
}

func (m mortal) ImageProgress(ctx context.Context, id string, done, total int64) error {
	return m.do(func() error { return m.db.ImageProgress(ctx, id, done, total) })
}

func (m mortal) RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error {
	return m.do(func() error { return m.db.RecordImage(ctx, now, r) })
}

func (m mortal) Heartbeat(ctx context.Context, h string, at time.Time) error {
	return m.do(func() error { return m.db.Heartbeat(ctx, h, at) })
}

func (m mortal) RecordHostProblem(ctx context.Context, h string, now time.Time, p *cloud.Problem) error {
	return m.do(func() error { return m.db.RecordHostProblem(ctx, h, now, p) })
}

func (m mortal) Host(ctx context.Context, h string) (cloud.Host, error) {
	return live(m, func() (cloud.Host, error) { return m.db.Host(ctx, h) })
}
