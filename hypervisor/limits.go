package hypervisor

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

// limits are what the host's control groups can hold a guest to. libvirt refuses
// to start a guest with a limit that it cannot set, so each is written only where
// it can be.
type limits struct{ cpu, memory, io bool }

// String is part of a definition's form, "" for none.
func (l limits) String() string {
	s := ""
	for _, p := range []struct {
		on     bool
		letter string
	}{{l.cpu, "c"}, {l.memory, "m"}, {l.io, "i"}} {
		if p.on {
			s += p.letter
		}
	}
	return s
}

// lacks names what is not limited, for people.
func (l limits) lacks() []string {
	var out []string
	for _, p := range []struct {
		on   bool
		name string
	}{{l.cpu, "cpu"}, {l.memory, "memory"}, {l.io, "io"}} {
		if !p.on {
			out = append(out, p.name)
		}
	}
	return out
}

// Where guests contend they get time in proportion to their vCPUs, in the unit of
// cgroup v2, whose most is 10,000; v1 takes it as well. For I/O the most is v1's.
const (
	weightOfVCPU = 100
	mostCPU      = 10_000
	mostIO       = 1_000
)

func cpuWeight(vcpus int) uint { return uint(min(weightOfVCPU*vcpus, mostCPU)) }
func ioWeight(vcpus int) uint  { return uint(min(weightOfVCPU*vcpus, mostIO)) }

// memoryCeiling is where the kernel ends a QEMU that has run wild, in MiB: the
// guest's memory, and as much as QEMU itself may want for devices, queues and page
// tables. Under TCG the translated code comes on top, 1 GiB at most.
func memoryCeiling(memoryMiB int, domainType string) uint64 {
	ceiling := memoryMiB + memoryMiB/4 + 512
	if domainType != "kvm" {
		ceiling += 1024
	}
	return uint64(ceiling)
}

// hold writes the limits into a definition.
// https://libvirt.org/formatdomain.html#cpu-tuning
func (l limits) hold(d *libvirtxml.Domain, spec cloud.GuestSpec) {
	if l.cpu {
		d.CPUTune = &libvirtxml.DomainCPUTune{Shares: &libvirtxml.DomainCPUTuneShares{Value: cpuWeight(spec.VCPUs)}}
	}
	if l.memory {
		d.MemoryTune = &libvirtxml.DomainMemoryTune{
			HardLimit: &libvirtxml.DomainMemoryTuneLimit{Value: memoryCeiling(spec.MemoryMiB, d.Type), Unit: "MiB"},
		}
	}
	if l.io {
		d.BlockIOTune = &libvirtxml.DomainBlockIOTune{Weight: ioWeight(spec.VCPUs)}
	}
}

// The words with which libvirt refuses a limit at a start. Where they come, what
// was found out beforehand was wrong.
var refusedLimit = []string{
	"cannot limit locked memory", // hard_limit raises that too
	"tuning is not available on this host", "emory cgroup is not available on this host",
	"v2 controller", "Unable to set cpu", "blkio weight is valid only",
}

func refusesLimit(err error) bool {
	return err != nil && slices.ContainsFunc(refusedLimit, func(w string) bool { return strings.Contains(err.Error(), w) })
}

// findLimits looks at the driver's process, as libvirt does: which controllers it
// has, and which of them qemu.conf leaves to it.
func findLimits(state string) (limits, error) {
	pid, err := driverPID(state)
	if err != nil {
		return limits{}, err
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	groups, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return limits{}, err
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return limits{}, err
	}
	unified, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers") // not there: version 1
	conf, err := os.ReadFile("/etc/libvirt/qemu.conf")
	if err != nil && !os.IsNotExist(err) {
		return limits{}, err // what it leaves is not known
	}
	return judgeLimits(groups, unified, conf, status, weighsIO("/sys/fs/cgroup")), nil
}

// Unlimited names what guests of this host cannot be limited in: cpu, memory, io.
// Returns an error where the driver of qemu:///system cannot be looked at.
func Unlimited() ([]string, error) {
	l, err := findLimits(systemState)
	return l.lacks(), err
}

