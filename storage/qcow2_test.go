package storage_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/storage"
)

// header is a sane qcow2 of 1 GiB and 64 KiB clusters: header, reference count
// table, a block of it, L1 table.
func header(change func(b []byte)) []byte {
	b := make([]byte, 4<<16)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], 1<<30)
	be.PutUint32(b[36:], 2)
	be.PutUint64(b[40:], 3<<16)
	be.PutUint64(b[48:], 1<<16)
	be.PutUint32(b[56:], 1)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 112)
	if change != nil {
		change(b)
	}
	return b
}

func u32(at int, v uint32) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
}

func u64(at int, v uint64) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint64(b[at:], v) }
}

// extension puts a header extension behind the header.
func extension(kind uint32, data string) func([]byte) {
	return func(b []byte) {
		binary.BigEndian.PutUint32(b[112:], kind)
		binary.BigEndian.PutUint32(b[116:], uint32(len(data)))
		copy(b[120:], data)
	}
}

func backing(name string) func([]byte) {
	return func(b []byte) {
		binary.BigEndian.PutUint64(b[8:], 512)
		binary.BigEndian.PutUint32(b[16:], uint32(len(name)))
		copy(b[512:], name)
	}
}

const limit = 2 << 40

func judge(b []byte) error {
	q, err := storage.ReadQcow2(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return q.CheckImage(limit)
}

var badHeaders = []struct {
	name   string
	change func([]byte)
	code   cloud.Code
}{
	{"another magic", u32(0, 0x12345678), cloud.CodeImageFormat},
	{"version 1", u32(4, 1), cloud.CodeImageFormat},
	{"version 4", u32(4, 4), cloud.CodeImageFormat},
	{"backing file", backing("/etc/shadow"), cloud.CodeImageUnsafe},
	{"backing file by protocol", backing("json:{\"driver\":\"host_device\",\"filename\":\"/dev/sda\"}"), cloud.CodeImageUnsafe},
	{"backing offset without a name", u64(8, 512), cloud.CodeImageUnsafe},
	{"backing name of 1 GiB", func(b []byte) { backing("x")(b); u32(16, 1<<30)(b) }, cloud.CodeImageFormat},
	{"backing name beyond the file", func(b []byte) { backing("x")(b); u64(8, 1<<40)(b) }, cloud.CodeImageFormat},
	{"data file bit", u64(72, 1<<2), cloud.CodeImageUnsafe},
	{"data file name", extension(0x44415441, "/dev/sda"), cloud.CodeImageUnsafe},
	{"AES", u32(32, 1), cloud.CodeImageUnsafe},
	{"LUKS", u32(32, 2), cloud.CodeImageUnsafe},
	{"LUKS header only", extension(0x0537be77, "0123456789abcdef"), cloud.CodeImageUnsafe},
	{"unknown feature", u64(72, 1<<5), cloud.CodeImageUnsafe},
	{"unknown feature 63", u64(72, 1<<63), cloud.CodeImageUnsafe},
	{"marked corrupt", u64(72, 1<<1), cloud.CodeImageFormat},
	{"snapshots", u32(60, 3), cloud.CodeImageUnsafe},
	{"no size", u64(24, 0), cloud.CodeImageFormat},
	{"exabyte", func(b []byte) { u64(24, 1<<60)(b); u32(36, 1<<31)(b) }, cloud.CodeImageFormat},
	{"exabyte, small L1", u64(24, 1<<60), cloud.CodeImageTooBig},
	{"all ones size", u64(24, 1<<64-1), cloud.CodeImageTooBig},
	{"beyond the limit", func(b []byte) { u64(24, limit+512)(b); u32(36, 4097)(b) }, cloud.CodeImageTooBig},
	{"tiny clusters", u32(20, 8), cloud.CodeImageFormat},
	{"huge clusters", u32(20, 22), cloud.CodeImageFormat},
	{"absurd clusters", u32(20, 1<<31), cloud.CodeImageFormat},
	{"L1 too short", u32(36, 1), cloud.CodeImageFormat},
	{"L1 too long", u32(36, 1<<30), cloud.CodeImageFormat},
	{"L1 nowhere", u64(40, 0), cloud.CodeImageFormat},
	{"L1 off the grid", u64(40, 3<<16+512), cloud.CodeImageFormat},
	{"L1 beyond the file", u64(40, 4<<16), cloud.CodeImageFormat},
	{"no reference counts", u32(56, 0), cloud.CodeImageFormat},
	{"too many reference counts", u32(56, 1<<20), cloud.CodeImageFormat},
	{"reference counts beyond the file", u64(48, 1<<40), cloud.CodeImageFormat},
	{"reference counts of 2^7 bits", u32(96, 7), cloud.CodeImageFormat},
	{"short header", u32(100, 72), cloud.CodeImageFormat},
	{"long header", u32(100, 1<<20), cloud.CodeImageFormat},
	{"extension beyond the header", func(b []byte) { extension(1, "")(b); u32(116, 1<<31)(b) }, cloud.CodeImageFormat},
	{"extended L2 with small clusters", func(b []byte) { u64(72, 1<<4)(b); u32(20, 12)(b) }, cloud.CodeImageFormat},
}

func TestABadQcow2HeaderIsRefusedForItsReason(t *testing.T) {
	if err := judge(header(nil)); err != nil {
		t.Fatalf("the sane one: %v", err)
	}
	for _, c := range badHeaders {
		if err := judge(header(c.change)); cloud.CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", c.name, err, c.code)
		}
	}
	for n := range 112 {
		if err := judge(header(nil)[:n]); cloud.CodeOf(err) != cloud.CodeImageFormat {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
}

func TestGoodFeaturesOfQcow2AreTaken(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"dirty":             u64(72, 1<<0),
		"zstd":              u64(72, 1<<3),
		"extended L2":       func(b []byte) { u64(72, 1<<4)(b); u32(36, 4)(b) },
		"unknown extension": extension(0x12345678, "whatever"),
	} {
		if err := judge(header(change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What qemu-img makes is read right, and what it makes dangerous is refused.
func TestFilesOfQEMUImgAreJudgedRight(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img")
	}
	dir := t.TempDir()
	base := filepath.Join(dir, "base.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", base, "1G")
	for _, c := range []struct {
		args string
		code cloud.Code
	}{
		{"10G", ""},
		{"-o compat=0.10 10G", ""},
		{"-o cluster_size=512 1G", ""},
		{"-o cluster_size=2M 2T", ""},
		{"-o extended_l2=on 10G", ""},
		{"-o compression_type=zstd 10G", ""},
		{"-o lazy_refcounts=on,preallocation=metadata 1G", ""},
		{"3T", cloud.CodeImageTooBig},
		{"-o cluster_size=2M 1P", cloud.CodeImageTooBig},
		{"-b " + base + " -F qcow2", cloud.CodeImageUnsafe},
		{"-o data_file=" + filepath.Join(dir, "data") + " 1G", cloud.CodeImageUnsafe},
		{"--object secret,id=s,data=x -o encrypt.format=aes,encrypt.key-secret=s 1G", cloud.CodeImageUnsafe},
	} {
		path := filepath.Join(dir, "x.qcow2")
		run(t, "qemu-img", append([]string{"create", "-q", "-f", "qcow2"}, place(strings.Fields(c.args), path)...)...)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := judge(b); cloud.CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.args, err, c.code)
		}
	}
	run(t, "qemu-img", "snapshot", "-c", "one", base)
	b, _ := os.ReadFile(base)
	if err := judge(b); cloud.CodeOf(err) != cloud.CodeImageUnsafe {
		t.Errorf("with a snapshot: %v", err)
	}
}

// place puts the path before the size, which is last and has no dash.
func place(args []string, path string) []string {
	last := len(args) - 1
	if args[last] == "qcow2" { // -F qcow2: the size is the base's
		return append(args, path)
	}
	return append(append(args[:last:last], path), args[last])
}

// FuzzReadQcow2: no header makes the reader panic, allocate much, or accept what
// reaches outside of the file.
func FuzzReadQcow2(f *testing.F) {
	f.Add(header(nil)[:512], int64(4<<16))
	for _, c := range badHeaders {
		f.Add(header(c.change)[:1024], int64(4<<16))
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < -1 {
			size = -1
		}
		r := bytes.NewReader(b)
		q, err := storage.ReadQcow2(r, size)
		if err != nil {
			if code := cloud.CodeOf(err); code != cloud.CodeImageFormat && code != cloud.CodeImageTooBig {
				t.Fatalf("code %s: %v", code, err)
			}
			return
		}
		if _, err := q.HoldsData(r); err != nil {
			t.Fatal(err)
		}
		if q.CheckImage(limit) != nil {
			return
		}
		if err := q.CheckTables(r, int64(len(b))); err != nil && cloud.CodeOf(err) != cloud.CodeImageFormat {
			t.Fatal(err)
		}
		be := binary.BigEndian
		if be.Uint64(b[8:]) != 0 || be.Uint32(b[32:]) != 0 || be.Uint64(b[24:]) > limit || (q.Version == 3 && be.Uint64(b[72:])&^0x19 != 0) {
			t.Fatalf("accepted %+v", q)
		}
	})
}
