package meter

import (
	"time"

	"lodge/cloud"
)

// open compares what is counted now with what was last seen: each object has the
// rows that its state and size ask for, and no others.
func (v *verification) open() error {
	return v.ledger.Present(func(p cloud.Present) error {
		type key struct {
			slot  string
			meter cloud.Meter
		}
		want := map[key]cloud.Reading{}
		for _, r := range p.Readings {
			want[key{r.Slot, r.Meter}] = r
		}
		for _, iv := range p.Open {
			r, wanted := want[key{iv.Slot, iv.Meter}]
			delete(want, key{iv.Slot, iv.Meter})
			since := iv.StartedAt.UTC().Format(time.RFC3339Nano)
			if !wanted && iv.Meter == cloud.MeterDisk && iv.Slot == "disk:root" && p.DiskUnsure {
				continue
			}
			switch {
			case iv.TenantID != p.TenantID:
				continue // an orphan
			case !wanted:
				v.add(CheckOpen, "usage_interval", iv.Seq, "%s of %s is counted since %s, and nothing that was seen of it asks for that.", iv.Slot, p.Resource, since)
			case iv.State != r.State:
				v.add(CheckOpen, "usage_interval", iv.Seq, "%s of %s is counted as %s since %s, and it was seen %s.", iv.Slot, p.Resource, iv.State, since, r.State)
			case iv.Amount != r.Amount && p.SizeSettled:
				v.add(CheckOpen, "usage_interval", iv.Seq, "%s of %s is counted with %d since %s, and it was seen with %d.", iv.Slot, p.Resource, iv.Amount, since, r.Amount)
			case iv.StartedAt.Before(p.CreatedAt):
				v.add(CheckOpen, "usage_interval", iv.Seq, "%s of %s is counted since %s, and it was made at %s.", iv.Slot, p.Resource, since, p.CreatedAt.UTC().Format(time.RFC3339Nano))
			}
		}
		for _, r := range p.Readings { // in their order
			if _, missing := want[key{r.Slot, r.Meter}]; !missing || p.Ending || r.Meter == cloud.MeterDisk && p.DiskUnsure {
				continue
			}
			v.add(CheckOpen, "usage_interval", 0, "%s is %s, and its %s is not counted.", p.Resource, r.State, r.Slot)
		}
		return nil
	})
}

// clocks compares the time that the next start goes by with what is written down.
func (v *verification) clocks() error {
	return v.ledger.Clocks(func(c cloud.KeptClock) error {
		if ahead := c.Ahead(); ahead > 0 {
			v.add(CheckClock, "usage_clock", 0, "The time that is kept for the host %s is %s ahead of everything else that is written down; lodged refuses it at its next start.", c.HostID, ahead)
		}
		if behind := c.Behind(); behind > 0 {
			v.add(CheckClock, "usage_clock", 0, "The time that is kept for the host %s is %s behind the last look at it; lodged refuses it at its next start.", c.HostID, behind)
		}
		if v.tick == nil || v.tick.BootID != c.Anchor.BootID || c.Ahead() > 0 || c.Behind() > 0 {
			return nil
		}
		if _, why := Admit(c, *v.tick); why != "" {
			v.add(CheckClock, "usage_clock", 0, "%s", why)
		}
		return nil
	})
}
