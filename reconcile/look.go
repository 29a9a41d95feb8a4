package reconcile

import (
	"context"

	"lodge/cloud"
)

// look sees what Plan needs of one instance.
func (l *Loop) look(ctx context.Context, w cloud.InstanceWish) (Seen, error) {
	guests, err := l.Guests.LookGuests(ctx, []string{w.ID})
	if err != nil {
		return Seen{}, err
	}
	disks, err := l.Disks.LookDisks(ctx, []string{w.ID, w.Root.ID, w.Image.ID})
	if err != nil {
		return Seen{}, err
	}
	nets, err := l.Nets.LookNetworks(ctx, networkIDs(w))
	if err != nil {
		return Seen{}, err
	}
	return assemble(w, guests, disks, nets), nil
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
