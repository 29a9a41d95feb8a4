package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Input is a file that goes into an archive.
type Input struct {
	Name string // in the archive
	Path string // on this machine
}

// counted counts and hashes what is written through it.
type counted struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	return n, err
}

func (c *counted) file(name string) File {
	return File{Name: name, Size: c.n, SHA256: hex.EncodeToString(c.sum.Sum(nil))}
}

// pack writes the files as a tar in Zstandard, for a recipient sealed with age.
// It fills in what the manifest says of the archive and of the files.
func pack(ctx context.Context, w io.Writer, m *Manifest, inputs []Input, to age.Recipient) (err error) {
	out := &counted{w: w, sum: sha256.New()}
	var next io.Writer = out
	var closers []io.Closer
	m.Encrypted = to != nil
	if to != nil {
		sealed, err := age.Encrypt(next, to)
		if err != nil {
			return fmt.Errorf("encrypt: %w", err)
		}
		next, closers = sealed, append(closers, sealed)
	}
	z, err := zstd.NewWriter(next, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	closers = append(closers, z, t)
	m.Files = nil
	for _, in := range inputs {
		f, err := packOne(ctx, t, in, m.TakenAt)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Name, err)
		}
		m.Files = append(m.Files, f)
	}
	for i := len(closers) - 1; i >= 0; i-- {
		if err := closers[i].Close(); err != nil {
			return err
		}
	}
	m.Archive = out.file(archiveName(m.Encrypted))
	return nil
}

func packOne(ctx context.Context, t *tar.Writer, in Input, at time.Time) (File, error) {
	f, err := os.Open(in.Path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: in.Name, Size: info.Size(), Mode: 0o600, ModTime: at.Truncate(time.Second), Format: tar.FormatPAX})
	if err != nil {
		return File{}, err
	}
	c := &counted{w: t, sum: sha256.New()}
	// A file that grew meanwhile would break the archive; it fails here instead.
	_, err = io.Copy(c, io.LimitReader(reader{ctx, f}, info.Size()))
	if err == nil && c.n != info.Size() {
		err = io.ErrUnexpectedEOF
	}
	return c.file(in.Name), err
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// errSealed is returned when an archive is encrypted and no key was given.
var errSealed = errors.New("the backup is encrypted; give the identity file that opens it")

// unpack reads an archive to its end, into dir when that is not "", and returns
// what is wrong with it, by the manifest. It writes what the manifest names, and
// no more of it than the manifest says. An error means that it could not go on.
func unpack(ctx context.Context, r io.Reader, m Manifest, keys []age.Identity, dir string) (wrong []string, err error) {
	in := &counted{w: io.Discard, sum: sha256.New()}
	raw := io.TeeReader(reader{ctx, r}, in)
	if m.Encrypted && len(keys) == 0 {
		if _, err := io.Copy(io.Discard, raw); err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		return archiveWrong(m, in), errSealed
	}
	inner, err := unpackInto(raw, m, keys, dir)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var l local
	if errors.As(err, &l) {
		return nil, notRead(m, dir, l.error)
	}
	if _, e := io.Copy(io.Discard, raw); e != nil && err == nil {
		err = e
	}
	wrong = append(archiveWrong(m, in), inner...)
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("archive: it cannot be read to its end: %v", err))
	}
	return wrong, nil
}

func archiveWrong(m Manifest, in *counted) (wrong []string) {
	got := in.file(m.Archive.Name)
	if got.Size != m.Archive.Size {
		wrong = append(wrong, fmt.Sprintf("archive: it has %d bytes and the manifest says %d", got.Size, m.Archive.Size))
	}
	if got.SHA256 != m.Archive.SHA256 {
		wrong = append(wrong, fmt.Sprintf("archive: its SHA-256 is %s and the manifest says %s", got.SHA256, m.Archive.SHA256))
	}
	return wrong
}

func unpackInto(raw io.Reader, m Manifest, keys []age.Identity, dir string) (wrong []string, err error) {
	if m.Encrypted {
		if raw, err = age.Decrypt(raw, keys...); err != nil {
			return nil, fmt.Errorf("decrypt: %w", err)
		}
	}
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	seen := map[string]bool{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return wrong, err
		}
		want := m.find(h.Name)
		if want == nil || seen[h.Name] || h.Typeflag != tar.TypeReg {
			wrong = append(wrong, fmt.Sprintf("%q: it is in the archive and not in the manifest", h.Name))
			continue
		}
		seen[h.Name] = true
		got, err := unpackOne(t, *want, dir)
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", h.Name, err)
		}
		if got != *want {
			wrong = append(wrong, fmt.Sprintf("%s: it has %d bytes with SHA-256 %s, and the manifest says %d and %s", h.Name, got.Size, got.SHA256, want.Size, want.SHA256))
		}
	}
	for _, f := range m.Files {
		if !seen[f.Name] {
			wrong = append(wrong, f.Name+": it is in the manifest and not in the archive")
		}
	}
	_, err = io.Copy(io.Discard, z) // to the end: its checksum is there
	return wrong, err
}

func unpackOne(t io.Reader, want File, dir string) (File, error) {
	c := &counted{w: io.Discard, sum: sha256.New()}
	if dir == "" {
		_, err := io.Copy(c, io.LimitReader(t, want.Size+1))
		return c.file(want.Name), err
	}
	path := filepath.Join(dir, filepath.FromSlash(want.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return File{}, ofDisk(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return File{}, ofDisk(err)
	}
	w := localFile{f}
	c.w = w
	_, err = io.Copy(c, io.LimitReader(t, want.Size+1))
	return c.file(want.Name), errors.Join(err, w.close())
}
