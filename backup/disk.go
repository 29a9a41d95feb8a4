package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// local is an error of this machine's disk, where something is written: it says
// nothing of what is read.
type local struct{ error }

func (l local) Unwrap() error { return l.error }

// localFile is a file whose errors are local.
type localFile struct{ *os.File }

func (f localFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if err != nil {
		err = local{err}
	}
	return n, err
}

// close has the file on the disk.
func (f localFile) close() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return local{err}
	}
	return nil
}

// ofDisk makes an error local that is about the disk, and not about the name.
func ofDisk(err error) error {
	for _, no := range []error{unix.ENOTDIR, unix.EISDIR, unix.EEXIST, unix.ENAMETOOLONG, unix.ELOOP} {
		if err == nil || errors.Is(err, no) {
			return err
		}
	}
	return local{err}
}

// Full reports whether an error says that there is no space left.
func Full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || cloud.CodeOf(err) == cloud.CodeDiskFull
}

// Blame has an error of a full disk say which one that is: the one of dir.
func Blame(dir string, err error) error {
	if err == nil || !Full(err) || errors.As(err, new(blamed)) {
		return err
	}
	return blamed{cloud.Wrap(cloud.CodeDiskFull, err, "The disk of %s is full, and it is needed there for a copy of the database and its files; free some space and try again. No backup is at fault.", dir)}
}

// blamed is an error that says already which disk is full.
type blamed struct{ error }

func (b blamed) Unwrap() error { return b.error }

// Check unpacks a backup into an empty folder and says what is wrong with it there:
// its bytes and files, what the judge finds in its database, and what the manifest
// says of that. An error says nothing of the backup.
func Check(ctx context.Context, p Place, m Manifest, keys []age.Identity, dir string, judge Judge) (wrong []string, err error) {
	wrong, err = Unpack(ctx, p, m, keys, dir)
	if err != nil || len(wrong) > 0 {
		return wrong, err // a database that is not the one that was copied says nothing
	}
	path := filepath.Join(dir, Database)
	wrong, facts, err := judge(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case Full(err):
		return nil, Blame(filepath.Dir(dir), err)
	case errors.As(err, new(Unjudged)):
		return wrong, Named(err, path, "of backup "+m.ID)
	case err != nil:
		wrong = append(wrong, "database: "+err.Error())
	default:
		wrong = append(wrong, m.differs(facts)...)
	}
	for i := range wrong {
		wrong[i] = strings.ReplaceAll(wrong[i], path, "of backup "+m.ID)
	}
	return wrong, nil
}

// Unjudged is an error of a Judge that says nothing of the backup: this lodge is too
// old for its database, say.
type Unjudged struct{ Err error }

func (u Unjudged) Error() string { return u.Err.Error() }

func (u Unjudged) Unwrap() error { return u.Err }

// Named has an error name a backup, or whatever it is, where it names the path of
// an unpacked file.
func Named(err error, path, name string) error {
	if err == nil || !strings.Contains(err.Error(), path) {
		return err
	}
	return renamed{err, path, name}
}

type renamed struct {
	error
	path, name string
}

func (r renamed) Error() string { return strings.ReplaceAll(r.error.Error(), r.path, r.name) }

func (r renamed) Unwrap() error { return r.error }

// notRead is an error of an archive that could not be unpacked on this machine.
func notRead(m Manifest, dir string, err error) error {
	return Blame(filepath.Dir(dir), Named(fmt.Errorf("unpack the backup %s: %w", m.ID, err), dir+"/", filepath.Dir(dir)+"/"))
}
