package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// GuestState is what the host says of a guest.
type GuestState string

// The states of a guest.
const (
	GuestOff     GuestState = "off"
	GuestRunning GuestState = "running"
	GuestPaused  GuestState = "paused"
	GuestSaved   GuestState = "saved" // off, with its memory in a file
)

// OffReason is why a guest is off.
type OffReason string

// The reasons. Only OffShutdown is the guest's own wish.
const (
	OffUnknown   OffReason = ""
	OffShutdown  OffReason = "shutdown"  // the guest powered itself off
	OffDestroyed OffReason = "destroyed" // somebody pulled the plug
	OffCrashed   OffReason = "crashed"
	OffFailed    OffReason = "failed" // it did not start
)

// Guest is a domain as seen on the host.
type Guest struct {
	ID        string
	Name      string
	Foreign   bool // it lacks lodge's mark: never touch it
	State     GuestState
	OffReason OffReason
	IOError   bool   // paused by an I/O error
	Digest    string // GuestSpec.Digest of the next start
	Live      string // GuestSpec.Digest of the present run; "" when off
	Root      string // path of the first disk of the next start where somebody has changed that and the file is there, else ""
	VCPUs     int    // of the present run
	MemoryMiB int
}

// GuestEnd is what a host wrote down about the end of a guest's run.
type GuestEnd struct {
	Over bool      // the run has ended, whatever runs now
	At   time.Time // when; zero: what is written down cannot be trusted in that
}

// GuestSpec is a whole guest as the host should define it.
type GuestSpec struct {
	ID        string // the domain's UUID: the instance's id
	Title     string // for people who look at the host
	VCPUs     int
	MemoryMiB int
	Firmware  Firmware
	Disks     []GuestDisk // the first one boots
	NICs      []GuestNIC
}

// GuestDisk is a disk of a guest, in order of its bus.
type GuestDisk struct {
	Path     string
	Format   ImageFormat
	ReadOnly bool
	Serial   string // what the guest sees below /dev/disk/by-id, at most 20 characters
	Backing  string // path of the image below an overlay, "" none
	BackFmt  ImageFormat
}

// GuestNIC is a NIC of a guest.
type GuestNIC struct {
	MAC       string
	NetworkID string
}

// GuestName is the domain's name on the host: unique, recognisable, no tenant
// text in it.
func GuestName(id string) string { return "lodge-" + id }

// Digest is a short fingerprint of everything but the title. It is kept in the
// domain's metadata, so that "is this definition still right" needs no XML
// comparison.
func (s GuestSpec) Digest() string {
	s.Title = ""
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// PowerAction is one thing to do to a guest's power.
type PowerAction string

// The actions.
const (
	ActStart    PowerAction = "start"
	ActShutdown PowerAction = "shutdown" // ask the guest (ACPI)
	ActDestroy  PowerAction = "destroy"  // pull the plug
	ActReboot   PowerAction = "reboot"   // ask the guest
	ActReset    PowerAction = "reset"    // push the reset button
	ActResume   PowerAction = "resume"   // go on after a pause
)

// Host is a machine that guests run on.
type Host struct {
	Meta
	Name        string
	VCPUs       int
	MemoryMiB   int
	VCPURatio   float64 // vCPUs that may be promised for each CPU; 0: DefaultVCPURatio
	MemoryRatio float64 // memory that may be promised of what is not reserved; 0: 1
	ReservedMiB int     // memory that is not for guests
	Used        HostUse
	Accel       string // "kvm" or "tcg"
	Version     string // of lodged
	Hypervisor  string // "QEMU 7.2.0, libvirt 9.0.0"
	Problem     *Problem
	HeartbeatAt time.Time // the last time its guests were seen
	StartedAt   time.Time // of lodged
}
