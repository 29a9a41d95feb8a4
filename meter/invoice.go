package meter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// Invoice makes an invoice: a cloud.MakeInvoice. It charges the month as a report
// does, adds what earlier invoices have wrong, and rounds once, at the end.
func Invoice(in cloud.InvoiceInput) (cloud.Invoice, error) {
	out := cloud.Invoice{TenantID: in.TenantID, Month: in.Month, Issuer: in.Terms.Issuer, Currency: in.Currency}
	lines, unpriced := monthLines(in.Month, inputOf(in.Ledger, in.Now))
	out.Unpriced = unpriced
	for _, late := range in.Late {
		known, _ := monthLines(late.Month, inputOf(late.Ledger, endOfMonth(late.Month)))
		more, err := corrections(known, late.Lines)
		if err != nil {
			return out, err
		}
		lines = append(lines, more...)
	}
	slices.SortFunc(lines, byPlace)
	out.Lines = lines
	return out, total(&out, in.Terms.TaxPercent)
}

func endOfMonth(month time.Time) time.Time { return month.AddDate(0, 1, 0) }

// byPlace is the order of lines on paper: the month first, corrections of the
// oldest month behind it.
func byPlace(a, b cloud.InvoiceLine) int {
	return cmp.Or(
		first(!a.Correction, !b.Correction), a.Month.Compare(b.Month), strings.Compare(a.Resource, b.Resource), strings.Compare(a.ResourceID, b.ResourceID),
		strings.Compare(a.Slot, b.Slot), strings.Compare(string(a.Meter), string(b.Meter)), strings.Compare(a.PriceID, b.PriceID),
		strings.Compare(a.DiscountID, b.DiscountID), strings.Compare(string(a.Kind), string(b.Kind)))
}

// lineKey is what two charges have in common that are one line.
type lineKey struct {
	month                                  int64
	kind                                   cloud.LineKind
	resource, slot                         string
	meter                                  cloud.Meter
	price, discount, unitPrice, lessByThat string
}

func keyOf(l cloud.InvoiceLine) lineKey {
	return lineKey{l.Month.UnixMilli(), l.Kind, l.ResourceID, l.Slot, l.Meter, l.PriceID, l.DiscountID, l.UnitPrice, l.Percent}
}

// LineOf is the line that a charge belongs to, without quantity and cost.
func LineOf(c Charge) cloud.InvoiceLine {
	return cloud.InvoiceLine{
		Month: cloud.Month(c.Hour), Kind: lineKind(c), ResourceID: c.ResourceID, Resource: c.Resource, Slot: c.Slot, Meter: c.Meter,
		PriceID: c.PriceID, DiscountID: c.DiscountID, UnitPrice: c.UnitPrice.String(), Percent: c.Percent.String(),
	}
}

// lineKind is the kind of the line of a charge. What tops up to a minimum beyond a
// cap costs nothing, as all beyond it.
func lineKind(c Charge) cloud.LineKind {
	switch {
	case c.Capped:
		return cloud.LineCapped
	case c.Minimum:
		return cloud.LineMinimum
	}
	return cloud.LineUsage
}

// lineSum adds charges up to a line.
type lineSum struct {
	cloud.InvoiceLine
	quantity, cost decimal.Decimal
	last           time.Time
}

func (s *lineSum) line() cloud.InvoiceLine {
	s.Quantity, s.Cost = s.quantity.String(), s.cost.String()
	return s.InvoiceLine
}

// monthLines charges a month. What has no price is on no line.
func monthLines(month time.Time, in Input) (lines []cloud.InvoiceLine, unpriced bool) {
	sums := map[lineKey]*lineSum{}
	in.From, in.To = month, endOfMonth(month)
	for c := range Charges(in) {
		if c.PriceID == "" {
			unpriced = true
			continue
		}
		line := LineOf(c)
		s := sums[keyOf(line)]
		if s == nil {
			s = &lineSum{InvoiceLine: line}
			sums[keyOf(line)] = s
		}
		if c.To.After(s.last) {
			s.Resource, s.last = c.Resource, c.To
		}
		s.quantity, s.cost = s.quantity.Add(c.Quantity()), s.cost.Add(c.Cost())
	}
	for _, s := range sums {
		lines = append(lines, s.line())
	}
	return lines, unpriced
}

func inputOf(l cloud.LedgerPart, now time.Time) Input {
	return Input{Intervals: l.Intervals, Facts: l.Facts, Traffic: l.Traffic, Prices: l.Prices, Discounts: l.Discounts, Now: now}
}

// corrections are the differences between what is known of a month and what is
// invoiced of it. They add up with that to what is known, exactly.
func corrections(known, invoiced []cloud.InvoiceLine) ([]cloud.InvoiceLine, error) {
	sums := map[lineKey]*lineSum{}
	for i, l := range append(slices.Clone(known), invoiced...) {
		quantity, cost, err := lineAmounts(l)
		if err != nil {
			return nil, err
		}
		if i >= len(known) {
			quantity, cost = quantity.Neg(), cost.Neg()
		}
		s := sums[keyOf(l)]
		if s == nil {
			s = &lineSum{InvoiceLine: l}
			sums[keyOf(l)] = s
		}
		s.quantity, s.cost = s.quantity.Add(quantity), s.cost.Add(cost)
	}
	var out []cloud.InvoiceLine
	for _, s := range sums {
		if s.quantity.IsZero() && s.cost.IsZero() {
			continue
		}
		s.Correction = true
		out = append(out, s.line())
	}
	return out, nil
}

func lineAmounts(l cloud.InvoiceLine) (quantity, cost decimal.Decimal, err error) {
	if quantity, err = decimal.NewFromString(l.Quantity); err == nil {
		cost, err = decimal.NewFromString(l.Cost)
	}
	if err != nil {
		err = fmt.Errorf("line of %s, %s: %w", l.ResourceID, l.Slot, err)
	}
	return quantity, cost, err
}

// total puts the sums to an invoice. The total is what is rounded, once: half to
// even, to the minor unit.
func total(i *cloud.Invoice, taxPercent string) error {
	subtotal, tax := decimal.Zero, decimal.Zero
	for _, l := range i.Lines {
		_, cost, err := lineAmounts(l)
		if err != nil {
			return err
		}
		subtotal = subtotal.Add(cost)
	}
	if taxPercent != "" {
		percent, err := decimal.NewFromString(taxPercent)
		if err != nil {
			return fmt.Errorf("tax: %w", err)
		}
		tax = subtotal.Mul(percent).Shift(-2)
		i.TaxPercent = percent.String()
	}
	exact := subtotal.Add(tax)
	whole := exact.RoundBank(int32(i.Currency.Minor))
	i.Subtotal, i.Tax, i.Rounding, i.Total = subtotal.String(), tax.String(), whole.Sub(exact).String(), whole.StringFixed(int32(i.Currency.Minor))
	return nil
}
