package wire

// Invoice is what a tenant owes for a month. It never changes.
type Invoice struct {
	ID       string `json:"id,omitempty"`     // absent of a draft
	Number   string `json:"number,omitempty"` // absent of a draft
	Draft    bool   `json:"draft"`
	TenantID string `json:"tenant_id"`
	Tenant   string `json:"tenant"`           // its name then
	Month    string `json:"month"`            // "2026-11", of UTC
	Issuer   string `json:"issuer,omitempty"` // lines of text
	Currency string `json:"currency"`
	Minor    int    `json:"minor_digits"` // of the currency; Total has so many
	// Lines are absent in lists of invoices.
	Lines      []InvoiceLine `json:"lines,omitzero"`
	Subtotal   string        `json:"subtotal"`              // exact sum of the lines
	TaxPercent string        `json:"tax_percent,omitempty"` // absent: tax is left out
	Tax        string        `json:"tax"`                   // exact
	Rounding   string        `json:"rounding"`              // makes Total whole
	Total      string        `json:"total"`
	Note       string        `json:"note,omitempty"` // "no price": some use had none and is on no line
	Head       ChainLink     `json:"head"`           // of the ledger's chain, just before
	CreatedAt  Time          `json:"created_at"`
}

// InvoiceLine is what one slot of a resource cost in a month at one price.
type InvoiceLine struct {
	Month           string `json:"month"`      // an earlier one of a correction
	Correction      bool   `json:"correction"` // the difference to what was invoiced of Month
	Kind            string `json:"kind"`       // "usage", "minimum", "beyond_cap"
	ResourceID      string `json:"resource_id"`
	Resource        string `json:"resource"` // its name
	Slot            string `json:"slot"`
	Meter           string `json:"meter"`
	Unit            string `json:"unit"`
	PriceID         string `json:"price_id"`
	DiscountID      string `json:"discount_id,omitempty"`
	Quantity        string `json:"quantity"` // decimal text, at most 9 places
	UnitPrice       string `json:"unit_price"`
	DiscountPercent string `json:"discount_percent,omitempty"`
	Cost            string `json:"cost"` // exact
}

// CreateInvoice freezes a month of a tenant.
type CreateInvoice struct {
	Tenant string `json:"tenant"`
	Month  string `json:"month"` // "2026-11"
}

// UsageSink is how far the receiver of usage events has got.
type UsageSink struct {
	Configured bool `json:"configured"`
	// URL is without what could be a secret in it.
	URL        string   `json:"url,omitempty"`
	Sent       int64    `json:"sent"` // events that it has taken, of this address
	SentAt     Time     `json:"sent_at,omitzero"`
	Pending    int64    `json:"pending_hours"`        // closed hours of tenants that it has not taken
	LagSeconds int64    `json:"lag_seconds"`          // since the oldest of them was closed
	OldestHour Time     `json:"oldest_hour,omitzero"` // of them
	Problem    *Problem `json:"problem,omitempty"`
}
