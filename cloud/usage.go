package cloud

import "time"

// Meter is a thing that is counted.
type Meter string

// The meters. Nothing opens those of volumes, snapshots and floating IPs yet:
// lodge has no such objects of their own.
const (
	MeterInstance Meter = "instance" // guests, each counting one
	MeterVCPU     Meter = "vcpu"     // vCPUs
	MeterMemory   Meter = "memory"   // MiB
	MeterDisk     Meter = "disk"     // GiB
	MeterImage    Meter = "image"    // MiB of the file, rounded up

	MeterVolume     Meter = "volume"      // GiB
	MeterSnapshot   Meter = "snapshot"    // MiB of the file, rounded up
	MeterFloatingIP Meter = "floating_ip" // addresses, each counting one

	// Bytes are counted, not time: they are in rows of Traffic.
	MeterEgress  Meter = "egress"  // bytes that a guest sent
	MeterIngress Meter = "ingress" // bytes that a guest received
)

// Evidence is how the end of an interval is known.
type Evidence string

// The kinds of evidence, best first.
const (
	EvidenceSeen      Evidence = "seen"      // lodge looked, or libvirt told, at that moment
	EvidenceHeartbeat Evidence = "heartbeat" // nobody was looking; the last moment it was seen running
	EvidenceLog       Evidence = "log"       // nobody was looking; libvirt's log of the guest says when it ended
	EvidenceClock     Evidence = "clock"     // the clock was set forward at that moment; it goes on behind the step
	EvidenceDeleted   Evidence = "deleted"   // its deletion was asked for; how long the removal takes is not the tenant's
)

// Reading says that a meter runs: this much of it, in this slot.
type Reading struct {
	Slot   string // "instance", "cpu", "memory", "disk:root", "image": outlives a resize
	Meter  Meter
	Amount int64
	State  State // of the instance, or of the image, it is counted under
}

// Interval is a row of the usage ledger: half-open, in UTC, to the millisecond.
type Interval struct {
	Seq        int64
	TenantID   string
	ResourceID string
	Resource   string // name of the resource when the interval was opened
	Reading
	StartedAt time.Time
	EndedAt   time.Time // zero: still running
	Evidence  Evidence
}

// Runs reports whether what is counted under the state is a guest that runs:
// one that is paused holds its memory. The other states are allocated only.
func (s State) Runs() bool { return s == StateRunning || s == StatePaused }

// Readings are the meters of an instance in a state. Only what was seen runs a
// meter; a wish never does. What is stopped is counted too, under that state, as
// what is allocated: which states cost is the price's business.
func Readings(state State, size Size, diskSeen bool) []Reading {
	var out []Reading
	switch state {
	case StateRunning, StatePaused, StateStopped, StateSleeping:
		out = append(out,
			Reading{"instance", MeterInstance, 1, state},
			Reading{"cpu", MeterVCPU, int64(size.VCPUs), state},
			Reading{"memory", MeterMemory, int64(size.MemoryMiB), state})
	}
	if diskSeen && state != StateGone {
		out = append(out, Reading{"disk:root", MeterDisk, int64(size.DiskGiB), state})
	}
	return out
}

// ImageReadings are the meters of an image in a state: its file, in whole MiB,
// while it can be used and is there.
func ImageReadings(state ImageState, p *Problem, sizeBytes int64) []Reading {
	if state != ImageActive || p.Is(CodeDiskMissing) {
		return nil
	}
	const mib = 1 << 20
	return []Reading{{"image", MeterImage, (sizeBytes + mib - 1) / mib, State(state)}}
}

// MeterChange is what has to be written to get from the open intervals to the
// readings.
type MeterChange struct {
	Close []Interval // with EndedAt and Evidence set
	Drop  []Interval // EndedAt is not after StartedAt: removed, for a ledger has no empty rows
	Open  []Opening
	// Again: the readings are to be compared once more when this is written, for
	// an amount is another one since at, and what took the place of what was over
	// began before.
	Again bool
}

// Opening is a reading with the moment it begins.
type Opening struct {
	Reading
	From time.Time
}

// ChangeMeters compares the open intervals of one resource with its readings.
// What is over ended at endAt, which is at when it is not given; what takes its
// place begins there, so that no time is lost between them, with the amount from
// before: a new one counts from at. What had no interval begins at at. An
// interval never ends before it began, and nothing takes its place earlier: it was
// seen then, whatever is older than that, as the last heartbeat may be.
func ChangeMeters(open []Interval, now []Reading, at, endAt time.Time, evidence Evidence) MeterChange {
	var c MeterChange
	if endAt.IsZero() || endAt.After(at) {
		endAt, evidence = at, EvidenceSeen
	}
	type key struct {
		slot  string
		meter Meter
	}
	want := make(map[key]Opening, len(now))
	for _, r := range now {
		want[key{r.Slot, r.Meter}] = Opening{r, at}
	}
	for _, iv := range open {
		k := key{iv.Slot, iv.Meter}
		next, goesOn := want[k]
		if goesOn && next.Reading == iv.Reading {
			delete(want, k)
			continue
		}
		if goesOn {
			next.From = endAt
			if next.From.Before(iv.StartedAt) {
				next.From = iv.StartedAt
			}
			if next.Amount != iv.Amount && next.From.Before(at) {
				next.Amount, c.Again = iv.Amount, true
			}
			want[k] = next
		}
		iv.EndedAt, iv.Evidence = endAt, evidence
		if !endAt.After(iv.StartedAt) {
			c.Drop = append(c.Drop, iv)
			continue
		}
		c.Close = append(c.Close, iv)
	}
	for _, r := range now {
		if o, ok := want[key{r.Slot, r.Meter}]; ok {
			c.Open = append(c.Open, o)
		}
	}
	return c
}
