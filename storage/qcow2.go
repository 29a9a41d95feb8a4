package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lodge/cloud"
)

// Qcow2 is what the header of a qcow2 file says, as laid out in QEMU's
// docs/interop/qcow2.txt.
type Qcow2 struct {
	Version      uint32
	ClusterBits  uint32
	VirtualSize  int64  // bytes
	Backing      string // name of the file below, "" none
	HasBacking   bool   // also when the name is empty or unreadable
	BackingFmt   string // "" not said: QEMU would guess
	Encryption   uint32 // 0 none, 1 AES, 2 LUKS
	Snapshots    uint32
	Incompatible uint64
	DataFile     bool // named or asked for: bytes in another file
	L1Offset     int64
	L1Entries    uint32
	RefOffset    int64 // of the reference count table
	RefBytes     int64
}

// The incompatible features of version 3.
const (
	featDirty    = 1 << 0
	featCorrupt  = 1 << 1
	featDataFile = 1 << 2
	featZstd     = 1 << 3
	featExtL2    = 1 << 4
	featKnown    = featDirty | featCorrupt | featDataFile | featZstd | featExtL2
)

// The limits QEMU itself sets (block/qcow2.h), or below them.
const (
	minClusterBits   = 9
	maxClusterBits   = 21
	maxL1Bytes       = 32 << 20
	maxRefTableBytes = 8 << 20
	maxBackingName   = 1023
	maxHeaderBytes   = 64 << 10 // header and extensions; in practice some hundred
)

// The header extensions that matter here.
const (
	extEnd        = 0
	extBackingFmt = 0xe2792aca
	extLUKS       = 0x0537be77
	extDataFile   = 0x44415441
)

const qcow2Magic = "QFI\xfb"

func damaged(format string, args ...any) error {
	return cloud.Errorf(cloud.CodeImageFormat, "The qcow2 file is damaged: %s.", fmt.Sprintf(format, args...))
}

// ReadQcow2 reads the header of a qcow2 file and checks that it is sane. size is
// the length of the file in bytes, -1 when it is not known yet. It allocates
// little, whatever the header claims. Returns CodeImageFormat when it is no
// qcow2 of version 2 or 3 or is damaged. Whether a sane file is also wanted is
// for CheckImage to say.
func ReadQcow2(r io.ReaderAt, size int64) (Qcow2, error) {
	var q Qcow2
	b := make([]byte, 112)
	n, err := r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return q, fmt.Errorf("read the qcow2 header: %w", err)
	}
	if n < 8 || string(b[:4]) != qcow2Magic {
		return q, cloud.Errorf(cloud.CodeImageFormat, "The file is not a qcow2: it does not begin as one.")
	}
	be := binary.BigEndian
	q.Version = be.Uint32(b[4:])
	switch {
	case q.Version == 1:
		return q, cloud.Errorf(cloud.CodeImageFormat, "The file is a qcow of the old version 1; convert it to qcow2 first.")
	case q.Version != 2 && q.Version != 3:
		return q, cloud.Errorf(cloud.CodeImageFormat, "The qcow2 has version %d; lodge knows 2 and 3.", q.Version)
	}
	headerLen := int64(72)
	if q.Version == 3 {
		headerLen = 104
	}
	if int64(n) < headerLen {
		return q, damaged("its header is cut off after %d bytes", n)
	}

	q.ClusterBits = be.Uint32(b[20:])
	if q.ClusterBits < minClusterBits || q.ClusterBits > maxClusterBits {
		return q, damaged("a cluster of 2^%d bytes is outside 2^9 to 2^21", q.ClusterBits)
	}
	virtual := be.Uint64(b[24:])
	if virtual > 1<<62 {
		return q, cloud.Errorf(cloud.CodeImageTooBig, "The image claims a disk of %d bytes, which no disk has.", virtual)
	}
	q.VirtualSize = int64(virtual)
	q.Encryption = be.Uint32(b[32:])
	q.L1Entries = be.Uint32(b[36:])
	q.Snapshots = be.Uint32(b[60:])
	if q.Version == 3 {
		q.Incompatible = be.Uint64(b[72:])
		if order := be.Uint32(b[96:]); order > 6 {
			return q, damaged("reference counts of 2^%d bits are more than 64", order)
		}
		headerLen = int64(be.Uint32(b[100:]))
		if headerLen < 104 || headerLen%8 != 0 || headerLen > min(q.cluster(), maxHeaderBytes) {
			return q, damaged("its header claims a length of %d bytes", headerLen)
		}
	}
	q.DataFile = q.Incompatible&featDataFile != 0
	if err := q.readTables(b, size); err != nil {
		return q, err
	}
	if err := q.readBacking(r, be.Uint64(b[8:]), be.Uint32(b[16:])); err != nil {
		return q, err
	}
	return q, q.readExtensions(r, headerLen, be.Uint64(b[8:]))
}

