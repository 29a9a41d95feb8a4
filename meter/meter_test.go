package meter

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lodge/cloud"
)

func at(ms int64) time.Time { return time.UnixMilli(1_800_000_000_000 + ms).UTC() }

// iv is an interval; end 0 is open.
func iv(resource, slot string, m cloud.Meter, amount, start, end int64) cloud.Interval {
	out := cloud.Interval{TenantID: "t", ResourceID: resource, Resource: resource, StartedAt: at(start)}
	out.Slot, out.Meter, out.Amount, out.State = slot, m, amount, cloud.StateRunning
	if end != 0 {
		out.EndedAt = at(end)
	}
	return out
}

func keptOnly(iv cloud.Interval) cloud.Interval {
	iv.State = cloud.StateStopped
	return iv
}

func TestSumClipsToThePeriod(t *testing.T) {
	for _, tt := range []struct {
		name               string
		start, end         int64
		from, to, now      int64
		want               int64
		open, belongsThere bool
	}{
		{"inside", 10, 20, 0, 100, 1000, 10, false, true},
		{"all around", 10, 200, 50, 100, 1000, 50, false, true},
		{"over the beginning", 10, 60, 50, 100, 1000, 10, false, true},
		{"over the end", 90, 200, 50, 100, 1000, 10, false, true},
		{"before", 10, 50, 50, 100, 1000, 0, false, false},
		{"after", 100, 200, 50, 100, 1000, 0, false, false},
		{"open, now inside", 60, 0, 50, 100, 80, 20, true, true},
		{"open, now after", 60, 0, 50, 100, 1000, 40, true, true},
		{"open, begins now", 80, 0, 50, 100, 80, 0, true, true},
		{"open, begins after the period", 100, 0, 50, 100, 1000, 0, true, false},
		{"open, the clock has stepped back", 90, 0, 50, 100, 80, 0, true, false},
		{"open, now before the period", 10, 0, 50, 100, 40, 0, true, false},
	} {
		got := Sum([]cloud.Interval{iv("a", "cpu", cloud.MeterVCPU, 3, tt.start, tt.end)}, at(tt.from), at(tt.to), at(tt.now))
		if !tt.belongsThere {
			if len(got) != 0 {
				t.Errorf("%s: got %+v", tt.name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].VCPU != Of(3, tt.want) || got[0].Open != tt.open {
			t.Errorf("%s: got %+v, want %d ms", tt.name, got, tt.want)
		}
	}
}

func TestSumKeepsSlotsMetersResourcesAndTenantsApart(t *testing.T) {
	other := iv("a", "instance", cloud.MeterInstance, 1, 0, 7)
	other.TenantID = "s"
	renamed := iv("a", "cpu", cloud.MeterVCPU, 4, 1000, 2000)
	renamed.Seq, renamed.Resource = 9, "a2"
	got := Sum([]cloud.Interval{
		renamed,
		iv("a", "cpu", cloud.MeterVCPU, 2, 0, 1000), // a resize: the old amount for the old time
		iv("a", "instance", cloud.MeterInstance, 1, 0, 2000),
		iv("a", "memory", cloud.MeterMemory, 1024, 0, 2000),
		iv("a", "disk:root", cloud.MeterDisk, 20, 0, 0),
		iv("a", "disk:data0", cloud.MeterDisk, 5, 0, 1000),
		iv("b", "cpu", cloud.MeterVCPU, 1, 0, 500),
		keptOnly(iv("a", "instance", cloud.MeterInstance, 1, 2000, 2300)), // kept, and not running
		keptOnly(iv("a", "cpu", cloud.MeterVCPU, 2, 2000, 2300)),
		other,
	}, at(0), at(5000), at(3000))
	want := []Total{
		{TenantID: "s", Kind: cloud.KindInstance, ResourceID: "a", Resource: "a", Amounts: Amounts{Instance: Of(1, 7), Allocated: Allocated{Instance: Of(1, 7)}}},
		{TenantID: "t", Kind: cloud.KindInstance, ResourceID: "a", Resource: "a2", Amounts: Amounts{
			Instance: Of(1, 2000), VCPU: Of(1, 6000), Memory: Of(1024, 2000), Disk: Of(1, 65000), Open: true,
			Allocated: Allocated{Instance: Of(1, 2000+300), VCPU: Of(1, 6000+600), Memory: Of(1024, 2000)},
		}},
		{TenantID: "t", Kind: cloud.KindInstance, ResourceID: "b", Resource: "b", Amounts: Amounts{VCPU: Of(1, 500), Allocated: Allocated{VCPU: Of(1, 500)}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Quantity{})); diff != "" {
		t.Errorf("want (-), got (+)\n%s", diff)
	}
	byTenant := ByTenant(got)
	if len(byTenant) != 2 || byTenant[1].VCPU != Of(1, 6500) || !byTenant[1].Open || byTenant[0].Open || byTenant[1].ResourceID != "" {
		t.Errorf("by tenant: %+v", byTenant)
	}
}

// Composite keys must not run together: tenant "1" with resource "23" is not
// tenant "12" with resource "3".
func TestKeysDoNotRunTogether(t *testing.T) {
	a, b := iv("23", "cpu", cloud.MeterVCPU, 1, 0, 10), iv("3", "cpu", cloud.MeterVCPU, 1, 0, 10)
	a.TenantID, b.TenantID = "1", "12"
	if got := Sum([]cloud.Interval{a, b}, at(0), at(10), at(10)); len(got) != 2 {
		t.Errorf("got %+v", got)
	}
}

// A period is the sum of its parts, wherever it is cut.
func TestPartsAddUpToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ivs []cloud.Interval
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			start := rapid.Int64Range(0, 1000).Draw(t, "start")
			end := rapid.Int64Range(start+1, 1002).Draw(t, "end")
			if rapid.Bool().Draw(t, "open") {
				end = 0
			}
			ivs = append(ivs, iv(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "r"), "cpu", cloud.MeterVCPU, rapid.Int64Range(1, 1<<22).Draw(t, "amount"), start, end))
		}
		cut := rapid.Int64Range(1, 999).Draw(t, "cut")
		now := rapid.Int64Range(0, 1100).Draw(t, "now")
		sum := func(from, to int64) (q Quantity) {
			for _, total := range ByTenant(Sum(ivs, at(from), at(to), at(now))) {
				q = q.Plus(total.VCPU)
			}
			return q
		}
		if whole, parts := sum(0, 1000), sum(0, cut).Plus(sum(cut, 1000)); whole != parts {
			t.Fatalf("whole %v, parts %v", whole, parts)
		}
	})
}

