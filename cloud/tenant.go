package cloud

import "time"

// DefaultTenantName is the tenant made at first start, so that a homelab never
// meets the word.
const DefaultTenantName = "default"

// Meta is what every row has.
type Meta struct {
	ID        string
	Labels    map[string]string
	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64 // grows by one with every change of the row
}

// Tenant owns objects and pays for them.
type Tenant struct {
	Meta
	Name      string
	DeletedAt time.Time // zero: alive
}

// Flavor is a named size. Its values are copied into an instance, so a later
// change of a flavor changes no instance and no bill. Its ID is text ("c2-m4").
type Flavor struct {
	ID        string
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
	CreatedAt time.Time
}

// DefaultFlavorID is the size of an instance whose request names none.
const DefaultFlavorID = "c1-m2"

// DefaultDiskGiB is the root disk of a size that says nothing of it, unless the
// image needs more.
const DefaultDiskGiB = 20