func (q *Qcow2) cluster() int64 { return 1 << q.ClusterBits }

// l2Entry is how long an entry of an L2 table is.
func (q *Qcow2) l2Entry() int64 {
	if q.Incompatible&featExtL2 != 0 {
		return 16
	}
	return 8
}

// l1Needed is how many L1 entries the disk needs. Each covers a cluster full of
// L2 entries: at least 2^15, at most 2^39 bytes.
func (q *Qcow2) l1Needed() int64 {
	if q.VirtualSize == 0 {
		return 0
	}
	return (q.VirtualSize-1)/(q.cluster()/q.l2Entry()*q.cluster()) + 1
}

// readTables checks where the tables are, and that they can hold what is claimed.
func (q *Qcow2) readTables(b []byte, size int64) error {
	be := binary.BigEndian
	l1Off, refOff := be.Uint64(b[40:]), be.Uint64(b[48:])
	refBytes := int64(be.Uint32(b[56:])) << q.ClusterBits
	l1Bytes := int64(q.L1Entries) * 8

	if q.Incompatible&featExtL2 != 0 && q.ClusterBits < 14 {
		return damaged("extended L2 entries need clusters of 16 KiB at least")
	}
	if l1Bytes > maxL1Bytes {
		return damaged("its L1 table has %d entries, more than QEMU takes", q.L1Entries)
	}
	if need := q.l1Needed(); int64(q.L1Entries) < need {
		if need*8 > maxL1Bytes {
			return cloud.Errorf(cloud.CodeImageTooBig, "The image claims a disk of %d bytes, which its clusters cannot hold.", q.VirtualSize)
		}
		return damaged("its L1 table has %d entries and a disk of %d bytes needs %d", q.L1Entries, q.VirtualSize, need)
	}
	if refBytes == 0 || refBytes > maxRefTableBytes {
		return damaged("its reference count table has %d bytes", refBytes)
	}
	for _, t := range []struct {
		what string
		off  uint64
		len  int64
	}{{"L1 table", l1Off, l1Bytes}, {"reference count table", refOff, refBytes}} {
		if t.len == 0 {
			continue
		}
		if t.off == 0 || t.off > 1<<62 || int64(t.off)%q.cluster() != 0 {
			return damaged("its %s stands at %d, which is no place for one", t.what, t.off)
		}
		// The tail of the last cluster may be missing from the file.
		if size >= 0 && int64(t.off) >= size {
			return damaged("its %s stands beyond the end of the file; it was probably cut off", t.what)
		}
	}
	q.L1Offset, q.RefOffset, q.RefBytes = int64(l1Off), int64(refOff), refBytes
	return nil
}

