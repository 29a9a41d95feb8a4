package reconcile

import (
	"context"
	"sync"

	"lodge/cloud"
)

// look sees what Plan needs of one instance. nets, when not nil, is what was
// seen of its networks earlier in the same turn, when nothing was left to do
// about them.
func (l *Loop) look(ctx context.Context, w cloud.InstanceWish, nets map[string]cloud.HostNetwork) (Seen, error) {
	var guests map[string]cloud.Guest
	var disks map[cloud.DiskKey]cloud.Disk
	var errs [3]error
	var wg sync.WaitGroup
	wg.Go(func() { guests, errs[0] = l.Guests.LookGuests(ctx, []string{w.ID}) })
	wg.Go(func() { disks, errs[1] = l.Disks.LookDisks(ctx, []string{w.ID, w.Root.ID, w.Image.ID}) })
	if nets == nil {
		nets, errs[2] = l.Nets.LookNetworks(ctx, networkIDs(w))
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return Seen{}, err
		}
	}
	return assemble(w, guests, disks, nets), nil
}

// settledNets are the networks of a look when a decision found nothing left to
// do about them.
func settledNets(s Seen, d Decision) map[string]cloud.HostNetwork {
	if len(d.Needs) > 0 {
		return nil
	}
	for _, step := range d.Steps {
		if step.Verb == VerbEnsurePort || step.Verb == VerbRemovePort {
			return nil
		}
	}
	return s.Networks
}

// assemble picks what concerns one instance out of a look.
func assemble(w cloud.InstanceWish, guests map[string]cloud.Guest, disks map[cloud.DiskKey]cloud.Disk, nets map[string]cloud.HostNetwork) Seen {
	s := Seen{Networks: nets}
	if g, ok := guests[w.ID]; ok {
		s.Guest = &g
	}
	pick := func(kind cloud.DiskKind, id string) *cloud.Disk {
		if d, ok := disks[cloud.DiskKey{Kind: kind, ID: id}]; ok {
			return &d
		}
		return nil
	}
	s.Root = pick(cloud.DiskVolume, w.Root.ID)
	s.Seed = pick(cloud.DiskSeed, w.ID)
	s.Image = pick(cloud.DiskImage, w.Image.ID)
	return s
}

func networkIDs(w cloud.InstanceWish) []string {
	ids := make([]string, 0, len(w.Ports))
	for _, p := range w.Ports {
		ids = append(ids, p.NetworkID)
	}
	return ids
}
