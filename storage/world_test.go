package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/storage"
	"lodge/virt"
)

// needWorld skips a test that wants a libvirt it may do anything to.
func needWorld(t testing.TB) {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs scripts/world")
	}
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// open opens a pool on a directory that QEMU can walk to.
func open(t testing.TB, o storage.Options) *storage.Pool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(openDir(t), "disks")
	}
	p, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lodge-storage-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// qcow2Bytes makes a qcow2 of the size with qemu-img.
func qcow2Bytes(t testing.TB, size string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img")
	}
	path := filepath.Join(t.TempDir(), "x.qcow2")
	run(t, "qemu-img", append(append([]string{"create", "-q", "-f", "qcow2"}, args...), path, size)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawBytes is a raw disk with an MBR.
func rawBytes(n int) []byte {
	b := make([]byte, n)
	binary.LittleEndian.PutUint16(b[510:], 0xaa55)
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func importBytes(t testing.TB, p *storage.Pool, n int, b []byte) cloud.ImageInfo {
	t.Helper()
	img := cloud.Image{Meta: cloud.Meta{ID: id(n)}, SHA256: sum(b), BytesTotal: int64(len(b))}
	info, err := p.ImportImage(context.Background(), img, bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func look(t testing.TB, p *storage.Pool, ids ...string) map[cloud.DiskKey]cloud.Disk {
	t.Helper()
	seen, err := p.LookDisks(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func wantCode(t testing.TB, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, cloud.CodeOf(err), code)
	}
}

func volume(n int) cloud.DiskKey { return cloud.DiskKey{Kind: cloud.DiskVolume, ID: id(n)} }

func TestAVolumeIsMadeSeenAndRemovedAndEachMayHappenTwice(t *testing.T) {
	needWorld(t)
	dir := filepath.Join(openDir(t), "disks")
	p := open(t, storage.Options{Dir: dir})
	ctx := context.Background()
	info := importBytes(t, p, 1, qcow2Bytes(t, "1G"))
	spec := cloud.DiskSpec{ID: id(2), SizeGiB: 3, ImageID: id(1), ImageFormat: info.Format}
	for range 2 {
		if err := p.CreateDisk(ctx, spec); err != nil {
			t.Fatal(err)
		}
	}
	seen := look(t, p)
	d, ok := seen[volume(2)]
	if !ok || d.SizeBytes != 3<<30 || d.Format != cloud.FormatQcow2 || len(seen) != 2 {
		t.Fatalf("seen %+v", seen)
	}
	if one := look(t, p, id(2)); len(one) != 1 || one[volume(2)] != d {
		t.Fatalf("with ids: %+v", one)
	}
	out := run(t, "qemu-img", "info", "--output=json", d.Path)
	for _, want := range []string{`"backing-filename-format": "qcow2"`, `"virtual-size": 3221225472`, "image-" + id(1) + ".qcow2"} {
		if !bytes.Contains([]byte(out), []byte(want)) {
			t.Errorf("qemu-img info lacks %s:\n%s", want, out)
		}
	}
	run(t, "qemu-img", "check", "-q", d.Path)

	// Another size is no repair that storage may choose.
	spec.SizeGiB = 4
	wantCode(t, p.CreateDisk(ctx, spec), cloud.CodeStorage)

	for range 2 {
		if err := p.RemoveDisk(ctx, cloud.DiskVolume, id(2)); err != nil {
			t.Fatal(err)
		}
	}
	if seen := look(t, p); len(seen) != 1 {
		t.Fatalf("left: %+v", seen)
	}
	for range 2 {
		if err := p.RemoveDisk(ctx, cloud.DiskImage, id(1)); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 0 {
		t.Fatalf("left: %v", entries)
	}
}

func TestABlankVolumeAndARawImageWork(t *testing.T) {
	needWorld(t)
	p := open(t, storage.Options{})
	ctx := context.Background()
	importBytes(t, p, 1, rawBytes(2<<20))
	for _, spec := range []cloud.DiskSpec{
		{ID: id(2), SizeGiB: 1},
		{ID: id(3), SizeGiB: 1, ImageID: id(1), ImageFormat: cloud.FormatRaw},
	} {
		if err := p.CreateDisk(ctx, spec); err != nil {
			t.Fatal(err)
		}
		key := cloud.DiskKey{Kind: cloud.DiskVolume, ID: spec.ID}
		if d := look(t, p)[key]; d.SizeBytes != 1<<30 {
			t.Fatalf("seen %+v", d)
		}
	}
}

func TestAVolumeOnAMissingOrLargerImageIsRefused(t *testing.T) {
	needWorld(t)
	p := open(t, storage.Options{})
	ctx := context.Background()
	wantCode(t, p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 1, ImageID: id(1), ImageFormat: cloud.FormatQcow2}), cloud.CodeStorage)
	importBytes(t, p, 1, qcow2Bytes(t, "2G"))
	wantCode(t, p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 1, ImageID: id(1), ImageFormat: cloud.FormatQcow2}), cloud.CodeStorage)
	if seen := look(t, p); len(seen) != 1 {
		t.Fatalf("seen %+v", seen)
	}
}

func TestAHalfMadeVolumeIsSeenAsPartialAndMadeAnew(t *testing.T) {
	needWorld(t)
	dir := filepath.Join(openDir(t), "disks")
	p := open(t, storage.Options{Dir: dir})
	ctx := context.Background()
	importBytes(t, p, 1, qcow2Bytes(t, "1G"))
	spec := cloud.DiskSpec{ID: id(2), SizeGiB: 1, ImageID: id(1), ImageFormat: cloud.FormatQcow2}
	path := filepath.Join(dir, id(2)+".qcow2")
	overlay := qcow2Bytes(t, "1G")
	zeroSize := bytes.Clone(overlay)
	clear(zeroSize[24:32])
	for name, half := range map[string][]byte{
		"empty":           {},
		"no backing name": overlay,
		"cut off":         overlay[:300],
		"size zero":       zeroSize,
		"zeros":           make([]byte, 65536),
	} {
		// libvirt knows a volume of that name from the round before, too.
		if err := os.WriteFile(path, half, 0o600); err != nil {
			t.Fatal(err)
		}
		want := cloud.Disk{ID: id(2), Kind: cloud.DiskVolume, Path: path, Format: cloud.FormatQcow2, Partial: true}
		if one, all := look(t, p, id(2))[volume(2)], look(t, p)[volume(2)]; one != want || all != want {
			t.Errorf("%s: seen %+v, among all %+v", name, one, all)
		}
		if err := p.CreateDisk(ctx, spec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := look(t, p, id(2))[volume(2)]; d.SizeBytes != 1<<30 || d.Partial {
			t.Errorf("%s: after: %+v", name, d)
		}
	}
}

func TestAFlattenedVolumeIsSeenAndAForeignFileIsLeftAlone(t *testing.T) {
	needWorld(t)
	dir := filepath.Join(openDir(t), "disks")
	p := open(t, storage.Options{Dir: dir})
	ctx := context.Background()
	importBytes(t, p, 1, qcow2Bytes(t, "1G"))
	spec := cloud.DiskSpec{ID: id(2), SizeGiB: 1, ImageID: id(1), ImageFormat: cloud.FormatQcow2}
	if err := p.CreateDisk(ctx, spec); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, id(2)+".qcow2")
	run(t, "qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", path)
	run(t, "qemu-img", "rebase", "-f", "qcow2", "-F", "qcow2", "-b", "", path)
	if seen := look(t, p, id(2)); len(seen) != 1 {
		t.Fatalf("flattened: %+v", seen)
	}
	precious := bytes.Repeat([]byte("precious"), 1<<17)
	if err := os.WriteFile(path, precious, 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.CreateDisk(ctx, spec), cloud.CodeStorage)
	if b, _ := os.ReadFile(path); !bytes.Equal(b, precious) {
		t.Fatal("the foreign file was changed")
	}
}

func TestADiskRemovedByHandIsSeenAsGoneAndCanBeMadeAgain(t *testing.T) {
	needWorld(t)
	p := open(t, storage.Options{})
	ctx := context.Background()
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(look(t, p)[volume(2)].Path); err != nil {
		t.Fatal(err)
	}
	if seen := look(t, p); len(seen) != 0 {
		t.Fatalf("seen %+v", seen)
	}
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestAStoppedOrForgottenPoolComesBack(t *testing.T) {
	needWorld(t)
	p := open(t, storage.Options{})
	ctx := context.Background()
	for i, undo := range [][]string{{"pool-destroy"}, {"pool-destroy", "pool-undefine"}} {
		// Each of another size: the second of a kind needs no libvirt.
		if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(10 + i), SizeGiB: 1 + i}); err != nil {
			t.Fatal(err)
		}
		for _, do := range undo {
			run(t, "virsh", do, p.Name())
		}
	}
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(20), SizeGiB: 3}); err != nil {
		t.Fatal(err)
	}
	if seen := look(t, p); len(seen) != 3 {
		t.Fatalf("seen %+v", seen)
	}
	if out := run(t, "virsh", "pool-info", p.Name()); !bytes.Contains([]byte(out), []byte("Autostart:      yes")) {
		t.Errorf("no autostart:\n%s", out)
	}
}