// judgeLimits decides from the driver's /proc/PID/cgroup, the controllers of
// cgroup v2, qemu.conf and /proc/PID/status.
func judgeLimits(groups, unified, conf, status []byte, weighsIO bool) limits {
	has, v2 := controllers(groups, unified)
	if left, set := leftTo(conf); set {
		for c := range has {
			if !slices.Contains(left, c) {
				delete(has, c)
			}
		}
	}
	return limits{
		// On version 1 libvirt starts no guest in a group of cpu without one of cpuacct.
		cpu: has["cpu"] && (v2 || has["cpuacct"]),
		// libvirt lifts the limit of locked memory to the hard limit.
		memory: has["memory"] && capable(status, capSysResource),
		io:     (has["blkio"] || has["io"]) && weighsIO,
	}
}

// controllers are those that a process is under.
// https://man7.org/linux/man-pages/man7/cgroups.7.html
func controllers(groups, unified []byte) (has map[string]bool, v2 bool) {
	has = map[string]bool{}
	for line := range strings.Lines(string(groups)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				if c != "" && !strings.HasPrefix(c, "name=") {
					has[c] = true
				}
			}
		}
	}
	if len(has) > 0 {
		return has, false
	}
	for _, c := range strings.Fields(string(unified)) {
		has[c] = true
		if c == "io" {
			has["blkio"] = true // what qemu.conf calls it
		}
	}
	if len(has) > 0 {
		has["cpuacct"] = true
	}
	return has, len(has) > 0
}

var (
	controllersLine = regexp.MustCompile(`(?ms)^\s*cgroup_controllers\s*=\s*\[(.*?)\]`)
	quoted          = regexp.MustCompile(`"([a-z]+)"`)
)

// leftTo reads cgroup_controllers of qemu.conf; set is false where libvirt decides.
func leftTo(conf []byte) (left []string, set bool) {
	m := controllersLine.FindSubmatch(conf)
	if m == nil {
		return nil, false
	}
	for _, q := range quoted.FindAllSubmatch(m[1], -1) {
		left = append(left, string(q[1]))
	}
	return left, true
}

const capSysResource = 24

// capable reports whether /proc/PID/status has the capability as effective.
func capable(status []byte, capability uint) bool {
	s := bufio.NewScanner(bytes.NewReader(status))
	for s.Scan() {
		if mask, ok := strings.CutPrefix(s.Text(), "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && n&(1<<capability) != 0
		}
	}
	return false
}

// weighsIO reports whether groups have a weight for I/O, as the kernel offers
// with BFQ or iocost. The root group has none itself, but other files of theirs; and
// on version 2 no group has one before somebody asks for it, as libvirt does with
// the first guest.
func weighsIO(root string) bool {
	for _, pattern := range []string{
		"blkio/blkio.bfq.*", "blkio/blkio.weight", "io.cost.qos", "*/io.weight", "*/io.bfq.weight",
	} {
		if found, err := filepath.Glob(filepath.Join(root, pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// IOWeightsCount reports whether a disk of this host shares its time by the weights of
// guests. A kernel may have the weights and heed them nowhere, as most do that nobody has
// set up.
func IOWeightsCount() bool { return heedsIO("/sys/fs/cgroup", "/sys/block") }

// heedsIO looks for a disk that BFQ schedules, or that iocost is on for.
func heedsIO(groups, disks string) bool {
	schedulers, _ := filepath.Glob(filepath.Join(disks, "*/queue/scheduler")) // the pattern is well formed
	for _, path := range schedulers {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("[bfq]")) {
			return true
		}
	}
	b, err := os.ReadFile(filepath.Join(groups, "io.cost.qos"))
	return err == nil && bytes.Contains(b, []byte("enable=1"))
}

// unlimited is what a start says that failed for a limit.
func unlimited(err error) error {
	return &cloud.Error{Code: cloud.CodeGuestFailed, Cause: fmt.Errorf("start with limits: %w", err),
		Message: "The host cannot hold the guest to its limits; lodge starts it without them, and `lodged doctor` says why."}
}
