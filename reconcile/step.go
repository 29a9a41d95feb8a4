package reconcile

import (
	"fmt"

	"lodge/cloud"
)

// Verb is what a step does.
type Verb string

// The verbs, one for each call to a hand.
const (
	VerbCreateDisk    Verb = "create-disk"
	VerbWriteSeed     Verb = "write-seed"
	VerbEnsurePort    Verb = "ensure-port"
	VerbDefine        Verb = "define"
	VerbPower         Verb = "power"
	VerbRemoveGuest   Verb = "remove-guest"
	VerbRemoveDisk    Verb = "remove-disk"
	VerbRemovePort    Verb = "remove-port"
	VerbEnsureNetwork Verb = "ensure-network"
	VerbRemoveNetwork Verb = "remove-network"
)

// Step is one call to one hand, as plain data. Only the fields of its verb are
// set.
type Step struct {
	Verb    Verb
	ID      string // of the guest, disk or network
	Disk    *cloud.DiskSpec
	Seed    *cloud.SeedSpec
	Guest   *cloud.GuestSpec
	Power   cloud.PowerAction
	Kind    cloud.DiskKind // for VerbRemoveDisk
	Port    *cloud.PortSpec
	Network *cloud.NetworkSpec
	// Boots is the number of wanted reboots that the step fulfils; 0 none.
	Boots int64
	// Start: the definition is started as soon as the host has taken it.
	Start bool
}

// String names the step for the log.
func (s Step) String() string {
	switch s.Verb {
	case VerbPower:
		return fmt.Sprintf("%s %s", s.Power, s.ID)
	case VerbRemoveDisk:
		return fmt.Sprintf("%s %s %s", s.Verb, s.Kind, s.ID)
	case VerbEnsurePort, VerbRemovePort:
		return fmt.Sprintf("%s %s %s on %s", s.Verb, s.Port.MAC, s.Port.Address, s.ID)
	}
	return fmt.Sprintf("%s %s", s.Verb, s.ID)
}
