package cloud

import (
	"math/bits"
	"time"
)

// NICCounter is what the host has counted of one NIC since its device was made.
// A run makes its devices anew, so their counters begin at 0.
type NICCounter struct {
	Device  string // the host's name of it
	Egress  int64  // bytes that the guest sent
	Ingress int64  // bytes that the guest received
}

// TrafficReading is a look at the counters of an instance's NICs, in the order of
// its ports.
type TrafficReading struct {
	InstanceID string
	Run        time.Time // when the run that was counted was first seen: Instance.StartedAt
	At         time.Time
	NICs       []NICCounter
	// Since is when all that was counted until then had been written down; zero when
	// that is not known. What is new was counted after it.
	Since time.Time
}

// Before reports what the counters showed at an instant between two readings of
// the same counters, prev and r, if they ran evenly from the one to the other.
func (r TrafficReading) Before(prev TrafficReading, at time.Time) TrafficReading {
	out := TrafficReading{InstanceID: r.InstanceID, Run: r.Run, At: at, Since: r.Since}
	part, whole := at.Sub(prev.At).Milliseconds(), r.At.Sub(prev.At).Milliseconds()
	for n, c := range r.NICs {
		was := prev.NICs[n]
		c.Egress = was.Egress + share(c.Egress-was.Egress, part, whole)
		c.Ingress = was.Ingress + share(c.Ingress-was.Ingress, part, whole)
		out.NICs = append(out.NICs, c)
	}
	return out
}

// Traffic is a row of the ledger: the bytes that one counter grew by.
type Traffic struct {
	Seq        int64
	TenantID   string
	ResourceID string
	Slot       string // "nic:0"
	Meter      Meter  // MeterEgress or MeterIngress
	Bytes      int64  // CounterEnd less CounterStart
	StartedAt  time.Time
	// EndedAt is when the counter was read, or the end of the hour that the row is
	// the part of. The bytes belong to the hour that this instant ends or lies in:
	// (start, end].
	EndedAt      time.Time
	Run          time.Time
	Device       string
	CounterStart int64
	CounterEnd   int64
}

// Hour is the beginning of the hour that the bytes belong to.
func (u Traffic) Hour() time.Time { return Hour(u.EndedAt.Add(-time.Millisecond)) }

// TrafficSum is what a resource sent and received in a period.
type TrafficSum struct {
	TenantID   string
	ResourceID string
	Egress     int64
	Ingress    int64
}

// CountTraffic is the row that follows last, the newest of its slot and meter
// (nil: there is none), when the counter of a device in a run was read. It has no
// bytes when there is nothing to write. A counter of another run or device, or
// one that shrank, began at 0 after last.
func CountTraffic(last *Traffic, run time.Time, device string, counter int64, at time.Time) Traffic {
	row := Traffic{StartedAt: run, EndedAt: at, Run: run, Device: device, CounterEnd: counter}
	if last != nil {
		if last.EndedAt.After(row.StartedAt) {
			row.StartedAt = last.EndedAt
		}
		if last.Run.Equal(run) && last.Device == device && last.CounterEnd <= counter {
			row.CounterStart = last.CounterEnd
		}
	}
	if row.EndedAt.After(row.StartedAt) && row.CounterEnd > row.CounterStart {
		row.Bytes = row.CounterEnd - row.CounterStart
	}
	return row
}

// ByHour cuts a row at whole hours of UTC. Each part ends at what the counter would
// have shown then, had it run evenly, rounded down; so the parts go on from each
// other and add up to the row, to the byte. An hour that gets no byte has no part.
func (u Traffic) ByHour() (parts []Traffic) {
	first, whole := u.CounterStart, u.EndedAt.Sub(u.StartedAt).Milliseconds()
	for from := u.StartedAt; from.Before(u.EndedAt); {
		to := Hour(from).Add(time.Hour)
		if to.After(u.EndedAt) {
			to = u.EndedAt
		}
		part := u
		part.StartedAt, part.EndedAt = from, to
		part.CounterEnd = first + share(u.Bytes, to.Sub(u.StartedAt).Milliseconds(), whole)
		if part.Bytes = part.CounterEnd - part.CounterStart; part.Bytes > 0 {
			parts = append(parts, part)
			u.CounterStart = part.CounterEnd
		}
		from = to
	}
	return parts
}

// share is n x part / whole, rounded down; n is not negative, and part at most whole.
func share(n, part, whole int64) int64 {
	if n <= 0 || part <= 0 || whole <= 0 {
		return 0
	}
	if part >= whole {
		return n
	}
	hi, lo := bits.Mul64(uint64(n), uint64(part))
	quotient, _ := bits.Div64(hi, lo, uint64(whole))
	return int64(quotient)
}
