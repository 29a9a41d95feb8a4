package cloud

import "time"

// State is what an instance was last seen as. Nothing but reconcile moves it.
type State string

// The states of an instance.
const (
	StateRequested State = "requested" // wanted, nothing of it seen yet
	StateBuilding  State = "building"  // some of it is seen: disk, seed or guest, never started
	StateRunning   State = "running"
	StatePaused    State = "paused"
	StateStopped   State = "stopped"
	StateSleeping  State = "sleeping" // memory saved to disk, guest off
	StateError     State = "error"    // cannot go on without a person; Problem says why
	StateGone      State = "gone"     // tombstone: nothing of it is seen
)

// States lists the states of instances that are there: all but StateGone.
func States() []State {
	return []State{StateRequested, StateBuilding, StateRunning, StatePaused, StateStopped, StateSleeping, StateError}
}

// Task is what is being done to an instance; empty when nothing is.
type Task string

// The tasks.
const (
	TaskNone      Task = ""
	TaskCreating  Task = "creating"
	TaskStarting  Task = "starting"
	TaskStopping  Task = "stopping"
	TaskRebooting Task = "rebooting"
	TaskDeleting  Task = "deleting"
)

// Power is what a tenant wants of an instance.
type Power string

// The wanted powers.
const (
	PowerOn  Power = "running"
	PowerOff Power = "stopped"
)

// DefaultStopGrace is how long a guest gets to shut down by itself before it is
// switched off.
const DefaultStopGrace = 90 * time.Second

// Instance is a virtual machine of a tenant: what is wanted (written by the
// store on behalf of a Caller) and what was seen (written by reconcile).
type Instance struct {
	Meta
	TenantID   string
	TenantName string // joined in for readers
	Name       string

	// Wanted.
	FlavorID  string // where the size came from, "" when given in numbers
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
	ImageID   string
	ImageName string // joined in for readers
	User      string // login of the image, joined in for readers
	SSHKeys   []string
	UserData  string
	Firmware  Firmware

	Generation int64 // grows with every change of what is wanted
	Power      Power
	PowerForce bool      // the last power wish does not ask the guest
	PowerAt    time.Time // when the last power wish was made
	Boots      int64     // reboots asked for, ever
	DeletedAt  time.Time // zero: wanted
	Protected  bool      // its deletion is refused
	// StoppedBy is the budget or schedule that wished it stopped, and that may start
	// it again; empty once somebody wished something of its power.
	StoppedBy Ref

	// Seen.
	HostID             string
	State              State
	Task               Task
	Problem            *Problem
	ObservedGeneration int64
	ObservedBoots      int64
	RunningVCPUs       int // of the guest as it runs; 0 when it does not
	RunningMemoryMiB   int
	StartedAt          time.Time // of the present run; zero when off
	GoneAt             time.Time

	Ports []Port
}

// Pending reports whether the running guest differs from what is wanted in a
// way that only its next start will change.
func (i Instance) Pending() bool {
	switch i.State {
	case StateRunning, StatePaused:
		return i.RunningVCPUs != i.VCPUs || i.RunningMemoryMiB != i.MemoryMiB
	}
	return false
}

// Settled reports whether reconcile has seen everything that is wanted.
func (i Instance) Settled() bool {
	return i.State == StateGone || (i.ObservedGeneration == i.Generation && i.Task == TaskNone && i.DeletedAt.IsZero())
}

// InstanceWish is everything Plan needs to know of an instance.
type InstanceWish struct {
	Instance
	Root     Volume
	Image    Image
	Networks []Network // of its ports, with subnets
}

// InstanceRecord is what reconcile found and did, written in one transaction
// together with the event and the usage intervals.
type InstanceRecord struct {
	ID string
	// Generation is the wish this was decided on. A record never undoes a newer
	// wish: GuestStopped is dropped when the wish has moved on.
	Generation int64
	State      State
	Task       Task
	Problem    *Problem
	// ObservedGeneration and ObservedBoots only grow.
	ObservedGeneration int64
	ObservedBoots      int64
	RunningVCPUs       int
	RunningMemoryMiB   int
	RootSeen           bool // the root disk was seen: its volume becomes available
	// GuestStopped: the guest powered itself off, so the wish becomes stopped.
	GuestStopped bool
	// Readings are the meters that run from At on; what is not listed ends.
	Readings []Reading
	// At is when it was seen. EndAt, when set, is the best evidence of when
	// what no longer runs ended; it is never after At.
	At       time.Time
	EndAt    time.Time
	Evidence Evidence
	// Traffic is the last look at the counters of a run that is over with this
	// record; nil: there was none.
	Traffic *TrafficReading
	// Unseen: the host could not be looked at. Only Problem is written; state,
	// meters and everything else stay as they were last seen.
	Unseen bool
}
