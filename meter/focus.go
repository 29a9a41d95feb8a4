package meter

import (
	"cmp"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// The versions of the FinOps Open Cost and Usage Specification whose rows FocusMonth
// makes. https://focus.finops.org/focus-specification/
const (
	FocusDefault = "1.2"
	FocusNewest  = "1.3"
)

// FocusVersions are all of them.
func FocusVersions() []string { return []string{FocusDefault, FocusNewest} }

// FocusInput is what the rows of a month of a tenant are made from.
type FocusInput struct {
	Version  string
	Account  cloud.BillingAccount
	Issuer   string // who provides, publishes and invoices
	Currency cloud.Currency
	Month    time.Time
	From, To time.Time // whole hours within the month; all of them are closed
	Ledger   Input     // of the whole month
	Invoice  *cloud.Invoice
}

// FocusMonth gives the rows of a month: one for each hour, resource, slot, meter
// and price, in the order of resource, slot and time.
//
// The rows of an invoiced month add up to its invoice. What the ledger has learned
// since is not in them: the lines of the invoice that it says otherwise now come as
// they were invoiced, one row for the month, and the difference is in the month of
// the invoice that corrects them. What is of the whole month (those, corrections,
// tax and rounding) comes with its first hour.
func FocusMonth(in FocusInput) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		f := focus{FocusInput: in, yield: yield}
		otherwise := f.otherwise()
		in.Ledger.Traffic = slices.Clone(in.Ledger.Traffic)
		slices.SortStableFunc(in.Ledger.Traffic, func(a, b cloud.Traffic) int { // what is of one hour and slot has to come together
			return cmp.Or(cmp.Compare(a.ResourceID, b.ResourceID), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Meter, b.Meter), a.EndedAt.Compare(b.EndedAt))
		})
		in.Ledger.From, in.Ledger.To, in.Ledger.Now = in.From, in.To, in.To
		for part := range inHours(Charges(in.Ledger)) {
			if !f.done && !otherwise[keyOf(LineOf(part.Charge))] {
				f.charge(part)
			}
			if f.done {
				return
			}
		}
		if in.Invoice != nil && in.From.Equal(in.Month) {
			f.ofTheMonth(otherwise)
		}
	}
}

type focus struct {
	FocusInput
	yield func([]string) bool
	done  bool
}

// otherwise are the lines that the invoice and the ledger say differently.
func (f *focus) otherwise() map[lineKey]bool {
	if f.Invoice == nil {
		return nil
	}
	f.Ledger.Now = endOfMonth(f.Month)
	known, _ := monthLines(f.Month, f.Ledger)
	out := map[lineKey]bool{}
	invoiced := map[lineKey]cloud.InvoiceLine{}
	for _, l := range f.Invoice.Lines {
		if !l.Correction {
			invoiced[keyOf(l)] = l
			out[keyOf(l)] = true
		}
	}
	for _, l := range known {
		was := invoiced[keyOf(l)]
		out[keyOf(l)] = was.Quantity != l.Quantity || was.Cost != l.Cost
	}
	return out
}

// hourly is what a slot cost in one hour at one price, all of it.
type hourly struct {
	Charge
	unused Quantity // of it: what tops up to a minimum
}

// inHours cuts charges at whole hours and puts those parts of an hour together
// that differ in nothing but their time.
func inHours(charges iter.Seq[Charge]) iter.Seq[hourly] {
	return func(yield func(hourly) bool) {
		var hour []hourly // of one slot
		flush := func() bool {
			for _, h := range hour {
				if !yield(h) {
					return false
				}
			}
			hour = hour[:0]
			return true
		}
		for c := range Hourly(charges) {
			if len(hour) > 0 {
				if p := hour[0]; !p.Hour.Equal(c.Hour) || p.ResourceID != c.ResourceID || p.Slot != c.Slot || p.Meter != c.Meter || p.TenantID != c.TenantID {
					if !flush() {
						return
					}
				}
			}
			hour = added(hour, c)
		}
		flush()
	}
}

func added(hour []hourly, c Charge) []hourly {
	for i := range hour {
		if h := &hour[i]; alike(h.Charge, c) {
			h.each = h.each.Plus(c.each)
			h.unused = h.unused.Plus(unused(c))
			return hour
		}
	}
	return append(hour, hourly{c, unused(c)})
}

// unused is what of a charge of an hour is billed and was not used.
func unused(c Charge) Quantity {
	if c.Minimum {
		return c.each
	}
	return Quantity{}
}

// alike reports whether two charges of a slot and an hour are one row: what is
// beyond a cap is so whether it was used or tops up to a minimum.
func alike(a, b Charge) bool {
	return a.PriceID == b.PriceID && a.DiscountID == b.DiscountID && lineKind(a) == lineKind(b) &&
		a.Resource == b.Resource && a.Flavor == b.Flavor && maps.Equal(a.Labels, b.Labels)
}

// charge gives the row of an hour.
func (f *focus) charge(c hourly) {
	row := f.row(c.Meter, LineOf(c.Charge))
	row[colChargePeriodStart], row[colChargePeriodEnd] = focusTime(c.Hour), focusTime(c.Hour.Add(time.Hour))
	row[colFlavor], row[colTags] = c.Flavor, tags(c.Labels)
	f.money(row, c.Quantity(), c.UnitPrice, c.Percent, c.Cost())
	row[colConsumedQuantity] = inUnits(c.each.minus(c.unused)).String()
	f.tell(row)
}

