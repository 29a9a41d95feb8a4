package meter

import (
	"time"

	"lodge/cloud"
)

// Saved is what instances would have cost in the month of now while a schedule had
// them stopped, had they run, less what they cost stopped; as they are now, at the
// prices and discounts of now. Their disks cost the same either way.
func Saved(rests []cloud.Rest, prices []cloud.Price, discounts []cloud.Discount, now time.Time) Share {
	month := cloud.Month(now)
	in := Input{From: month, To: month.AddDate(0, 1, 0), Now: now}
	for _, p := range prices {
		if !p.From.After(now) && (p.To.IsZero() || p.To.After(now)) {
			p.From, p.To, p.MinimumSeconds = month.Add(-lookback), time.Time{}, 0
			in.Prices = append(in.Prices, p)
		}
	}
	for _, d := range discounts {
		if !d.From.After(now) && (d.To.IsZero() || d.To.After(now)) {
			d.From, d.To = month.Add(-lookback), time.Time{}
			in.Discounts = append(in.Discounts, d)
		}
	}
	cost := func(state cloud.State) Share {
		in.Intervals, in.Facts = nil, nil
		for i, r := range rests {
			until := r.Until
			if until.IsZero() {
				until = now
			}
			in.Facts = append(in.Facts, cloud.UsageFact{TenantID: r.TenantID, Kind: cloud.KindInstance, ResourceID: r.InstanceID, Name: r.Name, Flavor: r.Flavor, Labels: r.Labels, Since: month})
			for _, reading := range cloud.Readings(state, cloud.Size{VCPUs: r.VCPUs, MemoryMiB: r.MemoryMiB}, false) {
				in.Intervals = append(in.Intervals, cloud.Interval{
					Seq: int64(i), TenantID: r.TenantID, ResourceID: r.InstanceID, Resource: r.Name, Reading: reading, StartedAt: r.From, EndedAt: until,
				})
			}
		}
		return Whole(By(Charges(in), func(c Charge) (string, string) { return c.TenantID, "" }))
	}
	out, less := cost(cloud.StateRunning), cost(cloud.StateStopped)
	out.Cost, out.ListCost = out.Cost.Sub(less.Cost), out.ListCost.Sub(less.ListCost)
	return out
}
