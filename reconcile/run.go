package reconcile

import (
	"context"

	"lodge/cloud"
)

// do hands one step to its hand: no choice is made here.
func (l *Loop) do(ctx context.Context, s Step) (err error) {
	ctx, end := l.Observe.Begin(ctx, cloud.WorkStep, string(s.Verb), s.String())
	defer func() { end(err) }()
	switch s.Verb {
	case VerbCreateDisk:
		return l.Disks.CreateDisk(ctx, *s.Disk)
	case VerbWriteSeed:
		return l.Disks.WriteSeed(ctx, *s.Seed)
	case VerbRemoveDisk:
		return l.Disks.RemoveDisk(ctx, s.Kind, s.ID)
	case VerbEnsurePort:
		return l.Nets.EnsurePort(ctx, s.ID, *s.Port)
	case VerbRemovePort:
		return l.Nets.RemovePort(ctx, s.ID, *s.Port)
	case VerbEnsureNetwork:
		return l.Nets.EnsureNetwork(ctx, *s.Network)
	case VerbRemoveNetwork:
		return l.Nets.RemoveNetwork(ctx, s.ID)
	case VerbDefine:
		if err := l.Guests.DefineGuest(ctx, *s.Guest); err != nil || !s.Start {
			return err
		}
		return l.Guests.PowerGuest(ctx, s.ID, cloud.ActStart)
	case VerbPower:
		return l.Guests.PowerGuest(ctx, s.ID, s.Power)
	case VerbRemoveGuest:
		return l.Guests.RemoveGuest(ctx, s.ID)
	}
	return cloud.Errorf(cloud.CodeInternal, "The step %s is unknown.", s.Verb)
}
