package wire

// Usage is what was used in [From, To), as known at At.
type Usage struct {
	From    Time          `json:"from"`
	To      Time          `json:"to"`
	At      Time          `json:"at"` // what still runs was counted up to here
	Tenants []TenantUsage `json:"tenants"`
}

// TenantUsage is the sum over a tenant's instances.
type TenantUsage struct {
	TenantID string `json:"tenant_id"`
	Tenant   string `json:"tenant"`
	Amounts
	Instances []InstanceUsage `json:"instances"`
}

// InstanceUsage is what one instance used, deleted ones included.
type InstanceUsage struct {
	ID   string `json:"id"`
	Name string `json:"name"` // as last metered
	Amounts
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
