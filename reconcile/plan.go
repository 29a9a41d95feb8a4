package reconcile

import (
	"time"

	"lodge/cloud"
)

// Seen is what the host shows of one instance.
type Seen struct {
	Guest    *cloud.Guest
	Root     *cloud.Disk
	Seed     *cloud.Disk
	Image    *cloud.Disk
	Networks map[string]cloud.HostNetwork
	// Swept: RemoveGuest has run in this turn, so nothing that a look cannot show
	// (a console log, NVRAM) is left of the guest.
	Swept bool
	// AskedAt is when this process last asked the guest to shut down. Losing it
	// costs one more press of the power button.
	AskedAt time.Time
	// RanAt is the last moment at which a run that is over now may have gone on for
	// all that is known: nobody need have seen its end. Zero: it ended just now.
	RanAt time.Time
}

// Decision is what Plan found.
type Decision struct {
	// Record is what is seen now; it is written before the steps run.
	Record cloud.InstanceRecord
	// Steps are independent of each other; all may run at once.
	Steps []Step
	// Needs are networks to look at: they must be up before the rest can go on,
	// or have lost a port and may not be needed any more.
	Needs []string
	// Again is when to look again although nothing may have rung. With steps, it
	// says that their effect takes time.
	Again time.Time
	// Throttle: the steps repair something that may come back at once, so they
	// are run with growing pauses and shown as this problem.
	Throttle *cloud.Error
}

// askEvery is how long a guest gets to react to the power button before it is
// pressed again: a guest that is still booting does not hear it.
const askEvery = 10 * time.Second

// Plan compares what is wanted of an instance with what is seen of it. It is
// pure; running its steps and planning again ends in a decision without steps.
func Plan(w cloud.InstanceWish, s Seen, now time.Time) Decision {
	half := s.Root != nil && s.Root.Partial
	if half && w.DeletedAt.IsZero() {
		s.Root = nil // made again
	}
	d := Decision{Record: cloud.InstanceRecord{
		ID:                 w.ID,
		Generation:         w.Generation,
		State:              stateOf(w, s),
		ObservedGeneration: w.ObservedGeneration,
		ObservedBoots:      w.ObservedBoots,
		RootSeen:           s.Root != nil && !half,
		At:                 now,
		Evidence:           cloud.EvidenceSeen,
	}}
	if g := s.Guest; g != nil && !g.Foreign && (g.State == cloud.GuestRunning || g.State == cloud.GuestPaused) {
		d.Record.RunningVCPUs, d.Record.RunningMemoryMiB = g.VCPUs, g.MemoryMiB
	}
	if !w.DeletedAt.IsZero() {
		planDelete(&d, w, s, now)
	} else {
		planKeep(&d, w, s, now)
	}
	r := &d.Record
	if !w.DeletedAt.IsZero() {
		// From the request on nothing is counted, however long the removal takes.
		r.EndAt, r.Evidence = w.DeletedAt, cloud.EvidenceDeleted
		return d
	}
	size := cloud.Size{VCPUs: r.RunningVCPUs, MemoryMiB: r.RunningMemoryMiB, DiskGiB: w.Root.SizeGiB}
	if !r.State.Runs() {
		size.VCPUs, size.MemoryMiB = w.VCPUs, w.MemoryMiB
	}
	r.Readings = cloud.Readings(r.State, size, r.RootSeen)
	return d
}

// stateOf is the instance's state in the tenant's words.
func stateOf(w cloud.InstanceWish, s Seen) cloud.State {
	g := s.Guest
	if g != nil && !g.Foreign {
		switch g.State {
		case cloud.GuestRunning:
			return cloud.StateRunning
		case cloud.GuestPaused:
			return cloud.StatePaused
		case cloud.GuestSaved:
			return cloud.StateSleeping
		}
	}
	switch w.State {
	case cloud.StateRequested, cloud.StateBuilding:
		if g != nil && w.Power == cloud.PowerOff {
			return cloud.StateStopped
		}
		if g != nil || s.Root != nil || s.Seed != nil {
			return cloud.StateBuilding
		}
		return cloud.StateRequested
	}
	return cloud.StateStopped
}

// planDelete removes whatever is seen, the guest first: its disks are in use
// until it is gone.
func planDelete(d *Decision, w cloud.InstanceWish, s Seen, now time.Time) {
	d.Record.Task = cloud.TaskDeleting
	if s.Guest != nil && s.Guest.Foreign {
		d.foreign(w, now) // which may run on the disks and the network
		return
	}
	if s.Guest != nil {
		d.Steps = append(d.Steps, Step{Verb: VerbRemoveGuest, ID: w.ID})
		return
	}
	if s.Guest == nil && !s.Swept {
		d.Steps = append(d.Steps, Step{Verb: VerbRemoveGuest, ID: w.ID})
	}
	if s.Root != nil {
		d.Steps = append(d.Steps, Step{Verb: VerbRemoveDisk, Kind: cloud.DiskVolume, ID: w.Root.ID})
	}
	if s.Seed != nil {
		d.Steps = append(d.Steps, Step{Verb: VerbRemoveDisk, Kind: cloud.DiskSeed, ID: w.ID})
	}
	for _, p := range portSpecs(w) {
		if _, there := s.Networks[p.network].Ports[p.spec.MAC]; there {
			d.Steps = append(d.Steps, Step{Verb: VerbRemovePort, ID: p.network, Port: &p.spec})
		}
	}
	if len(d.Steps) == 0 {
		d.Record.State, d.Record.Task = cloud.StateGone, cloud.TaskNone
		d.Record.ObservedGeneration = w.Generation
		d.Needs = networkIDs(w)
	}
}

