package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/virt"
)

// Options say where the bytes are and how many there may be. Zero values take
// the defaults.
type Options struct {
	URI  string     // libvirt's, when Link is nil
	Link *virt.Link // shared with other rooms; nil: one of its own
	Dir  string     // where everything is kept; made when missing

	MaxImageBytes   int64 // of an image file; default 64 GiB
	MaxVirtualBytes int64 // that an image may claim as its size; default 2 TiB
	MinFreeBytes    int64 // left for the guests that run; default 256 MiB
}

// Pool is the storage of one host.
type Pool struct {
	o       Options
	link    *virt.Link
	ownLink bool
	name    string // of the libvirt pool
	moulds  moulds
}

// Open takes the directory into use: makes it when it is missing and removes
// what a crash left half-made. It needs no answer from libvirt; the libvirt
// pool is made with the first disk.
func Open(o Options) (*Pool, error) {
	if o.MaxImageBytes <= 0 {
		o.MaxImageBytes = 64 << 30
	}
	if o.MaxVirtualBytes <= 0 {
		o.MaxVirtualBytes = 2 << 40
	}
	if o.MinFreeBytes <= 0 {
		o.MinFreeBytes = 256 << 20
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, fmt.Errorf("storage directory %q: %w", o.Dir, errors.Join(err, os.ErrInvalid))
	}
	o.Dir = dir
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	p := &Pool{o: o, link: o.Link, name: poolName(dir)}
	if err := p.sweep(); err != nil {
		return nil, err
	}
	if p.link == nil {
		p.link, p.ownLink = virt.Open(virt.Options{URI: o.URI}), true
	}
	return p, nil
}

// Close gives up the link if it is the pool's own. The disks stay.
func (p *Pool) Close() error {
	if p.ownLink {
		return p.link.Close()
	}
	return nil
}

// poolName keeps two lodged with different data directories on one host apart.
func poolName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "lodge-" + hex.EncodeToString(sum[:4])
}

// makeDir makes the directory so that QEMU, which is not root, can walk through
// it to a file it knows and cannot list it.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make the storage directory: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the umask may have taken bits away
		return fmt.Errorf("open the storage directory to QEMU: %w", err)
	}
	return nil
}

// sweep removes what a crash left behind: temporary files that nobody writes
// any more, and volumes that were never finished.
func (p *Pool) sweep() error {
	entries, err := os.ReadDir(p.o.Dir)
	if err != nil {
		return fmt.Errorf("read the storage directory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(p.o.Dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), partSuffix) {
			removeUnlessInUse(path)
			continue
		}
		if f, ok := parseName(e.Name()); ok && f.kind == cloud.DiskVolume {
			if s, _, _ := p.inspect(f); s == halfMade {
				_ = os.Remove(path) // when it stays, CreateDisk meets it again and says so
			}
		}
	}
	return nil
}

// checkSpace returns CodeDiskFull unless the file system has room for need more
// bytes and the reserve.
func (p *Pool) checkSpace(need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(p.o.Dir, &st); err != nil {
		return cloud.Wrap(cloud.CodeStorage, fmt.Errorf("statfs %s: %w", p.o.Dir, err), "The host's storage directory cannot be used.")
	}
	free := int64(st.Bavail) * st.Bsize
	if free-need >= p.o.MinFreeBytes {
		return nil
	}
	return diskFull(fmt.Errorf("%s: %d bytes free, %d needed, %d kept in reserve", p.o.Dir, free, need, p.o.MinFreeBytes))
}

func diskFull(cause error) error {
	return &cloud.Error{Code: cloud.CodeDiskFull, Cause: cause,
		Message: "The host has too little free disk space for this; delete something or ask the operator for more."}
}

// fileError sorts an error of the file system.
func fileError(err error, what string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return diskFull(fmt.Errorf("%s: %w", what, err))
	}
	return &cloud.Error{Code: cloud.CodeStorage, Cause: fmt.Errorf("%s: %w", what, err),
		Message: "The host could not write or remove a file; its operator finds the reason in the log of lodged."}
}

// withPool runs f with the libvirt pool, which it defines or starts first when
// libvirt does not know it or it is stopped.
func (p *Pool) withPool(ctx context.Context, what string, f func(*libvirt.StoragePool) error) error {
	return virt.Do(ctx, p.link, what, func(c *libvirt.Connect) error {
		sp, err := c.LookupStoragePoolByName(p.name)
		if virt.NotFound(err) {
			sp, err = p.definePool(c)
		}
		if err != nil {
			return err
		}
		defer sp.Free()
		err = f(sp)
		if !errors.Is(err, errStopped) && !virt.Says(err, "is not active") {
			return err
		}
		if err := p.startPool(sp); err != nil {
			return err
		}
		return f(sp)
	})
}

// started says so when the pool is stopped, as what works with one does.
func started(sp *libvirt.StoragePool) error {
	active, err := sp.IsActive()
	if err == nil && !active {
		return errStopped
	}
	return err
}

var errStopped = errors.New("the pool is not active")

func (p *Pool) definePool(c *libvirt.Connect) (*libvirt.StoragePool, error) {
	xml, err := (&libvirtxml.StoragePool{
		Type:   "dir",
		Name:   p.name,
		Target: &libvirtxml.StoragePoolTarget{Path: p.o.Dir},
	}).Marshal()
	if err != nil {
		return nil, err
	}
	sp, err := c.StoragePoolDefineXML(xml, 0)
	if virt.Says(err, "already exists") { // made meanwhile, for another disk
		sp, err = c.LookupStoragePoolByName(p.name)
	}
	if err != nil {
		return nil, fmt.Errorf("define pool %s: %w", p.name, err)
	}
	if err := p.startPool(sp); err != nil {
		_ = sp.Free()
		return nil, err
	}
	return sp, nil
}

func (p *Pool) startPool(sp *libvirt.StoragePool) error {
	if err := makeDir(p.o.Dir); err != nil {
		return err
	}
	if err := sp.SetAutostart(true); err != nil {
		return fmt.Errorf("autostart pool %s: %w", p.name, err)
	}
	if err := sp.Create(0); err != nil && !virt.Says(err, "already active") {
		return fmt.Errorf("start pool %s: %w", p.name, err)
	}
	return nil
}