func (f *focus) tell(row []string) {
	if !f.done && !f.yield(ofVersion(f.Version, row)) {
		f.done = true
	}
}

// ofTheMonth gives what the invoice has beside the hours.
func (f *focus) ofTheMonth(otherwise map[lineKey]bool) {
	list, contracted := decimal.Zero, decimal.Zero
	for _, l := range f.Invoice.Lines {
		row := f.row(l.Meter, l)
		quantity, unit, percent := decimal.RequireFromString(l.Quantity), decimal.RequireFromString(l.UnitPrice), decimal.RequireFromString(l.Percent)
		a, b := f.money(row, quantity, unit, percent, decimal.RequireFromString(l.Cost))
		list, contracted = list.Add(a), contracted.Add(b)
		if l.Correction {
			row[colChargeClass] = "Correction"
		} else if !otherwise[keyOf(l)] {
			continue
		}
		row[colChargePeriodStart], row[colChargePeriodEnd] = focusTime(l.Month), focusTime(endOfMonth(l.Month))
		f.tell(row)
	}
	if percent := f.Invoice.TaxPercent; percent != "" {
		p := decimal.RequireFromString(percent)
		f.extra("Tax", "Tax of "+percent+"%", f.Invoice.Tax, list.Mul(p).Shift(-2).String(), contracted.Mul(p).Shift(-2).String())
	}
	if r := f.Invoice.Rounding; r != "0" {
		f.extra("Adjustment", "Rounding of the total", r, r, r)
	}
}

// extra gives a row that is of no resource.
func (f *focus) extra(category, description, cost, list, contracted string) {
	row := f.account()
	row[colChargeCategory], row[colChargeDescription], row[colChargeFrequency] = category, description, "Recurring"
	row[colChargePeriodStart], row[colChargePeriodEnd] = focusTime(f.Month), focusTime(endOfMonth(f.Month))
	row[colBilledCost], row[colEffectiveCost], row[colListCost], row[colContractedCost] = cost, cost, list, contracted
	row[colServiceCategory], row[colServiceSubcategory], row[colServiceName] = "Other", "Other (Other)", "Invoicing"
	f.tell(row)
}

// account is a row with what all rows of the month have in common.
func (f *focus) account() []string {
	row := make([]string, colCount)
	row[colBillingAccountID], row[colBillingAccountName], row[colBillingCurrency] = f.Account.ID, f.Account.Name, f.Currency.Code
	row[colBillingPeriodStart], row[colBillingPeriodEnd] = focusTime(f.Month), focusTime(endOfMonth(f.Month))
	row[colInvoiceIssuerName], row[colProviderName], row[colPublisherName] = f.Issuer, f.Issuer, f.Issuer
	row[colServiceProviderName], row[colHostProviderName] = f.Issuer, f.Issuer
	if f.Invoice != nil {
		row[colInvoiceID] = f.Invoice.Number
	}
	return row
}

// row is a row of usage without time and money.
func (f *focus) row(m cloud.Meter, l cloud.InvoiceLine) []string {
	row, what := f.account(), focusMeters[m]
	row[colChargeCategory], row[colChargeFrequency], row[colPricingCategory] = "Usage", "Usage-Based", "Standard"
	row[colChargeDescription] = what.name + " of " + l.Resource + ", " + l.Slot
	switch l.Kind {
	case cloud.LineMinimum:
		row[colChargeDescription] += ", up to the minimum of a start"
	case cloud.LineCapped:
		row[colChargeDescription] += ", beyond the monthly cap"
	}
	row[colConsumedUnit], row[colPricingUnit] = what.unit, what.unit
	row[colResourceID], row[colResourceName], row[colResourceType] = l.ResourceID, l.Resource, what.resource
	row[colServiceCategory], row[colServiceSubcategory], row[colServiceName] = what.category, what.subcategory, what.service
	row[colSkuID], row[colSkuMeter], row[colSkuPriceID] = string(m), what.name, l.PriceID
	if l.PriceID == "" {
		row[colSkuPriceID] = string(m) // there is no price to name: it is the SKU's, and 0
	}
	row[colSkuPriceDetails] = priceDetails(m)
	row[colKind], row[colSlot], row[colDiscountID] = string(l.Kind), l.Slot, l.DiscountID
	return row
}

// money puts quantity, prices and costs to a row. A discount is what the tenant
// and the installation have agreed on: it makes the contracted price.
func (f *focus) money(row []string, quantity, unit, percent, cost decimal.Decimal) (list, contracted decimal.Decimal) {
	agreed := unit.Mul(hundred.Sub(percent)).Shift(-2)
	list, contracted = quantity.Mul(unit), quantity.Mul(agreed)
	row[colPricingQuantity], row[colConsumedQuantity] = quantity.String(), quantity.String()
	if row[colKind] == string(cloud.LineMinimum) {
		row[colConsumedQuantity] = "0" // it was not used, only billed
	}
	row[colListUnitPrice], row[colListCost] = unit.String(), list.String()
	row[colContractedUnitPrice], row[colContractedCost] = agreed.String(), contracted.String()
	row[colBilledCost], row[colEffectiveCost] = cost.String(), cost.String()
	return list, contracted
}

func focusTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func tags(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	b, err := json.Marshal(labels)
	if err != nil {
		panic(err) // maps of text always marshal
	}
	return string(b)
}
