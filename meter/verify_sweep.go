package meter

import (
	"cmp"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"lodge/cloud"
)

type slotKey struct {
	resource, slot string
	meter          cloud.Meter
}

type sumKey struct{ tenant, name string }

// sweep is a pass over the intervals in the order of their beginning. Those that
// touch the present hour are live.
type sweep struct {
	v    *verification
	kept map[hourKey]*cloud.UsageHour
	// pending are the hours that are to be corrected.
	pending map[hourKey]bool
	hour    time.Time // the next one to be made
	live    []cloud.Interval
	ends    map[slotKey]cloud.Interval // the last interval of each slot
	sums    map[sumKey]*big.Int        // what the intervals are, less what the hours say
}

func (s *sweep) take(iv cloud.Interval) error {
	s.v.Intervals++
	k := slotKey{iv.ResourceID, iv.Slot, iv.Meter}
	if last, ok := s.ends[k]; ok && (last.EndedAt.IsZero() || last.EndedAt.After(iv.StartedAt)) {
		s.v.add(CheckOverlap, "usage_interval", iv.Seq, "%s of %s is counted from %s on although row %d counts it too.",
			iv.Slot, iv.ResourceID, iv.StartedAt.Format(time.RFC3339Nano), last.Seq)
	}
	s.ends[k] = iv
	if ms, _ := overlap(iv, s.v.From, s.v.To, s.v.To); ms > 0 {
		s.sum(iv.TenantID, totalName(iv.Meter, iv.State), Of(iv.Amount, ms).String(), 1)
	}
	for s.hour.Before(s.v.To) && !iv.StartedAt.Before(s.hour.Add(time.Hour)) {
		if err := s.closeHour(); err != nil {
			return err
		}
	}
	s.live = append(s.live, iv)
	return nil
}

func (s *sweep) sum(tenant, name, amount string, sign int64) {
	n, ok := new(big.Int).SetString(amount, 10)
	if !ok {
		return // the digest of the hour tells of it
	}
	k := sumKey{tenant, name}
	if s.sums[k] == nil {
		s.sums[k] = new(big.Int)
	}
	s.sums[k].Add(s.sums[k], n.Mul(n, big.NewInt(sign)))
}

// closeHour makes the present hour from the live intervals and its bytes, and
// compares.
func (s *sweep) closeHour() error {
	hour := s.hour
	s.hour = hour.Add(time.Hour)
	s.live = slices.DeleteFunc(s.live, func(iv cloud.Interval) bool {
		return !iv.EndedAt.IsZero() && !iv.EndedAt.After(hour)
	})
	slices.SortStableFunc(s.live, func(a, b cloud.Interval) int { return cmp.Compare(a.TenantID, b.TenantID) })
	of := cloud.HourContent{Intervals: s.live}
	err := s.v.ledger.Traffic(hour, func(u cloud.Traffic) error {
		s.sum(u.TenantID, string(u.Meter), strconv.FormatInt(u.Bytes, 10), 1)
		of.Traffic = append(of.Traffic, u)
		return nil
	})
	if err != nil {
		return err
	}
	for tenantID, of := range of.ByTenant() {
		if err := s.compare(Hour(tenantID, hour, of)); err != nil {
			return err
		}
	}
	return nil
}

// compare compares an hour with what is kept of it, and takes it from the sums.
func (s *sweep) compare(h cloud.UsageHour) error {
	k := hourKey{h.TenantID, h.Hour.UnixMilli()}
	kept, known := s.kept[k]
	delete(s.kept, k)
	same := known && kept.Digest == h.Digest && kept.Lines == h.Lines || !known && h.Lines == 0
	if !same && s.pending[k] {
		was := cloud.UsageHour{TenantID: h.TenantID, Hour: h.Hour}
		if known {
			was = *kept
		}
		if explained, err := s.explained(was); err != nil || explained {
			s.subtract(h) // as it will be
			return err
		}
	}
	if h.Lines > 0 || known {
		s.v.Hours++
	}
	at := h.Hour.Format(time.RFC3339)
	switch {
	case !known && h.Lines > 0:
		s.v.add(CheckHour, "usage_hour", 0, "The hour %s of tenant %s is closed, and its %d lines are not kept.", at, h.TenantID, h.Lines)
	case !same:
		s.v.add(CheckHour, "usage_hour", kept.Seq, "The hour %s of tenant %s was closed with %d lines, and its intervals and bytes make %d; amounts then %s, now %s.",
			at, h.TenantID, kept.Lines, h.Lines, totalsText(kept.Totals), totalsText(h.Totals))
	}
	if known {
		s.subtract(*kept)
	}
	return nil
}

// explained reports whether an hour that is to be corrected was right when it was
// closed: what it is made of otherwise now the chain covers since. A row that says
// that an hour is to be corrected is no reason for it to differ.
func (s *sweep) explained(was cloud.UsageHour) (bool, error) {
	of, ok, err := s.v.ledger.HourKnown(was)
	if err != nil || !ok {
		return err == nil, err
	}
	h := Hour(was.TenantID, was.Hour, of)
	return h.Lines == was.Lines && (h.Lines == 0 || h.Digest == was.Digest), nil
}

// totalsText is the sums of an hour in words, the same each time.
func totalsText(totals map[string]string) string {
	words := make([]string, 0, len(totals))
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		words = append(words, name+" "+totals[name])
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (s *sweep) subtract(h cloud.UsageHour) {
	for name, amount := range h.Totals {
		s.sum(h.TenantID, name, amount, -1)
	}
}

// conserve looks at what is left: nothing, of the hours and of the sums.
func (s *sweep) conserve() error {
	for k, kept := range s.kept {
		if kept.Lines > 0 {
			if s.pending[k] {
				explained, err := s.explained(*kept)
				if err != nil {
					return err
				}
				if explained {
					continue
				}
			}
			s.v.add(CheckHour, "usage_hour", kept.Seq, "The hour %s of tenant %s has %d lines, and no interval touches it and no bytes are of it.",
				kept.Hour.Format(time.RFC3339), kept.TenantID, kept.Lines)
			s.subtract(*kept)
		}
	}
	for k, n := range s.sums {
		if n.Sign() == 0 {
			continue
		}
		if m := cloud.Meter(k.name); m == cloud.MeterEgress || m == cloud.MeterIngress {
			s.v.add(CheckConservation, "usage_hour", 0, "Of tenant %s the rows of traffic have %s bytes more of %s than the closed hours.", k.tenant, n, k.name)
		} else {
			s.v.add(CheckConservation, "usage_hour", 0, "Of tenant %s the intervals have %s more of %s than the closed hours, in amount x milliseconds.", k.tenant, n, k.name)
		}
	}
	return nil
}
