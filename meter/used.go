package meter

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
)

// usedBook has every meter cost nothing in each state in which it is used, and in
// any where it has no states: so no
// price, minimum or cap has a part in what was used.
var usedBook = func() (prices []cloud.Price) {
	ran := []cloud.State{cloud.StateRunning, cloud.StatePaused}
	for _, m := range []cloud.Meter{cloud.MeterInstance, cloud.MeterVCPU, cloud.MeterMemory, cloud.MeterEgress, cloud.MeterIngress} {
		prices = append(prices, cloud.Price{ID: string(m), Meter: m, UnitPrice: "0", States: ran})
	}
	for _, m := range []cloud.Meter{cloud.MeterDisk, cloud.MeterImage, cloud.MeterVolume, cloud.MeterSnapshot, cloud.MeterFloatingIP} {
		prices = append(prices, cloud.Price{ID: string(m), Meter: m, UnitPrice: "0", States: []cloud.State{}})
	}
	return prices
}()

// Used is Charges without money: what was used, and nothing that is owed beside.
func Used(in Input) iter.Seq[Charge] {
	in.Prices, in.Discounts = usedBook, nil
	return Charges(in)
}

// MeterShare is what was used of one meter by one group.
type MeterShare struct {
	Meter cloud.Meter
	Share
}

// ByMeter adds up by what key says of each charge and by its meter, in this order.
func ByMeter(charges iter.Seq[Charge], key func(Charge) (key, name string)) []MeterShare {
	const apart = "\x00" // is in no key
	shares := By(charges, func(c Charge) (string, string) {
		k, name := key(c)
		return k + apart + string(c.Meter), name
	})
	out := make([]MeterShare, 0, len(shares))
	for _, s := range shares {
		k, m, _ := strings.Cut(s.Key, apart)
		s.Key = k
		out = append(out, MeterShare{cloud.Meter(m), s})
	}
	slices.SortStableFunc(out, func(a, b MeterShare) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Daily cuts charges at days of UTC.
func Daily(charges iter.Seq[Charge]) iter.Seq[Charge] {
	return cut(charges, func(h time.Time) time.Time { return h.Truncate(24 * time.Hour).Add(24 * time.Hour) })
}