func TestWhileLibvirtIsAwayLooksAnswerAndCreatesSaySo(t *testing.T) {
	needWorld(t)
	control := os.Getenv("LODGE_WORLD_LIBVIRTD")
	link := virt.Open(virt.Options{})
	defer link.Close()
	p := open(t, storage.Options{Link: link})
	ctx := context.Background()
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(1), SizeGiB: 1}); err != nil {
		t.Fatal(err)
	}
	run(t, control, "stop")
	begin := time.Now()
	wantCode(t, p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 2}), cloud.CodeHypervisor)
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it took %s to say that libvirt is away", d)
	}
	if seen := look(t, p); len(seen) != 1 {
		t.Errorf("seen %+v", seen)
	}
	run(t, control, "start")
	until(t, func() bool { return p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 2}) == nil })
}

func until(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it did not come true in 15 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestVolumesAreMadeSideBySide(t *testing.T) {
	needWorld(t)
	p := open(t, storage.Options{})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if err := p.CreateDisk(context.Background(), cloud.DiskSpec{ID: id(i), SizeGiB: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if seen := look(t, p); len(seen) != 12 {
		t.Fatalf("seen %d", len(seen))
	}
}

// A real file system that is full: the import says so and leaves nothing.
func TestAFullDiskEndsAnImportWithoutATrace(t *testing.T) {
	needWorld(t)
	dir := openDir(t)
	run(t, "mount", "-t", "tmpfs", "-o", "size=8m,mode=711", "tmpfs", dir)
	defer run(t, "umount", dir)
	p := open(t, storage.Options{Dir: filepath.Join(dir, "disks"), MinFreeBytes: 1})
	img := cloud.Image{Meta: cloud.Meta{ID: id(1)}}
	_, err := p.ImportImage(context.Background(), img, bytes.NewReader(rawBytes(16<<20)), nil)
	wantCode(t, err, cloud.CodeDiskFull)
	// Promised to be too much: refused before the first byte.
	img.BytesTotal = 16 << 20
	_, err = p.ImportImage(context.Background(), img, nil, nil)
	wantCode(t, err, cloud.CodeDiskFull)
	entries, _ := os.ReadDir(filepath.Join(dir, "disks"))
	if len(entries) != 0 {
		t.Fatalf("left: %v", entries)
	}
	// What fits is taken afterwards.
	importBytes(t, p, 2, rawBytes(1<<20))
	// And libvirt's own word for a full disk is understood.
	run(t, "fallocate", "-l", "6900K", filepath.Join(dir, "ballast"))
	run(t, "sh", "-c", "cat /dev/zero > "+filepath.Join(dir, "rest")+" 2>/dev/null || true; truncate -s -4096 "+filepath.Join(dir, "rest"))
	wantCode(t, p.CreateDisk(context.Background(), cloud.DiskSpec{ID: id(3), SizeGiB: 1}), cloud.CodeDiskFull)
	if seen := look(t, p, id(3)); len(seen) != 0 {
		t.Fatalf("seen %+v", seen)
	}
}
