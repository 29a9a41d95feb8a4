package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"lodge/cloud"
)

// What a new overlay or blank disk, and a seed, take on the host, in bytes.
const (
	emptyDisk = 200 << 10
	seedBytes = 400 << 10
)

// LookDisks reports disks by kind and id: all when ids is nil.
func (h *Host) LookDisks(ctx context.Context, ids []string) (map[cloud.DiskKey]cloud.Disk, error) {
	out := map[cloud.DiskKey]cloud.Disk{}
	err := h.do(ctx, CallLookDisks, "", func() error {
		if ids == nil {
			for key, d := range h.disks {
				out[key] = d
			}
			return nil
		}
		for _, id := range ids {
			for _, kind := range []cloud.DiskKind{cloud.DiskVolume, cloud.DiskSeed, cloud.DiskImage} {
				key := cloud.DiskKey{Kind: kind, ID: id}
				if d, there := h.disks[key]; there {
					out[key] = d
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at disks: %w", err)
	}
	return out, nil
}

// CreateDisk makes an overlay on an image, or a blank disk. One that is there
// stays as it is.
func (h *Host) CreateDisk(ctx context.Context, spec cloud.DiskSpec) error {
	err := h.do(ctx, CallCreateDisk, "", func() error {
		size := int64(spec.SizeGiB) << 30
		if spec.ImageID != "" {
			image, there := h.disks[cloud.DiskKey{Kind: cloud.DiskImage, ID: spec.ImageID}]
			if !there {
				return cloud.Errorf(cloud.CodeStorage, "The image of the disk is not on the host.")
			}
			size = max(size, image.SizeBytes)
		}
		return h.add(cloud.DiskVolume, spec.ID, cloud.FormatQcow2, size, emptyDisk)
	})
	return diskErr(err, "create disk", spec.ID)
}

// WriteSeed writes an instance's seed.
func (h *Host) WriteSeed(ctx context.Context, spec cloud.SeedSpec) error {
	err := h.do(ctx, CallWriteSeed, "", func() error {
		if err := h.add(cloud.DiskSeed, spec.ID, cloud.FormatRaw, seedBytes, seedBytes); err != nil {
			return err
		}
		h.seeds[spec.ID] = spec
		return nil
	})
	return diskErr(err, "write seed", spec.ID)
}

// RemoveDisk removes a disk, a seed or an image, or finds it gone.
func (h *Host) RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error {
	err := h.do(ctx, CallRemoveDisk, "", func() error {
		h.drop(cloud.DiskKey{Kind: kind, ID: id})
		return nil
	})
	return diskErr(err, "remove disk", id)
}

// ImportImage takes all bytes of an image or nothing. It knows raw from qcow2
// by the first sector and refuses a qcow2 with a backing file; the real hand
// looks closer.
func (h *Host) ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(done int64)) (cloud.ImageInfo, error) {
	info, err := swallow(ctx, img, r, progress)
	if err != nil {
		return cloud.ImageInfo{}, diskErr(err, "import image", img.ID)
	}
	err = h.do(ctx, CallImportImage, "", func() error {
		return h.add(cloud.DiskImage, img.ID, info.Format, info.VirtualSize, info.SizeBytes)
	})
	if err != nil {
		return cloud.ImageInfo{}, diskErr(err, "import image", img.ID)
	}
	return info, nil
}

// swallow reads the bytes and finds out about them.
func swallow(ctx context.Context, img cloud.Image, r io.Reader, progress func(done int64)) (cloud.ImageInfo, error) {
	sum := sha256.New()
	var head []byte
	var done int64
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return cloud.ImageInfo{}, ctx.Err()
		}
		n, err := r.Read(buf)
		if n > 0 {
			head = append(head, buf[:min(n, max(0, 512-len(head)))]...)
			_, _ = sum.Write(buf[:n]) // a hash takes everything
			done += int64(n)
			if progress != nil {
				progress(done)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return cloud.ImageInfo{}, cloud.Wrap(cloud.CodeImageTruncated, err, "%d of %d bytes of the image arrived; send it again.", done, img.BytesTotal)
		}
		if err != nil {
			return cloud.ImageInfo{}, err
		}
	}
	return judge(img, head, done, hex.EncodeToString(sum.Sum(nil)))
}

func judge(img cloud.Image, head []byte, size int64, sum string) (cloud.ImageInfo, error) {
	info := cloud.ImageInfo{Format: cloud.FormatRaw, SHA256: sum, SizeBytes: size, VirtualSize: size}
	if img.BytesTotal > size {
		return info, cloud.Errorf(cloud.CodeImageTruncated, "The image has %d bytes, %d were promised.", size, img.BytesTotal)
	}
	if img.SHA256 != "" && !strings.EqualFold(img.SHA256, sum) {
		return info, cloud.Errorf(cloud.CodeChecksum, "The image's sha256 is %s, %s was promised.", sum, img.SHA256)
	}
	if size < 512 {
		return info, cloud.Errorf(cloud.CodeImageFormat, "The image is too short to be a disk.")
	}
	if bytes.HasPrefix(head, []byte("QFI\xfb")) {
		// Offsets as in QEMU's docs/interop/qcow2.txt, big endian.
		if binary.BigEndian.Uint64(head[8:]) != 0 {
			return info, cloud.Errorf(cloud.CodeImageUnsafe, "The image has a backing file; flatten it first.")
		}
		info.Format = cloud.FormatQcow2
		info.VirtualSize = int64(binary.BigEndian.Uint64(head[24:]) & (1<<62 - 1))
		return info, nil
	}
	if head[510] != 0x55 || head[511] != 0xaa {
		return info, cloud.Errorf(cloud.CodeImageFormat, "The image is no disk: it is not a qcow2, and its first sector has no boot signature.")
	}
	return info, nil
}

// add puts a disk on the host unless it is there. Called with the lock held.
func (h *Host) add(kind cloud.DiskKind, id string, format cloud.ImageFormat, size, cost int64) error {
	key := cloud.DiskKey{Kind: kind, ID: id}
	if _, there := h.disks[key]; there {
		return nil
	}
	if cost > h.free {
		return cloud.Errorf(cloud.CodeDiskFull, "The host has no space left for disks.")
	}
	path := "/sim/" + string(kind) + "/" + id
	h.free -= cost
	h.disks[key] = cloud.Disk{ID: id, Kind: kind, Path: path, Format: format, SizeBytes: size}
	h.sizes[key] = cost
	h.paths[path] = key
	return nil
}

// drop takes a disk off the host. Called with the lock held.
func (h *Host) drop(key cloud.DiskKey) bool {
	d, there := h.disks[key]
	if there {
		h.free += h.sizes[key]
		delete(h.disks, key)
		delete(h.sizes, key)
		delete(h.paths, d.Path)
		if key.Kind == cloud.DiskSeed {
			delete(h.seeds, key.ID)
		}
	}
	return there
}

func diskErr(err error, what, id string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, id, err)
}
