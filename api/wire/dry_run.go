package wire

// DryRun is the answer to a request with dry_run: what it would have done.
// Nothing of it is there, and the ids in it are nobody's.
type DryRun struct {
	DryRun bool   `json:"dry_run"` // true
	Action string `json:"action"`  // "instance.create"

	// The object as it would be; of a delete, as it is. At most one is there.
	Instance *Instance `json:"instance,omitempty"`
	Image    *Image    `json:"image,omitempty"`
	Tenant   *Tenant   `json:"tenant,omitempty"`
	User     *User     `json:"user,omitempty"`
	Flavor   *Flavor   `json:"flavor,omitempty"`
	Budget   *Budget   `json:"budget,omitempty"`  // with what would be in force
	Webhook  *Webhook  `json:"webhook,omitempty"` // without a secret
	Schedule *Schedule `json:"schedule,omitempty"`

	Estimate Estimate `json:"estimate"`
}

// Estimate is how much more the tenant would have; less is negative. Of a
// delete: once nothing is left of the object.
type Estimate struct {
	VCPUs     int64           `json:"vcpus"`
	MemoryMiB int64           `json:"memory_mib"`
	DiskGiB   int64           `json:"disk_gib"`
	Quota     []QuotaEstimate `json:"quota"` // of what would change
	Price     *PriceEstimate  `json:"price"` // of the instance as it would be; null of anything else
}

// QuotaEstimate is what a tenant has of a resource, and would have.
type QuotaEstimate struct {
	Resource string `json:"resource"`
	Before   int64  `json:"before"`
	After    int64  `json:"after"`
	Limit    *int64 `json:"limit"` // null: none
}
