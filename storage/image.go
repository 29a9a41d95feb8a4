package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lodge/cloud"
)

const (
	chunkBytes = 1 << 20
	// spaceEvery is how many bytes arrive between two looks at the free space.
	spaceEvery = 16 << 20
)

// ImportImage takes all bytes of an image from r, checks them and makes them an
// image; when anything is wrong, nothing is left. progress, which may be nil,
// hears of the bytes so far after every MiB.
//
// img.SHA256, img.BytesTotal and img.Format are promises and checked when set.
// Returns CodeChecksum, CodeImageTruncated, CodeImageFormat, CodeImageUnsafe,
// CodeImageTooBig, CodeDiskFull, CodeImportCanceled when ctx ended, CodeInUse
// when the same image is being imported already, CodeURLFailed or
// CodeImageTruncated when r broke off, and r's own error when it has a code.
func (p *Pool) ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(done int64)) (cloud.ImageInfo, error) {
	if err := checkID(img.ID); err != nil {
		return cloud.ImageInfo{}, err
	}
	if img.BytesTotal > p.o.MaxImageBytes {
		return cloud.ImageInfo{}, p.tooBig()
	}
	if err := p.checkSpace(max(0, img.BytesTotal)); err != nil {
		return cloud.ImageInfo{}, err
	}
	part, err := createPart(p.partPath(img.ID))
	if err != nil {
		return cloud.ImageInfo{}, err
	}
	named := false
	defer func() {
		if !named {
			_ = os.Remove(part.Name())
		}
		_ = part.Close()
	}()

	in := &intake{p: p, img: img, out: part, sum: sha256.New(), progress: progress}
	if err := in.copy(ctx, r); err != nil {
		return cloud.ImageInfo{}, err
	}
	info, err := in.check()
	if err != nil {
		return cloud.ImageInfo{}, err
	}
	f := imageFile(img.ID, info.Format)
	if there, err := p.keptAs(ctx, f, info.SHA256); there || err != nil {
		return info, err
	}
	if err := p.publish(part, f); err != nil {
		return cloud.ImageInfo{}, err
	}
	named = true
	return info, nil
}

func (p *Pool) tooBig() error {
	return cloud.Errorf(cloud.CodeImageTooBig, "The image file is larger than the %d MiB this host takes.", p.o.MaxImageBytes>>20)
}

// intake is one import on its way.
type intake struct {
	p        *Pool
	img      cloud.Image
	out      *os.File
	sum      hash.Hash
	done     int64
	progress func(int64)
}

