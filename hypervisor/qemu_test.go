package hypervisor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/hypervisor/contract"
)

func small(t testing.TB, disk cloud.GuestDisk) cloud.GuestSpec {
	t.Helper()
	return cloud.GuestSpec{ID: contract.NewID(), VCPUs: 1, MemoryMiB: 64, Firmware: cloud.FirmwareBIOS, Disks: []cloud.GuestDisk{disk}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// up defines and starts a guest, and removes it when the test ends.
func up(t testing.TB, h *Host, spec cloud.GuestSpec) {
	t.Helper()
	ctx := context.Background()
	must(t, h.DefineGuest(ctx, spec))
	t.Cleanup(func() { must(t, h.RemoveGuest(ctx, spec.ID)) })
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
}

func TestQEMUStartsAGuestWithSeedAndNIC(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelAuto)
	conn := dial(t, "qemu:///system")
	netID, dir := hostNetwork(t, conn), sharedDir(t)
	spec := small(t, blank(t, dir))
	seed := blank(t, dir)
	seed.ReadOnly, seed.Serial = true, "seed"
	spec.Disks = append(spec.Disks, seed)
	spec.NICs = []cloud.GuestNIC{{MAC: "52:54:00:12:34:56", NetworkID: netID}}
	up(t, h, spec)
	out, err := exec.Command("ip", "-o", "link", "show", "master", cloud.BridgeName(netID)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "fe:54:00:12:34:56") {
		t.Errorf("no tap on the bridge: %v: %s", err, out)
	}
}

func TestGuestThatHangsBlocksNobodyElse(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelAuto)
	dir := sharedDir(t)
	stuck, other := small(t, blank(t, dir)), small(t, blank(t, dir))
	up(t, h, stuck)
	pid := qemuPID(t, stuck.ID)
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // before up's, which removes it

	results := make(chan error, 6)
	for range cap(results) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			results <- h.PowerGuest(ctx, stuck.ID, cloud.ActReset)
		}()
	}
	time.Sleep(200 * time.Millisecond) // they are on their way
	began := time.Now()
	up(t, h, other)
	started := time.Since(began)
	got, err := h.LookGuests(context.Background(), nil)
	must(t, err)
	if got[stuck.ID].State != cloud.GuestRunning || got[other.ID].State != cloud.GuestRunning {
		t.Errorf("seen beside a guest that hangs: %v", got)
	}
	if took := time.Since(began); took > 4*time.Second { // a lost wake-up costs 5 s
		t.Errorf("start beside a guest that hangs took %s, with a look %s", started, took)
	}
	for range cap(results) {
		if err := <-results; cloud.CodeOf(err) != cloud.CodeTimeout {
			t.Errorf("act on a guest that hangs: %v", err)
		}
	}
}

func qemuPID(t *testing.T, id string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/run/libvirt/qemu", cloud.GuestName(id)+".pid"))
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	return pid
}

func TestHostOpensWhileLibvirtIsDown(t *testing.T) {
	needWorld(t)
	libvirtd("stop")(t)
	t.Cleanup(func() { libvirtd("start")(t) })
	h := open(t, "qemu:///system", AccelAuto)
	ctx := context.Background()
	if _, err := h.LookGuests(ctx, nil); cloud.CodeOf(err) != cloud.CodeHypervisor {
		t.Errorf("look: %v", err)
	}
	if _, err := h.Describe(ctx); cloud.CodeOf(err) != cloud.CodeHypervisor {
		t.Errorf("describe: %v", err)
	}
	libvirtd("start")(t)
	until(t, func() bool { _, err := h.LookGuests(ctx, nil); return err == nil })
}

func TestKilledQEMUIsACrash(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelAuto)
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	must(t, syscall.Kill(qemuPID(t, spec.ID), syscall.SIGKILL))
	awaitOff(t, h, spec.ID, cloud.OffCrashed)
}

