package api_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"lodge/cloud"
)

// fakeStore is the whole house behind the front, in memory.
type fakeStore struct {
	mu        sync.Mutex
	tenants   map[string]cloud.Tenant
	flavors   map[string]cloud.Flavor
	images    map[string]cloud.Image
	networks  map[string]cloud.Network
	instances map[string]cloud.Instance
	events    []cloud.Event
	intervals []cloud.Interval
	traffic   []cloud.TrafficSum
	hosts     []cloud.Host
	console   []byte
	forgotten []*cloud.Error
	removed   []cloud.DiskKey
	progress  []int64
	notReady  error
	broken    error // what every read of instances returns
	sink      func(img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error)
	nextID    int
	now       time.Time
}

const (
	defaultTenant = "00000000-0000-4000-8000-00000000d001"
	otherTenant   = "00000000-0000-4000-8000-00000000d002"
	debianImage   = "00000000-0000-4000-8000-00000000a001"
	defaultNet    = "00000000-0000-4000-8000-00000000e001"
	defaultSubnet = "00000000-0000-4000-8000-00000000e002"
	hostID        = "00000000-0000-4000-8000-00000000f001"
	nobodysID     = "00000000-0000-4000-8000-000000000bad"
)

func newFakeStore() *fakeStore {
	at := time.Date(2026, 11, 5, 12, 0, 0, 123_000_000, time.UTC)
	meta := func(id string) cloud.Meta { return cloud.Meta{ID: id, CreatedAt: at, UpdatedAt: at, Revision: 1} }
	return &fakeStore{
		now: at,
		tenants: map[string]cloud.Tenant{
			defaultTenant: {Meta: meta(defaultTenant), Name: "default"},
			otherTenant:   {Meta: meta(otherTenant), Name: "other"},
		},
		flavors: map[string]cloud.Flavor{"c1-m2": {ID: "c1-m2", VCPUs: 1, MemoryMiB: 2048, DiskGiB: 20, CreatedAt: at}},
		images: map[string]cloud.Image{debianImage: {
			Meta: meta(debianImage), TenantID: defaultTenant, Name: "debian-12", Public: true, Default: true, Source: cloud.SourceUpload,
			Firmware: cloud.FirmwareUEFI, User: "debian", State: cloud.ImageActive, Format: cloud.FormatQcow2,
		}},
		networks: map[string]cloud.Network{defaultNet: {
			Meta: meta(defaultNet), TenantID: defaultTenant, Name: "default", Default: true,
			Problem: &cloud.Problem{Code: cloud.CodeNetwork, Message: "The bridge is away.", Since: at, Attempts: 1},
			Subnets: []cloud.Subnet{{Meta: meta(defaultSubnet), NetworkID: defaultNet, CIDR: netip.MustParsePrefix("10.0.0.0/24"), DHCP: true, DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}}},
		}},
		instances: map[string]cloud.Instance{},
		hosts: []cloud.Host{{
			Meta: meta(hostID), Name: "rack1", VCPUs: 2, MemoryMiB: 8192, Accel: "kvm", Version: "1", Hypervisor: "QEMU 9",
			HeartbeatAt: at, StartedAt: at,
		}},
		console: []byte("login: "),
	}
}

func (s *fakeStore) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", s.nextID)
}

func missing(kind cloud.Kind, id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no %s %q.", kind, id)
}

// part cuts a list into parts, in order of id; the cursor is an index.
func part[T any](all map[string]T, keep func(T) bool, p cloud.Page) ([]T, string, error) {
	var out []T
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if keep(all[id]) {
			out = append(out, all[id])
		}
	}
	from := 0
	if p.Cursor != "" {
		n, err := strconv.Atoi(p.Cursor)
		if err != nil || n > len(out) {
			return nil, "", cloud.Errorf(cloud.CodeInvalid, "The cursor %q is not one lodge gave.", p.Cursor)
		}
		from = n
	}
	if end := from + p.Limit; end < len(out) {
		return out[from:end], strconv.Itoa(end), nil
	}
	return out[from:], "", nil
}

func (s *fakeStore) CreateTenant(_ context.Context, c cloud.Caller, now time.Time, n cloud.NewTenant) (cloud.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Operator {
		return cloud.Tenant{}, cloud.Errorf(cloud.CodeForbidden, "Only an operator makes tenants.")
	}
	for _, t := range s.tenants {
		if t.Name == n.Name {
			return cloud.Tenant{}, cloud.Errorf(cloud.CodeNameTaken, "There is a tenant %q already.", n.Name)
		}
	}
	t := cloud.Tenant{Meta: cloud.Meta{ID: n.ID, Labels: n.Labels, CreatedAt: now, UpdatedAt: now, Revision: 1}, Name: n.Name}
	s.tenants[t.ID] = t
	return t, nil
}

