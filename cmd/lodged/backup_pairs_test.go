package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/store"
)

// stray is a guest on libvirt's test driver with what it has.
type stray struct{ id, volume, mac string }

func newStray(t *testing.T, c *libvirt.Connect, dir string, n int) stray {
	t.Helper()
	s := stray{uuid.NewString(), uuid.NewString(), fmt.Sprintf("52:54:00:00:00:%02x", n)}
	d, err := c.DomainDefineXML(fmt.Sprintf(`<domain type="test"><name>%s</name><uuid>%[1]s</uuid><memory>8192</memory><os><type>hvm</type></os><devices>
		<disk type="file"><source file="%s/%s.qcow2"/><target dev="vda"/></disk>
		<disk type="file"><source file="%[2]s/seed-%[1]s.img"/><target dev="vdb"/></disk>
		<interface type="network"><source network="default"/><mac address="%[4]s"/></interface></devices></domain>`, s.id, dir, s.volume, s.mac))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Undefine(); _ = d.Free() })
	return s
}

// With several unknown guests a person has to know what is whose before he removes
// one of them: a disk has an id of its own, and a lease only an address.
func TestTheReportSaysWhatIsOfWhichGuest(t *testing.T) {
	ctx := context.Background()
	const uri = "test:///default"
	c, err := libvirt.NewConnect(uri) // its guests are there as long as somebody is connected
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k := newKept(t, filepath.Join(t.TempDir(), "backups"))
	disks := filepath.Join(k.dir, "disks")
	network, nobodys := uuid.NewString(), uuid.NewString()
	seen := cloud.HostSight{
		Guests:   map[string]cloud.Guest{},
		Disks:    map[cloud.DiskKey]cloud.Disk{{Kind: cloud.DiskVolume, ID: nobodys}: {Path: filepath.Join(disks, nobodys+".qcow2")}},
		Networks: map[string]cloud.HostNetwork{network: {CIDR: netip.MustParsePrefix("10.64.0.0/24"), Ports: map[string]cloud.PortSpec{}}},
	}
	var all []stray
	for n := range 3 {
		s := newStray(t, c, disks, n)
		all = append(all, s)
		seen.Guests[s.id] = cloud.Guest{ID: s.id, State: cloud.GuestRunning}
		seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: s.volume}] = cloud.Disk{Path: filepath.Join(disks, s.volume+".qcow2")}
		seen.Disks[cloud.DiskKey{Kind: cloud.DiskSeed, ID: s.id}] = cloud.Disk{Path: filepath.Join(disks, "seed-"+s.id+".img")}
		seen.Networks[network].Ports[s.mac] = cloud.PortSpec{MAC: s.mac, Address: netip.MustParseAddr(fmt.Sprintf("10.64.0.%d", 10+n))}
	}
	db, err := store.Open(filepath.Join(k.dir, "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := db.RegisterHost(ctx, now, cloud.Host{Meta: cloud.Meta{ID: k.host}, Name: "h", VCPUs: 1, MemoryMiB: 1024, Accel: "tcg", StartedAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := db.RecordOrphans(ctx, k.host, now, seen); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	text := k.must("report", "--libvirt-uri", uri)
	var got struct {
		Orphans []struct {
			Kind, ID string
			GuestID  string `json:"guest_id"`
		}
		Unpaired string
	}
	if err := json.Unmarshal([]byte(k.must("report", "-o", "json", "--libvirt-uri", uri)), &got); err != nil {
		t.Fatal(err)
	}
	guest := map[string]string{}
	for _, o := range got.Orphans {
		guest[o.Kind+" "+o.ID] = o.GuestID
	}
	if len(guest) != 3*4+2 || got.Unpaired != "" {
		t.Errorf("%d things are unknown, %s", len(guest), got.Unpaired)
	}
	for _, s := range all {
		if guest["volume "+s.volume] != s.id || guest["seed "+s.id] != s.id || guest["port "+s.mac] != s.id {
			t.Errorf("of %+v: %v", s, guest)
		}
		// The lines of a guest stand together, the guest first.
		i := strings.Index(text, "guest "+s.id+", running\n")
		block := text[max(i, 0):]
		lines := strings.SplitN(block, "\n", 5)
		if i < 0 || len(lines) < 5 {
			t.Fatalf("%s is not in\n%s", s.id, text)
		}
		for _, line := range lines[1:4] {
			if !strings.HasSuffix(line, ", of guest "+s.id) {
				t.Errorf("behind guest %s stands %q", s.id, line)
			}
		}
	}
	if g := guest["volume "+nobodys]; g != "" || !strings.Contains(text, nobodys+".qcow2, of no guest\n") {
		t.Errorf("nobody's is of %q in\n%s", g, text)
	}
	// Who cannot be asked has not said that nobody has it.
	if out := k.must("report", "--libvirt-uri", "test:///nowhere"); strings.Contains(out, "of no guest") || !strings.Contains(out, "libvirt could not be asked") {
		t.Errorf("without libvirt:\n%s", out)
	}
}
