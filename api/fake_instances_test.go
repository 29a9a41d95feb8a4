package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"lodge/cloud"
)

func (s *fakeStore) CreateInstance(_ context.Context, c cloud.Caller, now time.Time, n cloud.NewInstance) (cloud.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		if i.TenantID == n.TenantID && i.Name == n.Name {
			return cloud.Instance{}, cloud.Errorf(cloud.CodeNameTaken, "There is an instance %q already.", n.Name)
		}
	}
	image := n.Image
	if image == "" {
		image = "debian-12"
	}
	img, err := s.image(c, image, n.TenantID)
	if err != nil {
		msg := fmt.Sprintf("There is no image %q.", image)
		return cloud.Instance{}, &cloud.Error{Code: cloud.CodeInvalid, Message: msg, Fields: []cloud.FieldError{{Field: "image", Message: msg}}}
	}
	flavor := s.flavors[cloud.DefaultFlavorID]
	if n.FlavorID != "" {
		f, ok := s.flavors[n.FlavorID]
		if !ok {
			return cloud.Instance{}, missing(cloud.KindFlavor, n.FlavorID)
		}
		flavor = f
	}
	or := func(asked, else_ int) int {
		if asked != 0 {
			return asked
		}
		return else_
	}
	i := cloud.Instance{
		Meta:     cloud.Meta{ID: n.ID, Labels: n.Labels, CreatedAt: now, UpdatedAt: now, Revision: 1},
		TenantID: n.TenantID, TenantName: s.tenants[n.TenantID].Name, Name: n.Name,
		FlavorID: n.FlavorID, VCPUs: or(n.VCPUs, flavor.VCPUs), MemoryMiB: or(n.MemoryMiB, flavor.MemoryMiB), DiskGiB: or(n.DiskGiB, flavor.DiskGiB),
		ImageID: img.ID, ImageName: img.Name, User: img.User, SSHKeys: n.SSHKeys, UserData: n.UserData, Firmware: img.Firmware,
		Generation: 1, Power: cloud.PowerOn, State: cloud.StateRequested, Task: cloud.TaskCreating,
		Ports: []cloud.Port{{
			Meta: cloud.Meta{ID: n.PortID}, NetworkID: defaultNet, MAC: "52:54:00:00:00:01",
			FixedIPs: []cloud.FixedIP{{SubnetID: defaultSubnet, Address: netip.MustParseAddr("10.0.0.10")}},
		}},
	}
	if n.Stopped {
		i.Power = cloud.PowerOff
	}
	s.instances[i.ID] = i
	return i, nil
}

// run makes an instance look as it does when it runs.
func (s *fakeStore) run(id string) cloud.Instance {
	return s.change(id, func(i *cloud.Instance) {
		i.State, i.Task, i.ObservedGeneration, i.HostID = cloud.StateRunning, cloud.TaskNone, i.Generation, hostID
		i.RunningVCPUs, i.RunningMemoryMiB, i.StartedAt = i.VCPUs, i.MemoryMiB, s.now
	})
}

func (s *fakeStore) change(id string, f func(*cloud.Instance)) cloud.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	f(&i)
	i.Revision++
	s.instances[id] = i
	return i
}

func (s *fakeStore) Instance(_ context.Context, c cloud.Caller, id string) (cloud.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return cloud.Instance{}, s.broken
	}
	i, ok := s.instances[id]
	if !ok || !c.Sees(i.TenantID) {
		return cloud.Instance{}, missing(cloud.KindInstance, id)
	}
	return i, nil
}

func (s *fakeStore) Instances(_ context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) ([]cloud.Instance, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.instances, func(i cloud.Instance) bool {
		return c.Sees(i.TenantID) && (f.TenantID == "" || f.TenantID == i.TenantID) &&
			(f.Name == "" || f.Name == i.Name) && (f.State == "" || f.State == string(i.State))
	}, p)
}