func (s *fakeStore) Tenant(_ context.Context, c cloud.Caller, idOrName string) (cloud.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		if (t.ID == idOrName || t.Name == idOrName) && c.Sees(t.ID) {
			return t, nil
		}
	}
	return cloud.Tenant{}, missing(cloud.KindTenant, idOrName)
}

func (s *fakeStore) Tenants(_ context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) ([]cloud.Tenant, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.tenants, func(t cloud.Tenant) bool {
		return c.Sees(t.ID) && (f.Name == "" || f.Name == t.Name) && (f.TenantID == "" || f.TenantID == t.ID)
	}, p)
}

func (s *fakeStore) DeleteTenant(_ context.Context, c cloud.Caller, _ time.Time, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tenants[id]; !ok {
		return missing(cloud.KindTenant, id)
	}
	for _, i := range s.instances {
		if i.TenantID == id {
			return cloud.Errorf(cloud.CodeInUse, "The tenant still has instances.")
		}
	}
	delete(s.tenants, id)
	return nil
}

func (s *fakeStore) Flavors(context.Context) ([]cloud.Flavor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.flavors), func(a, b cloud.Flavor) int { return cmp.Compare(a.ID, b.ID) }), nil
}

func (s *fakeStore) Flavor(_ context.Context, id string) (cloud.Flavor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.flavors[id]
	if !ok {
		return f, missing(cloud.KindFlavor, id)
	}
	return f, nil
}

func (s *fakeStore) CreateFlavor(_ context.Context, c cloud.Caller, _ time.Time, f cloud.Flavor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Operator {
		return cloud.Errorf(cloud.CodeForbidden, "Only an operator makes flavors.")
	}
	if _, taken := s.flavors[f.ID]; taken {
		return cloud.Errorf(cloud.CodeNameTaken, "There is a flavor %q already.", f.ID)
	}
	s.flavors[f.ID] = f
	return nil
}

func (s *fakeStore) DeleteFlavor(_ context.Context, c cloud.Caller, _ time.Time, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Operator {
		return cloud.Errorf(cloud.CodeForbidden, "Only an operator removes flavors.")
	}
	if _, ok := s.flavors[id]; !ok {
		return missing(cloud.KindFlavor, id)
	}
	delete(s.flavors, id)
	return nil
}

func (s *fakeStore) CreateImage(_ context.Context, c cloud.Caller, now time.Time, n cloud.NewImage) (cloud.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.images {
		if i.TenantID == n.TenantID && i.Name == n.Name {
			return cloud.Image{}, cloud.Errorf(cloud.CodeNameTaken, "There is an image %q already.", n.Name)
		}
	}
	i := cloud.Image{
		Meta: cloud.Meta{ID: n.ID, Labels: n.Labels, CreatedAt: now, UpdatedAt: now, Revision: 1}, TenantID: n.TenantID, Name: n.Name,
		Public: n.Public, Default: n.Default, Source: n.Source, URL: n.URL, SHA256: n.SHA256, Firmware: n.Firmware, User: n.User, State: cloud.ImageQueued,
	}
	s.images[i.ID] = i
	return i, nil
}

func (s *fakeStore) Image(_ context.Context, c cloud.Caller, idOrName, tenantID string) (cloud.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.image(c, idOrName, tenantID)
}

func (s *fakeStore) image(c cloud.Caller, idOrName, tenantID string) (cloud.Image, error) {
	for _, i := range s.images {
		if (i.ID == idOrName || i.Name == idOrName) && (i.Public || c.Sees(i.TenantID)) {
			return i, nil
		}
	}
	return cloud.Image{}, missing(cloud.KindImage, idOrName)
}

func (s *fakeStore) Images(_ context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) ([]cloud.Image, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.images, func(i cloud.Image) bool {
		return (i.Public || c.Sees(i.TenantID)) && (f.TenantID == "" || i.Public || f.TenantID == i.TenantID) &&
			(f.Name == "" || f.Name == i.Name) && (f.State == "" || f.State == string(i.State))
	}, p)
}

func (s *fakeStore) UpdateImage(_ context.Context, c cloud.Caller, _ time.Time, id string, ch cloud.ImageChange) (cloud.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.image(c, id, "")
	if err != nil {
		return i, err
	}
	if ch.Name != nil {
		i.Name = *ch.Name
	}
	if ch.Default != nil {
		i.Default = *ch.Default
	}
	s.images[i.ID] = i
	return i, nil
}

