package storage_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/storage"
)

// What is cast is what libvirt would have made, to the byte.
func TestACastVolumeIsTheOneThatLibvirtMakes(t *testing.T) {
	needWorld(t)
	ctx := context.Background()
	for _, tt := range []struct {
		what  string
		image string
		gib   int
	}{
		{"blank", "", 1},
		{"blank, large", "", 2048},
		{"overlay", id(90), 7},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := openDir(t)
			make := func(p *storage.Pool, n int) []byte {
				t.Helper()
				spec := cloud.DiskSpec{ID: id(n), SizeGiB: tt.gib, ImageID: tt.image, ImageFormat: cloud.FormatRaw}
				if err := p.CreateDisk(ctx, spec); err != nil {
					t.Fatal(err)
				}
				d := look(t, p)[volume(n)]
				b, err := os.ReadFile(d.Path)
				if err != nil || d.SizeBytes != int64(tt.gib)<<30 {
					t.Fatal(d, err)
				}
				if out, err := exec.Command("qemu-img", "check", "-f", "qcow2", d.Path).CombinedOutput(); err != nil {
					t.Errorf("qemu-img check: %v\n%s", err, out)
				}
				return b
			}
			p := open(t, storage.Options{Dir: dir})
			if tt.image != "" {
				importBytes(t, p, 90, rawBytes(1<<20))
			}
			first, cast := make(p, 1), make(p, 2)
			again := make(open(t, storage.Options{Dir: dir}), 3) // has no mould yet
			theirs := byLibvirt(t, p, 4, tt.gib, tt.image)
			if !bytes.Equal(first, cast) || !bytes.Equal(cast, again) || !bytes.Equal(again, theirs) {
				t.Error("the bytes differ")
			}
			info, err := os.Stat(look(t, p)[volume(2)].Path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if parts, _ := filepath.Glob(filepath.Join(dir, ".*")); len(parts) > 0 {
				t.Errorf("left: %v", parts)
			}
		})
	}
}

// byLibvirt has libvirt make the same volume.
func byLibvirt(t *testing.T, p *storage.Pool, n, gib int, image string) []byte {
	t.Helper()
	want := libvirtxml.StorageVolume{
		Name:     id(n) + ".qcow2",
		Capacity: &libvirtxml.StorageVolumeSize{Unit: "GiB", Value: uint64(gib)},
		Target:   &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}, Compat: "1.1"},
	}
	if image != "" {
		path := strings.ReplaceAll(look(t, p)[volume(1)].Path, id(1)+".qcow2", "image-"+image+".raw")
		want.BackingStore = &libvirtxml.StorageVolumeBackingStore{Path: path, Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"}}
	}
	xml, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "volume.xml")
	if err := os.WriteFile(file, []byte(xml), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "virsh", "vol-create", p.Name(), file)
	b, err := os.ReadFile(strings.TrimSpace(run(t, "virsh", "-q", "vol-path", "--pool", p.Name(), id(n)+".qcow2")))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestACastTakesTheHalfMadesPlaceAndNobodyElses(t *testing.T) {
	needWorld(t)
	ctx := context.Background()
	p := open(t, storage.Options{})
	spec := func(n int) cloud.DiskSpec { return cloud.DiskSpec{ID: id(n), SizeGiB: 1} }
	if err := p.CreateDisk(ctx, spec(1)); err != nil {
		t.Fatal(err)
	}
	path := func(n int) string {
		return strings.ReplaceAll(look(t, p)[volume(1)].Path, id(1), id(n))
	}
	if err := os.WriteFile(path(2), nil, 0o600); err != nil { // as a power cut leaves it
		t.Fatal(err)
	}
	if err := p.CreateDisk(ctx, spec(2)); err != nil {
		t.Fatal(err)
	}
	if d := look(t, p)[volume(2)]; d.Partial || d.SizeBytes != 1<<30 {
		t.Errorf("made anew: %+v", d)
	}
	if err := os.Mkdir(path(3), 0o700); err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.CreateDisk(ctx, spec(3)), cloud.CodeStorage)
	if info, err := os.Stat(path(3)); err != nil || !info.IsDir() {
		t.Errorf("what was in the way: %v, %v", info, err)
	}
}

// With the first of its kind made, the next ones need no libvirt.
func TestACastNeedsNoLibvirt(t *testing.T) {
	needWorld(t)
	control := os.Getenv("LODGE_WORLD_LIBVIRTD")
	p := open(t, storage.Options{})
	ctx := context.Background()
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(1), SizeGiB: 1}); err != nil {
		t.Fatal(err)
	}
	run(t, control, "stop")
	err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(2), SizeGiB: 1})
	run(t, control, "start")
	if err != nil {
		t.Fatal(err)
	}
	if seen := look(t, p); len(seen) != 2 {
		t.Errorf("seen %+v", seen)
	}
	until(t, func() bool { return p.RemoveDisk(ctx, cloud.DiskVolume, id(2)) == nil })
}
