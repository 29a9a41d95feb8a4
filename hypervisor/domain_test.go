package hypervisor

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

var update = flag.Bool("update", false, "write the golden files")

func fullSpec() cloud.GuestSpec {
	return cloud.GuestSpec{
		ID: "7b0a2f6e-7c44-4a53-9d57-2f3b8a1c9e10", Title: "web1 of acme", VCPUs: 2, MemoryMiB: 4096, Firmware: cloud.FirmwareUEFI,
		Disks: []cloud.GuestDisk{
			{Path: "/d/root.qcow2", Format: cloud.FormatQcow2, Serial: "root", Backing: "/d/image.raw", BackFmt: cloud.FormatRaw},
			{Path: "/d/seed.iso", Format: cloud.FormatRaw, ReadOnly: true, Serial: "seed"},
		},
		NICs: []cloud.GuestNIC{{MAC: "52:54:00:AA:bb:cc", NetworkID: "0c9d6a52-8a0e-4cc4-8f6e-5d2c1b0a9f88"}},
	}
}

func TestDomainIsAsInTheGoldenFile(t *testing.T) {
	for name, s := range map[string]shape{
		"kvm": {"kvm", "x86_64", "q35", "host-model", firmware{"/fw/CODE.fd", "/fw/VARS.fd"}, limits{cpu: true, memory: true, io: true}},
		"tcg": {"qemu", "x86_64", "q35", "maximum", firmware{"/fw/CODE.fd", "/fw/VARS.fd"}, limits{}},
	} {
		got, err := definition(fullSpec(), s, "/c/console.log")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "domain-"+name+".xml")
		if *update {
			if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got+"\n" != string(want) {
			t.Errorf("%s: not as in %s (go test -update writes it):\n%s", name, file, got)
		}
	}
}

func TestTextOfATenantStaysText(t *testing.T) {
	spec := fullSpec()
	spec.Title = `</title><devices><disk type="block"/></devices><!-- & ]]>`
	d, err := domain(spec, shape{domainType: "qemu", firmware: firmware{"c", "v"}}, "/c")
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var back libvirtxml.Domain
	if err := back.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if back.Title != spec.Title || len(back.Devices.Disks) != len(spec.Disks) {
		t.Errorf("the title came back as %q, with %d disks", back.Title, len(back.Devices.Disks))
	}
}

func TestUEFIWithoutFirmwareIsRefused(t *testing.T) {
	_, err := domain(fullSpec(), shape{domainType: "qemu"}, "/c")
	if cloud.CodeOf(err) != cloud.CodeGuestFailed || !strings.Contains(cloud.MessageOf(err), "OVMF") {
		t.Errorf("error is %v", err)
	}
}

func TestDiskNamesGoOnAfterZ(t *testing.T) {
	for n, want := range map[int]string{0: "vda", 1: "vdb", 25: "vdz", 26: "vdaa", 27: "vdab", 701: "vdzz", 702: "vdaaa"} {
		if got := diskName(n); got != want {
			t.Errorf("disk %d is %s, want %s", n, got, want)
		}
	}
}
