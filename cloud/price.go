package cloud

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Price says what one unit of a meter costs, from when to when, and for whom.
// What has been used is never changed: a price can only be ended.
type Price struct {
	ID       string
	TenantID string // "": of every tenant
	Meter    Meter
	FlavorID string // "": whatever the flavor
	// Selector of labels, as Selector.String writes it; "": whatever the labels. Its
	// terms are sorted, except in a price that is older than that rule.
	Selector string
	// UnitPrice is decimal text, in the currency of the book per unit of the meter.
	UnitPrice string
	From      time.Time // whole hours, UTC
	To        time.Time // zero: no end is known; From: it was withdrawn and never counts
	// MinimumSeconds are billed for each start at least.
	MinimumSeconds int64
	// CapHours are what a slot costs in a month at most; 0: no cap.
	CapHours int64
	States   []State // in which it is billed; the others are free
	Currency string  // of the book
	Created  time.Time
}

// Tag names a version of a price: of what it is only its end can change.
func (p Price) Tag() string { return dated(p.Created, endMark(p.To)) }

func endMark(to time.Time) int64 {
	if to.IsZero() {
		return 0
	}
	return to.UnixMilli()
}

// Discount takes a part off what a tenant pays.
type Discount struct {
	ID       string
	TenantID string
	Meter    Meter     // "": every meter
	Percent  string    // decimal text, above 0, at most 100
	From, To time.Time // as of a Price
	Created  time.Time
}

// Tag names a version of a discount, as that of a price.
func (d Discount) Tag() string { return dated(d.Created, endMark(d.To)) }

// PriceFilter narrows a list of prices or discounts.
type PriceFilter struct {
	TenantID string    // what counts for this tenant: its own and the general ones
	Meter    Meter     // "": any
	At       time.Time // only what is valid then; zero: any time
}

// What of the book the chain of the ledger covers.
const (
	SealPrice       SealKind = "price"
	SealPriceEnd    SealKind = "price_end"
	SealDiscount    SealKind = "discount"
	SealDiscountEnd SealKind = "discount_end"
)

// Sealed is what the chain covers of a new price. An end that is put to it later
// is a row of its own.
func (p Price) Sealed() []byte {
	return row(p.ID, p.TenantID, p.Meter, p.FlavorID, p.Selector, p.UnitPrice, p.Currency, p.From.UnixMilli(), sealedEnd(p.To),
		p.MinimumSeconds, p.CapHours, p.States, p.Created.UnixMilli())
}

// Sealed is what the chain covers of a new discount.
func (d Discount) Sealed() []byte {
	return row(d.ID, d.TenantID, d.Meter, d.Percent, d.From.UnixMilli(), sealedEnd(d.To), d.Created.UnixMilli())
}

// sealedEnd is an end as the chain covers it: nothing while none is known.
func sealedEnd(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UnixMilli()
}

// BookEnd is an end that was put to a price or a discount later.
type BookEnd struct {
	ID       string // of what ended
	At, Said time.Time
}

// Sealed is what the chain covers of the end.
func (e BookEnd) Sealed() []byte { return row(e.ID, e.At.UnixMilli(), e.Said.UnixMilli()) }

// The bounds of a price.
const (
	MaxMinimumSeconds = 24 * 3600
	MaxCapHours       = 31 * 24
	maxWholeDigits    = 9
	maxPlaces         = 12
	maxPercentPlaces  = 4
)

// billing is how a meter is billed.
type billing struct {
	unit   string
	states []State // billed where a price says nothing; nil: all
}

var (
	onStates   = []State{StateRunning, StatePaused}
	diskStates = []State{StateRunning, StatePaused, StateStopped, StateSleeping}
)

var billings = map[Meter]billing{
	MeterInstance: {"h", onStates},
	MeterVCPU:     {"vCPU-h", onStates},
	MeterMemory:   {"GiB-h", onStates},
	MeterDisk:     {"GiB-h", diskStates},
	"volume":      {"GiB-h", nil},
	"snapshot":    {"GiB-h", nil},
	"image":       {"GiB-h", nil},
	"floating_ip": {"h", nil},
	"egress":      {"GB", nil},
	"ingress":     {"GB", nil},
}

// BilledMeters are the meters that a price can be of, in the order in which they
// are shown.
func BilledMeters() []Meter {
	return []Meter{MeterInstance, MeterVCPU, MeterMemory, MeterDisk, "volume", "snapshot", "image", "floating_ip", "egress", "ingress"}
}

