package meter

import (
	"cmp"
	"slices"
	"time"

	"lodge/cloud"
)

// Total is what one resource, or one tenant, used.
type Total struct {
	TenantID   string
	Kind       cloud.Kind // instance or image; "" in the total of a tenant
	ResourceID string     // "" in the total of a tenant
	Resource   string     // its name, as last metered
	Amounts
}

// Amounts are the sums by meter.
type Amounts struct {
	Instance Quantity // milliseconds
	VCPU     Quantity // vCPUs x milliseconds
	Memory   Quantity // MiB x milliseconds
	Disk     Quantity // GiB x milliseconds
	Image    Quantity // MiB x milliseconds
	Egress   int64    // bytes
	Ingress  int64    // bytes
	// Allocated is Instance, VCPU and Memory with the time in which it was kept
	// but did not run.
	Allocated Allocated
	Open      bool // some of it is still counted
}

// Allocated is what instances were kept for, running or not.
type Allocated struct{ Instance, VCPU, Memory Quantity }

func (a *Amounts) add(m cloud.Meter, s cloud.State, q Quantity) {
	var ran, kept *Quantity
	switch m {
	case cloud.MeterInstance:
		ran, kept = &a.Instance, &a.Allocated.Instance
	case cloud.MeterVCPU:
		ran, kept = &a.VCPU, &a.Allocated.VCPU
	case cloud.MeterMemory:
		ran, kept = &a.Memory, &a.Allocated.Memory
	case cloud.MeterDisk:
		a.Disk = a.Disk.Plus(q)
		return
	case cloud.MeterImage:
		a.Image = a.Image.Plus(q)
		return
	default:
		return
	}
	*kept = kept.Plus(q)
	if s.Runs() {
		*ran = ran.Plus(q)
	}
}

func (a *Amounts) plus(b Amounts) {
	for _, p := range []struct{ to, from *Quantity }{
		{&a.Instance, &b.Instance}, {&a.VCPU, &b.VCPU}, {&a.Memory, &b.Memory}, {&a.Disk, &b.Disk}, {&a.Image, &b.Image},
		{&a.Allocated.Instance, &b.Allocated.Instance}, {&a.Allocated.VCPU, &b.Allocated.VCPU}, {&a.Allocated.Memory, &b.Allocated.Memory},
	} {
		*p.to = p.to.Plus(*p.from)
	}
	a.Egress += b.Egress
	a.Ingress += b.Ingress
	a.Open = a.Open || b.Open
}

// Sum adds up what the intervals hold of [from, to), by tenant and resource, in
// that order. What still runs counts up to now. A resource whose intervals all
// lie outside of the period is left out; one that began at this very moment is
// there with nothing.
func Sum(intervals []cloud.Interval, from, to, now time.Time) []Total {
	type key struct{ tenant, resource string }
	type entry struct {
		Total
		seq int64 // of the newest interval
	}
	sums := map[key]*entry{}
	for _, iv := range intervals {
		ms, counts := overlap(iv, from, to, now)
		if !counts {
			continue
		}
		k := key{iv.TenantID, iv.ResourceID}
		t := sums[k]
		if t == nil {
			t = &entry{Total: Total{TenantID: iv.TenantID, Kind: kindOf(iv.Meter), ResourceID: iv.ResourceID}, seq: iv.Seq - 1}
			sums[k] = t
		}
		if iv.Seq > t.seq {
			t.seq, t.Resource = iv.Seq, iv.Resource
		}
		t.add(iv.Meter, iv.State, Of(iv.Amount, ms))
		t.Open = t.Open || iv.EndedAt.IsZero()
	}
	out := make([]Total, 0, len(sums))
	for _, t := range sums {
		out = append(out, t.Total)
	}
	sortTotals(out)
	return out
}

func sortTotals(totals []Total) {
	slices.SortFunc(totals, func(a, b Total) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.ResourceID, b.ResourceID))
	})
}

// kindOf is what a meter counts of.
func kindOf(m cloud.Meter) cloud.Kind {
	if m == cloud.MeterImage {
		return cloud.KindImage
	}
	return cloud.KindInstance
}

// AddTraffic adds the bytes of instances to their totals. Bytes of one without a
// total, whose counter was read a moment after it ended, come with one of their
// own, without a name.
func AddTraffic(totals []Total, sums []cloud.TrafficSum) []Total {
	type key struct{ tenant, resource string }
	at := make(map[key]int, len(totals))
	for n, t := range totals {
		at[key{t.TenantID, t.ResourceID}] = n
	}
	for _, s := range sums {
		n, there := at[key{s.TenantID, s.ResourceID}]
		if !there {
			n = len(totals)
			totals = append(totals, Total{TenantID: s.TenantID, Kind: cloud.KindInstance, ResourceID: s.ResourceID})
		}
		totals[n].Egress += s.Egress
		totals[n].Ingress += s.Ingress
	}
	sortTotals(totals)
	return totals
}

// overlap is how many milliseconds of the interval lie in [from, to), and
// whether it belongs to the period at all.
func overlap(iv cloud.Interval, from, to, now time.Time) (ms int64, counts bool) {
	open := iv.EndedAt.IsZero()
	start, end := iv.StartedAt.UnixMilli(), iv.EndedAt.UnixMilli()
	if open {
		end = now.UnixMilli()
	}
	start, end = max(start, from.UnixMilli()), min(end, to.UnixMilli())
	if end > start {
		return end - start, true
	}
	return 0, open && end == start && iv.StartedAt.Before(to)
}

// ByTenant adds the totals of each tenant, ordered by tenant.
func ByTenant(totals []Total) []Total {
	var out []Total
	for _, t := range totals {
		n := len(out) - 1
		if n < 0 || out[n].TenantID != t.TenantID {
			out = append(out, Total{TenantID: t.TenantID})
			n++
		}
		out[n].plus(t.Amounts)
	}
	return out
}