func (q *Qcow2) readBacking(r io.ReaderAt, off uint64, n uint32) error {
	if off == 0 {
		return nil
	}
	q.HasBacking = true
	if n > maxBackingName || off > uint64(q.cluster()) {
		return damaged("the name of its backing file has %d bytes at %d", n, off)
	}
	name := make([]byte, n)
	if _, err := r.ReadAt(name, int64(off)); err != nil && !(errors.Is(err, io.EOF) && n == 0) {
		return damaged("the name of its backing file is cut off")
	}
	q.Backing = string(name)
	return nil
}

// readExtensions walks the header extensions: from the end of the header to the
// backing file's name, or to the end of the first cluster.
func (q *Qcow2) readExtensions(r io.ReaderAt, off int64, backing uint64) error {
	end := min(q.cluster(), maxHeaderBytes)
	if backing != 0 {
		end = min(end, int64(backing))
	}
	var head [8]byte
	for off+8 <= end {
		if _, err := r.ReadAt(head[:], off); err != nil {
			return nil // a short file: no more extensions
		}
		kind, n := binary.BigEndian.Uint32(head[:]), int64(binary.BigEndian.Uint32(head[4:]))
		if kind == extEnd {
			return nil
		}
		off += 8
		if n > end-off {
			return damaged("a header extension of %d bytes leaves the header", n)
		}
		switch kind {
		case extDataFile:
			q.DataFile = true
		case extLUKS:
			q.Encryption = max(q.Encryption, 2)
		case extBackingFmt:
			b := make([]byte, min(n, 64))
			if _, err := r.ReadAt(b, off); err != nil {
				return damaged("the format of its backing file is cut off")
			}
			q.BackingFmt = string(b)
		}
		off += (n + 7) &^ 7
	}
	return nil
}

// CheckImage says whether a qcow2 may become an image: all of its bytes are in
// this file, nothing in it is secret or unknown, and its disk is no larger than
// limit bytes. Returns CodeImageUnsafe, CodeImageTooBig or CodeImageFormat.
func (q Qcow2) CheckImage(limit int64) error {
	refuse := func(format string, args ...any) error {
		return cloud.Errorf(cloud.CodeImageUnsafe, format, args...)
	}
	switch {
	case q.HasBacking:
		return refuse("The qcow2 needs a backing file; flatten it with: qemu-img convert -O qcow2.")
	case q.DataFile:
		return refuse("The qcow2 keeps its data in another file; flatten it with: qemu-img convert -O qcow2.")
	case q.Encryption != 0:
		return refuse("The qcow2 is encrypted; lodge could not start a guest from it.")
	case q.Incompatible&^featKnown != 0:
		return refuse("The qcow2 uses features that lodge does not know (mask %#x).", q.Incompatible&^featKnown)
	case q.Incompatible&featCorrupt != 0:
		return damaged("QEMU has marked it as corrupt; repair it with: qemu-img check -r all")
	case q.Snapshots != 0:
		return refuse("The qcow2 holds internal snapshots (%d); leave them behind with: qemu-img convert -O qcow2.", q.Snapshots)
	case q.VirtualSize == 0:
		return damaged("its disk has no bytes")
	case q.VirtualSize%sector != 0:
		return damaged("its disk of %d bytes is not made of whole sectors", q.VirtualSize)
	case q.VirtualSize > limit:
		return cloud.Errorf(cloud.CodeImageTooBig, "The image's disk has %d GiB; this host takes images up to %d GiB.",
			(q.VirtualSize+1<<30-1)>>30, limit>>30)
	}
	return nil
}

// HoldsData reports whether the file's L1 table points anywhere: whether the
// guest, or anybody, ever wrote to this disk.
func (q Qcow2) HoldsData(r io.ReaderAt) (bool, error) {
	t := io.NewSectionReader(r, q.L1Offset, int64(q.L1Entries)*8)
	b := make([]byte, 4096)
	for {
		n, err := t.Read(b)
		for _, c := range b[:n] {
			if c != 0 {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil // also when the file ends before: nothing was written
		}
		if err != nil {
			return false, err
		}
	}
}
