package hypervisor

import (
	"encoding/xml"
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

// shape is what the host decides about a domain, where the spec decides the
// rest.
type shape struct {
	domainType string // "kvm", "qemu" or "test"
	arch       string
	machine    string // "": libvirt's default
	cpu        string // libvirt's CPU mode, "" the machine's default
	firmware   firmware
	limits     limits
}

// generation grows when the generators below write something else for the same
// spec, so that definitions of an older lodge are made again.
const generation = "3"

// form names how a definition was made. One of another form counts as unlike
// any spec: it is made again, and the guest gets it at its next start.
func (s shape) form() string {
	f := generation + "-" + s.domainType
	if l := s.limits.String(); l != "" {
		f += "-" + l
	}
	return f
}

// namespace of lodge's metadata in a domain: a name, not an address.
const namespace = "urn:lodge:guest:1"

// mark is lodge's metadata in a domain. A domain that has it is lodge's.
type mark struct {
	Digest string `xml:"digest,attr"`
	Form   string `xml:"form,attr"`
	// Essence is essenceOf the definition as it was made.
	Essence string `xml:"essence,attr"`
}

// element is the mark as it is written, with its prefix declared on the spot.
type element struct {
	XMLName xml.Name `xml:"lodge:guest"`
	NS      string   `xml:"xmlns:lodge,attr"`
	mark
}

// definition is the text of a guest's definition, with lodge's mark.
func definition(spec cloud.GuestSpec, s shape, consoleLog string) (string, error) {
	dom, err := domain(spec, s, consoleLog)
	if err != nil {
		return "", err
	}
	bare, err := dom.Marshal()
	if err != nil {
		return "", err
	}
	meta, err := xml.Marshal(element{NS: namespace, mark: mark{spec.Digest(), s.form(), essenceOf(bare)}})
	if err != nil {
		return "", err
	}
	dom.Metadata = &libvirtxml.DomainMetadata{XML: string(meta)}
	return dom.Marshal()
}

// domain is the definition of a guest, without the mark.
// https://libvirt.org/formatdomain.html
func domain(spec cloud.GuestSpec, s shape, consoleLog string) (*libvirtxml.Domain, error) {
	osys, err := boots(spec.Firmware, s)
	if err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{
		Type:       s.domainType,
		Name:       cloud.GuestName(spec.ID),
		UUID:       spec.ID,
		Title:      spec.Title,
		Memory:     &libvirtxml.DomainMemory{Value: uint(spec.MemoryMiB), Unit: "MiB"},
		VCPU:       &libvirtxml.DomainVCPU{Value: uint(spec.VCPUs), Placement: "static"},
		OS:         osys,
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		CPU:        cpu(s),
		Clock:      clock(s),
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		PM: &libvirtxml.DomainPM{ // a guest asleep is one that nobody can wake over the network
			SuspendToMem:  &libvirtxml.DomainPMPolicy{Enabled: "no"},
			SuspendToDisk: &libvirtxml.DomainPMPolicy{Enabled: "no"},
		},
		Devices: &libvirtxml.DomainDeviceList{
			Disks:      disks(spec.Disks),
			Interfaces: nics(spec.NICs),
			Controllers: []libvirtxml.DomainController{
				{Type: "usb", Model: "none"}, // nothing is plugged into it and polling it costs CPU
			},
			Serials:    []libvirtxml.DomainSerial{serial(consoleLog)},
			Consoles:   []libvirtxml.DomainConsole{console()},
			Channels:   []libvirtxml.DomainChannel{agent()},
			RNGs:       []libvirtxml.DomainRNG{rng()},
			MemBalloon: balloon(),
			Panics:     panics(s),
		},
	}
	s.limits.hold(d, spec)
	return d, nil
}

// boots chooses what starts the guest. NVRAM's own path is libvirt's: it names
// it after the domain, owns the directory and removes it at undefine.
func boots(fw cloud.Firmware, s shape) (*libvirtxml.DomainOS, error) {
	o := &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm", Arch: s.arch, Machine: s.machine}}
	switch fw {
	case cloud.FirmwareBIOS, "":
		return o, nil
	case cloud.FirmwareUEFI:
		if s.domainType == "test" {
			return o, nil
		}
		if s.firmware.loader == "" {
			return nil, cloud.Errorf(cloud.CodeGuestFailed, "The image needs UEFI and the host has no UEFI firmware; the operator has to install OVMF.")
		}
		o.Loader = &libvirtxml.DomainLoader{Path: s.firmware.loader, Readonly: "yes", Type: "pflash"}
		o.NVRam = &libvirtxml.DomainNVRam{Template: s.firmware.template}
		return o, nil
	}
	return nil, cloud.Errorf(cloud.CodeGuestFailed, "The firmware %q is unknown; an image has bios or uefi.", fw)
}

func cpu(s shape) *libvirtxml.DomainCPU {
	if s.cpu == "" {
		return nil
	}
	return &libvirtxml.DomainCPU{Mode: s.cpu}
}

// clock: UTC as every cloud image expects. Under KVM the guest has kvmclock, so
// the timers that cost wake-ups are off or catch up slowly; TCG guests need them.
func clock(s shape) *libvirtxml.DomainClock {
	c := &libvirtxml.DomainClock{Offset: "utc"}
	if s.domainType == "kvm" {
		c.Timer = []libvirtxml.DomainTimer{
			{Name: "rtc", TickPolicy: "catchup"},
			{Name: "pit", TickPolicy: "delay"},
			{Name: "hpet", Present: "no"},
		}
	}
	return c
}

// serial is the guest's ttyS0: a pty for people, and a file that remembers. The
// file is appended to over restarts; virtlogd bounds and rotates it.
func serial(log string) libvirtxml.DomainSerial {
	return libvirtxml.DomainSerial{
		Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
		Target: &libvirtxml.DomainSerialTarget{Port: number(0)},
		Log:    &libvirtxml.DomainChardevLog{File: log, Append: "on"},
	}
}

// console says that the console is the serial line.
func console() libvirtxml.DomainConsole {
	return libvirtxml.DomainConsole{
		Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
		Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: number(0)},
	}
}

// agent is the channel of qemu-guest-agent; libvirt chooses the socket.
func agent() libvirtxml.DomainChannel {
	return libvirtxml.DomainChannel{
		Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
		Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
	}
}

func rng() libvirtxml.DomainRNG {
	return libvirtxml.DomainRNG{
		Model: "virtio",
		Backend: &libvirtxml.DomainRNGBackend{
			Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"},
		},
	}
}

// balloon asks the guest every 10 s how it uses its memory.
func balloon() *libvirtxml.DomainMemBalloon {
	return &libvirtxml.DomainMemBalloon{Model: "virtio", Stats: &libvirtxml.DomainMemBalloonStats{Period: 10}}
}

// panics tells QEMU of a kernel panic, so that it ends the run as crashed
// instead of leaving a guest that hangs and is counted.
func panics(s shape) []libvirtxml.DomainPanic {
	if s.machine != "q35" {
		return nil
	}
	return []libvirtxml.DomainPanic{{Model: "isa"}}
}

func number(n uint) *uint { return &n }

// consolePath is where a guest's console log is.
func consolePath(dir, id string) string { return filepath.Join(dir, id+".log") }

// diskName is the n-th name of a disk in the guest: vda, vdb ... vdz, vdaa.
func diskName(n int) string {
	letters := ""
	for n++; n > 0; n = (n - 1) / 26 {
		letters = string(rune('a'+(n-1)%26)) + letters
	}
	return fmt.Sprintf("vd%s", letters)
}
