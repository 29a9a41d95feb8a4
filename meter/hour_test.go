package meter

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lodge/cloud"
)

// The digest of an hour covers lines as encoding/json writes them, whatever is in
// them: a line that was written otherwise would make every closed hour wrong.
func TestALineIsAsJSONWritesIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[a-z0-9:-]{0,40}`), rapid.String(), rapid.SampledFrom([]string{"<&>", "\u2028", "\x7f", "a\"b\\c", "\xff", "\t"}))
		l := Line{
			text.Draw(rt, "resource"), text.Draw(rt, "slot"), cloud.Meter(text.Draw(rt, "meter")), cloud.State(text.Draw(rt, "state")),
			Of(rapid.Int64Min(0).Draw(rt, "amount"), rapid.Int64Range(0, msHour).Draw(rt, "ms")),
		}
		want, err := json.Marshal([]string{l.ResourceID, l.Slot, string(l.Meter), string(l.State), l.Quantity.String()})
		if err != nil {
			rt.Fatal(err)
		}
		if got := l.append(nil); string(got) != string(want)+"\n" {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}

// The lines of an hour are the sums by resource, slot, meter and state, in order,
// whatever the order of the intervals.
func TestTheLinesOfAnHourAreTheSums(t *testing.T) {
	hour := time.Date(2026, 1, 1, 5, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		type key struct {
			resource, slot string
			meter          cloud.Meter
			state          cloud.State
		}
		want := map[key]Quantity{}
		var ivs []cloud.Interval
		for range rapid.IntRange(0, 30).Draw(rt, "intervals") {
			k := key{
				rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(rt, "resource"), rapid.SampledFrom([]string{"cpu", "memory"}).Draw(rt, "slot"),
				rapid.SampledFrom([]cloud.Meter{"vcpu", "memory"}).Draw(rt, "meter"), rapid.SampledFrom([]cloud.State{"running", "stopped"}).Draw(rt, "state"),
			}
			iv := cloud.Interval{ResourceID: k.resource, Reading: cloud.Reading{Slot: k.slot, Meter: k.meter, State: k.state, Amount: rapid.Int64Range(0, 1<<40).Draw(rt, "amount")}}
			from, length := rapid.Int64Range(-100, 3_600_100).Draw(rt, "from"), rapid.Int64Range(1, 4_000_000).Draw(rt, "length")
			iv.StartedAt = hour.Add(time.Duration(from) * time.Millisecond)
			if rapid.Bool().Draw(rt, "ended") {
				iv.EndedAt = iv.StartedAt.Add(time.Duration(length) * time.Millisecond)
			} else {
				length = msHour + 200
			}
			if ms := min(from+length, msHour) - max(from, 0); ms > 0 {
				want[k] = want[k].Plus(Of(iv.Amount, ms))
			}
			ivs = append(ivs, iv)
		}
		got := HourLines(cloud.HourContent{Intervals: ivs}, hour)
		if len(got) != len(want) {
			rt.Fatalf("%d lines, want %d: %+v", len(got), len(want), got)
		}
		for _, l := range got {
			if l.Quantity != want[key{l.ResourceID, l.Slot, l.Meter, l.State}] {
				rt.Fatalf("%+v, want %v", l, want)
			}
		}
		if !slices.IsSortedFunc(got, func(a, b Line) int {
			return cmp.Or(cmp.Compare(a.ResourceID, b.ResourceID), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Meter, b.Meter), cmp.Compare(a.State, b.State))
		}) {
			rt.Fatalf("not in order: %+v", got)
		}
	})
}
