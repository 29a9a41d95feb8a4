package cloud

// VCPUsPerCPU is how many vCPUs one instance may have for each CPU of its host.
const VCPUsPerCPU = 8

// Need is what an instance asks of the host it is placed on.
type Need struct {
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
}

// Place chooses the host of a new instance: the first one that could run it by
// itself. Returns CodeCapacity with the reason when none can.
func Place(hosts []Host, need Need) (hostID string, err error) {
	if len(hosts) == 0 {
		return "", Errorf(CodeCapacity, "No host is registered yet, so nothing can be placed; start lodged on a host and try again.")
	}
	var why error
	for _, h := range hosts {
		refused := h.refuses(need)
		if refused == nil {
			return h.ID, nil
		}
		if why == nil {
			why = refused
		}
	}
	return "", why
}

// refuses returns CodeCapacity when the host could never run the need.
func (h Host) refuses(need Need) error {
	if need.MemoryMiB > h.MemoryMiB {
		return Errorf(CodeCapacity, "The instance needs %d MiB of memory and the host %s has %d MiB in all; ask for less memory.",
			need.MemoryMiB, h.Name, h.MemoryMiB)
	}
	if limit := h.VCPUs * VCPUsPerCPU; need.VCPUs > limit {
		return Errorf(CodeCapacity, "The instance needs %d vCPUs and the host %s takes at most %d for one instance; ask for fewer.",
			need.VCPUs, h.Name, limit)
	}
	return nil
}
