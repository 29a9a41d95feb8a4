package hypervisor

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

// What libvirt does for every guest unless a definition or qemu.conf forbids it:
// QEMU's own seccomp filter, a user that is not root, labels by the security drivers.
func TestQEMURunsInItsSandbox(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelTCG)
	ctx := context.Background()
	spec := limitSpec(t)
	must(t, h.DefineGuest(ctx, spec))
	t.Cleanup(func() { _ = h.RemoveGuest(ctx, spec.ID) })
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))

	pid, err := os.ReadFile(filepath.Join(systemState, cloud.GuestName(spec.ID)+".pid"))
	must(t, err)
	proc := "/proc/" + strings.TrimSpace(string(pid))
	cmd, err := os.ReadFile(proc + "/cmdline")
	must(t, err)
	if !bytes.Contains(cmd, []byte("\x00-sandbox\x00on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\x00")) {
		t.Errorf("no sandbox in %q", cmd)
	}
	status, err := os.ReadFile(proc + "/status")
	must(t, err)
	for key, bad := range map[string]string{"Seccomp:": "0", "Uid:": "0", "Gid:": "0", "CapEff:": ""} {
		_, rest, ok := strings.Cut(string(status), key)
		value, _, _ := strings.Cut(rest, "\n")
		first := strings.Fields(value)
		switch {
		case !ok || len(first) == 0:
			t.Errorf("no %s in its status", key)
		case key == "CapEff:" && first[0] != "0000000000000000", first[0] == bad:
			t.Errorf("%s %s", key, value)
		}
	}

	d, err := find(dial(t, "qemu:///system"), spec.ID)
	must(t, err)
	defer free(d)
	text, err := d.GetXMLDesc(libvirt.DOMAIN_XML_SECURE)
	must(t, err)
	var live libvirtxml.Domain
	must(t, live.Unmarshal(text))
	if live.QEMUCommandline != nil {
		t.Error("the definition has arguments for QEMU")
	}
	dac := false
	for _, label := range live.SecLabel {
		dac = dac || label.Model == "dac" && label.Relabel == "yes"
		if label.Type == "none" || label.Relabel == "no" {
			t.Errorf("the security driver %s is turned off", label.Model)
		}
	}
	if !dac {
		t.Errorf("libvirt gave no user of its own: %+v", live.SecLabel)
	}
	for _, disk := range live.Devices.Disks {
		if disk.Source != nil && disk.Source.File != nil && len(disk.Source.File.SecLabel) > 0 {
			t.Errorf("disk %s has a label of its own", disk.Target.Dev)
		}
	}
}
