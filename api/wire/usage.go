package wire

// Usage is what was used in [From, To), as known at At.
type Usage struct {
	From    Time          `json:"from"`
	To      Time          `json:"to"`
	At      Time          `json:"at"` // what still runs was counted up to here
	Tenants []TenantUsage `json:"tenants"`
}

// TenantUsage is the sum over a tenant's instances and images.
type TenantUsage struct {
	TenantID string `json:"tenant_id"`
	Tenant   string `json:"tenant"`
	Amounts
	ImageAmounts
	Instances []InstanceUsage `json:"instances"`
	Images    []ImageUsage    `json:"images"`
}

// InstanceUsage is what one instance used, deleted ones included.
type InstanceUsage struct {
	ID   string `json:"id"`
	Name string `json:"name"` // as last metered
	Amounts
}

// ImageUsage is what the file of one image used, deleted ones included.
type ImageUsage struct {
	ID   string `json:"id"`
	Name string `json:"name"` // as last metered
	ImageAmounts
	Open bool `json:"open"` // it is still there
}

// ImageAmounts are the exact sums of images.
type ImageAmounts struct {
	ImageGiBHours string `json:"image_gib_hours"`
	ImageMiBMS    string `json:"image_mib_ms"` // MiB x milliseconds
}

// Amounts are exact sums. The hours are decimals of six places, rounded half to
// even; the products below them are whole numbers, as text because they may
// outgrow what JSON readers keep exact.
type Amounts struct {
	InstanceHours  string `json:"instance_hours"`
	VCPUHours      string `json:"vcpu_hours"`
	MemoryGiBHours string `json:"memory_gib_hours"`
	DiskGiBHours   string `json:"disk_gib_hours"`

	InstanceMS  string `json:"instance_ms"`   // milliseconds
	VCPUMS      string `json:"vcpu_ms"`       // vCPUs x milliseconds
	MemoryMiBMS string `json:"memory_mib_ms"` // MiB x milliseconds
	DiskGiBMS   string `json:"disk_gib_ms"`   // GiB x milliseconds

	// Allocated is instances, vCPUs and memory with the time in which they were
	// kept but did not run.
	Allocated Allocated `json:"allocated"`

	EgressBytes  string `json:"egress_bytes"`  // that the guest sent
	IngressBytes string `json:"ingress_bytes"` // that the guest received

	Open bool `json:"open"` // some of it still runs, or is still kept
}

// Allocated is what instances were kept for, running or not. Exact as Amounts.
type Allocated struct {
	InstanceHours  string `json:"instance_hours"`
	VCPUHours      string `json:"vcpu_hours"`
	MemoryGiBHours string `json:"memory_gib_hours"`

	InstanceMS  string `json:"instance_ms"`   // milliseconds
	VCPUMS      string `json:"vcpu_ms"`       // vCPUs x milliseconds
	MemoryMiBMS string `json:"memory_mib_ms"` // MiB x milliseconds
}

// UsageReport is how much of each meter was used in [From, To), as known at At.
type UsageReport struct {
	From  Time        `json:"from"`
	To    Time        `json:"to"`
	At    Time        `json:"at"` // what still runs was counted up to here
	By    string      `json:"by"` // instance, tenant, day, hour, meter or label:KEY
	Lines []UsageLine `json:"lines"`
}

// UsageLine is what was used of one meter by one group.
type UsageLine struct {
	Key      string `json:"key"`            // an id, a day, an hour, a value of the label or a meter
	Name     string `json:"name,omitempty"` // of what the key is the id of
	Meter    string `json:"meter"`
	Quantity string `json:"quantity"` // in Unit, each hour of it rounded to 9 places
	Unit     string `json:"unit"`
}

// UsageVerification is what came out when the whole ledger was computed again.
type UsageVerification struct {
	OK        bool      `json:"ok"`
	Intervals int64     `json:"intervals"` // rows that were looked at
	Hours     int64     `json:"hours"`     // closed hours of tenants that were made again
	Links     int64     `json:"links"`     // of the chain
	Pending   int64     `json:"pending"`   // closed hours that wait for their correction
	From      Time      `json:"from,omitzero"`
	To        Time      `json:"to,omitzero"` // until when hours are closed
	Head      ChainLink `json:"head"`
	Wrong     int64     `json:"wrong"` // findings in all
	// Findings are the first ones, 200 at most.
	Findings []UsageFinding `json:"findings"`
}

// ChainLink is a link of the ledger's chain. Whoever keeps the last one can tell
// later whether the rows up to it are still the same.
type ChainLink struct {
	Number int64  `json:"number"`
	SHA256 string `json:"sha256"`
}

// UsageFinding is something in the ledger that cannot be.
type UsageFinding struct {
	Check   string `json:"check"` // row, chain, head, seq, overlap, orphan, open, clock, hour, conservation, invoice
	Table   string `json:"table"`
	Row     int64  `json:"row,omitempty"` // its seq; absent when it is about no single row
	Message string `json:"message"`
}
