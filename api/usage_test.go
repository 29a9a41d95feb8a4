package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/api/wire"
	"lodge/cloud"
)

const ended = "00000000-0000-4000-8000-0000000000e1"

// meterFor gives the intervals of one guest from start to end, open when end is
// zero.
func meterFor(tenant, id, name string, start, end time.Time, vcpus, mib int64) (out []cloud.Interval) {
	for i, r := range cloud.Readings(cloud.StateRunning, cloud.Size{VCPUs: int(vcpus), MemoryMiB: int(mib), DiskGiB: 10}, true) {
		out = append(out, cloud.Interval{Seq: int64(i + 1), TenantID: tenant, ResourceID: id, Resource: name, Reading: r, StartedAt: start, EndedAt: end})
	}
	return out
}

func usageFront(t *testing.T) *front {
	f := newFront(t)
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }
	f.store.intervals = meterFor(defaultTenant, nobodysID, "web1", at(5, 10), time.Time{}, 2, 4096)
	f.store.intervals = append(f.store.intervals, meterFor(defaultTenant, ended, "job", time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC), at(1, 1), 1, 1536)...)
	for _, iv := range meterFor(defaultTenant, ended, "job", at(1, 1), at(1, 2), 1, 1536)[:3] { // stopped, but kept
		iv.State = cloud.StateStopped
		f.store.intervals = append(f.store.intervals, iv)
	}
	return f
}

func TestUsageIsThisMonthUntilNow(t *testing.T) {
	f := usageFront(t)
	u := decoded[wire.Usage](f.do("GET", "/v1/usage", "").want(200))
	if got := u.From.Format(time.RFC3339) + " " + u.To.Format(time.RFC3339Nano); got != "2026-11-01T00:00:00Z 2026-11-05T12:00:00.123Z" {
		t.Errorf("period %s", got)
	}
	kept := func(hours, vcpuHours, gibHours, ms, vcpuMS, mibMS string) wire.Allocated {
		return wire.Allocated{InstanceHours: hours, VCPUHours: vcpuHours, MemoryGiBHours: gibHours, InstanceMS: ms, VCPUMS: vcpuMS, MemoryMiBMS: mibMS}
	}
	none := wire.ImageAmounts{ImageGiBHours: "0.000000", ImageMiBMS: "0"}
	want := []wire.TenantUsage{{
		TenantID: defaultTenant, Tenant: "default",
		Amounts: wire.Amounts{
			InstanceHours: "3.000034", VCPUHours: "5.000068", MemoryGiBHours: "9.500137", DiskGiBHours: "30.000342",
			InstanceMS: "10800123", VCPUMS: "18000246", MemoryMiBMS: "35021303808", DiskGiBMS: "108001230", EgressBytes: "0", IngressBytes: "0", Open: true,
			Allocated: kept("4.000034", "6.000068", "11.000137", "14400123", "21600246", "40550903808"),
		},
		ImageAmounts: none, Images: []wire.ImageUsage{},
		Instances: []wire.InstanceUsage{
			{ID: ended, Name: "job", Amounts: wire.Amounts{
				InstanceHours: "1.000000", VCPUHours: "1.000000", MemoryGiBHours: "1.500000", DiskGiBHours: "10.000000",
				InstanceMS: "3600000", VCPUMS: "3600000", MemoryMiBMS: "5529600000", DiskGiBMS: "36000000", EgressBytes: "0", IngressBytes: "0",
				Allocated: kept("2.000000", "2.000000", "3.000000", "7200000", "7200000", "11059200000"),
			}},
			{ID: nobodysID, Name: "web1", Amounts: wire.Amounts{
				InstanceHours: "2.000034", VCPUHours: "4.000068", MemoryGiBHours: "8.000137", DiskGiBHours: "20.000342",
				InstanceMS: "7200123", VCPUMS: "14400246", MemoryMiBMS: "29491703808", DiskGiBMS: "72001230", EgressBytes: "0", IngressBytes: "0", Open: true,
				Allocated: kept("2.000034", "4.000068", "8.000137", "7200123", "14400246", "29491703808"),
			}},
		},
	}}
	if diff := cmp.Diff(want, u.Tenants); diff != "" {
		t.Errorf("want (-), got (+)\n%s", diff)
	}
}

