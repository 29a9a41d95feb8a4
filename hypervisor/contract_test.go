package hypervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/hypervisor/contract"
)

func TestQEMUKeepsTheContract(t *testing.T) {
	needWorld(t)
	site := siteOf(t, "qemu:///system", AccelAuto)
	contract.Guests(t, func(t *testing.T) contract.Site { return site })
}

func TestTestDriverKeepsTheContract(t *testing.T) {
	contract.Guests(t, func(t *testing.T) contract.Site {
		site := siteOf(t, "test:///default", AccelAuto)
		const noBoot = "libvirt's test driver runs nothing"
		site.Ready = ""
		site.Firmwares = []cloud.Firmware{cloud.FirmwareBIOS}
		site.Cannot = map[string]string{
			"FailedStartIsSaid":                  "libvirt's test driver opens no disk",
			"LostLinkIsSaidAndComesBack":         "libvirt's test driver is in this process",
			"ResetKeepsTheGuestRunning":          "libvirt's test driver has no reset",
			"RemoveOfARunningGuestLeavesNothing": noBoot + " that leaves a file",
		}
		return site
	})
}

func needWorld(t *testing.T) {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs scripts/world")
	}
}

// open opens a host whose definitions libvirt checks against its schema.
func open(t testing.TB, uri, accel string) *Host {
	t.Helper()
	h, err := Open(Options{
		URI:         uri,
		Accel:       accel,
		ConsoleDir:  filepath.Join(sharedDir(t), "console"),
		defineFlags: libvirt.DOMAIN_DEFINE_VALIDATE,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// sharedDir is a directory that QEMU's user may pass through; those of
// t.TempDir it may not.
func sharedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lodge-hypervisor-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// siteOf is the site of a real libvirt.
func siteOf(t *testing.T, uri, accel string) contract.Site {
	t.Helper()
	h := open(t, uri, accel)
	conn := dial(t, uri)
	dir := sharedDir(t)
	site := contract.Site{
		Host:      h,
		Disk:      func(t *testing.T) cloud.GuestDisk { return blank(t, dir) },
		Firmwares: []cloud.Firmware{cloud.FirmwareBIOS, cloud.FirmwareUEFI},
		Leftovers: func(t *testing.T, id string) []string { return leftovers(t, h, id) },
		AddForeign: func(t *testing.T, uuid, name string) {
			d, err := conn.DomainDefineXML(foreignXML(t, h, uuid, name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Undefine(); free(d) })
		},
		HasForeign: func(t *testing.T, uuid string) bool {
			d, err := find(conn, uuid)
			free(d)
			return d != nil && err == nil
		},
		Hand: contract.Hand{
			Pause:    hand(conn, (*libvirt.Domain).Suspend),
			Destroy:  hand(conn, (*libvirt.Domain).Destroy),
			Undefine: hand(conn, func(d *libvirt.Domain) error { return d.UndefineFlags(libvirt.DOMAIN_UNDEFINE_KEEP_NVRAM) }),
			Edit:     hand(conn, func(d *libvirt.Domain) error { return oneMoreCPU(conn, d) }),
		},
		Keeps: uri == "qemu:///system",
		Break: libvirtd("stop"),
		Mend:  libvirtd("start"),
	}
	if uri == "qemu:///system" {
		site.Network = func(t *testing.T) string { return hostNetwork(t, conn) }
	}
	if uri == "test:///default" {
		site.Hand.Undefine = hand(conn, (*libvirt.Domain).Undefine)
	}
	if image := os.Getenv("LODGE_TINY_IMAGE"); image != "" {
		site.Disk = func(t *testing.T) cloud.GuestDisk { return overlay(t, dir, image) }
		site.Ready = "lodge-tiny: up "
	}
	return site
}

// oneMoreCPU is what an operator does in virsh edit.
func oneMoreCPU(conn *libvirt.Connect, d *libvirt.Domain) error {
	text, err := d.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE)
	if err != nil {
		return err
	}
	var def libvirtxml.Domain
	if err := def.Unmarshal(text); err != nil {
		return err
	}
	def.VCPU.Value++
	if text, err = def.Marshal(); err != nil {
		return err
	}
	changed, err := conn.DomainDefineXML(text)
	free(changed)
	return err
}

// hostNetwork makes a network with a bridge until the test ends.
func hostNetwork(t testing.TB, conn *libvirt.Connect) (id string) {
	t.Helper()
	id = contract.NewID()
	def := libvirtxml.Network{Name: cloud.HostNetworkName(id), Bridge: &libvirtxml.NetworkBridge{Name: cloud.BridgeName(id)}}
	text, err := def.Marshal()
	must(t, err)
	network, err := conn.NetworkCreateXML(text)
	must(t, err)
	t.Cleanup(func() { _ = network.Destroy(); _ = network.Free() })
	return id
}

// dial opens a connection of the test's own. The link's event loop serves it too.
func dial(t testing.TB, uri string) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect(uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

func hand(conn *libvirt.Connect, act func(*libvirt.Domain) error) func(*testing.T, string) {
	return func(t *testing.T, id string) {
		t.Helper()
		d, err := find(conn, id)
		if err == nil && d != nil {
			err = act(d)
		}
		free(d)
		if err != nil || d == nil {
			t.Fatalf("by hand: %v, there: %v", err, d != nil)
		}
	}
}

func foreignXML(t *testing.T, h *Host, uuid, name string) string {
	t.Helper()
	s := h.facts.Load().shape
	d := libvirtxml.Domain{
		Type: s.domainType, UUID: uuid, Name: name,
		Memory: &libvirtxml.DomainMemory{Value: 64, Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: 1},
		OS:     &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm", Arch: s.arch, Machine: s.machine}},
	}
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// leftovers names the files that are there of a guest: console log, NVRAM,
// saved memory.
func leftovers(t *testing.T, h *Host, id string) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{
		filepath.Join(h.opts.ConsoleDir, id+"*"),
		"/var/lib/libvirt/qemu/nvram/" + cloud.GuestName(id) + "*",
		"/var/lib/libvirt/qemu/save/" + cloud.GuestName(id) + "*",
		"/etc/libvirt/qemu/" + cloud.GuestName(id) + "*",
		"/run/libvirt/qemu/" + cloud.GuestName(id) + "*",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, files...)
	}
	return out
}

func blank(t testing.TB, dir string) cloud.GuestDisk {
	t.Helper()
	path := filepath.Join(dir, contract.NewID()+".raw")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	return cloud.GuestDisk{Path: path, Format: cloud.FormatRaw, Serial: "root"}
}

func overlay(t testing.TB, dir, image string) cloud.GuestDisk {
	t.Helper()
	base := filepath.Join(dir, "image.qcow2")
	if _, err := os.Stat(base); err != nil {
		text, err := os.ReadFile(image)
		if err == nil {
			err = os.WriteFile(base, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, contract.NewID()+".qcow2")
	out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return cloud.GuestDisk{Path: path, Format: cloud.FormatQcow2, Serial: "root", Backing: base, BackFmt: cloud.FormatQcow2}
}

// libvirtd stops or starts the daemon of this world.
func libvirtd(verb string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		out, err := exec.Command(os.Getenv("LODGE_WORLD_LIBVIRTD"), verb).CombinedOutput()
		if err != nil {
			t.Fatalf("%s libvirtd: %v: %s", verb, err, out)
		}
	}
}
