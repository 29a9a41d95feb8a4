package sim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/contract"
	"lodge/hypervisor/sim"
)

var ctx = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Fatalf("error is %v, want code %q", err, code)
	}
}

func started(t *testing.T, h *sim.Host) string {
	t.Helper()
	spec := cloud.GuestSpec{ID: contract.NewID(), VCPUs: 1, MemoryMiB: 512, Disks: []cloud.GuestDisk{disk(t, h)}}
	must(t, h.DefineGuest(ctx, spec))
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	return spec.ID
}

func state(t *testing.T, h *sim.Host, id string) cloud.Guest {
	t.Helper()
	got, err := h.LookGuests(ctx, []string{id})
	must(t, err)
	return got[id]
}

func TestVirtualTimePassesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(sim.Options{Latency: sim.Realistic()})
		began := time.Now()
		id := started(t, h)
		if text, _ := h.ConsoleLog(ctx, id, 1000); strings.Contains(string(text), "login:") {
			t.Error("the guest has booted at once")
		}
		time.Sleep(3 * time.Second)
		if text, _ := h.ConsoleLog(ctx, id, 1000); !strings.Contains(string(text), "login:") {
			t.Errorf("the console shows %q", text)
		}
		must(t, h.PowerGuest(ctx, id, cloud.ActShutdown))
		if g := state(t, h, id); g.State != cloud.GuestRunning {
			t.Errorf("at once after the button: %+v", g)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if g := state(t, h, id); g.OffReason != cloud.OffShutdown {
			t.Errorf("after its time: %+v", g)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %s of the bubble's time", took)
		}
	})
}

func TestOrderedFaults(t *testing.T) {
	h := sim.New(sim.Options{})
	id := started(t, h)
	boom := cloud.Errorf(cloud.CodeGuestFailed, "No.")

	h.FailNext(sim.CallPowerGuest, boom, 1)
	want(t, h.PowerGuest(ctx, id, cloud.ActDestroy), cloud.CodeGuestFailed)
	if state(t, h, id).State != cloud.GuestRunning {
		t.Error("a call that failed did its work")
	}
	h.LoseAnswer(sim.CallDestroy, 1)
	must(t, h.PowerGuest(ctx, id, cloud.ActStart)) // another action: not meant
	want(t, h.PowerGuest(ctx, id, cloud.ActDestroy), cloud.CodeTimeout)
	if state(t, h, id).OffReason != cloud.OffDestroyed {
		t.Error("a call whose answer was lost did not do its work")
	}
	h.SlowNext(sim.CallStart, time.Hour, 1)
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	want(t, h.PowerGuest(soon, id, cloud.ActStart), cloud.CodeTimeout)
	must(t, h.PowerGuest(ctx, id, cloud.ActStart))
	if n := h.Calls()[sim.CallStart]; n != 4 {
		t.Errorf("%d starts were counted", n)
	}
}

func TestCallUnderWayEndsWithTheLink(t *testing.T) {
	h := sim.New(sim.Options{})
	id := started(t, h)
	h.SlowNext(sim.CallDestroy, time.Hour, 1)
	result := make(chan error)
	go func() { result <- h.PowerGuest(ctx, id, cloud.ActDestroy) }()
	for h.Calls()[sim.CallDestroy] == 0 {
		time.Sleep(time.Millisecond)
	}
	h.Down(true)
	want(t, <-result, cloud.CodeHypervisor)
	h.Down(false)
	if state(t, h, id).State != cloud.GuestRunning {
		t.Error("the guest did not run on")
	}
}

func TestFailRateIsDecidedByTheSeed(t *testing.T) {
	run := func(seed uint64) (out string) {
		h := sim.New(sim.Options{Seed: seed})
		h.FailRate(0.5)
		for range 64 {
			_, err := h.LookDisks(ctx, nil)
			out += fmt.Sprint(err == nil, " ")
		}
		return out
	}
	if one, again, two := run(1), run(1), run(2); one != again || one == two {
		t.Error("the same seed gives other faults, or another seed the same")
	}
}

func TestHostReboot(t *testing.T) {
	h := sim.New(sim.Options{})
	id := started(t, h)
	h.RebootHost()
	g := state(t, h, id)
	if g.State != cloud.GuestOff || g.OffReason != cloud.OffUnknown || g.Digest == "" {
		t.Errorf("after a reboot of the host: %+v", g)
	}
}

func TestGuestStartsOnlyWithItsDisksAndNetworks(t *testing.T) {
	h := sim.New(sim.Options{})
	netID := contract.NewID()
	spec := cloud.GuestSpec{ID: contract.NewID(), Disks: []cloud.GuestDisk{disk(t, h)}, NICs: []cloud.GuestNIC{{MAC: "52:54:00:00:00:01", NetworkID: netID}}}
	must(t, h.DefineGuest(ctx, spec))
	want(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart), cloud.CodeGuestFailed)
	must(t, h.EnsureNetwork(ctx, cloud.NetworkSpec{ID: netID}))
	must(t, h.EnsurePort(ctx, netID, port("52:54:00:00:00:01", "10.0.0.5", "web1")))
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	if l := h.Leases(netID); len(l) != 1 {
		t.Errorf("leases: %v", l)
	}
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActDestroy))
	all, err := h.LookDisks(ctx, nil)
	must(t, err)
	for key := range all {
		h.DeleteDisk(key.Kind, key.ID)
	}
	want(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart), cloud.CodeGuestFailed)
}

