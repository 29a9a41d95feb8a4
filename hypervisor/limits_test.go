package hypervisor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/hypervisor/contract"
)

func TestWhatTheHostLetsLibvirtLimit(t *testing.T) {
	const (
		v1     = "4:memory:/a\n3:blkio:/\n2:cpuacct:/\n1:cpu:/\n0::/\n"
		v2     = "0::/system.slice/libvirtd.service\n"
		all    = "cpuset cpu io memory pids\n"
		strong = "Name:\tlibvirtd\nCapEff:\t000001ffffffffff\n"
		weak   = "Name:\tlibvirtd\nCapEff:\t000001fffeffffff\n"
	)
	for _, tt := range []struct {
		name                          string
		groups, unified, conf, status string
		weighs                        bool
		want                          string
	}{
		{"version 1", v1, "", "", strong, true, "cmi"},
		{"version 2", v2, all, "", strong, true, "cmi"},
		{"no weight for I/O", v2, all, "", strong, false, "cm"},
		{"a libvirt in a container", v1, "", "", weak, true, "ci"},
		{"nothing mounted", v2, "", "", strong, true, ""},
		{"turned off", v1, "", "cgroup_controllers = [ ]\n", strong, true, ""},
		{"left a few", v2, all, "cgroup_controllers = [ \"cpu\",\n  \"memory\" ]\n", strong, true, "cm"},
		{"a comment", v2, all, "#cgroup_controllers = [ ]\n", strong, true, "cmi"},
		{"cpu without cpuacct", v1, "", "cgroup_controllers = [\"cpu\"]\n", strong, true, ""},
		{"I/O by its old name", v2, all, "cgroup_controllers = [ \"blkio\" ]\n", strong, true, "i"},
	} {
		got := judgeLimits([]byte(tt.groups), []byte(tt.unified), []byte(tt.conf), []byte(tt.status), tt.weighs)
		if got.String() != tt.want {
			t.Errorf("%s: limits %q, want %q", tt.name, got, tt.want)
		}
	}
}

// On version 2 a host that has just booted has no group with a weight for I/O yet.
func TestAWeightForIOIsSeenBeforeTheFirstGuest(t *testing.T) {
	for _, tt := range []struct {
		file string
		want bool
	}{
		{"io.cost.qos", true}, // of the root, with iocost
		{"system.slice/io.weight", true},
		{"system.slice/io.bfq.weight", true},
		{"blkio/blkio.bfq.io_service_bytes", true},
		{"blkio/blkio.throttle.io_service_bytes", false},
		{"io.stat", false},
	} {
		root := t.TempDir()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, tt.file)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, tt.file), nil, 0o644))
		if got := weighsIO(root); got != tt.want {
			t.Errorf("with %s: %v", tt.file, got)
		}
	}
}

func TestAWeightForIOCountsOnADiskThatHeedsIt(t *testing.T) {
	for _, tt := range []struct {
		scheduler, qos string
		want           bool
	}{
		{"[none] mq-deadline bfq\n", "", false},
		{"none mq-deadline [bfq]\n", "", true},
		{"[none] mq-deadline\n", "254:0 enable=0 ctrl=auto rpct=0.00\n", false},
		{"[none] mq-deadline\n", "254:0 enable=0 ctrl=auto\n259:0 enable=1 ctrl=user\n", true},
	} {
		groups, disks := t.TempDir(), t.TempDir()
		must(t, os.MkdirAll(filepath.Join(disks, "vda/queue"), 0o755))
		must(t, os.WriteFile(filepath.Join(disks, "vda/queue/scheduler"), []byte(tt.scheduler), 0o644))
		must(t, os.WriteFile(filepath.Join(groups, "io.cost.qos"), []byte(tt.qos), 0o644))
		if got := heedsIO(groups, disks); got != tt.want {
			t.Errorf("%q, %q: %v", tt.scheduler, tt.qos, got)
		}
	}
}

func TestLimitsFollowTheSize(t *testing.T) {
	for _, tt := range []struct {
		vcpus, memory int
		domain        string
		cpu, io       uint
		ceiling       uint64
	}{
		{1, 128, "kvm", 100, 100, 672},
		{1, 128, "qemu", 100, 100, 1696},
		{2, 4096, "kvm", 200, 200, 5632},
		{256, 1 << 20, "kvm", 10_000, 1_000, 1<<20 + 1<<18 + 512},
	} {
		d := &libvirtxml.Domain{Type: tt.domain}
		limits{cpu: true, memory: true, io: true}.hold(d, cloud.GuestSpec{VCPUs: tt.vcpus, MemoryMiB: tt.memory})
		if d.CPUTune.Shares.Value != tt.cpu || d.BlockIOTune.Weight != tt.io || d.MemoryTune.HardLimit.Value != tt.ceiling || d.MemoryTune.HardLimit.Unit != "MiB" {
			t.Errorf("%d vCPUs, %d MiB: %d, %d, %d %s", tt.vcpus, tt.memory, d.CPUTune.Shares.Value, d.BlockIOTune.Weight, d.MemoryTune.HardLimit.Value, d.MemoryTune.HardLimit.Unit)
		}
	}
}

// grouped gives this world's libvirt its control groups for the length of a test.
func grouped(t *testing.T) *Host {
	t.Helper()
	needWorld(t)
	const conf = "/etc/libvirt/qemu.conf"
	old, err := os.ReadFile(conf)
	must(t, err)
	must(t, os.WriteFile(conf, []byte("security_driver = \"none\"\n"), 0o600))
	libvirtd("restart")(t)
	t.Cleanup(func() {
		must(t, os.WriteFile(conf, old, 0o600))
		libvirtd("restart")(t)
	})
	return open(t, "qemu:///system", AccelTCG)
}

