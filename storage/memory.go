package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/diskfs/go-diskfs/backend"
)

// memory is a disk in memory that the file system library writes to: a seed is
// small, and its file is then written in one piece.
type memory struct {
	b   []byte
	off int64
}

func newMemory(size int64) *memory { return &memory{b: make([]byte, size)} }

var _ backend.Storage = (*memory)(nil)

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m.b)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Read(p []byte) (int, error) {
	n, err := m.ReadAt(p, m.off)
	m.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (m *memory) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += m.off
	case io.SeekEnd:
		off += int64(len(m.b))
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	m.off = off
	return off, nil
}

func (m *memory) Close() error                            { return nil }
func (m *memory) Path() string                            { return "" }
func (m *memory) Writable() (backend.WritableFile, error) { return m, nil }
func (m *memory) Stat() (fs.FileInfo, error)              { return memoryInfo(len(m.b)), nil }

// Sys is for ioctls on devices.
func (m *memory) Sys() (*os.File, error) { return nil, errors.ErrUnsupported }

type memoryInfo int64

func (i memoryInfo) Name() string       { return "memory" }
func (i memoryInfo) Size() int64        { return int64(i) }
func (i memoryInfo) Mode() fs.FileMode  { return 0o600 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