func TestHoursOf(t *testing.T) {
	for _, tt := range []struct {
		amount, ms int64
		per        uint64
		want       string
	}{
		{1, 0, PerHour, "0.000000"},
		{1, 3_600_000, PerHour, "1.000000"},
		{2, 720 * 3_600_000, PerHour, "1440.000000"},
		{1, 1, PerHour, "0.000000"},
		{1, 2, PerHour, "0.000001"},
		{1, 1_200_000, PerHour, "0.333333"},
		{1, 2_400_000, PerHour, "0.666667"},
		{1, 3_599_999, PerHour, "1.000000"},
		{1, 9, PerHour, "0.000002"},  // 2.5 millionths: half to even
		{1, 27, PerHour, "0.000008"}, // 7.5 millionths
		{4096, 3_600_000, PerGiBHour, "4.000000"},
		{1, 3_600_000, PerGiBHour, "0.000977"},
	} {
		if got := Of(tt.amount, tt.ms).Hours(tt.per); got != tt.want {
			t.Errorf("%d x %d ms / %d = %s, want %s", tt.amount, tt.ms, tt.per, got, tt.want)
		}
	}
}

func bigOf(q Quantity) *big.Int {
	b := new(big.Int).SetUint64(q.hi)
	return b.Add(b.Lsh(b, 64), new(big.Int).SetUint64(q.lo))
}

// Quantity does what math/big does.
func TestQuantityIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var q Quantity
		sum := new(big.Int)
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			amount, ms := r.Int64N(1<<uint(1+r.IntN(62))), r.Int64N(1<<uint(1+r.IntN(62)))
			q = q.Plus(Of(amount, ms))
			sum.Add(sum, new(big.Int).Mul(big.NewInt(amount), big.NewInt(ms)))
		}
		if bigOf(q).Cmp(sum) != 0 || q.String() != sum.String() {
			t.Fatalf("%v, want %v", q, sum)
		}
		for _, per := range []uint64{PerHour, PerGiBHour} {
			want := roundHalfEven(new(big.Int).Mul(sum, big.NewInt(1_000_000)), per)
			got, ok := new(big.Rat).SetString(q.Hours(per))
			if !ok || got.Cmp(new(big.Rat).SetFrac(want, big.NewInt(1_000_000))) != 0 {
				t.Fatalf("%v / %d = %s, want %v millionths", sum, per, q.Hours(per), want)
			}
		}
	})
}

