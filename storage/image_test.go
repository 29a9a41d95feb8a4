package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"lodge/cloud"
	"lodge/storage"
	"lodge/virt"
)

// local opens a pool that needs no libvirt.
func local(t testing.TB, o storage.Options) (*storage.Pool, string) {
	t.Helper()
	link := virt.Open(virt.Options{URI: "test:///default"})
	t.Cleanup(func() { _ = link.Close() })
	o.Link = link
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "disks")
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = 1
	}
	return open(t, o), o.Dir
}

func wantEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Fatalf("left in the directory: %v, %v", entries, err)
	}
}

func TestAnImageIsTakenWholeAndReadable(t *testing.T) {
	p, dir := local(t, storage.Options{})
	for n, b := range [][]byte{header(nil), rawBytes(5 << 20)} {
		var last int64
		img := cloud.Image{Meta: cloud.Meta{ID: id(n)}, BytesTotal: int64(len(b)), SHA256: strings.ToUpper(sum(b))}
		info, err := p.ImportImage(context.Background(), img, iotest.HalfReader(bytes.NewReader(b)), func(done int64) { last = done })
		if err != nil {
			t.Fatal(err)
		}
		want := cloud.ImageInfo{Format: cloud.FormatQcow2, SHA256: sum(b), SizeBytes: int64(len(b)), VirtualSize: 1 << 30}
		if n == 1 {
			want.Format, want.VirtualSize = cloud.FormatRaw, int64(len(b))
		}
		if info != want || last != want.SizeBytes {
			t.Errorf("info %+v, progress %d", info, last)
		}
		d := look(t, p)[cloud.DiskKey{Kind: cloud.DiskImage, ID: id(n)}]
		if d.SizeBytes != want.VirtualSize || d.Format != want.Format {
			t.Errorf("seen %+v", d)
		}
		if st, err := os.Stat(d.Path); err != nil || st.Mode() != 0o644 {
			t.Errorf("file %v, %v", st.Mode(), err)
		}
	}
	// Once more, as after a crash between the rename and its record.
	importBytes(t, p, 1, rawBytes(5<<20))
	for n := range 2 {
		if err := p.RemoveDisk(context.Background(), cloud.DiskImage, id(n)); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, dir)
}