// group is where QEMU is in a controller, "" when the controller is not libvirt's.
func group(t *testing.T, id, controller string) string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(systemState, cloud.GuestName(id)+".pid"))
	must(t, err)
	text, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cgroup")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		p := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if p[1] == controller || (p[1] == "" && controller == "v2") {
			// libvirt puts threads into groups below the guest's own.
			path, _, _ := strings.Cut(p[2], "/libvirt/")
			return strings.TrimSuffix(path, "/emulator")
		}
	}
	return ""
}

// kernelSays reads the first of the files of the guest's group that is there.
func kernelSays(t *testing.T, id, controller string, names ...string) int {
	t.Helper()
	for _, dir := range []string{
		filepath.Join("/sys/fs/cgroup", controller, group(t, id, controller)),
		filepath.Join("/sys/fs/cgroup", group(t, id, "v2")),
		filepath.Join("/sys/fs/cgroup", group(t, id, "v2"), "libvirt"), // memory, where systemd has the one above
	} {
		for _, name := range names {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && strings.TrimSpace(string(b)) != "max" {
				fields := strings.Fields(string(b))
				n, err := strconv.Atoi(fields[len(fields)-1])
				must(t, err)
				return n
			}
		}
	}
	t.Fatalf("no %v in the guest's group %q", names, group(t, id, controller))
	return 0
}

func limitSpec(t *testing.T) cloud.GuestSpec {
	spec := cloud.GuestSpec{ID: contract.NewID(), Title: "limits", VCPUs: 2, MemoryMiB: 64, Firmware: cloud.FirmwareBIOS}
	spec.Disks = []cloud.GuestDisk{blank(t, sharedDir(t))}
	// Control groups are the machine's, and libvirt 9.0 leaves the empty ones of a
	// hybrid hierarchy behind.
	t.Cleanup(func() {
		left, err := filepath.Glob("/sys/fs/cgroup/*/machine/qemu-*-" + cloud.GuestName(spec.ID) + "*")
		must(t, err)
		for _, top := range left {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				_ = os.Remove(dir)
			}
		}
	})
	return spec
}

// What the kernel holds the guest's QEMU to is what its size says.
func TestAGuestIsHeldToItsLimits(t *testing.T) {
	h := grouped(t)
	ctx := context.Background()
	can := h.facts.Load().shape.limits
	t.Logf("this host limits %q, without %v", can, can.lacks())
	if can == (limits{}) {
		t.Skip("libvirt has no control groups on this host")
	}
	spec := limitSpec(t)
	must(t, h.DefineGuest(ctx, spec))
	t.Cleanup(func() { _ = h.RemoveGuest(ctx, spec.ID) })
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	if can.cpu {
		if n := kernelSays(t, spec.ID, "cpu", "cpu.shares", "cpu.weight"); n != 200 {
			t.Errorf("the kernel's weight for CPU is %d", n)
		}
	}
	if can.memory {
		if n := kernelSays(t, spec.ID, "memory", "memory.limit_in_bytes", "memory.max"); n != (64+16+512+1024)<<20 {
			t.Errorf("the kernel's limit of memory is %d", n)
		}
	}
	if can.io {
		if n := kernelSays(t, spec.ID, "blkio", "blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight"); n != 200 {
			t.Errorf("the kernel's weight for I/O is %d", n)
		}
	}
	if h.freed.Load() {
		t.Error("the start was refused for its limits")
	}
}

// Where what was found out beforehand is wrong, the guest starts without limits.
func TestAGuestThatCannotBeLimitedStartsAllTheSame(t *testing.T) {
	h := grouped(t)
	ctx := context.Background()
	f := *h.facts.Load()
	if f.shape.limits.memory {
		t.Skip("this host's libvirt can limit everything, so nothing is refused")
	}
	f.shape.limits = limits{cpu: true, memory: true, io: true}
	h.facts.Store(&f)
	spec := limitSpec(t)
	must(t, h.DefineGuest(ctx, spec))
	t.Cleanup(func() { _ = h.RemoveGuest(ctx, spec.ID) })
	digest := func() string {
		t.Helper()
		seen, err := h.LookGuests(ctx, []string{spec.ID})
		must(t, err)
		return seen[spec.ID].Digest
	}
	if digest() != spec.Digest() {
		t.Fatal("the definition is not the spec's")
	}
	// On a busy machine libvirt sometimes loses its child's words; lodge tries again then.
	err := h.PowerGuest(ctx, spec.ID, cloud.ActStart)
	for range 5 {
		if err == nil || refusesLimit(err) || !strings.Contains(err.Error(), "Process exited prior to exec") {
			break
		}
		t.Logf("libvirt does not say why: %v", err)
		err = h.PowerGuest(ctx, spec.ID, cloud.ActStart)
	}
	if cloud.CodeOf(err) != cloud.CodeGuestFailed || !strings.Contains(cloud.MessageOf(err), "without them") {
		t.Fatalf("the start says %v", err)
	}
	if digest() != "" {
		t.Fatal("the definition is not to be written again")
	}
	must(t, h.DefineGuest(ctx, spec))
	must(t, h.PowerGuest(ctx, spec.ID, cloud.ActStart))
	if digest() != spec.Digest() {
		t.Error("the new definition is not the spec's")
	}
}
