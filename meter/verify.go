package meter

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"lodge/cloud"
)

// Finding is something in the ledger that cannot be.
type Finding struct {
	Check   Check
	Table   string
	Row     int64 // its seq, or the number of a link; 0 when it is about no single row
	Message string
}

// Check names what was looked at.
type Check string

// The checks.
const (
	CheckRow          Check = "row"          // a row has what lodge cannot have written
	CheckChain        Check = "chain"        // a row or a link is not what it was when it was sealed
	CheckHead         Check = "head"         // the chain is not the one of an invoice, or of a head that was kept elsewhere
	CheckSeq          Check = "seq"          // a row is missing
	CheckOverlap      Check = "overlap"      // two intervals of a slot count the same time
	CheckOrphan       Check = "orphan"       // something is counted that is not there
	CheckOpen         Check = "open"         // what is counted now is not what was seen
	CheckClock        Check = "clock"        // the time that lodge goes by is not the one of its rows
	CheckHour         Check = "hour"         // a closed hour is not what its intervals make
	CheckConservation Check = "conservation" // the hours together are not what the intervals are
	CheckInvoice      Check = "invoice"      // an invoice is missing, does not add up, or is not what the ledger makes
)

// Report is what Verify has found.
type Report struct {
	Intervals, Hours, Links, Invoices int64
	// Pending is how many closed hours wait for their correction. They may differ from
	// what they are made of now by what the chain covers since.
	Pending  int64
	From, To time.Time       // of the closed hours
	Head     cloud.UsageSeal // the last link: whoever keeps its hash can tell later whether rows at the end were cut off
	Findings []Finding       // the first ones
	Wrong    int64           // all of them
}

// maxFindings bounds a report: of a ledger that is wrong throughout the first
// ones say enough.
const maxFindings = 200

func (r *Report) add(c Check, table string, row int64, format string, args ...any) {
	r.Wrong++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, Finding{c, table, row, fmt.Sprintf(format, args...)})
	}
}

// Verify computes everything in the ledger again that can be computed, and says
// what differs. An error means that it could not be read.
//
// heads are links that were kept elsewhere: the chain has to have each of them still.
func Verify(l cloud.Ledger, heads ...cloud.UsageSeal) (Report, error) {
	return verify(l, nil, heads)
}

// VerifyOn is Verify on the machine that keeps the ledger, with what its clocks show:
// the time that the next start goes by is looked at too.
func VerifyOn(t Tick, l cloud.Ledger, heads ...cloud.UsageSeal) (Report, error) {
	return verify(l, &t, heads)
}

func verify(l cloud.Ledger, t *Tick, heads []cloud.UsageSeal) (Report, error) {
	v := verification{ledger: l, tick: t, heads: map[int64][]head{}}
	for _, h := range heads {
		v.heads[h.N] = append(v.heads[h.N], head{h.Hash, "usage_seal", h.N, "the head that was kept elsewhere"})
	}
	for _, check := range []func() error{v.chain, v.orphans, v.open, v.clocks, v.hours, v.invoices, v.remakes} {
		if err := check(); err != nil {
			return v.Report, err
		}
	}
	if err := l.Misfits(func(m cloud.Misfit) error {
		v.add(CheckRow, m.Table, m.Row, "%s", m.Why)
		return nil
	}); err != nil {
		return v.Report, err
	}
	for _, r := range l.Unreadable() {
		v.add(CheckRow, r.Table, r.Row, "The row cannot be read, so it was left out: %s.", r.Why)
	}
	return v.Report, nil
}

type verification struct {
	Report
	ledger cloud.Ledger
	tick   *Tick            // of the machine; nil: unknown
	heads  map[int64][]head // what others say of a link
}

// head is the hash that a link has, as somebody else says.
type head struct {
	hash  [sha256.Size]byte
	table string
	row   int64
	who   string
}

// told compares a link with what others say of it.
func (v *verification) told(s cloud.UsageSeal) {
	for _, h := range v.heads[s.N] {
		if h.hash != s.Hash {
			v.add(CheckHead, h.table, h.row, "Link %d is %x, and %s has %x: what the chain had up to there is not what it has now.", s.N, s.Hash, h.who, h.hash)
		}
	}
	delete(v.heads, s.N)
}

