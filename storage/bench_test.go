package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/storage"
)

func BenchmarkVolume(b *testing.B) {
	needWorld(b)
	p := open(b, storage.Options{})
	ctx := context.Background()
	importBytes(b, p, 1, header(nil))
	if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(99), SizeGiB: 1}); err != nil {
		b.Fatal(err)
	}
	n := 100
	b.Run("raw create", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			rawVolume(b, p.Name(), fmt.Sprintf("raw%d.qcow2", i), look(b, p)[cloud.DiskKey{Kind: cloud.DiskImage, ID: id(1)}].Path)
		}
	})
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			n++
			if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(n), SizeGiB: 10, ImageID: id(1), ImageFormat: cloud.FormatQcow2}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			if err := p.CreateDisk(ctx, cloud.DiskSpec{ID: id(n), SizeGiB: 10, ImageID: id(1), ImageFormat: cloud.FormatQcow2}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remove", func(b *testing.B) {
		for b.Loop() {
			if err := p.RemoveDisk(ctx, cloud.DiskVolume, id(n)); err != nil {
				b.Fatal(err)
			}
			n--
		}
	})
}

func BenchmarkWriteSeed(b *testing.B) {
	p, _ := local(b, storage.Options{})
	for i := 0; b.Loop(); i++ {
		if err := p.WriteSeed(context.Background(), seed(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeedImage(b *testing.B) {
	for b.Loop() {
		if _, err := storage.SeedImage(seed("#cloud-config\n")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookDisks(b *testing.B) {
	for _, n := range []int{100, 10000} {
		p, dir := local(b, storage.Options{})
		h := header(nil)
		for i := range n {
			if err := os.WriteFile(filepath.Join(dir, id(i)+".blank.qcow2"), h[:4096], 0o600); err != nil {
				b.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, id(i)+".blank.qcow2"), int64(len(h))); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "seed-"+id(i)+".img"), nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("all/%d", n), func(b *testing.B) {
			for b.Loop() {
				if seen := look(b, p); len(seen) != 2*n {
					b.Fatal(len(seen))
				}
			}
		})
		b.Run("one", func(b *testing.B) {
			for b.Loop() {
				look(b, p, id(1))
			}
		})
	}
}

func BenchmarkImport(b *testing.B) {
	p, _ := local(b, storage.Options{})
	disk := rawBytes(256 << 20)
	b.SetBytes(int64(len(disk)))
	for b.Loop() {
		if _, err := p.ImportImage(context.Background(), cloud.Image{Meta: cloud.Meta{ID: id(1)}}, bytes.NewReader(disk), nil); err != nil {
			b.Fatal(err)
		}
	}
}

var benchConn *libvirt.Connect

// rawVolume is the floor: the same call with nothing around it.
func rawVolume(b *testing.B, pool, name, image string) {
	b.Helper()
	var err error
	if benchConn == nil {
		if benchConn, err = libvirt.NewConnect(""); err != nil {
			b.Fatal(err)
		}
	}
	sp, err := benchConn.LookupStoragePoolByName(pool)
	if err != nil {
		b.Fatal(err)
	}
	defer sp.Free()
	vol, err := sp.StorageVolCreateXML(`<volume><name>`+name+`</name><capacity unit='GiB'>10</capacity>
		<target><format type='qcow2'/><compat>1.1</compat></target>
		<backingStore><path>`+image+`</path><format type='qcow2'/></backingStore></volume>`, 0)
	if err != nil {
		b.Fatal(err)
	}
	_ = vol.Free()
}
