package cloud

import "time"

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
	// EndedAt is when the counter was read. The bytes belong to the hour that this
	// instant ends or lies in: (start, end].
	EndedAt      time.Time
	Run          time.Time
	Device       string
	CounterStart int64
	CounterEnd   int64
}

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
