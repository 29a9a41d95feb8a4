package network_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
)

// A network that no row is about is removed only when nothing uses it: no port,
// and no guest's NIC, be the guest off, and named by the network or by its bridge.
func TestANetworkIsUnusedWithoutPortsAndGuests(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ctx := context.Background()
	ensure(t, h, spec(1))
	ensure(t, h, spec(2))
	removed := func(n int) bool {
		t.Helper()
		done, err := h.RemoveUnused(ctx, id(n))
		must(t, err)
		if there := look(t, h, id(n)).ID != ""; there == done {
			t.Fatalf("removed %v, and it is there: %v", done, there)
		}
		return done
	}
	if got := look(t, h, id(1)).CIDR; got != spec(1).CIDR {
		t.Errorf("its range is %v", got)
	}
	must(t, h.EnsurePort(ctx, id(1), port(1, 10, "late")))
	if removed(1) {
		t.Fatal("it went with its port")
	}
	must(t, h.RemovePort(ctx, id(1), port(1, 10, "late")))
	for name, nic := range map[string]string{
		"network": fmt.Sprintf(`<interface type='network'><source network='%s'/></interface>`, cloud.HostNetworkName(id(1))),
		"bridge":  fmt.Sprintf(`<interface type='bridge'><source bridge='%s'/></interface>`, cloud.BridgeName(id(1))),
	} {
		path := filepath.Join(t.TempDir(), "guest.xml")
		must(t, os.WriteFile(path, fmt.Appendf(nil, `<domain type='qemu'><name>off</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os>
			<devices>%s</devices></domain>`, nic), 0o600))
		run(t, "virsh", "-q", "define", path)
		went := func() bool {
			defer run(t, "virsh", "-q", "undefine", "off")
			return removed(1)
		}()
		if went {
			t.Fatalf("it went while a guest that is off names its %s", name)
		}
	}
	if !removed(1) {
		t.Error("nothing uses it, and it stayed")
	}
	if done, err := h.RemoveUnused(ctx, id(1)); err != nil || done {
		t.Errorf("the second time: %v, %v", done, err)
	}
	// Somebody else's: lodge's name with a UUID and a bridge of their own.
	path := filepath.Join(t.TempDir(), "net.xml")
	must(t, os.WriteFile(path, fmt.Appendf(nil, `<network><name>%s</name><uuid>%s</uuid><bridge name='theirs'/></network>`, cloud.HostNetworkName(id(3)), id(3)), 0o600))
	run(t, "virsh", "-q", "net-define", path)
	defer run(t, "virsh", "-q", "net-undefine", id(3))
	if done, err := h.RemoveUnused(ctx, id(3)); err != nil || done {
		t.Errorf("somebody else's: %v, %v", done, err)
	}
	run(t, "virsh", "-q", "net-info", id(3))
	if !removed(2) {
		t.Error("the other one stayed")
	}
}

// Two networks of lodge's with one range: the sentence says that it is one of its own
// that is in the way, not the host.
func TestARangeThatALodgeNetworkHasIsRefusedAsThat(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	clash := spec(1)
	clash.ID = id(7)
	err := h.EnsureNetwork(context.Background(), clash)
	defer func() { must(t, h.RemoveNetwork(context.Background(), clash.ID)) }()
	wantCode(t, err, cloud.CodeNetwork)
	if want := "overlaps that of another network of lodge's"; !strings.Contains(cloud.MessageOf(err), want) {
		t.Errorf("%q does not say %q", cloud.MessageOf(err), want)
	}
}
