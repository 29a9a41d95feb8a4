package storage

import (
	"bytes"
	"testing"

	"lodge/cloud"
)

// The first bytes of an upload are a raw disk or CodeImageFormat.
func FuzzCheckRaw(f *testing.F) {
	mbr := make([]byte, 512)
	mbr[510], mbr[511] = 0x55, 0xaa
	f.Add(mbr, int64(512))
	f.Add([]byte("QFI\xfb"), int64(-1))
	f.Add([]byte("KDMV"), int64(4))
	f.Add([]byte("<html"), int64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if err := CheckRaw(bytes.NewReader(b), size); err != nil {
			if cloud.CodeOf(err) != cloud.CodeImageFormat {
				t.Fatal(err)
			}
			return
		}
		if len(b) < 512 || bytes.HasPrefix(b, []byte("QFI\xfb")) {
			t.Errorf("%d bytes are a disk", len(b))
		}
	})
}

// A seed holds what was put into it, whole.
func FuzzSeed(f *testing.F) {
	f.Add("instance-id: 1\n", "#cloud-config\n")
	f.Add("", "")
	f.Add("\x00\xff", "a\r\nb")
	f.Fuzz(func(t *testing.T, meta, user string) {
		if meta == "" || len(user) > 64<<10 || len(meta) > 64<<10 {
			return // refused long before
		}
		img, err := seedImage(cloud.SeedSpec{ID: "00000000-0000-4000-8000-000000000001", MetaData: meta, UserData: user})
		if err != nil {
			t.Fatal(err)
		}
		if len(img)%512 != 0 || !bytes.Contains(img, []byte(meta)) && len(meta) < 512 || !bytes.Contains(img, []byte(user)) && len(user) < 512 {
			t.Errorf("%q and %q are not in %d bytes", meta, user, len(img))
		}
	})
}

// A file is lodge's only by the name that lodge would give it.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"seed-00000000-0000-4000-8000-000000000001.img", "00000000-0000-4000-8000-000000000001.qcow2", "image-x.raw", "..", "", "seed-.img"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, ok := parseName(name); ok && (got.name != name || !cloud.IsUUID(got.id)) {
			t.Errorf("%q is read as %+v", name, got)
		}
	})
}
