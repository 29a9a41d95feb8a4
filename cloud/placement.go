package cloud

// VCPUsPerCPU is how many vCPUs one instance may have for each CPU of its host.
const VCPUsPerCPU = 8

// DefaultVCPURatio is how many vCPUs are promised for each CPU of a host unless
// its operator says otherwise: most guests idle most of the time. Memory is
// promised once: a guest takes what it was promised.
const DefaultVCPURatio = 16

// Need is what an instance asks of the host it is placed on.
type Need struct {
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
}

// HostUse is what the instances of a host have been promised.
type HostUse struct {
	Instances int
	VCPUs     int
	MemoryMiB int
}

// Promised is how many vCPUs and how much memory may be promised of the host.
func (h Host) Promised() (vcpus, memoryMiB int) {
	cpus, memory := h.VCPURatio, h.MemoryRatio
	if cpus <= 0 {
		cpus = DefaultVCPURatio
	}
	if memory <= 0 {
		memory = 1
	}
	return int(float64(h.VCPUs) * cpus), int(float64(max(0, h.MemoryMiB-h.ReservedMiB)) * memory)
}

// Place chooses the host of a new instance: the first one with room for it.
// Returns CodeCapacity with the reason when none has.
func Place(hosts []Host, need Need) (hostID string, err error) {
	if len(hosts) == 0 {
		return "", Errorf(CodeCapacity, "No host is registered yet, so nothing can be placed; start lodged on a host and try again.")
	}
	var why error
	for _, h := range hosts {
		refused := h.Refuses(need, Need{})
		if refused == nil {
			return h.ID, nil
		}
		if why == nil {
			why = refused
		}
	}
	return "", why
}

// Refuses returns CodeCapacity when the host cannot run the need, ever or now.
// had is what the host has promised to the same instance already.
func (h Host) Refuses(need, had Need) error {
	if need.MemoryMiB > h.MemoryMiB {
		return Errorf(CodeCapacity, "The instance needs %d MiB of memory and the host %s has %d MiB in all; ask for less memory.",
			need.MemoryMiB, h.Name, h.MemoryMiB)
	}
	if limit := h.VCPUs * VCPUsPerCPU; need.VCPUs > limit {
		return Errorf(CodeCapacity, "The instance needs %d vCPUs and the host %s takes at most %d for one instance; ask for fewer.",
			need.VCPUs, h.Name, limit)
	}
	vcpus, memory := h.Promised()
	if free := memory - h.Used.MemoryMiB + had.MemoryMiB; need.MemoryMiB > had.MemoryMiB && need.MemoryMiB > free {
		return Errorf(CodeCapacity, "The instance needs %d MiB of memory and the host %s has %d of %d MiB left to promise; ask for less, or delete what is not needed.",
			need.MemoryMiB, h.Name, max(0, free), memory)
	}
	if free := vcpus - h.Used.VCPUs + had.VCPUs; need.VCPUs > had.VCPUs && need.VCPUs > free {
		return Errorf(CodeCapacity, "The instance needs %d vCPUs and the host %s has %d of %d left to promise; ask for fewer, or delete what is not needed.",
			need.VCPUs, h.Name, max(0, free), vcpus)
	}
	return nil
}
