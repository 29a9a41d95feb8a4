package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/diskfs/go-diskfs/filesystem/fat12"
	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// seedLabel is what cloud-init's NoCloud data source looks for.
const seedLabel = "cidata"

// The smallest seed, and the limit that keeps it a FAT12 of 512-byte clusters.
const (
	minSeedBytes = 64 << 10
	maxSeedBytes = 1 << 20
)

// seedTime stands on every file, so that equal specs make equal bytes.
var seedTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// WriteSeed makes an instance's cloud-init seed, in place of the one it had.
// Nobody ever sees half of it. Returns CodeStorage when it is larger than 1 MiB
// or cannot be written, CodeDiskFull when there is no room.
func (p *Pool) WriteSeed(ctx context.Context, spec cloud.SeedSpec) error {
	if err := checkID(spec.ID); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	img, err := seedImage(spec)
	if err != nil {
		return &cloud.Error{Code: cloud.CodeStorage, Message: "The cloud-init data of the instance could not be packed.", Cause: err}
	}
	f := seedFile(spec.ID)
	if old, err := os.ReadFile(p.path(f)); err == nil && bytes.Equal(old, img) {
		return nil
	}
	if err := p.checkSpace(int64(len(img))); err != nil {
		return err
	}
	part, err := createPart(p.path(file{name: ".seed-" + spec.ID + partSuffix}))
	if err != nil {
		return err
	}
	defer part.Close()
	err = writeSeedFile(part, img)
	if err == nil {
		err = os.Rename(part.Name(), p.path(f))
	}
	if err != nil {
		_ = os.Remove(part.Name())
		return fileError(err, "write "+f.name)
	}
	return nil
}

// writeSeedFile puts the bytes on the disk before the rename gives them a name:
// after a power cut a named seed is a whole one.
func writeSeedFile(part *os.File, img []byte) error {
	if _, err := part.Write(img); err != nil {
		return err
	}
	return unix.Fdatasync(int(part.Fd()))
}

// seedImage packs the seed as a FAT file system without partitions. NoCloud
// takes FAT and ISO 9660 alike; every image that boots by UEFI mounts FAT. It
// wants both files, so that without user data there is a cloud-config of nothing:
// the library gives an empty file a cluster, which fsck does not like.
func seedImage(spec cloud.SeedSpec) ([]byte, error) {
	files := []struct{ name, content string }{
		{"meta-data", spec.MetaData},
		{"user-data", cmp.Or(spec.UserData, "#cloud-config\n{}\n")},
	}
	if spec.MetaData == "" {
		return nil, errors.New("seed without meta-data")
	}
	size := int64(minSeedBytes)
	for _, f := range files {
		size += (int64(len(f.content)) + 511) &^ 511
	}
	size = (size + 4095) &^ 4095
	if size > maxSeedBytes {
		return nil, fmt.Errorf("seed of %d bytes: the limit is %d", size, maxSeedBytes)
	}
	m := newMemory(size)
	fs, err := fat12.Create(m, size, 0, 512, seedLabel, true)
	if err != nil {
		return nil, fmt.Errorf("make the seed's file system: %w", err)
	}
	for _, f := range files {
		if err := addFile(fs, "/"+f.name, f.content); err != nil {
			return nil, fmt.Errorf("add %s to the seed: %w", f.name, err)
		}
	}
	return m.b, nil
}

func addFile(fs *fat12.FileSystem, path, content string) error {
	w, err := fs.OpenFile(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return fs.Chtimes(path, seedTime, seedTime, seedTime)
}