func (s *fakeStore) UpdateInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.InstanceChange) (cloud.Instance, error) {
	i, err := s.Instance(ctx, c, id)
	if err == nil {
		err = c.Expects(i.Tag())
	}
	if err != nil {
		return cloud.Instance{}, err
	}
	labels := maps.Clone(i.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range ch.Labels {
		if delete(labels, k); v != nil {
			labels[k] = *v
		}
	}
	if err := cloud.Invalid(cloud.ValidateLabels("labels", labels)); err != nil {
		return cloud.Instance{}, fmt.Errorf("update instance %s: %w", id, err)
	}
	return s.change(id, func(i *cloud.Instance) {
		if ch.Name != nil {
			i.Name = *ch.Name
		}
		if ch.VCPUs != nil {
			i.VCPUs = *ch.VCPUs
		}
		if ch.MemoryMiB != nil {
			i.MemoryMiB = *ch.MemoryMiB
		}
		i.Labels, i.UpdatedAt = labels, now
		i.Generation++
	}), nil
}

func (s *fakeStore) DeleteInstance(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Instance, error) {
	if _, err := s.Instance(ctx, c, id); err != nil {
		return cloud.Instance{}, err
	}
	return s.change(id, func(i *cloud.Instance) {
		i.DeletedAt, i.Task = now, cloud.TaskDeleting
	}), nil
}

func (s *fakeStore) PowerInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, p cloud.PowerChange, force bool) (cloud.Instance, error) {
	i, err := s.Instance(ctx, c, id)
	if err != nil {
		return cloud.Instance{}, err
	}
	if p == cloud.PowerReboot && i.State != cloud.StateRunning {
		return i, cloud.Errorf(cloud.CodeConflict, "The instance %q does not run.", i.Name)
	}
	return s.change(id, func(i *cloud.Instance) {
		i.PowerForce, i.PowerAt = force, now
		switch p {
		case cloud.PowerStart:
			i.Power, i.Task = cloud.PowerOn, cloud.TaskStarting
		case cloud.PowerStop:
			i.Power, i.Task = cloud.PowerOff, cloud.TaskStopping
		case cloud.PowerReboot:
			i.Boots++
			i.Task = cloud.TaskRebooting
		}
	}), nil
}

// fakeRefs is the cheaper way to the same instances.
type fakeRefs struct {
	*fakeStore
	whole int // instances that were asked for whole
}

func (r *fakeRefs) InstanceRef(ctx context.Context, c cloud.Caller, id string) (cloud.Meta, error) {
	i, err := r.Instance(ctx, c, id)
	return cloud.Meta{ID: i.ID, Revision: i.Revision}, err
}

func (r *fakeRefs) InstanceRefs(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) ([]cloud.Meta, string, error) {
	items, next, err := r.Instances(ctx, c, f, p)
	var out []cloud.Meta
	for _, i := range items {
		out = append(out, cloud.Meta{ID: i.ID, Revision: i.Revision})
	}
	return out, next, err
}

func (r *fakeRefs) InstancesByID(ctx context.Context, c cloud.Caller, ids []string) ([]cloud.Instance, error) {
	items, _, err := r.Instances(ctx, c, cloud.Filter{}, cloud.Page{Limit: 1 << 30})
	items = slices.DeleteFunc(items, func(i cloud.Instance) bool { return !slices.Contains(ids, i.ID) })
	slices.Reverse(items)
	r.whole += len(items)
	return items, err
}

// fill makes n running instances of the default tenant.
func (s *fakeStore) fill(n int) []string {
	var ids []string
	for k := range n {
		id := s.newID()
		_, err := s.CreateInstance(context.Background(), cloud.Caller{Operator: true}, s.now, cloud.NewInstance{
			ID: id, VolumeID: s.newID(), PortID: s.newID(), TenantID: defaultTenant, Name: fmt.Sprintf("vm%d", k),
			VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20, Labels: map[string]string{"role": "web"},
			SSHKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHcWDSWXxcPprVdbdlnZc7nPkT4BjOFVxqAA8eqSlzfO ops"},
		})
		if err != nil {
			panic(err)
		}
		s.run(id)
		ids = append(ids, id)
	}
	return ids
}
