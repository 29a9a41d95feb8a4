package hypervisor

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// The accelerations.
const (
	AccelAuto = "auto"
	AccelKVM  = "kvm"
	AccelTCG  = "tcg"
)

// facts are what a host can do, learnt at every connect: libvirt or QEMU may
// have been upgraded in between.
type facts struct {
	accel    string
	versions string
	shape    shape
	logs     string // where the driver's logs of the guests are, "" when not on this machine
	state    string // where the driver keeps its pid
	unsure   error  // why it is not known what guests can be limited to; nil: it is known
}

// learn asks libvirt and the host.
// https://libvirt.org/formatcaps.html, https://libvirt.org/formatdomaincaps.html
func learn(c *libvirt.Connect, opts Options) (*facts, error) {
	driver, err := c.GetType()
	if err != nil {
		return nil, err
	}
	f := &facts{}
	if f.versions, err = versions(c, driver); err != nil {
		return nil, err
	}
	if driver == "TEST" {
		f.accel = AccelTCG
		f.shape = shape{domainType: "test", arch: "i686"}
		return f, nil
	}
	if uri, err := c.GetURI(); err == nil && uri == "qemu:///system" {
		f.logs, f.state = systemLogs, systemState
	}
	kvm, err := offersKVM(c)
	if err != nil {
		return nil, err
	}
	f.accel = chooseAccel(opts.Accel, kvm && hasVirtFlags("/proc/cpuinfo") && opens("/dev/kvm"))
	f.shape = shape{domainType: "qemu", arch: "x86_64", machine: "q35"}
	if f.accel == AccelKVM {
		f.shape.domainType = "kvm"
	}
	doc, err := c.GetDomainCapabilities("", f.shape.arch, f.shape.machine, f.shape.domainType, 0)
	if err != nil {
		return nil, err
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(doc); err != nil {
		return nil, err
	}
	f.shape.cpu = chooseCPU(f.accel, caps)
	if f.state != "" {
		// Where that cannot be found out, guests start without.
		f.shape.limits, f.unsure = findLimits(f.state)
	}
	f.shape.firmware = findFirmware(firmwareDirs, loaders(caps))
	return f, nil
}

// chooseAccel decides: an operator's word counts, auto takes KVM only when it
// truly works.
func chooseAccel(wanted string, works bool) string {
	if wanted != AccelAuto {
		return wanted
	}
	if works {
		return AccelKVM
	}
	return AccelTCG
}

// chooseCPU names libvirt's CPU mode. With KVM host-model: nearly all of the
// host's CPU, under a name that another host can be compared with. With TCG
// maximum: it boots as fast as the machine's default, and distributions that
// want x86-64-v2 do not run on that.
func chooseCPU(accel string, caps libvirtxml.DomainCaps) string {
	switch {
	case accel == AccelKVM && offersCPU(caps, "host-model"):
		return "host-model"
	case accel == AccelKVM:
		return "host-passthrough"
	case offersCPU(caps, "maximum"):
		return "maximum"
	}
	return "" // libvirt before 7.1: the machine's default
}

func offersCPU(caps libvirtxml.DomainCaps, mode string) bool {
	if caps.CPU == nil {
		return false
	}
	for _, m := range caps.CPU.Modes {
		if m.Name == mode && m.Supported == "yes" {
			return true
		}
	}
	return false
}

func loaders(caps libvirtxml.DomainCaps) []string {
	if caps.OS == nil || caps.OS.Loader == nil {
		return nil
	}
	return caps.OS.Loader.Values
}

func offersKVM(c *libvirt.Connect) (bool, error) {
	doc, err := c.GetCapabilities()
	if err != nil {
		return false, err
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(doc); err != nil {
		return false, err
	}
	for _, g := range caps.Guests {
		for _, d := range g.Arch.Domains {
			if g.Arch.Name == "x86_64" && d.Type == "kvm" {
				return true, nil
			}
		}
	}
	return false, nil
}

// hasVirtFlags reports whether the CPU has vmx or svm. Without them /dev/kvm
// may be there and open, and a guest on it hangs for ever.
func hasVirtFlags(cpuinfo string) bool {
	file, err := os.Open(cpuinfo)
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, flags, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(flags) {
			if flag == "vmx" || flag == "svm" {
				return true
			}
		}
		return false
	}
	return false
}

func opens(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = file.Close()
	return true
}

// versions reads "QEMU 7.2.19, libvirt 9.0.0".
func versions(c *libvirt.Connect, driver string) (string, error) {
	hv, err := c.GetVersion()
	if err != nil {
		return "", err
	}
	lib, err := c.GetLibVersion()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s, libvirt %s", driver, dotted(hv), dotted(lib)), nil
}

// dotted writes libvirt's major*1000000 + minor*1000 + release.
func dotted(v uint32) string {
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000)
}
