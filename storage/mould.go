package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// A fresh volume holds nothing but its size and the name of the image below, so
// all of one kind are the same bytes. qemu-img makes one of each kind, which
// is thrown away once it is read back; the volumes are written from that: 1 ms,
// whole or not there.

// mouldKind is what the bytes of a fresh volume depend on.
type mouldKind struct {
	size            int64
	backing, format string // "" for a blank one
}

// below is the image that a volume lies on.
type below struct {
	path   string
	format cloud.ImageFormat
}

func mouldOf(size int64, backing *below) mouldKind {
	k := mouldKind{size: size}
	if backing != nil {
		k.backing, k.format = backing.path, string(backing.format)
	}
	return k
}

// mould is a fresh volume without its zeros.
type mould struct {
	length int64
	blocks []block
}

type block struct {
	at    int64
	bytes []byte
}

const (
	maxMoulds  = 32 // of 1.2 MiB at most without their zeros
	blockBytes = 512
)

// moulds are those of the kinds that were made since the start.
type moulds struct {
	mu sync.Mutex
	m  map[mouldKind]*mould
}

func (ms *moulds) get(k mouldKind) *mould {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.m[k]
}

func (ms *moulds) keep(k mouldKind, m *mould) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.m == nil || len(ms.m) >= maxMoulds {
		ms.m = make(map[mouldKind]*mould)
	}
	ms.m[k] = m
}

// makeMould has qemu-img make a volume under a name that no guest is given.
//
// With -u qemu-img does not open the image below: that one's bytes are a
// stranger's, it was judged when it came, and its size is known. So nothing
// of QEMU's reads them before the guest's own QEMU, which is confined.
func (p *Pool) makeMould(ctx context.Context, f file, size int64, backing *below) (*mould, error) {
	part, err := createPart(p.path(file{name: ".mould-" + f.id + partSuffix}))
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = os.Remove(part.Name())
		_ = part.Close()
	}()
	args := []string{"create", "-q", "-f", "qcow2", "-o", "compat=1.1"}
	if backing != nil {
		args = append(args, "-u", "-b", backing.path, "-F", string(backing.format))
	}
	if err := qemuImg(ctx, append(args, "--", part.Name(), strconv.FormatInt(size, 10))...); err != nil {
		return nil, err
	}
	m, err := readMould(part)
	if err != nil {
		return nil, fileError(err, "read "+part.Name())
	}
	if q, err := ReadQcow2(part, m.length); err != nil || q.VirtualSize != size || q.HasBacking != (backing != nil) {
		return nil, cloud.Wrap(cloud.CodeStorage, fmt.Errorf("%s: qemu-img made it and it is not right: %d bytes: %w", part.Name(), q.VirtualSize, errors.Join(err, fs.ErrInvalid)),
			"The disk could not be made on the host.")
	}
	return m, nil
}

// readMould reads a fresh volume, which nobody has opened yet.
func readMould(from *os.File) (*mould, error) {
	info, err := from.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || info.Size() > imgFileBytes {
		return nil, fmt.Errorf("a fresh volume of %d bytes: %w", info.Size(), fs.ErrInvalid)
	}
	all := make([]byte, info.Size())
	if _, err := from.ReadAt(all, 0); err != nil {
		return nil, err
	}
	m := &mould{length: int64(len(all))}
	zero := make([]byte, blockBytes)
	for at := 0; at < len(all); at += blockBytes {
		b := all[at:min(at+blockBytes, len(all))]
		if !bytes.Equal(b, zero[:len(b)]) {
			m.blocks = append(m.blocks, block{int64(at), bytes.Clone(b)})
		}
	}
	return m, nil
}

// cast writes a volume. It gets its name when it is whole, and takes nobody's
// place: what a crash left half-made under the name was judged to hold nothing.
func (p *Pool) cast(f file, m *mould) error {
	part, err := createPart(p.path(file{name: ".volume-" + f.id + partSuffix}))
	if err != nil {
		return err
	}
	defer part.Close()
	err = m.write(part)
	if err == nil {
		err = p.giveName(part, f)
	}
	if err != nil {
		_ = os.Remove(part.Name())
	}
	if errors.Is(err, fs.ErrExist) {
		return &cloud.Error{Code: cloud.CodeStorage, Cause: fmt.Errorf("%s: %w", p.path(f), err),
			Message: "Another file is where the disk should be; it was left alone, and an operator has to look at it."}
	}
	return fileError(err, "write "+f.name)
}

func (m *mould) write(to *os.File) error {
	for _, b := range m.blocks {
		if _, err := to.WriteAt(b.bytes, b.at); err != nil {
			return err
		}
	}
	return to.Truncate(m.length)
}

// giveName renames the part to the volume.
func (p *Pool) giveName(part *os.File, f file) error {
	if s, _, err := p.inspect(f); err == nil && s == halfMade {
		if err := remove(p.path(f)); err != nil {
			return err
		}
	}
	err := unix.Renameat2(unix.AT_FDCWD, part.Name(), unix.AT_FDCWD, p.path(f), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot promise it
		return os.Rename(part.Name(), p.path(f))
	}
	return err
}
