package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// CreateDisk makes a volume: a qcow2 overlay on an image, or a blank qcow2 when
// the spec names no image. qemu-img makes the mould of each kind, and the volumes
// are cast from that (mould.go). It returns nil when the volume is there already, and
// makes it anew when a crash left it half-made. Returns CodeStorage when the
// image is missing or larger than the volume, or when another file is in the
// way, which is left alone; CodeDiskFull when there is no room; CodeHypervisor
// and CodeTimeout as virt.Call does.
func (p *Pool) CreateDisk(ctx context.Context, spec cloud.DiskSpec) error {
	if err := checkID(spec.ID); err != nil {
		return err
	}
	f := volumeFile(spec.ID, spec.ImageID == "")
	size := int64(spec.SizeGiB) << 30
	if spec.SizeGiB <= 0 {
		return cloud.Errorf(cloud.CodeInternal, "A disk of %d GiB cannot be made.", spec.SizeGiB)
	}
	backing, err := p.backing(spec, size)
	if err != nil {
		return err
	}
	switch s, has, err := p.inspect(f); {
	case err != nil:
		return fileError(err, "look at "+f.name)
	case s == whole && has == size:
		return nil
	case s == whole:
		return cloud.Errorf(cloud.CodeStorage, "The disk exists with %d GiB instead of %d GiB; it was left as it is.", has>>30, spec.SizeGiB)
	case s == strange:
		return &cloud.Error{Code: cloud.CodeStorage, Cause: fmt.Errorf("%s is no volume of lodge", p.path(f)),
			Message: "Another file is where the disk should be; it was left alone, and an operator has to look at it."}
	}
	if err := p.checkSpace(0); err != nil {
		return err
	}
	m := p.moulds.get(mouldOf(size, backing))
	if m == nil {
		// libvirt gets its pool with the first, for people who look with virsh.
		if err := p.withPool(ctx, "ensure pool "+f.name, started); err != nil {
			return diskError(err, "The disk could not be made on the host.")
		}
		if m, err = p.makeMould(ctx, f, size, backing); err != nil {
			return err
		}
		p.moulds.keep(mouldOf(size, backing), m)
	}
	return p.cast(f, m)
}

// backing finds the image below a volume of size bytes; nil for a blank one.
func (p *Pool) backing(spec cloud.DiskSpec, size int64) (*below, error) {
	if spec.ImageID == "" {
		return nil, nil
	}
	if err := checkID(spec.ImageID); err != nil {
		return nil, err
	}
	img := imageFile(spec.ImageID, spec.ImageFormat)
	s, has, err := p.inspect(img)
	switch {
	case err != nil:
		return nil, fileError(err, "look at "+img.name)
	case s != whole:
		return nil, cloud.Errorf(cloud.CodeStorage, "The image is not on this host, or not readable; import it again.")
	case has > size:
		return nil, cloud.Errorf(cloud.CodeStorage, "The image's disk has %d GiB and does not fit on one of %d GiB.", (has+1<<30-1)>>30, spec.SizeGiB)
	}
	return &below{path: p.path(img), format: img.format}, nil
}

// RemoveDisk removes a volume, seed or image, finished or not, and returns nil
// when nothing of it is there. A guest that still uses it keeps its open file.
// Returns CodeStorage when a file stays.
func (p *Pool) RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if kind == cloud.DiskImage {
		if err := p.removePart(id); err != nil {
			return err
		}
	}
	for _, f := range filesOf(id) {
		if f.kind != kind {
			continue
		}
		_, err := os.Lstat(p.path(f))
		there := err == nil
		if err := remove(p.path(f)); err != nil {
			return fileError(err, "remove "+f.name)
		}
		if there {
			p.tellLibvirt(ctx, f)
		}
	}
	return nil
}

// tellLibvirt lets libvirt's list of the pool follow. What libvirt believes is
// for `virsh vol-list` only: when it cannot be told now, its next refresh or
// start finds out. So there is no error.
func (p *Pool) tellLibvirt(ctx context.Context, f file) {
	_ = virt.Do(ctx, p.link, "forget volume "+f.name, func(c *libvirt.Connect) error {
		sp, err := c.LookupStoragePoolByName(p.name)
		if err != nil {
			return err
		}
		defer sp.Free()
		return p.forget(sp, f)
	})
}

// forget takes a volume off libvirt's list, together with its file if there is
// one. libvirt deletes a volume whose file is gone without a complaint.
func (p *Pool) forget(sp *libvirt.StoragePool, f file) error {
	vol, err := sp.LookupStorageVolByName(f.name)
	if virt.NotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer vol.Free()
	return vol.Delete(0)
}

// remove unlinks a file; one that is gone already is fine.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// diskError sorts what libvirt said about a disk.
func diskError(err error, message string) error {
	var e *cloud.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case virt.Says(err, "No space left") || virt.Says(err, "Disk quota exceeded"):
		return diskFull(err)
	}
	return &cloud.Error{Code: cloud.CodeStorage, Message: message, Cause: err}
}