func port(mac, addr, name string) cloud.PortSpec {
	return cloud.PortSpec{MAC: mac, Address: netip.MustParseAddr(addr), Name: name}
}

func TestPortTakesTheAddressAndTheName(t *testing.T) {
	h := sim.New(sim.Options{})
	id := contract.NewID()
	want(t, h.EnsurePort(ctx, id, port("a", "10.0.0.5", "x")), cloud.CodeNetwork)
	must(t, h.EnsureNetwork(ctx, cloud.NetworkSpec{ID: id}))
	must(t, h.EnsurePort(ctx, id, port("a", "10.0.0.5", "x")))
	must(t, h.EnsurePort(ctx, id, port("b", "10.0.0.6", "y")))
	must(t, h.EnsurePort(ctx, id, port("C", "10.0.0.5", "y"))) // a's address, b's name
	got, err := h.LookNetworks(ctx, nil)
	must(t, err)
	if n := got[id]; len(n.Ports) != 1 || n.Ports["c"].Name != "y" || !n.Active {
		t.Errorf("seen %+v", n)
	}
	must(t, h.RemovePort(ctx, id, port("c", "10.0.0.5", "y")))
	must(t, h.RemovePort(ctx, id, port("c", "10.0.0.5", "y")))
	must(t, h.RemoveNetwork(ctx, id))
	must(t, h.RemoveNetwork(ctx, id))
	must(t, h.RemovePort(ctx, id, port("c", "10.0.0.5", "y")))
}

func TestFullDiskTakesNothing(t *testing.T) {
	h := sim.New(sim.Options{})
	h.SetFree(100)
	want(t, h.CreateDisk(ctx, cloud.DiskSpec{ID: "a", SizeGiB: 1}), cloud.CodeDiskFull)
	want(t, h.WriteSeed(ctx, cloud.SeedSpec{ID: "a"}), cloud.CodeDiskFull)
	_, err := h.ImportImage(ctx, cloud.Image{}, bytes.NewReader(rawDisk(1000)), nil)
	want(t, err, cloud.CodeDiskFull)
	all, err := h.LookDisks(ctx, nil)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("it has %v", all)
	}
	h.SetFree(1 << 30)
	must(t, h.CreateDisk(ctx, cloud.DiskSpec{ID: "a", SizeGiB: 1}))
}

// rawDisk is n bytes whose first sector has a boot signature.
func rawDisk(n int) []byte {
	b := make([]byte, n)
	b[510], b[511] = 0x55, 0xaa
	return b
}

func TestImportTakesAllBytesOrNothing(t *testing.T) {
	qcow := make([]byte, 1024)
	copy(qcow, "QFI\xfb")
	binary.BigEndian.PutUint64(qcow[24:], 5<<30)
	backed := bytes.Clone(qcow)
	binary.BigEndian.PutUint64(backed[8:], 512)
	sum := sha256.Sum256(qcow)
	for _, tt := range []struct {
		name  string
		bytes []byte
		img   cloud.Image
		code  cloud.Code
		size  int64
	}{
		{"qcow2", qcow, cloud.Image{SHA256: hex.EncodeToString(sum[:]), BytesTotal: 1024}, "", 5 << 30},
		{"raw", rawDisk(2048), cloud.Image{}, "", 2048},
		{"no disk", make([]byte, 2048), cloud.Image{}, cloud.CodeImageFormat, 0},
		{"backing file", backed, cloud.Image{}, cloud.CodeImageUnsafe, 0},
		{"empty", nil, cloud.Image{}, cloud.CodeImageFormat, 0},
		{"other sum", qcow, cloud.Image{SHA256: strings.Repeat("0", 64)}, cloud.CodeChecksum, 0},
		{"cut off", qcow, cloud.Image{BytesTotal: 2000}, cloud.CodeImageTruncated, 0},
	} {
		h := sim.New(sim.Options{})
		var done int64
		info, err := h.ImportImage(ctx, tt.img, bytes.NewReader(tt.bytes), func(n int64) { done = n })
		if cloud.CodeOf(err) != tt.code || info.VirtualSize != tt.size {
			t.Errorf("%s: %+v, %v", tt.name, info, err)
		}
		all, err := h.LookDisks(ctx, nil)
		must(t, err)
		if (tt.code == "") != (len(all) == 1) || done != int64(len(tt.bytes)) {
			t.Errorf("%s: there is %v after %d bytes", tt.name, all, done)
		}
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	h := sim.New(sim.Options{})
	h.Down(true)
	ctx, cancel := context.WithCancel(ctx)
	err := h.WatchGuests(ctx, func(string) {}, func(up bool) {
		if !up {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func BenchmarkLookAt10000Guests(b *testing.B) {
	h := sim.New(sim.Options{})
	must(b, h.CreateDisk(ctx, cloud.DiskSpec{ID: "a", SizeGiB: 1}))
	for range 10000 {
		spec := cloud.GuestSpec{ID: contract.NewID(), VCPUs: 1, MemoryMiB: 512, Disks: []cloud.GuestDisk{{Path: "/sim/volume/a"}}}
		must(b, h.DefineGuest(ctx, spec))
		must(b, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := h.LookGuests(ctx, nil)
		if err != nil || len(got) != 10000 {
			b.Fatal(len(got), err)
		}
	}
}