func TestUsageOfAPeriod(t *testing.T) {
	f := usageFront(t)
	for query, want := range map[string]string{
		"from=2026-10&to=2026-11":                                    "1.000000", // the job's last hour of October
		"from=2026-10&to=2026-12":                                    "4.000034",
		"from=2026-11-05&to=2026-11-06":                              "2.000034", // what runs counts up to now
		"from=2026-11-05T10:30:00Z&to=2026-11-05T11:00:00Z":          "0.500000",
		"from=2026-11-05T11:30:00%2b01:00&to=2026-11-05T11":          "",
		"from=2026-11-05T11:30:00%2b01:00":                           "1.500034",
		"instance=" + ended:                                          "1.000000",
		"tenant=default&from=2026-10-31T23:59:59.999Z&to=2026-11-01": "0.000000",
	} {
		a := f.do("GET", "/v1/usage?"+query, "")
		if want == "" {
			a.wantFailure(http.StatusBadRequest, cloud.CodeInvalid)
			continue
		}
		if u := decoded[wire.Usage](a.want(200)); len(u.Tenants) != 1 || u.Tenants[0].InstanceHours != want {
			t.Errorf("%s: want %s, got %s", query, want, a.body)
		}
	}
}

func TestUsageOfNothing(t *testing.T) {
	f := usageFront(t)
	u := decoded[wire.Usage](f.do("GET", "/v1/usage?tenant=other", "").want(200))
	if len(u.Tenants) != 1 || u.Tenants[0].InstanceMS != "0" || u.Tenants[0].Tenant != "other" || u.Tenants[0].Instances == nil {
		t.Errorf("got %+v", u)
	}
	u = decoded[wire.Usage](f.do("GET", "/v1/usage?from=2020-01&to=2020-02", "").want(200))
	if len(u.Tenants) != 0 || u.Tenants == nil {
		t.Errorf("got %+v", u)
	}
	f.store.now = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) // the month has just begun
	f.do("GET", "/v1/usage", "").want(200)
}

func TestUsageOfADeletedTenantStays(t *testing.T) {
	f := usageFront(t)
	delete(f.store.tenants, defaultTenant)
	u := decoded[wire.Usage](f.do("GET", "/v1/usage", "").want(200))
	if len(u.Tenants) != 1 || u.Tenants[0].Tenant != "" || u.Tenants[0].InstanceHours != "3.000034" {
		t.Errorf("got %+v", u)
	}
}

func TestUsageOfImagesAndTraffic(t *testing.T) {
	f := usageFront(t)
	const image = "00000000-0000-4000-8000-0000000000e2"
	f.store.intervals = append(f.store.intervals, cloud.Interval{
		Seq: 20, TenantID: defaultTenant, ResourceID: image, Resource: "debian", Reading: cloud.ImageReadings(cloud.ImageActive, nil, 511<<20+1)[0],
		StartedAt: time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC), EndedAt: time.Date(2026, 11, 5, 11, 0, 0, 0, time.UTC),
	})
	f.store.traffic = []cloud.TrafficSum{{TenantID: defaultTenant, ResourceID: nobodysID, Egress: 5_000_000_000, Ingress: 7}, {TenantID: defaultTenant, ResourceID: ended, Egress: 1}}
	u := decoded[wire.Usage](f.do("GET", "/v1/usage", "").want(200)).Tenants[0]
	half := wire.ImageAmounts{ImageGiBHours: "0.500000", ImageMiBMS: "1843200000"}
	if diff := cmp.Diff([]wire.ImageUsage{{ID: image, Name: "debian", ImageAmounts: half}}, u.Images); diff != "" || u.ImageAmounts != half {
		t.Errorf("want (-), got (+)\n%s, in all %+v", diff, u.ImageAmounts)
	}
	if len(u.Instances) != 2 || u.EgressBytes != "5000000001" || u.IngressBytes != "7" || u.Instances[0].EgressBytes != "1" || u.Instances[1].EgressBytes != "5000000000" {
		t.Errorf("got %+v", u)
	}
}