func roundHalfEven(n *big.Int, per uint64) *big.Int {
	d := new(big.Int).SetUint64(per)
	whole, rem := new(big.Int).QuoRem(n, d, new(big.Int))
	if c := rem.Lsh(rem, 1).Cmp(d); c > 0 || (c == 0 && whole.Bit(0) == 1) {
		whole.Add(whole, big.NewInt(1))
	}
	return whole
}

func TestQuantitiesCompare(t *testing.T) {
	small, large := Of(1, 1), Quantity{1, 0}
	if small.Cmp(large) != -1 || large.Cmp(small) != 1 || small.Cmp(small) != 0 || !Of(-1, 5).IsZero() || small.IsZero() {
		t.Error("quantities do not compare")
	}
}

func BenchmarkSum(b *testing.B) {
	var ivs []cloud.Interval
	for i := range int64(10_000) {
		ivs = append(ivs, iv(string(rune('a'+i%26)), "cpu", cloud.MeterVCPU, i, i, 0))
	}
	for b.Loop() {
		Sum(ivs, at(0), at(1<<40), at(1<<40))
	}
}

func TestTrafficIsChargedByTheByteInItsHour(t *testing.T) {
	hour := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	row := cloud.Traffic{TenantID: "t", ResourceID: "r", Slot: "nic:0", Meter: "egress", Bytes: 1_500_000_001, StartedAt: hour, EndedAt: hour.Add(time.Hour)}
	in := Input{
		Traffic: []cloud.Traffic{row}, Prices: []cloud.Price{{ID: "p", Meter: "egress", UnitPrice: "0.02", From: hour}},
		From: hour, To: hour.Add(time.Hour), Now: hour.Add(time.Hour),
	}
	got := sole(Charges(in))
	if got.Quantity.String() != "1.500000001" || got.Cost.String() != "0.03000000002" {
		t.Errorf("got %+v", got)
	}
	in.From, in.To = hour.Add(time.Hour), hour.Add(2*time.Hour)
	if got := sole(Charges(in)); !got.Quantity.IsZero() {
		t.Errorf("in the next hour: %+v", got)
	}
}

func TestBytesAndImagesAreSummedBesideTheRest(t *testing.T) {
	image := cloud.Interval{Seq: 1, TenantID: "t", ResourceID: "i", Resource: "debian", Reading: cloud.ImageReadings(cloud.ImageActive, nil, 3<<20-1)[0],
		StartedAt: time.UnixMilli(0), EndedAt: time.UnixMilli(10)}
	totals := AddTraffic(Sum([]cloud.Interval{image}, time.UnixMilli(0), time.UnixMilli(100), time.UnixMilli(100)),
		[]cloud.TrafficSum{{TenantID: "t", ResourceID: "a", Egress: 5, Ingress: 2}, {TenantID: "s", ResourceID: "a", Egress: 1}})
	want := []Total{
		{TenantID: "s", Kind: cloud.KindInstance, ResourceID: "a", Amounts: Amounts{Egress: 1}},
		{TenantID: "t", Kind: cloud.KindInstance, ResourceID: "a", Amounts: Amounts{Egress: 5, Ingress: 2}},
		{TenantID: "t", Kind: cloud.KindImage, ResourceID: "i", Resource: "debian", Amounts: Amounts{Image: Of(3, 10)}},
	}
	if diff := cmp.Diff(want, totals, cmp.AllowUnexported(Quantity{})); diff != "" {
		t.Errorf("want (-), got (+)\n%s", diff)
	}
	sum := ByTenant(totals)
	if len(sum) != 2 || sum[1].Egress != 5 || sum[1].Ingress != 2 || sum[1].Image != Of(3, 10) || sum[1].Kind != "" {
		t.Errorf("by tenant: %+v", sum)
	}
}

// What is kept in MiB is charged by the GiB, as its price says.
func TestImagesAndMemoryAreChargedByTheGiB(t *testing.T) {
	hour := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	for _, m := range []cloud.Meter{cloud.MeterMemory, cloud.MeterImage, cloud.MeterSnapshot} {
		in := Input{
			Intervals: []cloud.Interval{{
				Seq: 1, TenantID: "t", ResourceID: "r", Reading: cloud.Reading{Slot: "s", Meter: m, Amount: 1536, State: cloud.StateRunning},
				StartedAt: hour, EndedAt: hour.Add(time.Hour),
			}},
			Prices: []cloud.Price{{ID: "p", Meter: m, UnitPrice: "0.02", From: hour}},
			From:   hour, To: hour.Add(time.Hour), Now: hour.Add(time.Hour),
		}
		if got := sole(Charges(in)); got.Quantity.String() != "1.5" || got.Cost.String() != "0.03" {
			t.Errorf("%s: %s costs %s", m, got.Quantity, got.Cost)
		}
	}
}