func (in *intake) copy(ctx context.Context, r io.Reader) error {
	buf := make([]byte, chunkBytes)
	nextSpace := int64(spaceEvery)
	for first := true; ; first = false {
		if ctx.Err() != nil {
			return canceled(ctx.Err())
		}
		n, err := fill(r, buf)
		if n > 0 {
			if in.done+int64(n) > in.p.o.MaxImageBytes {
				return in.p.tooBig()
			}
			if first {
				if err := in.early(buf[:n]); err != nil {
					return err
				}
			}
			if _, err := in.out.Write(buf[:n]); err != nil {
				return fileError(err, "write the image")
			}
			in.sum.Write(buf[:n])
			in.done += int64(n)
			if in.progress != nil {
				in.progress(in.done)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return in.broken(ctx, err)
		}
		if in.done >= nextSpace {
			nextSpace = in.done + spaceEvery
			if err := in.p.checkSpace(0); err != nil {
				return err
			}
		}
	}
}

// fill reads until buf is full. Unlike io.ReadFull it keeps the reader's own
// error: an io.ErrUnexpectedEOF is then a body that ended too soon.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// broken sorts the error of a reader.
func (in *intake) broken(ctx context.Context, err error) error {
	var e *cloud.Error
	switch {
	case errors.As(err, &e):
		return err
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		return canceled(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return in.truncated(err)
	case in.img.Source == cloud.SourceURL:
		return &cloud.Error{Code: cloud.CodeURLFailed, Cause: err,
			Message: fmt.Sprintf("The server broke off after %d MiB of the image.", in.done>>20)}
	}
	return in.truncated(err)
}

func (in *intake) truncated(cause error) error {
	message := fmt.Sprintf("The image broke off after %d bytes; send it again.", in.done)
	if in.img.BytesTotal > 0 {
		message = fmt.Sprintf("%d of %d bytes of the image arrived; send it again.", in.done, in.img.BytesTotal)
	}
	return &cloud.Error{Code: cloud.CodeImageTruncated, Message: message, Cause: cause}
}

func canceled(cause error) error {
	return &cloud.Error{Code: cloud.CodeImportCanceled, Cause: cause,
		Message: "The import was interrupted before all bytes had arrived."}
}

// early looks at the first chunk, so that gigabytes of the wrong thing need not
// arrive before it is refused.
func (in *intake) early(chunk []byte) error {
	_, _, err := in.p.judge(bytes.NewReader(chunk), -1)
	return err
}

// judge finds out what the bytes are, and whether they may be an image. With a
// size of -1 more of them are to come.
func (p *Pool) judge(r io.ReaderAt, size int64) (cloud.ImageFormat, int64, error) {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	if string(head[:]) != qcow2Magic {
		if err := CheckRaw(r, size); err != nil {
			return "", 0, err
		}
		if size > p.o.MaxVirtualBytes {
			return "", 0, p.tooBig()
		}
		return cloud.FormatRaw, size, nil
	}
	q, err := ReadQcow2(r, size)
	if err == nil {
		err = q.CheckImage(p.o.MaxVirtualBytes)
	}
	if err == nil && size >= 0 {
		err = q.CheckTables(r, size)
	}
	return cloud.FormatQcow2, q.VirtualSize, err
}

// check compares what has arrived with what was promised and what is allowed.
func (in *intake) check() (cloud.ImageInfo, error) {
	info := cloud.ImageInfo{SizeBytes: in.done, SHA256: hex.EncodeToString(in.sum.Sum(nil))}
	if in.done < in.img.BytesTotal {
		return info, in.truncated(nil)
	}
	if in.img.SHA256 != "" && !strings.EqualFold(in.img.SHA256, info.SHA256) {
		return info, cloud.Errorf(cloud.CodeChecksum, "The image has the SHA-256 %s and not the promised %s.", info.SHA256, in.img.SHA256)
	}
	var err error
	if info.Format, info.VirtualSize, err = in.p.judge(in.out, in.done); err != nil {
		return info, err
	}
	if in.img.Format != "" && in.img.Format != info.Format {
		return info, cloud.Errorf(cloud.CodeImageFormat, "The image is %s and not %s as promised.", info.Format, in.img.Format)
	}
	return info, nil
}

// keptAs reports whether the image's file is there already with the same bytes,
// as after a crash before it was recorded. Other bytes are never written over:
// guests may rest on them that a restored database does not know.
func (p *Pool) keptAs(ctx context.Context, f file, sum string) (bool, error) {
	r, err := os.Open(p.path(f))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fileError(err, "look at the image that is there")
	}
	defer r.Close()
	h := sha256.New()
	buf := make([]byte, chunkBytes)
	for {
		if ctx.Err() != nil {
			return false, canceled(ctx.Err())
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fileError(err, "read the image that is there")
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return false, cloud.Errorf(cloud.CodeInUse, "The host has other bytes under this image's id already, and guests may rest on them; import the image under a new name.")
	}
	return true, nil
}

// publish gives a finished file its name, so that it is there after a power cut
// or not at all.
func (p *Pool) publish(part *os.File, f file) error {
	if err := part.Chmod(0o644); err != nil {
		return fileError(err, "open the image to QEMU")
	}
	if err := part.Sync(); err != nil {
		return fileError(err, "write the image to disk")
	}
	if err := os.Rename(part.Name(), p.path(f)); err != nil {
		return fileError(err, "name the image")
	}
	if err := syncDir(p.o.Dir); err != nil {
		return fileError(err, "write the directory to disk")
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (p *Pool) partPath(id string) string {
	return filepath.Join(p.o.Dir, ".import-"+id+partSuffix)
}

// createPart makes an empty file that is locked for as long as it is open. The
// lock, which goes with the process, tells a leftover from an import under way.
// Returns CodeInUse when somebody else holds it.
func createPart(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fileError(err, "make a temporary file")
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			return nil, &cloud.Error{Code: cloud.CodeInUse, Cause: err, Message: "The image is being imported already."}
		}
		// Whoever held it before may have removed or renamed it.
		if now, err := os.Stat(path); err != nil || !same(f, now) {
			_ = f.Close()
			continue
		}
		if err := f.Truncate(0); err != nil {
			_ = f.Close()
			return nil, fileError(err, "empty a temporary file")
		}
		return f, nil
	}
}

func same(f *os.File, other os.FileInfo) bool {
	mine, err := f.Stat()
	return err == nil && os.SameFile(mine, other)
}

// removeUnlessInUse removes a temporary file that no process holds.
func removeUnlessInUse(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(path)
	}
}

// removePart removes what an interrupted import left. Returns CodeInUse while
// one is under way.
func (p *Pool) removePart(id string) error {
	path := p.partPath(id)
	if _, err := os.Lstat(path); err != nil {
		return nil
	}
	removeUnlessInUse(path)
	if _, err := os.Lstat(path); err == nil {
		return cloud.Errorf(cloud.CodeInUse, "The image is still being imported.")
	}
	return nil
}
