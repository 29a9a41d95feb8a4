package meter

import (
	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// invoices adds up each invoice again, and looks for missing numbers.
func (v *verification) invoices() error {
	return v.ledger.Invoices(func(i cloud.Invoice) error {
		v.Report.Invoices++
		if i.Seq != v.Report.Invoices {
			v.add(CheckInvoice, "invoice", i.Seq, "It is the invoice number %d, and the one before it is %d.", i.Seq, v.Report.Invoices-1)
			v.Report.Invoices = i.Seq
		}
		again := i
		if err := total(&again, i.TaxPercent); err != nil {
			v.add(CheckInvoice, "invoice", i.Seq, "The lines of %s cannot be added up: %v.", i.Number, err)
			return nil
		}
		for name, sums := range map[string][2]string{
			"subtotal": {i.Subtotal, again.Subtotal}, "tax": {i.Tax, again.Tax}, "rounding": {i.Rounding, again.Rounding}, "total": {i.Total, again.Total},
		} {
			if sums[0] != sums[1] {
				v.add(CheckInvoice, "invoice", i.Seq, "The %s of %s is %s, and its lines make %s.", name, i.Number, sums[0], sums[1])
			}
		}
		for n, l := range i.Lines {
			if !addsUp(l) {
				v.add(CheckInvoice, "invoice", i.Seq, "Line %d of %s costs %s, and %s x %s less %s%% is not that.", n+1, i.Number, l.Cost, l.Quantity, l.UnitPrice, l.Percent)
			}
		}
		return nil
	})
}

// addsUp reports whether the cost of a line is what its quantity and price make.
func addsUp(l cloud.InvoiceLine) bool {
	quantity, cost, err := lineAmounts(l)
	if err != nil {
		return false
	}
	unit, err := decimal.NewFromString(l.UnitPrice)
	if err != nil {
		return false
	}
	percent, err := decimal.NewFromString(l.Percent)
	if err != nil {
		return false
	}
	want := quantity.Mul(unit).Mul(hundred.Sub(percent)).Shift(-2)
	if l.Kind == cloud.LineCapped {
		want = decimal.Zero
	}
	return cost.Equal(want)
}
