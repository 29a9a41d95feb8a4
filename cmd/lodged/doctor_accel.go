package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
)

type accelFacts struct {
	wanted  string // --accel
	arch    string // GOARCH
	root    bool
	pretend bool
	flags   bool  // vmx or svm
	device  error // of opening /dev/kvm
	group   bool  // /dev/kvm belongs to more than root
	asked   bool  // libvirt could be asked
	offered bool  // libvirt offers KVM
}

func probeAccel(wanted string, l libvirtFacts) accelFacts {
	a := accelFacts{
		wanted: wanted, arch: runtime.GOARCH, root: os.Geteuid() == 0,
		pretend: l.pretend(), asked: l.err == nil, offered: l.kvm,
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		a.flags = virtFlags(b)
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if a.device = err; err == nil {
		f.Close()
	}
	if info, err := os.Stat("/dev/kvm"); err == nil {
		a.group = info.Mode()&0o060 == 0o060
	}
	return a
}

// virtFlags reports whether /proc/cpuinfo's flags have vmx or svm.
func virtFlags(cpuinfo []byte) bool {
	s := bufio.NewScanner(bytes.NewReader(cpuinfo))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		key, value, _ := strings.Cut(s.Text(), ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		flags := strings.Fields(value)
		return slices.Contains(flags, "vmx") || slices.Contains(flags, "svm")
	}
	return false
}

// lacks says why KVM would not work, and what to do; both "" when it would.
func (a accelFacts) lacks() (why, do string) {
	const bios = "Turn on VT-x or AMD-V in the firmware setup, or nested virtualisation on the machine around this one."
	switch {
	case a.arch != "amd64":
		return "lodge uses KVM on x86-64 only", "Use an x86-64 host."
	case !a.flags && a.device == nil:
		return "the CPU shows neither vmx nor svm, and on such a host /dev/kvm opens but its guests hang", bios
	case !a.flags:
		return "the CPU shows neither vmx nor svm", bios
	case notThere(a.device):
		return "/dev/kvm is not there", "Load the module with `modprobe kvm_intel` or `modprobe kvm_amd`."
	case errors.Is(a.device, os.ErrPermission):
		return "/dev/kvm may not be opened by this user", "Run `sudo lodged doctor`, or join the group kvm."
	case a.device != nil:
		return "/dev/kvm does not open", "Look at `dmesg | grep kvm`; another hypervisor may hold the CPU."
	case a.asked && !a.offered:
		return "libvirt does not offer KVM", "Run `chgrp kvm /dev/kvm && chmod 660 /dev/kvm` and restart libvirtd, which then looks again."
	}
	return "", ""
}

func judgeAccel(a accelFacts) finding {
	if a.pretend {
		return ok("libvirt's test driver needs no acceleration.")
	}
	why, do := a.lacks()
	works := why == ""
	switch {
	case a.wanted == "kvm" && works:
		return ok("KVM is forced and works.")
	case a.wanted == "kvm":
		return fail("KVM is forced, but "+why+".", do+" Or start lodged with --accel auto.")
	case a.wanted == "tcg" && works:
		return warn("TCG is forced although KVM works: guests run many times slower.", "Start lodged with --accel auto.")
	case a.wanted == "tcg":
		return ok("TCG is forced: guests run without hardware help.")
	case works:
		return ok("auto will take KVM: the CPU has it and /dev/kvm opens.")
	case a.device == nil && a.root && !a.group:
		// libvirt finds that root may open it and QEMU's user may not, and looks
		// at QEMU anew on every call.
		return warn("auto will take TCG, many times slower, because "+why+"; and /dev/kvm is for root alone, which slows libvirt down.",
			"Run `chgrp kvm /dev/kvm && chmod 660 /dev/kvm` to make libvirt fast. "+do)
	}
	return warn("auto will take TCG, many times slower, because "+why+".", do)
}
