package cloud

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The parts of a row are each of one hour, go on from each other and add up to it.
func TestTheHoursOfARowAddUpToIt(t *testing.T) {
	start := time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(7, 11))
	for range 2000 {
		row := Traffic{CounterStart: r.Int64N(1 << 40), Slot: "nic:0", Meter: MeterEgress, Device: "vnet0"}
		row.StartedAt = start.Add(time.Duration(r.Int64N(7_200_000)) * time.Millisecond)
		row.EndedAt = row.StartedAt.Add(time.Duration(1+r.Int64N(5*3_600_000)) * time.Millisecond)
		row.Bytes = 1 + r.Int64N(int64(1)<<(1+r.IntN(50)))
		row.CounterEnd = row.CounterStart + row.Bytes
		sum, counter, at := int64(0), row.CounterStart, row.StartedAt
		for _, p := range row.ByHour() {
			if !Hour(p.StartedAt).Equal(p.Hour()) || p.StartedAt.Before(at) || !p.EndedAt.After(p.StartedAt) || p.EndedAt.After(row.EndedAt) {
				t.Fatalf("%+v of %+v is not of one hour, or out of order", p, row)
			}
			if p.Bytes <= 0 || p.CounterStart != counter || p.CounterEnd-p.CounterStart != p.Bytes {
				t.Fatalf("%+v of %+v does not go on from %d", p, row, counter)
			}
			sum, counter, at = sum+p.Bytes, p.CounterEnd, p.EndedAt
		}
		if sum != row.Bytes || counter != row.CounterEnd {
			t.Fatalf("the parts of %+v add up to %d and end at %d", row, sum, counter)
		}
	}
}

func TestBytesAreSharedByTime(t *testing.T) {
	start := time.Date(2026, 11, 30, 22, 30, 0, 0, time.UTC)
	row := Traffic{Bytes: 7, CounterEnd: 7, StartedAt: start, EndedAt: start.Add(2 * time.Hour)}
	var got []int64
	for _, p := range row.ByHour() {
		got = append(got, p.Bytes)
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 4 || got[2] != 2 { // up to 1.75, 5.25 and 7
		t.Errorf("got %v", got)
	}
	row.Bytes, row.CounterEnd = 1, 1
	if parts := row.ByHour(); len(parts) != 1 || !parts[0].StartedAt.Equal(start.Add(90*time.Minute)) {
		t.Errorf("a single byte: %+v", parts)
	}
	row.Bytes, row.CounterEnd = math.MaxInt64, math.MaxInt64
	if parts := row.ByHour(); len(parts) != 3 || parts[2].CounterEnd != math.MaxInt64 {
		t.Errorf("all that a counter can hold: %+v", parts)
	}
	whole := Traffic{Bytes: 7, CounterEnd: 7, StartedAt: Hour(start), EndedAt: Hour(start).Add(time.Hour)}
	if parts := whole.ByHour(); len(parts) != 1 || parts[0] != whole {
		t.Errorf("a whole hour: %+v", parts)
	}
}

func TestAReadingBetweenTwo(t *testing.T) {
	at := time.Date(2026, 11, 30, 21, 59, 40, 0, time.UTC)
	prev := TrafficReading{InstanceID: "i", Run: at.Add(-time.Hour), At: at, NICs: []NICCounter{{"vnet0", 100, 7}, {"vnet1", 0, 0}}}
	next := TrafficReading{InstanceID: "i", Run: prev.Run, At: at.Add(30 * time.Second), NICs: []NICCounter{{"vnet0", 400, 7}, {"vnet1", 1, 5}}}
	hour := at.Add(20 * time.Second)
	got := next.Before(prev, hour)
	if !got.At.Equal(hour) || got.NICs[0] != (NICCounter{"vnet0", 300, 7}) || got.NICs[1] != (NICCounter{"vnet1", 0, 3}) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatAnHourIsMadeFromByTenant(t *testing.T) {
	c := HourContent{
		Intervals: []Interval{{TenantID: "b", Seq: 1}, {TenantID: "b", Seq: 2}, {TenantID: "d", Seq: 3}},
		Traffic:   []Traffic{{TenantID: "a", Seq: 1}, {TenantID: "b", Seq: 2}, {TenantID: "e", Seq: 3}, {TenantID: "e", Seq: 4}},
	}
	var got []string
	for tenant, of := range c.ByTenant() {
		got = append(got, fmt.Sprintf("%s %d %d", tenant, len(of.Intervals), len(of.Traffic)))
	}
	if want := []string{"a 0 1", "b 2 1", "d 1 0", "e 0 2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
