package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/virt"
)

// libvirtFacts are what one connection to libvirt tells.
type libvirtFacts struct {
	uri       string
	root      bool
	err       error // of connecting or asking
	driver    string
	lib, hv   uint32 // versions, major*1000000 + minor*1000 + release
	emulators []string
	kvm       bool // it offers KVM guests
	loaders   []string
}

// pretend reports whether this is libvirt's driver for tests, which has neither
// QEMU nor a network.
func (l libvirtFacts) pretend() bool { return l.driver == "TEST" }

const libvirtPatience = 15 * time.Second // it takes seconds to look at a QEMU that it does not know

func probeLibvirt(ctx context.Context, uri string) libvirtFacts {
	l := libvirtFacts{uri: uri, root: os.Geteuid() == 0}
	link := virt.Open(virt.Options{URI: uri, FirstDial: libvirtPatience, CallTimeout: libvirtPatience})
	defer link.Close()
	if up, why := link.Up(); !up {
		l.err = why
		return l
	}
	got, err := virt.Call(ctx, link, "ask libvirt", func(c *libvirt.Connect) (libvirtFacts, error) { return askLibvirt(c, l) })
	if err != nil {
		l.err = err
		return l
	}
	return got
}

func askLibvirt(c *libvirt.Connect, l libvirtFacts) (libvirtFacts, error) {
	var err error
	if l.driver, err = c.GetType(); err != nil {
		return l, err
	}
	if l.lib, err = c.GetLibVersion(); err != nil {
		return l, err
	}
	if l.hv, err = c.GetVersion(); err != nil {
		return l, err
	}
	if l.pretend() {
		return l, nil
	}
	doc, err := c.GetCapabilities()
	if err != nil {
		return l, err
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(doc); err != nil {
		return l, err
	}
	for _, g := range caps.Guests {
		if g.Arch.Name != "x86_64" {
			continue
		}
		if g.Arch.Emulator != "" {
			l.emulators = append(l.emulators, g.Arch.Emulator)
		}
		for _, d := range g.Arch.Domains {
			l.kvm = l.kvm || d.Type == "kvm"
		}
	}
	// Without a QEMU there are no domain capabilities; the check of qemu says so.
	if doc, err := c.GetDomainCapabilities("", "x86_64", "q35", "qemu", 0); err == nil {
		var dc libvirtxml.DomainCaps
		if dc.Unmarshal(doc) == nil && dc.OS != nil && dc.OS.Loader != nil {
			l.loaders = dc.OS.Loader.Values
		}
	}
	return l, nil
}

func judgeLibvirt(l libvirtFacts) finding {
	if l.err == nil {
		return ok("libvirt %s answers on %s.", dotted(l.lib), l.uri)
	}
	why := strings.TrimSuffix(plain(l.err), ".")
	switch {
	case strings.Contains(why, "libvirt.so"):
		return fail("libvirt's client library is not installed.", "Install it with `apt install libvirt-daemon-system` or `dnf install libvirt`.")
	case !l.root && (strings.Contains(why, "authentication") || strings.Contains(why, "Permission denied") || strings.Contains(why, "polkit")):
		return unseen("libvirt at " + l.uri)
	case strings.Contains(why, "No such file") || strings.Contains(why, "refused"):
		return fail(fmt.Sprintf("libvirt does not run: nobody answers on %s.", l.uri),
			"Install libvirt-daemon-system if it is missing, and start it with `systemctl enable --now libvirtd` (without systemd: `tini -s -- libvirtd &`).")
	}
	return fail(fmt.Sprintf("libvirt does not answer on %s: %s.", l.uri, why),
		"Try `virsh -c "+l.uri+" version`, look at the log of libvirtd, and restart it.")
}

// plain is libvirt's own sentence without its numbers.
func plain(err error) string {
	var e libvirt.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func dotted(v uint32) string { return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000) }

type qemuFacts struct {
	pretend  bool
	asked    bool // libvirt could be asked
	version  uint32
	emulator string // "": libvirt knows none
	onPath   string // found by looking
}

func probeQEMU(l libvirtFacts) qemuFacts {
	q := qemuFacts{pretend: l.pretend(), asked: l.err == nil, version: l.hv}
	if len(l.emulators) > 0 {
		q.emulator = l.emulators[0]
	}
	q.onPath = findProgram("qemu-system-x86_64")
	if q.onPath == "" {
		if _, err := os.Stat("/usr/libexec/qemu-kvm"); err == nil {
			q.onPath = "/usr/libexec/qemu-kvm"
		}
	}
	return q
}

// oldQEMU is the first version that lodge's guests were not tried with.
const oldQEMU = 5000000

func judgeQEMU(q qemuFacts) finding {
	const install = "Install it with `apt install qemu-system-x86 qemu-utils` or `dnf install qemu-kvm qemu-img`."
	switch {
	case q.pretend:
		return ok("libvirt's test driver needs no QEMU.")
	case q.emulator != "" && q.version < oldQEMU:
		return warn(fmt.Sprintf("QEMU %s is old.", dotted(q.version)), "Use 5.0 or later; lodge is tested with 7.2.")
	case q.emulator != "":
		return ok("QEMU %s is %s.", dotted(q.version), q.emulator)
	case q.onPath == "":
		return fail("QEMU for x86-64 is not installed.", install)
	case q.asked:
		return fail(fmt.Sprintf("%s is there, but libvirt does not offer it.", q.onPath),
			"Run `virsh capabilities` and look at the log of libvirtd; a restart of libvirtd makes it look again.")
	}
	return ok("%s is there; libvirt could not be asked about it.", q.onPath)
}

type uefiFacts struct {
	pretend bool
	found   []string
}

// uefiPlaces are where the distributions put OVMF.
var uefiPlaces = []string{
	"/usr/share/OVMF/OVMF_CODE*.fd", "/usr/share/edk2/ovmf/OVMF_CODE*.fd", "/usr/share/edk2/x64/OVMF_CODE*.fd",
	"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/edk2-ovmf/x64/OVMF_CODE*.fd",
}

func probeUEFI(l libvirtFacts) uefiFacts {
	u := uefiFacts{pretend: l.pretend()}
	for _, path := range l.loaders {
		if _, err := os.Stat(path); err == nil {
			u.found = append(u.found, path)
		}
	}
	for _, pattern := range uefiPlaces {
		found, _ := filepath.Glob(pattern) // the patterns are right
		u.found = append(u.found, found...)
	}
	slices.Sort(u.found)
	u.found = slices.Compact(u.found)
	return u
}

func judgeUEFI(u uefiFacts) finding {
	switch {
	case u.pretend:
		return ok("libvirt's test driver needs no firmware.")
	case len(u.found) == 0:
		return warn("UEFI firmware (OVMF) is not installed: images that need it will not start.",
			"Install it with `apt install ovmf` or `dnf install edk2-ovmf`.")
	}
	return ok("UEFI firmware is %s.", u.found[0])
}

func judgeDnsmasq(path string) finding {
	if path == "" {
		return fail("dnsmasq is not installed: guests would get no address.", "Install it with `apt install dnsmasq-base` or `dnf install dnsmasq`.")
	}
	return ok("dnsmasq is %s.", path)
}