// untold names what others say of links that are not there.
func (v *verification) untold() {
	for _, n := range slices.Sorted(maps.Keys(v.heads)) {
		for _, h := range v.heads[n] {
			v.add(CheckHead, h.table, h.row, "There is no link %d, and %s has %x for it: the end of the chain was cut off.", n, h.who, h.hash)
		}
	}
}

// chain computes every hash, and looks for rows without a link.
func (v *verification) chain() error {
	err := v.ledger.Invoices(func(i cloud.Invoice) error {
		if i.Head.N > 0 {
			v.heads[i.Head.N] = append(v.heads[i.Head.N], head{i.Head.Hash, "invoice", i.Seq, "the invoice " + i.Number})
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = v.ledger.Seals(func(s cloud.UsageSeal, row []byte) error {
		v.Links++
		if s.N != v.Head.N+1 {
			v.add(CheckChain, "usage_seal", s.N, "The link before it has the number %d.", v.Head.N)
		}
		switch {
		case row == nil:
			v.add(CheckChain, s.Kind.Table(), s.Ref, "The chain has a row of %s with this number, and it is not there.", s.Kind)
		case cloud.Seal(v.Head.Hash, s.Kind, row) != s.Hash:
			v.add(CheckChain, s.Kind.Table(), s.Ref, "Link %d does not fit: this row, the link or one before it was changed.", s.N)
		}
		v.told(s)
		v.Head = s
		return nil
	})
	if err != nil {
		return err
	}
	v.untold()
	return v.ledger.Unsealed(func(kind cloud.SealKind, ref int64) error {
		v.add(CheckChain, kind.Table(), ref, "The row is not covered by the chain: it was put in beside lodge.")
		return nil
	})
}

func (v *verification) orphans() error {
	return v.ledger.Orphans(func(iv cloud.Interval) error {
		v.add(CheckOrphan, "usage_interval", iv.Seq, "%s of %s is still counted, and there is no such object of the tenant any more.", iv.Slot, iv.ResourceID)
		return nil
	})
}

// hours goes through all intervals once, by their beginning, and through the bytes
// hour by hour: it looks for overlaps and missing rows, and makes each closed hour
// again.
func (v *verification) hours() error {
	kept, pending, err := v.keptHours()
	if err != nil {
		return err
	}
	if v.From, v.To, err = v.ledger.Closed(); err != nil {
		return err
	}
	s := sweep{v: v, kept: kept, pending: pending, hour: v.From, ends: map[slotKey]cloud.Interval{}, sums: map[sumKey]*big.Int{}}
	if err := v.ledger.Intervals(s.take); err != nil {
		return err
	}
	for s.hour.Before(v.To) {
		if err := s.closeHour(); err != nil {
			return err
		}
	}
	if err := s.conserve(); err != nil {
		return err
	}
	var drops int64
	if err := v.ledger.Drops(func(cloud.UsageDrop) error { drops++; return nil }); err != nil {
		return err
	}
	last, err := v.ledger.LastSeq()
	if err == nil && v.Intervals+drops != last {
		v.add(CheckSeq, "usage_interval", 0, "%d rows were written, and there are %d and %d drops: %d are missing.", last, v.Intervals, drops, last-v.Intervals-drops)
	}
	return err
}

type hourKey struct {
	tenant string
	hour   int64
}

// keptHours are the last revisions of the closed hours, and which of them are to be
// corrected.
func (v *verification) keptHours() (kept map[hourKey]*cloud.UsageHour, pending map[hourKey]bool, err error) {
	kept, pending = map[hourKey]*cloud.UsageHour{}, map[hourKey]bool{}
	err = v.ledger.Hours(func(h cloud.UsageHour) error {
		kept[hourKey{h.TenantID, h.Hour.UnixMilli()}] = &h
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return kept, pending, v.ledger.Recounts(func(h cloud.UsageHour) error {
		v.Pending++
		pending[hourKey{h.TenantID, h.Hour.UnixMilli()}] = true
		return nil
	})
}
