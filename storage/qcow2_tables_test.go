package storage_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/storage"
)

// judgeWhole is judge, with the tables.
func judgeWhole(b []byte) error {
	r := bytes.NewReader(b)
	q, err := storage.ReadQcow2(r, int64(len(b)))
	if err == nil {
		err = q.CheckImage(limit)
	}
	if err == nil {
		err = q.CheckTables(r, int64(len(b)))
	}
	return err
}

// disk is header with its reference count block, an L2 table and a data cluster.
func disk(change func(b []byte)) []byte {
	b := append(header(nil), make([]byte, 2<<16)...)
	u64(1<<16, 2<<16)(b)
	u64(3<<16, 1<<63|4<<16)(b)
	u64(4<<16, 1<<63|5<<16)(b)
	if change != nil {
		change(b)
	}
	return b
}

// cutDisk is the first n bytes of disk.
func cutDisk(n int) []byte { return disk(nil)[:n] }

func all(changes ...func([]byte)) func([]byte) {
	return func(b []byte) {
		for _, change := range changes {
			change(b)
		}
	}
}

func TestAQcow2WhoseTablesLeadNowhereIsRefused(t *testing.T) {
	const compressed, bits = 1 << 62, 54 // of the offset, with clusters of 2^16
	extended := all(u64(72, 1<<4), u32(36, 4), u64(4<<16, 0))
	for _, c := range []struct {
		name   string
		change func([]byte)
		ok     bool
	}{
		{"nothing", nil, true},
		{"a reference count block beyond the file", u64(1<<16, 6<<16), false},
		{"a reference count block off the grid", u64(1<<16, 2<<16+512), false},
		{"L1 entry beyond the file", u64(3<<16, 6<<16), false},
		{"L1 entry far beyond the file", u64(3<<16, 1<<55), false},
		{"L1 entry off the grid", u64(3<<16, 4<<16+512), false},
		{"L1 entry in the header", u64(3<<16, 512), false},
		{"L1 entry at the header", u64(3<<16, 1<<63), false},
		{"two L1 entries for one table", u64(3<<16+8, 4<<16), true},
		{"L1 entry that the disk does not need", all(u32(36, 3), u64(3<<16+16, 1<<55)), true},
		{"data beyond the file", u64(4<<16, 6<<16), false},
		{"data far beyond the file", u64(4<<16, 1<<55), false},
		{"data off the grid", u64(4<<16, 5<<16+512), false},
		{"data in the header", u64(4<<16, 512), false},
		{"zeros", u64(4<<16, 1), true},
		{"zeros with a place that is not filled", u64(4<<16, 6<<16|1), true},
		{"compressed data up to the end", u64(4<<16, compressed|1<<bits|6<<16-1000), true},
		{"compressed data beyond the end", u64(4<<16, compressed|2<<bits|6<<16-1000), false},
		{"compressed data in the header", u64(4<<16, compressed|512), false},
		{"compressed data far beyond the file", u64(4<<16, compressed|1<<bits-1), false},
		{"an extended entry", all(extended, u64(4<<16, 5<<16), u64(4<<16+8, 1<<32-1)), true},
		{"an extended entry beyond the file", all(extended, u64(4<<16, 6<<16), u64(4<<16+8, 1)), false},
		{"a disk of half sectors", u64(24, 1<<30-256), false},
	} {
		if err := judgeWhole(disk(c.change)); (err == nil) != c.ok || !c.ok && cloud.CodeOf(err) != cloud.CodeImageFormat {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestADataClusterMayBeShortWhereNothingWasWritten(t *testing.T) {
	const cut = 5<<16 + 4096
	last := u64(24, 8192<<16-61440) // the disk ends 4096 bytes into its last cluster
	for _, c := range []struct {
		name   string
		change func([]byte)
		ok     bool
	}{
		{"a whole cluster", nil, false},
		{"the disk's last cluster", all(last, u64(4<<16, 0), u64(5<<16-8, 5<<16)), true},
		{"another cluster of that disk", last, false},
		{"two subclusters", all(u64(72, 1<<4), u32(36, 4), u64(4<<16+8, 3)), true},
		{"three subclusters", all(u64(72, 1<<4), u32(36, 4), u64(4<<16+8, 7)), false},
	} {
		if err := judgeWhole(disk(c.change)[:cut]); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What qemu-img makes is taken whole, and in no shorter piece.
func TestAFileOfQEMUImgIsTakenWholeOnly(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img")
	}
	dir := t.TempDir()
	raw, path := filepath.Join(dir, "x.raw"), filepath.Join(dir, "x.qcow2")
	if err := os.WriteFile(raw, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"",
		"-o compat=0.10",
		"-o cluster_size=512",
		"-o cluster_size=2M",
		"-o preallocation=metadata",
		"-o extended_l2=on",
		"-c",
		"-c -o compression_type=zstd",
		"-c -o extended_l2=on",
	} {
		run(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, strings.Fields(args)...), raw, path)...)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := judgeWhole(b); err != nil {
			t.Errorf("convert %s: %v", args, err)
		}
		for _, n := range []int{len(b) / 2, len(b) - 64<<10, len(b) - 1} {
			if err := judgeWhole(b[:n]); cloud.CodeOf(err) != cloud.CodeImageFormat {
				t.Errorf("convert %s: %d of %d bytes: got %v", args, n, len(b), err)
			}
		}
	}
}

// sample is a disk of noise, of bytes that can be compressed, and of holes.
func sample() []byte {
	b := make([]byte, 6<<20)
	noise := rand.New(rand.NewPCG(1, 2))
	for at := 1 << 20; at < 2<<20; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], noise.Uint64())
	}
	for at := 4 << 20; at < len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], noise.Uint64()&0xff)
	}
	return b
}
