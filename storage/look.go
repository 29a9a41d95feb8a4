package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"lodge/cloud"
)

// state is what a file was found to be.
type state int

const (
	absent   state = iota
	halfMade       // begun, not finished, and no guest's bytes in it
	whole
	strange // not what its name says, but it may hold somebody's bytes
)

// LookDisks reports the disks by kind and id: those with the ids, or all when
// ids is nil. It reads the directory itself, so it is right after a file was
// removed by hand and while libvirt is down. A volume whose header is not
// finished is Partial, also while it is being made; what is strange is left out.
// The size is the virtual one, 0 of what is Partial; a seed's is that of its
// file. Returns CodeStorage when the directory cannot be read.
func (p *Pool) LookDisks(ctx context.Context, ids []string) (map[cloud.DiskKey]cloud.Disk, error) {
	var files []file
	if ids == nil {
		entries, err := os.ReadDir(p.o.Dir)
		if err != nil {
			return nil, fileError(err, "read the storage directory")
		}
		for _, e := range entries {
			if f, ok := parseName(e.Name()); ok {
				files = append(files, f)
			}
		}
	}
	for _, id := range ids {
		if validID(id) {
			files = append(files, filesOf(id)...)
		}
	}
	seen := make(map[cloud.DiskKey]cloud.Disk, len(files))
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, size, err := p.inspect(f)
		if err != nil {
			return nil, fileError(err, "look at "+f.name)
		}
		key := cloud.DiskKey{Kind: f.kind, ID: f.id}
		d := cloud.Disk{ID: f.id, Kind: f.kind, Path: p.path(f), Format: f.format, SizeBytes: size}
		switch _, twice := seen[key]; {
		case s == whole:
			seen[key] = d
		case s == halfMade && !twice: // a whole one under the other name counts
			d.SizeBytes, d.Partial = 0, true
			seen[key] = d
		}
	}
	return seen, nil
}

// inspect tells the state and the virtual size of a file.
func (p *Pool) inspect(f file) (state, int64, error) {
	r, err := os.Open(p.path(f))
	if errors.Is(err, fs.ErrNotExist) {
		return absent, 0, nil
	}
	if err != nil {
		return absent, 0, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return absent, 0, err
	}
	if !info.Mode().IsRegular() {
		return strange, 0, nil
	}
	if f.format == cloud.FormatRaw {
		return whole, info.Size(), nil // seeds and images come into view by rename, whole
	}
	q, err := ReadQcow2(r, info.Size())
	if f.kind == cloud.DiskImage {
		if err != nil {
			return strange, 0, nil
		}
		return whole, q.VirtualSize, nil
	}
	return p.volumeState(f, r, info.Size(), q, err), q.VirtualSize, nil
}

// smallest is what a qcow2 of 64 KiB clusters has before it has an L1 table:
// header, reference count table, reference count block.
const smallest = 3 << 16

// namesImage reports whether what is below an overlay is an image of lodge's. In
// which folder it was says nothing: an overlay that was moved, with its data dir or
// to another machine, names the old one, and nobody reads that name, because the
// whole chain is in each guest's definition.
func namesImage(backing string) bool {
	f, ok := parseName(filepath.Base(backing))
	return ok && f.kind == cloud.DiskImage
}

// volumeState judges a volume's file. Older versions had libvirt make it in place, through
// qemu-img, which writes the header with a size of zero, then the size, then the
// name of the backing file. So an overlay without a backing file was never
// finished, unless it holds data: then an operator flattened it.
func (p *Pool) volumeState(f file, r *os.File, size int64, q Qcow2, err error) state {
	if err != nil {
		if size <= smallest {
			return halfMade
		}
		return strange
	}
	if q.VirtualSize > 0 && (f.blank || namesImage(q.Backing)) {
		return whole
	}
	data, err := q.HoldsData(r)
	switch {
	case err != nil:
		return strange
	case !data:
		return halfMade
	case q.HasBacking:
		return strange // rebased by hand to something that lodge does not keep
	}
	return whole
}
