package api

import (
	"net/http"
	"strconv"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// usage sums the ledger over a period, by tenant and instance, or as usageReport
// does.
func (s *server) usage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	now := s.Now().UTC()
	q := parseQuery(r, "tenant", "instance", "label", "from", "to", "by", "format")
	if q.Has("by") || q.Has("label") || q.format(r, "json", "csv") == "csv" {
		if q.err != nil {
			return q.err
		}
		return s.usageReport(w, r, c)
	}
	f := cloud.UsageFilter{
		From:       q.instant("from", time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)),
		To:         q.instant("to", now),
		InstanceID: q.id("instance"),
	}
	if q.err == nil && !f.To.After(f.From) && q.Get("from")+q.Get("to") != "" {
		q.err = invalid("to", "The period ends at %s, which is not after its beginning %s; its end is not part of it.", f.To.Format(time.RFC3339), f.From.Format(time.RFC3339))
	}
	if q.err != nil {
		return q.err
	}
	var err error
	if f.TenantID, err = s.account(r, c, q.Get("tenant")); err != nil {
		return err
	}
	intervals, err := s.Usage.UsageIntervals(r.Context(), c, f)
	if err != nil {
		return err
	}
	traffic, err := s.Usage.TrafficSums(r.Context(), c, f)
	if err != nil {
		return err
	}
	totals := meter.AddTraffic(meter.Sum(intervals, f.From, f.To, now), traffic)
	out := wire.Usage{From: wireTime(f.From), To: wireTime(f.To), At: wireTime(now), Tenants: []wire.TenantUsage{}}
	sums := meter.ByTenant(totals)
	if len(sums) == 0 && f.TenantID != "" {
		sums = []meter.Total{{TenantID: f.TenantID}}
	}
	for _, sum := range sums {
		t := wire.TenantUsage{
			TenantID: sum.TenantID, Amounts: wireAmounts(sum.Amounts), ImageAmounts: wireImageAmounts(sum.Amounts),
			Instances: []wire.InstanceUsage{}, Images: []wire.ImageUsage{},
		}
		if t.Tenant, err = s.tenantName(r, c, sum.TenantID); err != nil {
			return err
		}
		for len(totals) > 0 && totals[0].TenantID == sum.TenantID {
			addUsage(&t, totals[0])
			totals = totals[1:]
		}
		out.Tenants = append(out.Tenants, t)
	}
	return reply(w, http.StatusOK, out)
}

func addUsage(t *wire.TenantUsage, u meter.Total) {
	if u.Kind == cloud.KindImage {
		t.Images = append(t.Images, wire.ImageUsage{ID: u.ResourceID, Name: u.Resource, ImageAmounts: wireImageAmounts(u.Amounts), Open: u.Open})
		return
	}
	t.Instances = append(t.Instances, wire.InstanceUsage{ID: u.ResourceID, Name: u.Resource, Amounts: wireAmounts(u.Amounts)})
}

// tenantName is the tenant's name, "" for one that was deleted: its usage stays.
func (s *server) tenantName(r *http.Request, c cloud.Caller, id string) (string, error) {
	t, err := s.Tenants.Tenant(r.Context(), c, id)
	if cloud.CodeOf(err) == cloud.CodeNotFound {
		return "", nil
	}
	return t.Name, err
}

func wireAmounts(a meter.Amounts) wire.Amounts {
	return wire.Amounts{
		InstanceHours: a.Instance.Hours(meter.PerHour), VCPUHours: a.VCPU.Hours(meter.PerHour),
		MemoryGiBHours: a.Memory.Hours(meter.PerGiBHour), DiskGiBHours: a.Disk.Hours(meter.PerHour),
		InstanceMS: a.Instance.String(), VCPUMS: a.VCPU.String(),
		MemoryMiBMS: a.Memory.String(), DiskGiBMS: a.Disk.String(),
		Allocated: wire.Allocated{
			InstanceHours: a.Allocated.Instance.Hours(meter.PerHour), VCPUHours: a.Allocated.VCPU.Hours(meter.PerHour),
			MemoryGiBHours: a.Allocated.Memory.Hours(meter.PerGiBHour),
			InstanceMS:     a.Allocated.Instance.String(), VCPUMS: a.Allocated.VCPU.String(), MemoryMiBMS: a.Allocated.Memory.String(),
		},
		EgressBytes: strconv.FormatInt(a.Egress, 10), IngressBytes: strconv.FormatInt(a.Ingress, 10),
		Open: a.Open,
	}
}

func wireImageAmounts(a meter.Amounts) wire.ImageAmounts {
	return wire.ImageAmounts{ImageGiBHours: a.Image.Hours(meter.PerGiBHour), ImageMiBMS: a.Image.String()}
}

// instant reads a time of RFC 3339, with or without its seconds, a day or a month, each meaning its first
// instant in UTC.
func (q *query) instant(name string, missing time.Time) time.Time {
	text := q.Get(name)
	if text == "" {
		return missing
	}
	if t, ok := instantOf(text); ok {
		return t
	}
	q.fail(invalid(name, "The parameter %s is a time such as 2026-11-05T12:00:00Z, a day or a month such as 2026-11, not %s.", name, quote(text)))
	return missing
}

func instantOf(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1970 && t.Year() < 10000 {
			return t.UTC().Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}