// Unit is what a price of the meter is per: "h", "vCPU-h", "GiB-h" or "GB", which
// is 10^9 bytes. "" for a meter that has no price.
func (m Meter) Unit() string { return billings[m].unit }

// BilledStates are the states in which a meter is billed where its price does
// not say; nil is every state.
func (m Meter) BilledStates() []State { return billings[m].states }

// Bills reports whether the state is one of those billed.
func Bills(states []State, s State) bool { return len(states) == 0 || slices.Contains(states, s) }

// ValidateDecimal checks decimal text that is not negative: digits, and perhaps
// a point and at most so many digits.
func ValidateDecimal(field, text string, places int) []FieldError {
	whole, frac, point := strings.Cut(text, ".")
	if whole == "" || (point && frac == "") || strings.Trim(whole+frac, "0123456789") != "" {
		return fieldError(field, "This is a decimal number such as \"0.0125\", as text, not %s.", quoteShort(text))
	}
	if len(whole) > maxWholeDigits || len(frac) > places {
		return fieldError(field, "A decimal number has at most %d digits before the point and %d after it here.", maxWholeDigits, places)
	}
	return nil
}

// plainDecimal writes valid decimal text without digits that say nothing.
func plainDecimal(text string) string {
	whole, frac, _ := strings.Cut(text, ".")
	whole, frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if whole == "" {
		whole = "0"
	}
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// Hour is the beginning of the hour of t in UTC.
func Hour(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// Month is the beginning of the month of t in UTC.
func Month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// ChargeWindow is the part of the ledger that the charges of a period depend on:
// from the beginning of the month, for caps, and a little before, for minimums;
// to just behind its end, for what goes on there.
func ChargeWindow(from, to time.Time) (time.Time, time.Time) {
	return Month(from).Add(-MaxMinimumSeconds * time.Second), to.Add(time.Millisecond)
}

func validatePeriod(from, to, now time.Time) (bad []FieldError) {
	for _, at := range []struct {
		field string
		t     time.Time
	}{{"valid_from", from}, {"valid_to", to}} {
		if !at.t.Equal(Hour(at.t)) && !at.t.IsZero() {
			bad = append(bad, fieldError(at.field, "Prices begin and end at whole hours of UTC; %s is none.", at.t.UTC().Format(time.RFC3339Nano))...)
		}
	}
	if from.Before(Hour(now)) {
		bad = append(bad, fieldError("valid_from", "It cannot begin at %s: that is past, and what was used then has its price; this hour began at %s.",
			from.UTC().Format(time.RFC3339), Hour(now).Format(time.RFC3339))...)
	}
	if !to.IsZero() && !to.After(from) {
		bad = append(bad, fieldError("valid_to", "It ends at %s, which is not after its beginning.", to.UTC().Format(time.RFC3339))...)
	}
	return bad
}

// Checked fills in what a new price leaves out, and writes its parts in one
// spelling. Returns CodeInvalid with all that is wrong with it.
func (p Price) Checked(now time.Time) (Price, error) {
	var bad []FieldError
	if p.From.IsZero() {
		p.From = Hour(now)
	}
	p.From = p.From.UTC()
	if p.Meter.Unit() == "" {
		bad = append(bad, meterField(p.Meter)...)
	}
	if p.FlavorID != "" {
		bad = append(bad, ValidateFlavorID("flavor", p.FlavorID)...)
	}
	if p.Selector != "" {
		sel, err := ParseSelector(p.Selector)
		switch {
		case err != nil:
			bad = append(bad, FieldError{Field: "label", Message: MessageOf(err)})
		case strings.TrimSpace(p.Selector) != p.Selector:
			bad = append(bad, fieldError("label", "The label selector %s begins or ends with a space.", quoteShort(p.Selector))...)
		}
		p.Selector = sel.Sorted().String()
	}
	if wrong := ValidateDecimal("unit_price", p.UnitPrice, maxPlaces); wrong != nil {
		bad = append(bad, wrong...)
	} else {
		p.UnitPrice = plainDecimal(p.UnitPrice)
	}
	bad = append(bad, validatePeriod(p.From, p.To, now)...)
	bad = append(bad, p.validateBounds()...)
	if p.States == nil {
		p.States = p.Meter.BilledStates()
	}
	p.States = slices.Clone(p.States)
	slices.Sort(p.States)
	p.States = slices.Compact(p.States)
	for _, s := range p.States {
		if !slices.Contains(priceStates, s) {
			bad = append(bad, fieldError("states", "There is no state %s to bill.", quoteShort(string(s)))...)
		}
	}
	if p.Currency != "" {
		bad = append(bad, ValidateCurrency("currency", p.Currency)...)
	}
	return p, Invalid(bad)
}

var priceStates = []State{StateRequested, StateBuilding, StateRunning, StatePaused, StateStopped, StateSleeping, StateError}

func (p Price) validateBounds() (bad []FieldError) {
	traffic := p.Meter.Unit() == "GB"
	if p.MinimumSeconds < 0 || p.MinimumSeconds > MaxMinimumSeconds || (traffic && p.MinimumSeconds > 0) {
		bad = append(bad, fieldError("minimum_seconds", "A minimum is 0 to %d seconds, and of bytes there is none.", MaxMinimumSeconds)...)
	}
	if p.CapHours < 0 || p.CapHours > MaxCapHours || (traffic && p.CapHours > 0) {
		bad = append(bad, fieldError("cap_hours", "A cap is 0 to %d hours a month, 0 for none, and of bytes there is none.", MaxCapHours)...)
	}
	return bad
}

func meterField(m Meter) []FieldError {
	words := make([]string, 0, len(BilledMeters()))
	for _, m := range BilledMeters() {
		words = append(words, string(m))
	}
	return fieldError("meter", "The meter is one of %s, not %s.", strings.Join(words, ", "), quoteShort(string(m)))
}

// Checked is as that of a price.
func (d Discount) Checked(now time.Time) (Discount, error) {
	var bad []FieldError
	if d.From.IsZero() {
		d.From = Hour(now)
	}
	d.From = d.From.UTC()
	if d.TenantID == "" {
		bad = append(bad, fieldError("tenant", "A discount is of one tenant; name it.")...)
	}
	if d.Meter != "" && d.Meter.Unit() == "" {
		bad = append(bad, meterField(d.Meter)...)
	}
	if wrong := ValidateDecimal("percent", d.Percent, maxPercentPlaces); wrong != nil {
		bad = append(bad, wrong...)
	} else if d.Percent = plainDecimal(d.Percent); d.Percent == "0" || !atMostHundred(d.Percent) {
		bad = append(bad, fieldError("percent", "A discount is above 0 and at most 100 percent, not %s.", quoteShort(d.Percent))...)
	}
	bad = append(bad, validatePeriod(d.From, d.To, now)...)
	return d, Invalid(bad)
}

func atMostHundred(plain string) bool {
	whole, _, _ := strings.Cut(plain, ".")
	return len(whole) < 3 || plain == "100"
}

// CheckEnd says whether a price or discount that is valid from and to (zero: no
// end) may end at at. It ends at a whole hour that is not past, not before it
// begins, and not later than it would have. An end at its beginning withdraws
// what has not begun yet. Returns CodeInvalid else.
func CheckEnd(from, to, at, now time.Time) error {
	said := at.UTC().Format(time.RFC3339Nano)
	switch {
	case !at.Equal(Hour(at)):
		return Invalid(fieldError("at", "Prices begin and end at whole hours of UTC; %s is none.", said))
	case at.Before(now):
		return Invalid(fieldError("at", "It cannot end at %s: that is past, and what was used since has its price; the next hour begins at %s.", said, Hour(now).Add(time.Hour).Format(time.RFC3339)))
	case at.Before(from):
		return Invalid(fieldError("at", "It cannot end at %s, before it begins; end it at %s and it never counts.", said, from.UTC().Format(time.RFC3339)))
	case !to.IsZero() && !at.Before(to):
		return Invalid(fieldError("at", "It ends at %s already; an end can only come earlier.", to.UTC().Format(time.RFC3339)))
	}
	return nil
}

// SameAs reports whether both are prices of the same: then they must not be valid
// at one time.
func (p Price) SameAs(o Price) bool {
	return p.Meter == o.Meter && p.TenantID == o.TenantID && p.FlavorID == o.FlavorID && sortedSelector(p.Selector) == sortedSelector(o.Selector)
}

func sortedSelector(text string) string {
	sel, err := ParseSelector(text)
	if err != nil {
		return text
	}
	return sel.Sorted().String()
}

// Describe names what the price is of, for sentences and events.
func (p Price) Describe() string {
	out := string(p.Meter)
	if p.FlavorID != "" {
		out += " of flavor " + p.FlavorID
	}
	if p.Selector != "" {
		out += " with " + p.Selector
	}
	return fmt.Sprintf("%s at %s %s per %s", out, p.UnitPrice, p.Currency, p.Meter.Unit())
}

// The kinds of the rows of the book.
const (
	KindPrice    Kind = "price"
	KindDiscount Kind = "discount"
)