func (s *fakeStore) DeleteImage(_ context.Context, c cloud.Caller, _ time.Time, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.image(c, id, "")
	if err != nil {
		return err
	}
	for _, in := range s.instances {
		if in.ImageID == i.ID {
			return cloud.Errorf(cloud.CodeInUse, "The image is used by the instance %q.", in.Name)
		}
	}
	delete(s.images, i.ID)
	return nil
}

func (s *fakeStore) ImageProgress(_ context.Context, id string, done, total int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.images[id]
	i.BytesDone, i.BytesTotal = done, total
	i.Revision++
	s.images[id] = i
	s.progress = append(s.progress, done)
	return nil
}

func (s *fakeStore) RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	i := s.images[r.ID]
	i.State, i.Problem, i.UpdatedAt = r.State, r.Problem, now
	if r.Info != nil {
		i.Format, i.SHA256, i.SizeBytes, i.VirtualSize = r.Info.Format, r.Info.SHA256, r.Info.SizeBytes, r.Info.VirtualSize
	}
	i.Revision++
	s.images[r.ID] = i
	return nil
}

func (s *fakeStore) ForgetImage(ctx context.Context, _ time.Time, id string, why *cloud.Error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(s.images, id)
	s.forgotten = append(s.forgotten, why)
	return nil
}

func (s *fakeStore) ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error) {
	return s.sink(img, r, progress)
}

func (s *fakeStore) RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = append(s.removed, cloud.DiskKey{Kind: kind, ID: id})
	return ctx.Err()
}

func (s *fakeStore) Networks(_ context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) ([]cloud.Network, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.networks, func(n cloud.Network) bool {
		return c.Sees(n.TenantID) && (f.TenantID == "" || f.TenantID == n.TenantID) && (f.Name == "" || f.Name == n.Name)
	}, p)
}

func (s *fakeStore) Network(_ context.Context, c cloud.Caller, id string) (cloud.Network, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.networks[id]
	if !ok || !c.Sees(n.TenantID) {
		return cloud.Network{}, missing(cloud.KindNetwork, id)
	}
	return n, nil
}

func (s *fakeStore) ConsoleLog(_ context.Context, _ string, most int) ([]byte, error) {
	return s.console[max(0, len(s.console)-most):], nil
}

func (s *fakeStore) Events(_ context.Context, c cloud.Caller, f cloud.EventFilter) ([]cloud.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cloud.Event
	for _, e := range s.events {
		if c.Sees(e.TenantID) && e.Seq > f.After && (f.SubjectID == "" || f.SubjectID == e.Subject.ID) &&
			(f.TenantID == "" || f.TenantID == e.TenantID) && len(out) < f.Limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *fakeStore) LastEvent(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		return 0, nil
	}
	return s.events[len(s.events)-1].Seq, nil
}

// UsageTraffic is for tests on a real store.
func (s *fakeStore) UsageTraffic(context.Context, cloud.Caller, cloud.UsageFilter) ([]cloud.Traffic, error) {
	return nil, nil
}

// ReadLedger is for tests on a real store.
func (s *fakeStore) ReadLedger(context.Context, func(cloud.Ledger) error) error {
	return cloud.Errorf(cloud.CodeUnavailable, "The fake has no ledger.")
}

// NextEvents never rings: what the fake has, it has from the start.
func (s *fakeStore) NextEvents(string) <-chan struct{} { return nil }

func (s *fakeStore) UsageIntervals(_ context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.Interval, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cloud.Interval
	for _, iv := range s.intervals {
		if c.Sees(iv.TenantID) && (f.TenantID == "" || f.TenantID == iv.TenantID) && (f.InstanceID == "" || f.InstanceID == iv.ResourceID) {
			out = append(out, iv)
		}
	}
	return out, nil
}

func (s *fakeStore) TrafficSums(_ context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.TrafficSum, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cloud.TrafficSum
	for _, sum := range s.traffic {
		if c.Sees(sum.TenantID) && (f.TenantID == "" || f.TenantID == sum.TenantID) && (f.InstanceID == "" || f.InstanceID == sum.ResourceID) {
			out = append(out, sum)
		}
	}
	return out, nil
}

func (s *fakeStore) Hosts(_ context.Context, c cloud.Caller) ([]cloud.Host, error) {
	if !c.Operator {
		return nil, cloud.Errorf(cloud.CodeForbidden, "Only an operator sees hosts.")
	}
	return s.hosts, nil
}

func (s *fakeStore) Ready(context.Context) error { return s.notReady }

func (s *fakeStore) UpdateTenant(_ context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.LabelChange) (cloud.Tenant, error) {
	return s.Tenant(context.Background(), c, id)
}

func (s *fakeStore) UpdateNetwork(_ context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.LabelChange) (cloud.Network, error) {
	return s.Network(context.Background(), c, id)
}
