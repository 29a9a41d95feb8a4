package wire

// Instance is a virtual machine: what is wanted of it and what was seen.
type Instance struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	TenantID  string            `json:"tenant_id"`
	Tenant    string            `json:"tenant"`
	Labels    map[string]string `json:"labels"`
	CreatedAt Time              `json:"created_at"`
	UpdatedAt Time              `json:"updated_at"`
	Revision  int64             `json:"revision"` // grows with every change of the object

	// Wanted.
	Flavor        string   `json:"flavor,omitempty"`
	VCPUs         int      `json:"vcpus"`
	MemoryMiB     int      `json:"memory_mib"`
	DiskGiB       int      `json:"disk_gib"`
	ImageID       string   `json:"image_id"`
	Image         string   `json:"image"`
	LoginUser     string   `json:"login_user,omitempty"`
	Firmware      string   `json:"firmware"`
	SSHKeys       []string `json:"ssh_keys"`
	UserDataBytes int      `json:"user_data_bytes"`
	Power         string   `json:"power"` // "running" or "stopped"
	Generation    int64    `json:"generation"`
	Protected     bool     `json:"protected"`           // its deletion is refused
	DeletedAt     Time     `json:"deleted_at,omitzero"` // when its deletion was asked for
	// StoppedBy is the budget or schedule that stopped it and may start it again;
	// absent once somebody wished something of its power.
	StoppedBy *StoppedBy `json:"stopped_by,omitempty"`

	// Seen.
	State              string   `json:"state"`
	Task               string   `json:"task"` // "" when nothing is being done
	Problem            *Problem `json:"problem,omitempty"`
	ObservedGeneration int64    `json:"observed_generation"`
	Settled            bool     `json:"settled"` // everything wanted was seen
	Pending            bool     `json:"pending"` // the next start will change the running size
	Running            *Running `json:"running,omitempty"`
	HostID             string   `json:"host_id,omitempty"`
	StartedAt          Time     `json:"started_at,omitzero"` // of the present run

	Addresses []string `json:"addresses"`
	Ports     []Port   `json:"ports"`

	Cost *InstanceCost `json:"cost,omitempty"` // only where it is asked for
}

// Running is the size of the guest as it runs now.
type Running struct {
	VCPUs     int `json:"vcpus"`
	MemoryMiB int `json:"memory_mib"`
}

// Port is a NIC.
type Port struct {
	ID        string    `json:"id"`
	NetworkID string    `json:"network_id"`
	MAC       string    `json:"mac"`
	FixedIPs  []FixedIP `json:"fixed_ips"`
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string `json:"subnet_id"`
	Address  string `json:"address"`
}

// CreateInstance asks for an instance. Only Name is required. The size is Size,
// or a flavor and numbers that override it, or the default flavor.
type CreateInstance struct {
	Name      string            `json:"name"`
	Tenant    string            `json:"tenant,omitempty"` // id or name
	Labels    map[string]string `json:"labels,omitempty"`
	Size      string            `json:"size,omitempty"` // "2 vCPU, 4GB"
	Flavor    string            `json:"flavor,omitempty"`
	VCPUs     *int              `json:"vcpus,omitempty"`
	MemoryMiB *int              `json:"memory_mib,omitempty"`
	DiskGiB   *int              `json:"disk_gib,omitempty"`
	Image     string            `json:"image,omitempty"` // id or name; "" the default image
	SSHKeys   []string          `json:"ssh_keys,omitempty"`
	UserData  string            `json:"user_data,omitempty"`
	Power     string            `json:"power,omitempty"`     // "running" (default) or "stopped"
	Protected bool              `json:"protected,omitempty"` // refuse its deletion until this is false
}

// UpdateInstance changes what is not nil.
type UpdateInstance struct {
	Name      *string            `json:"name,omitempty"`
	Labels    map[string]*string `json:"labels,omitempty"` // merged; null removes the key
	VCPUs     *int               `json:"vcpus,omitempty"`
	MemoryMiB *int               `json:"memory_mib,omitempty"`
	Protected *bool              `json:"protected,omitempty"`
}

// PowerRequest is the optional body of stop and reboot.
type PowerRequest struct {
	Force bool `json:"force,omitempty"` // do not ask the guest
}
