package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"lodge/hypervisor"
)

const qemuConf = "/etc/libvirt/qemu.conf"

type confinementFacts struct {
	dir      string
	apparmor bool
	selinux  bool   // enforcing
	driver   string // security_driver of qemu.conf, "" libvirt's choice
	confined string // security_default_confined of it
}

func probeConfinement(dir string) confinementFacts {
	aa, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled") // not there: off
	se, _ := os.ReadFile("/sys/fs/selinux/enforce")
	conf, _ := os.ReadFile(qemuConf) // not there, or not ours to read: libvirt's choice
	return confinementFacts{
		dir: dir, apparmor: strings.HasPrefix(string(aa), "Y"), selinux: strings.HasPrefix(string(se), "1"),
		driver: qemuConfValue(conf, "security_driver"), confined: qemuConfValue(conf, "security_default_confined"),
	}
}

func judgeConfinement(c confinementFacts) finding {
	usual := strings.HasPrefix(c.dir, "/var/lib/")
	off := strings.Contains(c.driver, "none") || c.confined == "0"
	switch {
	case off && (c.selinux || c.apparmor):
		return warn("The host has "+c.module()+", and "+qemuConf+" keeps it from guests.",
			"Remove security_driver and security_default_confined from it and restart libvirt; guests are confined from their next start on.")
	case c.selinux && !usual:
		return warn(fmt.Sprintf("SELinux is enforcing and %s is not where it expects disks.", c.dir),
			fmt.Sprintf("Run `semanage fcontext -a -t virt_image_t '%s/disks(/.*)?' && restorecon -R %s`, or use a --data-dir below /var/lib.", c.dir, c.dir))
	case c.apparmor && !usual:
		return warn(fmt.Sprintf("AppArmor is on and %s is not where it expects disks.", c.dir),
			fmt.Sprintf("If guests are refused their disks, add `%s/** rwk,` to /etc/apparmor.d/local/abstractions/libvirt-qemu, or use a --data-dir below /var/lib.", c.dir))
	case c.selinux:
		return ok("SELinux is enforcing; libvirt labels the guests' disks.")
	case c.apparmor:
		return ok("AppArmor is on; libvirt gives each guest its profile.")
	}
	return ok("Neither AppArmor nor SELinux confines the guests.")
}

func (c confinementFacts) module() string {
	if c.selinux {
		return "SELinux"
	}
	return "AppArmor"
}

type sandboxFacts struct {
	seccomp string // seccomp_sandbox of qemu.conf, "" libvirt's choice, which is on
	user    string // whom QEMU runs as
	err     error  // of reading qemu.conf
}

func probeSandbox() sandboxFacts {
	conf, err := os.ReadFile(qemuConf)
	if notThere(err) {
		err = nil
	}
	return sandboxFacts{seccomp: qemuConfValue(conf, "seccomp_sandbox"), user: strings.TrimPrefix(qemuConfUser(conf), "+"), err: err}
}

func judgeSandbox(s sandboxFacts) finding {
	switch {
	case errors.Is(s.err, os.ErrPermission):
		return unseen("QEMU's sandbox")
	case s.err != nil:
		return warn(qemuConf+" could not be read.", "Look at its settings seccomp_sandbox and user.")
	case s.seccomp == "0":
		return warn("QEMU runs without its seccomp sandbox: seccomp_sandbox is 0 in "+qemuConf+".",
			"Remove that line and restart libvirt; guests have it from their next start on.")
	case s.user == "root" || s.user == "0":
		return warn("QEMU runs as root: a guest that breaks out of it owns this host.",
			"Remove user and group from "+qemuConf+" and restart libvirt; guests have their own user from their next start on.")
	}
	return ok("QEMU runs in its seccomp sandbox and not as root.")
}

type limitFacts struct {
	pretend bool
	root    bool
	lacks   []string
	heeds   bool // a disk shares its time by the weights
	err     error
}

func probeLimits(l libvirtFacts) limitFacts {
	f := limitFacts{pretend: l.pretend() || l.uri != "qemu:///system", root: os.Geteuid() == 0}
	if !f.pretend {
		f.lacks, f.err = hypervisor.Unlimited()
		f.heeds = hypervisor.IOWeightsCount()
	}
	return f
}

func judgeLimits(l limitFacts) finding {
	switch {
	case l.pretend:
		return ok("Guests of this libvirt are not limited by lodge.")
	case l.err != nil && !l.root:
		return unseen("What guests can be limited in")
	case l.err != nil:
		return warn("What guests can be limited in could not be found out, so they are not.", "Look whether libvirt runs: it has its pid in /run/libvirt/qemu/driver.pid.")
	case len(l.lacks) == 0 && !l.heeds:
		return warn("Guests get CPU by their vCPUs and have a ceiling of memory. Their weights for I/O count on no disk: one of them may take it from the others.",
			"Have BFQ schedule the disk of the guests: `modprobe bfq; echo bfq >/sys/block/DISK/queue/scheduler`, for good by a rule of udev; or turn on iocost for it.")
	case len(l.lacks) == 0:
		return ok("Guests get CPU and I/O by their vCPUs, and have a ceiling of memory.")
	}
	why := map[string]string{
		"cpu":    "the control groups cpu and cpuacct",
		"memory": "the control group memory and CAP_SYS_RESOURCE",
		"io":     "the control group io and a kernel with BFQ or iocost",
	}
	var needs []string
	for _, what := range l.lacks {
		needs = append(needs, what+" takes "+why[what])
	}
	return warn("Guests are not limited in "+strings.Join(l.lacks, ", ")+": one of them may take it from the others.",
		"Give libvirt's daemon what is missing: "+strings.Join(needs, "; ")+"; and see cgroup_controllers in "+qemuConf+".")
}

type accountFacts struct {
	pid  string // of the lodged that runs, "" none
	uid  string // its effective user
	name string
	root bool   // it is root
	none bool   // no user lodge is there
	caps string // its effective capabilities, in hexadecimal
	err  error  // of asking for its pid
}

func probeAccount(dir string) accountFacts {
	_, err := user.Lookup("lodge")
	a := accountFacts{none: err != nil}
	b, err := os.ReadFile(filepath.Join(dir, "lodged.lock"))
	if err != nil {
		if !notThere(err) {
			a.err = err
		}
		return a
	}
	pid := strings.TrimSpace(string(b))
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil || !slices.Contains(strings.Fields(string(status)), "lodged") {
		return a
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 2 && f[0] == "Uid:":
			a.pid, a.uid, a.root = pid, f[2], f[2] == "0"
		case len(f) > 1 && f[0] == "CapEff:":
			a.caps = strings.TrimLeft(f[1], "0")
		}
	}
	a.name = a.uid
	if u, err := user.LookupId(a.uid); err == nil {
		a.name = u.Username
	}
	return a
}

func judgeAccount(a accountFacts) finding {
	const do = "Run `sudo scripts/install`, which makes the user lodge and a service that runs as it."
	switch {
	case a.err != nil:
		return unseen("Whom lodged runs as")
	case a.root:
		return warn("lodged (pid "+a.pid+") runs as root, with more rights than it needs.", do)
	case a.pid != "":
		return ok("lodged (pid %s) runs as %s with the capabilities 0x%s.", a.pid, a.name, a.caps)
	case a.none:
		return warn("There is no user lodge, so lodged would run as root.", do)
	}
	return ok("The user lodge is there; lodged does not run.")
}
