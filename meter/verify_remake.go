package meter

import (
	"math"
	"slices"
	"time"

	"lodge/cloud"
)

// remakes makes each invoice again, from the ledger and the book as they were known
// when it was made, and names the lines that differ. What was found out since is
// not in that: it has to be on the invoice that came next, which is made again too.
func (v *verification) remakes() error {
	var t *remaking
	err := v.ledger.InvoicesByTenant(func(i cloud.Invoice) error {
		if t == nil || t.last.TenantID != i.TenantID {
			if err := t.finish(); err != nil {
				return err
			}
			t = &remaking{v: v, lines: map[time.Time][]cloud.InvoiceLine{}}
		}
		return t.invoice(i)
	})
	if err != nil {
		return err
	}
	return t.finish()
}

// remaking goes through the invoices of a tenant.
type remaking struct {
	v      *verification
	last   cloud.Invoice // but its lines
	months []time.Time   // that are invoiced
	lines  map[time.Time][]cloud.InvoiceLine
	wrong  bool // a line differs: the sums do too
}

func (t *remaking) invoice(i cloud.Invoice) error {
	var late []time.Time
	for _, month := range t.months {
		revised, err := t.v.ledger.Revised(t.last, i, month)
		if err != nil {
			return err
		}
		if revised {
			late = append(late, month)
		}
	}
	// Of an older invoice nobody knows which of the intervals that went on had begun:
	// it is right when either makes it.
	tries := []int64{i.NextInterval}
	if i.NextInterval == 0 {
		tries = []int64{math.MaxInt64, 0}
	}
	var differ []lineDiffers
	for n, next := range tries {
		d, err := t.again(i, late, next)
		if err != nil {
			return err
		}
		if n == 0 || len(d) == 0 {
			differ = d
		}
		if len(d) == 0 {
			break
		}
	}
	for _, d := range differ {
		t.wrong = true
		d.tell(t.v, i)
	}
	for _, l := range i.Lines {
		t.lines[l.Month] = append(t.lines[l.Month], l)
	}
	t.months = append(t.months, i.Month)
	i.Lines = nil
	t.last = i
	return nil
}

// again makes an invoice from what was known, and compares.
func (t *remaking) again(i cloud.Invoice, late []time.Time, next int64) (out []lineDiffers, err error) {
	in := cloud.InvoiceInput{
		TenantID: i.TenantID, Month: i.Month, Now: endOfMonth(i.Month), Currency: i.Currency,
		Terms: cloud.InvoiceTerms{Issuer: i.Issuer, TaxPercent: i.TaxPercent},
	}
	if in.Ledger, err = t.v.ledger.Known(i, i.Month, next); err != nil {
		return nil, err
	}
	for _, month := range late {
		m := cloud.InvoicedMonth{Month: month, Lines: t.lines[month]}
		if m.Ledger, err = t.v.ledger.Known(i, month, next); err != nil {
			return nil, err
		}
		in.Late = append(in.Late, m)
	}
	made, err := Invoice(in)
	if err != nil {
		return nil, nil // its lines cannot be read, which the sums tell of
	}
	return compareLines(i.Lines, made.Lines), nil
}

// lineDiffers is a line that an invoice has otherwise than the ledger. One of both
// may be missing.
type lineDiffers struct {
	n          int // of the invoice, from 1
	has, makes *cloud.InvoiceLine
}

func compareLines(has, makes []cloud.InvoiceLine) (out []lineDiffers) {
	type key struct {
		lineKey
		correction bool
	}
	known := map[key]*cloud.InvoiceLine{}
	for n := range makes {
		known[key{keyOf(makes[n]), makes[n].Correction}] = &makes[n]
	}
	for n := range has {
		k := key{keyOf(has[n]), has[n].Correction}
		made := known[k]
		delete(known, k)
		if made == nil || made.Quantity != has[n].Quantity || made.Cost != has[n].Cost {
			out = append(out, lineDiffers{n + 1, &has[n], made})
		}
	}
	for n := range makes {
		if l := known[key{keyOf(makes[n]), makes[n].Correction}]; l != nil {
			out = append(out, lineDiffers{0, nil, l})
		}
	}
	return out
}

func (d lineDiffers) tell(v *verification, i cloud.Invoice) {
	l := d.has
	if l == nil {
		l = d.makes
	}
	what, month := l.Slot+" of "+l.ResourceID, l.Month.Format("2006-01")
	switch {
	case d.has == nil:
		v.add(CheckInvoice, "invoice", i.Seq, "%s has no line of %s in %s at %s, and the ledger as it was known then makes %s for %s.",
			i.Number, what, month, l.UnitPrice, l.Quantity, l.Cost)
	case d.makes == nil:
		v.add(CheckInvoice, "invoice", i.Seq, "Line %d of %s says %s of %s in %s at %s for %s, and the ledger as it was known then makes nothing of it.",
			d.n, i.Number, l.Quantity, what, month, l.UnitPrice, l.Cost)
	default:
		v.add(CheckInvoice, "invoice", i.Seq, "Line %d of %s says %s of %s in %s at %s for %s, and the ledger as it was known then makes %s for %s.",
			d.n, i.Number, l.Quantity, what, month, l.UnitPrice, l.Cost, d.makes.Quantity, d.makes.Cost)
	}
}

// open reports whether something of a month was found out that the next invoice
// will correct.
func (t *remaking) open(month time.Time) (bool, error) {
	next := cloud.Invoice{TenantID: t.last.TenantID, HoursSeq: math.MaxInt64, Head: cloud.UsageSeal{N: math.MaxInt64}}
	revised, err := t.v.ledger.Revised(t.last, next, month)
	if err != nil || revised {
		return revised, err
	}
	from, to := month.Add(-lookback), endOfMonth(month)
	err = t.v.ledger.Recounts(func(h cloud.UsageHour) error {
		revised = revised || h.TenantID == t.last.TenantID && !h.Hour.Before(from) && h.Hour.Before(to)
		return nil
	})
	return revised, err
}

// finish looks at all that was invoiced of the tenant's months: as of its last
// invoice it is what the ledger makes of them, with nothing left to correct.
func (t *remaking) finish() error {
	if t == nil || t.wrong || t.last.NextInterval == 0 {
		return nil
	}
	slices.SortFunc(t.months, time.Time.Compare)
	for _, month := range t.months {
		open, err := t.open(month)
		if err != nil {
			return err
		}
		if open {
			continue
		}
		part, err := t.v.ledger.Known(t.last, month, t.last.NextInterval)
		if err != nil {
			return err
		}
		known, _ := monthLines(month, inputOf(part, endOfMonth(month)))
		left, err := corrections(known, t.lines[month])
		if err != nil {
			return nil // as above
		}
		for _, l := range left {
			t.v.add(CheckInvoice, "invoice", t.last.Seq, "Of %s of %s in %s the ledger had %s for %s more than all invoices up to %s say, and that is on none of them.",
				l.Slot, l.ResourceID, month.Format("2006-01"), l.Quantity, l.Cost, t.last.Number)
		}
	}
	return nil
}
