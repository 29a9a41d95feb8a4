package wire

// Price is what one unit of a meter costs. It is never changed, only ended.
type Price struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenant_id,omitempty"` // absent: of every tenant
	Meter          string   `json:"meter"`
	Unit           string   `json:"unit"` // "h", "vCPU-h", "GiB-h", "GB"
	Flavor         string   `json:"flavor,omitempty"`
	Label          string   `json:"label,omitempty"` // a selector
	UnitPrice      string   `json:"unit_price"`      // decimal text
	Currency       string   `json:"currency"`
	ValidFrom      Time     `json:"valid_from"`
	ValidTo        Time     `json:"valid_to,omitzero"` // not part of it; absent: no end is known
	MinimumSeconds int64    `json:"minimum_seconds"`   // of each start
	CapHours       int64    `json:"cap_hours"`         // of a slot in a month; 0: none
	States         []string `json:"states"`            // that are billed; empty: all
	CreatedAt      Time     `json:"created_at"`
}

// CreatePrice asks for a price. Times are of RFC 3339, days or months.
type CreatePrice struct {
	Tenant         string   `json:"tenant,omitempty"`
	Meter          string   `json:"meter"`
	Flavor         string   `json:"flavor,omitempty"`
	Label          string   `json:"label,omitempty"`
	UnitPrice      string   `json:"unit_price"`
	Currency       string   `json:"currency,omitempty"` // the first price says it
	ValidFrom      string   `json:"valid_from,omitempty"`
	ValidTo        string   `json:"valid_to,omitempty"`
	MinimumSeconds int64    `json:"minimum_seconds,omitempty"`
	CapHours       int64    `json:"cap_hours,omitempty"`
	States         []string `json:"states,omitzero"`   // absent: those of the meter
	Replace        bool     `json:"replace,omitempty"` // end the price of the same where this one begins
}

// EndPrice says when a price or discount ends: at the next whole hour when it
// does not say.
type EndPrice struct {
	At string `json:"at,omitempty"`
}

// Discount takes a part off what a tenant pays.
type Discount struct {
	ID        string `json:"id"`
	TenantID  string `json:"tenant_id"`
	Meter     string `json:"meter,omitempty"` // absent: every meter
	Percent   string `json:"percent"`
	ValidFrom Time   `json:"valid_from"`
	ValidTo   Time   `json:"valid_to,omitzero"`
	CreatedAt Time   `json:"created_at"`
}

// CreateDiscount asks for a discount.
type CreateDiscount struct {
	Tenant    string `json:"tenant"`
	Meter     string `json:"meter,omitempty"`
	Percent   string `json:"percent"`
	ValidFrom string `json:"valid_from,omitempty"`
	ValidTo   string `json:"valid_to,omitempty"`
}

// CreateEstimate asks what an instance would cost. A size is said as for a new
// instance.
type CreateEstimate struct {
	Tenant        string            `json:"tenant,omitempty"`
	Size          string            `json:"size,omitempty"`
	VCPUs         *int              `json:"vcpus,omitempty"`
	MemoryMiB     *int              `json:"memory_mib,omitempty"`
	DiskGiB       *int              `json:"disk_gib,omitempty"`
	Flavor        string            `json:"flavor,omitempty"`
	Image         string            `json:"image,omitempty"` // only for the size of its disk
	Labels        map[string]string `json:"labels,omitempty"`
	HoursPerMonth *int64            `json:"hours_per_month,omitempty"` // that it runs; 730
}

// SizeEstimate is what an instance of a size would cost.
type SizeEstimate struct {
	TenantID  string        `json:"tenant_id"`
	VCPUs     int           `json:"vcpus"`
	MemoryMiB int           `json:"memory_mib"`
	DiskGiB   int           `json:"disk_gib"`
	Flavor    string        `json:"flavor,omitempty"`
	Price     PriceEstimate `json:"price"`
}

// PriceEstimate is what an instance costs while it runs, at the prices of now.
type PriceEstimate struct {
	Currency      string         `json:"currency,omitempty"`
	PerHour       string         `json:"per_hour"`  // decimal text, exact
	PerMonth      string         `json:"per_month"` // of 730 hours
	HoursPerMonth int64          `json:"hours_per_month"`
	Lines         []EstimateLine `json:"lines"`
	Note          string         `json:"note,omitempty"` // "no price": some of it has none
}

// EstimateLine is one meter of a PriceEstimate.
type EstimateLine struct {
	Meter           string `json:"meter"`
	Unit            string `json:"unit"`
	Quantity        string `json:"quantity"` // in an hour
	PriceID         string `json:"price_id,omitempty"`
	UnitPrice       string `json:"unit_price"`
	DiscountPercent string `json:"discount_percent,omitempty"`
	HoursPerMonth   int64  `json:"hours_per_month"` // that are billed
	PerHour         string `json:"per_hour"`
	PerMonth        string `json:"per_month"`
}

// InstanceCost is what an instance cost in this month so far.
type InstanceCost struct {
	Currency string `json:"currency,omitempty"`
	Cost     string `json:"cost"` // decimal text, exact
	From     Time   `json:"from"`
	At       Time   `json:"at"` // up to when
	Note     string `json:"note,omitempty"`
}

// Cost is what was used in [From, To) costs, as known at At.
type Cost struct {
	From     Time          `json:"from"`
	To       Time          `json:"to"`
	At       Time          `json:"at"` // what still runs was counted up to here
	Currency string        `json:"currency,omitempty"`
	Minor    int           `json:"minor_digits"` // of the currency; costs are not rounded to it
	Cost     string        `json:"cost"`         // decimal text, exact
	ListCost string        `json:"list_cost"`    // without caps and discounts
	By       string        `json:"by"`
	Lines    []CostLine    `json:"lines"` // add up to Cost
	Note     string        `json:"note,omitempty"`
	Forecast *CostForecast `json:"forecast,omitempty"`
}

// CostLine is a part of a cost.
type CostLine struct {
	Key      string `json:"key"`            // an id, a day, an hour, a value of the label, a meter
	Name     string `json:"name,omitempty"` // of what the key is the id of
	Quantity string `json:"quantity,omitempty"`
	Unit     string `json:"unit,omitempty"`
	Cost     string `json:"cost"`
	ListCost string `json:"list_cost"`
	Note     string `json:"note,omitempty"`
}

// CostForecast is what the month will cost, if nothing changes.
type CostForecast struct {
	From       Time   `json:"from"`
	To         Time   `json:"to"`
	Cost       string `json:"cost"`
	Assumption string `json:"assumption"`
}
