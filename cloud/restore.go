package cloud

import (
	"net/netip"
	"time"
)

// KindOrphan is something on a host that no row is about.
const KindOrphan Kind = "orphan"

// OrphanKind says what on the host an orphan is.
type OrphanKind string

// The kinds of orphan.
const (
	OrphanGuest   OrphanKind = "guest"   // a domain with lodge's mark
	OrphanVolume  OrphanKind = "volume"  // a disk in lodge's folder
	OrphanSeed    OrphanKind = "seed"    // a cloud-init seed there
	OrphanImage   OrphanKind = "image"   // an image there
	OrphanNetwork OrphanKind = "network" // a network of lodge's
	OrphanPort    OrphanKind = "port"    // a fixed lease on one of them
)

// OrphanKinds are all of them.
func OrphanKinds() []OrphanKind {
	return []OrphanKind{OrphanGuest, OrphanVolume, OrphanSeed, OrphanImage, OrphanNetwork, OrphanPort}
}

// Orphan is something of lodge's on a host that the database does not know: what
// was made after the backup that the database was restored from, most often.
// lodge leaves it alone, but for a network that nothing uses, and gives its
// addresses to nobody.
type Orphan struct {
	Kind      OrphanKind
	ID        string       // the instance's, volume's, image's or network's; a port's MAC
	NetworkID string       // of a port
	Address   netip.Addr   // of a port
	CIDR      netip.Prefix // of a network
	State     GuestState   // of a guest
	Path      string       // of a disk
	FoundAt   time.Time
}

// HostSight is everything of lodge's that a look at a host has shown.
type HostSight struct {
	Guests   map[string]Guest
	Disks    map[DiskKey]Disk
	Networks map[string]HostNetwork
}

// Restore is one return of the database to a backup.
type Restore struct {
	ID         int64
	BackupID   string
	TakenAt    time.Time // when the backup was made
	RestoredAt time.Time
	AdoptedAt  time.Time // when the host was compared with it; zero: not yet
	Report     RestoreReport
}

// RestoreReport is what the comparison has found. Lists are of instances' ids, but
// for NoImage, which are of images.
type RestoreReport struct {
	Running []string `json:"running"` // run on
	Started []string `json:"started"` // were stopped in the backup and run: they are wanted running now
	Stopped []string `json:"stopped"` // ran in the backup and were ended since: they are wanted stopped now
	Missing []string `json:"missing"` // no guest of them is there
	// NoDisk had a root disk that is not there: they cannot be restored unless
	// somebody puts it back.
	NoDisk []string `json:"no_disk"`
	// NoImage were imported and are not there: nothing can be made or started that
	// is based on them.
	NoImage []string `json:"no_image"`
	Orphans int      `json:"orphans"` // things on the host that the backup does not know
}

// Adoption is what a restored database takes over from the host for one
// instance: what runs there is newer than what the backup says.
type Adoption struct {
	InstanceID string
	Power      Power // "" leaves the wish as it is
	Rebooted   bool  // reboots that the backup still wanted are over
}
