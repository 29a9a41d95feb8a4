package cloud

import "time"

// VolumeState is where a volume is on its road.
type VolumeState string

// The states of a volume.
const (
	VolumeRequested VolumeState = "requested" // wanted, never seen
	VolumeAvailable VolumeState = "available" // was seen on the host
	VolumeGone      VolumeState = "gone"      // tombstone
)

// Volume is a disk of a tenant. An instance's root disk is a volume too.
type Volume struct {
	Meta
	TenantID  string
	Name      string
	SizeGiB   int
	ImageID   string // what it was made from; "" blank
	HostID    string
	State     VolumeState
	DeletedAt time.Time
}

// Attachment ties a volume to an instance.
type Attachment struct {
	InstanceID         string
	VolumeID           string
	Slot               string // "root", "data0": outlives a resize
	DeleteWithInstance bool
}

// DiskKind is what a file of the storage hand is for.
type DiskKind string

// The kinds of disk.
const (
	DiskVolume DiskKind = "volume"
	DiskSeed   DiskKind = "seed"
	DiskImage  DiskKind = "image"
)

// DiskSpec asks the storage hand for a volume's bytes: an overlay on an image,
// or a blank disk when ImageID is empty.
type DiskSpec struct {
	ID          string // the volume's id
	SizeGiB     int
	ImageID     string
	ImageFormat ImageFormat
}

// SeedSpec asks the storage hand for an instance's cloud-init seed (NoCloud).
type SeedSpec struct {
	ID       string // the instance's id
	MetaData string // YAML
	UserData string
}

// Disk is a disk as seen on the host.
type Disk struct {
	ID        string // volume, instance (seed) or image id
	Kind      DiskKind
	Path      string
	Format    ImageFormat
	SizeBytes int64 // virtual
	// Partial: half made, interrupted by a crash or a full disk. It is made again
	// or removed, never used.
	Partial bool
}

// DiskKey tells a volume from a seed with the same id.
type DiskKey struct {
	Kind DiskKind
	ID   string
}
