package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

// A fresh volume holds nothing but its size and the name of the image below, so
// all of one kind are the same bytes. To have libvirt make each starts a qemu-img,
// which forks a large process and waits for it: 15 to 25 ms. So the first is read
// back, and the next ones are written from that: 1 ms, whole or not there.

// mouldKind is what the bytes of a fresh volume depend on.
type mouldKind struct {
	size            int64
	backing, format string // "" for a blank one
}

func mouldOf(size int64, backing *libvirtxml.StorageVolumeBackingStore) mouldKind {
	k := mouldKind{size: size}
	if backing != nil {
		k.backing, k.format = backing.Path, backing.Format.Type
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
	maxMoulds     = 32
	maxMouldBytes = 4 << 20 // of a file; a fresh volume of 2 TiB has 0.3 MiB
	blockBytes    = 512
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

// learn takes the mould of a volume that libvirt has just made, which nobody has
// opened yet. One that cannot be read is none; libvirt makes the next one too.
func (ms *moulds) learn(k mouldKind, path string) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxMouldBytes {
		return
	}
	all, err := os.ReadFile(path)
	if err != nil || len(all) == 0 {
		return
	}
	m := &mould{length: int64(len(all))}
	zero := make([]byte, blockBytes)
	for at := 0; at < len(all); at += blockBytes {
		b := all[at:min(at+blockBytes, len(all))]
		if !bytes.Equal(b, zero[:len(b)]) {
			m.blocks = append(m.blocks, block{int64(at), bytes.Clone(b)})
		}
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.m == nil || len(ms.m) >= maxMoulds {
		ms.m = make(map[mouldKind]*mould)
	}
	ms.m[k] = m
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
