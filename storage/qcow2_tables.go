package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"lodge/cloud"
)

// The parts of an entry of an L1, L2 or reference count table.
const (
	entryOffset     = 0x00fffffffffffe00 // of an L1 or a standard L2 entry
	blockOffset     = ^uint64(0x1ff)     // of an entry of the reference count table
	entryCompressed = 1 << 62
	entryZero       = 1 << 0 // version 3: reads as zeros, wherever it points
	sector          = 512    // compressed clusters are counted in these
	subclusters     = 32     // of a cluster with an extended L2 entry
)

func cutOff(format string, args ...any) error {
	return cloud.Errorf(cloud.CodeImageFormat, "The qcow2 is cut off or damaged: %s; copy it again, or look at it with: qemu-img check.", fmt.Sprintf(format, args...))
}

// CheckTables follows the tables of a qcow2 that CheckImage takes and checks
// that all they point at is in the file, which has size bytes. It reads each
// table once and no data; the disk's size bounds how many there are. Returns
// CodeImageFormat when something is missing.
//
// QEMU writes whole clusters, so a data cluster may end beyond the file in two
// cases only: the disk ends within it, or its last subclusters were never
// written.
func (q Qcow2) CheckTables(r io.ReaderAt, size int64) error {
	w := walk{q: q, r: r, size: size}
	if err := w.references(); err != nil {
		return err
	}
	tables, last, err := w.l1()
	if err != nil {
		return err
	}
	buf := make([]byte, q.cluster())
	for _, at := range tables {
		if err := w.read("an L2 table", buf, at); err != nil {
			return err
		}
		if err := w.l2(buf, at == last); err != nil {
			return err
		}
	}
	return nil
}

// walk is one walk through the tables of a file.
type walk struct {
	q    Qcow2
	r    io.ReaderAt
	size int64
}

// table reads n bytes at off, and takes no memory for what is not in the file.
func (w walk) table(what string, off, n int64) ([]byte, error) {
	if off > w.size-n {
		return nil, cutOff("%s at %d leaves the file of %d bytes", what, off, w.size)
	}
	b := make([]byte, n)
	return b, w.read(what, b, off)
}

// read fills b from the file at off.
func (w walk) read(what string, b []byte, off int64) error {
	if n, err := w.r.ReadAt(b, off); n < len(b) {
		if errors.Is(err, io.EOF) {
			return cutOff("%s at %d is not whole", what, off)
		}
		return fmt.Errorf("read %s of a qcow2: %w", what, err)
	}
	return nil
}

// place checks that a cluster may begin at off and has need bytes in the file.
func (w walk) place(what string, off uint64, need int64) error {
	switch c := uint64(w.q.cluster()); {
	case off < c || off%c != 0:
		return cutOff("%s stands at %d, which is no place for one", what, off)
	case off > uint64(w.size) || int64(off) > w.size-need:
		return cutOff("%s at %d leaves the file of %d bytes", what, off, w.size)
	}
	return nil
}

// references checks where the blocks of reference counts are.
func (w walk) references() error {
	b, err := w.table("its reference count table", w.q.RefOffset, w.q.RefBytes)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[8:] {
		off := binary.BigEndian.Uint64(b) & blockOffset
		if off == 0 {
			continue
		}
		if err := w.place("a reference count block", off, w.q.cluster()); err != nil {
			return err
		}
	}
	return nil
}

// l1 reads the L1 table as far as the disk needs it. It gives the places of the
// L2 tables in the order of the file, each once, and that of the last L1 entry.
func (w walk) l1() (tables []int64, last int64, err error) {
	b, err := w.table("its L1 table", w.q.L1Offset, w.q.l1Needed()*8)
	if err != nil {
		return nil, 0, err
	}
	for ; len(b) > 0; b = b[8:] {
		entry := binary.BigEndian.Uint64(b)
		last = int64(entry & entryOffset)
		if entry == 0 {
			continue
		}
		if err := w.place("an L2 table", entry&entryOffset, w.q.cluster()); err != nil {
			return nil, 0, err
		}
		tables = append(tables, last)
	}
	slices.Sort(tables)
	return slices.Compact(tables), last, nil
}

// l2 checks the entries of an L2 table. The last table holds the disk's end.
func (w walk) l2(b []byte, last bool) error {
	step := int(w.q.l2Entry())
	ends, tail := -1, w.q.VirtualSize%w.q.cluster()
	if last && tail != 0 {
		ends = int(w.q.VirtualSize / w.q.cluster() % (int64(len(b)) / int64(step)) * int64(step))
	}
	for at := 0; at < len(b); at += step {
		entry := binary.BigEndian.Uint64(b[at:])
		if entry == 0 {
			continue
		}
		if entry&entryCompressed != 0 {
			if err := w.compressed(entry); err != nil {
				return err
			}
			continue
		}
		off := entry & entryOffset
		if off == 0 {
			continue
		}
		need := w.needed(entry, b[at:at+step])
		if at == ends {
			need = min(need, tail)
		}
		if err := w.place("a data cluster", off, need); err != nil {
			return err
		}
	}
	return nil
}

// needed is how many bytes of a data cluster must be in the file.
func (w walk) needed(entry uint64, b []byte) int64 {
	if len(b) == 16 {
		written := bits.Len32(binary.BigEndian.Uint32(b[12:]))
		return int64(written) * w.q.cluster() / subclusters
	}
	if w.q.Version == 3 && entry&entryZero != 0 {
		return 0
	}
	return w.q.cluster()
}

// compressed checks where the bytes of a compressed cluster are. They begin
// anywhere and are counted in whole sectors; QEMU fills the file's last one.
func (w walk) compressed(entry uint64) error {
	shift := 62 - (w.q.ClusterBits - 8)
	off := int64(entry & (1<<shift - 1))
	sectors := int64(entry&(entryCompressed-1)>>shift) + 1
	if off < w.q.cluster() {
		return cutOff("a compressed cluster stands at %d, in the header", off)
	}
	if off > w.size || off&^(sector-1)+sectors*sector > w.size {
		return cutOff("a compressed cluster at %d leaves the file of %d bytes", off, w.size)
	}
	return nil
}