func TestABadImageIsRefusedAndLeavesNothing(t *testing.T) {
	disk := rawBytes(1 << 20)
	with := func(at int, s string) []byte {
		b := bytes.Clone(disk)
		copy(b[at:], s)
		return b
	}
	broken := io.MultiReader(bytes.NewReader(disk[:1000]), iotest.ErrReader(errors.New("connection reset")))
	cut := io.MultiReader(bytes.NewReader(disk[:1000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	coded := iotest.ErrReader(cloud.Errorf(cloud.CodeURLRefused, "No."))
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		img  cloud.Image
		r    io.Reader
		code cloud.Code
		says string
	}{
		{name: "empty", r: strings.NewReader(""), code: cloud.CodeImageFormat},
		{name: "half a qcow2", r: bytes.NewReader(cutDisk(5 << 16)), code: cloud.CodeImageFormat, says: "cut off or damaged"},
		{name: "text", r: strings.NewReader(strings.Repeat("hello ", 1000)), code: cloud.CodeImageFormat, says: "partition table"},
		{name: "web page", r: bytes.NewReader(with(0, "<!DOCTYPE html>")), code: cloud.CodeImageFormat, says: "a web page"},
		{name: "VMDK", r: bytes.NewReader(with(0, "KDMV")), code: cloud.CodeImageFormat, says: "VMDK"},
		{name: "VMDK descriptor", r: strings.NewReader("# Disk DescriptorFile\nversion=1\n"), code: cloud.CodeImageFormat, says: "VMDK"},
		{name: "VHD", r: bytes.NewReader(with(1<<20-512, "conectix")), code: cloud.CodeImageFormat, says: "VHD"},
		{name: "old VHD", r: bytes.NewReader(append(with(0, ""), with(0, "conectix")[:511]...)), code: cloud.CodeImageFormat, says: "VHD"},
		{name: "VHDX", r: bytes.NewReader(with(0, "vhdxfile")), code: cloud.CodeImageFormat, says: "VHDX"},
		{name: "VDI", r: bytes.NewReader(with(0x40, "\x7f\x10\xda\xbe")), code: cloud.CodeImageFormat, says: "VDI"},
		{name: "gzip", r: bytes.NewReader(with(0, "\x1f\x8b\x08")), code: cloud.CodeImageFormat, says: "gzip"},
		{name: "xz", r: bytes.NewReader(with(0, "\xfd7zXZ\x00")), code: cloud.CodeImageFormat, says: "xz"},
		{name: "zip", r: bytes.NewReader(with(0, "PK\x03\x04")), code: cloud.CodeImageFormat, says: "zip"},
		{name: "OVA", r: bytes.NewReader(with(257, "ustar")), code: cloud.CodeImageFormat, says: "OVA"},
		{name: "ISO", r: bytes.NewReader(with(0x8001, "CD001")), code: cloud.CodeImageFormat, says: "ISO"},
		{name: "LUKS", r: bytes.NewReader(with(0, "LUKS\xba\xbe")), code: cloud.CodeImageFormat, says: "LUKS"},
		{name: "qcow1", r: bytes.NewReader(with(0, "QFI\xfb\x00\x00\x00\x01")), code: cloud.CodeImageFormat, says: "version 1"},
		{name: "half a sector", r: bytes.NewReader(disk[:1<<20-100]), code: cloud.CodeImageFormat, says: "sectors"},
		{name: "backing file", r: bytes.NewReader(header(backing("/etc/shadow"))), code: cloud.CodeImageUnsafe},
		{name: "exabyte", r: bytes.NewReader(header(u64(24, 1<<60))[:1024]), code: cloud.CodeImageTooBig},
		{name: "wrong checksum", img: cloud.Image{SHA256: sum(nil)}, r: bytes.NewReader(disk), code: cloud.CodeChecksum, says: sum(disk)},
		{name: "too few bytes", img: cloud.Image{BytesTotal: 2 << 20}, r: bytes.NewReader(disk), code: cloud.CodeImageTruncated},
		{name: "cut off", r: cut, code: cloud.CodeImageTruncated},
		{name: "broken upload", img: cloud.Image{Source: cloud.SourceUpload}, r: broken, code: cloud.CodeImageTruncated},
		{name: "broken download", img: cloud.Image{Source: cloud.SourceURL}, r: iotest.ErrReader(errors.New("reset")), code: cloud.CodeURLFailed},
		{name: "reader with a code", r: coded, code: cloud.CodeURLRefused},
		{name: "canceled", ctx: canceled, r: bytes.NewReader(disk), code: cloud.CodeImportCanceled},
		{name: "too big", r: bytes.NewReader(rawBytes(9 << 20)), code: cloud.CodeImageTooBig},
		{name: "too big as announced", img: cloud.Image{BytesTotal: 9 << 20}, code: cloud.CodeImageTooBig},
		{name: "other format than promised", img: cloud.Image{Format: cloud.FormatQcow2}, r: bytes.NewReader(disk), code: cloud.CodeImageFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, dir := local(t, storage.Options{MaxImageBytes: 8 << 20})
			if c.ctx == nil {
				c.ctx = context.Background()
			}
			c.img.ID = id(1)
			_, err := p.ImportImage(c.ctx, c.img, c.r, nil)
			wantCode(t, err, c.code)
			if !strings.Contains(cloud.MessageOf(err), c.says) {
				t.Errorf("says %q", cloud.MessageOf(err))
			}
			wantEmpty(t, dir)
		})
	}
}

// A wrong file of gigabytes is refused after its first MiB.
func TestTheWrongFormatIsRefusedEarly(t *testing.T) {
	p, _ := local(t, storage.Options{})
	read := 0
	r := readerFunc(func(b []byte) (int, error) {
		n := copy(b, bytes.Repeat([]byte{0x1f, 0x8b}, len(b)/2))
		read += n
		return n, nil
	})
	_, err := p.ImportImage(context.Background(), cloud.Image{Meta: cloud.Meta{ID: id(1)}}, r, nil)
	wantCode(t, err, cloud.CodeImageFormat)
	if read > 1<<20 {
		t.Errorf("%d bytes were read", read)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestTwoImportsOfOneImageDoNotMix(t *testing.T) {
	p, dir := local(t, storage.Options{})
	img := cloud.Image{Meta: cloud.Meta{ID: id(1)}}
	first, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := p.ImportImage(context.Background(), img, first, nil)
		done <- err
	}()
	disk := rawBytes(2 << 20)
	if _, err := w.Write(disk[:1<<20]); err != nil {
		t.Fatal(err)
	}
	_, err := p.ImportImage(context.Background(), img, bytes.NewReader(disk), nil)
	wantCode(t, err, cloud.CodeInUse)
	wantCode(t, p.RemoveDisk(context.Background(), cloud.DiskImage, id(1)), cloud.CodeInUse)
	// Another lodged that opens the directory leaves what is in use.
	open(t, storage.Options{Dir: dir, URI: "test:///default"})
	_, _ = w.Write(disk[1<<20:])
	_ = w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if seen := look(t, p); len(seen) != 1 {
		t.Errorf("seen %+v", seen)
	}
}

// A database from a backup may have an image as still to be fetched on which
// guests rest by now.
func TestAnImageThatIsThereIsNeverWrittenOver(t *testing.T) {
	p, dir := local(t, storage.Options{})
	img := cloud.Image{Meta: cloud.Meta{ID: id(1)}}
	disk := rawBytes(2 << 20)
	first, err := p.ImportImage(context.Background(), img, bytes.NewReader(disk), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "image-"+id(1)+".raw")
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.ImportImage(context.Background(), img, bytes.NewReader(disk), nil)
	if err != nil || again != first {
		t.Errorf("the same bytes: %+v, %v", again, err)
	}
	other := bytes.Clone(disk)
	other[1<<20] ^= 1
	_, err = p.ImportImage(context.Background(), img, bytes.NewReader(other), nil)
	wantCode(t, err, cloud.CodeInUse)
	is, err := os.Stat(path)
	if err != nil || !os.SameFile(was, is) {
		t.Errorf("the file is another one: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".import-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestAHalfMadeVolumeIsPartialUnlessAWholeOneIsThere(t *testing.T) {
	p, dir := local(t, storage.Options{})
	overlay := header(backing(filepath.Join(dir, "image-"+id(9)+".qcow2")))
	for n, tt := range []struct {
		overlay, blank []byte
		partial        bool
	}{
		{header(nil)[:100], nil, true},
		{nil, header(nil)[:100], true},
		{header(nil), nil, true}, // no backing file yet
		{overlay, header(nil)[:100], false},
		{overlay[:100], header(nil), false},
	} {
		for name, b := range map[string][]byte{".qcow2": tt.overlay, ".blank.qcow2": tt.blank} {
			if b == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, id(n)+name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, seen := range []map[cloud.DiskKey]cloud.Disk{look(t, p), look(t, p, id(n))} {
			d, there := seen[volume(n)]
			if !there || d.Partial != tt.partial || (d.SizeBytes == 0) != tt.partial {
				t.Errorf("volume %d: seen %+v", n, d)
			}
		}
	}
}

func TestOpenRemovesWhatACrashLeftAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	whole := header(nil)
	for name, b := range map[string][]byte{
		".import-" + id(1) + ".part": []byte("half"),
		".seed-" + id(1) + ".part":   []byte("half"),
		id(2) + ".qcow2":             whole, // an overlay that has no backing file yet
		id(3) + ".qcow2":             {},
		id(4) + ".blank.qcow2":       whole,
		"image-" + id(5) + ".qcow2":  whole,
		"seed-" + id(6) + ".img":     []byte("seed"),
		"notes.txt":                  []byte("an operator's"),
		"other.qcow2":                {},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := local(t, storage.Options{Dir: dir})
	entries, _ := os.ReadDir(dir)
	if len(entries) != 5 {
		t.Errorf("left: %v", entries)
	}
	if seen := look(t, p); len(seen) != 3 {
		t.Errorf("seen: %+v", seen)
	}
}

// A data dir that was moved has overlays that name their images where those were.
func TestAVolumeThatWasMovedIsWholeAndKept(t *testing.T) {
	dir := t.TempDir()
	for n, below := range map[int]string{1: "/gone/disks/image-" + id(9) + ".qcow2", 2: "/gone/disks/image-" + id(9) + ".raw", 3: "/elsewhere/base.qcow2"} {
		if err := os.WriteFile(filepath.Join(dir, id(n)+".qcow2"), header(backing(below)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := local(t, storage.Options{Dir: dir})
	seen := look(t, p)
	if len(seen) != 2 || seen[volume(1)].SizeBytes != 1<<30 || seen[volume(2)].Partial || seen[volume(2)].SizeBytes == 0 {
		t.Errorf("seen %+v", seen)
	}
}

func TestTooLittleFreeSpaceIsSaidBeforeAnythingIsWritten(t *testing.T) {
	p, dir := local(t, storage.Options{MinFreeBytes: 1 << 60})
	ctx := context.Background()
	_, err := p.ImportImage(ctx, cloud.Image{Meta: cloud.Meta{ID: id(1)}}, nil, nil)
	wantCode(t, err, cloud.CodeDiskFull)
	wantCode(t, p.CreateDisk(ctx, cloud.DiskSpec{ID: id(1), SizeGiB: 1}), cloud.CodeDiskFull)
	wantCode(t, p.WriteSeed(ctx, seed("")), cloud.CodeDiskFull)
	wantEmpty(t, dir)
}

func TestAnIDThatIsNoUUIDTouchesNoFile(t *testing.T) {
	p, dir := local(t, storage.Options{})
	ctx := context.Background()
	for _, bad := range []string{"", "../../etc/passwd", id(1) + "/x", strings.ToUpper("0000000a-0000-4000-8000-000000000001")} {
		wantCode(t, p.CreateDisk(ctx, cloud.DiskSpec{ID: bad, SizeGiB: 1}), cloud.CodeInternal)
		wantCode(t, p.WriteSeed(ctx, cloud.SeedSpec{ID: bad, MetaData: "x"}), cloud.CodeInternal)
		wantCode(t, p.RemoveDisk(ctx, cloud.DiskVolume, bad), cloud.CodeInternal)
		if seen := look(t, p, bad); len(seen) != 0 {
			t.Errorf("seen %+v", seen)
		}
	}
	wantEmpty(t, dir)
}
