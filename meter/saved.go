package meter

import (
	"time"

	"lodge/cloud"
)

// Saved is what instances would have cost in the month of now while a schedule had
// them stopped, had they run, less what they cost stopped; as they are now, at the
// prices and discounts of now. Their disks cost the same either way. ran are the
// intervals of the ledger in the month: what the instances did besides counts
// towards the caps of those prices.
func Saved(rests []cloud.Rest, ran []cloud.Interval, prices []cloud.Price, discounts []cloud.Discount, now time.Time) Share {
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
	besides := awake(rests, ran, now)
	for _, r := range rests {
		in.Facts = append(in.Facts, cloud.UsageFact{TenantID: r.TenantID, Kind: cloud.KindInstance, ResourceID: r.InstanceID, Name: r.Name, Flavor: r.Flavor, Labels: r.Labels, Since: month})
	}
	cost := func(state cloud.State) Share {
		in.Intervals = besides[:len(besides):len(besides)]
		for i, r := range rests {
			for _, reading := range cloud.Readings(state, cloud.Size{VCPUs: r.VCPUs, MemoryMiB: r.MemoryMiB}, false) {
				in.Intervals = append(in.Intervals, cloud.Interval{
					Seq: int64(i), TenantID: r.TenantID, ResourceID: r.InstanceID, Resource: r.Name, Reading: reading, StartedAt: r.From, EndedAt: restUntil(r, now),
				})
			}
		}
		return Whole(By(Charges(in), func(c Charge) (string, string) { return c.TenantID, "" }))
	}
	out, less := cost(cloud.StateRunning), cost(cloud.StateStopped)
	out.Cost, out.ListCost = out.Cost.Sub(less.Cost), out.ListCost.Sub(less.ListCost)
	return out
}

func restUntil(r cloud.Rest, now time.Time) time.Time {
	if r.Until.IsZero() {
		return now
	}
	return r.Until
}

// awake are the intervals of the instances that rested, without their disks and
// the times of their rests.
func awake(rests []cloud.Rest, ran []cloud.Interval, now time.Time) (out []cloud.Interval) {
	of := map[string][]cloud.Rest{}
	for _, r := range rests {
		of[r.InstanceID] = append(of[r.InstanceID], r)
	}
	for _, iv := range ran {
		all := of[iv.ResourceID]
		switch iv.Meter {
		case cloud.MeterInstance, cloud.MeterVCPU, cloud.MeterMemory:
		default:
			continue
		}
		if len(all) == 0 {
			continue
		}
		if iv.EndedAt.IsZero() {
			iv.EndedAt = now
		}
		parts := []cloud.Interval{iv}
		for _, r := range all {
			parts = without(parts, r.From, restUntil(r, now))
		}
		out = append(out, parts...)
	}
	return out
}

// without are the intervals less what of them lies in [from, to).
func without(in []cloud.Interval, from, to time.Time) (out []cloud.Interval) {
	for _, iv := range in {
		before, after := iv, iv
		if before.EndedAt.After(from) {
			before.EndedAt = from
		}
		if after.StartedAt.Before(to) {
			after.StartedAt = to
		}
		for _, part := range []cloud.Interval{before, after} {
			if part.EndedAt.After(part.StartedAt) {
				out = append(out, part)
			}
		}
	}
	return out
}