// libvirt has the same reason for a guest that shuts itself down and for one whose
// QEMU somebody asks to end; only the first is the guest's wish.
func TestAQEMUThatIsToldToEndIsNoShutdown(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelAuto)
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	must(t, syscall.Kill(qemuPID(t, spec.ID), syscall.SIGTERM))
	awaitOff(t, h, spec.ID, cloud.OffDestroyed)
	must(t, h.PowerGuest(context.Background(), spec.ID, cloud.ActStart))
	until(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.struck) == 0 })
}

// A snapshot by hand has the guest write into another file from then on. Who would
// define it on its volume again would take all that away from it.
func TestASnapshotByHandIsSeen(t *testing.T) {
	needWorld(t)
	h, ctx := open(t, "qemu:///system", AccelAuto), context.Background()
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	root := func() cloud.Guest {
		t.Helper()
		got, err := h.LookGuests(ctx, []string{spec.ID})
		must(t, err)
		return got[spec.ID]
	}
	if g := root(); g.Digest != spec.Digest() || g.Root != "" {
		t.Fatalf("before: %+v", g)
	}
	hand(dial(t, "qemu:///system"), func(d *libvirt.Domain) error {
		s, err := d.CreateSnapshotXML("<domainsnapshot><name>by-hand</name></domainsnapshot>",
			libvirt.DOMAIN_SNAPSHOT_CREATE_DISK_ONLY|libvirt.DOMAIN_SNAPSHOT_CREATE_NO_METADATA|libvirt.DOMAIN_SNAPSHOT_CREATE_ATOMIC)
		if err == nil {
			err = s.Free()
		}
		return err
	})(t, spec.ID)
	g := root()
	if g.Digest != "" || g.Root == "" || g.Root == spec.Disks[0].Path {
		t.Fatalf("behind it: %+v", g)
	}
	must(t, os.Rename(g.Root, g.Root+".away"))
	if g := root(); g.Digest != "" || g.Root != "" {
		t.Errorf("its file is not there: %+v", g)
	}
}

func TestQEMUKilledWhileLibvirtIsDownIsNoShutdown(t *testing.T) {
	needWorld(t)
	h := open(t, "qemu:///system", AccelAuto)
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	pid := qemuPID(t, spec.ID)
	libvirtd("kill")(t)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	libvirtd("start")(t)
	awaitOff(t, h, spec.ID, cloud.OffCrashed)
}

func TestSavedMemoryIsSeenUntilItIsRestored(t *testing.T) {
	needWorld(t)
	h, conn, ctx := open(t, "qemu:///system", AccelAuto), dial(t, "qemu:///system"), context.Background()
	spec := small(t, blank(t, sharedDir(t)))
	want := func(state cloud.GuestState, why cloud.OffReason) {
		t.Helper()
		got, err := h.LookGuests(ctx, []string{spec.ID})
		if g := got[spec.ID]; err != nil || g.State != state || g.OffReason != why {
			t.Errorf("seen %+v, %v; want %s %s", g, err, state, why)
		}
	}
	up(t, h, spec)
	hand(conn, func(d *libvirt.Domain) error { return d.ManagedSave(0) })(t, spec.ID)
	want(cloud.GuestSaved, cloud.OffUnknown)
	libvirtd("restart")(t) // which forgets the reason
	until(t, func() bool { _, err := h.LookGuests(ctx, nil); return err == nil })
	want(cloud.GuestSaved, cloud.OffUnknown)
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	want(cloud.GuestRunning, "")
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActDestroy))
	want(cloud.GuestOff, cloud.OffDestroyed)
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come true in 15 s")
		}
	}
}

func awaitOff(t *testing.T, h *Host, id string, why cloud.OffReason) {
	t.Helper()
	var g cloud.Guest
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got, err := h.LookGuests(context.Background(), []string{id})
		if g = got[id]; err == nil && g.State == cloud.GuestOff {
			break
		}
	}
	if g.State != cloud.GuestOff || g.OffReason != why {
		t.Errorf("seen %+v, want off because %q", g, why)
	}
}
