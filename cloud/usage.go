package cloud

import "time"

// Meter is a thing that is counted.
type Meter string

// The meters.
const (
	MeterInstance Meter = "instance" // guests, each counting one
	MeterVCPU     Meter = "vcpu"     // vCPUs
	MeterMemory   Meter = "memory"   // MiB
	MeterDisk     Meter = "disk"     // GiB
)

// Evidence is how the end of an interval is known.
type Evidence string

// The kinds of evidence, best first.
const (
	EvidenceSeen      Evidence = "seen"      // lodge looked, or libvirt told, at that moment
	EvidenceHeartbeat Evidence = "heartbeat" // nobody was looking; the last moment it was seen running
	EvidenceDeleted   Evidence = "deleted"   // its deletion was asked for; how long the removal takes is not the tenant's
)

// Reading says that a meter runs: this much of it, in this slot.
type Reading struct {
	Slot   string // "instance", "cpu", "memory", "disk:root": outlives a resize
	Meter  Meter
	Amount int64
	State  State // the instance's state it is counted under
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

// Readings are the meters of an instance in a state. Only what was seen runs a
// meter; a wish never does.
func Readings(state State, vcpus, memoryMiB, diskGiB int, diskSeen bool) []Reading {
	var out []Reading
	if state == StateRunning || state == StatePaused {
		out = append(out,
			Reading{"instance", MeterInstance, 1, state},
			Reading{"cpu", MeterVCPU, int64(vcpus), state},
			Reading{"memory", MeterMemory, int64(memoryMiB), state})
	}
	if diskSeen && state != StateGone {
		out = append(out, Reading{"disk:root", MeterDisk, int64(diskGiB), state})
	}
	return out
}

// MeterChange is what has to be written to get from the open intervals to the
// readings.
type MeterChange struct {
	Close []Interval // with EndedAt and Evidence set
	Drop  []Interval // EndedAt is not after StartedAt: removed, for a ledger has no empty rows
	Open  []Reading
}

// ChangeMeters compares the open intervals of one resource with its readings.
// What no longer runs ends at endAt, what changed ends at at and goes on from
// there. An interval never ends before it began.
func ChangeMeters(open []Interval, now []Reading, at, endAt time.Time, evidence Evidence) MeterChange {
	var c MeterChange
	if endAt.IsZero() || endAt.After(at) {
		endAt, evidence = at, EvidenceSeen
	}
	want := make(map[string]Reading, len(now))
	for _, r := range now {
		want[r.Slot+"\x00"+string(r.Meter)] = r
	}
	for _, iv := range open {
		key := iv.Slot + "\x00" + string(iv.Meter)
		r, still := want[key]
		if still && r == iv.Reading {
			delete(want, key)
			continue
		}
		end, ev := at, EvidenceSeen
		if !still {
			end, ev = endAt, evidence
		}
		iv.EndedAt, iv.Evidence = end, ev
		if !end.After(iv.StartedAt) {
			c.Drop = append(c.Drop, iv)
			continue
		}
		c.Close = append(c.Close, iv)
	}
	for _, r := range now {
		if w, ok := want[r.Slot+"\x00"+string(r.Meter)]; ok {
			c.Open = append(c.Open, w)
		}
	}
	return c
}
