package wire

// Tenant owns objects and pays for them.
type Tenant struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	CreatedAt Time              `json:"created_at"`
	UpdatedAt Time              `json:"updated_at"`
	Revision  int64             `json:"revision"`
}

// CreateTenant asks for a tenant, with a default network of its own.
type CreateTenant struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Image is a bootable disk that instances start from.
type Image struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	TenantID    string            `json:"tenant_id"`
	Labels      map[string]string `json:"labels"`
	CreatedAt   Time              `json:"created_at"`
	UpdatedAt   Time              `json:"updated_at"`
	Revision    int64             `json:"revision"`
	Public      bool              `json:"public"`
	Default     bool              `json:"default"`
	Protected   bool              `json:"protected"` // its deletion is refused
	Source      string            `json:"source"`    // "upload" or "url"
	URL         string            `json:"url,omitempty"`
	SHA256      string            `json:"sha256,omitempty"` // as promised until active, as measured after
	Firmware    string            `json:"firmware"`
	LoginUser   string            `json:"login_user,omitempty"`
	State       string            `json:"state"` // "queued", "importing", "active", "error", "gone"
	Problem     *Problem          `json:"problem,omitempty"`
	Format      string            `json:"format,omitempty"` // "raw" or "qcow2", once known
	SizeBytes   int64             `json:"size_bytes"`
	VirtualSize int64             `json:"virtual_size_bytes"`
	BytesDone   int64             `json:"bytes_done"`  // of the import
	BytesTotal  int64             `json:"bytes_total"` // 0: unknown
	HostID      string            `json:"host_id,omitempty"`
}

// ImportImage asks for an image to be fetched from a URL.
type ImportImage struct {
	Name      string            `json:"name"`
	URL       string            `json:"url"`
	Tenant    string            `json:"tenant,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	SHA256    string            `json:"sha256,omitempty"`
	Firmware  string            `json:"firmware,omitempty"` // "bios" or "uefi"
	LoginUser string            `json:"login_user,omitempty"`
	Public    bool              `json:"public,omitempty"`
	Default   bool              `json:"default,omitempty"`
	Protected bool              `json:"protected,omitempty"` // refuse its deletion until this is false
}

// UpdateImage changes what is not nil.
type UpdateImage struct {
	Name      *string            `json:"name,omitempty"`
	Labels    map[string]*string `json:"labels,omitempty"` // merged; null removes a key
	Public    *bool              `json:"public,omitempty"`
	Default   *bool              `json:"default,omitempty"`
	Protected *bool              `json:"protected,omitempty"`
}

// UploadImage describes bytes that are uploaded: the same values, in the query.
type UploadImage struct {
	Name      string
	Tenant    string
	SHA256    string
	Firmware  string
	LoginUser string
	Public    bool
	Default   bool
	Protected bool
}

// Flavor is a named size; its values are copied into an instance.
type Flavor struct {
	ID        string `json:"id"`
	VCPUs     int    `json:"vcpus"`
	MemoryMiB int    `json:"memory_mib"`
	DiskGiB   int    `json:"disk_gib"`
	CreatedAt Time   `json:"created_at"`
}

// CreateFlavor asks for a flavor.
type CreateFlavor struct {
	ID        string `json:"id"`
	VCPUs     int    `json:"vcpus"`
	MemoryMiB int    `json:"memory_mib"`
	DiskGiB   int    `json:"disk_gib"`
}

// Network is a layer-2 segment of one tenant.
type Network struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	TenantID  string            `json:"tenant_id"`
	Labels    map[string]string `json:"labels"`
	CreatedAt Time              `json:"created_at"`
	UpdatedAt Time              `json:"updated_at"`
	Revision  int64             `json:"revision"`
	Default   bool              `json:"default"`
	HostID    string            `json:"host_id,omitempty"`
	Problem   *Problem          `json:"problem,omitempty"`
	Subnets   []Subnet          `json:"subnets"`
}

// Subnet is an address range of a network.
type Subnet struct {
	ID      string   `json:"id"`
	CIDR    string   `json:"cidr"`
	Gateway string   `json:"gateway"`
	DHCP    bool     `json:"dhcp"`
	DNS     []string `json:"dns"` // empty: the gateway answers
}

// Host is a machine that guests run on.
type Host struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	VCPUs       int      `json:"vcpus"`
	MemoryMiB   int      `json:"memory_mib"`
	Accel       string   `json:"accel"`    // "kvm" or "tcg"
	Promised    HostSize `json:"promised"` // what may be promised to instances
	Used        HostSize `json:"used"`     // what has been
	Instances   int      `json:"instances"`
	Version     string   `json:"version"`
	Hypervisor  string   `json:"hypervisor"`
	Problem     *Problem `json:"problem,omitempty"`
	HeartbeatAt Time     `json:"heartbeat_at,omitzero"`
	StartedAt   Time     `json:"started_at,omitzero"`
}

// HostSize is so much of a host.
type HostSize struct {
	VCPUs     int `json:"vcpus"`
	MemoryMiB int `json:"memory_mib"`
}

// Event is one thing that happened to an object. Seq grows and is never reused.
type Event struct {
	Seq      int64             `json:"seq"`
	At       Time              `json:"at"`
	TenantID string            `json:"tenant_id,omitempty"`
	Kind     string            `json:"kind"`      // of the object: "instance"
	ObjectID string            `json:"object_id"` // may be gone by now
	Name     string            `json:"name"`      // the object's name then
	Type     string            `json:"type"`      // "instance.running"
	Message  string            `json:"message"`   // a sentence
	Data     map[string]string `json:"data"`
}
