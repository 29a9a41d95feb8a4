package storage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lodge/cloud"
	"lodge/storage"
)

// fakeQemuImg puts a program in qemu-img's place.
func fakeQemuImg(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-img"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// No image that names another file is taken, whatever names it.
func TestAHostileImageNamesNoFileOfTheHost(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img")
	}
	secret := filepath.Join(openDir(t), "secret.raw")
	if err := os.WriteFile(secret, rawBytes(1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	made := func(format string, args ...string) []byte {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, "x")
		args = append([]string{"create", "-q", "-f", format}, append(args, path, "1M")...)
		// qemu-img times its own hashing for luks, and gives up where the kernel's clock of
		// CPU time is too coarse to have moved.
		for tries := 0; ; tries++ {
			out, err := exec.Command("qemu-img", args...).CombinedOutput()
			if err == nil {
				break
			}
			if tries == 20 || !strings.Contains(string(out), "accurate CPU usage") {
				t.Fatalf("qemu-img %v: %v\n%s", args, err, out)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	overlay := func(name string) []byte {
		return made("qcow2", "-u", "-b", name, "-F", "raw")
	}
	// A raw disk that a guest wrote a qcow2's header into, and that somebody exported.
	looksLike := rawBytes(1 << 20)
	copy(looksLike, overlay("/etc/shadow"))
	binary.LittleEndian.PutUint16(looksLike[510:], 0xaa55)
	text := func(s string) []byte {
		b := rawBytes(1 << 20)
		copy(b, s)
		return b
	}
	for name, b := range map[string][]byte{
		"backing /etc/shadow":       overlay("/etc/shadow"),
		"backing a readable file":   overlay(secret),
		"backing relative":          overlay("../../lodge.db"),
		"backing json":              overlay(`json:{"driver":"raw","file":{"driver":"file","filename":"/etc/shadow"}}`),
		"backing nbd":               overlay("nbd://127.0.0.1:1/x"),
		"backing http":              overlay("http://127.0.0.1:1/x"),
		"backing host device":       overlay("host_device:/dev/sda"),
		"backing fat":               overlay("fat:rw:/etc"),
		"backing a file descriptor": overlay("/dev/fdset/0"),
		"backing in another tenant": overlay("image-" + id(1) + ".raw"),
		"data file":                 made("qcow2", "-o", "data_file="+filepath.Join(t.TempDir(), "data")),
		"raw that looks like qcow2": looksLike,
		"vmdk that names a file":    text("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"/etc/shadow\" 0\n"),
		"vmdk":                      made("vmdk"),
		"vdi":                       made("vdi"),
		"vhdx":                      made("vhdx"),
		"vpc":                       made("vpc"),
		"qed":                       made("qed"),
		"qcow":                      made("qcow"),
		"luks":                      made("luks", "--object", "secret,id=s,data=x", "-o", "key-secret=s,iter-time=10"),
		"json text":                 text(`json:{"driver":"raw","file":{"driver":"file","filename":"/etc/shadow"}}`),
		"an ELF program":            text("\x7fELF"),
	} {
		dir := filepath.Join(openDir(t), "disks")
		p := open(t, storage.Options{Dir: dir})
		_, err := p.ImportImage(context.Background(), cloud.Image{Meta: cloud.Meta{ID: id(1)}}, bytes.NewReader(b), nil)
		if name == "json text" || name == "an ELF program" {
			// Bytes of a boot sector, whatever they spell: a raw disk is never asked for its format again.
			if d, ok := look(t, p)[cloud.DiskKey{Kind: cloud.DiskImage, ID: id(1)}]; err == nil && (!ok || d.Format != cloud.FormatRaw) {
				t.Errorf("%s: taken as %+v", name, d)
			}
			continue
		}
		if c := cloud.CodeOf(err); c != cloud.CodeImageUnsafe && c != cloud.CodeImageFormat {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

// Tables that claim gigabytes are refused before any of them is allocated.
func TestAnImageThatClaimsMuchTakesLittle(t *testing.T) {
	good := qcow2Bytes(t, "1M")
	for name, change := range map[string]func(b []byte){
		"L1 of 32 GiB":      func(b []byte) { binary.BigEndian.PutUint32(b[36:], 1<<32-1) },
		"2^62 bytes":        func(b []byte) { binary.BigEndian.PutUint64(b[24:], 1<<62) },
		"reference counts":  func(b []byte) { binary.BigEndian.PutUint32(b[56:], 1<<31) },
		"snapshots":         func(b []byte) { binary.BigEndian.PutUint32(b[60:], 1<<31) },
		"a header of 4 GiB": func(b []byte) { binary.BigEndian.PutUint32(b[100:], 1<<32-8) },
		"an extension of 4 GiB": func(b []byte) {
			binary.BigEndian.PutUint32(b[112:], 0x6803f857)
			binary.BigEndian.PutUint32(b[116:], 1<<32-1)
		},
		"a long backing name": func(b []byte) { binary.BigEndian.PutUint64(b[8:], 512); binary.BigEndian.PutUint32(b[16:], 1<<32-1) },
		"an L1 in itself":     func(b []byte) { binary.BigEndian.PutUint64(b[40:], 0) },
	} {
		b := bytes.Clone(good)
		change(b)
		p := open(t, storage.Options{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		_, err := p.ImportImage(context.Background(), cloud.Image{Meta: cloud.Meta{ID: id(1)}}, bytes.NewReader(b), nil)
		if c := cloud.CodeOf(err); c != cloud.CodeImageUnsafe && c != cloud.CodeImageFormat && c != cloud.CodeImageTooBig {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: it took %d MiB", name, n>>20)
		}
	}
}

// What runs in qemu-img's place finds limits that the kernel keeps, and nothing of lodged's.
func TestQemuImgRunsUnderLimits(t *testing.T) {
	t.Setenv("LODGE_SECRET", "of lodged")
	out := filepath.Join(t.TempDir(), "out")
	fakeQemuImg(t, "{ ulimit -v; ulimit -f; ulimit -t; ulimit -n; ulimit -c; pwd; env; } >"+out)
	if err := storage.QemuImg(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	// In KiB, blocks of 512 bytes, seconds, files, blocks.
	if want := "1048576\n32768\n10\n64\n0\n/\n"; !strings.HasPrefix(string(b), want) || strings.Contains(string(b), "LODGE") {
		t.Errorf("it found:\n%s", b)
	}
}

func TestAQemuImgThatWritesOrWaitsTooLongIsEnded(t *testing.T) {
	dir := t.TempDir()
	fakeQemuImg(t, "exec head -c 64M /dev/zero >"+filepath.Join(dir, "out"))
	wantCode(t, storage.QemuImg(context.Background()), cloud.CodeStorage)
	if info, err := os.Stat(filepath.Join(dir, "out")); err != nil || info.Size() > 16<<20 {
		t.Errorf("written: %v, %v", info, err)
	}
	fakeQemuImg(t, "exec dd bs=2G count=1 if=/dev/zero of=/dev/null")
	err := storage.QemuImg(context.Background())
	wantCode(t, err, cloud.CodeStorage)
	if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), "memory exhausted") {
		t.Errorf("2 GiB at once: %v", cause)
	}
	// What it says is kept as far as somebody would read it.
	fakeQemuImg(t, "head -c 1M /dev/zero | tr '\\0' x; exit 1")
	err = storage.QemuImg(context.Background())
	wantCode(t, err, cloud.CodeStorage)
	if n := len(errors.Unwrap(err).Error()); n > 8<<10 {
		t.Errorf("%d bytes of what it said are kept", n)
	}

	fakeQemuImg(t, "echo $$ >"+filepath.Join(dir, "pid")+"; exec sleep 60")
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	wantCode(t, storage.QemuImg(ctx), cloud.CodeTimeout)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(b))); err == nil {
		t.Error("it runs on")
	}
}

// An image that somebody changed on the host, past the import: a volume on it is
// made without a look into it. Opening what it names would hang for ever.
func TestAVolumeIsMadeWithoutOpeningTheImageBelow(t *testing.T) {
	needWorld(t)
	dir := filepath.Join(openDir(t), "disks")
	p := open(t, storage.Options{Dir: dir})
	ctx := context.Background()
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(9), SizeGiB: 1}); err != nil { // makes the pool
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image-"+id(1)+".qcow2")
	if err := os.WriteFile(image, qcow2Bytes(t, "1G", "-u", "-b", fifo, "-F", "raw"), 0o644); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 2, ImageID: id(1), ImageFormat: cloud.FormatQcow2}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// The service has capabilities that whatever it starts gets too: qemu-img does not.
func TestQemuImgHasNoCapabilitiesOfLodged(t *testing.T) {
	if os.Getenv("LODGE_TEST_AS_SERVICE") != "" {
		if err := storage.QemuImg(context.Background()); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to have capabilities that could be handed down")
	}
	dir, err := os.MkdirTemp("/var/tmp", "lodge-bare-") // every folder above it is open to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const stranger = 65534
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chown(dir, stranger, stranger))
	out := filepath.Join(dir, "out")
	must(os.WriteFile(filepath.Join(dir, "qemu-img"), []byte("#!/bin/sh\ngrep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs):' /proc/self/status >"+out+"\n"), 0o755))
	self, err := os.Executable()
	must(err)
	program, err := os.ReadFile(self)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "self"), program, 0o755))

	// A process as systemd makes the service: another user, and what it starts gets these.
	cmd := exec.Command(filepath.Join(dir, "self"), "-test.run", "^"+t.Name()+"$")
	cmd.Dir = "/"
	cmd.Env = []string{"LODGE_TEST_AS_SERVICE=1", "PATH=" + dir + ":" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: stranger, Gid: stranger},
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_DAC_READ_SEARCH},
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	b, err := os.ReadFile(out)
	must(err)
	const none = "0000000000000000"
	if got, want := strings.Join(strings.Fields(string(b)), " "), "CapPrm: "+none+" CapEff: "+none+" CapAmb: "+none+" NoNewPrivs: 1"; got != want {
		t.Errorf("it has %s", got)
	}
}