func planKeep(d *Decision, w cloud.InstanceWish, s Seen, now time.Time) {
	if s.Guest != nil && s.Guest.Foreign {
		d.foreign(w, now)
		return
	}
	if g := s.Guest; g != nil && w.Power == cloud.PowerOff && (g.State == cloud.GuestRunning || g.State == cloud.GuestPaused) {
		planOff(d, w, *g, s.AskedAt, now) // whatever else is wrong: it needs nothing
		return
	}
	if s.Root == nil && w.Root.State == cloud.VolumeAvailable {
		d.stuck(w, now, cloud.CodeDiskMissing,
			"The root disk existed and is gone from the host; put it back, or delete the instance.")
		return
	}
	if s.Image == nil {
		d.stuck(w, now, cloud.CodeDiskMissing,
			"The image that the root disk is based on is gone from the host; put it back, or delete the instance.")
		return
	}
	if planParts(d, w, s) {
		return
	}
	spec := guestSpec(w, s)
	if g := s.Guest; g != nil && g.Root != "" && len(spec.Disks) > 0 && g.Root != spec.Disks[0].Path {
		d.stuck(w, now, cloud.CodeDiskReplaced,
			"Somebody has put another file in the place of the guest's root disk, as a snapshot by hand does; merge it back, for what was written since is only there.")
		return
	}
	if s.Guest == nil || s.Guest.Digest != spec.Digest() {
		d.Record.Task = building(w)
		d.Steps = append(d.Steps, define(w, s, spec))
		return
	}
	planPower(d, w, s, now)
	if len(d.Steps) == 0 && d.Again.IsZero() {
		d.Record.ObservedGeneration = w.Generation
		d.Record.Task = cloud.TaskNone
	}
}

// define makes the definition. The first one of a wanted instance is started at
// once: nothing that a look could show would change that, and each look costs
// every create its calls. All other starts are decided on what is seen.
func define(w cloud.InstanceWish, s Seen, spec cloud.GuestSpec) Step {
	step := Step{Verb: VerbDefine, ID: w.ID, Guest: &spec}
	if s.Guest == nil && building(w) == cloud.TaskCreating && w.Power == cloud.PowerOn {
		step.Start, step.Boots = true, w.Boots
	}
	return step
}

// planParts makes what a guest needs before it can be defined. It reports
// whether something is missing.
func planParts(d *Decision, w cloud.InstanceWish, s Seen) bool {
	if s.Root == nil {
		spec := diskSpec(w)
		d.Steps = append(d.Steps, Step{Verb: VerbCreateDisk, ID: w.Root.ID, Disk: &spec})
	}
	if s.Seed == nil {
		spec := seedSpec(w)
		d.Steps = append(d.Steps, Step{Verb: VerbWriteSeed, ID: w.ID, Seed: &spec})
	}
	for _, p := range portSpecs(w) {
		net, there := s.Networks[p.network]
		if !there || !net.Active {
			d.Needs = append(d.Needs, p.network)
			d.Record.Problem = networkProblem(w, p.network)
			continue
		}
		if net.Ports[p.spec.MAC] != p.spec {
			d.Steps = append(d.Steps, Step{Verb: VerbEnsurePort, ID: p.network, Port: &p.spec})
		}
	}
	if len(d.Steps) == 0 && len(d.Needs) == 0 {
		return false
	}
	d.Record.Task = building(w)
	return true
}

// networkProblem is why an instance waits for its network; nil when the network
// is only on its way.
func networkProblem(w cloud.InstanceWish, id string) *cloud.Problem {
	for _, n := range w.Networks {
		if n.ID == id {
			return n.Problem
		}
	}
	return nil
}

// stuck says that only a person can help. A guest that runs goes on running.
func (d *Decision) stuck(w cloud.InstanceWish, now time.Time, code cloud.Code, message string) {
	if d.Record.State != cloud.StateRunning && d.Record.State != cloud.StatePaused {
		d.Record.State = cloud.StateError
	}
	d.Record.Problem = problem(w.Problem, code, message, now)
}

// foreign says that somebody else's domain is in the way; nothing is touched.
func (d *Decision) foreign(w cloud.InstanceWish, now time.Time) {
	d.stuck(w, now, cloud.CodeGuestForeign,
		"A domain that is not lodge's has this instance's id or name on the host; remove or rename it there.")
}

// building is the task of an instance whose parts are being made or mended.
func building(w cloud.InstanceWish) cloud.Task {
	switch w.State {
	case cloud.StateRequested, cloud.StateBuilding:
		return cloud.TaskCreating
	}
	return w.Task
}

// problem goes on with the one before when it is the same.
func problem(before *cloud.Problem, code cloud.Code, message string, now time.Time) *cloud.Problem {
	p := cloud.Problem{Code: code, Message: message, Since: now}
	if before != nil && before.Code == code {
		p.Since = before.Since
	}
	return &p
}
