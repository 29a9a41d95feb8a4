package cloud

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Invoice is what a tenant owes for a month, as it was known when the month was
// frozen. It never changes: what is found out later is on a later invoice.
type Invoice struct {
	ID       string
	Seq      int64  // counts from 1 without gaps, over all tenants
	Number   string // Seq with the prefix of the installation: "INV-000007"
	TenantID string
	Tenant   string    // its name then
	Month    time.Time // its first instant, UTC
	Issuer   string    // lines of text; "" when the installation has not said who it is
	Currency Currency
	// Subtotal is the exact sum of the lines, Tax is exactly TaxPercent of it, and
	// Rounding makes of both a Total that is whole in the minor unit. All are decimal
	// text. TaxPercent is "" where the installation has set none.
	Subtotal, TaxPercent, Tax, Rounding, Total string

	Unpriced bool // something was used that had no price, and is on no line
	Lines    []InvoiceLine
	// HoursSeq is the newest closed hour that was known. What is newer and is of an
	// invoiced month is corrected by the next invoice.
	HoursSeq int64
	Head     UsageSeal // the end of the chain just before this invoice
	// NextInterval is the number that the next interval of the ledger had then. With
	// Head it says what was known. 0: from before that was kept.
	NextInterval int64
	Created      time.Time
}

// LineKind says what a line of an invoice is.
type LineKind string

// The kinds of line.
const (
	LineUsage   LineKind = "usage"
	LineMinimum LineKind = "minimum"    // up to what each start costs at least
	LineCapped  LineKind = "beyond_cap" // what was used beyond the cap of its price; it costs nothing
)

// LineKinds are all of them.
func LineKinds() []LineKind { return []LineKind{LineUsage, LineMinimum, LineCapped} }

// InvoiceLine is what one slot of a resource cost in a month at one price.
type InvoiceLine struct {
	Month      time.Time // the invoice's, or an earlier one: then it is a correction
	Correction bool      // the difference to what earlier invoices say of Month
	Kind       LineKind
	ResourceID string
	Resource   string // its name when it was last charged
	Slot       string
	Meter      Meter
	PriceID    string
	DiscountID string // "": none
	// Decimal text. Quantity has at most 9 places and is below 0 where too much was
	// invoiced. Cost is exact: Quantity x UnitPrice, less the discount, or 0.
	Quantity, UnitPrice, Percent, Cost string
}

// NewInvoice asks for an invoice.
type NewInvoice struct {
	ID       string
	TenantID string
	Month    time.Time
	InvoiceTerms
}

// InvoiceTerms are what the installation says of its invoices.
type InvoiceTerms struct {
	Prefix     string // of the numbers
	Issuer     string
	TaxPercent string // "": tax is left out
}

// InvoiceFilter narrows a list of invoices.
type InvoiceFilter struct {
	TenantID string
	Month    time.Time // zero: any
}

// InvoiceInput is all that an invoice is a function of.
type InvoiceInput struct {
	TenantID string
	Month    time.Time
	Now      time.Time // up to when what runs is counted; the month's end when it is over
	Terms    InvoiceTerms
	Currency Currency
	Ledger   LedgerPart // of the month
	// Late are months of earlier invoices of which something was found out since.
	Late []InvoicedMonth
}

// InvoicedMonth is a month that has its invoice, as it is known now.
type InvoicedMonth struct {
	Month  time.Time
	Ledger LedgerPart
	Lines  []InvoiceLine // that all invoices so far have of it
}

// LedgerPart is what the charges of a period are made from.
type LedgerPart struct {
	Intervals []Interval
	Facts     []UsageFact
	Traffic   []Traffic // that belongs to the period
	Prices    []Price
	Discounts []Discount
}

// MakeInvoice makes the lines and sums of an invoice: a pure function.
type MakeInvoice func(InvoiceInput) (Invoice, error)

// SealInvoice is the link that covers an invoice with all of its lines.
const SealInvoice SealKind = "invoice"

// KindInvoice is the kind of an invoice in events.
const KindInvoice Kind = "invoice"

// NumberOf is the number of the invoice that is the seq-th.
func (t InvoiceTerms) NumberOf(seq int64) string { return fmt.Sprintf("%s%06d", t.Prefix, seq) }

// Sealed is the invoice with its lines as the chain covers it.
func (i Invoice) Sealed() []byte {
	lines := sha256.New()
	for _, l := range i.Lines {
		lines.Write(row(l.Month.UnixMilli(), l.Correction, l.Kind, l.ResourceID, l.Resource, l.Slot, l.Meter, l.PriceID, l.DiscountID,
			l.Quantity, l.UnitPrice, l.Percent, l.Cost))
		lines.Write([]byte{'\n'})
	}
	values := []any{i.Seq, i.ID, i.Number, i.TenantID, i.Tenant, i.Month.UnixMilli(), i.Issuer, i.Currency.Code, i.Currency.Minor,
		i.Subtotal, i.TaxPercent, i.Tax, i.Rounding, i.Total, i.Unpriced, len(i.Lines), lines.Sum(nil), i.HoursSeq, i.Head.N, i.Head.Hash[:], i.Created.UnixMilli()}
	if i.NextInterval > 0 { // older ones stay as they were sealed
		values = append(values, i.NextInterval)
	}
	return row(values...)
}

// ValidateTerms checks what the installation says of its invoices.
func ValidateTerms(t InvoiceTerms) error {
	var bad []FieldError
	if len(t.Prefix) > 20 || !plainWord(t.Prefix) {
		bad = append(bad, fieldError("prefix", "The prefix of invoices is at most 20 letters, digits and any of - _ / . without spaces, not %s.", quoteShort(t.Prefix))...)
	}
	if len(t.Issuer) > 1000 {
		bad = append(bad, fieldError("issuer", "The issuer of invoices has at most 1000 bytes.")...)
	}
	if t.TaxPercent != "" {
		bad = append(bad, ValidateDecimal("tax", t.TaxPercent, maxPercentPlaces)...)
		if len(bad) == 0 && !atMostHundred(plainDecimal(t.TaxPercent)) {
			bad = append(bad, fieldError("tax", "The tax is at most 100 percent, not %s.", quoteShort(t.TaxPercent))...)
		}
	}
	return Invalid(bad)
}

func plainWord(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '/' && r != '.' {
			return false
		}
	}
	return true
}

// BillingAccount is whom invoices go to: a tenant, perhaps deleted since.
type BillingAccount struct{ ID, Name string }
